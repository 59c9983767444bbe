//! The step of a long short-term memory in TensorFlow's layout, and its gradient.
//!
//! Gates lie in the order input, candidate, forget, output; 1 is added to the forget gate's sum and is not
//! part of the stored bias.
//!
//! Source: `tf.contrib.rnn.LSTMBlockCell`, which MusicVAE's checkpoints were trained with.

use crate::math::{sigmoid, tanh};
use crate::multiversion;

multiversion! {
    /// One step of `N` sequences.
    ///
    /// `gates`: `[N, 4 H]` sums, which become the gates' values; `before`: `[N, H]` cells of the step before;
    /// `cell`, `bent` and `hidden`: `[N, H]`, written (`bent = tanh(cell)`, kept for the gradient).
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn lstm_forward(width: usize, gates: &mut [f32], before: &[f32], cell: &mut [f32], bent: &mut [f32], hidden: &mut [f32]) {
        for (row, gates) in gates.chunks_exact_mut(4 * width).enumerate() {
            let span = row * width..(row + 1) * width;
            let (input, rest) = gates.split_at_mut(width);
            let (candidate, rest) = rest.split_at_mut(width);
            let (forget, output) = rest.split_at_mut(width);
            let output = &mut output[..width];
            let (before, cell) = (&before[span.clone()], &mut cell[span.clone()]);
            let (bent, hidden) = (&mut bent[span.clone()], &mut hidden[span]);
            for at in 0..width {
                let (i, j) = (sigmoid(input[at]), tanh(candidate[at]));
                let (f, o) = (sigmoid(forget[at] + 1.0), sigmoid(output[at]));
                let next = f.mul_add(before[at], i * j);
                let curved = tanh(next);
                (input[at], candidate[at], forget[at], output[at]) = (i, j, f, o);
                (cell[at], bent[at], hidden[at]) = (next, curved, o * curved);
            }
        }
    }
}

multiversion! {
    /// Gradient of [`lstm_forward`]: turns `gates` from the gates' values into the gradient of their sums.
    ///
    /// `dhidden`: `[N, H]` gradient of this step's output; `dcell`: `[N, H]` gradient that the next step sent
    /// back through the cells, replaced by the one for the step before.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn lstm_backward(width: usize, gates: &mut [f32], before: &[f32], bent: &[f32], dhidden: &[f32], dcell: &mut [f32]) {
        for (row, gates) in gates.chunks_exact_mut(4 * width).enumerate() {
            let span = row * width..(row + 1) * width;
            let (input, rest) = gates.split_at_mut(width);
            let (candidate, rest) = rest.split_at_mut(width);
            let (forget, output) = rest.split_at_mut(width);
            let output = &mut output[..width];
            let (before, bent) = (&before[span.clone()], &bent[span.clone()]);
            let (dhidden, dcell) = (&dhidden[span.clone()], &mut dcell[span]);
            for at in 0..width {
                let (i, j, f, o) = (input[at], candidate[at], forget[at], output[at]);
                let (dh, curved) = (dhidden[at], bent[at]);
                let dc = (dh * o).mul_add(1.0 - curved * curved, dcell[at]);
                input[at] = dc * j * i * (1.0 - i);
                candidate[at] = dc * i * (1.0 - j * j);
                forget[at] = dc * before[at] * f * (1.0 - f);
                output[at] = dh * curved * o * (1.0 - o);
                dcell[at] = dc * f;
            }
        }
    }
}

multiversion! {
    /// `out += x w` for rows `x` that are mostly zero: entries `starts[n]..starts[n + 1]` of `index` and `value`
    /// say where row `n` is not. `out`: `[N, W]`, `weights`: `[R, W]`, `starts`: `[N + 1]`.
    ///
    /// # Panics
    /// If an index is not below `R`.
    pub fn sparse_rows(width: usize, out: &mut [f32], weights: &[f32], starts: &[u32], index: &[u32], value: &[f32]) {
        for (out, ends) in out.chunks_exact_mut(width).zip(starts.windows(2)) {
            for at in ends[0] as usize..ends[1] as usize {
                let row = &weights[index[at] as usize * width..][..width];
                let factor = value[at];
                for (o, w) in out.iter_mut().zip(row) {
                    *o = factor.mul_add(*w, *o);
                }
            }
        }
    }
}

