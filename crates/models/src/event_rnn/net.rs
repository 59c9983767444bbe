//! The network: layers, attention around the first or around all of them if there is any, and an output layer.

use partita_kernels::{Compute, Matrix, Order, Precision};
use partita_nn::{LstmCell, LstmState, TensorSource, TensorflowLstm};

use super::Error;
use super::attention::{Attention, MOST_SLOTS, Memory, pick, product};
use super::names::{Layout, Names};

/// The weights. All sizes are those of the tensors.
pub struct Net {
    layers: Vec<LstmCell>,
    attention: Option<Attention>,
    /// Layers inside attention: the first ones.
    inside: usize,
    /// `[V, H]`
    output: Matrix,
}

/// What the network remembers of `rows` sequences that take their steps together.
#[derive(Clone, Debug, PartialEq)]
pub struct NetState {
    rows: usize,
    /// One a layer.
    layers: Vec<LstmState>,
    memory: Option<Memory>,
}

/// The most layers.
const MOST_LAYERS: usize = 64;

impl Net {
    /// Reads the tensors of any generation. `attention`: the outputs that it looks back on, for networks that have
    /// it; the tensors do not tell.
    ///
    /// # Errors
    /// A tensor that is missing, misshapen or not finite, by its own name; [`Error::AttentionLength`] when it is needed
    /// and not given, [`Error::Range`] when it is not in `1..=4096`.
    pub fn load(
        source: &dyn TensorSource,
        attention: Option<usize>,
        precision: Precision,
    ) -> Result<Net, Error> {
        let names = Names::of(source);
        let widths = widths(source, &names)?;
        let inside = match names.layout {
            Layout::Plain => 0,
            Layout::Inner => 1,
            Layout::Outer => widths.len(),
        };
        let attention = match (inside, attention) {
            (0, _) => None,
            (_, None) => return Err(Error::AttentionLength),
            (_, Some(length)) => {
                if !(1..=MOST_SLOTS).contains(&length) {
                    return Err(Error::range("attention", format!("1..={MOST_SLOTS}"), length));
                }
                Some(Attention::load(source, &names, &widths[..inside], length, precision)?)
            }
        };
        let mut inputs = match &attention {
            Some(attention) => attention.inputs(),
            None => {
                let kernel = names.layer(0, "kernel");
                let [rows, _] = matrix_shape(source, &kernel)?;
                let allowed = "[in + width, 4 width]";
                rows.checked_sub(widths[0]).filter(|&inputs| inputs > 0).ok_or_else(|| Error::Shape {
                    name: kernel,
                    allowed,
                    got: vec![rows, 4 * widths[0]],
                })?
            }
        };
        let mut layers = Vec::with_capacity(widths.len());
        for (layer, &width) in widths.iter().enumerate() {
            let (kernel, bias) = (names.layer(layer, "kernel"), names.layer(layer, "bias"));
            let cell = TensorflowLstm { kernel: &kernel, bias: &bias, inputs: &[inputs], width, precision };
            layers.push(cell.load(source)?);
            inputs = width;
        }
        let (weights, biases) = ("fully_connected/weights", "fully_connected/biases");
        let [_, classes] = matrix_shape(source, weights)?;
        let output = dense(source, weights, Some(biases), inputs, classes, precision)?;
        Ok(Net { layers, attention, inside, output })
    }

    /// Numbers of an input.
    pub fn inputs(&self) -> usize {
        self.attention.as_ref().map_or_else(|| self.layers[0].inputs(0), Attention::inputs)
    }

    /// Classes of the answer, V.
    pub fn classes(&self) -> usize {
        self.output.out_features()
    }

    /// Widths of the layers.
    pub fn widths(&self) -> Vec<usize> {
        self.layers.iter().map(LstmCell::width).collect()
    }

