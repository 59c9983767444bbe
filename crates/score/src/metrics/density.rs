//! Distributions of distances: Gaussian kernels, and how two of them differ.
//!
//! Source: Yang and Lerch 2020, section 4.2; scipy's `gaussian_kde` with Scott's bandwidth.

/// Points at which [`kl_divergence`] looks at each distribution, as in mgeval.
const SAMPLES: usize = 1000;
/// Intervals of Simpson's rule: within about 1e-7 of the area.
const INTERVALS: usize = 4096;

/// A kernel density estimate.
#[derive(Clone, Debug)]
pub struct Density {
    samples: Vec<f64>,
    /// Variance of a kernel.
    variance: f64,
    lowest: f64,
    highest: f64,
}

impl Density {
    /// `None` for samples that are all the same, or fewer than two.
    pub fn new(samples: Vec<f64>) -> Option<Density> {
        let count = samples.len() as f64;
        let (lowest, highest) = samples
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (x.min(low), x.max(high)));
        let spread = highest - lowest;
        // Written so that NaN is refused too.
        if !(samples.len() >= 2 && spread > 0.0 && spread.is_finite()) {
            return None;
        }
        let mean = samples.iter().sum::<f64>() / count;
        let sum: f64 = samples.iter().map(|x| (x - mean) * (x - mean)).sum();
        let scott = count.powf(-0.2);
        let variance = sum / (count - 1.0) * scott * scott;
        (variance > 0.0).then_some(Density { samples, variance, lowest, highest })
    }

    /// The density at a place.
    pub fn at(&self, x: f64) -> f64 {
        let factor = -0.5 / self.variance;
        let sum: f64 = self.samples.iter().map(|sample| (factor * (x - sample) * (x - sample)).exp()).sum();
        sum / (self.samples.len() as f64 * (std::f64::consts::TAU * self.variance).sqrt())
    }

    /// At [`SAMPLES`] places from the lowest sample to the highest; they sum to 1.
    fn shares(&self) -> Vec<f64> {
        let step = (self.highest - self.lowest) / (SAMPLES - 1) as f64;
        let values: Vec<f64> = (0..SAMPLES).map(|i| self.at(self.lowest + step * i as f64)).collect();
        let total: f64 = values.iter().sum();
        values.into_iter().map(|value| value / total).collect()
    }
}

/// Kullback-Leibler divergence of `other` from `one`, in nats, at least 0: 1000 places of each, as mgeval takes it, each
/// from its own lowest to its own highest sample. `None` if it is infinite.
pub fn kl_divergence(one: &Density, other: &Density) -> Option<f64> {
    let (one, other) = (one.shares(), other.shares());
    let terms = one.iter().zip(&other).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln());
    let sum: f64 = terms.sum();
    // Two equal distributions may come out below 0 by a rounding.
    sum.is_finite().then_some(sum.max(0.0))
}

/// The area under both densities, `[0, 1]`, from the lowest sample of either to the highest.
pub fn overlapping_area(one: &Density, other: &Density) -> f64 {
    let (start, end) = (one.lowest.min(other.lowest), one.highest.max(other.highest));
    let step = (end - start) / INTERVALS as f64;
    let weight = |i: usize| match i {
        0 | INTERVALS => 1.0,
        _ if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let value = |i: usize| {
        let x = start + step * i as f64;
        weight(i) * one.at(x).min(other.at(x))
    };
    (0..=INTERVALS).map(value).sum::<f64>() * step / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn density(samples: &[f64]) -> Density {
        Density::new(samples.to_vec()).expect("samples differ")
    }

    /// Numbers without a pattern, `[0, 1)`.
    fn numbers(mut state: u64, count: usize) -> Vec<f64> {
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn a_set_overlaps_itself_and_diverges_from_itself_by_nothing() {
        let one = density(&numbers(1, 200));
        assert!((0.9..=1.0).contains(&overlapping_area(&one, &one)));
        assert_eq!(kl_divergence(&one, &one), Some(0.0));
    }

    #[test]
    fn sets_far_apart_do_not_overlap() {
        let far: Vec<f64> = numbers(2, 200).iter().map(|x| x + 50.0).collect();
        assert!(overlapping_area(&density(&numbers(1, 200)), &density(&far)) < 1e-9);
    }

    #[test]
    fn divergence_is_never_negative() {
        for seed in 0..40 {
            let one: Vec<f64> = numbers(seed, 30).iter().map(|x| x * x).collect();
            let nats = kl_divergence(&density(&one), &density(&numbers(seed + 99, 40))).expect("finite");
            assert!(nats >= 0.0, "{nats}");
        }
    }

    #[test]
    fn samples_without_spread_have_no_density() {
        for samples in [vec![], vec![1.0], vec![2.0, 2.0], vec![1.0, f64::NAN], vec![0.0, f64::INFINITY]] {
            assert!(Density::new(samples).is_none());
        }
    }
}
