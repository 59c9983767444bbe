//! Chords of polyphonic music without symbols: what plays on each beat or half bar.
//!
//! Rule-based: every unit of time is compared with the tones of ten kinds of chords on twelve roots, by how long each
//! pitch class sounds and which note is lowest; the Viterbi path through all units changes its chord where that pays
//! off, more readily on strong beats and in the key. What is not in the vocabulary becomes its nearest relative (Cadd9
//! is C, C9 is C7); basses are not said.
//!
//! On POP909 (`examples/chord_accuracy.rs`; melody, bridge and piano, labels by beat) 91.0 % of the beats of the 43
//! validation songs get the root and third of the label, 83.4 % its very kind.

use super::{Chord, ChordKind, Key, NoteName, find_key::find_key_of};
use crate::{ChordChange, Meter, Note, Score, Tick};

/// Kinds that are told apart, and how often they are met.
const KINDS: [(ChordKind, f64); 10] = [
    (ChordKind::Major, 0.36),
    (ChordKind::Minor, 0.22),
    (ChordKind::Dominant, 0.14),
    (ChordKind::MajorSeventh, 0.06),
    (ChordKind::MinorSeventh, 0.12),
    (ChordKind::SuspendedFourth, 0.03),
    (ChordKind::Diminished, 0.012),
    (ChordKind::HalfDiminished, 0.018),
    (ChordKind::DiminishedSeventh, 0.01),
    (ChordKind::Augmented, 0.01),
];
/// 120 chords and none.
const STATES: usize = 12 * KINDS.len() + 1;
const NONE: usize = STATES - 1;

/// How much of what sounds is outside the chord.
const PASSING: f64 = 0.18;
/// How many independent notes a full unit counts for.
const NOTES: f64 = 5.0;
/// The lowest note is the root, third, fifth or seventh of the chord, or none of them.
const BASS: [f64; 5] = [0.72, 0.08, 0.13, 0.04, 0.03];
/// Nats a change costs on the first unit of a bar, in the middle, elsewhere.
const CHANGE: [f64; 3] = [0.6, 1.2, 2.5];
/// Nats for each tone of a chord that is not in the key.
const OUTSIDE: f64 = 0.4;
/// Nats for saying that sounding notes are no chord.
const NO_CHORD: f64 = 1.5;
/// Nats for saying that silence is a chord.
const SILENT: f64 = 0.8;
/// Units that are looked at: a small file can claim endless time.
const MOST_UNITS: usize = 1 << 16;

/// How finely chords may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// A beat of the metre: quarters in 4/4, dotted quarters in 6/8.
    Beat,
    /// Half of 4/4 and 6/8, all of 3/4, 3 + 2 of 5/4.
    #[default]
    HalfBar,
    Bar,
}

/// Where a chord may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    pub at: Tick,
    /// 0 the first of a bar, 1 its middle, 2 the others.
    pub weakness: u8,
}

/// The chords of a score, drums aside, spelled in its key; sorted by tick.
///
/// Only changes are told. The key is the score's first signature or else the one its notes have.
pub fn recognize(score: &Score, unit: Unit) -> Vec<ChordChange> {
    let tracks = score.tracks.iter().filter(|track| !track.is_drums());
    let notes: Vec<Note> = tracks.flat_map(|track| &track.notes).copied().collect();
    let key = score.keys.first().map(|change| Key::from(*change));
    recognize_notes(&notes, &pulses(score, unit), score.end(), key)
}

/// The chords of notes in any order between pulses, which rise in time; the last pulse's unit ends at `end`.
///
/// Without a key the notes' own is taken.
pub fn recognize_notes(notes: &[Note], pulses: &[Pulse], end: Tick, key: Option<Key>) -> Vec<ChordChange> {
    let pulses = &pulses[..pulses.len().min(MOST_UNITS)];
    let key = key.or_else(|| find_key_of(notes).map(|found| found.key)).unwrap_or_default();
    let path = Vocabulary::new(key).best_path(&units(notes, pulses, end), pulses);
    let mut changes: Vec<ChordChange> = Vec::new();
    for (state, pulse) in path.into_iter().zip(pulses) {
        let chord = (state != NONE).then(|| chord(state, key));
        if changes.last().is_none_or(|last| last.chord != chord) {
            changes.push(ChordChange { at: pulse.at, chord });
        }
    }
    changes
}

