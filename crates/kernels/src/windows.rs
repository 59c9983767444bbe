//! Products of f32 weights with overlapping windows of a sequence: convolutions without copies.
//!
//! ```text
//! out[row][o] = after(sum over k of weight[o][k] * x[row * step + k] + bias[o])
//! ```
//!
//! A sequence `[frames, channels]` read in windows of several frames is a convolution: with `step` the values
//! of as many frames as the stride, a window is one run of memory. Rows and weights are read where they lie;
//! a product with few outputs would spend more time on arranging its rows ([`Compute::matmul`]) than on
//! multiplying them.
//!
//! **Rule:** as for `matmul`, an output is one chain over `k` in ascending order, then the bias; blocks and
//! splits may change, bits may not. A weight of zero leaves a chain as it is.

use crate::generic::{Generic, Kernel, TILE};
use crate::math::{elu, gelu, gelu_new};
use crate::shared::SharedMut;
use crate::{After, Compute, Matrix, Path, Precision};

/// Products below this many multiplications run on the calling thread: the fork would cost as much.
const FORK_ABOVE: usize = 100_000;

/// Rows that take part in one pass over the weights: enough that even weights from memory keep up.
const PANEL: usize = 64;

/// Tiles that a block of rows meets before the next block of rows: the rows stay in the first-level cache.
const TILES: usize = 8;

impl Compute {
    /// `x`: any values; row `r` of the product is `x[r * step..][..in]`. `out`: `[rows, out]`, row-major.
    ///
    /// # Panics
    /// If the weights are not f32, `out` is not whole rows or `x` is too short for them.
    pub fn windows(&self, weights: &Matrix, x: &[f32], step: usize, after: After, out: &mut [f32]) {
        assert!(weights.precision == Precision::F32, "windows need f32 weights, got {weights:?}");
        let rows = out.len() / weights.out_features;
        assert_eq!(out.len(), rows * weights.out_features, "out must be whole rows of {weights:?}");
        if rows == 0 {
            return;
        }
        let last = (rows - 1).checked_mul(step).and_then(|start| start.checked_add(weights.in_features));
        assert!(last.is_some_and(|last| last <= x.len()), "x must have {rows} windows of {weights:?}");
        let out = SharedMut::new(out);
        let job = Windows { weights, x, step, after, out: &out };
        let (path, tiles) = (self.path(), weights.tiles());
        if rows * weights.in_features * weights.out_features < FORK_ABOVE {
            return run(path, &job, (0, rows), (0, tiles));
        }
        self.pool().run(|worker, workers| {
            let share = |count: usize, worker: usize| count * worker / workers;
            if rows >= PANEL * workers {
                let blocks = rows.div_ceil(8);
                let end = |worker| rows.min(8 * share(blocks, worker));
                run(path, &job, (end(worker), end(worker + 1)), (0, tiles));
            } else {
                run(path, &job, (0, rows), (share(tiles, worker), share(tiles, worker + 1)));
            }
        });
    }
}

/// One product, shared by the workers.
pub(crate) struct Windows<'a> {
    weights: &'a Matrix,
    x: &'a [f32],
    step: usize,
    after: After,
    out: &'a SharedMut<'a, f32>,
}

/// The window product of one instruction set.
pub(crate) trait WindowKernel: Kernel {
    /// The most rows of one product: 8, or 4 where there are few registers.
    const BLOCK: usize;

    /// For `k` in ascending order: `sum = fma(weight, x, sum)`, for `T` tiles that lie one after the other
    /// and `B` rows that start `step` apart. Returns `[tile][row][lane]`.
    ///
    /// # Safety
    /// `tiles` has `T * k * 16` floats, `x` has `(B - 1) * step + k`; the CPU has the instruction set.
    unsafe fn dot_windows<const B: usize, const T: usize>(
        tiles: *const f32,
        k: usize,
        x: *const f32,
        step: usize,
    ) -> [[[f32; TILE]; B]; T];
}

impl WindowKernel for Generic {
    const BLOCK: usize = 4;

