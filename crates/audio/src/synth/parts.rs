//! What drum sounds are made of: ringing partials, gliding sines, bands of noise, square waves.
//!
//! Every part *adds* to the buffer it is given. Decays are T60: the time to fall by 60 dB.

use crate::math;
use crate::noise::Noise;

use super::filter::Biquad;

/// How and on what a drum is struck.
pub struct Touch {
    /// Hz.
    pub rate: f64,
    /// How hard, `(0, 1]`.
    pub force: f64,
    /// Factor on every pitch; 1 is the voice's own tuning.
    pub tune: f64,
    /// What makes one stroke differ from the next.
    pub noise: Noise,
}

impl Touch {
    /// `low` at the softest stroke, `high` at the hardest.
    pub fn ranged(&self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.force
    }

    /// Silence of `seconds`.
    pub fn buffer(&self, seconds: f64) -> Vec<f32> {
        vec![0.0; (seconds * self.rate) as usize]
    }
}

/// One mode of a vibrating body.
#[derive(Clone, Copy, Debug)]
pub struct Partial {
    /// Hz.
    pub frequency: f64,
    pub gain: f64,
    /// T60, seconds.
    pub decay: f64,
    /// Turns.
    pub phase: f64,
}

const LANES: usize = 8;

/// Adds decaying sines. Those above 0.45 of the sample rate stay silent.
pub fn ring(out: &mut [f32], rate: f64, partials: &[Partial]) {
    ring_sides(&mut [out], rate, &vec![[1.0]; partials.len()], partials);
}

/// Adds decaying sines to `S` channels at once; `weights` are each partial's gains in them.
pub fn ring_sides<const S: usize>(
    out: &mut [&mut [f32]; S],
    rate: f64,
    weights: &[[f32; S]],
    partials: &[Partial],
) {
    let audible: Vec<(&Partial, &[f32; S])> =
        partials.iter().zip(weights).filter(|(partial, _)| partial.frequency < 0.45 * rate).collect();
    for group in audible.chunks(LANES) {
        // Each lane turns a vector (x, y) by its angle and shrinks it: stable in single precision.
        let (mut x, mut y) = ([0.0f32; LANES], [0.0f32; LANES]);
        let (mut c, mut s) = ([0.0f32; LANES], [0.0f32; LANES]);
        let mut weight = [[0.0f32; LANES]; S];
        for (lane, (partial, sides)) in group.iter().enumerate() {
            let turns = partial.frequency / rate;
            let shrink = math::decay_factor(partial.decay, rate);
            c[lane] = (shrink * math::cos_turns(turns)) as f32;
            s[lane] = (shrink * math::sin_turns(turns)) as f32;
            x[lane] = (partial.gain * math::cos_turns(partial.phase)) as f32;
            y[lane] = (partial.gain * math::sin_turns(partial.phase)) as f32;
            for side in 0..S {
                weight[side][lane] = sides[side];
            }
        }
        let longest = group.iter().fold(0.0f64, |t, (partial, _)| t.max(partial.decay));
        // 72 dB down is over.
        let end = out[0].len().min((longest * 1.2 * rate) as usize);
        #[expect(clippy::needless_range_loop, reason = "one index runs through all sides")]
        for i in 0..end {
            for side in 0..S {
                // Added as a tree: a chain of eight additions would wait for itself.
                let w = &weight[side];
                let half: [f32; 4] = std::array::from_fn(|k| w[k] * y[k] + w[k + 4] * y[k + 4]);
                out[side][i] += (half[0] + half[2]) + (half[1] + half[3]);
            }
            for lane in 0..LANES {
                let turned = c[lane] * x[lane] - s[lane] * y[lane];
                y[lane] = s[lane] * x[lane] + c[lane] * y[lane];
                x[lane] = turned;
            }
        }
    }
}

/// A sine whose pitch falls exponentially.
pub struct Glide {
    /// Hz at the stroke.
    pub from: f64,
    /// Hz it settles on.
    pub to: f64,
    /// Time constant of the fall, seconds.
    pub time: f64,
    /// T60, seconds.
    pub decay: f64,
    pub gain: f64,
}

/// Adds a [`Glide`].
pub fn glide(out: &mut [f32], rate: f64, g: &Glide) {
    let fall = math::exp(-1.0 / (g.time * rate));
    let shrink = math::decay_factor(g.decay, rate);
    let (mut phase, mut bend, mut level) = (0.0f64, g.from - g.to, g.gain);
    for sample in out {
        *sample += level as f32 * math::sin_fast(phase as f32);
        phase += (g.to + bend) / rate;
        phase -= f64::from(u8::from(phase >= 1.0));
        bend *= fall;
        level *= shrink;
    }
}

