//! Memory layers over whole windows, forward and backward, for many windows at once.
//!
//! Buffers are time-major: `[T, N, W]`, so that a step of all windows is one matrix.

use std::ops::Range;

use partita_kernels::Path;
use partita_kernels::train::{self as k, Mat, MatMut, matmul};

use super::weights::{Cell, Linear};

pub(super) fn resize(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    buffer
}

/// `out = beta out + x w`, with `x: [N, in]`, `w: [in, out]`.
pub(super) fn product(out: &mut [f32], beta: f32, x: &[f32], w: &[f32], rows: usize) {
    let (inputs, outputs) = (x.len() / rows, out.len() / rows);
    matmul(
        MatMut::new(out, rows, outputs, outputs),
        beta,
        1.0,
        Mat::new(x, rows, inputs, inputs),
        Mat::new(w, inputs, outputs, outputs),
    );
}

/// `dx = beta dx + dy w^T`: the gradient of [`product`] towards `x`.
pub(super) fn product_input(dx: &mut [f32], beta: f32, dy: &[f32], w: &[f32], rows: usize) {
    let (inputs, outputs) = (dx.len() / rows, dy.len() / rows);
    matmul(
        MatMut::new(dx, rows, inputs, inputs),
        beta,
        1.0,
        Mat::new(dy, rows, outputs, outputs),
        Mat::new(w, inputs, outputs, outputs).t(),
    );
}

/// `dw += x^T dy`: the gradient of [`product`] towards `w`.
pub(super) fn product_weights(dw: &mut [f32], x: &[f32], dy: &[f32], rows: usize) {
    let (inputs, outputs) = (x.len() / rows, dy.len() / rows);
    matmul(
        MatMut::new(dw, inputs, outputs, outputs),
        1.0,
        1.0,
        Mat::new(x, rows, inputs, inputs).t(),
        Mat::new(dy, rows, outputs, outputs),
    );
}

/// `out = x w + b`.
pub(super) fn linear(path: Path, out: &mut [f32], p: &[f32], layer: &Linear, x: &[f32], rows: usize) {
    let [weight, bias] = layer;
    product(out, 0.0, x, &p[weight.clone()], rows);
    k::add_bias(path, out, &p[bias.clone()]);
}

/// Gradients of [`linear`] towards its weights.
pub(super) fn linear_weights(path: Path, g: &mut [f32], layer: &Linear, x: &[f32], dy: &[f32], rows: usize) {
    let [weight, bias] = layer;
    product_weights(&mut g[weight.clone()], x, dy, rows);
    k::bias_backward(path, dy, &mut g[bias.clone()]);
}

/// Rows of numbers that are mostly zero, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sparse {
    /// `[rows + 1]`; empty for no rows at all.
    pub starts: Vec<u32>,
    pub index: Vec<u32>,
    pub value: Vec<f32>,
}

impl Sparse {
    pub fn clear(&mut self) {
        self.starts.clear();
        self.starts.push(0);
        self.index.clear();
        self.value.clear();
    }

    /// Adds a row.
    pub fn push(&mut self, entries: impl IntoIterator<Item = (u32, f32)>) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        for (index, value) in entries {
            self.index.push(index);
            self.value.push(value);
        }
        self.starts.push(self.index.len() as u32);
    }

    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is not zero in row `row`.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let range = self.starts[row] as usize..self.starts[row + 1] as usize;
        self.index[range.clone()].iter().copied().zip(self.value[range].iter().copied())
    }

    /// `out += rows w`
    pub(super) fn add_product(
        &self,
        path: Path,
        rows: Range<usize>,
        w: &[f32],
        width: usize,
        out: &mut [f32],
    ) {
        let starts = &self.starts[rows.start..=rows.end];
        k::sparse_rows(path, width, out, w, starts, &self.index, &self.value);
    }

    /// `dw += rows^T dout`
    pub(super) fn add_gradient(
        &self,
        path: Path,
        rows: Range<usize>,
        dout: &[f32],
        width: usize,
        dw: &mut [f32],
    ) {
        let starts = &self.starts[rows.start..=rows.end];
        k::sparse_rows_backward(path, width, dout, dw, starts, &self.index, &self.value);
    }
}

