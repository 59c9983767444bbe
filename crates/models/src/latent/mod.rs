//! What people do with a MusicVAE: sample it, go from one piece to another, vary a piece, humanize drums, put drums to a
//! rhythm, play one beat with the feel of another.
//!
//! The network is [`crate::music_vae`], what its steps mean comes from [`partita_tokens`]; here they meet. Music goes in
//! and out as [`partita_score::NoteSequence`], drums that keep their notes as [`partita_score::DrumPattern`].
//!
//! **Rule:** a piece depends on its own number in a request alone, never on how many are asked for.

mod config;
mod error;
mod format;
mod groove;
mod model;
mod open;
mod verbs;

pub use config::{LatentConfig, Widened};
pub use error::Error;
pub use format::Format;
pub use groove::Feel;
pub use model::{Choice, Example, LatentModel, Played, Playing, Watch};
pub use verbs::{Made, Vary};
