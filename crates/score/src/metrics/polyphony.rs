//! MusPy's metrics of how much sounds at once. Drums count for the length alone.
//!
//! Source: muspy 0.5.0, `muspy.metrics`: a piano roll, one column a tick. Here only the ticks at which something changes
//! are looked at, so that a file may be billions of ticks long.

use super::pitches::pitched;
use super::rhythm::length;
use crate::Score;

/// Pitches that sound at once, on average over the ticks at which any does; `None` if none ever does.
pub fn polyphony(score: &Score) -> Option<f64> {
    let spans = spans(score);
    let ticks: u64 = spans.iter().map(|(ticks, _)| ticks).sum();
    let sounding: u64 = spans.iter().map(|(ticks, pitches)| ticks * u64::from(*pitches)).sum();
    (ticks > 0).then(|| sounding as f64 / ticks as f64)
}

/// Share of all ticks at which more than `threshold` pitches sound (MusPy's default is 2, so three); `None` for a piece
/// without length.
pub fn polyphony_rate(score: &Score, threshold: u32) -> Option<f64> {
    let length = length(score);
    let many = spans(score).into_iter().filter(|(_, pitches)| *pitches > threshold);
    let ticks: u64 = many.map(|(ticks, _)| ticks).sum();
    (length > 0).then(|| ticks as f64 / f64::from(length))
}

/// Stretches of ticks at which something sounds: how long, and how many pitches. A pitch counts once, however many
/// notes play it.
fn spans(score: &Score) -> Vec<(u64, u32)> {
    let mut notes: Vec<(u8, u32, u32)> = pitched(score)
        .filter(|note| note.end > note.onset)
        .map(|note| (note.pitch, note.onset.0, note.end.0))
        .collect();
    notes.sort_unstable();
    // Notes of one pitch that overlap or touch are one.
    notes.dedup_by(|next, last| {
        let same = next.0 == last.0 && next.1 <= last.2;
        if same {
            last.2 = last.2.max(next.2);
        }
        same
    });
    let edges = notes.iter().flat_map(|&(_, onset, end)| [(onset, 1), (end, -1)]);
    let mut edges: Vec<(u32, i32)> = edges.collect();
    edges.sort_unstable();
    let (mut sounding, mut spans) = (0, Vec::new());
    for pair in edges.windows(2) {
        sounding += pair[0].1;
        if sounding > 0 {
            spans.push((u64::from(pair[1].0 - pair[0].0), sounding as u32));
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Note, Tick, Track};

    fn score(notes: &[(u32, u32, u8)]) -> Score {
        let note = |&(onset, end, pitch): &(u32, u32, u8)| Note {
            onset: Tick(onset),
            end: Tick(end),
            pitch,
            velocity: 80,
        };
        let notes = notes.iter().map(note).collect();
        Score { tracks: vec![Track { notes, ..Track::default() }], ..Score::default() }
    }

    #[test]
    fn a_pitch_counts_once_at_a_time_and_silence_does_not() {
        let chord = score(&[(0, 10, 60), (0, 10, 64), (5, 10, 60), (20, 30, 67)]);
        assert_eq!(polyphony(&chord), Some(1.5));
        let triad = score(&[(0, 10, 60), (0, 10, 64), (0, 5, 67), (10, 20, 60)]);
        assert_eq!((polyphony_rate(&triad, 2), polyphony_rate(&triad, 1)), (Some(0.25), Some(0.5)));
    }

    #[test]
    fn the_longest_file_is_no_longer_to_count_than_another() {
        let long = score(&[(0, u32::MAX, 60), (1, u32::MAX, 61)]);
        assert!((polyphony(&long).expect("it sounds") - 2.0).abs() < 1e-9);
        assert_eq!((polyphony(&score(&[(3, 3, 60)])), polyphony_rate(&score(&[]), 2)), (None, None));
    }
}
