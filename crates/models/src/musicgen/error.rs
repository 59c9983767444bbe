//! Everything that can be wrong with a request or a checkpoint.

/// One line each: the field, what is allowed, what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{field} must be in {allowed}, got {got}")]
    Range { field: &'static str, allowed: String, got: String },
    #[error("config {field} must be {allowed}, got {got}")]
    Config { field: &'static str, allowed: String, got: String },
    #[error("tokenizer.json: {0}")]
    Tokenizer(String),
    #[error(transparent)]
    Weights(#[from] partita_nn::Error),
    #[error("the model reads no melody; musicgen-melody does")]
    NoMelody,
    #[error("cancelled")]
    Cancelled,
    /// A step that several requests share failed.
    #[error("{0}")]
    Failed(String),
    /// The thread that steps the model has ended.
    #[error("the model has stopped")]
    Stopped,
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they come")]
    pub(crate) fn range(field: &'static str, allowed: impl ToString, got: impl ToString) -> Error {
        Error::Range { field, allowed: allowed.to_string(), got: got.to_string() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "as above")]
    pub(crate) fn config(field: &'static str, allowed: impl ToString, got: impl ToString) -> Error {
        Error::Config { field, allowed: allowed.to_string(), got: got.to_string() }
    }
}

impl From<partita_kernels::Error> for Error {
    fn from(error: partita_kernels::Error) -> Error {
        Error::Weights(error.into())
    }
}
