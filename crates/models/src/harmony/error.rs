//! Everything that can be wrong with a request for harmony or with its weights.

use partita_tokens::chorale::demands;

use crate::checkpoint;

/// One line each: the field, what is allowed, what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{field} must be {allowed}, got {got}")]
    Range { field: &'static str, allowed: String, got: String },
    #[error(transparent)]
    Demands(#[from] demands::Error),
    #[error("a voice must be one note at a time, got two in step {step}")]
    TwoNotes { step: usize },
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error("model {name}: {message}")]
    Model { name: String, message: String },
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they come")]
    pub(super) fn range(field: &'static str, allowed: impl ToString, got: impl ToString) -> Error {
        Error::Range { field, allowed: allowed.to_string(), got: got.to_string() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "errors are passed as they come")]
    pub(super) fn model(message: impl ToString) -> Error {
        Error::Model { name: super::HarmonyConfig::FAMILY.into(), message: message.to_string() }
    }
}
