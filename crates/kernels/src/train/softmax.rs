//! Softmax over causal attention rows, and the cross-entropy loss.

use super::{LANES, exp, reduce};
use crate::multiversion;

#[inline(always)]
fn max_of(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    let mut best = f32::NEG_INFINITY;
    for &x in lanes.iter().chain(chunks.remainder()) {
        best = if x > best { x } else { best };
    }
    best
}

/// Replaces `row` by `exp(row - shift)` and returns the sum.
#[inline(always)]
fn exp_sum(row: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let mut chunks = row.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] - shift);
            lanes[i] += chunk[i];
        }
    }
    for (lane, x) in lanes.iter_mut().zip(chunks.into_remainder()) {
        *x = exp(*x - shift);
        *lane += *x;
    }
    reduce(lanes)
}

multiversion! {
    /// Softmax of row `i` of `scores: [L, L]` over columns `0..=i`; later columns become 0.
    pub fn causal_softmax(scores: &mut [f32], length: usize) {
        for (i, row) in scores.chunks_exact_mut(length).enumerate() {
            let (seen, future) = row.split_at_mut(i + 1);
            let shift = max_of(seen);
            let scale = 1.0 / exp_sum(seen, shift);
            for x in seen {
                *x *= scale;
            }
            future.fill(0.0);
        }
    }
}

multiversion! {
    /// Gradient of [`causal_softmax`]: turns `d` from the gradient of the probabilities into that of the scores.
    pub fn causal_softmax_backward(probabilities: &[f32], d: &mut [f32], length: usize) {
        for (i, (p, d)) in probabilities.chunks_exact(length).zip(d.chunks_exact_mut(length)).enumerate() {
            let mut lanes = [0.0f32; LANES];
            for (p, d) in p[..=i].chunks(LANES).zip(d[..=i].chunks(LANES)) {
                for (lane, (p, d)) in lanes.iter_mut().zip(p.iter().zip(d)) {
                    *lane = p.mul_add(*d, *lane);
                }
            }
            let dot = reduce(lanes);
            for (p, d) in p[..=i].iter().zip(&mut d[..=i]) {
                *d = p * (*d - dot);
            }
            d[i + 1..].fill(0.0);
        }
    }
}

multiversion! {
    /// Cross-entropy of `logits: [N, V]` against `targets: [N]`, in nats, one loss a row into `losses: [N]`.
    ///
    /// `logits` becomes the gradient of `sum(weight * loss)`; rows of weight 0 give a zero gradient.
    pub fn cross_entropy(logits: &mut [f32], targets: &[u32], weights: &[f32], losses: &mut [f32]) {
        let vocab = logits.len() / targets.len();
        for (((row, &target), &weight), loss) in logits.chunks_exact_mut(vocab).zip(targets).zip(weights).zip(losses) {
            let target = target as usize;
            let shift = max_of(row);
            let at_target = row[target] - shift;
            let sum = exp_sum(row, shift);
            *loss = sum.ln() - at_target;
            let scale = weight / sum;
            for x in row.iter_mut() {
                *x *= scale;
            }
            row[target] -= weight;
        }
    }
}
