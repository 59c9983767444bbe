//! MusPy's metrics of beats, measures and drums.
//!
//! Source: muspy 0.5.0, `muspy.metrics`. As there, the tick at which a note ends still counts for its beat, a piece has
//! one beat and one measure more than fit, and all measures are as long as the first.

use super::pitches;
use crate::{ControlKind, Note, Score, Tick};

/// Ticks up to the end of the last note or control change, which is what MusPy takes for the end of a file.
pub(super) fn length(score: &Score) -> u32 {
    let changes = score.tracks.iter().flat_map(|track| &track.controls);
    let changes = changes.filter(|control| matches!(control.kind, ControlKind::ControlChange { .. }));
    changes.map(|control| control.at.0).max().unwrap_or(0).max(score.end().0)
}

/// Ticks of the first measure; `None` if they are no whole number above 0.
pub fn measure_ticks(score: &Score) -> Option<u32> {
    let meter = score.meters.at(Tick(0));
    let (numerator, denominator) = (u32::from(meter.numerator), u32::from(meter.denominator));
    let quarters = u32::from(score.ppq.get()) * 4 * numerator;
    (quarters > 0 && quarters.checked_rem(denominator)? == 0).then(|| quarters / denominator)
}

fn notes(score: &Score) -> impl Iterator<Item = &Note> {
    score.tracks.iter().flat_map(|track| &track.notes)
}

/// Share of quarter notes in which nothing sounds; `None` for a piece without length.
pub fn empty_beat_rate(score: &Score) -> Option<f64> {
    empty_rate(score, u32::from(score.ppq.get()))
}

/// Share of measures of `measure` ticks in which nothing sounds; `None` for a piece, or measures, without length.
pub fn empty_measure_rate(score: &Score, measure: u32) -> Option<f64> {
    (measure > 0).then(|| empty_rate(score, measure))?
}

fn empty_rate(score: &Score, unit: u32) -> Option<f64> {
    let length = length(score);
    if length == 0 {
        return None;
    }
    let mut spans: Vec<(u32, u32)> =
        notes(score).map(|note| (note.onset.0 / unit, note.end.0.max(note.onset.0) / unit)).collect();
    spans.sort_unstable();
    let (mut filled, mut next) = (0u64, 0u64);
    for (first, last) in spans {
        let (first, beyond) = (u64::from(first).max(next), u64::from(last) + 1);
        filled += beyond.saturating_sub(first);
        next = next.max(beyond);
    }
    let units = u64::from(length / unit) + 1;
    Some(1.0 - filled as f64 / units as f64)
}

/// How quarter notes divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Into sixteenths.
    Duple,
    /// Into triplets.
    Triple,
}

/// Share of drum notes that begin on the sixteenths, or triplets, of a quarter; `None` without drums. If these do not
/// fall on ticks, only eighths, or only quarters, count.
pub fn drum_in_pattern_rate(score: &Score, pulse: Pulse) -> Option<f64> {
    let ppq = u32::from(score.ppq.get());
    let parts: &[u32] = match pulse {
        Pulse::Duple => &[4, 2],
        Pulse::Triple => &[3],
    };
    let part = parts.iter().find(|parts| ppq.is_multiple_of(**parts)).map_or(ppq, |parts| ppq / parts);
    let drums = || score.tracks.iter().filter(|track| track.is_drums()).flat_map(|track| &track.notes);
    let inside = drums().filter(|note| (note.onset.0 % ppq).is_multiple_of(part)).count();
    let total = drums().count();
    (total > 0).then(|| inside as f64 / total as f64)
}

/// The larger of the two [`drum_in_pattern_rate`]s; `None` without drums.
pub fn drum_pattern_consistency(score: &Score) -> Option<f64> {
    let rates = [Pulse::Duple, Pulse::Triple].map(|pulse| drum_in_pattern_rate(score, pulse));
    rates.into_iter().flatten().max_by(f64::total_cmp)
}

