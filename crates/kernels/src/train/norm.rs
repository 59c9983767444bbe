//! Layer normalisation with weight and bias.

use super::{LANES, reduce};
use crate::multiversion;

multiversion! {
    /// Normalises each row of `x: [N, W]` to `y`; `stats: [N, 2]` receives mean and 1/standard deviation.
    /// `W` must be a multiple of 16.
    pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32], stats: &mut [f32]) {
        let width = weight.len();
        for ((x, y), stat) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(stats.chunks_exact_mut(2)) {
            let mut sum = [0.0f32; LANES];
            let mut squares = [0.0f32; LANES];
            for chunk in x.chunks_exact(LANES) {
                for i in 0..LANES {
                    sum[i] += chunk[i];
                    squares[i] = chunk[i].mul_add(chunk[i], squares[i]);
                }
            }
            let mean = reduce(sum) / width as f32;
            let variance = (reduce(squares) / width as f32 - mean * mean).max(0.0);
            let scale = 1.0 / (variance + 1e-5).sqrt();
            stat[0] = mean;
            stat[1] = scale;
            for (((y, x), w), b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                *y = ((*x - mean) * scale).mul_add(*w, *b);
            }
        }
    }
}

multiversion! {
    /// Gradient of [`layer_norm`]: *adds* to `dx`, `dweight` and `dbias`.
    pub fn layer_norm_backward(x: &[f32], weight: &[f32], stats: &[f32], dy: &[f32], dx: &mut [f32], dweight: &mut [f32], dbias: &mut [f32]) {
        let width = weight.len();
        for (((x, dy), dx), stat) in
            x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)).zip(stats.chunks_exact(2))
        {
            let (mean, scale) = (stat[0], stat[1]);
            let mut sum = [0.0f32; LANES];
            let mut dot = [0.0f32; LANES];
            for ((x, dy), w) in x.chunks_exact(LANES).zip(dy.chunks_exact(LANES)).zip(weight.chunks_exact(LANES)) {
                for i in 0..LANES {
                    let g = dy[i] * w[i];
                    sum[i] += g;
                    dot[i] = g.mul_add((x[i] - mean) * scale, dot[i]);
                }
            }
            let mean_g = reduce(sum) / width as f32;
            let mean_dot = reduce(dot) / width as f32;
            for i in 0..width {
                let normal = (x[i] - mean) * scale;
                dx[i] += (dy[i] * weight[i] - mean_g - normal * mean_dot) * scale;
                dweight[i] = dy[i].mul_add(normal, dweight[i]);
                dbias[i] += dy[i];
            }
        }
    }
}
