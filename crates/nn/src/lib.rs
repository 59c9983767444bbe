//! Networks for inference: weights, the GPT-2 decoder, batched decoding and sampling.
//!
//! Token ids and tensors come in, logits and token ids go out; what a token means is known elsewhere.
//! The same weights, ids and seed give the same bytes on every machine, whatever the batch, the number
//! of threads or the instruction set.
//!
//! ```
//! use partita_nn::{Decoder, Gpt, GptConfig, KvPrecision, Path, Pool, Precision, Rng, Sampler, Sampling};
//! use std::sync::Arc;
//!
//! # fn main() -> partita_nn::Result<()> {
//! let gpt = Arc::new(Gpt::random(GptConfig::new(50, 64, 32, 2, 4), Precision::Int8, 1)?);
//! let mut decoder = Decoder::new(&gpt, Arc::new(Pool::new(1)?), Path::Generic, KvPrecision::Int8);
//! let mut sampler = Sampler::new(Sampling { top_k: 10, ..Sampling::default() })?;
//! let mut rng = Rng::new(42, 0);
//!
//! let sequence = decoder.join(None);
//! decoder.prefill(sequence, &[1, 2, 3])?;
//! let logits = decoder.last_logits(sequence)?.expect("three tokens were taken");
//! let token = sampler.sample(logits, &[1, 2, 3], None, &mut rng)?;
//! let logits = decoder.step(&[(sequence, token)])?;
//! assert_eq!(logits.row(0).len(), 50);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod bench;
mod conv;
mod decoder;
mod error;
mod forward;
mod gpt;
mod lstm;
mod rng;
mod rotary;
mod sample;
mod style;
mod tap;
mod tensor_source;
mod weights;

pub use conv::{Conv, ConvShape, ConvStream, ConvTranspose, ConvTransposeStream};
pub use decoder::{Decoder, Input, Logits, SequenceId};
pub use error::Error;
pub use gpt::{Activation, Gpt, GptConfig};
pub use lstm::{BiLstm, Lstm, LstmCell, LstmFrame, LstmState, LstmStream, TensorflowLstm, tensorflow_dense};
pub use partita_kernels::{KvPrecision, Path, Pool, Precision};
pub use rng::Rng;
pub use rotary::Rotary;
pub use sample::{Sampler, Sampling, guide, log_probability, log_probability_under};
pub use style::StyleEmbedding;
pub use tap::Tap;
pub use tensor_source::TensorSource;
pub use weights::{Bundle, Tensors};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
