//! A fast Fourier transform that gives the same bits everywhere: libraries choose their instructions, and with them the
//! rounding, at run time.

use std::f64::consts::{FRAC_PI_2, TAU};

/// Transform of one size.
pub(super) struct Fft {
    /// `e^(-2πi k / size)` for `k` below half the size: real, imaginary.
    turns: Vec<[f64; 2]>,
}

impl Fft {
    /// `size`: a power of two, at least 2.
    pub fn new(size: usize) -> Self {
        assert!(size.is_power_of_two() && size >= 2);
        let angle = |k: usize| TAU * k as f64 / size as f64;
        Self { turns: (0..size / 2).map(|k| [cos(angle(k)), -sin(angle(k))]).collect() }
    }

    /// Replaces `size` complex values by their spectrum, without scaling.
    pub fn run(&self, values: &mut [[f64; 2]]) {
        let size = self.turns.len() * 2;
        assert_eq!(values.len(), size);
        let unused = usize::BITS - size.trailing_zeros();
        for i in 0..size {
            let j = i.reverse_bits() >> unused;
            if i < j {
                values.swap(i, j);
            }
        }
        let mut half = 1;
        while half < size {
            let stride = size / 2 / half;
            for block in values.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for ((a, b), turn) in low.iter_mut().zip(high).zip(self.turns.iter().step_by(stride)) {
                    let re = b[0] * turn[0] - b[1] * turn[1];
                    let im = b[0] * turn[1] + b[1] * turn[0];
                    *b = [a[0] - re, a[1] - im];
                    *a = [a[0] + re, a[1] + im];
                }
            }
            half *= 2;
        }
    }
}

/// Sine of an angle in `[0, 2π]`, error below 1e-15.
pub(super) fn sin(angle: f64) -> f64 {
    cos(angle - FRAC_PI_2)
}

/// Cosine of an angle in `[-2π, 2π]`, error below 1e-15.
pub(super) fn cos(angle: f64) -> f64 {
    // To the quarter turn around a multiple of π/2.
    let quarter = (angle / FRAC_PI_2 + 0.5).floor();
    let x = angle - quarter * FRAC_PI_2;
    let square = x * x;
    // Taylor, last term first: the first left out is below 1e-18 at π/4.
    let series = |mut n: f64| {
        let mut sum = 1.0;
        while n > 0.0 {
            sum = 1.0 - sum * square / (n * (n + 1.0));
            n -= 2.0;
        }
        sum
    };
    match (quarter as i64).rem_euclid(4) {
        0 => series(17.0),
        1 => -x * series(18.0),
        2 => -series(17.0),
        _ => x * series(18.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_and_cosine_agree_with_the_platform() {
        for i in 0..=10_000 {
            let angle = TAU * f64::from(i) / 10_000.0;
            assert!((sin(angle) - angle.sin()).abs() < 1e-15, "sin {angle}");
            assert!((cos(angle) - angle.cos()).abs() < 1e-15, "cos {angle}");
        }
    }

    #[test]
    fn the_fast_transform_is_the_slow_one() {
        for size in [2usize, 8, 64] {
            let at =
                |i: usize| [((i * 37 + 11) % 101) as f64 / 50.0 - 1.0, ((i * 53) % 97) as f64 / 50.0 - 1.0];
            let mut fast: Vec<[f64; 2]> = (0..size).map(at).collect();
            Fft::new(size).run(&mut fast);
            for (k, got) in fast.iter().enumerate() {
                let mut slow = [0.0; 2];
                for i in 0..size {
                    let angle = -TAU * ((i * k) % size) as f64 / size as f64;
                    let [re, im] = at(i);
                    slow[0] += re * angle.cos() - im * angle.sin();
                    slow[1] += re * angle.sin() + im * angle.cos();
                }
                assert!((got[0] - slow[0]).abs() + (got[1] - slow[1]).abs() < 1e-12, "{size}: {k}");
            }
        }
    }
}
