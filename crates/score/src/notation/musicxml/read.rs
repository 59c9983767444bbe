//! MusicXML to [`Score`]: a track for each part, its repeats played.
//!
//! Ties are merged, grace and cue notes left out, transposing instruments sound. Repeat signs and endings are played as
//! they are heard; jumps by words (da capo, coda) are not followed. Layout, lyrics and articulations are left out.
//! Measures are as long as their contents: a short one is a change of metre to the same metre behind it.

use super::super::repeats;
use super::document::{child, finite, parse, text, whole};
use super::measure::{self, Measure, State, Tone};
use crate::{ChordChange, Error, KeyChange, Meter, MeterMap, Note, Ppq, Result, Score, TempoMap, Tick, Track};
use roxmltree::Node;
use std::collections::BTreeMap;

/// Ticks a quarter where no one number of them holds every duration: whole for 2, 3, 5 and 7 parts.
const FALLBACK: u16 = 10080;
/// The most parts of a score.
const MAX_PARTS: usize = 512;

/// What the part list says of a part.
struct Listed {
    name: String,
    channel: Option<u8>,
    program: u8,
    sounds: BTreeMap<String, u8>,
}

/// A part with its measures in order.
struct Part<'a> {
    listed: Listed,
    measures: Vec<Node<'a, 'a>>,
}

/// Reads a document, partwise or timewise.
///
/// # Errors
/// [`Error::MusicXml`] for what is no such document.
pub fn read(text: &str) -> Result<Score> {
    let document = parse(text)?;
    let parts = parts(document.root_element())?;
    let ppq = resolution(document.root_element());
    let mut read = Vec::with_capacity(parts.len());
    for part in &parts {
        let mut state = State::new(f64::from(ppq.get()), &part.listed.sounds);
        read.push(part.measures.iter().map(|node| measure::read(*node, &mut state)).collect::<Vec<Measure>>());
    }
    let bars = bars(&read, ppq);
    let signs: Vec<_> = (0..bars.len()).map(|bar| signs(&read, bar)).collect();
    let order = repeats::order(&signs)?;
    let mut score = Score { ppq, ..Score::default() };
    let starts = timeline(&mut score, &bars, &order, &read)?;
    let mut free = (0..16u8).filter(|channel| *channel != 9).cycle();
    for (part, measures) in parts.iter().zip(&read) {
        let notes = notes(measures, &order, &starts)?;
        let unpitched = measures.iter().any(|it| it.percussion)
            || measures.iter().flat_map(|it| &it.tones).next().is_some_and(|tone| tone.unpitched);
        let next = free.next().unwrap_or(0);
        let channel = part.listed.channel.unwrap_or(if unpitched { 9 } else { next });
        let Listed { name, program, .. } = &part.listed;
        score.tracks.push(Track { name: name.clone(), channel, program: *program, notes, controls: Vec::new() });
    }
    Ok(score)
}

/// The parts of either form, those of the list first.
fn parts<'a>(root: Node<'a, 'a>) -> Result<Vec<Part<'a>>> {
    let mut measures: BTreeMap<&str, Vec<Node<'a, 'a>>> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    let of = |node: Node<'a, 'a>, name: &'static str| node.children().filter(move |it| it.has_tag_name(name));
    let timewise = match root.tag_name().name() {
        "score-partwise" => false,
        "score-timewise" => true,
        other => {
            let got = other.chars().take(40).collect::<String>();
            return Err(Error::MusicXml(format!("the document must be score-partwise or score-timewise, got {got:?}")));
        }
    };
    for outer in of(root, if timewise { "measure" } else { "part" }) {
        for inner in of(outer, if timewise { "part" } else { "measure" }) {
            let id = if timewise { inner } else { outer }.attribute("id").unwrap_or("");
            let list = measures.entry(id).or_default();
            if list.is_empty() {
                order.push(id);
            }
            list.push(inner);
        }
    }
    if order.is_empty() || order.len() > MAX_PARTS {
        return Err(Error::MusicXml(format!("a score must have 1..={MAX_PARTS} parts, got {}", order.len())));
    }
    let list = child(root, "part-list");
    let entries: BTreeMap<&str, Node<'_, '_>> = list
        .iter()
        .flat_map(|list| of(*list, "score-part"))
        .filter_map(|entry| Some((entry.attribute("id")?, entry)))
        .collect();
    Ok(order
        .into_iter()
        .map(|id| Part { listed: listed(entries.get(id).copied()), measures: measures.remove(id).unwrap_or_default() })
        .collect())
}