/// Where the units of a score's bars start, up to its end.
pub fn pulses(score: &Score, unit: Unit) -> Vec<Pulse> {
    let mut pulses = Vec::new();
    for bar in score.meters.bar_starts(score.end(), score.ppq) {
        let (parts, eighths) = parts(score.meters.at(bar), unit);
        let mut into = 0;
        for (index, &part) in parts.iter().enumerate() {
            let middle = index > 0 && 2 * into == parts.iter().sum::<u32>();
            let weakness = if index == 0 { 0 } else { 2 - u8::from(middle || unit == Unit::HalfBar) };
            let at = u64::from(bar.0) + u64::from(into) * u64::from(score.ppq.get()) * 4 / u64::from(eighths);
            let at = Tick(u32::try_from(at).unwrap_or(u32::MAX));
            // A bar that a change of metre cuts short has fewer.
            if pulses.last().is_none_or(|last: &Pulse| last.at < at) {
                pulses.push(Pulse { at, weakness });
            }
            into += part;
        }
        if pulses.len() > MOST_UNITS {
            break;
        }
    }
    pulses
}

/// A bar's units in parts of the denominator, which comes second.
fn parts(meter: Meter, unit: Unit) -> (Vec<u32>, u32) {
    let (above, below) = (u32::from(meter.numerator.max(1)), u32::from(meter.denominator.max(1)));
    let compound = below >= 8 && above > 3 && above.is_multiple_of(3);
    let beat = if compound { 3 } else { (below / 4).max(1).min(above) };
    let beats = (above / beat).max(1);
    let parts = match unit {
        Unit::Bar => vec![above],
        Unit::HalfBar if beats < 4 && !compound || beats == 1 || compound && beats == 3 => vec![above],
        Unit::HalfBar => {
            let first = beats.div_ceil(2) * beat;
            vec![first, above - first]
        }
        Unit::Beat => {
            let mut parts = vec![beat; beats as usize];
            // Of 7/8 the last beat is longer.
            parts[beats as usize - 1] += above - beats * beat;
            parts
        }
    };
    (parts, below)
}

/// What sounds in a unit.
#[derive(Clone, Copy, Default)]
struct Sounding {
    /// Share of all that sounds, by pitch class.
    shares: [f64; 12],
    /// `[0, 1]`: how much of the unit anything sounds.
    fullness: f64,
    /// Pitch class of the lowest note that is more than passing.
    bass: Option<u8>,
}

fn units(notes: &[Note], pulses: &[Pulse], end: Tick) -> Vec<Sounding> {
    let mut events: Vec<(Tick, bool, u8)> = Vec::with_capacity(2 * notes.len());
    for note in notes.iter().filter(|note| note.pitch < 128 && note.end > note.onset) {
        events.push((note.onset, true, note.pitch));
        events.push((note.end, false, note.pitch));
    }
    events.sort_unstable();
    let mut events = events.into_iter().peekable();
    let mut active = [0u32; 128];
    let mut now = Tick(0);
    let mut all = Vec::with_capacity(pulses.len());
    let ends = pulses.iter().skip(1).map(|pulse| pulse.at).chain([end]);
    for (pulse, to) in pulses.iter().zip(ends) {
        // Ticks that each pitch sounds, and that anything does.
        let (mut ticks, mut any) = ([0u64; 128], 0u64);
        loop {
            let until = events.peek().map_or(to, |event| event.0).min(to);
            let from = now.max(pulse.at);
            if until > from {
                let passed = u64::from(until.0 - from.0);
                let mut sounds = false;
                for (ticks, count) in ticks.iter_mut().zip(&active) {
                    *ticks += passed * u64::from((*count).min(1));
                    sounds |= *count > 0;
                }
                any += passed * u64::from(sounds);
            }
            now = now.max(until);
            match events.next_if(|event| event.0 < to) {
                Some((_, true, pitch)) => active[usize::from(pitch)] += 1,
                Some((_, false, pitch)) => {
                    active[usize::from(pitch)] -= 1;
                }
                None => break,
            }
        }
        let length = u64::from(to.0.saturating_sub(pulse.at.0)).max(1);
        let lowest = ticks.iter().position(|&ticks| ticks * 5 >= length || ticks * 3 > any && ticks > 0);
        let total: u64 = ticks.iter().sum();
        let mut sounding = Sounding {
            fullness: any as f64 / length as f64,
            bass: lowest.map(|pitch| (pitch % 12) as u8),
            ..Sounding::default()
        };
        for (pitch, ticks) in ticks.iter().enumerate().filter(|(_, ticks)| **ticks > 0) {
            sounding.shares[pitch % 12] += *ticks as f64 / total as f64;
        }
        all.push(sounding);
    }
    all
}

/// The chord of a state.
fn chord(state: usize, key: Key) -> Chord {
    let root: NoteName = key.spell((state % 12) as u8);
    Chord::new(root, KINDS[state / 12].0)
}

/// What each state expects to hear.
struct Vocabulary {
    /// Log of the share of each pitch class.
    tones: Vec<[f64; 12]>,
    /// Log of how likely each pitch class is lowest.
    bass: Vec<[f64; 12]>,
    /// Nats for taking it up.
    prior: Vec<f64>,
}