    /// Bytes of weights that a step reads.
    pub fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(LstmCell::bytes).sum();
        layers + self.attention.as_ref().map_or(0, Attention::bytes) + self.output.bytes()
    }

    /// The state of `rows` sequences before their first step.
    pub fn start(&self, rows: usize) -> NetState {
        NetState {
            rows,
            layers: self.layers.iter().map(|layer| LstmState::zeros(rows, layer.width())).collect(),
            memory: self.attention.as_ref().map(|attention| attention.memory(rows)),
        }
    }

    /// Takes a step: `x` `[rows, in]`. Returns logits `[rows, V]`.
    ///
    /// # Panics
    /// If `x` has other rows than the state.
    pub fn step(&self, compute: &mut Compute, state: &mut NetState, x: &[f32]) -> Vec<f32> {
        assert_eq!(x.len(), state.rows * self.inputs(), "an input for each of {} sequences", state.rows);
        let hidden = self.hidden(compute, state, x);
        product(compute, &self.output, &hidden)
    }

    /// Takes many steps of a single sequence: `x` `[T, in]`. Returns logits `[T, V]`, the bits of single steps.
    ///
    /// # Panics
    /// If the state is of other than one sequence, or `x` is not whole rows.
    pub fn prefill(&self, compute: &mut Compute, state: &mut NetState, x: &[f32]) -> Vec<f32> {
        assert_eq!(state.rows, 1, "one sequence");
        let inputs = self.inputs();
        assert!(x.len().is_multiple_of(inputs), "whole rows of {inputs}");
        let hidden = if self.attention.is_some() {
            // What a step gets depends on the answer to the one before.
            x.chunks_exact(inputs).flat_map(|x| self.hidden(compute, state, x)).collect()
        } else {
            let mut gates = Vec::new();
            let mut x = x.to_vec();
            for (layer, state) in self.layers.iter().zip(&mut state.layers) {
                layer.begin(x.len() / layer.inputs(0), &mut gates);
                layer.add(compute, 0, &x, &mut gates);
                x.clear();
                for gates in gates.chunks_exact_mut(4 * layer.width()) {
                    layer.advance(compute, gates, state);
                    x.extend_from_slice(&state.hidden);
                }
            }
            x
        };
        product(compute, &self.output, &hidden)
    }

    /// What the output layer gets, `[rows, H]`.
    fn hidden(&self, compute: &mut Compute, state: &mut NetState, x: &[f32]) -> Vec<f32> {
        let NetState { rows, layers: states, memory } = state;
        let mut gates = Vec::new();
        let mut layer = |compute: &mut Compute, at: usize, states: &mut [LstmState], x: &[f32]| {
            let (layer, state) = (&self.layers[at], &mut states[at]);
            layer.begin(*rows, &mut gates);
            layer.add(compute, 0, x, &mut gates);
            layer.advance(compute, &mut gates, state);
            state.hidden.clone()
        };
        let mut x = match (&self.attention, &mut *memory) {
            (Some(attention), Some(memory)) => {
                let mut x = attention.before(compute, memory, x);
                for at in 0..self.inside {
                    x = layer(compute, at, states, &x);
                }
                attention.after(compute, memory, &states[..self.inside], &x)
            }
            _ => x.to_vec(),
        };
        for at in self.inside..self.layers.len() {
            x = layer(compute, at, states, &x);
        }
        x
    }
}

impl NetState {
    /// The state of sequences `rows`, in that order; one may come more than once.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn pick(&self, rows: &[usize]) -> NetState {
        let layer = |layer: &LstmState| LstmState {
            cell: pick(&layer.cell, rows, self.rows),
            hidden: pick(&layer.hidden, rows, self.rows),
        };
        NetState {
            rows: rows.len(),
            layers: self.layers.iter().map(layer).collect(),
            memory: self.memory.as_ref().map(|memory| memory.pick(rows, self.rows)),
        }
    }
}

/// Widths of the layers there are, at least one.
fn widths(source: &dyn TensorSource, names: &Names) -> Result<Vec<usize>, Error> {
    let there = |layer: usize| {
        ["kernel", "bias"].iter().any(|part| source.shape(&names.layer(layer, part)).is_some())
    };
    // Up to the last one, so that a layer missing between others is noticed.
    let count = (0..MOST_LAYERS).rfind(|&layer| there(layer)).map_or(1, |last| last + 1);
    (0..count)
        .map(|layer| {
            let kernel = names.layer(layer, "kernel");
            match matrix_shape(source, &kernel)? {
                [_, gates] if gates > 0 && gates.is_multiple_of(4) => Ok(gates / 4),
                got => {
                    Err(Error::Shape { name: kernel, allowed: "[in + width, 4 width]", got: got.to_vec() })
                }
            }
        })
        .collect()
}

fn matrix_shape(source: &dyn TensorSource, name: &str) -> Result<[usize; 2], Error> {
    let shape = source.shape(name).ok_or_else(|| partita_nn::Error::MissingTensor(name.to_owned()))?;
    <[usize; 2]>::try_from(shape.as_slice()).map_err(|_| Error::Shape {
        name: name.to_owned(),
        allowed: "of two sides",
        got: shape,
    })
}

/// `kernel` `[in, out]` and `bias` `[out]`, packed.
pub(super) fn dense(
    source: &dyn TensorSource,
    kernel: &str,
    bias: Option<&str>,
    inputs: usize,
    outputs: usize,
    precision: Precision,
) -> Result<Matrix, Error> {
    let named = |name: &str, source| partita_nn::Error::Tensor { name: name.to_owned(), source };
    let values = source.floats(kernel, &[inputs, outputs])?;
    let mut matrix = Matrix::pack(&values, outputs, inputs, Order::InOut, precision)
        .map_err(|error| named(kernel, error))?;
    if let Some(bias) = bias {
        let values = source.floats(bias, &[outputs])?;
        matrix = matrix.with_bias(&values).map_err(|error| named(bias, error))?;
    }
    Ok(matrix)
}
