//! Layers in a row, over a sequence that comes whole or in pieces, with the weights of `torch.nn.LSTM`.
//!
//! What a layer adds from its input is one product for all frames of a piece; only the product with the last
//! hidden state goes frame by frame. A layer takes a whole piece before the next layer starts, so that its
//! recurrent weights are read from the cache for all frames but the first.

use partita_kernels::{Compute, Matrix, Order, Precision};

use super::{LstmCell, LstmState};
use crate::{Error, Result};

/// Layers of equal width.
pub struct Lstm {
    width: usize,
    layers: Vec<LstmCell>,
}

/// What the layers remember, and room for their sums.
#[derive(Default)]
pub struct LstmStream {
    /// One a layer; empty at the start.
    states: Vec<LstmState>,
    /// `[T, 4 H]`
    gates: Vec<f32>,
    /// `[T, H]`
    hidden: Vec<f32>,
}

impl Lstm {
    /// Reads `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0` and so on, as `torch.nn.LSTM` names
    /// them.
    ///
    /// # Errors
    /// What `tensor(name, shape)` refuses; a weight that is not finite.
    pub fn load(
        width: usize,
        layers: usize,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Lstm> {
        let mut all = Vec::new();
        for layer in 0..layers {
            let mut bias = tensor(&format!("bias_ih_l{layer}"), &[4 * width])?;
            for (bias, other) in bias.iter_mut().zip(tensor(&format!("bias_hh_l{layer}"), &[4 * width])?) {
                *bias += other;
            }
            let mut matrix = |name: String| {
                let weights = tensor(&name, &[4 * width, width])?;
                Matrix::pack(&weights, 4 * width, width, Order::OutIn, Precision::F32)
                    .map_err(|source| Error::Tensor { name, source })
            };
            let input = matrix(format!("weight_ih_l{layer}"))?;
            let recurrent = matrix(format!("weight_hh_l{layer}"))?;
            all.push(LstmCell::new(vec![input], recurrent, &format!("bias_ih_l{layer}"), bias)?);
        }
        Ok(Lstm { width, layers: all })
    }

    /// The last layer's hidden states `[T, H]` for `x` `[T, H]`, which follows what the stream has seen.
    pub fn push<'s>(&self, compute: &mut Compute, stream: &'s mut LstmStream, x: &[f32]) -> &'s [f32] {
        let (width, frames) = (self.width, x.len() / self.width);
        if stream.states.is_empty() {
            stream.states.resize(self.layers.len(), LstmState::zeros(1, width));
        }
        stream.hidden.clear();
        stream.hidden.extend_from_slice(x);
        for (layer, state) in self.layers.iter().zip(&mut stream.states) {
            layer.begin(frames, &mut stream.gates);
            layer.add(compute, 0, &stream.hidden, &mut stream.gates);
            let outputs = stream.hidden.chunks_exact_mut(width);
            for (gates, output) in stream.gates.chunks_exact_mut(4 * width).zip(outputs) {
                layer.advance(compute, gates, state);
                output.copy_from_slice(&state.hidden);
            }
        }
        &stream.hidden
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use partita_kernels::{Path, Pool};

    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| (((i + seed) * 2_654_435_761 % 2003) as f32 / 1001.0 - 1.0) * 0.5).collect()
    }

    fn tensor(name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let seed = name.bytes().fold(0, |seed, byte| seed * 31 % 9973 + usize::from(byte));
        Ok(values(shape.iter().product(), seed))
    }

    fn plainly(width: usize, layers: usize, x: &[f32]) -> Vec<f32> {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut rows: Vec<f64> = x.iter().map(|&value| f64::from(value)).collect();
        for layer in 0..layers {
            let read = |name: &str, count: usize| -> Vec<f64> {
                let values = tensor(&format!("{name}_l{layer}"), &[count]).unwrap();
                values.into_iter().map(f64::from).collect()
            };
            let (input, recurrent) =
                (read("weight_ih", 4 * width * width), read("weight_hh", 4 * width * width));
            let (bias, other) = (read("bias_ih", 4 * width), read("bias_hh", 4 * width));
            let (mut hidden, mut cell) = (vec![0.0; width], vec![0.0; width]);
            for x in rows.chunks_exact_mut(width) {
                let gate = |row: usize| {
                    let dot = |weights: &[f64], x: &[f64]| -> f64 {
                        weights[row * width..][..width].iter().zip(x).map(|(a, b)| a * b).sum()
                    };
                    dot(&input, x) + dot(&recurrent, &hidden) + bias[row] + other[row]
                };
                let gates: Vec<f64> = (0..4 * width).map(gate).collect();
                for at in 0..width {
                    let gate = |index: usize| gates[index * width + at];
                    cell[at] = sigmoid(gate(1)) * cell[at] + sigmoid(gate(0)) * gate(2).tanh();
                    hidden[at] = sigmoid(gate(3)) * f64::tanh(cell[at]);
                }
                x.copy_from_slice(&hidden);
            }
        }
        rows.into_iter().map(|value| value as f32).collect()
    }

    #[test]
    fn pieces_give_the_bits_of_the_whole_on_every_path_and_the_values_of_the_definition() {
        let (width, layers, frames) = (20, 2, 11);
        let lstm = Lstm::load(width, layers, tensor).unwrap();
        let x = values(frames * width, 77);
        let expected = plainly(width, layers, &x);
        let mut first: Option<Vec<f32>> = None;
        for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
            for pieces in [vec![11], vec![1; 11], vec![4, 0, 7]] {
                let mut compute = Compute::new(Arc::new(Pool::new(2).unwrap()), path);
                let (mut stream, mut got, mut rest) = (LstmStream::default(), Vec::new(), &x[..]);
                for piece in pieces {
                    let (part, after) = rest.split_at(piece * width);
                    got.extend_from_slice(lstm.push(&mut compute, &mut stream, part));
                    rest = after;
                }
                for (got, expected) in got.iter().zip(&expected) {
                    assert!((got - expected).abs() < 2e-6, "{got} is not {expected}");
                }
                assert_eq!(*first.get_or_insert_with(|| got.clone()), got, "{path:?}");
            }
        }
        assert_eq!(first.map(|got| got.len()), Some(expected.len()));
    }

    #[test]
    fn a_refused_tensor_is_passed_on() {
        let missing = |name: &str, _: &[usize]| Err(Error::MissingTensor(name.to_owned()));
        let error = Lstm::load(4, 1, missing).err().unwrap().to_string();
        assert_eq!(error, "tensor \"bias_ih_l0\" is missing");
    }
}