impl Vocabulary {
    fn new(key: Key) -> Vocabulary {
        let scale = key.pitch_classes();
        // Minor has its raised seventh too.
        let scale = if key.is_minor() { scale.with((key.tonic.pitch_class() + 11) % 12) } else { scale };
        let mut all = Vocabulary { tones: Vec::new(), bass: Vec::new(), prior: Vec::new() };
        for state in 0..NONE {
            let (kind, often) = KINDS[state / 12];
            let degrees = Chord::new(NoteName::C, kind).degrees();
            // Roots and thirds are doubled, fifths left out.
            let weights = [1.2, 1.1, 0.9, 0.8];
            let total: f64 = weights[..degrees.len()].iter().sum();
            let mut tones = [PASSING / 12.0; 12];
            let mut bass = [BASS[4] / 12.0; 12];
            let mut outside = 0;
            for (index, (_, semitones)) in degrees.iter().enumerate() {
                let pitch_class = (state + usize::from(*semitones)) % 12;
                tones[pitch_class] += (1.0 - PASSING) * weights[index] / total;
                bass[pitch_class] += BASS[index];
                outside += u8::from(!scale.contains(pitch_class as u8));
            }
            all.tones.push(tones.map(f64::ln));
            all.bass.push(bass.map(f64::ln));
            all.prior.push(often.ln() - OUTSIDE * f64::from(outside));
        }
        all.tones.push([(1.0f64 / 12.0).ln(); 12]);
        all.bass.push([(1.0f64 / 12.0).ln(); 12]);
        all.prior.push(-NO_CHORD);
        all
    }

    fn fit(&self, state: usize, heard: &Sounding) -> f64 {
        if heard.fullness == 0.0 {
            return if state == NONE { 0.0 } else { -SILENT };
        }
        let tones: f64 = heard.shares.iter().zip(&self.tones[state]).map(|(share, log)| share * log).sum();
        let bass = heard.bass.map_or(0.0, |bass| self.bass[state][usize::from(bass)]);
        let none = if state == NONE { NO_CHORD } else { 0.0 };
        NOTES * heard.fullness.sqrt() * tones + bass - none
    }

