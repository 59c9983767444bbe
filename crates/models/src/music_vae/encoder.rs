//! From steps to a distribution over points: bidirectional layers, and two dense ones on their last states.
//!
//! A hierarchical encoder runs the first level over each segment alone and the second over what became of them.

use partita_kernels::{After, Compute, Matrix, Precision, exp, ln};
use partita_nn::{BiLstm, LstmCell, LstmFrame, Rng, TensorSource, TensorflowLstm, tensorflow_dense};

use super::config::{Level, direction, missing};
use super::{Config, Error, Sequence, latent};

/// Steps of one piece to be encoded.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Of the model's input; any length for a flat encoder, all segments for a hierarchical one.
    pub steps: &'a Sequence,
    /// `[T, C]` for models with controls.
    pub controls: Option<&'a [f32]>,
}

/// Where a piece lies: normal in each of the `Z` dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    /// The middle.
    pub mu: Vec<f32>,
    /// The spread, above 0.
    pub sigma: Vec<f32>,
}

impl Posterior {
    /// A point drawn from it.
    pub fn draw(&self, rng: &mut Rng) -> Vec<f32> {
        let noise = latent::random(self.mu.len(), rng);
        let point = self.mu.iter().zip(&self.sigma).zip(noise);
        point.map(|((mu, sigma), noise)| sigma * noise + mu).collect()
    }
}

/// The first part of a first layer's input is the steps, the second, if any, the controls.
const STEPS: usize = 0;
const CONTROLS: usize = 1;

pub(super) struct Encoder {
    /// One, or two: of steps, and of segments.
    levels: Vec<BiLstm>,
    mu: Matrix,
    sigma: Matrix,
}

impl Encoder {
    /// The layers in `precision`; the dense ones, which are small and give the result, stay f32.
    pub fn load(source: &dyn TensorSource, config: &Config, precision: Precision) -> Result<Encoder, Error> {
        let mut inputs = vec![config.input_depth];
        if config.control_depth > 0 {
            inputs.push(config.control_depth);
        }
        let mut levels = Vec::new();
        for level in &config.levels {
            levels.push(stack(source, level, &inputs, precision)?);
            inputs = vec![level.outputs()];
        }
        let dense = |scope: &str| {
            tensorflow_dense(source, scope, inputs[0], config.z_size, Precision::F32)
                .map_err(|error| named(source, error))
        };
        Ok(Encoder { levels, mu: dense("encoder/mu")?, sigma: dense("encoder/sigma")? })
    }

    /// Bytes of all weights.
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(BiLstm::bytes).sum::<usize>() + self.mu.bytes() + self.sigma.bytes()
    }

    /// Posteriors of checked inputs.
    pub fn run(&self, compute: &mut Compute, config: &Config, inputs: &[Input<'_>]) -> Vec<Posterior> {
        let classes = config.columns().unwrap_or(&[]);
        let [steps, segments] = &self.levels[..] else {
            let lengths: Vec<usize> = inputs.iter().map(|input| input.steps.len()).collect();
            let states = self.levels[0].run(compute, &lengths, |compute, cell, frames, gates| {
                add(compute, cell, classes, inputs, frames, gates);
            });
            return self.posteriors(compute, &states);
        };
        let cut = config.segments.map_or(1, |segments| segments.steps);
        let counts: Vec<usize> = inputs.iter().map(|input| input.steps.len() / cut).collect();
        // Segments of all pieces together; of the first piece first.
        let owner: Vec<(usize, usize)> = counts
            .iter()
            .enumerate()
            .flat_map(|(piece, &count)| (0..count).map(move |segment| (piece, segment * cut)))
            .collect();
        let states = steps.run(compute, &vec![cut; owner.len()], |compute, cell, frames, gates| {
            let frames: Vec<LstmFrame> = frames
                .iter()
                .map(|frame| {
                    let (sequence, first) = owner[frame.sequence];
                    LstmFrame { sequence, step: first + frame.step }
                })
                .collect();
            add(compute, cell, classes, inputs, &frames, gates);
        });
        let width = steps.outputs();
        let firsts: Vec<usize> = counts
            .iter()
            .scan(0, |sum, count| {
                *sum += count;
                Some(*sum - count)
            })
            .collect();
        let states = segments.run(compute, &counts, |compute, cell, frames, gates| {
            let rows = frames
                .iter()
                .flat_map(|frame| &states[(firsts[frame.sequence] + frame.step) * width..][..width]);
            let x: Vec<f32> = rows.copied().collect();
            cell.add(compute, 0, &x, gates);
        });
        self.posteriors(compute, &states)
    }

    fn posteriors(&self, compute: &mut Compute, states: &[f32]) -> Vec<Posterior> {
        let z = self.mu.out_features();
        let rows = states.len() / self.mu.in_features();
        let (mut mu, mut sigma) = (vec![0.0; rows * z], vec![0.0; rows * z]);
        compute.matmul(&self.mu, states, After::Store, &mut mu);
        compute.matmul(&self.sigma, states, After::Store, &mut sigma);
        mu.chunks_exact(z)
            .zip(sigma.chunks_exact(z))
            .map(|(mu, sigma)| Posterior {
                mu: mu.to_vec(),
                sigma: sigma.iter().map(|&value| softplus(value)).collect(),
            })
            .collect()
    }
}

