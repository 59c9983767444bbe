//! Everything that can be wrong with a checkpoint or a request.

use partita_tokens::miditok;

use crate::stage;

/// One line each: the field, what is allowed, what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{field} must be {allowed}, got {got}")]
    Range { field: &'static str, allowed: String, got: String },
    /// Limits that contradict each other or the vocabulary, found before anything is written.
    #[error("{0}")]
    Demand(String),
    /// A MIDI file that this model cannot play on from.
    #[error("{0}")]
    Input(String),
    #[error("model {name}: {message}")]
    Model { name: String, message: String },
    /// What has to be seen together does not fit.
    #[error(
        "the newest notes must leave room for more in the {context} tokens that the model reads at once, got \
         {tokens} with the start"
    )]
    Crowded { tokens: usize, context: usize },
    #[error("cancelled")]
    Cancelled,
    /// The loop behind a shared model has ended.
    #[error("the model is no longer played")]
    Stopped,
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they come")]
    pub(super) fn range(field: &'static str, allowed: impl ToString, got: impl ToString) -> Error {
        Error::Range { field, allowed: allowed.to_string(), got: got.to_string() }
    }

    /// What is wrong, without the name of the model.
    pub fn why(&self) -> String {
        match self {
            Error::Model { message, .. } => message.clone(),
            other => other.to_string(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(super) fn of_limits(error: miditok::Error) -> Error {
        Error::Demand(error.to_string())
    }

    pub(super) fn of_stage(name: &str, error: stage::Error) -> Error {
        match error {
            stage::Error::Model(message) => Error::Model { name: name.to_owned(), message },
            stage::Error::Range { field, allowed, got } => {
                Error::Range { field, allowed: format!("in {allowed}"), got }
            }
            stage::Error::Crowded { tokens, context, .. } => Error::Crowded { tokens, context },
            stage::Error::Cancelled => Error::Cancelled,
            stage::Error::Stopped => Error::Stopped,
        }
    }
}
