//! The definition of a tile product: sixteen rows of packed weights times up to
//! [`Kernel::ROWS`] rows of activations.
//!
//! Activations are interleaved by row, so that step `k` of all rows lies together:
//!
//! ```text
//! int8, q4:  [quad][row][4]   four values of one row in a 32-bit word
//! f32:       [k][row]
//! ```
//!
//! Layouts of a tile: see [`Matrix`](crate::Matrix).

/// Rows of weights in a tile, one per lane.
pub(crate) const TILE: usize = 16;
/// Weights that share one scale in the q4 format.
pub(crate) const GROUP: usize = 32;
/// Bytes of one q4 group of a tile: 16 x 32 nibbles, 16 f16 scales.
pub(crate) const GROUP_BYTES: usize = 288;
/// Activation rows of one tile product. With fewer rows than the next size the rest are computed for nothing: less
/// than what a second pass over the tile would cost.
pub(crate) const BLOCKS: [usize; 8] = [1, 2, 3, 4, 6, 8, 12, 16];

/// Where the bytes of `T` int8 tiles lie, from the first byte of the first tile on.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Quads of a tile: steps of 64 bytes.
    pub quads: usize,
    /// Bytes from one quad to the next.
    pub step: usize,
    /// Bytes from one tile to the next.
    pub apart: usize,
}

/// Tile products of one instruction set.
///
/// `B` is one of [`BLOCKS`] and at most [`ROWS`](Self::ROWS). Results are `[row][lane]`.
pub(crate) trait Kernel {
    /// The most activation rows that stay in registers at once.
    const ROWS: usize;

    /// Exact sums of `weight * activation` for `T` tiles, where a weight is stored as `weight + 128` in a `u8`.
    /// The caller takes 128 times the sum of the activations off again. Returns `[tile][row][lane]`.
    ///
    /// # Safety
    /// All quads of `tiles` are readable, `x` has `quads * B` words; the CPU has the instruction set.
    unsafe fn dot_int8<const B: usize, const T: usize>(
        tiles: *const u8,
        layout: Layout,
        x: *const i32,
    ) -> [[[i32; TILE]; B]; T];

    /// Asks for memory that will be read soon; changes nothing.
    #[inline(always)]
    fn fetch(_bytes: &[u8]) {}

    /// For groups in ascending order: `sum = fma(scale, exact integer sum of the group, sum)`.
    /// A weight is stored as `weight + 8`; `sums` holds the sum of the activations, `[group][row]`.
    ///
    /// # Safety
    /// `tile` has `groups * 288` bytes, `x` has `groups * 8 * B` words, `sums` has `groups * B`; the
    /// CPU has the instruction set.
    unsafe fn dot_q4<const B: usize>(
        tile: *const u8,
        groups: usize,
        x: *const i32,
        sums: *const i32,
    ) -> [[f32; TILE]; B];

    /// For `k` in ascending order: `sum = fma(weight, activation, sum)`, for `T` tiles that lie one
    /// after the other (more than one only hides latency). Returns `[tile][row][lane]`.
    ///
    /// # Safety
    /// `tiles` has `T * k * 16` floats, `x` has `k * B`; the CPU has the instruction set.
    unsafe fn dot_f32<const B: usize, const T: usize>(
        tiles: *const f32,
        k: usize,
        x: *const f32,
    ) -> [[[f32; TILE]; B]; T];

    /// `sum over i of weights[i] * values[i][lane]` for `T` neighbouring tiles of a row, in four
    /// chains: `i` belongs to chain `i % 4`, and the chains join as `(0 + 1) + (2 + 3)`.
    ///
    /// # Safety
    /// `weights` has `len` floats; `values` has `len` rows, `stride` apart, of `T * 16` values; the CPU
    /// has the instruction set.
    unsafe fn mix<const T: usize>(
        weights: *const f32,
        len: usize,
        values: *const f32,
        stride: usize,
    ) -> [[f32; TILE]; T];
}

/// Plain Rust, for every CPU.
pub(crate) struct Generic;

