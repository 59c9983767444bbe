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

use std::sync::Arc;

use partita_nn::{Decoder, Gpt, KvPrecision, log_probability};

/// How sequences remember what was written. In f32, many together would wait for memory: at each token, attention
/// reads all keys and values of a sequence, more bytes than the weights of a small network have.
pub const MEMORY: KvPrecision = KvPrecision::Int8;

/// Negative log-likelihood in nats of each target, given the inputs up to its place; both `[L]`, L within the context. No
/// grammar is applied.
///
/// # Errors
/// [`Error::Model`] for too many tokens or an unknown one.
pub(crate) fn nats(
    gpt: &Arc<Gpt>,
    compute: &Compute,
    inputs: &[u32],
    targets: &[u32],
) -> Result<Vec<f64>, Error> {
    let mut decoder = Decoder::new(gpt, Arc::clone(&compute.pool), compute.path, MEMORY);
    let logits = decoder.forward_all(None, inputs)?;
    Ok(targets.iter().enumerate().map(|(i, &id)| -log_probability(logits.row(i), id)).collect())
}

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
