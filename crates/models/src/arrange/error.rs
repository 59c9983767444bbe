//! Everything that can be wrong with a request or an arranger's weights.

use crate::{checkpoint, stage};

/// One line each: the field, what is allowed, what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{field} must be {allowed}, got {got}")]
    Range { field: &'static str, allowed: String, got: String },
    /// The bass is to begin chords on their root or a tone of theirs, and its own rules leave none.
    #[error("bar {bar} must begin {chord} on {wanted} in the bass, which has no such pitch within its rules")]
    NoAnchor { bar: u32, chord: String, wanted: &'static str },
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
            stage::Error::Model(message) => Error::Model { name: "arrange".into(), message },
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
