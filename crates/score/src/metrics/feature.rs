//! The nine features of mgeval: what of a piece is compared.
//!
//! All notes that are no drums count, as if they stood in one track, by onset. Sustain pedals and pitch bends are not
//! heard, and a whole note is always four quarters, whatever the metre.
//!
//! Source: Yang and Lerch 2020, "On the evaluation of generative models in music", section 3, and what mgeval
//! (RichardYang40148/mgeval) and pretty_midi make of it: pitches are seen through a piano roll of columns of 10 ms,
//! weighted by velocity; one pitch class follows another if a note begins within 50 ms of where the other ends.

use super::pitches::pitched;
use crate::{Note, Score, Tick};

/// Columns of the piano roll, a second.
const COLUMNS: f64 = 100.0;
/// Seconds between the end of a note and the onset of one that follows it; less than.
const FOLLOWS: f64 = 0.05;
/// Note values in 96ths of a whole note: whole to sixteenth, the same dotted from the half on, triplets of half to eighth.
const LENGTHS: [f64; 12] = [96.0, 48.0, 24.0, 12.0, 6.0, 72.0, 36.0, 18.0, 9.0, 32.0, 16.0, 8.0];

/// A property of a piece: a number, a histogram or a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// PC: different pitches.
    UsedPitch,
    /// NC: notes.
    UsedNote,
    /// PCH: `[12]`, shares of the sound.
    PitchClassHistogram,
    /// PCTM: `[12, 12]`, how often a pitch class is followed by another.
    PitchClassTransitions,
    /// PR: semitones.
    PitchRange,
    /// PI: mean semitones from note to note, without direction.
    PitchShift,
    /// IOI: mean seconds from onset to onset.
    InterOnset,
    /// NLH: `[12]`, shares of the note values.
    NoteLengthHistogram,
    /// NLTM: `[12, 12]`, how often a note value is followed by another.
    NoteLengthTransitions,
}

impl Feature {
    pub const ALL: [Feature; 9] = [
        Feature::UsedPitch,
        Feature::UsedNote,
        Feature::PitchClassHistogram,
        Feature::PitchClassTransitions,
        Feature::PitchRange,
        Feature::PitchShift,
        Feature::InterOnset,
        Feature::NoteLengthHistogram,
        Feature::NoteLengthTransitions,
    ];

    /// mgeval's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Feature::UsedPitch => "total_used_pitch",
            Feature::UsedNote => "total_used_note",
            Feature::PitchClassHistogram => "total_pitch_class_histogram",
            Feature::PitchClassTransitions => "pitch_class_transition_matrix",
            Feature::PitchRange => "pitch_range",
            Feature::PitchShift => "avg_pitch_shift",
            Feature::InterOnset => "avg_IOI",
            Feature::NoteLengthHistogram => "note_length_hist",
            Feature::NoteLengthTransitions => "note_length_transition_matrix",
        }
    }

    /// `[1]`, `[12]` or `[144]`; `None` without notes, and for steps from note to note with a single one.
    pub fn of(self, score: &Score) -> Option<Vec<f64>> {
        let mut notes: Vec<Note> = pitched(score).copied().collect();
        notes.sort_by_key(|note| note.onset);
        if notes.is_empty() {
            return None;
        }
        match self {
            Feature::UsedPitch => {
                let used = sounds(score, &notes).iter().filter(|sound| **sound > 0.0).count();
                Some(vec![used as f64])
            }
            Feature::UsedNote => Some(vec![notes.len() as f64]),
            Feature::PitchClassHistogram => {
                let mut classes = vec![0.0; 12];
                sounds(score, &notes)
                    .iter()
                    .enumerate()
                    .for_each(|(pitch, sound)| classes[pitch % 12] += sound);
                shares(classes)
            }
            Feature::PitchClassTransitions => Some(pitch_class_transitions(score, &notes)),
            Feature::PitchRange => {
                let sounds = sounds(score, &notes);
                let highest = sounds.iter().rposition(|sound| *sound > 0.0)?;
                let lowest = sounds.iter().position(|sound| *sound > 0.0)?;
                Some(vec![(highest - lowest) as f64])
            }
            Feature::PitchShift => {
                mean(notes.windows(2).map(|pair| f64::from(pair[0].pitch.abs_diff(pair[1].pitch))))
            }
            Feature::InterOnset => {
                let clock = Clock::new(score);
                let onsets: Vec<f64> = notes.iter().map(|note| clock.seconds(note.onset)).collect();
                mean(onsets.windows(2).map(|pair| pair[1] - pair[0]))
            }
            Feature::NoteLengthHistogram => {
                let mut counts = vec![0.0; 12];
                note_values(score, &notes).for_each(|value| counts[value] += 1.0);
                shares(counts)
            }
            Feature::NoteLengthTransitions => {
                let mut matrix = vec![0.0; 144];
                let values: Vec<usize> = note_values(score, &notes).collect();
                values.windows(2).for_each(|pair| matrix[12 * pair[0] + pair[1]] += 1.0);
                Some(matrix)
            }
        }
    }
}

/// Euclidean distance of two values of one feature.
pub fn distance(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<Vec<f64>> {
    let (mut sum, mut count) = (0.0, 0u32);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| vec![sum / f64::from(count)])
}

