//! Everything that can be wrong with a request or a drummer's weights.

use partita_tokens::drums;

use crate::{checkpoint, stage};

/// One line each: the field, what is allowed, what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{field} must be in {allowed}, got {got}")]
    Range { field: &'static str, allowed: String, got: String },
    #[error("style {got:?} is not known{hint}; `partita styles list` shows all {count}")]
    UnknownStyle { got: String, hint: String, count: usize },
    #[error("profile {name}: base must be one of {allowed}, got {got:?}")]
    MissingBase { name: String, allowed: String, got: String },
    #[error("profile {name}: {message}")]
    Profile { name: String, message: String },
    #[error("{0}")]
    Grammar(#[from] drums::Error),
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error("model {name}: {message}")]
    Model { name: String, message: String },
    #[error("bar {bar} holds {hits} hits, more than the model can read at once")]
    Crowded { bar: u32, hits: usize },
    #[error("cancelled")]
    Cancelled,
    /// The loop behind a shared model has ended.
    #[error("the model is no longer played")]
    Stopped,
}

impl From<stage::Error> for Error {
    fn from(error: stage::Error) -> Error {
        match error {
            stage::Error::Model(message) => Error::Model { name: "drums".into(), message },
            stage::Error::Range { field, allowed, got } => Error::Range { field, allowed, got },
            // A hit has four tokens.
            stage::Error::Crowded { bar, tokens, .. } => Error::Crowded { bar, hits: tokens / 4 },
            stage::Error::Cancelled => Error::Cancelled,
            stage::Error::Stopped => Error::Stopped,
        }
    }
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they come")]
    pub(crate) fn range(field: &'static str, allowed: impl ToString, got: impl ToString) -> Error {
        Error::Range { field, allowed: allowed.to_string(), got: got.to_string() }
    }
}
