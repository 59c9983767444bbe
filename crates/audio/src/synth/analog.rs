//! Two drum machines: one after the TR-808, one after the TR-909.
//!
//! The 808's metal is six square waves through band-passes; frequencies from its service notes as measured by
//! Werner, Abel & Smith, "The TR-808 Cymbal" (2014). The 909's kick and snare are swept triangles with noise.

use super::filter::Biquad;
use super::metal::Pedal;
use super::parts::{Band, Glide, Partial, Touch, band, glide, ring, saturate, shape, squares};

/// The 808's six oscillators, Hz.
const OSCILLATORS: [f64; 6] = [205.3, 369.6, 304.4, 522.7, 540.0, 800.0];

fn noise(out: &mut [f32], touch: &mut Touch, (low, high): (f64, f64), decay: f64, gain: f64) {
    let b = Band { low, high, delay: 0.0, attack: 0.0002, decay, gain };
    band(out, touch.rate, &mut touch.noise, &b);
}

/// 808 bass drum: a ringing bridged-T filter, nearly a sine, long.
pub fn kick_808(touch: &mut Touch) -> Vec<f32> {
    let decay = touch.ranged(0.8, 1.2);
    let mut out = touch.buffer(decay);
    let to = 49.5 * touch.tune * touch.noise.between(0.998, 1.002);
    glide(
        &mut out,
        touch.rate,
        &Glide { from: to * touch.ranged(1.9, 3.0), to, time: 0.006, decay, gain: 1.0 },
    );
    noise(&mut out, touch, (400.0, touch.ranged(1200.0, 5000.0)), 0.008, touch.ranged(0.05, 0.45));
    saturate(&mut out, 1.15);
    out
}

/// 909 bass drum: a fast sweep into the note, a click in front, some saturation.
pub fn kick_909(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.55);
    let to = 51.0 * touch.tune * touch.noise.between(0.998, 1.002);
    glide(
        &mut out,
        touch.rate,
        &Glide { from: to * touch.ranged(3.2, 5.6), to, time: 0.016, decay: 0.55, gain: 1.0 },
    );
    saturate(&mut out, touch.ranged(1.2, 1.9) as f32);
    noise(&mut out, touch, (700.0, touch.ranged(1500.0, 8000.0)), 0.016, touch.ranged(0.05, 0.5));
    out
}

/// 808 snare: two resonators and high-passed noise.
pub fn snare_808(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.35);
    let tune = touch.tune * touch.noise.between(0.998, 1.002);
    let modes = [(180.0, 0.8, 0.16), (331.0, 0.55, 0.1)];
    ring(
        &mut out,
        touch.rate,
        &modes.map(|(f, gain, decay)| Partial { frequency: f * tune, gain, decay, phase: 0.0 }),
    );
    noise(
        &mut out,
        touch,
        (1300.0, touch.ranged(5000.0, 14_000.0)),
        touch.ranged(0.16, 0.28),
        touch.ranged(0.5, 1.0),
    );
    out
}

/// 909 snare: two swept tones, a bright noise and a longer darker one.
pub fn snare_909(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.4);
    let to = 178.0 * touch.tune * touch.noise.between(0.997, 1.003);
    for (ratio, decay, gain) in [(1.0, 0.17, 0.8), (1.78, 0.12, 0.45)] {
        let tone =
            Glide { from: to * ratio * touch.ranged(1.3, 1.8), to: to * ratio, time: 0.012, decay, gain };
        glide(&mut out, touch.rate, &tone);
    }
    noise(&mut out, touch, (500.0, touch.ranged(4000.0, 7500.0)), 0.3, 0.55);
    noise(&mut out, touch, (4000.0, touch.ranged(7000.0, 16_000.0)), 0.2, touch.ranged(0.3, 0.9));
    saturate(&mut out, 1.2);
    out
}

/// Rim shot: two hard resonators.
pub fn rim(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.12);
    let bright = touch.ranged(0.4, 1.0);
    let modes = [(455.0, 0.6, 0.03), (1667.0, 1.0, 0.028), (2600.0, 0.3 * bright, 0.02)];
    let tune = touch.tune;
    ring(
        &mut out,
        touch.rate,
        &modes.map(|(f, gain, decay)| Partial { frequency: f * tune, gain, decay, phase: 0.1 }),
    );
    noise(&mut out, touch, (2000.0, 9000.0), 0.006, 0.4 * bright);
    saturate(&mut out, 1.4);
    out
}

