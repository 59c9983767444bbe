//! Chords as a keyboard plays them: a bass in the left hand, three or four tones in the right.
//!
//! Rule-based, no model. Which tones: of triads all three; of larger chords the third (or what stands for it), the
//! seventh or sixth, what is altered or added, then the fifth, then the root, up to four. A natural eleventh over a
//! major third clashes with it: of such chords the third is left out if the kind is an eleventh, the eleventh if it is a
//! thirteenth. Where: of all placements in [`UPPER`] the one nearest to the chord before, in total movement, that is
//! neither muddy, nor clustered, nor far from the middle of the range.

use super::{Chord, ChordKind, Progression};
use crate::{Beat, ChordChange, Note, Ppq, Tick, Track};
use std::ops::RangeInclusive;

/// Name of the track that holds the harmony; its texts in a MIDI file are chord symbols.
pub const CHORDS_TRACK: &str = "chords";
/// Pitches of the bass.
pub const BASS: RangeInclusive<u8> = 36..=55;
/// Pitches of the right hand.
pub const UPPER: RangeInclusive<u8> = 48..=72;
/// What basses stay around, G2.
const BASS_START: u8 = 43;
/// The middle of the right hand.
const MIDDLE: i32 = 61;
const VELOCITY: u8 = 72;

/// A chord's pitches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Voicing {
    /// In [`BASS`], below the others.
    pub bass: u8,
    /// In [`UPPER`], rising, one to four.
    pub upper: Vec<u8>,
}

impl Voicing {
    /// Of a chord after another one, or first.
    ///
    /// ```
    /// use partita_score::harmony::Voicing;
    /// let first = Voicing::of(&"C".parse().unwrap(), None);
    /// let second = Voicing::of(&"F".parse().unwrap(), Some(&first));
    /// assert_eq!((first.upper, second.upper), (vec![55, 60, 64], vec![57, 60, 65]));
    /// ```
    pub fn of(chord: &Chord, before: Option<&Voicing>) -> Voicing {
        let from = before.map_or(BASS_START, |before| before.bass);
        let basses = BASS.filter(|pitch| pitch % 12 == chord.bass().pitch_class());
        // Near the one before, yet not away to the top of the range; of two equals the lower.
        let bass = basses.min_by_key(|pitch| (pitch.abs_diff(from) + pitch.abs_diff(BASS_START), *pitch));
        let bass = bass.expect("the range has every pitch class");
        let classes = upper_tones(chord);
        let mut best: Option<(i32, Vec<u8>)> = None;
        place(&classes, &mut Vec::new(), &mut |pitches| {
            let mut upper = pitches.to_vec();
            upper.sort_unstable();
            let cost = cost(&upper, bass, before);
            if best.as_ref().is_none_or(|(least, held)| (cost, &upper) < (*least, held)) {
                best = Some((cost, upper));
            }
        });
        Voicing { bass, upper: best.map_or_else(Vec::new, |(_, upper)| upper) }
    }

    /// From the bass up.
    pub fn pitches(&self) -> impl Iterator<Item = u8> {
        std::iter::once(self.bass).chain(self.upper.iter().copied())
    }
}

/// Voicings of chords one after another; rests keep the hand where it is.
pub fn voice<'a>(chords: impl IntoIterator<Item = Option<&'a Chord>>) -> Vec<Option<Voicing>> {
    let mut before: Option<Voicing> = None;
    let voiced = chords.into_iter().map(|chord| {
        let voicing = Voicing::of(chord?, before.as_ref());
        before = Some(voicing.clone());
        Some(voicing)
    });
    voiced.collect()
}

/// A track that holds every chord until the next, the last one until `end`; its name is [`CHORDS_TRACK`].
///
/// Acoustic piano (program 0) on `channel`, `0..16`.
pub fn chords_track(changes: &[ChordChange], end: Tick, channel: u8) -> Track {
    let voicings = voice(changes.iter().map(|change| change.chord.as_ref()));
    let ends = changes.iter().skip(1).map(|change| change.at).chain([end]);
    let mut notes = Vec::new();
    for ((change, until), voicing) in changes.iter().zip(ends).zip(voicings) {
        for pitch in voicing.iter().flat_map(Voicing::pitches).filter(|_| until > change.at) {
            notes.push(Note { onset: change.at, end: until, pitch, velocity: VELOCITY });
        }
    }
    Track { name: CHORDS_TRACK.into(), channel, notes, ..Track::default() }
}

