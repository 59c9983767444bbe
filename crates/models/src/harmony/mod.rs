//! Four-part harmony: given voices are kept, missing ones are written, in the manner of Bach's chorales.
//!
//! A request becomes a grid of cells and [`demands`]; those say before every cell which pitches may follow
//! ([`demands::Choices`]), and the network chooses among them.

pub mod bench;
mod config;
mod error;
mod generate;
mod model;
mod request;
mod score;
mod sung;
mod verify;

pub use partita_tokens::chorale::{Cell, Step, VOICES, demands};

pub use crate::stage::Compute;
pub use config::HarmonyConfig;
pub use error::Error;
pub use generate::{Harmony, Written};
pub use model::Harmonizer;
pub use request::{Complete, MOST_SEQUENCES};
pub use score::NAMES;
pub use sung::{Rewrite, Sung};
pub use verify::{random_request, violations};