/// `ln(1 + e^x)`
fn softplus(x: f32) -> f32 {
    let power = f64::from(exp(-x.abs()));
    // Added to 1, a small power would lose its digits.
    let rest = if power < 1e-4 { power * (1.0 - power * (0.5 - power / 3.0)) } else { ln(1.0 + power) };
    x.max(0.0) + rest as f32
}

fn stack(
    source: &dyn TensorSource,
    level: &Level,
    inputs: &[usize],
    precision: Precision,
) -> Result<BiLstm, Error> {
    let mut below = inputs.to_vec();
    let mut layers = Vec::new();
    for (index, widths) in level.layers.iter().enumerate() {
        let side = |side: &str, width: usize| {
            cell(source, &direction(&level.scope, index, side), &below, width, precision)
        };
        let pair = [side("fw", widths[0])?, side("bw", widths[1])?];
        layers.push(pair);
        below = vec![widths[0] + widths[1]];
    }
    Ok(BiLstm::new(layers))
}

/// The layer whose tensors are `scope/kernel` and `scope/bias`.
pub(super) fn cell(
    source: &dyn TensorSource,
    scope: &str,
    inputs: &[usize],
    width: usize,
    precision: Precision,
) -> Result<LstmCell, Error> {
    let (kernel, bias) = (format!("{scope}/kernel"), format!("{scope}/bias"));
    let layer = TensorflowLstm { kernel: &kernel, bias: &bias, inputs, width, precision };
    layer.load(source).map_err(|error| named(source, error))
}

/// A missing tensor as [`missing`] explains it.
pub(super) fn named(source: &dyn TensorSource, error: partita_nn::Error) -> Error {
    match error {
        partita_nn::Error::MissingTensor(name) => missing(source, &name),
        other => other.into(),
    }
}

/// Adds what the inputs bring at `frames` to the gates of a first layer.
fn add(
    compute: &mut Compute,
    cell: &LstmCell,
    classes: &[usize],
    inputs: &[Input<'_>],
    frames: &[LstmFrame],
    gates: &mut [f32],
) {
    let width = 4 * cell.width();
    // Frames in a run that are rows share one product; ids are looked up.
    let runs = frames.chunk_by(|a, b| {
        matches!(inputs[a.sequence].steps, Sequence::Rows { .. })
            && matches!(inputs[b.sequence].steps, Sequence::Rows { .. })
    });
    let mut first = 0;
    for run in runs {
        let gates = &mut gates[first * width..][..run.len() * width];
        first += run.len();
        let mut x = Vec::new();
        for frame in run {
            match inputs[frame.sequence].steps {
                Sequence::Tokens { columns, ids } => {
                    let mut offset = 0;
                    for (&id, depth) in ids[frame.step * columns..].iter().zip(classes) {
                        cell.add_hot(STEPS, offset + id as usize, gates);
                        offset += depth;
                    }
                }
                Sequence::Rows { width, values } => {
                    x.extend_from_slice(&values[frame.step * width..][..*width]);
                }
            }
        }
        if !x.is_empty() {
            cell.add(compute, STEPS, &x, gates);
        }
    }
    if inputs.iter().any(|input| input.controls.is_some()) {
        let depth = cell.inputs(CONTROLS);
        let rows = frames.iter().flat_map(|frame| {
            let controls =
                inputs[frame.sequence].controls.expect("all inputs of a model have controls, or none");
            &controls[frame.step * depth..][..depth]
        });
        let x: Vec<f32> = rows.copied().collect();
        cell.add(compute, CONTROLS, &x, gates);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magenta_spreads_are_soft_plus() {
        for i in -8000..4000 {
            let x = i as f32 * 0.01;
            let exact = f64::from(x).exp().ln_1p();
            let error = (f64::from(softplus(x)) - exact).abs();
            assert!(error < 4e-7 * exact, "{x}: {error}");
        }
        assert_eq!(softplus(1e30), 1e30);
    }
}