multiversion! {
    /// Gradient of [`sparse_rows`]: adds `x^T dout` to `dweights`.
    ///
    /// # Panics
    /// If an index is not below `R`.
    pub fn sparse_rows_backward(width: usize, dout: &[f32], dweights: &mut [f32], starts: &[u32], index: &[u32], value: &[f32]) {
        for (dout, ends) in dout.chunks_exact(width).zip(starts.windows(2)) {
            for at in ends[0] as usize..ends[1] as usize {
                let row = &mut dweights[index[at] as usize * width..][..width];
                let factor = value[at];
                for (w, d) in row.iter_mut().zip(dout) {
                    *w = factor.mul_add(*d, *w);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Path;

    fn values(count: usize, seed: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|i| ((i + seed) * 2_654_435_761 % 2003) as f32 / 1001.0 * scale - scale).collect()
    }

    #[test]
    fn a_step_and_its_gradient_have_the_same_bits_on_every_path() {
        let (rows, width) = (3, 37);
        let mut expected = None;
        for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
            let mut gates = values(rows * 4 * width, 1, 3.0);
            let before = values(rows * width, 2, 1.0);
            let mut written = [vec![0.0; rows * width], vec![0.0; rows * width], vec![0.0; rows * width]];
            let [cell, bent, hidden] = &mut written;
            lstm_forward(path, width, &mut gates, &before, cell, bent, hidden);
            let mut dcell = values(rows * width, 9, 1.0);
            lstm_backward(path, width, &mut gates, &before, bent, &values(rows * width, 5, 1.0), &mut dcell);
            let all = gates.iter().chain(&dcell).chain(written.iter().flatten());
            let bits: Vec<u32> = all.map(|value| value.to_bits()).collect();
            assert_eq!(*expected.get_or_insert_with(|| bits.clone()), bits, "{path:?}");
        }
    }

    #[test]
    fn a_step_is_close_to_the_exact_one() {
        let (rows, width) = (2, 19);
        let sums = values(rows * 4 * width, 1, 3.0);
        let before = values(rows * width, 2, 1.0);
        let mut gates = sums.clone();
        let [mut cell, mut bent, mut hidden] = [(); 3].map(|()| vec![0.0; rows * width]);
        let path = Path::from_env().expect("a path");
        lstm_forward(path, width, &mut gates, &before, &mut cell, &mut bent, &mut hidden);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for row in 0..rows {
            for at in 0..width {
                let sum = |gate: usize| f64::from(sums[row * 4 * width + gate * width + at]);
                let next = sigmoid(sum(2) + 1.0) * f64::from(before[row * width + at])
                    + sigmoid(sum(0)) * sum(1).tanh();
                assert!((f64::from(cell[row * width + at]) - next).abs() < 2e-6);
                assert!((f64::from(hidden[row * width + at]) - sigmoid(sum(3)) * next.tanh()).abs() < 2e-6);
            }
        }
    }

    #[test]
    fn sparse_rows_are_a_product_with_a_dense_matrix() {
        let (rows, inputs, width) = (4, 6, 21);
        let weights = values(inputs * width, 3, 1.0);
        let (starts, index, value) = ([0, 1, 1, 4, 5], [5, 0, 3, 3, 1], [1.0, 0.5, -2.0, 1.0, 0.25]);
        let mut dense = vec![0.0; rows * inputs];
        for row in 0..rows {
            for at in starts[row] as usize..starts[row + 1] as usize {
                dense[row * inputs + index[at] as usize] += value[at];
            }
        }
        let path = Path::from_env().expect("a path");
        let mut out = vec![1.0; rows * width];
        sparse_rows(path, width, &mut out, &weights, &starts, &index, &value);
        let dout = values(rows * width, 8, 1.0);
        let mut dweights = vec![0.0; inputs * width];
        sparse_rows_backward(path, width, &dout, &mut dweights, &starts, &index, &value);
        for column in 0..width {
            for row in 0..rows {
                let sum: f32 =
                    (0..inputs).map(|i| dense[row * inputs + i] * weights[i * width + column]).sum();
                assert!((out[row * width + column] - 1.0 - sum).abs() < 1e-5);
            }
            for input in 0..inputs {
                let sum: f32 =
                    (0..rows).map(|row| dense[row * inputs + input] * dout[row * width + column]).sum();
                assert!((dweights[input * width + column] - sum).abs() < 1e-5);
            }
        }
    }
}