fn shares(counts: Vec<f64>) -> Option<Vec<f64>> {
    let total: f64 = counts.iter().sum();
    (total > 0.0).then(|| counts.into_iter().map(|count| count / total).collect())
}

/// Ticks to seconds in the very steps of pretty_midi: a rounding may move a note by a column.
struct Clock {
    /// First tick of a stretch, its time, and seconds a tick.
    stretches: Vec<(u32, f64, f64)>,
}

impl Clock {
    fn new(score: &Score) -> Clock {
        let ppq = f64::from(score.ppq.get());
        let mut stretches = vec![(0, 0.0, 60.0 / (120.0 * ppq))];
        for &(at, tempo) in score.tempos.changes() {
            let scale = 60.0 / (6e7 / f64::from(tempo) * ppq);
            let &(from, time, last) = stretches.last().expect("there is always a stretch");
            if at.0 == 0 {
                stretches = vec![(0, 0.0, scale)];
            } else if scale != last {
                stretches.push((at.0, time + last * f64::from(at.0 - from), scale));
            }
        }
        Clock { stretches }
    }

    fn seconds(&self, at: Tick) -> f64 {
        let after = self.stretches.partition_point(|(from, ..)| *from <= at.0);
        let (from, time, scale) = self.stretches[after.max(1) - 1];
        time + scale * f64::from(at.0 - from)
    }
}

/// How much each pitch sounds: velocity times columns of the piano roll.
fn sounds(score: &Score, notes: &[Note]) -> [f64; 128] {
    let clock = Clock::new(score);
    let column = |at: Tick| (clock.seconds(at) * COLUMNS).floor();
    let mut sounds = [0.0; 128];
    for note in notes {
        let columns = (column(note.end) - column(note.onset)).max(0.0);
        sounds[usize::from(note.pitch & 127)] += f64::from(note.velocity) * columns;
    }
    sounds
}

fn pitch_class_transitions(score: &Score, notes: &[Note]) -> Vec<f64> {
    let mut matrix = vec![0.0; 144];
    if notes.len() < 2 {
        return matrix;
    }
    let clock = Clock::new(score);
    let starts: Vec<f64> = notes.iter().map(|note| clock.seconds(note.onset)).collect();
    // How many of each class begin before each place: a chord of thousands takes no longer than a note.
    let mut before = vec![[0u32; 12]];
    for note in notes {
        let mut counts = *before.last().expect("there is always a place");
        counts[usize::from(note.pitch % 12)] += 1;
        before.push(counts);
    }
    for note in notes {
        let end = clock.seconds(note.end);
        let first = starts.partition_point(|start| end - start >= FOLLOWS);
        let beyond = starts.partition_point(|start| end - start > -FOLLOWS);
        for class in 0..12 {
            let followers = before[beyond.max(first)][class] - before[first][class];
            matrix[12 * usize::from(note.pitch % 12) + class] += f64::from(followers);
        }
    }
    matrix
}

/// Index into [`LENGTHS`] of the nearest note value of each note.
fn note_values<'a>(score: &Score, notes: &'a [Note]) -> impl Iterator<Item = usize> + 'a {
    let unit = 4.0 * f64::from(score.ppq.get()) / 96.0;
    notes.iter().map(move |note| {
        let length = f64::from(note.end.0.saturating_sub(note.onset.0));
        let away = |index: &usize| (unit * LENGTHS[*index] - length).abs();
        (0..LENGTHS.len()).min_by(|a, b| away(a).total_cmp(&away(b))).expect("there are note values")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TempoMap, Track};

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
    fn two_notes_have_every_feature() {
        let mut two = score(&[(0, 480, 60), (480, 1440, 67)]);
        two.tempos = TempoMap::constant(60.0);
        let value = |feature: Feature| feature.of(&two).expect("there are notes");
        assert_eq!(value(Feature::UsedPitch), [2.0]);
        assert_eq!(value(Feature::UsedNote), [2.0]);
        assert_eq!((value(Feature::PitchRange), value(Feature::PitchShift)), (vec![7.0], vec![7.0]));
        assert_eq!(value(Feature::InterOnset), [1.0]);
        let classes = value(Feature::PitchClassHistogram);
        assert_eq!((classes[0], classes[7]), (1.0 / 3.0, 2.0 / 3.0));
        let follows = value(Feature::PitchClassTransitions);
        assert_eq!((follows[7], follows.iter().sum::<f64>()), (1.0, 1.0));
        let lengths = value(Feature::NoteLengthHistogram);
        assert_eq!((lengths[1], lengths[2]), (0.5, 0.5));
        let next = value(Feature::NoteLengthTransitions);
        assert_eq!((next[12 * 2 + 1], next.iter().sum::<f64>()), (1.0, 1.0));
    }

    #[test]
    fn what_there_is_too_little_for_is_none() {
        assert!(Feature::ALL.iter().all(|feature| feature.of(&Score::default()).is_none()));
        let one = score(&[(0, 480, 60)]);
        let without: Vec<_> = Feature::ALL.iter().filter(|feature| feature.of(&one).is_none()).collect();
        assert_eq!(without, [&Feature::PitchShift, &Feature::InterOnset]);
        let silent = score(&[(5, 5, 60), (6, 6, 60)]);
        assert_eq!(Feature::PitchClassHistogram.of(&silent), None);
        assert_eq!(Feature::PitchRange.of(&silent), None);
    }
}
