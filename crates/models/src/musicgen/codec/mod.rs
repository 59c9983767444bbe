//! EnCodec, the codec of MusicGen: 32,000 samples a second as 50 frames of a few codes, and back.
//!
//! ```text
//! codes [K, T] -> sum of codebook rows -> convolution -> LSTM -> 4 x (transposed convolution, residual)
//!              -> convolution -> samples [640 T]                                     decoder.rs, stream.rs
//! samples      -> convolution -> 4 x (residual block, strided convolution) -> LSTM -> convolution
//!              -> nearest row of each codebook, one after the other -> codes         encoder.rs
//! ```
//! One channel; stereo is two runs. The halves are loaded apart, since most uses need the decoder alone.
//!
//! **Rule:** both halves work piece by piece and the pieces never show: a streamed clip has the samples of a
//! whole one, bit for bit.
//!
//! Source: Défossez et al. 2022, "High Fidelity Neural Audio Compression"; the variant without causal
//! convolutions that was published with MusicGen.

mod config;
mod decoder;
mod encoder;
mod quantizer;
mod residual;
mod stream;
mod weights;

use std::sync::Arc;

use partita_kernels::Compute;
use partita_nn::Tensors;

pub use config::CodecConfig;
pub use encoder::CodecEncoder;
pub use stream::CodecStream;

use super::Error;
use decoder::Decoder;

/// The decoding half: codes to samples.
#[derive(Clone)]
pub struct Codec {
    config: CodecConfig,
    decoder: Arc<Decoder>,
}

impl Codec {
    /// Reads the tensors whose names begin with `prefix` (`audio_encoder.` in a MusicGen checkpoint), under
    /// the old or the new names of normalised weights.
    ///
    /// # Errors
    /// [`Error::Config`] for a variant that is not implemented, [`Error::Weights`] for a tensor that is
    /// missing, misshapen or not finite.
    pub fn load(tensors: &Tensors, prefix: &str, config: &CodecConfig) -> Result<Codec, Error> {
        Codec::build(config, &mut |name, shape| weights::read(tensors, prefix, name, shape))
    }

    /// A codec of random weights, for measuring speed.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn random(config: &CodecConfig, seed: u64) -> Result<Codec, Error> {
        Codec::build(config, &mut weights::random(seed))
    }

    fn build(config: &CodecConfig, read: &mut weights::Read<'_>) -> Result<Codec, Error> {
        config.check()?;
        Ok(Codec { config: config.clone(), decoder: Arc::new(Decoder::build(config, read)?) })
    }

    /// Sizes.
    pub fn config(&self) -> &CodecConfig {
        &self.config
    }

    /// The samples of `codes`, K rows of T codes: `T * hop` values, about `[-1, 1]` (not clipped).
    ///
    /// # Errors
    /// [`Error::Range`] for another number of rows, rows of different lengths or a code that is not in the
    /// codebook.
    pub fn decode<C: AsRef<[u32]>>(&self, compute: &mut Compute, codes: &[C]) -> Result<Vec<f32>, Error> {
        let mut stream = self.stream();
        let mut samples = stream.push(compute, codes)?;
        samples.extend(stream.finish(compute));
        Ok(samples)
    }

    /// A clip whose codes come in pieces.
    pub fn stream(&self) -> CodecStream {
        CodecStream::new(Arc::clone(&self.decoder))
    }
}