impl Kernel for Generic {
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn dot_int8<const B: usize, const T: usize>(
        tiles: *const u8,
        layout: Layout,
        x: *const i32,
    ) -> [[[i32; TILE]; B]; T] {
        // SAFETY: the length is the caller's promise.
        let x = unsafe { std::slice::from_raw_parts(x, layout.quads * B) };
        let mut sums = [[[0; TILE]; B]; T];
        for (tile, sums) in sums.iter_mut().enumerate() {
            for (quad, x) in x.chunks_exact(B).enumerate() {
                let start = tile * layout.apart + quad * layout.step;
                // SAFETY: a quad of a tile, by the caller's promise.
                let weights = unsafe { std::slice::from_raw_parts(tiles.add(start), 4 * TILE) };
                for (sums, x) in sums.iter_mut().zip(x) {
                    let x = x.to_le_bytes().map(|byte| i32::from(byte as i8));
                    for (sum, weights) in sums.iter_mut().zip(weights.chunks_exact(4)) {
                        for (weight, x) in weights.iter().zip(x) {
                            *sum += i32::from(*weight) * x;
                        }
                    }
                }
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn dot_q4<const B: usize>(
        tile: *const u8,
        groups: usize,
        x: *const i32,
        sums: *const i32,
    ) -> [[f32; TILE]; B] {
        // SAFETY: the lengths are the caller's promise.
        let (tile, x, totals) = unsafe {
            (
                std::slice::from_raw_parts(tile, groups * GROUP_BYTES),
                std::slice::from_raw_parts(x, groups * 8 * B),
                std::slice::from_raw_parts(sums, groups * B),
            )
        };
        let mut sums = [[0.0f32; TILE]; B];
        for ((group, x), totals) in
            tile.chunks_exact(GROUP_BYTES).zip(x.chunks_exact(8 * B)).zip(totals.chunks_exact(B))
        {
            let (nibbles, scales) = group.split_at(256);
            for row in 0..B {
                let mut exact = [-8 * totals[row]; TILE];
                for (pair, nibbles) in nibbles.chunks_exact(64).enumerate() {
                    let low = x[2 * pair * B + row].to_le_bytes().map(|byte| i32::from(byte as i8));
                    let high = x[(2 * pair + 1) * B + row].to_le_bytes().map(|byte| i32::from(byte as i8));
                    for (exact, bytes) in exact.iter_mut().zip(nibbles.chunks_exact(4)) {
                        for (at, byte) in bytes.iter().enumerate() {
                            *exact += i32::from(byte & 15) * low[at] + i32::from(byte >> 4) * high[at];
                        }
                    }
                }
                for (lane, exact) in exact.into_iter().enumerate() {
                    let scale = f16_to_f32(u16::from_le_bytes([scales[2 * lane], scales[2 * lane + 1]]));
                    sums[row][lane] = (exact as f32).mul_add(scale, sums[row][lane]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn dot_f32<const B: usize, const T: usize>(
        tiles: *const f32,
        k: usize,
        x: *const f32,
    ) -> [[[f32; TILE]; B]; T] {
        // SAFETY: the lengths are the caller's promise.
        let (tiles, x) = unsafe {
            (std::slice::from_raw_parts(tiles, T * k * TILE), std::slice::from_raw_parts(x, k * B))
        };
        let mut sums = [[[0.0f32; TILE]; B]; T];
        for (at, x) in x.chunks_exact(B).enumerate() {
            for (tile, sums) in sums.iter_mut().enumerate() {
                let weights = &tiles[(tile * k + at) * TILE..][..TILE];
                for (sums, &x) in sums.iter_mut().zip(x) {
                    for (sum, &weight) in sums.iter_mut().zip(weights) {
                        *sum = weight.mul_add(x, *sum);
                    }
                }
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn mix<const T: usize>(
        weights: *const f32,
        len: usize,
        values: *const f32,
        stride: usize,
    ) -> [[f32; TILE]; T] {
        // SAFETY: the length is the caller's promise.
        let weights = unsafe { std::slice::from_raw_parts(weights, len) };
        let mut chains = [[[0.0f32; TILE]; T]; 4];
        for (at, weight) in weights.iter().enumerate() {
            for (tile, sums) in chains[at % 4].iter_mut().enumerate() {
                // SAFETY: row `at` has `T` tiles, by the caller's promise.
                let row = unsafe { std::slice::from_raw_parts(values.add(at * stride + tile * TILE), TILE) };
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum = weight.mul_add(*value, *sum);
                }
            }
        }
        let [a, b, c, d] = chains;
        std::array::from_fn(|tile| {
            std::array::from_fn(|lane| (a[tile][lane] + b[tile][lane]) + (c[tile][lane] + d[tile][lane]))
        })
    }
}

/// Exact for zero, subnormal and normal numbers; scales are never infinite.
#[inline(always)]
pub(crate) fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    // Shifting puts the exponent 112 too low, subnormals included.
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(magnitude.to_bits() | sign)
}

/// Nearest f16, half to even; values beyond the range become the largest f16.
pub(crate) fn f32_to_f16(value: f32) -> u16 {
    const LARGEST: f32 = 65_504.0;
    let sign = (value.to_bits() >> 16) as u16 & 0x8000;
    let magnitude = value.abs().min(LARGEST);
    let half = if magnitude < f32::from_bits((127 - 14) << 23) {
        // Subnormal: a multiple of 2^-24, rounded by the addition.
        let shifted = magnitude + f32::from_bits((127 - 1) << 23);
        (shifted.to_bits() - ((127 - 1) << 23)) as u16
    } else {
        let bits = magnitude.to_bits();
        let rounded = bits + 0xfff + (bits >> 13 & 1);
        ((rounded >> 13) - (112 << 10)) as u16
    };
    sign | half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_f16_survives_a_round_trip() {
        for half in (0..0x7c00).chain(0x8000..0xfc00) {
            assert_eq!(f32_to_f16(f16_to_f32(half)), half);
        }
        assert_eq!(f16_to_f32(0x3c00), 1.0);
        assert_eq!(f16_to_f32(0xc000), -2.0);
        assert_eq!(f16_to_f32(1), 2f32.powi(-24));
        assert_eq!(f32_to_f16(1e9), 0x7bff);
        assert_eq!(f32_to_f16(1.0 + 2f32.powi(-11)), 0x3c00, "half to even");
    }
}
