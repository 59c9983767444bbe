//! Standard MIDI Files: a lenient reader and a writer that any program understands.
//!
//! ```
//! use partita_score::{DrumPattern, Meter, midi};
//! let score = DrumPattern::empty(Meter::COMMON, 96.0, 1).to_score();
//! assert_eq!(midi::read(&midi::write(&score)).unwrap().meters, score.meters);
//! ```
//!
//! What survives `read(write(score))`: everything in a [`crate::Score`] that MIDI can say. It can't say which of two
//! overlapping notes of one pitch ends first, so the reader closes the oldest. Chords come back as
//! [`crate::harmony::Chord::simplified`] says them.

pub(crate) mod chunks;
pub(crate) mod events;
mod read;
mod texts;
mod track;
mod write;

pub use events::{Meta, Sink, hear};
pub use read::read;
pub use write::{write, write_format0};
