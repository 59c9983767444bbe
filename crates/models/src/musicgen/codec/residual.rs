//! The residual block: `x + conv1(elu(conv3(elu(x))))`, narrower inside.

use partita_kernels::{After, Compute, Matrix, Order, Precision};
use partita_nn::{Conv, ConvShape, ConvStream, Error, Result};

use super::CodecConfig;
use super::weights::{self, Read};

pub(super) struct Residual {
    channels: usize,
    hidden: usize,
    first: Conv,
    /// `[channels, hidden]`: a window of one frame needs no memory.
    second: Matrix,
}

/// What a block remembers, and room for its frames.
#[derive(Default)]
pub(super) struct ResidualStream {
    conv: ConvStream,
    /// Frames of the input whose output waits for the next one.
    waiting: Vec<f32>,
    inner: Vec<f32>,
    out: Vec<f32>,
}

impl Residual {
    /// `name` is that of the block, for `channels` channels.
    pub fn build(config: &CodecConfig, name: &str, channels: usize, read: &mut Read<'_>) -> Result<Residual> {
        let hidden = channels / config.compress;
        let kernel = config.residual_kernel_size;
        let shape = ConvShape { inputs: channels, outputs: hidden, kernel, stride: 1 };
        let first = weights::conv(read, &format!("{name}.block.1.conv"), shape)?.after_elu();
        let name = format!("{name}.block.3.conv");
        let dense = weights::normalized(read, &name, [channels, hidden, 1])?;
        let bias = read(&format!("{name}.bias"), &[channels])?;
        let second = Matrix::pack(&dense, channels, hidden, Order::OutIn, Precision::F32)
            .and_then(|matrix| matrix.with_bias(&bias))
            .map_err(|source| Error::Tensor { name, source })?;
        Ok(Residual { channels, hidden, first, second })
    }

    /// Takes frames `x` `[t, channels]` and returns those that are now known.
    pub fn push<'s>(&self, compute: &Compute, stream: &'s mut ResidualStream, x: &[f32]) -> &'s [f32] {
        let ResidualStream { conv, waiting, inner, out } = stream;
        waiting.extend_from_slice(x);
        let inner = self.first.push(compute, conv, x, After::Elu, inner);
        self.join(compute, waiting, inner, out)
    }

    /// Ends the sequence; the stream is new afterwards.
    pub fn finish<'s>(&self, compute: &Compute, stream: &'s mut ResidualStream) -> &'s [f32] {
        let ResidualStream { conv, waiting, inner, out } = stream;
        let inner = self.first.finish(compute, conv, After::Elu, inner);
        self.join(compute, waiting, inner, out)
    }

    fn join<'o>(
        &self,
        compute: &Compute,
        waiting: &mut Vec<f32>,
        inner: &[f32],
        out: &'o mut Vec<f32>,
    ) -> &'o [f32] {
        let values = inner.len() / self.hidden * self.channels;
        out.clear();
        out.extend(waiting.drain(..values));
        compute.windows(&self.second, inner, self.hidden, After::Add, out);
        out
    }
}
