//! Tile products with AVX-512 and VNNI: sixteen rows are one register.
//!
//! One multiply-accumulate depends on the one before it, so with few activation rows the integer
//! products run in several chains; sums of integers do not care. The float products may not be
//! split, so there the caller takes several tiles at once.

use std::arch::x86_64::*;

use crate::generic::{GROUP_BYTES, Kernel, Layout, TILE};

pub(crate) struct Avx512;

/// How far ahead of its reads a product with one or two rows asks for weights: the hardware
/// prefetcher starts anew at each 4 KiB page.
const AHEAD: usize = 2048;

impl Kernel for Avx512 {
    const ROWS: usize = 16;

    #[inline(always)]
    unsafe fn dot_int8<const B: usize, const T: usize>(
        tiles: *const u8,
        layout: Layout,
        x: *const i32,
    ) -> [[[i32; TILE]; B]; T] {
        match B * T {
            // SAFETY: passed on from the caller.
            1 => unsafe { dot_int8_chains::<B, T, 4>(tiles, layout, x) },
            // SAFETY: passed on from the caller.
            2..=6 => unsafe { dot_int8_chains::<B, T, 2>(tiles, layout, x) },
            // SAFETY: passed on from the caller.
            _ => unsafe { dot_int8_chains::<B, T, 1>(tiles, layout, x) },
        }
    }

    #[inline(always)]
    fn fetch(bytes: &[u8]) {
        for line in bytes.as_chunks::<64>().0 {
            // SAFETY: a hint that reads nothing; the CPU has SSE.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
        }
    }

    #[inline(always)]
    unsafe fn dot_q4<const B: usize>(
        tile: *const u8,
        groups: usize,
        x: *const i32,
        sums: *const i32,
    ) -> [[f32; TILE]; B] {
        // SAFETY: reads stay within the lengths the caller promises.
        unsafe {
            let low_nibble = _mm512_set1_epi8(15);
            let mut out = [_mm512_setzero_ps(); B];
            for group in 0..groups {
                let weights = tile.add(group * GROUP_BYTES);
                if B <= 2 {
                    for line in 0..5 {
                        _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(AHEAD + 64 * line).cast());
                    }
                }
                let x = x.add(group * 8 * B);
                let scales = _mm512_cvtph_ps(_mm256_loadu_si256(weights.add(256).cast()));
                let mut exact = [_mm512_setzero_si512(); B];
                let mut other = [_mm512_setzero_si512(); B];
                for (row, exact) in exact.iter_mut().enumerate() {
                    *exact = _mm512_set1_epi32(-8 * *sums.add(group * B + row));
                }
                for pair in 0..4 {
                    let bytes = _mm512_loadu_si512(weights.add(64 * pair).cast());
                    let low = _mm512_and_si512(bytes, low_nibble);
                    let high = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low_nibble);
                    for row in 0..B {
                        let x_low = _mm512_set1_epi32(*x.add(2 * pair * B + row));
                        let x_high = _mm512_set1_epi32(*x.add((2 * pair + 1) * B + row));
                        exact[row] = _mm512_dpbusd_epi32(exact[row], low, x_low);
                        if B <= 4 {
                            other[row] = _mm512_dpbusd_epi32(other[row], high, x_high);
                        } else {
                            exact[row] = _mm512_dpbusd_epi32(exact[row], high, x_high);
                        }
                    }
                }
                for row in 0..B {
                    let exact = if B <= 4 { _mm512_add_epi32(exact[row], other[row]) } else { exact[row] };
                    out[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(exact), scales, out[row]);
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
            let mut sums = [[_mm512_setzero_ps(); B]; T];
            for at in 0..k {
                for (tile, sums) in sums.iter_mut().enumerate() {
                    let weights = tiles.add((tile * k + at) * TILE);
                    if B <= 2 {
                        _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(AHEAD / 4).cast());
                    }
                    let weights = _mm512_loadu_ps(weights);
                    for (row, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm512_fmadd_ps(weights, _mm512_set1_ps(*x.add(at * B + row)), *sum);
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
            let mut chains = [[_mm512_setzero_ps(); T]; 4];
            let whole = len / 4 * 4;
            for first in (0..whole).step_by(4) {
                for (chain, sums) in chains.iter_mut().enumerate() {
                    let weight = _mm512_set1_ps(*weights.add(first + chain));
                    let row = values.add((first + chain) * stride);
                    for (tile, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm512_fmadd_ps(weight, _mm512_loadu_ps(row.add(tile * TILE)), *sum);
                    }
                }
            }
            for at in whole..len {
                let weight = _mm512_set1_ps(*weights.add(at));
                for (tile, sum) in chains[at - whole].iter_mut().enumerate() {
                    *sum =
                        _mm512_fmadd_ps(weight, _mm512_loadu_ps(values.add(at * stride + tile * TILE)), *sum);
                }
            }
            let [a, b, c, d] = chains;
            let mut sums = [_mm512_setzero_ps(); T];
            for (tile, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_add_ps(_mm512_add_ps(a[tile], b[tile]), _mm512_add_ps(c[tile], d[tile]));
            }
            store(sums)
        }
    }
}

/// `C` chains of sums for each row and tile.
#[inline(always)]
unsafe fn dot_int8_chains<const B: usize, const T: usize, const C: usize>(
    tiles: *const u8,
    layout: Layout,
    x: *const i32,
) -> [[[i32; TILE]; B]; T] {
    let Layout { quads, step, apart } = layout;
    // SAFETY: reads stay within the lengths the caller of `dot_int8` promises.
    unsafe {
        let mut sums = [[[_mm512_setzero_si512(); B]; T]; C];
        let whole = quads / C * C;
        for first in (0..whole).step_by(C) {
            for (chain, sums) in sums.iter_mut().enumerate() {
                let quad = first + chain;
                let mut weights = [_mm512_setzero_si512(); T];
                for (tile, weights) in weights.iter_mut().enumerate() {
                    let at = tiles.add(tile * apart + quad * step);
                    _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
                    *weights = _mm512_loadu_si512(at.cast());
                }
                for row in 0..B {
                    let x = _mm512_set1_epi32(*x.add(quad * B + row));
                    for (sums, weights) in sums.iter_mut().zip(weights) {
                        sums[row] = _mm512_dpbusd_epi32(sums[row], weights, x);
                    }
                }
            }
        }
        for quad in whole..quads {
            for (tile, sums) in sums[0].iter_mut().enumerate() {
                let weights = _mm512_loadu_si512(tiles.add(tile * apart + quad * step).cast());
                for (row, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_dpbusd_epi32(*sum, weights, _mm512_set1_epi32(*x.add(quad * B + row)));
                }
            }
        }
        let mut out = [[[0; TILE]; B]; T];
        for tile in 0..T {
            for row in 0..B {
                let mut total = sums[0][tile][row];
                for sums in &sums[1..] {
                    total = _mm512_add_epi32(total, sums[tile][row]);
                }
                _mm512_storeu_si512(out[tile][row].as_mut_ptr().cast(), total);
            }
        }
        out
    }
}

#[inline(always)]
unsafe fn store<const B: usize>(sums: [__m512; B]) -> [[f32; TILE]; B] {
    let mut out = [[0.0; TILE]; B];
    for (out, sums) in out.iter_mut().zip(sums) {
        // SAFETY: sixteen floats; the caller has AVX-512.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sums) };
    }
    out
}