fn listed(entry: Option<Node<'_, '_>>) -> Listed {
    let mut listed = Listed { name: String::new(), channel: None, program: 0, sounds: BTreeMap::new() };
    let Some(entry) = entry else { return listed };
    listed.name = text(entry, "part-name").unwrap_or("").chars().take(256).collect();
    for (index, midi) in entry.children().filter(|it| it.has_tag_name("midi-instrument")).enumerate() {
        if index == 0 {
            listed.channel = whole(midi, "midi-channel", 1..=16).map(|channel| channel as u8 - 1);
            listed.program = whole(midi, "midi-program", 1..=128).map_or(0, |program| program as u8 - 1);
        }
        if let (Some(id), Some(sound)) = (midi.attribute("id"), whole(midi, "midi-unpitched", 1..=128)) {
            listed.sounds.insert(id.to_owned(), sound as u8 - 1);
        }
    }
    listed
}

/// Ticks in which every duration of the document is whole, if there are such.
fn resolution(root: Node<'_, '_>) -> Ppq {
    let all = root.descendants().filter(|it| it.has_tag_name("divisions")).filter_map(|it| finite(it.text()?));
    let mut common: u64 = 1;
    for divisions in all {
        let whole = divisions as u64;
        if divisions.fract() != 0.0 || !(1..=0x7fff).contains(&whole) {
            common = u64::MAX;
            break;
        }
        common = common / greatest(common, whole) * whole;
        if common > 0x7fff {
            break;
        }
    }
    let default = u64::from(Ppq::DEFAULT.get());
    let ticks = if default.is_multiple_of(common) { default } else { common };
    u16::try_from(ticks).ok().and_then(Ppq::new).or(Ppq::new(FALLBACK)).unwrap_or_default()
}