/// How alike the onsets of neighbouring measures of `measure` ticks are, `[0, 1]`, where ticks without an onset in
/// either are alike too; `None` for fewer than two measures.
pub fn groove_consistency(score: &Score, measure: u32) -> Option<f64> {
    let neighbours = length(score).checked_div(measure)?;
    if neighbours == 0 {
        return None;
    }
    let mut onsets: Vec<u32> = notes(score).map(|note| note.onset.0).collect();
    onsets.sort_unstable();
    onsets.dedup();
    let moved = |onset: &u32| onset.checked_add(measure).is_some_and(|at| onsets.binary_search(&at).is_ok());
    let repeated = onsets.iter().filter(|onset| moved(onset)).count() as u64;
    let inside = |index: u32| onsets.iter().filter(|onset| **onset / measure == index).count() as u64;
    // Of each pair of neighbours the onsets of both, less those they share: all measures come twice but the outer ones.
    let differ = 2 * onsets.len() as u64 - inside(0) - inside(neighbours) - 2 * repeated;
    Some(1.0 - differ as f64 / (f64::from(measure) * f64::from(neighbours)))
}

/// Whether there is a note with a pitch.
pub(super) fn is_silent(score: &Score) -> bool {
    pitches::pitched(score).next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Control, Meter, MeterMap, Ppq, Track};

    fn score(channel: u8, onsets: &[u32]) -> Score {
        let note = |at: &u32| Note { onset: Tick(*at), end: Tick(at + 1), pitch: 36, velocity: 80 };
        let track = Track { channel, notes: onsets.iter().map(note).collect(), ..Track::default() };
        Score { ppq: Ppq::new(12).expect("a valid ppq"), tracks: vec![track], ..Score::default() }
    }

    #[test]
    fn drums_are_in_the_pattern_they_were_written_in() {
        let duple = score(9, &[0, 3, 6, 9, 12]);
        let triple = score(9, &[0, 4, 8, 12]);
        assert_eq!(drum_in_pattern_rate(&duple, Pulse::Duple), Some(1.0));
        assert_eq!(drum_in_pattern_rate(&duple, Pulse::Triple), Some(0.4));
        assert_eq!(drum_in_pattern_rate(&triple, Pulse::Duple), Some(0.5));
        assert_eq!(drum_pattern_consistency(&triple), Some(1.0));
        assert_eq!(drum_pattern_consistency(&score(0, &[0])), None);
    }

    #[test]
    fn the_same_measure_again_is_a_consistent_groove() {
        assert_eq!(groove_consistency(&score(0, &[0, 5, 48, 53]), 48), Some(1.0));
        assert_eq!(groove_consistency(&score(0, &[0, 5, 48, 54]), 48), Some(1.0 - 2.0 / 48.0));
        assert_eq!(groove_consistency(&score(0, &[0, 5]), 48), None);
        assert_eq!(groove_consistency(&score(0, &[0, 60]), 0), None);
    }

    #[test]
    fn a_note_fills_the_beat_it_ends_in_and_a_control_makes_a_piece_longer() {
        let mut piece = score(0, &[0, 30]);
        assert_eq!(empty_beat_rate(&piece), Some(1.0 - 2.0 / 3.0));
        piece.tracks[0].controls =
            vec![Control { at: Tick(48), kind: ControlKind::ControlChange { number: 64, value: 0 } }];
        assert_eq!(empty_beat_rate(&piece), Some(1.0 - 2.0 / 5.0));
        assert_eq!(empty_measure_rate(&piece, 48), Some(0.5));
        piece.tracks[0].notes[0].end = Tick(12);
        assert_eq!(empty_beat_rate(&piece), Some(1.0 - 3.0 / 5.0));
    }

    #[test]
    fn a_measure_has_whole_ticks_or_no_length() {
        let meter = |numerator, denominator| Score {
            ppq: Ppq::new(1).expect("a valid ppq"),
            meters: MeterMap::constant(Meter { numerator, denominator }),
            ..Score::default()
        };
        assert_eq!(measure_ticks(&meter(3, 4)), Some(3));
        assert_eq!([meter(1, 8), meter(0, 4), meter(4, 0)].map(|score| measure_ticks(&score)), [None; 3]);
    }
}
