//! GPT-2 checkpoints in the published layout that write MidiTok's tokens: a folder with `config.json`, weights, and the
//! `tokenizer.json` of MidiTok.
//!
//! Any tokenization that [`partita_tokens::miditok`] reads, trained or not. What a piece may be is a mask over the next
//! token (`walk`), so that any weights give well-formed music within the limits; many sequences share each step
//! ([`crate::stage`]).
//!
//! **Rule:** nothing is guessed about a checkpoint. What its files leave open is said as a [`warning`](MidiGpt::warning).

mod error;
mod model;
mod piece;
mod request;
mod walk;
mod write;

pub use error::Error;
pub use model::MidiGpt;
pub use piece::Piece;
pub use request::{MAX_BARS, MAX_TOKENS, Request};
pub use write::{Progress, Watch};
