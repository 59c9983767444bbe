//! Everything that can be wrong with a request or a writer's weights.

use partita_score::demands::Contradiction;

use crate::{checkpoint, stage};

/// One line each: the field, what is allowed, what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{field} must be {allowed}, got {got}")]
    Range { field: &'static str, allowed: String, got: String },
    /// Demands that no melody can meet, found before anything is written.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error("model {name}: {message}")]
    Model { name: String, message: String },
    #[error("bar {bar} needs more than the {context} tokens the model can read at once, got {tokens}")]
    Crowded { bar: u32, tokens: usize, context: usize },
    #[error("cancelled")]
    Cancelled,
    /// The loop behind a shared model has ended.
    #[error("the model is no longer played")]
    Stopped,
}

impl From<stage::Error> for Error {
    fn from(error: stage::Error) -> Error {
        match error {
            stage::Error::Model(message) => Error::Model { name: "melody".into(), message },
            stage::Error::Range { field, allowed, got } => {
                Error::Range { field, allowed: format!("in {allowed}"), got }
            }
            stage::Error::Crowded { bar, tokens, context } => Error::Crowded { bar, tokens, context },
            stage::Error::Cancelled => Error::Cancelled,
            stage::Error::Stopped => Error::Stopped,
        }
    }
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they come")]
    pub(super) fn range(field: &'static str, allowed: impl ToString, got: impl ToString) -> Error {
        Error::Range { field, allowed: allowed.to_string(), got: got.to_string() }
    }
}
