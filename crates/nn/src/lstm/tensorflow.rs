//! The weights of TensorFlow's layers.
//!
//! ```text
//! kernel [in + H, 4 H]    rows: the input, then the hidden state    columns: i, j, f, o, H each
//! bias   [4 H]            without the 1 that is added to f
//! ```
//! i is the input gate, j the candidate, f the forget gate and o the output gate. `lstm_cell` has i, f, j, o: two
//! blocks of columns change places while they are read, and the 1 becomes part of the bias.
//!
//! Source: `BasicLSTMCell` and `LSTMBlockCell` of TensorFlow 1, which compute the same.

use std::ops::Range;

use partita_kernels::{Matrix, Precision};

use super::LstmCell;
use crate::tensor_source::TensorSource;
use crate::{Error, Result};

/// Which tensors a layer is made of, and its sizes.
#[derive(Clone, Copy, Debug)]
pub struct TensorflowLstm<'a> {
    /// The name of `[in + H, 4 H]`.
    pub kernel: &'a str,
    /// The name of `[4 H]`.
    pub bias: &'a str,
    /// Sizes of the input's parts, in the order of the kernel's rows: what [`LstmCell::add`] is asked for.
    pub inputs: &'a [usize],
    /// H
    pub width: usize,
    pub precision: Precision,
}

impl TensorflowLstm<'_> {
    /// Reads and packs the layer; what is in memory at once is a few rows of the kernel and what was packed.
    ///
    /// # Errors
    /// A size out of range, a tensor that is missing, misshapen or not finite.
    pub fn load(&self, source: &dyn TensorSource) -> Result<LstmCell> {
        // Sizes that overflow have no tensor of their shape.
        let rows = self.inputs.iter().fold(self.width, |sum, &part| sum.saturating_add(part));
        let gates = self.width.saturating_mul(4);
        let shape = [rows, gates];
        let mut bias = source.floats(self.bias, &[gates])?;
        turn(&mut bias, self.width);
        bias[self.width..2 * self.width].iter_mut().for_each(|forget| *forget += 1.0);
        let mut first = 0;
        let mut part = |rows: usize| {
            let start = first;
            first += rows;
            pack(self.kernel, gates, rows, self.precision, |range| {
                let mut values = source.rows(self.kernel, &shape, start + range.start..start + range.end)?;
                values.chunks_exact_mut(gates).for_each(|row| turn(row, self.width));
                Ok(values)
            })
        };
        let inputs = self.inputs.iter().map(|&rows| part(rows)).collect::<Result<Vec<Matrix>>>()?;
        LstmCell::new(inputs, part(self.width)?, self.bias, bias)
    }
}

/// i, j, f, o to i, f, j, o.
fn turn(row: &mut [f32], width: usize) {
    let (front, back) = row.split_at_mut(2 * width);
    front[width..].swap_with_slice(&mut back[..width]);
}

/// A dense layer, `kernel` `[in, out]` and `bias` `[out]`, as a product with its bias.
///
/// # Errors
/// A size out of range, a tensor that is missing, misshapen or not finite.
pub fn tensorflow_dense(
    source: &dyn TensorSource,
    scope: &str,
    inputs: usize,
    outputs: usize,
    precision: Precision,
) -> Result<Matrix> {
    let (kernel, bias) = (format!("{scope}/kernel"), format!("{scope}/bias"));
    let values = source.floats(&bias, &[outputs])?;
    let matrix =
        pack(&kernel, outputs, inputs, precision, |range| source.rows(&kernel, &[inputs, outputs], range))?;
    matrix.with_bias(&values).map_err(|source| Error::Tensor { name: bias, source })
}

/// A packed matrix whose errors have the tensor's name.
fn pack(
    name: &str,
    outputs: usize,
    inputs: usize,
    precision: Precision,
    rows: impl FnMut(Range<usize>) -> Result<Vec<f32>>,
) -> Result<Matrix> {
    Matrix::pack_streamed(outputs, inputs, precision, rows).map_err(|error| match error {
        Error::Kernels(source) => Error::Tensor { name: name.to_owned(), source },
        named => named,
    })
}