/// Hand clap: three saw-toothed bursts and a room-like tail.
pub fn clap(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.4);
    let mut filter = Biquad::bandpass(touch.rate, 1050.0 * touch.tune, 1.1);
    let high = touch.ranged(3000.0, 9000.0);
    for (delay, decay, gain) in
        [(0.0, 0.03, 0.9), (0.0105, 0.03, 0.9), (0.021, 0.035, 1.0), (0.03, 0.26, 0.55)]
    {
        let b = Band { low: 400.0, high, delay, attack: 0.0003, decay, gain };
        band(&mut out, touch.rate, &mut touch.noise, &b);
    }
    let dry = touch.ranged(0.15, 0.5) as f32;
    for sample in &mut out {
        *sample = filter.run(*sample) * 1.5 + *sample * dry;
    }
    out
}

/// Tom of either machine: a sine that falls a little, and a breath of noise. `fall` is how far it falls.
pub fn tom(touch: &mut Touch, fall: f64) -> Vec<f32> {
    let decay = 0.6 / touch.tune.sqrt();
    let mut out = touch.buffer(decay * 1.2);
    let to = 95.0 * touch.tune * touch.noise.between(0.998, 1.002);
    let from = to * (1.0 + fall * touch.ranged(0.5, 1.0));
    glide(&mut out, touch.rate, &Glide { from, to, time: 0.03, decay, gain: 1.0 });
    noise(&mut out, touch, (100.0, touch.ranged(500.0, 2500.0)), 0.09, touch.ranged(0.05, 0.25));
    out
}

/// Conga: the same resonator, higher and without noise.
pub fn conga(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.3);
    let to = 220.0 * touch.tune;
    glide(
        &mut out,
        touch.rate,
        &Glide { from: to * touch.ranged(1.02, 1.12), to, time: 0.01, decay: 0.22, gain: 1.0 },
    );
    noise(&mut out, touch, (800.0, 4000.0), 0.006, touch.ranged(0.05, 0.4));
    out
}

/// Six squares through a band-pass and a high-pass: the 808's metal.
fn metal(out: &mut [f32], touch: &mut Touch, centre: f64, low: f64) {
    let tuned = OSCILLATORS.map(|f| f * touch.tune);
    squares(out, touch.rate, &mut touch.noise, &tuned);
    Biquad::bandpass(touch.rate, centre, 1.6).run_all(out);
    Biquad::highpass(touch.rate, low, 0.9).run_all(out);
    Biquad::highpass(touch.rate, low, 0.707).run_all(out);
}

/// 808 hi-hat.
pub fn hat_808(touch: &mut Touch, pedal: Pedal) -> Vec<f32> {
    let (decay, seconds) = match pedal {
        Pedal::Closed => (touch.ranged(0.07, 0.11), 0.14),
        Pedal::Foot => (0.06, 0.08),
        Pedal::Open => (touch.ranged(0.6, 0.75), 0.8),
    };
    let mut out = touch.buffer(seconds);
    metal(&mut out, touch, touch.ranged(8200.0, 10_500.0), 6900.0);
    shape(&mut out, touch.rate, 0.0003, decay);
    out
}

/// 808 cymbal: a short bright band over a long lower one.
pub fn cymbal_808(touch: &mut Touch, length: f64) -> Vec<f32> {
    let seconds = 1.9 * length;
    let mut out = touch.buffer(seconds);
    metal(&mut out, touch, 4200.0, 2600.0);
    shape(&mut out, touch.rate, 0.0005, touch.ranged(1.2, 1.7) * length);
    let mut top = touch.buffer(seconds);
    metal(&mut top, touch, 9800.0, 7000.0);
    shape(&mut top, touch.rate, 0.0003, touch.ranged(0.3, 0.7) * length);
    let gain = touch.ranged(0.6, 1.6) as f32;
    for (sample, top) in out.iter_mut().zip(&top) {
        *sample += top * gain;
    }
    out
}

/// 808 cowbell: two of the squares through a band-pass, a hard front and a tail.
pub fn cowbell_808(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.45);
    let tuned = [540.0 * touch.tune, 800.0 * touch.tune];
    squares(&mut out, touch.rate, &mut touch.noise, &tuned);
    Biquad::bandpass(touch.rate, touch.ranged(850.0, 1150.0), 1.0).run_all(&mut out);
    let mut front = out.clone();
    shape(&mut front, touch.rate, 0.0005, 0.045);
    shape(&mut out, touch.rate, 0.0005, 0.42);
    for (sample, front) in out.iter_mut().zip(&front) {
        *sample = 0.55 * *sample + *front;
    }
    out
}

/// Maracas and shakers of the machines: one gated burst of noise.
pub fn maracas(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.1);
    let high = touch.ranged(9000.0, 18_000.0);
    let b = Band { low: 5200.0, high, delay: 0.0, attack: 0.004, decay: 0.05, gain: 1.0 };
    band(&mut out, touch.rate, &mut touch.noise, &b);
    out
}
