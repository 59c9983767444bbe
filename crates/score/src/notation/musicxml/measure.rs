//! One measure of one part: what it holds, in ticks from its start.

use super::super::assemble::{Measure, Tone, VELOCITY};
use super::super::repeats::{MAX_TIMES, Signs};
use super::document::{child, finite, number, text, whole};
use super::write::{FORTE, VALUES};
use crate::Meter;
use crate::harmony::{Chord, ChordKind, Degree, DegreeOp, Key, Letter, NoteName};
use crate::notation::layout;
use roxmltree::Node;
use std::collections::BTreeMap;

/// The longest measure, in quarter notes.
const LONGEST: f64 = 10_000.0;

/// What a part carries from measure to measure.
pub(super) struct State<'a> {
    /// Ticks in a quarter note.
    pub ppq: f64,
    pub divisions: f64,
    /// Semitones from what is written to what sounds.
    pub transpose: i32,
    pub velocity: u8,
    /// Pitches of the part's unpitched instruments, by id.
    pub sounds: &'a BTreeMap<String, u8>,
}

/// # Errors
/// What is wrong with a duration.
pub(super) fn read(node: Node<'_, '_>, state: &mut State<'_>) -> Result<Measure, String> {
    let mut measure = Measure::default();
    let (mut at, mut last) = (0.0f64, 0.0f64);
    for element in node.children().filter(Node::is_element) {
        match element.tag_name().name() {
            "note" => {
                if child(element, "grace").is_some() || child(element, "cue").is_some() {
                    continue;
                }
                let length = duration(element, state)?;
                let chord = child(element, "chord").is_some();
                let onset = if chord { last } else { at };
                measure.tones.extend(tone(element, onset, length, state));
                let verses = element.children().filter(|it| it.has_tag_name("lyric"));
                measure.lyrics.extend(verses.filter_map(lyric).map(|sung| (onset, sung)));
                if !chord {
                    (last, at) = (at, at + length);
                }
            }
            "backup" => at = (at - duration(element, state)?).max(0.0),
            "forward" => at += duration(element, state)?,
            "attributes" => attributes(element, at, state, &mut measure),
            "direction" => direction(element, at, state, &mut measure),
            "sound" => sound(element, at, state, &mut measure),
            "harmony" => {
                let place = (at + offset(element, state)).max(0.0);
                if let Some(chord) = harmony(element) {
                    measure.chords.push((place, chord));
                }
            }
            "barline" => barline(element, &mut measure.signs),
            _ => {}
        }
        at = at.min(LONGEST * state.ppq);
        measure.length = measure.length.max(at);
    }
    Ok(measure)
}

/// Ticks; 0 where none is given.
fn duration(node: Node<'_, '_>, state: &State<'_>) -> Result<f64, String> {
    let Some(given) = child(node, "duration").map(|it| it.text().unwrap_or("").trim()) else {
        return Ok(0.0);
    };
    let quarters = finite(given).map(|number| number / state.divisions);
    quarters.filter(|it| (0.0..=LONGEST).contains(it)).map(|it| it * state.ppq).ok_or_else(|| {
        let got: String = given.chars().take(40).collect();
        let most = LONGEST * state.divisions;
        format!("a duration must be in 0..={most}, {LONGEST} quarter notes, got {got:?}")
    })
}

/// The verse and what is sung; a hyphen at its end where its word goes on.
fn lyric(node: Node<'_, '_>) -> Option<(u32, String)> {
    let verse = node.attribute("number").and_then(|number| number.trim().parse().ok()).unwrap_or(1);
    // Syllables sung on one note, with what joins them.
    let words = node.children().filter(|it| it.has_tag_name("text")).filter_map(|it| it.text());
    let mut sung = words.map(str::trim).collect::<Vec<_>>().join(" ");
    if sung.is_empty() {
        return None;
    }
    let last =
        node.children().filter(|it| it.has_tag_name("syllabic")).filter_map(|it| it.text()).next_back();
    if matches!(last.map(str::trim), Some("begin" | "middle")) {
        sung.push('-');
    }
    Some((verse, sung))
}