    /// The states of the units, one each.
    fn best_path(&self, units: &[Sounding], pulses: &[Pulse]) -> Vec<usize> {
        let mut scores = self.prior.clone();
        let mut from: Vec<[u8; STATES]> = Vec::with_capacity(units.len());
        for (index, (heard, pulse)) in units.iter().zip(pulses).enumerate() {
            let mut back = [0u8; STATES];
            let best =
                (0..STATES).fold(0, |best, state| if scores[state] > scores[best] { state } else { best });
            let change = scores[best] - CHANGE[usize::from(pulse.weakness.min(2))];
            for state in 0..STATES {
                let fresh = change + self.prior[state];
                let stays = index == 0 || scores[state] >= fresh;
                back[state] = if stays { state as u8 } else { best as u8 };
                scores[state] = if stays { scores[state] } else { fresh } + self.fit(state, heard);
            }
            from.push(back);
        }
        let mut state =
            (0..STATES).fold(0, |best, state| if scores[state] > scores[best] { state } else { best });
        let mut path = vec![NONE; units.len()];
        for (place, back) in path.iter_mut().zip(&from).rev() {
            *place = state;
            state = usize::from(back[state]);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        MeterMap, Track,
        harmony::{Progression, symbol},
    };

    const BEAT: u32 = 480;

    /// A bass note and close chords, struck every beat, with a passing melody over them.
    fn played(text: &str, meter: Meter) -> Score {
        let progression = Progression::parse(text, meter).expect("chords");
        let mut notes = Vec::new();
        let mut add = |onset: f64, length: f64, pitch: u8| {
            let tick = |beats: f64| Tick((beats * f64::from(BEAT)).round() as u32);
            notes.push(Note { onset: tick(onset), end: tick(onset + length), pitch, velocity: 80 });
        };
        for span in &progression.spans {
            let Some(chord) = &span.chord else { continue };
            add(span.start.0, span.length.0, 36 + chord.bass().pitch_class());
            let tones: Vec<u8> = chord.pitch_classes().iter().collect();
            for beat in 0..span.length.0 as u32 {
                let at = span.start.0 + f64::from(beat);
                for tone in &tones {
                    add(at, 0.9, 60 + tone);
                }
                // A neighbour of a chord tone before every beat.
                add(at, 0.75, 72 + tones[beat as usize % tones.len()]);
                add(at + 0.75, 0.25, 74 + tones[beat as usize % tones.len()]);
            }
        }
        notes.sort_by_key(|note| note.onset);
        let tracks = vec![Track { notes, ..Track::default() }];
        Score { meters: MeterMap::constant(meter), tracks, ..Score::default() }
    }

    fn check(text: &str, meter: Meter, unit: Unit, found: &str) {
        let changes = recognize(&played(text, meter), unit);
        let texts: Vec<_> = changes
            .iter()
            .map(|change| format!("{}@{}", symbol(change.chord.as_ref()), change.at.0 / BEAT))
            .collect();
        assert_eq!(texts.join(" "), found, "{text}");
    }

    #[test]
    fn chords_are_found_where_they_are() {
        let four = Meter::COMMON;
        check("C Am F G7", four, Unit::HalfBar, "C@0 Am@4 F@8 G7@12");
        check("Dm7 G7 | Cmaj7", four, Unit::HalfBar, "Dm7@0 G7@2 Cmaj7@4");
        check(
            "Bbmaj7 | Cm7 F7 | Bb Gm | Em7b5 A7 | Dm",
            four,
            Unit::HalfBar,
            "Bbmaj7@0 Cm7@4 F7@6 Bb@8 Gm@10 Em7b5@12 A7@14 Dm@16",
        );
        check("Am E7 Am Dm", Meter { numerator: 3, denominator: 4 }, Unit::HalfBar, "Am@0 E7@3 Am@6 Dm@9");
        check("C:1 F:1 G:1 C:1 Am:1 Dm:1 G:1 C:1", four, Unit::Beat, "C@0 F@1 G@2 C@3 Am@4 Dm@5 G@6 C@7");
        check("C/E F | G/B C", four, Unit::HalfBar, "C@0 F@2 G@4 C@6");
        check("Gsus4 G Bdim C Caug F", four, Unit::HalfBar, "Gsus4@0 G@4 Bdim@8 C@12 Caug@16 F@20");
    }

    #[test]
    fn silence_is_no_chord_only_when_it_lasts() {
        check("C N.C. N.C. N.C. G G G", Meter::COMMON, Unit::HalfBar, "C@0 N.C.@4 G@16");
        assert_eq!(recognize(&Score::default(), Unit::Beat), []);
    }

    #[test]
    fn roots_are_spelled_in_the_key() {
        let mut score = played("F# G#m C#7 F#", Meter::COMMON);
        let names = |score: &Score| {
            let found = recognize(score, Unit::Bar);
            found.iter().map(|it| symbol(it.chord.as_ref())).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&score), "F# G#m C#7 F#");
        score.keys = vec![Key::from_signature(-6, false).change(Tick(0))];
        assert_eq!(names(&score), "Gb Abm Db7 Gb");
    }

    #[test]
    fn units_follow_the_metre() {
        let check = |above, below, unit, parts: &[u32]| {
            let meter = Meter { numerator: above, denominator: below };
            assert_eq!(super::parts(meter, unit), (parts.to_vec(), u32::from(below)), "{meter} {unit:?}");
        };
        check(4, 4, Unit::Beat, &[1, 1, 1, 1]);
        check(4, 4, Unit::HalfBar, &[2, 2]);
        check(3, 4, Unit::HalfBar, &[3]);
        check(5, 4, Unit::HalfBar, &[3, 2]);
        check(6, 8, Unit::Beat, &[3, 3]);
        check(6, 8, Unit::HalfBar, &[3, 3]);
        check(12, 8, Unit::HalfBar, &[6, 6]);
        check(9, 8, Unit::HalfBar, &[9]);
        check(7, 8, Unit::Beat, &[2, 2, 3]);
        check(2, 2, Unit::Beat, &[1, 1]);
        check(1, 16, Unit::Beat, &[1]);
        for above in 0..=255 {
            for below in [0, 1, 2, 4, 8, 16, 32, 64, 128] {
                for unit in [Unit::Beat, Unit::HalfBar, Unit::Bar] {
                    let meter = Meter { numerator: above, denominator: below };
                    let parts = super::parts(meter, unit).0;
                    assert_eq!(parts.iter().sum::<u32>(), u32::from(above.max(1)), "{meter} {unit:?}");
                    assert!(parts.iter().all(|&part| part > 0), "{meter} {unit:?}");
                }
            }
        }
    }

    #[test]
    fn endless_files_take_bounded_work() {
        let note = |pitch| Note { onset: Tick(0), end: Tick(u32::MAX), pitch, velocity: 1 };
        let tracks = vec![Track { notes: vec![note(60), note(64), note(67), note(200)], ..Track::default() }];
        let meters = MeterMap::constant(Meter { numerator: 1, denominator: 128 });
        let changes = recognize(&Score { tracks, meters, ..Score::default() }, Unit::Beat);
        assert_eq!(changes.len(), 1);
        assert_eq!(symbol(changes[0].chord.as_ref()), "C");
    }
}
