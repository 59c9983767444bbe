//! Small filters the voices are built from.

use crate::math;

/// Second-order filter, transposed direct form II.
///
/// Source: R. Bristow-Johnson, "Audio EQ Cookbook".
#[derive(Clone, Debug)]
pub struct Biquad {
    b: [f32; 3],
    a: [f32; 2],
    state: [f32; 2],
}

impl Biquad {
    /// 12 dB per octave below `frequency` Hz taken off; `q` 0.707 is flat.
    pub fn highpass(rate: f64, frequency: f64, q: f64) -> Self {
        let (cos, alpha) = angle(rate, frequency, q);
        let b = (1.0 + cos) / 2.0;
        Self::new([b, -(1.0 + cos), b], [1.0 + alpha, -2.0 * cos, 1.0 - alpha])
    }

    /// 12 dB per octave above `frequency` Hz taken off.
    pub fn lowpass(rate: f64, frequency: f64, q: f64) -> Self {
        let (cos, alpha) = angle(rate, frequency, q);
        let b = (1.0 - cos) / 2.0;
        Self::new([b, 1.0 - cos, b], [1.0 + alpha, -2.0 * cos, 1.0 - alpha])
    }

    /// Passes around `frequency` Hz with gain 1 at its centre.
    pub fn bandpass(rate: f64, frequency: f64, q: f64) -> Self {
        let (cos, alpha) = angle(rate, frequency, q);
        Self::new([alpha, 0.0, -alpha], [1.0 + alpha, -2.0 * cos, 1.0 - alpha])
    }

    fn new(b: [f64; 3], a: [f64; 3]) -> Self {
        Self {
            b: b.map(|x| (x / a[0]) as f32),
            a: [(a[1] / a[0]) as f32, (a[2] / a[0]) as f32],
            state: [0.0; 2],
        }
    }

    /// Filters one sample.
    pub fn run(&mut self, x: f32) -> f32 {
        let y = self.b[0] * x + self.state[0];
        self.state[0] = self.b[1] * x - self.a[0] * y + self.state[1];
        self.state[1] = self.b[2] * x - self.a[1] * y;
        y
    }

    /// Filters `samples` in place.
    pub fn run_all(&mut self, samples: &mut [f32]) {
        for sample in samples {
            *sample = self.run(*sample);
        }
    }
}

fn angle(rate: f64, frequency: f64, q: f64) -> (f64, f64) {
    let turns = (frequency / rate).clamp(1e-5, 0.45);
    (math::cos_turns(turns), math::sin_turns(turns) / (2.0 * q))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(mut filter: Biquad, frequency: f64) -> f64 {
        let wave = |i: u32| math::sin_turns(f64::from(i) * frequency / 48_000.0) as f32;
        (0..9600)
            .map(|i| (i, filter.run(wave(i))))
            .filter(|(i, _)| *i > 4800)
            .fold(0.0f64, |peak, (_, y)| peak.max(f64::from(y.abs())))
    }

    #[test]
    fn filters_pass_their_band_and_stop_the_rest() {
        assert!(gain(Biquad::highpass(48_000.0, 1000.0, 0.707), 100.0) < 0.02);
        assert!(gain(Biquad::highpass(48_000.0, 1000.0, 0.707), 7919.0) > 0.97);
        assert!(gain(Biquad::lowpass(48_000.0, 1000.0, 0.707), 100.0) > 0.98);
        assert!(gain(Biquad::lowpass(48_000.0, 1000.0, 0.707), 10_000.0) < 0.02);
        let centre = gain(Biquad::bandpass(48_000.0, 1000.0, 4.0), 1000.0);
        assert!((centre - 1.0).abs() < 0.02);
    }
}
