//! What can be wrong with what the kernels are given.

/// An argument out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("PARTITA_THREADS must be a whole number in 1..={max}, got {got:?}")]
    ThreadsVariable { max: usize, got: String },
    #[error("threads must be in 1..={max}, got {got}")]
    Threads { max: usize, got: usize },
    #[error("a {out_features} x {in_features} matrix needs {expected} values, got {got}")]
    MatrixLength { out_features: usize, in_features: usize, expected: usize, got: usize },
    #[error("{name} must be in 1..={max}, got {got}")]
    MatrixSize { name: &'static str, max: usize, got: usize },
    #[error("weight {index} must be finite, got {value}")]
    NotFinite { index: usize, value: String },
    #[error("worker threads could not be started: {0}")]
    Spawn(String),
}
