//! Lead sheets: a melody with chords.
//!
//! A request is checked and its demands planned (`write`), the model writes bars under a grammar that follows the plan
//! ([`partita_tokens::song`]), many sequences a pass ([`crate::stage`]).

mod config;
mod draft;
mod error;
mod promise;
mod read;
mod request;
mod research;
mod score;
mod write;
mod writer;

pub use config::MelodyConfig;
pub use draft::Draft;
pub use error::Error;
pub use read::{Heard, melody_track, read};
pub use request::{Given, Harmony, Request};
pub use research::Attention;
pub use score::replace_chords;
pub use write::{Lead, Progress, Watch};
pub use writer::Writer;
