//! MusPy's metrics of pitches. Drums never count.
//!
//! Source: muspy 0.5.0, `muspy.metrics`.

use crate::{Note, Score};

/// All notes that are no drums.
pub(super) fn pitched(score: &Score) -> impl Iterator<Item = &Note> {
    score.tracks.iter().filter(|track| !track.is_drums()).flat_map(|track| &track.notes)
}

/// How often each of `N` values comes.
fn histogram<const N: usize>(values: impl Iterator<Item = usize>) -> [u32; N] {
    let mut counts = [0; N];
    values.for_each(|value| counts[value % N] += 1);
    counts
}

fn pitch_counts(score: &Score) -> [u32; 128] {
    histogram(pitched(score).map(|note| usize::from(note.pitch)))
}

fn class_counts(score: &Score) -> [u32; 12] {
    histogram(pitched(score).map(|note| usize::from(note.pitch)))
}

/// Semitones from the lowest pitch to the highest; `None` without notes.
pub fn pitch_range(score: &Score) -> Option<u8> {
    let pitches = || pitched(score).map(|note| note.pitch);
    Some(pitches().max()? - pitches().min()?)
}

/// How many different pitches there are.
pub fn n_pitches_used(score: &Score) -> usize {
    pitch_counts(score).iter().filter(|count| **count > 0).count()
}

/// How many different pitch classes there are.
pub fn n_pitch_classes_used(score: &Score) -> usize {
    class_counts(score).iter().filter(|count| **count > 0).count()
}

/// Shannon entropy of the pitches, in bits; `None` without notes.
pub fn pitch_entropy(score: &Score) -> Option<f64> {
    entropy(&pitch_counts(score))
}

/// Shannon entropy of the pitch classes, in bits; `None` without notes.
pub fn pitch_class_entropy(score: &Score) -> Option<f64> {
    entropy(&class_counts(score))
}

fn entropy(counts: &[u32]) -> Option<f64> {
    let total: u32 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let share = |count: &u32| f64::from(*count) / f64::from(total);
    let sum: f64 = counts.iter().filter(|count| **count > 0).map(share).map(|p| p * p.log2()).sum();
    // Not -0 for a single pitch.
    Some(0.0 - sum)
}

/// Pitch classes of C major and C natural minor, a bit each.
const SCALES: [u16; 2] = [0b1010_1011_0101, 0b0101_1010_1101];

/// Share of notes in the major or natural minor scale on `root` (a pitch class, C = 0); `None` without notes.
pub fn pitch_in_scale_rate(score: &Score, root: u8, minor: bool) -> Option<f64> {
    in_scale(&class_counts(score), usize::from(root), minor)
}

fn in_scale(counts: &[u32; 12], root: usize, minor: bool) -> Option<f64> {
    let scale = SCALES[usize::from(minor)];
    let degrees = (0..12).filter(|degree| scale >> degree & 1 == 1);
    let inside: u32 = degrees.map(|degree| counts[(root + degree) % 12]).sum();
    let total: u32 = counts.iter().sum();
    (total > 0).then(|| f64::from(inside) / f64::from(total))
}

/// The largest [`pitch_in_scale_rate`] of all major and natural minor scales; `None` without notes.
pub fn scale_consistency(score: &Score) -> Option<f64> {
    let counts = class_counts(score);
    let rates = (0..12).flat_map(|root| [false, true].map(|minor| in_scale(&counts, root, minor)));
    rates.flatten().max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tick, Track};

    pub fn line(pitches: &[u8]) -> Score {
        let note = |(at, pitch): (u32, &u8)| Note {
            onset: Tick(at * 480),
            end: Tick(at * 480 + 480),
            pitch: *pitch,
            velocity: 80,
        };
        let notes = (0..).zip(pitches).map(note).collect();
        Score { tracks: vec![Track { notes, ..Track::default() }], ..Score::default() }
    }

    #[test]
    fn a_scale_is_all_of_its_own_and_part_of_its_neighbours() {
        let g_major = line(&[67, 69, 71, 72, 74, 76, 78, 79]);
        assert_eq!(pitch_in_scale_rate(&g_major, 7, false), Some(1.0));
        assert_eq!(pitch_in_scale_rate(&g_major, 4, true), Some(1.0));
        assert_eq!(pitch_in_scale_rate(&g_major, 0, false), Some(7.0 / 8.0));
        assert_eq!(scale_consistency(&line(&[60, 61, 62])), Some(2.0 / 3.0));
    }

    #[test]
    fn entropy_counts_bits() {
        assert_eq!(pitch_entropy(&line(&[60, 62, 64, 72])), Some(2.0));
        assert_eq!(pitch_class_entropy(&line(&[60, 72])).map(f64::to_bits), Some(0f64.to_bits()));
        assert_eq!((n_pitches_used(&line(&[60, 72])), n_pitch_classes_used(&line(&[60, 72]))), (2, 1));
    }

    #[test]
    fn drums_have_no_pitch() {
        let mut drums = line(&[36, 38]);
        drums.tracks[0].channel = 9;
        assert_eq!((pitch_range(&drums), n_pitches_used(&drums), pitch_entropy(&drums)), (None, 0, None));
    }
}
