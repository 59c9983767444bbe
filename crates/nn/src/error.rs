//! What can be wrong with weights, token ids and sampling settings.

/// A failure, with what was allowed and what came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("cannot read tensor {name:?} from {path}: {source}")]
    ReadTensor { path: String, name: String, source: std::io::Error },
    #[error("weights: {0}")]
    Format(String),
    #[error("tensor {0:?} is missing")]
    MissingTensor(String),
    #[error(
        "tensor {name:?} is missing; {opaque:?} holds weights in cuDNN's own order, which cannot be read: save the \
         checkpoint with its kernels and biases by name"
    )]
    OpaqueKernel { name: String, opaque: String },
    #[error("tensor {name:?} must have shape {expected:?}, got {got:?}")]
    Shape { name: String, expected: Vec<usize>, got: Vec<usize> },
    #[error("tensor {name:?} must be one of {allowed}, got {got}")]
    Dtype { name: String, allowed: &'static str, got: String },
    #[error("tensor {name:?} must be asked for rows inside 0..{rows}, got {got:?}")]
    Rows { name: String, rows: usize, got: std::ops::Range<usize> },
    #[error("tensor {name:?}: {source}")]
    Tensor { name: String, source: partita_kernels::Error },
    #[error("config: {0}")]
    ConfigJson(#[from] serde_json::Error),
    #[error("config {field} must be {allowed}, got {got}")]
    Config { field: &'static str, allowed: String, got: String },
    #[error("feature must be in 0..{features}, got {got}")]
    Feature { features: usize, got: u32 },
    #[error("token must be in 0..{vocab}, got {got}")]
    Token { vocab: usize, got: u32 },
    #[error("style must be in 0..{styles}, got {got}")]
    Style { styles: usize, got: usize },
    #[error("a sequence must have at most {context} tokens, got {got}")]
    ContextFull { context: usize, got: usize },
    #[error("the sequence has left the decoder")]
    UnknownSequence,
    #[error("a sequence must appear at most once in a step")]
    RepeatedSequence,
    #[error("the position must be in 0..={position}, got {got}")]
    Truncate { position: usize, got: usize },
    #[error("{field} must be in {allowed}, got {got}")]
    Sampling { field: &'static str, allowed: &'static str, got: String },
    #[error("the mask must have {vocab} entries, got {got}")]
    MaskLength { vocab: usize, got: usize },
    #[error("the mask must allow at least one of the {vocab} tokens, got none")]
    EmptyMask { vocab: usize },
    #[error("at least one allowed logit must be a number, got none")]
    NoLogits,
    #[error(transparent)]
    Kernels(#[from] partita_kernels::Error),
}
