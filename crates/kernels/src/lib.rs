//! The arithmetic: the only crate with `unsafe`.
//!
//! Every operation has one definition (`generic`); faster paths give the same bits.
//!
//! # Paths
//! Weights are packed in tiles of sixteen output rows ([`Matrix`]), one register lane per row, so
//! every path walks the same layout. Integer products accumulate exactly; floats accumulate in one
//! chain per output with fused multiply-adds, and sums over a row use sixteen lanes and one
//! reduction tree. Nothing depends on the batch, on the number of threads or on how work was split.
//!
//! On aarch64 the generic bodies are compiled for the baseline NEON; there is no hand-written path.

mod activations;
mod bandwidth;
mod buffer;
mod dispatch;
mod error;
mod generic;
mod kv;
mod lstm;
mod math;
mod matmul;
mod matrix;
mod packed;
mod pool;
mod rows;
mod shared;
mod streamed;
pub mod train;
mod windows;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use bandwidth::bandwidth;
pub use dispatch::Path;
pub use error::Error;
pub use kv::{KvCache, KvPrecision};
pub use lstm::lstm_cell;
pub use math::{elu, erf, exp, exp_minus, gelu, gelu_new, ln, sigmoid, sin, tanh};
pub use math::{elu_slice, exp_slice, gelu_new_slice, gelu_slice, sigmoid_slice, tanh_slice};
pub use matmul::{After, Compute};
pub use matrix::{Matrix, Order, Precision};
pub use packed::{read_floats, write_floats};
pub use pool::Pool;
pub use rows::{add, layer_norm, max, rms_norm, softmax, sum};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
