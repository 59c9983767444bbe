//! Products of packed weights with rows of activations: the driver around the tile products.
//!
//! ```text
//! out[row][o] = after(sum over k of weight[o][k] * x[row][k] + bias[o])
//! ```
//!
//! Workers split the outputs, so one pass over the weights serves all rows. A tile of weights stays
//! in the first-level cache while block after block of rows goes by.
//!
//! **Rule:** an output is computed from its weights and its row alone, in one order; block sizes and
//! splits may change, bits may not.

use std::sync::Arc;

use crate::activations::{Activations, block_rows};
use crate::generic::{GROUP, Generic, Kernel, Layout, TILE};
use crate::math::{elu, gelu, gelu_new};
use crate::shared::SharedMut;
use crate::{Matrix, Path, Pool, Precision};

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// `out = product`
    Store,
    /// `out += product`: the residual connection.
    Add,
    /// `out = gelu_new(product)`
    GeluNew,
    /// `out = gelu(product)`
    Gelu,
    /// `out = elu(product)`
    Elu,
}

/// Products below this many multiplications run on the calling thread: the fork would cost as much.
const FORK_ABOVE: usize = 100_000;

/// Tiles taken together, at most.
const TOGETHER: usize = 4;

/// Threads, instruction set and scratch memory of one caller.
pub struct Compute {
    pool: Arc<Pool>,
    path: Path,
    activations: Activations,
}

impl Compute {
    /// # Panics
    /// If this CPU does not have `path`.
    pub fn new(pool: Arc<Pool>, path: Path) -> Compute {
        assert!(path.is_supported(), "this CPU has no {}", path.name());
        Compute { pool, path, activations: Activations::default() }
    }

    /// The threads.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The instruction set.
    pub fn path(&self) -> Path {
        self.path
    }

    /// `x`: `[rows, in]`, `out`: `[rows, out]`, both row-major.
    ///
    /// # Panics
    /// If `x` and `out` do not have the same number of whole rows.
    pub fn matmul(&mut self, weights: &Matrix, x: &[f32], after: After, out: &mut [f32]) {
        let rows = x.len() / weights.in_features;
        assert_eq!(x.len(), rows * weights.in_features, "x must be whole rows of {weights:?}");
        assert_eq!(out.len(), rows * weights.out_features, "out must have {rows} rows of {weights:?}");
        if rows == 0 {
            return;
        }
        let path = self.path;
        self.activations.load(&self.pool, path, weights, x);
        let out = SharedMut::new(out);
        let job = Job { weights, activations: &self.activations, rows, after, out: &out };
        let tiles = weights.tiles();
        if rows * weights.in_features * weights.out_features < FORK_ABOVE {
            run(path, &job, 0, tiles);
        } else {
            self.pool.run(|worker, workers| {
                run(path, &job, tiles * worker / workers, tiles * (worker + 1) / workers);
            });
        }
    }
}

/// One product, shared by the workers.
pub(crate) struct Job<'a> {
    weights: &'a Matrix,
    activations: &'a Activations,
    rows: usize,
    after: After,
    out: &'a SharedMut<'a, f32>,
}

