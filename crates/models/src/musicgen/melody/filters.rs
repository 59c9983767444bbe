//! How much each frequency belongs to each pitch class.
//!
//! Source: `librosa.filters.chroma` with tuning 0, from which the published features are made.

use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

use super::{BINS, CLASSES, SAMPLE_RATE, WINDOW};

/// The lowest A of a piano, Hz: octaves are counted from it.
const LOWEST_A: f64 = 27.5;
/// Octave in the middle of what is listened to, and how far to both sides.
const CENTRE: f64 = 5.0;
const SPREAD: f64 = 2.0;

/// `[12, 8193]`: weight of each frequency of a spectrum in each pitch class, C first.
pub fn filters() -> Vec<f32> {
    let mut filters = vec![0.0; CLASSES * BINS];
    for bin in 0..BINS {
        let place = semitones(bin);
        // In semitones: a frequency of the lowest octaves is many of them wide.
        let width = (semitones(bin + 1) - place).max(1.0);
        let mut weights = [0.0f64; CLASSES];
        for (class, weight) in weights.iter_mut().enumerate() {
            // Rows are counted from A here.
            let distance = (place - class as f64 + 126.0).rem_euclid(12.0) - 6.0;
            let x = 2.0 * distance / width;
            *weight = exp(-0.5 * x * x);
        }
        let norm = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
        let octave = (place / 12.0 - CENTRE) / SPREAD;
        let loudness = exp(-0.5 * octave * octave);
        for class in 0..CLASSES {
            // C is three above A.
            filters[class * BINS + bin] = (weights[(class + 3) % CLASSES] / norm * loudness) as f32;
        }
    }
    filters
}

/// Semitones of a frequency of the spectrum above the lowest A; the constant part counts as an octave and a half below
/// the first.
fn semitones(bin: usize) -> f64 {
    let hz = |bin: usize| f64::from(SAMPLE_RATE) * bin as f64 / WINDOW as f64;
    if bin == 0 { semitones(1) - 18.0 } else { 12.0 * log2(hz(bin) / LOWEST_A) }
}

/// e^`x` for `x` <= 0, relative error below 2e-13; 0 below -700.
fn exp(x: f64) -> f64 {
    if x < -700.0 {
        return 0.0;
    }
    let whole = (x * LOG2_E + 0.5).floor();
    let rest = x - whole * LN_2;
    let (mut term, mut sum) = (1.0, 1.0);
    // Taylor on |rest| <= 0.347.
    for n in 1..16 {
        term *= rest / f64::from(n);
        sum += term;
    }
    // `whole` is in -1010..=0, so the exponent field stays in range.
    sum * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// log2(`x`) for normal `x` > 0, error below 1e-14.
fn log2(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln(m) = 2 atanh(t), t = (m - 1) / (m + 1), |t| < 0.172.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let mut series = 0.0;
    for n in (0..12).rev() {
        series = series * t * t + 1.0 / f64::from(2 * n + 1);
    }
    exponent as f64 + 2.0 * t * series * LOG2_E
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_and_logarithm_agree_with_the_platform() {
        for i in 1..20_000 {
            let x = f64::from(i) * 0.037;
            assert!((log2(x) - x.log2()).abs() < 1e-14, "log2 {x}");
            if x < 700.0 {
                assert!((exp(-x) / (-x).exp() - 1.0).abs() < 2e-13, "exp -{x}");
            }
        }
        assert_eq!((exp(0.0), exp(-1e9)), (1.0, 0.0));
    }
}
