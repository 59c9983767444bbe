//! Activations quantised and laid out for the tile products.
//!
//! Rows are taken in blocks of [`BLOCKS`] rows; within a block they are interleaved (see
//! [`generic`](crate::generic)), so one broadcast address walks all of them. The last block may have room for more
//! rows than there are; what is there is never stored.

use crate::generic::{BLOCKS, GROUP, Generic, Kernel};
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
        let room = rows / limit * limit + block_rows(limit, rows % limit);
        if weights.precision == Precision::F32 {
            self.floats.resize(room * k, 0.0);
            if rows == 1 {
                self.floats[..k].copy_from_slice(x);
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
        self.words.resize(room * stride, 0);
        self.scales.resize(room, 0.0);
        self.sums.resize(room * if grouped { groups } else { 1 }, 0);
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
    let first = row / limit * limit;
    Place { first, rows: block_rows(limit, rows - first) }
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
        // A sum for each place in a group: adding them up once, at the end, keeps the loop in registers.
        let mut totals = [0i32; GROUP];
        for (group, values) in x.chunks(GROUP).enumerate() {
            let mut whole = [0i32; GROUP];
            if let Ok(values) = <&[f32; GROUP]>::try_from(values) {
                for at in 0..GROUP {
                    whole[at] = i32::from(quantize(values[at], inverse));
                }
            } else {
                for (whole, value) in whole.iter_mut().zip(values) {
                    *whole = i32::from(quantize(*value, inverse));
                }
            }
            let mut bytes = [0u8; GROUP];
            for at in 0..GROUP {
                bytes[at] = whole[at] as u8;
                totals[at] = totals[at].wrapping_add(whole[at]);
            }
            let mut words = [0i32; GROUP / 4];
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *word = i32::from_le_bytes(*bytes);
            }
            let first = group * (GROUP / 4);
            let words = &words[..words.len().min(to.quads - first)];
            // SAFETY: words and sums at this row's places belong to one worker.
            unsafe { to.words.write_apart(to.word + first * to.step, to.step, words) };
            if to.grouped {
                let sum = whole.iter().fold(0i32, |sum, whole| sum.wrapping_add(*whole));
                // SAFETY: as above.
                unsafe { to.sums.write(to.sum + group * to.step, sum) };
            }
        }
        if !to.grouped {
            let total = totals.iter().fold(0i32, |sum, total| sum.wrapping_add(*total));
            // SAFETY: as above.
            unsafe { to.sums.write(to.sum, total) };
        }
        scale
    }
}

/// The most rows of activations in one tile product.
fn block_limit(path: Path, precision: Precision) -> usize {
    let rows = match path {
        Path::Generic => Generic::ROWS,
        Path::Avx2 => 4,
        Path::Avx512 => 16,
    };
    // A q4 product holds an integer and a float sum for each row.
    if precision == Precision::Q4 { rows / 2 } else { rows }
}

/// Rows of the next block when `left` are left: the smallest that holds them all, or the largest.
pub(crate) fn block_rows(limit: usize, left: usize) -> usize {
    let block = if left == 0 { 0 } else { *BLOCKS.iter().find(|&&rows| rows >= left).unwrap_or(&limit) };
    block.min(limit)
}
