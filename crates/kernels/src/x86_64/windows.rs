//! Window products with AVX2 and AVX-512: every row is read where it lies.

// A half or a row indexes several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::avx2::Avx2;
use super::avx512vnni::Avx512;
use crate::generic::TILE;
use crate::windows::WindowKernel;

impl WindowKernel for Avx2 {
    const BLOCK: usize = 4;

    #[inline(always)]
    unsafe fn dot_windows<const B: usize, const T: usize>(
        tiles: *const f32,
        k: usize,
        x: *const f32,
        step: usize,
    ) -> [[[f32; TILE]; B]; T] {
        // SAFETY: reads stay within the lengths the caller promises; a result has two halves of eight floats.
        unsafe {
            let mut rows = [x; B];
            for row in 0..B {
                rows[row] = x.add(row * step);
            }
            let mut sums = [[[_mm256_setzero_ps(); 2]; B]; T];
            for at in 0..k {
                let mut weights = [[_mm256_setzero_ps(); 2]; T];
                for tile in 0..T {
                    let lanes = tiles.add((tile * k + at) * TILE);
                    weights[tile] = [_mm256_loadu_ps(lanes), _mm256_loadu_ps(lanes.add(8))];
                }
                for row in 0..B {
                    let x = _mm256_broadcast_ss(&*rows[row].add(at));
                    for tile in 0..T {
                        for half in 0..2 {
                            sums[tile][row][half] =
                                _mm256_fmadd_ps(weights[tile][half], x, sums[tile][row][half]);
                        }
                    }
                }
            }
            let mut out = [[[0.0; TILE]; B]; T];
            for tile in 0..T {
                for row in 0..B {
                    for half in 0..2 {
                        _mm256_storeu_ps(out[tile][row].as_mut_ptr().add(8 * half), sums[tile][row][half]);
                    }
                }
            }
            out
        }
    }
}

impl WindowKernel for Avx512 {
    const BLOCK: usize = 8;

    #[inline(always)]
    unsafe fn dot_windows<const B: usize, const T: usize>(
        tiles: *const f32,
        k: usize,
        x: *const f32,
        step: usize,
    ) -> [[[f32; TILE]; B]; T] {
        // SAFETY: reads stay within the lengths the caller promises; a result has sixteen floats.
        unsafe {
            let mut rows = [x; B];
            for row in 0..B {
                rows[row] = x.add(row * step);
            }
            let mut sums = [[_mm512_setzero_ps(); B]; T];
            for at in 0..k {
                let mut weights = [_mm512_setzero_ps(); T];
                for tile in 0..T {
                    weights[tile] = _mm512_loadu_ps(tiles.add((tile * k + at) * TILE));
                }
                for row in 0..B {
                    let x = _mm512_set1_ps(*rows[row].add(at));
                    for tile in 0..T {
                        sums[tile][row] = _mm512_fmadd_ps(weights[tile], x, sums[tile][row]);
                    }
                }
            }
            let mut out = [[[0.0; TILE]; B]; T];
            for tile in 0..T {
                for row in 0..B {
                    _mm512_storeu_ps(out[tile][row].as_mut_ptr(), sums[tile][row]);
                }
            }
            out
        }
    }
}
