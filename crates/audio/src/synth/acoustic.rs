//! The acoustic-like kit: membranes as modes with a falling pitch, wires and sticks as noise.
//!
//! Mode ratios of an ideal membrane: Fletcher & Rossing, "The Physics of Musical Instruments", table 3.1.
//! Cymbals are in `metal.rs`.

use super::parts::{Band, Glide, Partial, Touch, band, glide, ring};

/// Overtones of a circular membrane, as multiples of its lowest mode.
const MEMBRANE: [f64; 7] = [1.594, 2.136, 2.296, 2.653, 2.918, 3.156, 3.501];

/// Adds the overtones of a membrane tuned to `frequency`, each shorter than the one below.
fn overtones(out: &mut [f32], touch: &mut Touch, frequency: f64, decay: f64, gain: f64) {
    let bright = touch.ranged(0.35, 1.0);
    let mut level = gain;
    let partials = MEMBRANE.map(|ratio| {
        level *= 0.45 + 0.35 * bright;
        // Where the stick lands differs each time, and with it which modes sound.
        let hit = touch.noise.between(0.7, 1.15);
        Partial { frequency: frequency * ratio, gain: level * hit, decay: decay / ratio, phase: 0.0 }
    });
    ring(out, touch.rate, &partials);
}

/// Adds the short noise of stick or beater on skin.
fn contact(out: &mut [f32], touch: &mut Touch, (low, high): (f64, f64), decay: f64, gain: f64) {
    let b = Band { low, high, delay: 0.0, attack: 0.0003, decay, gain };
    band(out, touch.rate, &mut touch.noise, &b);
}

/// Bass drum: a low mode that falls into place, a felt beater.
pub fn kick(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.7);
    let to = 54.0 * touch.tune * touch.noise.between(0.995, 1.005);
    let main = Glide { from: to * touch.ranged(1.5, 2.5), to, time: 0.02, decay: 0.42, gain: 1.0 };
    glide(&mut out, touch.rate, &main);
    overtones(&mut out, touch, to * 1.05, 0.22, touch.ranged(0.15, 0.3));
    let force = touch.force;
    contact(&mut out, touch, (60.0, 350.0), 0.07, 0.25);
    let click = (1800.0, 2500.0 + 5500.0 * force);
    contact(&mut out, touch, click, 0.02, 0.1 + 0.75 * force * force);
    out
}

/// Snare drum: two heads and the wires under them.
pub fn snare(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.6);
    let force = touch.force;
    let to = 186.0 * touch.tune * touch.noise.between(0.992, 1.008);
    let head = Glide { from: to * touch.ranged(1.08, 1.3), to, time: 0.012, decay: 0.24, gain: 0.75 };
    glide(&mut out, touch.rate, &head);
    // The lower head is tuned higher.
    let lower = Partial { frequency: to * 1.78, gain: 0.4, decay: 0.18, phase: 0.0 };
    ring(&mut out, touch.rate, &[lower]);
    overtones(&mut out, touch, to, 0.26, 0.55);
    // Wires: they leave the head a millisecond after the stroke, rattle, and are brighter when hit harder.
    let top = 5500.0 + 10_500.0 * force;
    for (low, high, decay, gain) in [
        (1400.0, top * 0.6, 0.19 + 0.09 * force, 0.55),
        (3800.0, top, 0.26 + 0.12 * force, 0.35 + 0.5 * force),
        (500.0, 1800.0, 0.12, 0.22),
    ] {
        let wires = Band { low, high, delay: 0.0012, attack: 0.001, decay, gain };
        band(&mut out, touch.rate, &mut touch.noise, &wires);
    }
    contact(&mut out, touch, (900.0, 3000.0 + 9000.0 * force), 0.012, 0.2 + 0.9 * force);
    out
}

