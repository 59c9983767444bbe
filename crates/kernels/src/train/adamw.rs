//! The AdamW update.

use super::{LANES, reduce};
use crate::multiversion;

/// Settings of one AdamW step. Source: Loshchilov & Hutter 2019, algorithm 2.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    pub learning_rate: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    /// Decay per unit of learning rate.
    pub weight_decay: f32,
    /// Step number, from 1.
    pub step: u32,
    /// Factor on every gradient (for clipping).
    pub gradient_scale: f32,
}

multiversion! {
    /// Moves `parameters` against `gradients` and updates both moments.
    pub fn adamw(settings: AdamW, parameters: &mut [f32], gradients: &[f32], first: &mut [f32], second: &mut [f32]) {
        let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay, step, gradient_scale } = settings;
        let correct1 = 1.0 / (1.0 - beta1.powi(step as i32));
        let correct2 = 1.0 / (1.0 - beta2.powi(step as i32));
        for (((p, &g), m), v) in parameters.iter_mut().zip(gradients).zip(first).zip(second) {
            let g = g * gradient_scale;
            *m = beta1.mul_add(*m, (1.0 - beta1) * g);
            *v = beta2.mul_add(*v, (1.0 - beta2) * g * g);
            let update = *m * correct1 / ((*v * correct2).sqrt() + epsilon);
            *p -= learning_rate * weight_decay.mul_add(*p, update);
        }
    }
}

multiversion! {
    /// Sum of squares.
    pub fn squared_norm(x: &[f32]) -> f32 {
        let mut lanes = [0.0f32; LANES];
        for chunk in x.chunks(LANES) {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane = x.mul_add(*x, *lane);
            }
        }
        reduce(lanes)
    }
}
