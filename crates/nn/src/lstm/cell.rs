//! One layer, a step at a time.

use partita_kernels::{After, Compute, Matrix, Precision, lstm_cell};

use crate::{Error, Result};

/// A layer whose input comes in parts: a step's own input, something that stays the same over all steps, and so on.
///
/// A step is `gates = bias`, what each part adds, [`advance`](Self::advance). A sum that many steps share, such as the
/// bias and a part that stays, may be kept and copied.
pub struct LstmCell {
    width: usize,
    /// `[4 H, part]` each.
    inputs: Vec<Matrix>,
    /// `[4 H, H]`
    recurrent: Matrix,
    /// `[4 H]`
    bias: Vec<f32>,
}

/// What a layer remembers of each sequence: row-major `[B, H]` both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LstmState {
    pub cell: Vec<f32>,
    pub hidden: Vec<f32>,
}

impl LstmState {
    /// The state before a first step.
    pub fn zeros(rows: usize, width: usize) -> LstmState {
        LstmState { cell: vec![0.0; rows * width], hidden: vec![0.0; rows * width] }
    }
}

impl LstmCell {
    /// Of matrices without biases, and the bias of this name; gates in the order of [`lstm_cell`].
    ///
    /// # Errors
    /// A bias that is not finite.
    pub(super) fn new(
        inputs: Vec<Matrix>,
        recurrent: Matrix,
        name: &str,
        bias: Vec<f32>,
    ) -> Result<LstmCell> {
        if let Some(index) = bias.iter().position(|value| !value.is_finite()) {
            let source = partita_kernels::Error::NotFinite { index, value: bias[index].to_string() };
            return Err(Error::Tensor { name: name.to_owned(), source });
        }
        Ok(LstmCell { width: recurrent.in_features(), inputs, recurrent, bias })
    }

    /// Hidden size H.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Inputs of part `part`.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn inputs(&self, part: usize) -> usize {
        self.inputs[part].in_features()
    }

    /// Bytes of the weights of part `part`.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn part_bytes(&self, part: usize) -> usize {
        self.inputs[part].bytes()
    }

    /// Bytes of all weights: what a step reads in which every part takes part.
    pub fn bytes(&self) -> usize {
        self.inputs.iter().chain([&self.recurrent]).map(Matrix::bytes).sum::<usize>() + 4 * self.bias.len()
    }

    /// Makes `gates` `[rows, 4 H]` the bias, where every sum begins.
    pub fn begin(&self, rows: usize, gates: &mut Vec<f32>) {
        gates.clear();
        for _ in 0..rows {
            gates.extend_from_slice(&self.bias);
        }
    }

    /// Adds the product with part `part` of the input to `gates`: `x` `[rows, part]`, `gates` `[rows, 4 H]`.
    ///
    /// # Panics
    /// If there is no such part, or the rows are not as many.
    pub fn add(&self, compute: &mut Compute, part: usize, x: &[f32], gates: &mut [f32]) {
        let weights = &self.inputs[part];
        let inputs = weights.in_features();
        assert_eq!(
            x.len() / inputs,
            gates.len() / weights.out_features(),
            "as many rows of inputs as of gates"
        );
        if weights.precision() == Precision::F32 {
            compute.windows(weights, x, inputs, After::Add, gates);
        } else {
            compute.matmul(weights, x, After::Add, gates);
        }
    }

    /// Adds the product with a row of part `part` that is 1 at `at` and 0 elsewhere to one row of gates, `[4 H]`: a
    /// look-up. Where the weights are int8, this is nearer to the exact product than [`add`](Self::add).
    ///
    /// # Panics
    /// If there is no such input, or `gates` is not one row.
    pub fn add_hot(&self, part: usize, at: usize, gates: &mut [f32]) {
        self.inputs[part].add_input(at, gates);
    }

    /// Takes a step: adds the product with the hidden state to `gates` `[rows, 4 H]` and replaces the state of the
    /// first `rows` sequences; the others stay as they are.
    ///
    /// # Panics
    /// If the state has fewer sequences.
    pub fn advance(&self, compute: &mut Compute, gates: &mut [f32], state: &mut LstmState) {
        let width = self.width;
        let rows = gates.len() / (4 * width);
        compute.matmul(&self.recurrent, &state.hidden[..rows * width], After::Add, gates);
        let states = state.cell.chunks_exact_mut(width).zip(state.hidden.chunks_exact_mut(width));
        for (gates, (cell, hidden)) in gates.chunks_exact(4 * width).zip(states) {
            lstm_cell(compute.path(), gates, cell, hidden);
        }
    }
}
