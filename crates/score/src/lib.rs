//! Music as data: time, notes, drum patterns, Standard MIDI Files.
//!
//! Nothing here knows a network, a token or a clock on the wall.
//! Other crates see ticks only through [`Tick`], beats through [`Beat`] and seconds through [`Second`].
#![forbid(unsafe_code)]

pub mod demands;
pub mod drums;
pub mod edit;
mod error;
mod groove;
pub mod harmony;
pub mod metrics;
pub mod midi;
pub mod notation;
pub mod pattern;
pub mod picture;
mod quantize;
mod score;
pub mod sequence;
pub mod swing;
pub mod text_grid;
pub mod time;

pub use drums::{DrumClass, DrumMap};
pub use error::{Error, Result};
pub use groove::GrooveTemplate;
pub use pattern::{DrumPattern, Hit};
pub use quantize::{Grid, QuantizedDrums, quantize_drums, snap};
pub use score::{ChordChange, Control, ControlKind, KeyChange, Note, Score, Text, TextKind, Track};
pub use sequence::NoteSequence;
pub use time::{Beat, Meter, MeterMap, Ppq, Second, TempoMap, Tick};
