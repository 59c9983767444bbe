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

/// Tile products of one instruction set.
///
/// `B` is 1, 2, 4, 8 or 16 and at most [`ROWS`](Self::ROWS). Results are `[row][lane]`.
pub(crate) trait Kernel {
    /// The most activation rows that stay in registers at once.
    const ROWS: usize;

    /// Exact sums of `weight * activation`, where a weight is stored as `weight + 128` in a `u8`.
    /// The caller takes 128 times the sum of the activations off again.
    ///
    /// # Safety
    /// `tile` has `quads * 64` bytes, `x` has `quads * B` words; the CPU has the instruction set.
    unsafe fn dot_int8<const B: usize>(tile: *const u8, quads: usize, x: *const i32) -> [[i32; TILE]; B];

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
    unsafe fn mix<V: Value, const T: usize>(
        weights: *const f32,
        len: usize,
        values: *const V,
        stride: usize,
    ) -> [[f32; TILE]; T];
}

/// What a value cache holds: `f32` or `i8`.
pub(crate) trait Value: Copy {
    /// The value as a float.
    fn widen(self) -> f32;

    /// Eight values at `at` as floats.
    ///
    /// # Safety
    /// `at` has eight values; the CPU has AVX2.
    #[cfg(target_arch = "x86_64")]
    unsafe fn widen_8(at: *const Self) -> std::arch::x86_64::__m256;

    /// Sixteen values at `at` as floats.
    ///
    /// # Safety
    /// `at` has sixteen values; the CPU has AVX-512.
    #[cfg(target_arch = "x86_64")]
    unsafe fn widen_16(at: *const Self) -> std::arch::x86_64::__m512;
}

/// Plain Rust, for every CPU.
pub(crate) struct Generic;

impl Kernel for Generic {
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn dot_int8<const B: usize>(tile: *const u8, quads: usize, x: *const i32) -> [[i32; TILE]; B] {
        // SAFETY: the lengths are the caller's promise.
        let (tile, x) = unsafe {
            (std::slice::from_raw_parts(tile, quads * 64), std::slice::from_raw_parts(x, quads * B))
        };
        let mut sums = [[0; TILE]; B];
        for (weights, x) in tile.chunks_exact(64).zip(x.chunks_exact(B)) {
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = x.to_le_bytes().map(|byte| i32::from(byte as i8));
                for (sum, weights) in sums.iter_mut().zip(weights.chunks_exact(4)) {
                    for (weight, x) in weights.iter().zip(x) {
                        *sum += i32::from(*weight) * x;
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
    unsafe fn mix<V: Value, const T: usize>(
        weights: *const f32,
        len: usize,
        values: *const V,
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
                    *sum = weight.mul_add(value.widen(), *sum);
                }
            }
        }
        let [a, b, c, d] = chains;
        std::array::from_fn(|tile| {
            std::array::from_fn(|lane| (a[tile][lane] + b[tile][lane]) + (c[tile][lane] + d[tile][lane]))
        })
    }
}

impl Value for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn widen_8(at: *const f32) -> std::arch::x86_64::__m256 {
        // SAFETY: eight floats, by the caller's promise.
        unsafe { std::arch::x86_64::_mm256_loadu_ps(at) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn widen_16(at: *const f32) -> std::arch::x86_64::__m512 {
        // SAFETY: sixteen floats, by the caller's promise.
        unsafe { std::arch::x86_64::_mm512_loadu_ps(at) }
    }
}

impl Value for i8 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from(self)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn widen_8(at: *const i8) -> std::arch::x86_64::__m256 {
        use std::arch::x86_64::*;
        // SAFETY: eight bytes, by the caller's promise.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast()))) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn widen_16(at: *const i8) -> std::arch::x86_64::__m512 {
        use std::arch::x86_64::*;
        // SAFETY: sixteen bytes, by the caller's promise.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at.cast()))) }
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
