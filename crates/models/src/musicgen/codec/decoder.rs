//! The decoding network.

use partita_kernels::{After, Compute, add};
use partita_nn::{Conv, ConvShape, ConvStream, ConvTranspose, ConvTransposeStream, Lstm, LstmStream, Result};

use super::CodecConfig;
use super::quantizer::Codebooks;
use super::residual::{Residual, ResidualStream};
use super::weights::{self, Read};

/// Values of the frames between two layers at which a piece is passed on: both sides of a layer stay in the
/// second-level cache.
const PIECE: usize = 1 << 16;

/// Frames of codes that go through the first layers together: their weights are most of the codec's, and are
/// read once for all of them.
pub(super) const FRAMES: usize = 50;

pub(super) struct Decoder {
    pub codebooks: Codebooks,
    first: Conv,
    lstm: Lstm,
    levels: Vec<Level>,
    last: Conv,
}

/// One step up in time: fewer channels, more frames.
struct Level {
    inputs: usize,
    /// Input frames of a piece.
    piece: usize,
    up: ConvTranspose,
    block: Residual,
}

/// What the network remembers of a clip, and room for its frames.
#[derive(Default)]
pub(super) struct DecoderStream {
    first: ConvStream,
    lstm: LstmStream,
    x: Vec<f32>,
    levels: Vec<LevelStream>,
    last: Last,
}

#[derive(Default)]
struct LevelStream {
    up: ConvTransposeStream,
    block: ResidualStream,
    x: Vec<f32>,
}

#[derive(Default)]
struct Last {
    conv: ConvStream,
    out: Vec<f32>,
    samples: Vec<f32>,
}

impl DecoderStream {
    /// The samples since the last call.
    pub fn take(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.last.samples)
    }
}

impl Decoder {
    pub fn build(config: &CodecConfig, read: &mut Read<'_>) -> Result<Decoder> {
        let codebooks = Codebooks::build(config, read)?;
        let widest = config.widest();
        let shape = |inputs, outputs, kernel| ConvShape { inputs, outputs, kernel, stride: 1 };
        let first = shape(config.hidden_size, widest, config.kernel_size);
        let first = weights::conv(read, "decoder.layers.0.conv", first)?;
        let lstm = Lstm::load(widest, config.num_lstm_layers, |name, shape| {
            read(&format!("decoder.layers.1.lstm.{name}"), shape)
        })?;
        // An activation without weights precedes every level and the last convolution, and has a number.
        let (mut levels, mut number, mut channels) = (Vec::new(), 3, widest);
        for &stride in &config.upsampling_ratios {
            let shape = ConvShape { inputs: channels, outputs: channels / 2, kernel: 2 * stride, stride };
            let up = weights::conv_transpose(read, &format!("decoder.layers.{number}.conv"), shape)?;
            let name = format!("decoder.layers.{}", number + 1);
            let block = Residual::build(config, &name, channels / 2, read)?;
            let piece = (PIECE / (stride * channels / 2)).max(1);
            levels.push(Level { inputs: channels, piece, up: up.after_elu(), block });
            (number, channels) = (number + 3, channels / 2);
        }
        let last = shape(channels, 1, config.last_kernel_size);
        let last = weights::conv(read, &format!("decoder.layers.{number}.conv"), last)?.after_elu();
        Ok(Decoder { codebooks, first, lstm, levels, last })
    }

    /// Takes latent frames `[t, hidden_size]`; the samples that are now known are added to those of the
    /// stream.
    pub fn push(&self, compute: &mut Compute, stream: &mut DecoderStream, latent: &[f32]) {
        if stream.levels.is_empty() {
            stream.levels.resize_with(self.levels.len(), LevelStream::default);
        }
        let DecoderStream { first, lstm, x, levels, last } = stream;
        let x = self.first.push(compute, first, latent, After::Store, x);
        self.remember(compute, lstm, x);
        self.rise(compute, 0, levels, last, x);
    }

    /// Ends the clip: the samples that are left. The stream is new afterwards.
    pub fn finish(&self, compute: &mut Compute, stream: &mut DecoderStream) -> Vec<f32> {
        let DecoderStream { mut first, mut lstm, x: mut room, levels, mut last } = std::mem::take(stream);
        let x = self.first.finish(compute, &mut first, After::Store, &mut room);
        self.remember(compute, &mut lstm, x);
        let mut x = x.to_vec();
        for (Level { up, block, .. }, mut level) in self.levels.iter().zip(levels) {
            let mut out = Vec::new();
            let wide = up.push(compute, &mut level.up, &x, &mut level.x);
            out.extend_from_slice(block.push(compute, &mut level.block, wide));
            let wide = up.finish(compute, &mut level.up, &mut level.x);
            out.extend_from_slice(block.push(compute, &mut level.block, wide));
            out.extend_from_slice(block.finish(compute, &mut level.block));
            x = out;
        }
        self.rise(compute, self.levels.len(), &mut [], &mut last, &x);
        let Last { mut conv, mut out, mut samples } = last;
        samples.extend_from_slice(self.last.finish(compute, &mut conv, After::Store, &mut out));
        samples
    }

    /// `x += lstm(x)`
    fn remember(&self, compute: &mut Compute, stream: &mut LstmStream, x: &mut [f32]) {
        let hidden = self.lstm.push(compute, stream, x);
        add(compute.path(), x, hidden);
    }

    /// Sends frames through the levels from `level` on, piece by piece.
    fn rise(&self, compute: &Compute, level: usize, streams: &mut [LevelStream], last: &mut Last, x: &[f32]) {
        let Some((stream, above)) = streams.split_first_mut() else {
            let samples = self.last.push(compute, &mut last.conv, x, After::Store, &mut last.out);
            last.samples.extend_from_slice(samples);
            return;
        };
        let Level { inputs, piece, up, block } = &self.levels[level];
        for x in x.chunks(piece * inputs) {
            let wide = up.push(compute, &mut stream.up, x, &mut stream.x);
            let x = block.push(compute, &mut stream.block, wide);
            self.rise(compute, level + 1, above, last, x);
        }
    }
}
