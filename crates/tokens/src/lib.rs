//! Music <-> token ids, one folder a format, and the grammars that turn demands into masks.
//!
//! Tokens know nothing of networks: a grammar answers which token may follow, and every demand a user
//! makes (bars, metre, kit, range) is part of that answer.
//!
//! [`drums`] is the drummer's own format and [`chorale`] that of four-part chorales. [`melody`], [`drum_steps`], [`trio`] and [`groove`] are those of Magenta's
//! models: they turn a [`partita_score::NoteSequence`] into exactly what the original code does, and back.
#![forbid(unsafe_code)]

pub mod chorale;
pub mod chords;
pub mod drum_steps;
pub mod drums;
pub mod events;
mod excerpt;
mod grammar;
pub mod groove;
pub mod melody;
pub mod miditok;
pub mod song;
pub mod trio;

pub use excerpt::{ConvertError, Excerpt, MAGENTA_QPM, STEPS_PER_BAR, STEPS_PER_QUARTER, VELOCITY};
pub use grammar::{Grammar, NotAllowed};