/// Stick laid across the snare's rim: wood and hoop.
pub fn side_stick(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.2);
    let bright = touch.ranged(0.3, 1.0);
    let modes = [
        (390.0, 0.35, 0.05),
        (1120.0, 0.3, 0.045),
        (1730.0, 1.0, 0.05),
        (2680.0, 0.6, 0.035),
        (4300.0, 0.35, 0.02),
    ];
    let modes = modes.map(|(frequency, gain, decay)| Partial {
        frequency: frequency * touch.tune * touch.noise.between(0.99, 1.01),
        gain: if frequency > 2000.0 { gain * bright } else { gain },
        decay,
        phase: 0.1,
    });
    ring(&mut out, touch.rate, &modes);
    contact(&mut out, touch, (1500.0, 9000.0), 0.01, 0.5 * bright);
    out
}

/// Tom: one long mode that falls when struck hard, overtones, stick.
pub fn tom(touch: &mut Touch) -> Vec<f32> {
    let to = 100.0 * touch.tune * touch.noise.between(0.996, 1.004);
    let decay = 0.75 / touch.tune.sqrt();
    let mut out = touch.buffer(decay * 1.35);
    let main = Glide { from: to * touch.ranged(1.08, 1.38), to, time: 0.045, decay, gain: 1.0 };
    glide(&mut out, touch.rate, &main);
    overtones(&mut out, touch, to, decay * 0.6, touch.ranged(0.3, 0.6));
    let top = 1500.0 + 5000.0 * touch.force;
    let gain = touch.ranged(0.08, 0.5);
    contact(&mut out, touch, (250.0, top), 0.03, gain);
    out
}

/// Bongo or conga: a small tight skin struck by hand.
pub fn hand_drum(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.45);
    let to = 220.0 * touch.tune * touch.noise.between(0.995, 1.005);
    let main = Glide { from: to * touch.ranged(1.03, 1.12), to, time: 0.015, decay: 0.3, gain: 1.0 };
    glide(&mut out, touch.rate, &main);
    overtones(&mut out, touch, to, 0.2, touch.ranged(0.2, 0.6));
    let gain = touch.ranged(0.1, 0.7);
    contact(&mut out, touch, (700.0, 5000.0), 0.018, gain);
    out
}

/// Hand clap: several hands, not quite together.
pub fn clap(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.35);
    let mut delay = 0.0;
    let top = touch.ranged(2200.0, 5200.0);
    for hand in 0..4 {
        let decay = if hand == 3 { 0.16 } else { 0.025 };
        let gain = touch.noise.between(0.7, 1.0);
        let low = touch.noise.between(650.0, 950.0) * touch.tune;
        let b = Band { low, high: top, delay, attack: 0.0005, decay, gain };
        band(&mut out, touch.rate, &mut touch.noise, &b);
        delay += touch.noise.between(0.007, 0.012);
    }
    out
}

/// Claves and wood blocks: one hard mode and a second above it.
pub fn wood(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.15);
    let frequency = 1250.0 * touch.tune * touch.noise.between(0.997, 1.003);
    let second = touch.ranged(0.15, 0.5);
    let modes = [
        Partial { frequency, gain: 1.0, decay: 0.075, phase: 0.0 },
        Partial { frequency: frequency * 2.71, gain: second, decay: 0.035, phase: 0.0 },
    ];
    ring(&mut out, touch.rate, &modes);
    contact(&mut out, touch, (1500.0, 7000.0), 0.006, 0.3 * second);
    out
}

/// Shaker, maracas, cabasa: grains that rise and fall.
pub fn shaker(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.22);
    let low = 4200.0 * touch.tune;
    let high = touch.ranged(8000.0, 15_000.0);
    let attack = touch.ranged(0.028, 0.012);
    let swing = Band { low, high, delay: 0.0, attack, decay: 0.09, gain: 1.0 };
    band(&mut out, touch.rate, &mut touch.noise, &swing);
    let back = Band { delay: 0.055, attack: 0.015, decay: 0.07, gain: 0.25, ..swing };
    band(&mut out, touch.rate, &mut touch.noise, &back);
    out
}