    #[inline(always)]
    unsafe fn dot_windows<const B: usize, const T: usize>(
        tiles: *const f32,
        k: usize,
        x: *const f32,
        step: usize,
    ) -> [[[f32; TILE]; B]; T] {
        // SAFETY: the lengths are the caller's promise.
        let (tiles, x) = unsafe {
            (
                std::slice::from_raw_parts(tiles, T * k * TILE),
                std::slice::from_raw_parts(x, (B - 1) * step + k),
            )
        };
        let mut sums = [[[0.0f32; TILE]; B]; T];
        for at in 0..k {
            for (tile, sums) in sums.iter_mut().enumerate() {
                let weights = &tiles[(tile * k + at) * TILE..][..TILE];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = x[row * step + at];
                    for (sum, &weight) in sums.iter_mut().zip(weights) {
                        *sum = weight.mul_add(x, *sum);
                    }
                }
            }
        }
        sums
    }
}

/// Measured on Zen 5, one thread, decoding with the codec of MusicGen, against the generic path (which calls
/// a function for each fused multiply-add): AVX2 180 times, AVX-512 280 times as fast.
fn run(path: Path, job: &Windows<'_>, rows: (usize, usize), tiles: (usize, usize)) {
    match path {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Compute::new` has checked that this CPU has the path.
        Path::Avx2 => unsafe { crate::x86_64::windows_avx2(job, rows, tiles) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Path::Avx512 => unsafe { crate::x86_64::windows_avx512(job, rows, tiles) },
        _ => windows::<Generic>(job, rows, tiles),
    }
}

/// Rows and tiles `from..to`, with the kernel of one path.
#[inline(always)]
pub(crate) fn windows<K: WindowKernel>(job: &Windows<'_>, rows: (usize, usize), tiles: (usize, usize)) {
    let mut first = rows.0;
    while first < rows.1 {
        let last = rows.1.min(first + PANEL);
        let mut tile = tiles.0;
        while tile < tiles.1 {
            let end = tiles.1.min(tile + TILES);
            let mut row = first;
            while row < last {
                let left = last - row;
                // Blocks of fewer rows take more tiles, for as many independent sums.
                row += if K::BLOCK == 8 && left >= 8 {
                    block::<K, 8, 2>(job, row, tile, end)
                } else if left >= 4 {
                    if K::BLOCK == 8 {
                        block::<K, 4, 4>(job, row, tile, end)
                    } else {
                        block::<K, 4, 1>(job, row, tile, end)
                    }
                } else if left >= 2 {
                    block::<K, 2, 2>(job, row, tile, end)
                } else if K::BLOCK == 8 {
                    block::<K, 1, 8>(job, row, tile, end)
                } else {
                    block::<K, 1, 4>(job, row, tile, end)
                };
            }
            tile = end;
        }
        first = last;
    }
}

/// `B` rows from `row` on of the tiles, `T` at a time as long as there are that many. Returns `B`.
#[inline(always)]
fn block<K: WindowKernel, const B: usize, const T: usize>(
    job: &Windows<'_>,
    row: usize,
    mut tile: usize,
    end: usize,
) -> usize {
    while tile + T <= end {
        product::<K, B, T>(job, row, tile);
        tile += T;
    }
    while T > 1 && tile < end {
        product::<K, B, 1>(job, row, tile);
        tile += 1;
    }
    B
}

#[inline(always)]
fn product<K: WindowKernel, const B: usize, const T: usize>(job: &Windows<'_>, row: usize, tile: usize) {
    let k = job.weights.in_features;
    let tiles = &job.weights.data.floats()[tile * k * TILE..][..T * k * TILE];
    let x = &job.x[row * job.step..][..(B - 1) * job.step + k];
    // SAFETY: the slices have the lengths asked for; `run` has picked a kernel this CPU has.
    let sums = unsafe { K::dot_windows::<B, T>(tiles.as_ptr(), k, x.as_ptr(), job.step) };
    for (ahead, sums) in sums.iter().enumerate() {
        let bias = &job.weights.bias[(tile + ahead) * TILE..][..TILE];
        for (at, sums) in sums.iter().enumerate() {
            let mut values = [0.0; TILE];
            for lane in 0..TILE {
                values[lane] = sums[lane] + bias[lane];
            }
            store(job, row + at, tile + ahead, &values);
        }
    }
}

#[inline(always)]
fn store(job: &Windows<'_>, row: usize, tile: usize, values: &[f32; TILE]) {
    let outputs = job.weights.out_features;
    let (from, to) = (tile * TILE, outputs.min((tile + 1) * TILE));
    // SAFETY: a row and a tile of it belong to one worker.
    let out = unsafe { job.out.part(row * outputs + from, row * outputs + to) };
    if let Ok(out) = <&mut [f32; TILE]>::try_from(&mut *out) {
        put(job.after, values, out);
    } else {
        let mut whole = [0.0; TILE];
        whole[..out.len()].copy_from_slice(out);
        put(job.after, values, &mut whole);
        out.copy_from_slice(&whole[..out.len()]);
    }
}

#[inline(always)]
fn put(after: After, values: &[f32; TILE], out: &mut [f32; TILE]) {
    match after {
        After::Store => *out = *values,
        After::Add => each(values, out, |value, out| out + value),
        After::GeluNew => each(values, out, |value, _| gelu_new(value)),
        After::Gelu => each(values, out, |value, _| gelu(value)),
        After::Elu => each(values, out, |value, _| elu(value)),
    }
}

/// A loop, since `array::map` is not inlined and so is compiled without the path's instructions.
#[inline(always)]
fn each(values: &[f32; TILE], out: &mut [f32; TILE], function: impl Fn(f32, f32) -> f32) {
    for lane in 0..TILE {
        out[lane] = function(values[lane], out[lane]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Order, Pool};

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| (((i + seed) * 2_654_435_761 % 2003) as f32 / 1001.0 - 1.0) * 0.4).collect()
    }

    fn compute(path: Path, threads: usize) -> Compute {
        Compute::new(Arc::new(Pool::new(threads).unwrap()), path)
    }

    fn weights(out: usize, inputs: usize) -> Matrix {
        let dense = values(out * inputs, 1);
        let matrix = Matrix::pack(&dense, out, inputs, Order::OutIn, Precision::F32).unwrap();
        matrix.with_bias(&values(out, 9)).unwrap()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn windows_give_the_bits_of_the_product_with_their_copies() {
        for (out, inputs, step) in
            [(1, 1, 1), (16, 7, 1), (33, 30, 10), (70, 24, 24), (284, 32, 8), (48, 48, 0)]
        {
            let weights = weights(out, inputs);
            for rows in [1, 2, 3, 4, 5, 7, 8, 15, 61, 64, 133, 200] {
                let x = values((rows - 1) * step + inputs, 3);
                let copies: Vec<f32> =
                    (0..rows).flat_map(|row| x[row * step..][..inputs].iter().copied()).collect();
                for after in [After::Store, After::Add, After::Gelu, After::GeluNew, After::Elu] {
                    let mut expected = values(rows * out, 5);
                    compute(Path::Generic, 1).matmul(&weights, &copies, after, &mut expected);
                    for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
                        for threads in [1, 3] {
                            let mut got = values(rows * out, 5);
                            compute(path, threads).windows(&weights, &x, step, after, &mut got);
                            assert_eq!(
                                bits(&got),
                                bits(&expected),
                                "{path:?} {out} {rows} {after:?} {threads}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn leading_and_trailing_zero_weights_change_no_bit() {
        let (inputs, rows) = (21, 9);
        let dense = values(inputs, 1);
        let padded: Vec<f32> = [&[0.0; 5][..], &dense, &[0.0; 6]].concat();
        let x = values(rows * 3 + 32, 3);
        let pack =
            |values: &[f32]| Matrix::pack(values, 1, values.len(), Order::OutIn, Precision::F32).unwrap();
        for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
            let (mut short, mut long) = (vec![0.0; rows], vec![0.0; rows]);
            compute(path, 1).windows(&pack(&dense), &x[5..], 3, After::Store, &mut short);
            compute(path, 1).windows(&pack(&padded), &x, 3, After::Store, &mut long);
            assert_eq!(bits(&short), bits(&long), "{path:?}");
        }
    }

    #[test]
    #[should_panic(expected = "x must have 3 windows")]
    fn a_short_input_is_refused() {
        compute(Path::Generic, 1).windows(&weights(1, 4), &[0.0; 7], 2, After::Store, &mut [0.0; 3]);
    }
}
