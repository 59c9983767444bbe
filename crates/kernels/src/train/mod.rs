//! Forward and backward passes of the layers that are trained here, and the matrix products for them.
//!
//! Everything is f32. Backward functions *add* to parameter gradients and overwrite input gradients,
//! so that shards of a batch can share one gradient buffer. Each backward pass is checked by finite
//! differences in the `train` crate.

mod adamw;
mod elementwise;
mod gemm;
mod lstm;
mod norm;
mod softmax;

pub use adamw::{AdamW, adamw, squared_norm};
pub use elementwise::{add, add_bias, bias_backward, dropout, gelu, gelu_backward};
pub use gemm::{Mat, MatMut, matmul};
pub use lstm::{lstm_backward, lstm_forward, sparse_rows, sparse_rows_backward};
pub use norm::{layer_norm, layer_norm_backward};
pub use softmax::{causal_softmax, causal_softmax_backward, cross_entropy};

const LANES: usize = 16;

/// Sum of the lanes, in one fixed tree.
#[inline(always)]
fn reduce(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// `e^x`: degree-6 polynomial on the fraction of `x log2(e)`; relative error below 3e-7. Zero below -87.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer in the low mantissa bits
    let clamped = x.clamp(-87.0, 88.0);
    let scaled = clamped * std::f32::consts::LOG2_E;
    let shifted = scaled + MAGIC;
    let fraction = scaled - (shifted - MAGIC);
    let mut p = 1.535_336_2e-4_f32;
    p = p.mul_add(fraction, 1.339_887_4e-3);
    p = p.mul_add(fraction, 9.618_437e-3);
    p = p.mul_add(fraction, 5.550_332_5e-2);
    p = p.mul_add(fraction, 2.402_264_8e-1);
    p = p.mul_add(fraction, 6.931_472e-1);
    p = p.mul_add(fraction, 1.0);
    let power = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32).wrapping_add(127) << 23;
    let value = p * f32::from_bits(power as u32);
    if x < -87.0 { 0.0 } else { value }
}

/// `tanh(x)` through [`exp`].
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let e = exp(2.0 * x.clamp(-15.0, 15.0));
    (e - 1.0) / (e + 1.0)
}
