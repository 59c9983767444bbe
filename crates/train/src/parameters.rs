//! Every weight of the decoder in one flat vector, and where each tensor lies in it.

use std::ops::Range;

use partita_nn::Rng;
use serde::{Deserialize, Serialize};

/// Sizes of the decoder: GPT-2, with a learned vector a style that is added to every input embedding, and rows of
/// features that are added where an example says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub vocab: usize,
    pub context: usize,
    /// 0 for a network without styles.
    pub styles: usize,
    /// A multiple of 16 and of `heads`.
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    /// Rotary positions instead of learned ones.
    #[serde(default)]
    pub rotary: bool,
    /// Rows of features.
    #[serde(default)]
    pub features: usize,
}

/// One tensor of the checkpoint.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub range: Range<usize>,
    /// Whether weight decay applies: matrices yes, biases and norms no.
    pub decays: bool,
}

pub(crate) struct LayerRanges {
    pub norm1: [Range<usize>; 2],
    pub qkv: [Range<usize>; 2],
    pub projection: [Range<usize>; 2],
    pub norm2: [Range<usize>; 2],
    pub inner: [Range<usize>; 2],
    pub outer: [Range<usize>; 2],
}

/// The weights, with names and shapes of HF's GPT-2 layout (`Conv1D`: `[in, out]`).
pub struct Parameters {
    pub shape: Shape,
    pub values: Vec<f32>,
    pub tensors: Vec<Tensor>,
    pub(crate) tokens: Range<usize>,
    pub(crate) positions: Range<usize>,
    pub(crate) styles: Range<usize>,
    pub(crate) features: Range<usize>,
    pub(crate) layers: Vec<LayerRanges>,
    pub(crate) final_norm: [Range<usize>; 2],
}

/// Lays tensors end to end.
#[derive(Default)]
pub(crate) struct Builder {
    pub tensors: Vec<Tensor>,
    pub total: usize,
}

impl Builder {
    fn tensor(&mut self, name: String, shape: &[usize]) -> Range<usize> {
        let range = self.total..self.total + shape.iter().product::<usize>();
        self.total = range.end;
        self.tensors.push(Tensor {
            name,
            shape: shape.to_vec(),
            range: range.clone(),
            decays: shape.len() > 1,
        });
        range
    }

    /// A table, left out when it has no rows.
    fn rows(&mut self, name: &str, rows: usize, width: usize) -> Range<usize> {
        if rows == 0 { self.total..self.total } else { self.tensor(name.into(), &[rows, width]) }
    }

    /// TensorFlow's names for a layer: kernel `[in, out]`, bias `[out]`.
    pub fn kernel(&mut self, name: &str, inputs: usize, outputs: usize) -> [Range<usize>; 2] {
        [
            self.tensor(format!("{name}/kernel"), &[inputs, outputs]),
            self.tensor(format!("{name}/bias"), &[outputs]),
        ]
    }

    fn pair(&mut self, name: &str, weight: &[usize]) -> [Range<usize>; 2] {
        let width = *weight.last().expect("a shape");
        [self.tensor(format!("{name}.weight"), weight), self.tensor(format!("{name}.bias"), &[width])]
    }
}

impl Parameters {
    /// Weights drawn as GPT-2's: normal, deviation 0.02, residual projections scaled by `1/sqrt(2 layers)`.
    pub fn new(shape: Shape, seed: u64) -> Parameters {
        let mut parameters = Parameters::zeros(shape);
        let mut rng = Rng::new(seed, 0);
        let mut normal = || {
            let (u, v) = (rng.f64().max(1e-12), rng.f64());
            ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
        };
        for tensor in &parameters.tensors {
            let values = &mut parameters.values[tensor.range.clone()];
            if tensor.decays {
                let residual = tensor.name.ends_with("c_proj.weight");
                let deviation = if residual { 0.02 / (2.0 * shape.layers as f32).sqrt() } else { 0.02 };
                values.iter_mut().for_each(|x| *x = deviation * normal());
            } else if tensor.name.contains("ln_") && tensor.name.ends_with("weight") {
                values.fill(1.0);
            }
        }
        parameters
    }

    /// The layout with every weight zero.
    pub fn zeros(shape: Shape) -> Parameters {
        let Shape { vocab, context, styles, width, layers, rotary, features, .. } = shape;
        let mut b = Builder::default();
        let tokens = b.tensor("transformer.wte.weight".into(), &[vocab, width]);
        let positions = b.rows("transformer.wpe.weight", if rotary { 0 } else { context }, width);
        let styles = b.rows("style_embeddings.weight", styles, width);
        let features = b.rows("features.weight", features, width);
        let layers = (0..layers)
            .map(|i| {
                let h = format!("transformer.h.{i}");
                LayerRanges {
                    norm1: b.pair(&format!("{h}.ln_1"), &[width]),
                    qkv: b.pair(&format!("{h}.attn.c_attn"), &[width, 3 * width]),
                    projection: b.pair(&format!("{h}.attn.c_proj"), &[width, width]),
                    norm2: b.pair(&format!("{h}.ln_2"), &[width]),
                    inner: b.pair(&format!("{h}.mlp.c_fc"), &[width, 4 * width]),
                    outer: b.pair(&format!("{h}.mlp.c_proj"), &[4 * width, width]),
                }
            })
            .collect();
        let final_norm = b.pair("transformer.ln_f", &[width]);
        Parameters {
            shape,
            values: vec![0.0; b.total],
            tensors: b.tensors,
            tokens,
            positions,
            styles,
            features,
            layers,
            final_norm,
        }
    }
}