fn tone(node: Node<'_, '_>, onset: f64, length: f64, state: &State<'_>) -> Option<Tone> {
    let unpitched = child(node, "unpitched");
    let pitch = match (child(node, "pitch"), unpitched) {
        (Some(pitch), _) => {
            let letter = Letter::from_char(text(pitch, "step")?.chars().next()?)?;
            let alter = number(pitch, "alter").unwrap_or(0.0).clamp(-9.0, 9.0).round() as i32;
            let octave = whole(pitch, "octave", -1..=9)?;
            (octave + 1) * 12 + i32::from(letter.pitch_class()) + alter + state.transpose
        }
        (None, Some(place)) => i32::from(struck(node, place, state)),
        (None, None) => return None,
    };
    let pitch = u8::try_from(pitch).ok().filter(|pitch| *pitch < 128)?;
    let dynamics = node.attribute("dynamics").and_then(finite);
    let velocity = dynamics.map_or(state.velocity, velocity);
    let ties = |kind: &str| {
        let is = |it: Node<'_, '_>| it.attribute("type") == Some(kind);
        let own = node.children().filter(|it| it.has_tag_name("tie"));
        let shown = child(node, "notations").into_iter().flat_map(|it| it.children());
        own.chain(shown.filter(|it| it.has_tag_name("tied"))).any(is)
    };
    let voice = text(node, "voice").and_then(|voice| voice.parse().ok()).unwrap_or(0);
    let unpitched = unpitched.is_some();
    Some(Tone { onset, length, pitch, velocity, voice, stop: ties("stop"), start: ties("start"), unpitched })
}

/// From hundredths of forte.
fn velocity(dynamics: f64) -> u8 {
    (dynamics * FORTE / 100.0).round().clamp(1.0, 127.0) as u8
}

/// The sound of an unpitched note: of its instrument, else of its place and head.
fn struck(note: Node<'_, '_>, place: Node<'_, '_>, state: &State<'_>) -> u8 {
    let instrument = child(note, "instrument").and_then(|it| it.attribute("id"));
    if let Some(&pitch) = instrument.and_then(|id| state.sounds.get(id)) {
        return pitch;
    }
    let step = text(place, "display-step").and_then(|step| step.chars().next()).unwrap_or('C');
    let octave = whole(place, "display-octave", 0..=9).unwrap_or(5);
    let cross = text(note, "notehead").is_some_and(|head| matches!(head, "x" | "cross" | "circle-x"));
    // A side stick for what has no usual place.
    layout::pitch_at(step.to_ascii_uppercase(), octave as u8, cross).unwrap_or(37)
}

fn attributes(node: Node<'_, '_>, at: f64, state: &mut State<'_>, measure: &mut Measure) {
    if let Some(divisions) = number(node, "divisions").filter(|it| (1e-3..=1e6).contains(it)) {
        state.divisions = divisions;
    }
    if let Some(transpose) = child(node, "transpose") {
        let chromatic = whole(transpose, "chromatic", -127..=127).unwrap_or(0);
        let octaves = whole(transpose, "octave-change", -10..=10).unwrap_or(0);
        state.transpose = chromatic + 12 * octaves;
    }
    if let Some(key) = child(node, "key")
        && let Some(fifths) = whole(key, "fifths", -7..=7)
    {
        let minor = text(key, "mode") == Some("minor");
        measure.keys.push((at, (sounding(fifths as i8, minor, state.transpose), minor)));
    }
    if let Some(time) = child(node, "time") {
        measure.meter = meter(time).or(measure.meter);
    }
    let percussion = |clef: Node<'_, '_>| text(clef, "sign") == Some("percussion");
    measure.percussion |= node.children().filter(|it| it.has_tag_name("clef")).any(percussion);
}

/// The signature of a transposing instrument's key where it sounds.
fn sounding(fifths: i8, minor: bool, transpose: i32) -> i8 {
    if transpose.rem_euclid(12) == 0 {
        return fifths;
    }
    Key::from_signature(fifths, minor).transposed(transpose).signature()
}

/// `3+2` over 8 counts as 5/8, several signatures beside each other as their sum.
fn meter(time: Node<'_, '_>) -> Option<Meter> {
    let values = |name: &'static str| {
        time.children().filter(move |it| it.has_tag_name(name)).filter_map(|it| it.text())
    };
    let mut sum: Option<(u32, u32)> = None;
    for (beats, unit) in values("beats").zip(values("beat-type")) {
        let beats = beats.split('+').map(|part| part.trim().parse::<u8>().ok());
        let beats = beats.collect::<Option<Vec<u8>>>()?.into_iter().map(u32::from).sum::<u32>();
        let unit: u32 =
            unit.trim().parse().ok().filter(|unit: &u32| unit.is_power_of_two() && *unit <= 128)?;
        let (before, finest) = sum.unwrap_or((0, unit));
        let common = finest.max(unit);
        sum = Some((before * (common / finest) + beats * (common / unit), common));
    }
    let (numerator, denominator) = sum?;
    let (numerator, denominator) = (u8::try_from(numerator).ok()?, u8::try_from(denominator).ok()?);
    (numerator > 0).then_some(Meter { numerator, denominator })
}

/// Ticks that a direction or chord stands behind its place in the document.
fn offset(node: Node<'_, '_>, state: &State<'_>) -> f64 {
    number(node, "offset").unwrap_or(0.0).clamp(-1e6, 1e6) * state.ppq / state.divisions
}