impl Progression {
    /// As a track, see [`chords_track`].
    pub fn track(&self, ppq: Ppq, channel: u8) -> Track {
        let Beat(end) = self.length();
        chords_track(&self.changes(ppq), Beat(end).ticks(ppq), channel)
    }
}

/// Pitch classes of the right hand, the most needed first.
fn upper_tones(chord: &Chord) -> Vec<u8> {
    let degrees = chord.degrees();
    let has = |value: u8, semitones: u8| degrees.contains(&(value, semitones));
    let clash = has(3, 4) && has(11, 17);
    let thirteenth = matches!(chord.kind, ChordKind::Dominant13th | ChordKind::Major13th);
    let rank = |(value, semitones): (u8, u8)| match value {
        3 if clash && !thirteenth => 9,
        11 if clash && thirteenth => 9,
        3 => 0,
        7 => 1,
        // What makes the chord's colour: 13 says more than the 9 below it.
        13 => 2,
        2 | 4 | 6 => 2,
        9 | 11 => 3,
        5 if semitones != 7 => 2,
        5 => 5,
        _ => 6,
    };
    let mut ranked: Vec<(i32, u8)> =
        degrees.iter().map(|&tone| (rank(tone), (chord.root.pitch_class() + tone.1) % 12)).collect();
    ranked.retain(|(rank, _)| *rank < 9);
    ranked.sort_by_key(|(rank, _)| *rank);
    let most = if degrees.len() > 3 { 4 } else { 3 };
    let mut classes: Vec<u8> = Vec::new();
    for (_, class) in ranked {
        if classes.len() < most && !classes.contains(&class) {
            classes.push(class);
        }
    }
    classes
}

/// Calls `tell` with every way to put `classes` into the range.
fn place(classes: &[u8], chosen: &mut Vec<u8>, tell: &mut dyn FnMut(&[u8])) {
    let Some((class, rest)) = classes.split_first() else {
        if !chosen.is_empty() {
            tell(chosen);
        }
        return;
    };
    for pitch in UPPER.filter(|pitch| pitch % 12 == *class) {
        chosen.push(pitch);
        place(rest, chosen, tell);
        chosen.pop();
    }
}

