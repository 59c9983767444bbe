//! Sinusoidal positions, cosines first.
//!
//! ```text
//! position p:  [cos(p w_0) … cos(p w_n-1), sin(p w_0) … sin(p w_n-1)],  n = D / 2,  w_i = 10000^(-i / (n - 1))
//! ```
//! Sines come from additions and multiplications, so they are the same on every machine. The divisor is n - 1, and
//! checkpoints that hold a table hold it rounded, so it is always computed.
//!
//! Source: Vaswani et al. 2017, section 3.5, in fairseq's order.

use std::f64::consts::PI;

use partita_kernels::{exp_minus, sin};

const LN_10000: f64 = 9.210_340_371_976_184;

/// Frequencies of a width.
pub(super) struct Positions {
    /// `[D / 2]`
    frequencies: Vec<f64>,
}

impl Positions {
    /// `width`: D, even, at least 4.
    pub fn new(width: usize) -> Positions {
        let half = width / 2;
        let step = LN_10000 / (half - 1) as f64;
        Positions { frequencies: (0..half).map(|i| exp_minus(i as f64 * step)).collect() }
    }

    /// Adds position `p` to a row `[D]`.
    pub fn add(&self, p: usize, row: &mut [f32]) {
        let (cosines, sines) = row.split_at_mut(self.frequencies.len());
        for ((cosine, sine), frequency) in cosines.iter_mut().zip(sines).zip(&self.frequencies) {
            let angle = p as f64 * frequency;
            *cosine += sin(angle + PI / 2.0) as f32;
            *sine += sin(angle) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn musicgen_positions_are_sinusoids_with_cosines_first() {
        let (width, half) = (1024, 512);
        let positions = Positions::new(width);
        for p in [0, 1, 2, 63, 500, 1503, 20_000] {
            let mut row = vec![0.0; width];
            positions.add(p, &mut row);
            for i in 0..half {
                let angle = p as f64 * (-(i as f64) * 10_000f64.ln() / (half - 1) as f64).exp();
                assert!((f64::from(row[i]) - angle.cos()).abs() < 1e-7, "{p} {i}");
                assert!((f64::from(row[half + i]) - angle.sin()).abs() < 1e-7, "{p} {i}");
            }
        }
    }
}
