//! Activations quantised and laid out for the tile products.
//!
//! Rows are taken in blocks of a power of two; within a block they are interleaved (see
//! [`generic`](crate::generic)), so one broadcast address walks all of them.

use crate::generic::{GROUP, Generic, Kernel};
use crate::math::ROUND;
use crate::matrix::SMALLEST;
use crate::multiversion;
use crate::rows::largest_magnitude;
use crate::shared::SharedMut;
use crate::{Matrix, Path, Pool, Precision};

/// Rows are quantised in parallel above this many values.
const FORK_ROWS_ABOVE: usize = 16_384;

/// Activations in the order the tile products read them: blocks of rows, `[step][row]` in a block.
#[derive(Default)]
pub(crate) struct Activations {
    /// Rows of the largest block.
    pub limit: usize,
    /// Words per row: quads.
    pub stride: usize,
    pub words: Vec<i32>,
    pub floats: Vec<f32>,
    /// One per row.
    pub scales: Vec<f32>,
    /// int8: one per row. q4: `[group][row]` in blocks of rows.
    pub sums: Vec<i32>,
}

impl Activations {
    /// Arranges `x` `[rows, in]` for a product with `weights`.
    pub fn load(&mut self, pool: &Pool, path: Path, weights: &Matrix, x: &[f32]) {
        let k = weights.in_features;
        let rows = x.len() / k;
        self.limit = block_limit(path, weights.precision);
        let limit = self.limit;
        if weights.precision == Precision::F32 {
            self.floats.resize(rows * k, 0.0);
            if rows == 1 {
                self.floats.copy_from_slice(x);
                return;
            }
            let floats = SharedMut::new(&mut self.floats);
            for_rows(pool, rows, x.len(), |row| {
                let Place { first, rows: stride } = place(limit, rows, row);
                for (at, value) in x[row * k..][..k].iter().enumerate() {
                    // SAFETY: an index belongs to one row, and a row to one worker.
                    unsafe { floats.write(first * k + at * stride + row - first, *value) };
                }
            });
            return;
        }
        let grouped = weights.precision == Precision::Q4;
        let groups = k.div_ceil(GROUP);
        self.stride = if grouped { groups * (GROUP / 4) } else { k.div_ceil(4) };
        let stride = self.stride;
        self.words.resize(rows * stride, 0);
        self.scales.resize(rows, 0.0);
        self.sums.resize(rows * if grouped { groups } else { 1 }, 0);
        let words = SharedMut::new(&mut self.words);
        let scales = SharedMut::new(&mut self.scales);
        let sums = SharedMut::new(&mut self.sums);
        for_rows(pool, rows, x.len(), |row| {
            let Place { first, rows: step } = place(limit, rows, row);
            let to = Quantized {
                words: &words,
                sums: &sums,
                word: first * stride + row - first,
                sum: if grouped { first * groups + row - first } else { row },
                step,
                quads: stride,
                grouped,
            };
            let scale = quantize_row(path, &x[row * k..][..k], &to);
            // SAFETY: one element per row, and a row belongs to one worker.
            unsafe { scales.write(row, scale) };
        });
    }
}

fn for_rows(pool: &Pool, rows: usize, values: usize, each: impl Fn(usize) + Sync) {
    if values < FORK_ROWS_ABOVE {
        (0..rows).for_each(each);
    } else {
        pool.run(|worker, workers| (rows * worker / workers..rows * (worker + 1) / workers).for_each(&each));
    }
}

/// The block a row is in.
struct Place {
    first: usize,
    rows: usize,
}

fn place(limit: usize, rows: usize, row: usize) -> Place {
    let mut first = row / limit * limit;
    loop {
        let block = block_rows(limit, rows - first);
        if row < first + block {
            return Place { first, rows: block };
        }
        first += block;
    }
}

/// Where one quantised row goes.
struct Quantized<'a> {
    words: &'a SharedMut<'a, i32>,
    sums: &'a SharedMut<'a, i32>,
    /// Index of the row's first word, and of its first sum.
    word: usize,
    sum: usize,
    /// Rows of its block: the distance between two words of the row.
    step: usize,
    quads: usize,
    grouped: bool,
}

/// `round(x * 127 / max |x|)`, half to even.
#[inline(always)]
pub(crate) fn quantize(value: f32, inverse: f32) -> i8 {
    (value.mul_add(inverse, ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32) as i8
}

/// The scale of a row, and its inverse.
#[inline(always)]
pub(crate) fn quantum(x: &[f32]) -> (f32, f32) {
    let top = largest_magnitude(x);
    if top > SMALLEST { (top / 127.0, 127.0 / top) } else { (0.0, 0.0) }
}

multiversion! {
    /// Quantises a row and returns its scale.
    fn quantize_row(x: &[f32], to: &Quantized<'_>) -> f32 {
        let (scale, inverse) = quantum(x);
        let mut total = 0;
        for (group, values) in x.chunks(GROUP).enumerate() {
            let mut bytes = [0i8; GROUP];
            if let Ok(values) = <&[f32; GROUP]>::try_from(values) {
                for at in 0..GROUP {
                    bytes[at] = quantize(values[at], inverse);
                }
            } else {
                for (byte, value) in bytes.iter_mut().zip(values) {
                    *byte = quantize(*value, inverse);
                }
            }
            let mut sum = 0;
            for byte in bytes {
                sum += i32::from(byte);
            }
            total += sum;
            let first = group * (GROUP / 4);
            for (ahead, word) in bytes.chunks_exact(4).enumerate().take(to.quads - first) {
                let word = i32::from_le_bytes([word[0] as u8, word[1] as u8, word[2] as u8, word[3] as u8]);
                // SAFETY: words and sums at this row's places belong to one worker.
                unsafe { to.words.write(to.word + (first + ahead) * to.step, word) };
            }
            if to.grouped {
                // SAFETY: as above.
                unsafe { to.sums.write(to.sum + group * to.step, sum) };
            }
        }
        if !to.grouped {
            // SAFETY: as above.
            unsafe { to.sums.write(to.sum, total) };
        }
        scale
    }
}

/// Rows of activations in one tile product: a power of two.
fn block_limit(path: Path, precision: Precision) -> usize {
    let rows = match path {
        Path::Generic => Generic::ROWS,
        Path::Avx2 => 4,
        Path::Avx512 => 16,
    };
    // A q4 product holds an integer and a float sum for each row.
    if precision == Precision::Q4 { rows / 2 } else { rows }
}

/// Rows of the next block when `left` are left.
pub(crate) fn block_rows(limit: usize, left: usize) -> usize {
    let mut rows = limit;
    while rows > left {
        rows /= 2;
    }
    rows
}
