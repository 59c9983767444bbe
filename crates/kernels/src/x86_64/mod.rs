//! Tile products in intrinsics, and the entry points that turn their instruction sets on.
//!
//! **Rule:** everything between an entry point and an intrinsic is `#[inline(always)]`, and no
//! intrinsic sits in a closure: what is not inlined is compiled without the instruction set.

mod avx2;
mod avx512vnni;
mod windows;

use crate::kv::{self, Attend};
use crate::matmul::{self, Job};
use crate::windows::Windows;

/// [`matmul::tiles`] with AVX2.
#[target_feature(enable = "avx2,fma")]
pub(crate) fn tiles_avx2(job: &Job<'_>, from: usize, to: usize) {
    matmul::tiles::<avx2::Avx2>(job, from, to);
}

/// [`matmul::tiles`] with AVX-512 VNNI.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(crate) fn tiles_avx512(job: &Job<'_>, from: usize, to: usize) {
    matmul::tiles::<avx512vnni::Avx512>(job, from, to);
}

/// [`kv::attend_head`] with AVX2.
#[target_feature(enable = "avx2,fma")]
pub(crate) fn attend_avx2(job: Attend<'_>) {
    kv::attend_head::<avx2::Avx2>(job);
}

/// [`kv::attend_head`] with AVX-512 VNNI.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(crate) fn attend_avx512(job: Attend<'_>) {
    kv::attend_head::<avx512vnni::Avx512>(job);
}

/// [`windows`](crate::windows::windows) with AVX2.
#[target_feature(enable = "avx2,fma")]
pub(crate) fn windows_avx2(job: &Windows<'_>, rows: (usize, usize), tiles: (usize, usize)) {
    crate::windows::windows::<avx2::Avx2>(job, rows, tiles);
}

/// [`windows`](crate::windows::windows) with AVX-512.
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(crate) fn windows_avx512(job: &Windows<'_>, rows: (usize, usize), tiles: (usize, usize)) {
    crate::windows::windows::<avx512vnni::Avx512>(job, rows, tiles);
}
