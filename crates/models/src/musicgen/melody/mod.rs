//! What a melody model hears of a recording: in every eighth of a second, the strongest of the twelve pitch classes.
//!
//! ```text
//! samples -> windows of 16384, one every 4096 -> power spectrum     fft.rs
//! power [8193] -> energy of the pitch classes [12] -> the largest   filters.rs
//! ```
//! The sound is taken as it is. Drums and bass disturb the choice: a melody alone, or a mix without them, works best.
//!
//! Rule: every function is our own, in f64 with one order of sums, so the choice is the same on every machine.
//!
//! Source: Copet et al. 2023, section 2.4; parameters of the published feature extractor. Samples here are f32, `[N]`,
//! mono at 32000 Hz.

mod fft;
mod filters;

use std::f64::consts::TAU;

pub use filters::filters;

/// Pitch classes: C, C#, ..., B.
pub const CLASSES: usize = 12;
/// Rate of the samples, Hz.
pub const SAMPLE_RATE: u32 = 32_000;
/// Samples that are listened to: 30 s.
pub const MAX_SAMPLES: usize = 30 * SAMPLE_RATE as usize;

const WINDOW: usize = 16_384;
const HOP: usize = 4096;
/// Frequencies of a spectrum.
const BINS: usize = WINDOW / 2 + 1;

/// The strongest pitch class of every frame: `[T, 12]`, 1 in its place and 0 elsewhere.
///
/// Samples after the first 30 s are not listened to. T is one more than their number / 4096; less than 16384 samples are
/// given silence on both sides. Silence, and no sound at all, is C; samples that are not numbers count as 0.
pub fn features(samples: &[f32]) -> Vec<f32> {
    let mut features = Vec::new();
    for energy in each_frame(samples) {
        let mut best = 0;
        for class in 1..CLASSES {
            // The first of equals.
            if energy[class] > energy[best] {
                best = class;
            }
        }
        features.extend((0..CLASSES).map(|class| f32::from(u8::from(class == best))));
    }
    features
}

/// The energy of the pitch classes in every frame: `[T, 12]`, the power of the windowed spectrum by the filters.
/// Frames are those of [`features`].
pub fn energies(samples: &[f32]) -> Vec<f32> {
    each_frame(samples).flatten().map(|energy| energy as f32).collect()
}

fn each_frame(samples: &[f32]) -> impl Iterator<Item = [f64; CLASSES]> {
    let padded = pad(samples);
    let window: Vec<f64> =
        (0..WINDOW).map(|i| 0.5 - 0.5 * fft::cos(TAU * i as f64 / WINDOW as f64)).collect();
    let norm = window.iter().map(|w| w * w).sum::<f64>();
    let fft = fft::Fft::new(WINDOW);
    let filters = filters();
    let frames = (padded.len() - WINDOW) / HOP + 1;
    let mut spectrum = vec![[0.0; 2]; WINDOW];
    (0..frames).map(move |frame| {
        let part = &padded[frame * HOP..][..WINDOW];
        for ((to, sample), weight) in spectrum.iter_mut().zip(part).zip(&window) {
            *to = [f64::from(*sample) * weight, 0.0];
        }
        fft.run(&mut spectrum);
        let mut energy = [0.0; CLASSES];
        for (class, energy) in energy.iter_mut().enumerate() {
            for (filter, [re, im]) in filters[class * BINS..][..BINS].iter().zip(&spectrum) {
                *energy += f64::from(*filter) * (re * re + im * im);
            }
            *energy /= norm;
        }
        energy
    })
}

/// At most 30 s, at least a window, and half a window more on both sides, mirrored at the first and last sample.
fn pad(samples: &[f32]) -> Vec<f32> {
    let samples = &samples[..samples.len().min(MAX_SAMPLES)];
    let short = WINDOW.saturating_sub(samples.len());
    let mut sound = vec![0.0; short / 2];
    sound.extend(samples.iter().map(|&sample| if sample.is_finite() { sample } else { 0.0 }));
    sound.resize(sound.len() + short.div_ceil(2), 0.0);
    let half = WINDOW / 2;
    let mut padded: Vec<f32> = sound[1..=half].iter().rev().copied().collect();
    padded.extend(&sound);
    padded.extend(sound[sound.len() - 1 - half..sound.len() - 1].iter().rev());
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, frames: usize) -> Vec<f32> {
        (0..frames).map(|i| (TAU * hz * i as f64 / f64::from(SAMPLE_RATE)).sin() as f32).collect()
    }

    fn chosen(samples: &[f32]) -> Vec<usize> {
        let features = features(samples);
        assert!(features.iter().all(|&x| x == 0.0 || x == 1.0));
        let class = |frame: &[f32]| frame.iter().position(|&x| x == 1.0).expect("a choice");
        features.chunks_exact(CLASSES).map(class).collect()
    }

    #[test]
    fn every_pitch_class_is_heard_in_every_octave() {
        for pitch in 48..84 {
            let hz = 440.0 * ((f64::from(pitch) - 69.0) / 12.0).exp2();
            assert_eq!(chosen(&tone(hz, 20_000)), [pitch as usize % 12; 5], "pitch {pitch}");
        }
    }

    #[test]
    fn there_is_a_frame_every_4096_samples_up_to_30_seconds() {
        let lengths = [
            (0, 5),
            (1, 5),
            (16_383, 5),
            (16_384, 5),
            (20_479, 5),
            (20_480, 6),
            (960_000, 235),
            (960_001, 235),
            (2_000_000, 235),
        ];
        for (samples, frames) in lengths {
            assert_eq!(pad(&vec![0.0; samples]).len() / HOP - 3, frames, "{samples} samples");
        }
        let mut long = tone(440.0, MAX_SAMPLES);
        let wanted = features(&long);
        long.extend(tone(500.0, 50_000));
        assert!(features(&long) == wanted, "what comes after 30 s changes nothing");
        assert_eq!(wanted.len(), 235 * CLASSES);
    }

    #[test]
    fn silence_is_c_and_nonsense_is_silence() {
        assert_eq!(chosen(&[]), [0; 5]);
        assert_eq!(chosen(&[f32::NAN, f32::INFINITY, 0.0]), [0; 5]);
    }
}
