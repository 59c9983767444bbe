//! Tile products with AVX2 and FMA: sixteen rows are two registers.

// A half or a row indexes several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use crate::generic::{GROUP_BYTES, Kernel, Layout, TILE};

pub(crate) struct Avx2;

impl Kernel for Avx2 {
    const ROWS: usize = 4;

    /// `vpmaddubsw` would saturate, so the bytes of a word are widened to 16 bits first, the even
    /// and the odd ones apart; their pair sums then land in the lane of their row.
    #[inline(always)]
    unsafe fn dot_int8<const B: usize, const T: usize>(
        tiles: *const u8,
        layout: Layout,
        x: *const i32,
    ) -> [[[i32; TILE]; B]; T] {
        let mut out = [[[0; TILE]; B]; T];
        // One tile after the other: two would not fit the registers.
        for (tile, out) in out.iter_mut().enumerate() {
            // SAFETY: passed on from the caller.
            *out = unsafe { dot_int8_tile(tiles.add(tile * layout.apart), layout, x) };
        }
        out
    }

    /// A nibble times a signed byte is at most `15 * 127`, so `vpmaddubsw` is exact here and the
    /// eight pair sums of a group fit 16 bits.
    #[inline(always)]
    unsafe fn dot_q4<const B: usize>(
        tile: *const u8,
        groups: usize,
        x: *const i32,
        sums: *const i32,
    ) -> [[f32; TILE]; B] {
        // SAFETY: reads stay within the lengths the caller promises.
        unsafe {
            let low_nibble = _mm256_set1_epi8(15);
            let ones = _mm256_set1_epi16(1);
            let mut out = [[_mm256_setzero_ps(); 2]; B];
            for group in 0..groups {
                let weights = tile.add(group * GROUP_BYTES);
                let x = x.add(group * 8 * B);
                let mut pairs = [[_mm256_setzero_si256(); 2]; B];
                for pair in 0..4 {
                    for half in 0..2 {
                        let bytes = _mm256_loadu_si256(weights.add(pair * 64 + half * 32).cast());
                        let low = _mm256_and_si256(bytes, low_nibble);
                        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low_nibble);
                        for row in 0..B {
                            let x_low = _mm256_set1_epi32(*x.add(2 * pair * B + row));
                            let x_high = _mm256_set1_epi32(*x.add((2 * pair + 1) * B + row));
                            let both = _mm256_add_epi16(
                                _mm256_maddubs_epi16(low, x_low),
                                _mm256_maddubs_epi16(high, x_high),
                            );
                            pairs[row][half] = _mm256_add_epi16(pairs[row][half], both);
                        }
                    }
                }
                for half in 0..2 {
                    let scales = half_to_float(_mm_loadu_si128(weights.add(256 + 16 * half).cast()));
                    for row in 0..B {
                        let offset = _mm256_set1_epi32(-8 * *sums.add(group * B + row));
                        let exact = _mm256_add_epi32(_mm256_madd_epi16(pairs[row][half], ones), offset);
                        out[row][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(exact), scales, out[row][half]);
                    }
                }
            }
            store(out)
        }
    }

    #[inline(always)]
    unsafe fn dot_f32<const B: usize, const T: usize>(
        tiles: *const f32,
        k: usize,
        x: *const f32,
    ) -> [[[f32; TILE]; B]; T] {
        // SAFETY: reads stay within the lengths the caller promises.
        unsafe {
            let mut sums = [[[_mm256_setzero_ps(); 2]; B]; T];
            for at in 0..k {
                for (tile, sums) in sums.iter_mut().enumerate() {
                    let weights = tiles.add((tile * k + at) * TILE);
                    let halves = [_mm256_loadu_ps(weights), _mm256_loadu_ps(weights.add(8))];
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let x = _mm256_set1_ps(*x.add(at * B + row));
                        for half in 0..2 {
                            sums[half] = _mm256_fmadd_ps(halves[half], x, sums[half]);
                        }
                    }
                }
            }
            let mut out = [[[0.0; TILE]; B]; T];
            for (out, sums) in out.iter_mut().zip(sums) {
                *out = store(sums);
            }
            out
        }
    }

    #[inline(always)]
    unsafe fn mix<const T: usize>(
        weights: *const f32,
        len: usize,
        values: *const f32,
        stride: usize,
    ) -> [[f32; TILE]; T] {
        // SAFETY: reads stay within the lengths the caller promises.
        unsafe {
            let mut out = [[_mm256_setzero_ps(); 2]; T];
            // One tile after the other: four chains of two tiles would not fit the registers.
            for (tile, out) in out.iter_mut().enumerate() {
                let values = values.add(tile * TILE);
                let mut chains = [[_mm256_setzero_ps(); 2]; 4];
                let whole = len / 4 * 4;
                for first in (0..whole).step_by(4) {
                    for (chain, sums) in chains.iter_mut().enumerate() {
                        let weight = _mm256_set1_ps(*weights.add(first + chain));
                        let row = values.add((first + chain) * stride);
                        sums[0] = _mm256_fmadd_ps(weight, _mm256_loadu_ps(row), sums[0]);
                        sums[1] = _mm256_fmadd_ps(weight, _mm256_loadu_ps(row.add(8)), sums[1]);
                    }
                }
                for at in whole..len {
                    let weight = _mm256_set1_ps(*weights.add(at));
                    let row = values.add(at * stride);
                    let sums = &mut chains[at - whole];
                    sums[0] = _mm256_fmadd_ps(weight, _mm256_loadu_ps(row), sums[0]);
                    sums[1] = _mm256_fmadd_ps(weight, _mm256_loadu_ps(row.add(8)), sums[1]);
                }
                let [a, b, c, d] = chains;
                for half in 0..2 {
                    out[half] =
                        _mm256_add_ps(_mm256_add_ps(a[half], b[half]), _mm256_add_ps(c[half], d[half]));
                }
            }
            store(out)
        }
    }
}

