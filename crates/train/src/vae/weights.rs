//! Every weight of a flat MusicVAE in one vector, under the names and in the shapes of its checkpoints.

use std::ops::Range;

use partita_nn::Rng;
use serde::{Deserialize, Serialize};

use crate::parameters::{Builder, Tensor};

/// What the decoder's output numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// One of `output` classes a step.
    Categorical,
    /// Hits, velocities and offsets of nine drums a step.
    Groove,
}

/// What the encoder of a groove is given of the performance that the decoder is to play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// Which drums are hit when, straight and of no velocity.
    #[default]
    Hits,
    /// When anything is hit, and how early or late: a rhythm tapped on one drum, of no velocity.
    Taps,
}

/// Sizes of the network. Steps are fed one-hot or multi-hot to the encoder; the decoder has two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeShape {
    pub head: Head,
    /// Of grooves only.
    #[serde(default)]
    pub heard: Heard,
    /// Sixteenths of a window.
    pub steps: usize,
    pub input: usize,
    pub output: usize,
    /// Width of the encoder in each direction.
    pub encoder: usize,
    /// Width of both layers of the decoder.
    pub decoder: usize,
    /// Numbers in the code.
    pub latent: usize,
}

/// Kernel `[in + H, 4 H]` and bias `[4 H]` of a memory layer.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub kernel: Range<usize>,
    pub bias: Range<usize>,
    pub width: usize,
}

impl Cell {
    /// Rows `rows` of the kernel.
    pub fn rows(&self, rows: Range<usize>) -> Range<usize> {
        let columns = 4 * self.width;
        self.kernel.start + rows.start * columns..self.kernel.start + rows.end * columns
    }

    /// The rows that the layer's own output of the step before goes through.
    pub fn recurrent(&self) -> Range<usize> {
        self.kernel.end - 4 * self.width * self.width..self.kernel.end
    }
}

/// Kernel `[in, out]` and bias `[out]`.
pub(crate) type Linear = [Range<usize>; 2];

/// The weights.
pub struct VaeWeights {
    pub shape: VaeShape,
    pub values: Vec<f32>,
    pub tensors: Vec<Tensor>,
    /// Forward and backward.
    pub(crate) encoder: [Cell; 2],
    pub(crate) mu: Linear,
    pub(crate) sigma: Linear,
    pub(crate) initial: Linear,
    pub(crate) decoder: [Cell; 2],
    pub(crate) output: Linear,
}

impl VaeWeights {
    /// Layers as TensorFlow draws them (Glorot, uniform).
    ///
    /// Codes start spread out and sharp (sigma near 0.3). MusicVAE starts them all near zero and blurred; the decoder
    /// then takes long to find out that they tell anything.
    pub fn new(shape: VaeShape, seed: u64) -> VaeWeights {
        let mut weights = VaeWeights::zeros(shape);
        let mut rng = Rng::new(seed, 0);
        for tensor in weights.tensors.iter().filter(|t| t.decays) {
            let (inputs, outputs) = (tensor.shape[0] as f32, tensor.shape[1] as f32);
            let sigma = tensor.name.starts_with("encoder/sigma");
            let bound = if sigma { 0.001 * 3f32.sqrt() } else { (6.0 / (inputs + outputs)).sqrt() };
            for value in &mut weights.values[tensor.range.clone()] {
                *value = bound * (2.0 * rng.f32() - 1.0);
            }
        }
        weights.values[weights.sigma[1].clone()].fill(-1.0);
        weights
    }

    /// The layout with every weight zero.
    pub fn zeros(shape: VaeShape) -> VaeWeights {
        let VaeShape { input, output, encoder, decoder, latent, .. } = shape;
        let mut b = Builder::default();
        let mut cell = |name: String, inputs: usize, width: usize| {
            let [kernel, bias] = b.kernel(&name, inputs + width, 4 * width);
            Cell { kernel, bias, width }
        };
        let side = |side| format!("encoder/cell_0/bidirectional_rnn/{side}/multi_rnn_cell/cell_0/lstm_cell");
        let layer = |i| format!("decoder/multi_rnn_cell/cell_{i}/lstm_cell");
        let encoders = [cell(side("fw"), input, encoder), cell(side("bw"), input, encoder)];
        let decoders = [cell(layer(0), output + latent, decoder), cell(layer(1), decoder, decoder)];
        let mu = b.kernel("encoder/mu", 2 * encoder, latent);
        let sigma = b.kernel("encoder/sigma", 2 * encoder, latent);
        let initial = b.kernel("decoder/z_to_initial_state", latent, 4 * decoder);
        let projection = b.kernel("decoder/output_projection", decoder, output);
        VaeWeights {
            shape,
            values: vec![0.0; b.total],
            tensors: b.tensors,
            encoder: encoders,
            mu,
            sigma,
            initial,
            decoder: decoders,
            output: projection,
        }
    }
}
