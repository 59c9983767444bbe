//! The encoding half: samples to codes.

use partita_kernels::{After, Compute, add};
use partita_nn::{Conv, ConvShape, ConvStream, Lstm, LstmStream, Tensors};

use super::CodecConfig;
use super::quantizer::Quantizer;
use super::residual::{Residual, ResidualStream};
use super::weights::{self, Read};
use crate::musicgen::Error;

/// Frames whose samples are taken together; bounds the memory of a long clip.
const FRAMES: usize = 25;

/// An encoder, loaded apart from its decoder.
pub struct CodecEncoder {
    hop: usize,
    quantizer: Quantizer,
    first: Conv,
    levels: Vec<Level>,
    lstm: Lstm,
    last: Conv,
}

/// A step down in time: fewer frames, more channels.
struct Level {
    block: Residual,
    down: Conv,
}

/// What the network remembers of a clip, and room for its frames.
#[derive(Default)]
struct EncoderStream {
    first: ConvStream,
    x: Vec<f32>,
    levels: Vec<LevelStream>,
    lstm: LstmStream,
    last: ConvStream,
    latent: Vec<f32>,
}

#[derive(Default)]
struct LevelStream {
    block: ResidualStream,
    down: ConvStream,
    x: Vec<f32>,
}

impl CodecEncoder {
    /// As [`Codec::load`](super::Codec::load), for the other half.
    ///
    /// # Errors
    /// [`Error::Config`] for a variant that is not implemented, [`Error::Weights`] for a tensor that is
    /// missing, misshapen or not finite.
    pub fn load(tensors: &Tensors, prefix: &str, config: &CodecConfig) -> Result<CodecEncoder, Error> {
        CodecEncoder::build(config, &mut |name, shape| weights::read(tensors, prefix, name, shape))
    }

    /// An encoder of random weights, for measuring speed.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn random(config: &CodecConfig, seed: u64) -> Result<CodecEncoder, Error> {
        CodecEncoder::build(config, &mut weights::random(seed))
    }

    fn build(config: &CodecConfig, read: &mut Read<'_>) -> Result<CodecEncoder, Error> {
        config.check()?;
        let shape = |inputs, outputs, kernel, stride| ConvShape { inputs, outputs, kernel, stride };
        let mut channels = config.num_filters;
        let first = shape(1, channels, config.kernel_size, 1);
        let first = weights::conv(read, "encoder.layers.0.conv", first)?;
        // An activation without weights stands before every strided convolution and the last one, and has a
        // number.
        let (mut levels, mut number) = (Vec::new(), 1);
        for &stride in config.upsampling_ratios.iter().rev() {
            let block = Residual::build(config, &format!("encoder.layers.{number}"), channels, read)?;
            let down = shape(channels, 2 * channels, 2 * stride, stride);
            let down = weights::conv(read, &format!("encoder.layers.{}.conv", number + 2), down)?.after_elu();
            levels.push(Level { block, down });
            (number, channels) = (number + 3, 2 * channels);
        }
        let lstm = Lstm::load(channels, config.num_lstm_layers, |name, shape| {
            read(&format!("encoder.layers.{number}.lstm.{name}"), shape)
        })?;
        let last = shape(channels, config.hidden_size, config.last_kernel_size, 1);
        let last = weights::conv(read, &format!("encoder.layers.{}.conv", number + 2), last)?.after_elu();
        let quantizer = Quantizer::build(config, read)?;
        Ok(CodecEncoder { hop: config.hop(), quantizer, first, levels, lstm, last })
    }

    /// K.
    pub fn codebooks(&self) -> usize {
        self.quantizer.codebooks()
    }

    /// The codes `[K][T]` of samples at the codec's rate: a frame for each `hop` samples begun.
    ///
    /// # Errors
    /// [`Error::Range`] for a sample that is not finite or far beyond full scale.
    pub fn encode(&self, compute: &mut Compute, samples: &[f32]) -> Result<Vec<Vec<u32>>, Error> {
        let mut codes = vec![Vec::with_capacity(samples.len().div_ceil(self.hop)); self.codebooks()];
        self.run(compute, samples, |compute, latent| self.quantizer.quantize(compute, latent, &mut codes))?;
        Ok(codes)
    }

    /// The frames `[T, hidden_size]` before they are replaced by codes.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn latent(&self, compute: &mut Compute, samples: &[f32]) -> Result<Vec<f32>, Error> {
        let mut all = Vec::new();
        self.run(compute, samples, |_, latent| all.extend_from_slice(latent))?;
        Ok(all)
    }

    fn run(
        &self,
        compute: &mut Compute,
        samples: &[f32],
        mut take: impl FnMut(&Compute, &mut [f32]),
    ) -> Result<(), Error> {
        // Audio is about [-1, 1]; what is far beyond is not audio, and could overflow.
        const LARGEST: f32 = 1e6;
        if let Some(sample) = samples.iter().find(|sample| !(-LARGEST..=LARGEST).contains(*sample)) {
            return Err(Error::range("sample", format!("[-{LARGEST}, {LARGEST}]"), sample));
        }
        let mut stream = EncoderStream::default();
        stream.levels.resize_with(self.levels.len(), LevelStream::default);
        for samples in samples.chunks(FRAMES * self.hop) {
            let latent = self.push(compute, &mut stream, samples);
            take(compute, latent);
        }
        let mut latent = self.finish(compute, stream);
        take(compute, &mut latent);
        Ok(())
    }

    /// Takes samples and returns the latent frames that are now known.
    fn push<'s>(
        &self,
        compute: &mut Compute,
        stream: &'s mut EncoderStream,
        samples: &[f32],
    ) -> &'s mut [f32] {
        let EncoderStream { first, x, levels, lstm, last, latent } = stream;
        let mut x = self.first.push(compute, first, samples, After::Store, x);
        for (Level { block, down }, level) in self.levels.iter().zip(levels) {
            let inner = block.push(compute, &mut level.block, x);
            x = down.push(compute, &mut level.down, inner, After::Store, &mut level.x);
        }
        let hidden = self.lstm.push(compute, lstm, x);
        add(compute.path(), x, hidden);
        self.last.push(compute, last, x, After::Store, latent)
    }

    /// Ends the clip: the latent frames that are left.
    fn finish(&self, compute: &mut Compute, stream: EncoderStream) -> Vec<f32> {
        let EncoderStream { mut first, x: mut room, levels, mut lstm, mut last, mut latent } = stream;
        let mut x = self.first.finish(compute, &mut first, After::Store, &mut room).to_vec();
        for (Level { block, down }, mut level) in self.levels.iter().zip(levels) {
            let mut out = Vec::new();
            let inner = block.push(compute, &mut level.block, &x);
            out.extend_from_slice(down.push(compute, &mut level.down, inner, After::Store, &mut level.x));
            let inner = block.finish(compute, &mut level.block);
            out.extend_from_slice(down.push(compute, &mut level.down, inner, After::Store, &mut level.x));
            out.extend_from_slice(down.finish(compute, &mut level.down, After::Store, &mut level.x));
            x = out;
        }
        let hidden = self.lstm.push(compute, &mut lstm, &x);
        add(compute.path(), &mut x, hidden);
        let mut all = self.last.push(compute, &mut last, &x, After::Store, &mut latent).to_vec();
        all.extend_from_slice(self.last.finish(compute, &mut last, After::Store, &mut latent));
        all
    }
}