fn direction(node: Node<'_, '_>, at: f64, state: &mut State<'_>, measure: &mut Measure) {
    let at = (at + offset(node, state)).max(0.0);
    let told = measure.tempos.len();
    if let Some(element) = child(node, "sound") {
        sound(element, at, state, measure);
    }
    if measure.tempos.len() > told {
        return;
    }
    let marks = node.children().filter(|it| it.has_tag_name("direction-type"));
    let metronome = marks.filter_map(|it| child(it, "metronome")).next();
    measure.tempos.extend(metronome.and_then(metronome_tempo).map(|bpm| (at, bpm)));
}

fn metronome_tempo(node: Node<'_, '_>) -> Option<f64> {
    let unit = VALUES.iter().position(|name| text(node, "beat-unit") == Some(name))?;
    // A breve is eight quarters.
    let quarters = 8.0 / f64::from(1u32 << unit);
    let dots = node.children().filter(|it| it.has_tag_name("beat-unit-dot")).count();
    let dotted = 2.0 - 0.5f64.powi(dots.min(4) as i32);
    let bpm = number(node, "per-minute")? * quarters * dotted;
    (bpm > 0.0).then_some(bpm)
}

fn sound(node: Node<'_, '_>, at: f64, state: &mut State<'_>, measure: &mut Measure) {
    if let Some(bpm) = node.attribute("tempo").and_then(finite).filter(|bpm| *bpm > 0.0) {
        measure.tempos.push((at, bpm));
    }
    if let Some(dynamics) = node.attribute("dynamics").and_then(finite) {
        state.velocity = velocity(dynamics);
    }
}

impl State<'_> {
    pub fn new(ppq: f64, sounds: &BTreeMap<String, u8>) -> State<'_> {
        State { ppq, divisions: 1.0, transpose: 0, velocity: VELOCITY, sounds }
    }
}

/// `None` for what is no chord symbol; `Some(None)` for no chord.
fn harmony(node: Node<'_, '_>) -> Option<Option<Chord>> {
    let kind = text(node, "kind").unwrap_or("major");
    if kind == "none" {
        return Some(None);
    }
    let kind = ChordKind::from_music_xml(kind).unwrap_or(match kind {
        "Italian" | "French" | "German" => ChordKind::Dominant,
        "Tristan" => ChordKind::HalfDiminished,
        // Pedals, Neapolitans and others are named by what they are built on.
        _ => ChordKind::Major,
    });
    let named = |outer: Option<Node<'_, '_>>, step: &str, alter: &str| {
        let outer = outer?;
        let letter = Letter::from_char(text(outer, step)?.chars().next()?)?;
        NoteName::new(letter, whole(outer, alter, -2..=2).unwrap_or(0) as i8)
    };
    let mut chord = Chord::new(named(child(node, "root"), "root-step", "root-alter")?, kind);
    for degree in node.children().filter(|it| it.has_tag_name("degree")) {
        let Some(value) = whole(degree, "degree-value", 1..=13) else { continue };
        let alter = whole(degree, "degree-alter", -2..=2).unwrap_or(0) as i8;
        let op = match text(degree, "degree-type") {
            Some("add") => DegreeOp::Add,
            Some("subtract") => DegreeOp::Omit,
            _ => DegreeOp::Alter,
        };
        chord.changes.push(Degree { value: value as u8, op, alter });
    }
    let mut chord = chord.simplified();
    let inversion = whole(node, "inversion", 1..=6).and_then(|it| chord.tones().get(it as usize).copied());
    if let Some(bass) = named(child(node, "bass"), "bass-step", "bass-alter").or(inversion) {
        chord = chord.over(bass);
    }
    Some(Some(chord))
}

fn barline(node: Node<'_, '_>, signs: &mut Signs) {
    if let Some(repeat) = child(node, "repeat") {
        match repeat.attribute("direction") {
            Some("forward") => signs.start = true,
            Some("backward") => {
                let times = repeat.attribute("times").and_then(|it| it.parse().ok()).unwrap_or(2);
                signs.end = Some(u32::clamp(times, 2, MAX_TIMES));
            }
            _ => {}
        }
    }
    if let Some(ending) = child(node, "ending") {
        match ending.attribute("type") {
            Some("start") => {
                let numbers = ending.attribute("number").unwrap_or("1").split([',', ' ', '.']);
                let passes: Vec<u32> = numbers.filter_map(|it| it.trim().parse().ok()).take(64).collect();
                signs.ending = (!passes.is_empty()).then_some(passes);
            }
            Some("stop" | "discontinue") => signs.ending_stops = true,
            _ => {}
        }
    }
}