/// Runs tiles `from..to`. Measured on Zen 5, one row, one thread, 4 MB of weights in cache, against the
/// generic path: int8 AVX2 11 times, AVX-512 13 times as fast; q4 19 and 27; f32 30 and 23 (the
/// generic path calls a function for each fused multiply-add).
fn run(path: Path, job: &Job<'_>, from: usize, to: usize) {
    match path {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Compute::new` has checked that this CPU has the path.
        Path::Avx2 => unsafe { crate::x86_64::tiles_avx2(job, from, to) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Path::Avx512 => unsafe { crate::x86_64::tiles_avx512(job, from, to) },
        _ => tiles::<Generic>(job, from, to),
    }
}

/// Tiles `from..to` for all rows, with the kernel of one path.
#[inline(always)]
pub(crate) fn tiles<K: Kernel>(job: &Job<'_>, from: usize, to: usize) {
    let mut tile = from;
    while tile < to {
        let left = (to - tile).min(TOGETHER);
        // A float sum is one chain; with a single row, four tiles at once keep the multipliers busy.
        let together = if job.weights.precision == Precision::F32 && job.rows == 1 && left == TOGETHER {
            float_tiles::<K, 1, TOGETHER>(job, tile, 0);
            TOGETHER
        } else {
            let together = if job.weights.precision == Precision::Int8 { left } else { 1 };
            let mut row = 0;
            while row < job.rows {
                let rows = block_rows(job.activations.limit, job.rows - row);
                match rows {
                    1 => blocks::<K, 1, 1>(job, tile, together, row),
                    2 => blocks::<K, 2, 2>(job, tile, together, row),
                    3 => blocks::<K, 3, 4>(job, tile, together, row),
                    4 => blocks::<K, 4, 4>(job, tile, together, row),
                    6 if K::ROWS >= 6 => blocks::<K, 6, 2>(job, tile, together, row),
                    8 if K::ROWS >= 8 => blocks::<K, 8, 2>(job, tile, together, row),
                    12 if K::ROWS >= 12 => blocks::<K, 12, 2>(job, tile, together, row),
                    16 if K::ROWS >= 16 => blocks::<K, 16, 1>(job, tile, together, row),
                    _ => unreachable!("blocks have at most K::ROWS rows"),
                }
                row += rows;
            }
            together
        };
        tile += together;
    }
    if from == to {
        return;
    }
    match job.after {
        After::Store | After::Add => {}
        After::GeluNew => activate(job, from, to, gelu_new),
        After::Gelu => activate(job, from, to, gelu),
        After::Elu => activate(job, from, to, elu),
    }
}

/// Applies a function to the finished outputs of tiles `from..to`.
#[inline(always)]
fn activate(job: &Job<'_>, from: usize, to: usize, function: impl Fn(f32) -> f32) {
    let outputs = job.weights.out_features;
    for row in 0..job.rows {
        let start = row * outputs;
        // SAFETY: these columns belong to this worker.
        let values = unsafe { job.out.part(start + from * TILE, start + outputs.min(to * TILE)) };
        for value in values.iter_mut() {
            *value = function(*value);
        }
    }
}

/// Rows from `row` on of `count` tiles, `T` at a time as long as there are that many: they share the loads of `B`
/// rows, and give the multipliers `B * T` independent sums.
#[inline(always)]
fn blocks<K: Kernel, const B: usize, const T: usize>(job: &Job<'_>, tile: usize, count: usize, row: usize) {
    match job.weights.precision {
        Precision::F32 => float_tiles::<K, B, 1>(job, tile, row),
        Precision::Q4 => group_tile::<K, B>(job, tile, row),
        Precision::Int8 => {
            let mut done = 0;
            while T > 1 && done + T <= count {
                byte_tiles::<K, B, T>(job, tile + done, row);
                done += T;
            }
            while done < count {
                byte_tiles::<K, B, 1>(job, tile + done, row);
                done += 1;
            }
        }
    }
}

#[inline(always)]
fn byte_tiles<K: Kernel, const B: usize, const T: usize>(job: &Job<'_>, tile: usize, row: usize) {
    let (weights, x) = (job.weights, job.activations);
    let apart = weights.tile_bytes();
    let bytes = &weights.data.bytes()[tile * apart..][..T * apart];
    let words = &x.words[row * x.stride..][..x.stride * B];
    let layout = Layout { quads: x.stride, step: 4 * TILE, apart };
    // SAFETY: a tile has 64 bytes for each of its `stride` quads; `run` has picked a kernel this CPU has.
    let sums = unsafe { K::dot_int8::<B, T>(bytes.as_ptr(), layout, words.as_ptr()) };
    let (scales, totals) = (&x.scales[row..][..B], &x.sums[row..][..B]);
    for (ahead, sums) in sums.iter().enumerate() {
        let tile_scales: &[f32; TILE] = lanes(&weights.scales, tile + ahead);
        let bias: &[f32; TILE] = lanes(&weights.bias, tile + ahead);
        for at in 0..B.min(job.rows - row) {
            let mut values = [0.0; TILE];
            // Nothing wraps (see `Matrix::MAX_IN`); a check for it would keep the loop scalar.
            let offset = totals[at].wrapping_mul(128);
            for lane in 0..TILE {
                let exact = sums[at][lane].wrapping_sub(offset);
                values[lane] = (exact as f32).mul_add(tile_scales[lane] * scales[at], bias[lane]);
            }
            store(job, tile + ahead, row + at, &values);
        }
    }
}

#[inline(always)]
fn group_tile<K: Kernel, const B: usize>(job: &Job<'_>, tile: usize, row: usize) {
    let (weights, x) = (job.weights, job.activations);
    let bytes = &weights.data.bytes()[tile * weights.tile_bytes()..][..weights.tile_bytes()];
    let words = &x.words[row * x.stride..][..x.stride * B];
    let groups = x.stride / (GROUP / 4);
    let totals = &x.sums[row * groups..][..groups * B];
    // SAFETY: `stride` is eight words a group, and `tile_bytes` is 288 for each; `run` has picked a
    // kernel this CPU has.
    let sums = unsafe { K::dot_q4::<B>(bytes.as_ptr(), groups, words.as_ptr(), totals.as_ptr()) };
    let (scales, bias): (_, &[f32; TILE]) = (&x.scales[row..][..B], lanes(&weights.bias, tile));
    for at in 0..B.min(job.rows - row) {
        let mut values = [0.0; TILE];
        for lane in 0..TILE {
            values[lane] = sums[at][lane].mul_add(scales[at], bias[lane]);
        }
        store(job, tile, row + at, &values);
    }
}

#[inline(always)]
fn float_tiles<K: Kernel, const B: usize, const T: usize>(job: &Job<'_>, tile: usize, row: usize) {
    let k = job.weights.in_features;
    let tiles = &job.weights.data.floats()[tile * k * TILE..][..T * k * TILE];
    let x = &job.activations.floats[row * k..][..B * k];
    // SAFETY: the slices have the lengths asked for; `run` has picked a kernel this CPU has.
    let sums = unsafe { K::dot_f32::<B, T>(tiles.as_ptr(), k, x.as_ptr()) };
    for (ahead, sums) in sums.iter().enumerate() {
        let bias: &[f32; TILE] = lanes(&job.weights.bias, tile + ahead);
        for (at, sums) in sums.iter().enumerate().take(job.rows - row) {
            let mut values = [0.0; TILE];
            for lane in 0..TILE {
                values[lane] = sums[lane] + bias[lane];
            }
            store(job, tile + ahead, row + at, &values);
        }
    }
}

#[inline(always)]
fn lanes(values: &[f32], tile: usize) -> &[f32; TILE] {
    values[tile * TILE..][..TILE].try_into().expect("per-row values are padded to whole tiles")
}

#[inline(always)]
fn store(job: &Job<'_>, tile: usize, row: usize, values: &[f32; TILE]) {
    let outputs = job.weights.out_features;
    let (from, to) = (tile * TILE, outputs.min((tile + 1) * TILE));
    // SAFETY: the columns of a tile belong to the worker that computes it.
    let out = unsafe { job.out.part(row * outputs + from, row * outputs + to) };
    match <&mut [f32; TILE]>::try_from(&mut *out) {
        Ok(out) if job.after == After::Add => {
            for lane in 0..TILE {
                out[lane] += values[lane];
            }
        }
        Ok(out) => *out = *values,
        Err(_) if job.after == After::Add => {
            for (out, value) in out.iter_mut().zip(values) {
                *out += value;
            }
        }
        Err(_) => out.copy_from_slice(&values[..out.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Order;
    use crate::matrix::SMALLEST;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| (((i + seed) * 2_654_435_761 % 2003) as f32 / 1001.0 - 1.0) * 0.4).collect()
    }

    fn product(path: Path, threads: usize, weights: &Matrix, x: &[f32], after: After) -> Vec<f32> {
        let rows = x.len() / weights.in_features();
        let mut out = values(rows * weights.out_features(), 5);
        let mut compute = Compute::new(Arc::new(Pool::new(threads).unwrap()), path);
        compute.matmul(weights, x, after, &mut out);
        out
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn a_product_has_the_same_bits_on_every_path_thread_count_and_batch() {
        for (out, inputs) in [(1, 1), (16, 4), (33, 30), (100, 67), (284, 32), (512, 256)] {
            let dense = values(out * inputs, 1);
            for precision in Precision::ALL {
                let weights = Matrix::pack(&dense, out, inputs, Order::OutIn, precision).unwrap();
                let weights = weights.with_bias(&values(out, 9)).unwrap();
                let x = values(35 * inputs, 3);
                let expected = product(Path::Generic, 1, &weights, &x, After::GeluNew);
                for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
                    for (threads, rows) in
                        [(1, 35), (2, 35), (2, 16), (1, 11), (3, 7), (1, 5), (2, 3), (1, 2), (2, 1)]
                    {
                        let got = product(path, threads, &weights, &x[..rows * inputs], After::GeluNew);
                        assert_eq!(
                            bits(&got),
                            bits(&expected[..rows * out]),
                            "{path:?} {precision:?} {rows}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_product_is_close_to_the_exact_one() {
        let (out, inputs, rows) = (70, 100, 3);
        let dense = values(out * inputs, 1);
        let x = values(rows * inputs, 3);
        for (precision, worst) in [(Precision::F32, 1e-5), (Precision::Int8, 0.05), (Precision::Q4, 0.5)] {
            let weights = Matrix::pack(&dense, out, inputs, Order::OutIn, precision).unwrap();
            let got = product(Path::Generic, 1, &weights, &x, After::Store);
            let added = product(Path::Generic, 1, &weights, &x, After::Add);
            let before = values(rows * out, 5);
            for row in 0..rows {
                for o in 0..out {
                    let exact: f32 = (0..inputs).map(|k| dense[o * inputs + k] * x[row * inputs + k]).sum();
                    let at = row * out + o;
                    assert!((got[at] - exact).abs() < worst, "{precision:?}: {exact} became {}", got[at]);
                    assert_eq!(added[at], before[at] + got[at]);
                }
            }
        }
    }

    #[test]
    fn extreme_activations_do_not_overflow() {
        let weights = Matrix::pack(&[1.0; 64], 1, 64, Order::OutIn, Precision::Int8).unwrap();
        for x in [0.0, 1e-38, -3e38, 1e30] {
            for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
                let got = product(path, 1, &weights, &[x; 64], After::Store)[0];
                let exact = if x.abs() < SMALLEST { 0.0 } else { x * 64.0 };
                assert!(got == exact || (got - exact).abs() <= exact.abs() * 1e-5, "{x}: {got}");
            }
        }
    }
}
