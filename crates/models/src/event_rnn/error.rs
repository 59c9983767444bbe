//! Everything that can be wrong with a request or a checkpoint.

use partita_tokens::events;

/// One line each: the field, what is allowed, what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{field} must be in {allowed}, got {got}")]
    Range { field: &'static str, allowed: String, got: String },
    #[error("{got:?} is no event RNN{hint}; there are {known}")]
    UnknownBundle { got: String, hint: String, known: String },
    #[error("{id} continues {plays}, not {asked}")]
    Family { id: &'static str, plays: &'static str, asked: &'static str },
    #[error("tensor {name:?} must have a shape {allowed}, got {got:?}")]
    Shape { name: String, allowed: &'static str, got: Vec<usize> },
    #[error("the network has {field} {got}, but {id} has {allowed}")]
    Sizes { id: &'static str, field: &'static str, allowed: usize, got: usize },
    #[error(
        "the network has attention, and its tensors do not tell the length of it: attn_length must be given"
    )]
    AttentionLength,
    #[error(
        "{id} was not trained to follow density or pitch classes; multiconditioned_performance_with_dynamics was"
    )]
    NotConditioned { id: &'static str },
    #[error(transparent)]
    Events(#[from] events::Error),
    #[error(transparent)]
    Weights(#[from] partita_nn::Error),
    /// A piece that cannot be gone on with.
    #[error("the piece cannot be continued: {0}")]
    Piece(String),
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they come")]
    pub(crate) fn range(field: &'static str, allowed: impl ToString, got: impl ToString) -> Error {
        Error::Range { field, allowed: allowed.to_string(), got: got.to_string() }
    }
}
