//! Packing a matrix that is never in memory as it came: its values arrive in blocks of rows.
//!
//! A kernel of TensorFlow is `[in, out]`, and the largest take more memory than what they are packed to. An int8 scale
//! belongs to a column of it, so those blocks are asked for twice: for the largest magnitudes, then for the weights.
//!
//! **Rule:** the bytes are those of [`Matrix::pack`], whatever the blocks.

use std::ops::Range;

use crate::generic::{GROUP, TILE};
use crate::matrix::inverse;
use crate::{Error, Matrix, Precision, Result};

/// Values of a block, about: 4 MB of floats.
const BLOCK: usize = 1 << 20;

impl Matrix {
    /// Packs what `rows(range)` returns: rows `range` of `[in_features, out_features]`, row-major. Rows are asked for in
    /// order, each once, or twice for int8; a little more than a million values at once, or 32 rows where that is more.
    ///
    /// # Errors
    /// A size out of range, a block of another length, a value that is not finite, and what `rows` refuses.
    pub fn pack_streamed<E: From<Error>>(
        out_features: usize,
        in_features: usize,
        precision: Precision,
        mut rows: impl FnMut(Range<usize>) -> Result<Vec<f32>, E>,
    ) -> Result<Matrix, E> {
        Self::check_size(out_features, in_features)?;
        let step = (BLOCK / out_features / GROUP * GROUP).max(GROUP);
        let blocks = || (0..in_features).step_by(step).map(|first| first..in_features.min(first + step));
        let mut block = |range: Range<usize>| -> Result<Vec<f32>, E> {
            let values = rows(range.clone())?;
            let expected = range.len() * out_features;
            if values.len() != expected {
                let (in_features, got) = (range.len(), values.len());
                return Err(Error::MatrixLength { out_features, in_features, expected, got }.into());
            }
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let index = range.start * out_features + at;
                return Err(Error::NotFinite { index, value: values[at].to_string() }.into());
            }
            Ok(values)
        };
        let mut tops = Vec::new();
        if precision == Precision::Int8 {
            tops.resize(out_features, 0.0f32);
            for range in blocks() {
                for row in block(range)?.chunks_exact(out_features) {
                    for (top, value) in tops.iter_mut().zip(row) {
                        *top = top.max(value.abs());
                    }
                }
            }
        }
        // After the first rows were seen, so that a size that is only said takes no memory.
        let mut matrix = None;
        for range in blocks() {
            let first = range.start;
            let values = block(range)?;
            let matrix =
                matrix.get_or_insert_with(|| Self::empty(out_features, in_features, precision).scaled(&tops));
            matrix.pack_block(first, &values, &tops);
        }
        Ok(matrix.expect("there is at least one input"))
    }

    /// Adds the stored weights of input `at` to `out` `[out_features]`: the product with a row that has a 1 there and
    /// zeros elsewhere, without the bias and without rounding the 1.
    ///
    /// # Panics
    /// If there is no such input, or `out` has another length.
    pub fn add_input(&self, at: usize, out: &mut [f32]) {
        assert!(at < self.in_features, "input {at} of {}", self.in_features);
        assert_eq!(out.len(), self.out_features, "out must have a value for each output of {self:?}");
        for (index, out) in out.iter_mut().enumerate() {
            *out += self.stored(index, at);
        }
    }

    /// With the scales of rows of these largest magnitudes.
    fn scaled(mut self, tops: &[f32]) -> Matrix {
        for (scale, top) in self.scales.iter_mut().zip(tops) {
            *scale = top / 127.0;
        }
        self
    }

    /// Packs rows from `first` on, a multiple of a group. `tops`: int8 only.
    fn pack_block(&mut self, first: usize, values: &[f32], tops: &[f32]) {
        let outputs = self.out_features;
        let rows = values.len() / outputs;
        let padded = rows.next_multiple_of(GROUP);
        // A tile's columns lie far apart in the block: all sixteen are taken out in one pass.
        let mut columns = vec![0.0; TILE * padded];
        for tile in (0..outputs).step_by(TILE) {
            let lanes = TILE.min(outputs - tile);
            for (at, row) in values.chunks_exact(outputs).enumerate() {
                for (lane, value) in row[tile..tile + lanes].iter().enumerate() {
                    columns[lane * padded + at] = *value;
                }
            }
            for (lane, column) in columns.chunks_exact(padded).take(lanes).enumerate() {
                let out = tile + lane;
                self.pack_part(out, first, column, tops.get(out).map_or(0.0, |&top| inverse(top)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Order;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 2_654_435_761 % 1009) as f32 / 504.5 - 1.0) * 0.3).collect()
    }

    fn bytes(matrix: &Matrix) -> Vec<u8> {
        let mut bytes = Vec::new();
        matrix.write_packed(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_streamed_matrix_has_the_bytes_of_a_whole_one() {
        // The last has several blocks.
        for (out, inputs) in [(1, 1), (16, 32), (17, 33), (50, 70), (9000, 301)] {
            let values = values(out * inputs);
            for precision in Precision::ALL {
                let whole = Matrix::pack(&values, out, inputs, Order::InOut, precision).unwrap();
                let mut asked = 0;
                let streamed = Matrix::pack_streamed(out, inputs, precision, |range| {
                    asked += range.len();
                    assert!(range.len() * out <= BLOCK || range.len() <= GROUP, "{range:?} at once");
                    Ok::<_, Error>(values[range.start * out..range.end * out].to_vec())
                });
                assert!(bytes(&streamed.unwrap()) == bytes(&whole), "{whole:?}");
                assert_eq!(asked, inputs * if precision == Precision::Int8 { 2 } else { 1 });
            }
        }
    }

    #[test]
    fn an_added_input_is_the_stored_column() {
        for (out, inputs) in [(1, 1), (17, 33), (50, 70)] {
            for precision in Precision::ALL {
                let values = values(out * inputs);
                let matrix = Matrix::pack(&values, out, inputs, Order::InOut, precision).unwrap();
                for at in [0, inputs / 2, inputs - 1] {
                    let mut sums: Vec<f32> = (0..out).map(|out| out as f32).collect();
                    matrix.add_input(at, &mut sums);
                    for (out, sum) in sums.into_iter().enumerate() {
                        assert_eq!(sum, out as f32 + matrix.row(out)[at], "{matrix:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn bad_blocks_are_named_and_refusals_passed_on() {
        let pack = |out, inputs, rows: &dyn Fn(Range<usize>) -> Result<Vec<f32>>| {
            Matrix::pack_streamed(out, inputs, Precision::F32, rows).unwrap_err().to_string()
        };
        assert_eq!(pack(2, 3, &|_| Ok(vec![0.0; 5])), "a 2 x 3 matrix needs 6 values, got 5");
        assert_eq!(pack(0, 3, &|_| Ok(Vec::new())), "outputs must be in 1..=16777216, got 0");
        let late = |range: Range<usize>| {
            let mut values = vec![0.0; range.len() << 16];
            if range.start > 0 {
                values[1] = f32::NAN;
            }
            Ok(values)
        };
        assert_eq!(pack(1 << 16, 64, &late), "weight 2097153 must be finite, got NaN");
        assert_eq!(
            pack(2, 2, &|_| Err(Error::Spawn("no".into()))),
            "worker threads could not be started: no"
        );
    }
}