/// Noise between two corner frequencies with an exponential decay.
#[derive(Clone, Copy)]
pub struct Band {
    /// Hz.
    pub low: f64,
    /// Hz.
    pub high: f64,
    /// Seconds before it starts.
    pub delay: f64,
    /// Seconds to rise, linear.
    pub attack: f64,
    /// T60, seconds.
    pub decay: f64,
    pub gain: f64,
}

/// Adds a [`Band`] of noise.
pub fn band(out: &mut [f32], rate: f64, noise: &mut Noise, b: &Band) {
    let start = ((b.delay * rate) as usize).min(out.len());
    let end = out.len().min(start + ((b.attack + b.decay * 1.35) * rate) as usize);
    let mut highpass = Biquad::highpass(rate, b.low, 0.707);
    let mut lowpass = Biquad::lowpass(rate, b.high, 0.707);
    let shrink = math::decay_factor(b.decay, rate) as f32;
    let rise = 1.0 / (b.attack * rate).max(1.0) as f32;
    // White noise spreads its power up to half the rate: keep the band's level the same at every rate.
    let (mut level, mut attack) = (b.gain as f32 * (rate / 44_100.0).sqrt() as f32, 0.0f32);
    for sample in &mut out[start..end] {
        attack = (attack + rise).min(1.0);
        *sample += attack * level * lowpass.run(highpass.run(noise.white()));
        if attack >= 1.0 {
            level *= shrink;
        }
    }
}

/// Adds the sum of square waves at `frequencies`, band-limited by polynomial steps (polyBLEP, Välimäki 2005).
pub fn squares(out: &mut [f32], rate: f64, noise: &mut Noise, frequencies: &[f64]) {
    for &frequency in frequencies.iter().filter(|&&f| f < 0.4 * rate) {
        let step = (frequency / rate) as f32;
        let mut phase = noise.between(0.0, 1.0) as f32;
        for sample in &mut *out {
            let naive = if phase < 0.5 { 1.0 } else { -1.0 };
            let half = if phase < 0.5 { phase + 0.5 } else { phase - 0.5 };
            *sample += naive + step_correction(phase, step) - step_correction(half, step);
            phase += step;
            if phase >= 1.0 {
                phase -= 1.0;
            }
        }
    }
}

/// What to add to a wave that jumps up by 2 where `phase` wraps.
pub fn step_correction(phase: f32, step: f32) -> f32 {
    if phase < step {
        let t = phase / step;
        2.0 * t - t * t - 1.0
    } else if phase > 1.0 - step {
        let t = (phase - 1.0) / step;
        t * t + 2.0 * t + 1.0
    } else {
        0.0
    }
}

/// Multiplies by an exponential decay with T60 `decay` seconds, after a linear rise of `attack` seconds.
pub fn shape(out: &mut [f32], rate: f64, attack: f64, decay: f64) {
    let shrink = math::decay_factor(decay, rate) as f32;
    let rise = 1.0 / (attack * rate).max(1.0) as f32;
    let (mut level, mut up) = (1.0f32, 0.0f32);
    for sample in out {
        up = (up + rise).min(1.0);
        *sample *= up * level;
        if up >= 1.0 {
            level *= shrink;
        }
    }
}

/// Soft-clips with `drive` gain into the clipper.
pub fn saturate(out: &mut [f32], drive: f32) {
    for sample in out {
        *sample = math::soft_clip(*sample * drive);
    }
}

/// Inharmonic partials of a metal plate: `count` frequencies spread evenly in log from `low` to `high` Hz, each moved at random.
///
/// `metal` picks the plate: the same seed is the same piece of metal, whatever the stroke.
pub fn plate(metal: u64, count: usize, low: f64, high: f64) -> Vec<f64> {
    let mut noise = Noise::new(metal);
    let octaves = math::log2(high / low);
    (0..count)
        .map(|i| low * math::exp2(octaves * (i as f64 + noise.between(-0.45, 0.45) + 0.5) / count as f64))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_falls_by_60_db_in_its_decay() {
        let mut out = vec![0.0; 44_100];
        ring(&mut out, 44_100.0, &[Partial { frequency: 1000.0, gain: 1.0, decay: 0.5, phase: 0.0 }]);
        let peak = |a: usize| out[a..a + 100].iter().fold(0.0f32, |p, x| p.max(x.abs()));
        assert!((peak(0) - 1.0).abs() < 0.03);
        assert!((peak(22_050) / 0.001 - 1.0).abs() < 0.1);
    }

    #[test]
    fn partials_above_half_the_rate_stay_silent() {
        let mut out = vec![0.0; 100];
        ring(&mut out, 8000.0, &[Partial { frequency: 5000.0, gain: 1.0, decay: 0.5, phase: 0.2 }]);
        assert!(out.iter().all(|&x| x == 0.0));
    }
}
