//! Sequences to slices of drum sets and back, as the drum VAEs take them.

use super::{DrumExtraction, DrumSet, FULL, PitchMap, REDUCED, answer, extract};
use crate::excerpt::{Excerpt, Result, STEPS_PER_BAR, Scan, Wanted};
use crate::melody::bad;
use partita_score::sequence::TimedNote;
use partita_score::{NoteSequence, Second};
use std::collections::HashSet;

/// Which drums a model knows, and how long its examples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrumsConverter {
    pub map: PitchMap,
    /// Bars of an example. Slices begin on every bar of a track.
    pub slice_bars: u32,
}

/// The longest track that is sliced, bars.
const MAX_BARS: u32 = 100;

impl DrumsConverter {
    /// `cat-drums_2bar_*` and `nade-drums_2bar_reduced`: nine classes.
    pub fn two_bars() -> DrumsConverter {
        DrumsConverter { map: REDUCED, slice_bars: 2 }
    }

    /// `nade-drums_2bar_full`: 61 classes.
    pub fn two_bars_full() -> DrumsConverter {
        DrumsConverter { map: FULL, slice_bars: 2 }
    }

    /// Steps of an example.
    pub fn steps(&self) -> usize {
        self.slice_bars.max(1).saturating_mul(STEPS_PER_BAR) as usize
    }

    /// Every slice of every drum track, each once, in order of first appearance; `[steps]` sets each.
    ///
    /// Notes that are no drums, and pitches outside the map, are left out. Parts with other bars than 16 sixteenths
    /// give nothing. (Magenta keeps five, in no order.)
    pub fn all(&self, sequence: &NoteSequence) -> Vec<Excerpt<Vec<DrumSet>>> {
        self.scan(sequence).found
    }

    /// The one example in a sequence.
    ///
    /// # Errors
    /// [`crate::ConvertError`]: no drums, another metre, too short, more than one example.
    pub fn one(&self, sequence: &NoteSequence) -> Result<Excerpt<Vec<DrumSet>>> {
        let what = "a drum track";
        let hint = ": drums are channel 9 (10 when counted from 1)";
        self.scan(sequence).one(Wanted { what, hint, bars: self.slice_bars })
    }

    /// Notes from sets; [`crate::MAGENTA_QPM`] is the tempo of the original.
    pub fn to_sequence(&self, sets: &[DrumSet], qpm: f64) -> NoteSequence {
        answer(sets, self.map, qpm)
    }

    fn scan(&self, sequence: &NoteSequence) -> Scan<Vec<DrumSet>> {
        let mut scan = Scan::default();
        let how = DrumExtraction {
            gap_bars: Some(1),
            min_bars: 1,
            max_steps: Some(MAX_BARS * STEPS_PER_BAR),
            pad_end: true,
        };
        let class = |note: &TimedNote| if note.is_drum { self.map.class(note.pitch) } else { None };
        for piece in sequence.split_on_time_changes() {
            let counts = |note: &&TimedNote| class(note).is_some() && note.velocity > 0;
            scan.notes += piece.sequence.notes.iter().filter(counts).count();
            let Some(quantized) = scan.quantize(&piece) else { continue };
            let step = quantized.seconds_per_step();
            let mut seen = HashSet::new();
            for track in extract(&quantized, class, how) {
                scan.longest = scan.longest.max(track.sets.len() as u32 / STEPS_PER_BAR);
                for (bar, sets) in
                    track.sets.windows(self.steps()).step_by(STEPS_PER_BAR as usize).enumerate()
                {
                    let at = f64::from(track.start_step + bar as u32 * STEPS_PER_BAR);
                    let start = Second(piece.start.0 + at * step);
                    scan.add_new(Excerpt { value: sets.to_vec(), start, qpm: quantized.qpm }, &mut seen);
                }
            }
        }
        scan
    }
}

/// A row of a roll: a 1 for every class that is hit, and a last one if none is; `[classes + 1]`.
pub fn roll(set: DrumSet, classes: usize) -> Vec<f32> {
    let bits = (0..classes).map(|class| (set >> class & 1) as f32);
    bits.chain([if set == 0 { 1.0 } else { 0.0 }]).collect()
}

/// The set of a row of a roll, `[classes]` or `[classes + 1]`: numbers above 0.5 are hits, the last one of the longer
/// row says that there is none and is ignored.
pub fn set(row: &[f32], classes: usize) -> DrumSet {
    let hits = row.iter().take(classes.min(64)).enumerate().filter(|(_, on)| **on > 0.5);
    hits.map(|(class, _)| 1 << class).sum()
}

/// Notes from ids of the 512-way one-hot.
///
/// # Errors
/// [`crate::ConvertError::BadToken`] for an id of 512 or more.
pub fn ids_to_sequence(ids: &[u32], map: PitchMap, qpm: f64) -> Result<NoteSequence> {
    if let Some(id) = ids.iter().find(|id| **id >= 512) {
        return Err(bad("drum id", "below 512".into(), id));
    }
    let sets: Vec<DrumSet> = ids.iter().map(|&id| DrumSet::from(id)).collect();
    Ok(answer(&sets, map, qpm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roll_says_that_nothing_is_hit() {
        assert_eq!(roll(0, 3), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(roll(0b101, 3), [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(
            [set(&roll(0, 3), 3), set(&roll(0b101, 3), 3), set(&[1.0; 62], 61)],
            [0, 0b101, (1 << 61) - 1]
        );
    }

    #[test]
    fn drums_come_back_in_the_step_they_were_in() {
        let mut sets = vec![0; 32];
        (sets[0], sets[7], sets[20], sets[31]) = (0b1, 0b1_0000_0010, 0b1, 0b100);
        let converter = DrumsConverter::two_bars();
        let sequence = converter.to_sequence(&sets, 97.0);
        let excerpt = converter.one(&sequence).expect("two bars");
        assert_eq!((excerpt.value, excerpt.qpm), (sets, 97.0));
    }
}
