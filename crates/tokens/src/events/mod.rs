//! Event sequences as the event RNNs of Magenta see them: melodies and drums an event a step, performances an event
//! a change.
//!
//! A network gets the features of the newest position and answers with a class for the next event; a [`Codec`] is
//! the way from events to features and from a class back to an event.
//!
//! ```text
//! basic, mono, one_drum, performance   Plain      one-hot of the event
//! lookback, drum_kit                   Lookback   + events a bar or two ago, + a binary counter
//! attention                            KeyMelody  pitch, direction, repeats, counter, keys that fit
//! ..._modulo_encoding                  Modulo     events as points on circles
//! ..._conditioned_...                  Conditioned  density or pitch classes asked for, before the event
//! ```
//!
//! **Rule:** a codec reads positions `0..=position` only, so that features do not change when events are added.

mod conditioned;
mod drum_set;
mod key_melody;
mod lookback;
mod melody;
mod modulo;
mod one_hot;
mod performance;
mod squash;
mod timed;

pub use crate::melody::MelodyEvent;
pub use conditioned::{Conditioned, Control, Controls, DENSITY_BOUNDS};
pub use drum_set::{DrumClasses, DrumSet};
pub use key_melody::KeyMelody;
pub use lookback::Lookback;
pub use melody::{MelodyRange, end_step, set_drum_length, set_melody_length, start_step};
pub use modulo::Modulo;
pub use one_hot::{OneHot, Plain};
pub use performance::{
    MAX_SHIFT, PerformanceEvent, PerformanceEvents, STEPS_PER_SECOND, set_performance_length, shifted_steps,
};
pub use squash::{major_key, squash, transpose};
pub use timed::{TimedNote, performance_of, timed_notes};

/// Sixteenths of a bar of four quarters: how far the encodings of melodies look back, once and twice.
const BAR: usize = 16;

/// One line: where, what, what is allowed, what came.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("event {position}: {field} must be in {allowed}, got {got}")]
    Event { position: usize, field: &'static str, allowed: String, got: String },
    #[error("note {index}: {field} must be in {allowed}, got {got}")]
    Note { index: usize, field: &'static str, allowed: String, got: String },
    #[error("{field} must be in {allowed}, got {got}")]
    Control { field: &'static str, allowed: String, got: String },
}

/// Between a sequence of events and what a network reads and answers.
pub trait Codec {
    type Event: Copy + PartialEq + std::fmt::Debug;

    /// Numbers that describe a position.
    fn inputs(&self) -> usize;

    /// Classes of the next event.
    fn classes(&self) -> usize;

    /// Whether every event has a place in the encoding.
    ///
    /// # Errors
    /// [`Error::Event`] naming the first that has none.
    fn check(&self, events: &[Self::Event]) -> Result<(), Error>;

    /// Writes the features `[inputs]` of `position`, from which the event after it is foretold.
    ///
    /// # Panics
    /// If `position` is not in `events`, `out` has another length, or [`check`](Self::check) refuses the events.
    fn input(&self, events: &[Self::Event], position: usize, out: &mut [f32]);

    /// The class `0..classes` of the event at `position`, given those before it.
    ///
    /// # Panics
    /// As [`input`](Self::input).
    fn label(&self, events: &[Self::Event], position: usize) -> usize;

    /// The event that `class` means after `events`.
    ///
    /// # Panics
    /// If `class` is not in `0..classes`.
    fn event(&self, class: usize, events: &[Self::Event]) -> Self::Event;

    /// Features `[positions, inputs]` of all positions.
    ///
    /// # Panics
    /// As [`input`](Self::input).
    fn all_inputs(&self, events: &[Self::Event]) -> Vec<f32> {
        let mut out = vec![0.0; events.len() * self.inputs()];
        for (position, out) in out.chunks_exact_mut(self.inputs()).enumerate() {
            self.input(events, position, out);
        }
        out
    }
}

/// Writes `n` as bits, the lowest first: 1 for a set one, -1 for the others.
fn write_counter(n: usize, out: &mut [f32]) {
    for (bit, out) in out.iter_mut().enumerate() {
        *out = if n >> bit & 1 == 1 { 1.0 } else { -1.0 };
    }
}

/// Whether the event at `position` is the one `distance` before it.
fn repeats<E: PartialEq>(events: &[E], position: usize, distance: usize) -> bool {
    position >= distance && events[position] == events[position - distance]
}
