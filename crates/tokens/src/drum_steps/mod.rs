//! Drums on a grid of sixteenths: a set of drums a step, as a number, a one-hot class or a roll.
//!
//! A set is a bit mask over the classes of a [`PitchMap`], bit 0 the first. With nine classes the mask is the id of
//! the 512-way one-hot. A roll is a row of bits a step, with one more for "nothing is hit".
//!
//! Source: note-seq, `drums_lib`; Magenta, `DrumsConverter`.

mod converter;
mod extract;
mod pitches;

pub use converter::{DrumsConverter, ids_to_sequence, roll, set};
pub use extract::{DrumExtraction, DrumSteps, extract};
pub use pitches::{FULL, PitchMap, REDUCED, REDUCED_BEFORE_2019, ROLAND};

use crate::excerpt::{VELOCITY, empty_sequence, seconds_per_step};
use partita_score::{NoteSequence, Second, sequence::TimedNote};

/// Which classes are hit, as bits.
pub type DrumSet = u64;

/// The instrument of drums made from tokens.
pub const DRUM_INSTRUMENT: u32 = 9;

/// Notes of sets, a step long each, by the first pitch of their class; bits past the classes are ignored.
///
/// [`crate::MAGENTA_QPM`] is the tempo of the original.
pub fn sets_to_sequence(sets: &[DrumSet], map: PitchMap, velocity: u8, qpm: f64) -> NoteSequence {
    let mut sequence = empty_sequence(qpm);
    let step = seconds_per_step(qpm);
    for (at, &set) in sets.iter().enumerate() {
        let (start, end) = (Second(at as f64 * step), Second((at + 1) as f64 * step));
        for class in (0..map.classes()).filter(|class| set >> class & 1 == 1) {
            let pitch = map.pitch(class);
            let (instrument, program, is_drum) = (DRUM_INSTRUMENT, 0, true);
            sequence.notes.push(TimedNote { start, end, pitch, velocity, instrument, program, is_drum });
            sequence.total_time = end;
        }
    }
    sequence
}

/// As [`sets_to_sequence`], at the VAEs' velocity.
pub(crate) fn answer(sets: &[DrumSet], map: PitchMap, qpm: f64) -> NoteSequence {
    sets_to_sequence(sets, map, VELOCITY, qpm)
}
