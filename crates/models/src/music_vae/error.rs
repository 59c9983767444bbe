//! Everything that can be wrong with a checkpoint, an input or a request.

/// One line each: the thing, what is allowed, what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{field} must be {allowed}, got {got}")]
    Range { field: &'static str, allowed: String, got: String },
    #[error("tensor {name:?} must have {allowed}, got shape {got:?}")]
    Sizes { name: String, allowed: String, got: Vec<usize> },
    #[error(
        "tensor {missing:?} is missing; {found:?} holds the weights in cuDNN's own packing, which only the graphics card \
         that wrote it can read: save the checkpoint again with a saver of the canonical weights"
    )]
    Opaque { missing: String, found: String },
    #[error(transparent)]
    Weights(#[from] partita_nn::Error),
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they come")]
    pub(super) fn range(field: &'static str, allowed: impl ToString, got: impl ToString) -> Error {
        Error::Range { field, allowed: allowed.to_string(), got: got.to_string() }
    }
}

impl From<partita_kernels::Error> for Error {
    fn from(error: partita_kernels::Error) -> Error {
        Error::Weights(error.into())
    }
}