#[inline(always)]
unsafe fn dot_int8_tile<const B: usize>(tile: *const u8, layout: Layout, x: *const i32) -> [[i32; TILE]; B] {
    // SAFETY: reads stay within the lengths the caller of `dot_int8` promises.
    unsafe {
        let even_bytes = _mm256_set1_epi16(0x00ff);
        let mut sums = [[_mm256_setzero_si256(); 2]; B];
        for quad in 0..layout.quads {
            let weights = tile.add(quad * layout.step);
            let halves = [_mm256_loadu_si256(weights.cast()), _mm256_loadu_si256(weights.add(32).cast())];
            let even = [_mm256_and_si256(halves[0], even_bytes), _mm256_and_si256(halves[1], even_bytes)];
            let odd = [_mm256_srli_epi16::<8>(halves[0]), _mm256_srli_epi16::<8>(halves[1])];
            for row in 0..B {
                let word = _mm256_set1_epi32(*x.add(quad * B + row));
                let x_even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(word));
                let x_odd = _mm256_srai_epi16::<8>(word);
                for half in 0..2 {
                    let pairs = _mm256_add_epi32(
                        _mm256_madd_epi16(even[half], x_even),
                        _mm256_madd_epi16(odd[half], x_odd),
                    );
                    sums[row][half] = _mm256_add_epi32(sums[row][half], pairs);
                }
            }
        }
        let mut out = [[0; TILE]; B];
        for (out, sums) in out.iter_mut().zip(sums) {
            _mm256_storeu_si256(out.as_mut_ptr().cast(), sums[0]);
            _mm256_storeu_si256(out.as_mut_ptr().add(8).cast(), sums[1]);
        }
        out
    }
}

/// Eight f16 scales (never infinite) to f32, exactly as [`f16_to_f32`](crate::generic::f16_to_f32).
#[inline(always)]
unsafe fn half_to_float(halves: __m128i) -> __m256 {
    // SAFETY: register operations only; the caller has AVX2.
    unsafe {
        let words = _mm256_cvtepu16_epi32(halves);
        let sign = _mm256_slli_epi32::<16>(_mm256_and_si256(words, _mm256_set1_epi32(0x8000)));
        let magnitude = _mm256_slli_epi32::<13>(_mm256_and_si256(words, _mm256_set1_epi32(0x7fff)));
        let lift = _mm256_castsi256_ps(_mm256_set1_epi32((127 + 112) << 23));
        let value = _mm256_mul_ps(_mm256_castsi256_ps(magnitude), lift);
        _mm256_or_ps(value, _mm256_castsi256_ps(sign))
    }
}

#[inline(always)]
unsafe fn store<const B: usize>(sums: [[__m256; 2]; B]) -> [[f32; TILE]; B] {
    let mut out = [[0.0; TILE]; B];
    for (out, sums) in out.iter_mut().zip(sums) {
        // SAFETY: both halves of the sixteen floats; the caller has AVX.
        unsafe {
            _mm256_storeu_ps(out.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), sums[1]);
        }
    }
    out
}
