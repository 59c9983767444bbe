//! From float samples to the integers of a file.

use crate::noise::Noise;

/// The same for every file, so the same samples give the same bytes.
const DITHER_SEED: u64 = 0x5eed;

/// Rounds to 16 bits with triangular dither of one step.
///
/// Samples are given frame by frame, channels in order: every format that is fed so holds the same integers.
pub(crate) struct Int16(Noise);

impl Int16 {
    pub fn new() -> Self {
        Self(Noise::new(DITHER_SEED))
    }

    /// Full scale is ±32767. Clips; what is not a number becomes 0; digital silence stays silent.
    pub fn step(&mut self, sample: f32) -> i16 {
        let sample = finite(sample);
        let dither = if sample == 0.0 { 0.0 } else { self.0.triangular() };
        (sample * 32767.0 + dither + 0.5).floor().clamp(-32768.0, 32767.0) as i16
    }
}

/// Rounds to 24 bits, without dither: a step is far below what can be heard. Clips as [`Int16::step`] does.
pub(crate) fn int24(sample: f32) -> i32 {
    let step = (f64::from(finite(sample)) * 8_388_607.0 + 0.5).floor();
    step.clamp(-8_388_608.0, 8_388_607.0) as i32
}

/// `sample`, or 0 if it is not a number.
pub(crate) fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample } else { 0.0 }
}
