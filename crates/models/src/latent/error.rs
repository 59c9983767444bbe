//! What can be wrong with a model, an input or a request of this family.

use partita_tokens::ConvertError;

use super::Format;
use crate::checkpoint;

/// One line each: the thing, what is allowed, what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error("model {name}: {message}")]
    Model { name: String, message: String },
    /// A verb that this kind of model does not know.
    #[error("model {name} plays {}; {verb} needs {needs}", plays.plays())]
    Verb { name: String, plays: Format, verb: &'static str, needs: &'static str },
    #[error("{field} must be {allowed}, got {got}")]
    Range { field: &'static str, allowed: String, got: String },
    #[error(transparent)]
    Convert(#[from] ConvertError),
    #[error(transparent)]
    Network(#[from] crate::music_vae::Error),
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they come")]
    pub(super) fn range(field: &'static str, allowed: impl ToString, got: impl ToString) -> Error {
        Error::Range { field, allowed: allowed.to_string(), got: got.to_string() }
    }

    /// Whether the work was stopped on demand.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Error::Network(crate::music_vae::Error::Cancelled))
    }
}
