//! Token sequences of many requests over one network, a token each a step, each under its own grammar.
//!
//! Families cut a request into [`Sequence`]s; a [`Player`] decodes them: the cores themselves, for one request alone
//! ([`Compute`]), or a loop that many requests share ([`Shared`]). What is written is told to a [`Hear`] as it comes.

mod network;
mod player;
mod shared;
mod together;

pub use network::Network;
pub use player::{Compute, Hear, Played, Player, Sequence};
pub use shared::{Counts, MOST_LIVE, Shared, SharedLoop, share, share_at_most};

use partita_nn::KvPrecision;

/// How sequences remember what was written. In f32, many together would wait for memory: at each token, attention
/// reads all keys and values of a sequence, more bytes than the weights of a small network have.
pub const MEMORY: KvPrecision = KvPrecision::Int8;

/// Why sequences were not written to their ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Model(String),
    #[error("{field} must be in {allowed}, got {got}")]
    Range { field: &'static str, allowed: String, got: String },
    /// What is given leaves no room in the context.
    #[error("bar {bar} needs more than the {context} tokens the model can read at once, got {tokens}")]
    Crowded { bar: u32, tokens: usize, context: usize },
    #[error("cancelled")]
    Cancelled,
    /// The loop behind a shared model has ended.
    #[error("the model is no longer played")]
    Stopped,
}

impl From<partita_nn::Error> for Error {
    fn from(error: partita_nn::Error) -> Error {
        Error::Model(error.to_string())
    }
}