/// What speaks against a placement; rising pitches, at least one.
fn cost(upper: &[u8], bass: u8, before: Option<&Voicing>) -> i32 {
    let (low, high) = (i32::from(upper[0]), i32::from(upper[upper.len() - 1]));
    let mut cost = 0;
    // A hand spans an octave and a bit.
    cost += 20 * (high - low - 14).max(0);
    if low <= i32::from(bass) {
        cost += 100;
    }
    for (index, pair) in upper.windows(2).enumerate() {
        let gap = pair[1] - pair[0];
        if gap == 1 {
            // Nowhere worse than under the melody.
            cost += if index + 2 == upper.len() { 12 } else { 4 };
        }
        if gap < 3 && pair[0] < 53 {
            cost += 6;
        }
    }
    let mean = upper.iter().map(|pitch| i32::from(*pitch)).sum::<i32>() / upper.len() as i32;
    cost += (mean - MIDDLE).abs();
    let Some(before) = before.filter(|before| !before.upper.is_empty()) else { return cost };
    // Each tone from the nearest of the chord before, and back, so that chords of three and four compare.
    let nearest = |pitch: u8, among: &[u8]| {
        among.iter().map(|other| i32::from(other.abs_diff(pitch))).min().unwrap_or(0)
    };
    let there: i32 = upper.iter().map(|pitch| nearest(*pitch, &before.upper)).sum();
    let back: i32 = before.upper.iter().map(|pitch| nearest(*pitch, upper)).sum();
    let top = before.upper.last().map_or(0, |top| (high - i32::from(*top)).abs());
    // Hands that go the same way sound like one chord pushed around.
    let direction = |to: u8, from: u8| (i32::from(to) - i32::from(from)).signum();
    let same = direction(bass, before.bass);
    let parallel =
        same != 0 && upper.iter().zip(&before.upper).all(|(to, from)| direction(*to, *from) == same);
    cost + 2 * (there + back) + 2 * top + if parallel { 8 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Meter, harmony::PitchClasses};

    fn voiced(text: &str) -> Vec<Voicing> {
        let progression = Progression::parse(text, Meter::COMMON).expect("chords");
        voice(progression.spans.iter().map(|span| span.chord.as_ref())).into_iter().flatten().collect()
    }

    #[test]
    fn chords_lead_smoothly() {
        let check = |text: &str, expected: &[(u8, &[u8])]| {
            let found = voiced(text);
            let found: Vec<(u8, &[u8])> = found.iter().map(|it| (it.bass, it.upper.as_slice())).collect();
            assert_eq!(found, expected, "{text}");
        };
        check(
            "C F G C",
            &[(48, &[55, 60, 64]), (41, &[57, 60, 65]), (43, &[55, 59, 62]), (48, &[55, 60, 64])],
        );
        check("C/E F", &[(40, &[55, 60, 64]), (41, &[57, 60, 65])]);
    }

    #[test]
    fn every_chord_fits_the_ranges_and_is_itself() {
        let suffixes = [
            "", "m", "aug", "dim", "7", "maj7", "m7", "dim7", "m7b5", "m(maj7)", "6", "m6", "9", "maj9",
            "m9", "11", "maj11", "m11", "13", "maj13", "m13", "sus2", "sus4", "5", "7alt", "6/9", "add9",
            "7b9#11", "no3", "9sus4",
        ];
        let mut before: Option<Voicing> = None;
        for root in ["C", "F#", "Bb", "E", "Ab", "D", "G", "Db", "B", "A", "Eb", "F"] {
            for suffix in suffixes {
                let chord: Chord = format!("{root}{suffix}").parse().expect("a chord");
                let voicing = Voicing::of(&chord, before.as_ref());
                assert!(
                    BASS.contains(&voicing.bass) && voicing.upper.iter().all(|pitch| UPPER.contains(pitch))
                );
                assert!(voicing.upper.is_sorted_by(|a, b| a < b), "{chord}: {voicing:?}");
                assert!(voicing.bass < voicing.upper[0], "{chord}: {voicing:?}");
                let played: PitchClasses = voicing.pitches().collect();
                assert!(played.is_subset(chord.pitch_classes()), "{chord}: {voicing:?}");
                let most = chord.pitch_classes().len();
                assert!(played.len() >= most.min(4), "{chord}: {voicing:?}");
                before = Some(voicing);
            }
        }
    }

    #[test]
    fn the_top_moves_by_a_third_or_less_in_common_progressions() {
        for text in
            ["C Am F G", "Dm7 G7 Cmaj7 A7", "Am G F E7", "Cm7 F7 Bbmaj7 Ebmaj7 Am7b5 D7 Gm", "E B C#m A"]
        {
            let all = voiced(&format!("{text} {text} {text}"));
            for pair in all.windows(2) {
                let top = |voicing: &Voicing| voicing.upper[voicing.upper.len() - 1];
                assert!(top(&pair[0]).abs_diff(top(&pair[1])) <= 4, "{text}: {pair:?}");
            }
        }
    }

    #[test]
    fn the_color_of_a_chord_is_played() {
        let check = |text: &str, needed: &[u8], missing: &[u8]| {
            let voicing = Voicing::of(&text.parse().expect("a chord"), None);
            let played: PitchClasses = voicing.upper.iter().copied().collect();
            assert!(needed.iter().all(|it| played.contains(*it)), "{text}: {voicing:?}");
            assert!(!missing.iter().any(|it| played.contains(*it)), "{text}: {voicing:?}");
        };
        check("C13", &[4, 10, 9], &[5]);
        check("C11", &[10, 5], &[4]);
        check("C7b9", &[4, 10, 1], &[]);
        check("C7alt", &[4, 10], &[7]);
        check("Cm11", &[3, 10, 5], &[]);
        check("Cm7b5", &[3, 10, 6], &[]);
    }

    #[test]
    fn a_track_holds_each_chord_until_the_next() {
        let progression = Progression::parse("C N.C. | F", Meter::COMMON).expect("chords");
        let track = progression.track(Ppq::DEFAULT, 3);
        assert_eq!((track.name.as_str(), track.channel), ("chords", 3));
        let mut times: Vec<_> = track.notes.iter().map(|note| (note.onset.0, note.end.0)).collect();
        times.dedup();
        assert_eq!(times, [(0, 960), (1920, 3840)]);
        assert_eq!(chords_track(&[], Tick(9), 0).notes, []);
        let late = ChordChange { at: Tick(10), chord: "C".parse().ok() };
        assert_eq!(chords_track(&[late], Tick(10), 0).notes, []);
    }
}