fn greatest(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// A measure of the whole score.
struct Bar {
    /// What the signature in force says, if there was one yet.
    meter: Option<Meter>,
    /// Ticks.
    length: f64,
    /// Its length is not its metre's.
    odd: bool,
}

fn bars(parts: &[Vec<Measure>], ppq: Ppq) -> Vec<Bar> {
    let count = parts.iter().map(Vec::len).max().unwrap_or(0);
    let quarter = f64::from(ppq.get());
    let mut meter = None;
    let bar = |index: usize| {
        let measures = || parts.iter().filter_map(move |part| part.get(index));
        meter = measures().find_map(|measure| measure.meter).or(meter);
        let full = meter.unwrap_or_default().beats_per_bar() * quarter;
        let contents = measures().map(|measure| measure.length).fold(0.0, f64::max);
        // Rounded durations may miss the end by a little.
        let exact = contents == 0.0 || (contents - full).abs() < quarter / 16.0;
        Bar { meter, length: if exact { full } else { contents }, odd: !exact }
    };
    (0..count).map(bar).collect()
}

fn signs(parts: &[Vec<Measure>], bar: usize) -> repeats::Signs {
    let mut signs = repeats::Signs::default();
    for measure in parts.iter().filter_map(|part| part.get(bar)) {
        signs.start |= measure.signs.start;
        signs.end = signs.end.max(measure.signs.end);
        signs.ending = signs.ending.or_else(|| measure.signs.ending.clone());
        signs.ending_stops |= measure.signs.ending_stops;
    }
    signs
}

/// Writes metres, keys, tempos and chords into the score; returns the start of each played bar in ticks.
fn timeline(score: &mut Score, bars: &[Bar], order: &[usize], parts: &[Vec<Measure>]) -> Result<Vec<f64>> {
    let quarter = f64::from(score.ppq.get());
    // Keys and chords are those of the first part that has some.
    let first = |has: fn(&Measure) -> bool| parts.iter().find(|part| part.iter().any(has));
    let keyed = first(|measure| !measure.keys.is_empty());
    let chorded = first(|measure| !measure.chords.is_empty());
    let (mut meters, mut tempos) = (Vec::new(), Vec::new());
    let (mut meter, mut odd, mut key, mut before) = (None, false, None, None);
    let (mut at, mut starts) = (0.0f64, Vec::with_capacity(order.len()));
    let (mut tempo, mut keys_of, mut tempo_of) = (None, BTreeMap::new(), BTreeMap::new());
    for &index in order {
        starts.push(at);
        let bar = &bars[index];
        let tick = |inside: f64| tick(at + inside);
        // Where a measure is longer than its metre, it has one of its own.
        let own = bar.meter.filter(|_| bar.odd && bar.length > bar.meter.unwrap_or_default().beats_per_bar() * quarter);
        let now = own.map_or(bar.meter, |_| fitting(bar.length / quarter).or(bar.meter));
        if let Some(new) = now.filter(|new| meter != Some(*new) || odd) {
            meters.push((tick(0.0)?, new));
        }
        (meter, odd) = (now, bar.odd);
        let jumped = before.is_some_and(|before: usize| before + 1 != index);
        before = Some(index);
        // A jump brings back what was in force at its goal.
        if jumped {
            if let Some(&(sharps, minor)) = keys_of.get(&index).filter(|it| Some(**it) != key) {
                score.keys.push(KeyChange { at: tick(0.0)?, sharps, minor });
                key = Some((sharps, minor));
            }
            if let Some(&bpm) = tempo_of.get(&index).filter(|it| Some(**it) != tempo) {
                tempos.push((tick(0.0)?, microseconds(bpm)));
                tempo = Some(bpm);
            }
        } else {
            key.map(|key| keys_of.entry(index).or_insert(key));
            tempo.map(|tempo| tempo_of.entry(index).or_insert(tempo));
        }
        for (inside, (sharps, minor)) in keyed.and_then(|part| part.get(index)).iter().flat_map(|it| &it.keys) {
            let again = jumped && key == Some((*sharps, *minor));
            if !again {
                score.keys.push(KeyChange { at: tick(*inside)?, sharps: *sharps, minor: *minor });
            }
            key = Some((*sharps, *minor));
        }
        for (inside, bpm) in parts.iter().filter_map(|part| part.get(index)).flat_map(|it| &it.tempos) {
            tempos.push((tick(*inside)?, microseconds(*bpm)));
            tempo = Some(*bpm);
        }
        for (inside, chord) in chorded.and_then(|part| part.get(index)).iter().flat_map(|it| &it.chords) {
            score.chords.push(ChordChange { at: tick(*inside)?, chord: chord.clone() });
        }
        at += bar.length;
    }
    score.keys.sort_by_key(|key| key.at);
    score.chords.sort_by_key(|chord| chord.at);
    score.meters = MeterMap::new(meters);
    score.tempos = TempoMap::new(tempos);
    Ok(starts)
}

fn microseconds(bpm: f64) -> u32 {
    (60e6 / bpm).round() as u32
}

/// The nearest tick.
fn tick(at: f64) -> Result<Tick> {
    let rounded = at.round();
    if rounded > f64::from(u32::MAX / 2) {
        return Err(Error::MusicXml("the piece is longer than 2147483647 ticks".into()));
    }
    Ok(Tick(rounded as u32))
}

/// A metre of so many quarters, if there is one.
fn fitting(quarters: f64) -> Option<Meter> {
    [4u8, 8, 16, 32, 64].into_iter().find_map(|denominator| {
        let numerator = quarters * f64::from(denominator) / 4.0;
        let whole = numerator.round();
        let fits = (numerator - whole).abs() < 1e-6 && (1.0..=255.0).contains(&whole);
        fits.then_some(Meter { numerator: whole as u8, denominator })
    })
}

/// The notes of a part as they are played, ties merged.
fn notes(measures: &[Measure], order: &[usize], starts: &[f64]) -> Result<Vec<Note>> {
    let mut notes: Vec<Note> = Vec::new();
    // Notes that go on: by pitch, `(voice, index, end in ticks)`.
    let mut open: BTreeMap<u8, Vec<(u32, usize, f64)>> = BTreeMap::new();
    for (&index, &start) in order.iter().zip(starts) {
        let Some(measure) = measures.get(index) else { continue };
        let mut tones: Vec<&Tone> = measure.tones.iter().collect();
        tones.sort_by(|a, b| a.onset.total_cmp(&b.onset));
        for tone in tones {
            let (onset, end) = (start + tone.onset, start + tone.onset + tone.length);
            let waiting = open.entry(tone.pitch).or_default();
            let here = |it: &&(u32, usize, f64)| (it.2 - onset).abs() < 1.0;
            let own = waiting.iter().filter(here).find(|it| it.0 == tone.voice).or_else(|| waiting.iter().find(here));
            let from = own.filter(|_| tone.stop).map(|it| it.1);
            let note = match from {
                Some(note) => {
                    waiting.retain(|it| it.1 != note);
                    notes[note].end = tick(end)?;
                    note
                }
                None => {
                    let (pitch, velocity) = (tone.pitch, tone.velocity);
                    notes.push(Note { onset: tick(onset)?, end: tick(end)?, pitch, velocity });
                    notes.len() - 1
                }
            };
            if tone.start {
                // What nothing continued is over.
                waiting.retain(|it| it.2 > onset - 1.0);
                waiting.push((tone.voice, note, end));
            }
        }
    }
    notes.sort_by_key(|note| note.onset);
    Ok(notes)
}
