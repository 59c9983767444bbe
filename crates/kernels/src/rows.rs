//! Operations on one row of floats. Sums use sixteen lanes and one tree, whatever the path.

use crate::math::exp;
use crate::multiversion;

/// Lanes of every float reduction.
pub(crate) const LANES: usize = 16;

/// Joins lane `i` with lane `i + 8`, then `i + 4`, `i + 2`, `i + 1`.
#[inline(always)]
pub(crate) fn tree(lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    // Lengths the compiler knows, and no index to check: a loop over the halves costs as much as a short row.
    let (mut eight, mut four) = ([0.0; 8], [0.0; 4]);
    for lane in 0..8 {
        eight[lane] = join(lanes[lane], lanes[lane + 8]);
    }
    for lane in 0..4 {
        four[lane] = join(eight[lane], eight[lane + 4]);
    }
    join(join(four[0], four[2]), join(four[1], four[3]))
}

/// Folds `step(lane, value)` over `values`, lane `i % 16` taking element `i`, and joins the lanes.
#[inline(always)]
pub(crate) fn fold(
    values: &[f32],
    start: f32,
    step: impl Fn(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [start; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = step(lanes[lane], chunk[lane]);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = step(*lane, value);
    }
    tree(lanes, join)
}

#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
pub(crate) fn largest_magnitude(values: &[f32]) -> f32 {
    fold(values, 0.0, |lane, value| larger(value.abs(), lane), larger)
}

#[inline(always)]
pub(crate) fn softmax_body(values: &mut [f32]) {
    let top = fold(values, f32::NEG_INFINITY, |lane, value| larger(value, lane), larger);
    for value in values.iter_mut() {
        *value = exp(*value - top);
    }
    let total = fold(values, 0.0, |lane, value| lane + value, |a, b| a + b);
    let inverse = 1.0 / total;
    for value in values.iter_mut() {
        *value *= inverse;
    }
}

multiversion! {
    /// Sum of a row.
    pub fn sum(values: &[f32]) -> f32 {
        fold(values, 0.0, |lane, value| lane + value, |a, b| a + b)
    }
}

multiversion! {
    /// Largest value of a row; minus infinity when it is empty.
    pub fn max(values: &[f32]) -> f32 {
        fold(values, f32::NEG_INFINITY, |lane, value| larger(value, lane), larger)
    }
}

multiversion! {
    /// `e^(x - max) / sum`, in place. A value of minus infinity becomes 0.
    pub fn softmax(values: &mut [f32]) {
        softmax_body(values);
    }
}

multiversion! {
    /// `to += from`, element by element.
    pub fn add(to: &mut [f32], from: &[f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += from;
        }
    }
}

multiversion! {
    /// `out = (x - mean) / sqrt(variance + epsilon) * scale + shift` over one row `[D]`.
    ///
    /// Source: layer normalisation (Ba et al. 2016), the variance taken in a second pass.
    pub fn layer_norm(x: &[f32], scale: &[f32], shift: &[f32], epsilon: f32, out: &mut [f32]) {
        let count = x.len() as f32;
        let mean = fold(x, 0.0, |lane, value| lane + value, |a, b| a + b) / count;
        let spread = fold(x, 0.0, |lane, value| (value - mean).mul_add(value - mean, lane), |a, b| a + b);
        let inverse = 1.0 / (spread / count + epsilon).sqrt();
        for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
            *out = ((x - mean) * inverse).mul_add(*scale, *shift);
        }
    }
}

multiversion! {
    /// `out = x / sqrt(mean of squares + epsilon) * scale` over one row `[D]`.
    ///
    /// Source: RMSNorm (Zhang and Sennrich 2019), as T5 has it: no mean is taken off, nothing is added.
    pub fn rms_norm(x: &[f32], scale: &[f32], epsilon: f32, out: &mut [f32]) {
        let squares = fold(x, 0.0, |lane, value| value.mul_add(value, lane), |a, b| a + b);
        let inverse = 1.0 / (squares / x.len() as f32 + epsilon).sqrt();
        for ((out, x), scale) in out.iter_mut().zip(x).zip(scale) {
            *out = x * inverse * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Path;

    fn row(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 % 1000) as f32 - 480.0) * 0.013).collect()
    }

    fn same_on_every_path(f: impl Fn(Path) -> Vec<f32>) -> Vec<f32> {
        let first = f(Path::Generic);
        for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&f(path)), bits(&first), "{path:?}");
        }
        first
    }

    #[test]
    fn rows_give_the_same_bits_on_every_path() {
        for len in [1, 15, 16, 17, 64, 100, 768] {
            let x = row(len);
            same_on_every_path(|path| vec![sum(path, &x), max(path, &x)]);
            let normal = same_on_every_path(|path| {
                let mut out = vec![0.0; len];
                layer_norm(path, &x, &vec![1.0; len], &vec![0.0; len], 1e-5, &mut out);
                out
            });
            assert!(sum(Path::Generic, &normal).abs() < 1e-3);
            let probabilities = same_on_every_path(|path| {
                let mut out = x.clone();
                softmax(path, &mut out);
                out
            });
            assert!((sum(Path::Generic, &probabilities) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn softmax_gives_nothing_to_minus_infinity() {
        let mut values = vec![0.0, f32::NEG_INFINITY, 0.0];
        softmax(Path::Generic, &mut values);
        assert_eq!(values, [0.5, 0.0, 0.5]);
    }
}
