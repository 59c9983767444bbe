//! Sequences to slices of ids and back, as the melody VAEs take them.

use super::{Extraction, MelodyEvent, PIANO, Voice, extract, ids_to_sequence};
use crate::chords::{Changes, triad_id};
use crate::excerpt::{ConvertError, Excerpt, Result, STEPS_PER_BAR, Scan, Wanted};
use partita_score::sequence::TimedNote;
use partita_score::{NoteSequence, Second};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// Which notes a model takes, and how long its examples are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MelodyConverter {
    /// General MIDI programs; others are left out.
    pub programs: RangeInclusive<u8>,
    /// Pitches; others are left out.
    pub pitches: RangeInclusive<u8>,
    /// Bars of an example. Slices begin on every bar of a melody.
    pub slice_bars: u32,
}

/// Ids and, for every step, the class of the chord it is played over ([`crate::chords::triad_id`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChordedIds {
    pub ids: Vec<u32>,
    pub chords: Vec<u32>,
}

/// The longest melody that is sliced, bars.
const MAX_BARS: u32 = 100;

impl MelodyConverter {
    /// `cat-mel_2bar_*`: pianos, percussion, organs and guitars.
    pub fn two_bars() -> MelodyConverter {
        MelodyConverter { programs: 0..=31, pitches: PIANO, slice_bars: 2 }
    }

    /// `cat-mel_2bar_med_chords`: any program.
    pub fn two_bars_any_program() -> MelodyConverter {
        MelodyConverter { programs: 0..=127, ..MelodyConverter::two_bars() }
    }

    /// `hierdec-mel_16bar`: any program.
    pub fn sixteen_bars() -> MelodyConverter {
        MelodyConverter { programs: 0..=127, pitches: PIANO, slice_bars: 16 }
    }

    /// Whether program and pitch are the model's.
    pub fn takes(&self, note: &TimedNote) -> bool {
        self.programs.contains(&note.program) && self.pitches.contains(&note.pitch)
    }

    /// Steps of an example.
    pub fn steps(&self) -> usize {
        self.slice_bars.max(1).saturating_mul(STEPS_PER_BAR) as usize
    }

    /// Every slice of every melody, each once, in order of first appearance; `[steps]` ids each.
    ///
    /// Of several notes that start together the highest counts ([`super::check_monophonic`] tells). Parts with other
    /// bars than 16 sixteenths give nothing. (Magenta keeps five, in no order.)
    pub fn all(&self, sequence: &NoteSequence) -> Vec<Excerpt<Vec<u32>>> {
        self.scan(sequence, |_, ids, _| Ok(ids)).found
    }

    /// The one example in a sequence.
    ///
    /// # Errors
    /// [`ConvertError`]: no notes, another metre, too short, more than one example.
    pub fn one(&self, sequence: &NoteSequence) -> Result<Excerpt<Vec<u32>>> {
        self.scan(sequence, |_, ids, _| Ok(ids)).one(self.wanted())
    }

    /// As [`MelodyConverter::all`], with the chords of the sequence; the same notes over other chords count again.
    pub fn all_with_chords(&self, sequence: &NoteSequence) -> Vec<Excerpt<ChordedIds>> {
        self.scan(sequence, with_chords).found
    }

    /// As [`MelodyConverter::one`], with the chords of the sequence.
    ///
    /// # Errors
    /// As there, and [`ConvertError::NoChords`], [`ConvertError::Chord`].
    pub fn one_with_chords(&self, sequence: &NoteSequence) -> Result<Excerpt<ChordedIds>> {
        self.scan(sequence, with_chords).one(self.wanted())
    }

    /// Notes from ids; [`crate::MAGENTA_QPM`] is the tempo of the original.
    ///
    /// # Errors
    /// [`ConvertError::BadToken`].
    pub fn to_sequence(&self, ids: &[u32], qpm: f64) -> Result<NoteSequence> {
        ids_to_sequence(ids, &self.pitches, Voice::default(), qpm)
    }

    fn wanted(&self) -> Wanted {
        let hint = if self.programs == (0..=127) {
            " between A0 and C8 that are no drums"
        } else {
            " between A0 and C8 with programs 0..=31 that are no drums"
        };
        Wanted { what: "a melody", hint, bars: self.slice_bars }
    }

    fn scan<T: Clone + Eq + std::hash::Hash>(
        &self,
        sequence: &NoteSequence,
        finish: impl Fn(&Changes, Vec<u32>, u32) -> Result<T>,
    ) -> Scan<T> {
        let mut scan = Scan::default();
        let how = Extraction {
            gap_bars: Some(1),
            min_bars: 1,
            max_steps: Some(MAX_BARS * STEPS_PER_BAR),
            pad_end: true,
        };
        for mut piece in sequence.split_on_time_changes() {
            // Before the grid, so that a note left out does not count as one that makes trouble.
            piece.sequence.notes.retain(|note| self.takes(note));
            let plays = |note: &&TimedNote| !note.is_drum && note.velocity > 0;
            scan.notes += piece.sequence.notes.iter().filter(plays).count();
            let Some(quantized) = scan.quantize(&piece) else { continue };
            let (step, chords) = (quantized.seconds_per_step(), Changes::new(&quantized));
            // Magenta dedupes each part by itself.
            let mut seen = HashSet::new();
            for melody in extract(&quantized, how) {
                scan.longest = scan.longest.max(melody.events.len() as u32 / STEPS_PER_BAR);
                let starts =
                    (0..=melody.events.len().saturating_sub(self.steps())).step_by(STEPS_PER_BAR as usize);
                for start in starts.filter(|start| start + self.steps() <= melody.events.len()) {
                    let slice = melody.slice(start..start + self.steps());
                    let id = |event: &MelodyEvent| event.id(&self.pitches);
                    let ids = slice.events.iter().map(id).collect::<Result<Vec<u32>>>();
                    match ids.and_then(|ids| finish(&chords, ids, slice.start_step)) {
                        Ok(value) => {
                            let start = Second(piece.start.0 + f64::from(slice.start_step) * step);
                            scan.add_new(Excerpt { value, start, qpm: quantized.qpm }, &mut seen);
                        }
                        Err(fault) => scan.fault = scan.fault.or(Some(fault)),
                    }
                }
            }
        }
        scan
    }
}

fn with_chords(changes: &Changes, ids: Vec<u32>, start: u32) -> Result<ChordedIds> {
    if changes.is_empty() {
        return Err(ConvertError::NoChords);
    }
    let chords = (start..).take(ids.len()).map(|step| triad_id(changes.at(step))).collect::<Result<_>>()?;
    Ok(ChordedIds { ids, chords })
}