/// What one memory layer did in a window of T steps for N windows.
#[derive(Default)]
pub(super) struct Memory {
    /// `[T, N, 4 H]`: sums, then gates, then (backward) the gradients of the sums.
    pub gates: Vec<f32>,
    /// `[T + 1, N, H]`: before the first step, and after each.
    pub cells: Vec<f32>,
    pub hidden: Vec<f32>,
    bent: Vec<f32>,
    /// Gradients of the state before the first step, after [`Memory::backward`]: `[N, H]`.
    pub dhidden: Vec<f32>,
    pub dcell: Vec<f32>,
}

impl Memory {
    /// Makes room; the state before the first step is zero.
    pub fn begin(&mut self, width: usize, steps: usize, rows: usize) {
        resize(&mut self.gates, steps * rows * 4 * width);
        resize(&mut self.cells, (steps + 1) * rows * width)[..rows * width].fill(0.0);
        resize(&mut self.hidden, (steps + 1) * rows * width)[..rows * width].fill(0.0);
        resize(&mut self.bent, steps * rows * width);
    }

    /// Sums of step `step`, to be filled before [`Memory::advance`].
    pub fn sums(&mut self, width: usize, step: usize, rows: usize) -> &mut [f32] {
        &mut self.gates[step * rows * 4 * width..][..rows * 4 * width]
    }

    /// Output of step `step`, or the state before the first for `None`.
    pub fn output(&self, width: usize, step: Option<usize>, rows: usize) -> &[f32] {
        &self.hidden[step.map_or(0, |step| step + 1) * rows * width..][..rows * width]
    }

    /// Adds what the layer remembers to the sums of `step` and takes the step.
    pub fn advance(&mut self, path: Path, p: &[f32], cell: &Cell, step: usize, rows: usize) {
        let width = cell.width;
        let (size, at) = (rows * width, step * rows * width);
        let gates = &mut self.gates[4 * at..][..4 * size];
        let (hidden, written) = self.hidden.split_at_mut(at + size);
        product(gates, 1.0, &hidden[at..], &p[cell.recurrent()], rows);
        let (cells, next) = self.cells.split_at_mut(at + size);
        k::lstm_forward(path, width, gates, &cells[at..], next, &mut self.bent[at..], written);
    }

    /// Goes back through all steps: `doutput(step)` gives `[N, H]` gradients of that step's output, or none.
    ///
    /// Leaves the gradients of the sums in `gates` and adds that of the recurrent rows and the bias to `g`.
    pub fn backward<'a>(
        &mut self,
        path: Path,
        p: &[f32],
        cell: &Cell,
        (steps, rows): (usize, usize),
        doutput: impl Fn(usize) -> Option<&'a [f32]>,
        g: &mut [f32],
    ) {
        let width = cell.width;
        let size = rows * width;
        resize(&mut self.dhidden, size).fill(0.0);
        resize(&mut self.dcell, size).fill(0.0);
        for step in (0..steps).rev() {
            let at = step * size;
            if let Some(from_above) = doutput(step) {
                k::add(path, &mut self.dhidden, from_above);
            }
            let gates = &mut self.gates[4 * at..][..4 * size];
            let (before, bent) = (&self.cells[at..][..size], &self.bent[at..][..size]);
            k::lstm_backward(path, width, gates, before, bent, &self.dhidden, &mut self.dcell);
            product_input(&mut self.dhidden, 0.0, gates, &p[cell.recurrent()], rows);
        }
        let before = &self.hidden[..steps * size];
        product_weights(&mut g[cell.recurrent()], before, &self.gates, steps * rows);
        k::bias_backward(path, &self.gates, &mut g[cell.bias.clone()]);
    }
}
