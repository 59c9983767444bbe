//! Bias, GELU, dropout and residual sums.

use super::{exp, tanh};
use crate::multiversion;

const ROOT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

multiversion! {
    /// Adds `bias: [W]` to each row of `x: [N, W]`.
    pub fn add_bias(x: &mut [f32], bias: &[f32]) {
        for row in x.chunks_exact_mut(bias.len()) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x += b;
            }
        }
    }
}

multiversion! {
    /// `x += y`
    pub fn add(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}

multiversion! {
    /// Adds the column sums of `dy: [N, W]` to `dbias: [W]`.
    pub fn bias_backward(dy: &[f32], dbias: &mut [f32]) {
        for row in dy.chunks_exact(dbias.len()) {
            for (d, y) in dbias.iter_mut().zip(row) {
                *d += y;
            }
        }
    }
}

multiversion! {
    /// GELU, tanh form, of `x` into `y` (GPT-2's `gelu_new`).
    pub fn gelu(x: &[f32], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            let inner = ROOT_2_OVER_PI * (CUBIC * x * x).mul_add(x, x);
            *y = 0.5 * x * (1.0 + tanh(inner));
        }
    }
}

multiversion! {
    /// Multiplies `dy` by the derivative of [`gelu`] at `x`, in place.
    pub fn gelu_backward(x: &[f32], dy: &mut [f32]) {
        for (dy, &x) in dy.iter_mut().zip(x) {
            let inner = ROOT_2_OVER_PI * (CUBIC * x * x).mul_add(x, x);
            // 1 + tanh(u) = 2 sigmoid(2u): one exponential serves both terms.
            let sigmoid = 1.0 / (1.0 + exp(-2.0 * inner));
            let slope = ROOT_2_OVER_PI * (3.0 * CUBIC * x).mul_add(x, 1.0);
            *dy *= sigmoid + 2.0 * x * sigmoid * (1.0 - sigmoid) * slope;
        }
    }
}

multiversion! {
    /// Zeroes each number with probability `rate` and scales the rest by `1 / (1 - rate)`.
    ///
    /// Which ones depends on `seed` and the index alone, so the backward pass calls it with the same seed.
    pub fn dropout(x: &mut [f32], rate: f32, seed: u32) {
        let threshold = (rate * 4_294_967_296.0) as u32;
        let keep = 1.0 / (1.0 - rate);
        for (i, x) in x.iter_mut().enumerate() {
            // Two rounds of a multiply-xorshift hash (the constants are murmur3's finaliser).
            let mut h = (i as u32).wrapping_mul(0x9e37_79b9) ^ seed;
            h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
            h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
            h ^= h >> 16;
            *x = if h < threshold { 0.0 } else { *x * keep };
        }
    }
}
