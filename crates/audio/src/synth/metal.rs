//! Cymbals, bells and jingles: banks of inharmonic partials plus shaped noise.
//!
//! A cymbal has hundreds of modes; below some 5 kHz single ones are heard, above it they melt into noise.
//! Struck harder, energy wanders up from low modes, so the top arrives some milliseconds late
//! (Fletcher & Rossing, "The Physics of Musical Instruments", chapter 20).

use crate::math;

use super::parts::{Band, Partial, Touch, band, plate, ring, ring_sides};

/// Left and right, equally long.
pub type Stereo = [Vec<f32>; 2];

/// A piece of struck metal.
struct Metal {
    /// Which plate: seed of its frequencies.
    plate: u64,
    /// Number of partials.
    count: usize,
    /// Lowest and highest partial, Hz.
    range: (f64, f64),
    /// T60 at 1 kHz, seconds.
    decay: f64,
    /// Decay goes with frequency to the power of minus this.
    damping: f64,
    /// Where the partials are strongest, Hz.
    centre: f64,
}

/// Adds the partials of `metal`, each somewhere else between the sides; soft strokes lose the top.
fn strike<const S: usize>(out: &mut [&mut [f32]; S], touch: &mut Touch, metal: &Metal, gain: f64) {
    let tilt = 1.3 * (1.0 - touch.force);
    let partials: Vec<Partial> = plate(metal.plate, metal.count, metal.range.0, metal.range.1)
        .into_iter()
        .map(|frequency| {
            let octaves = math::log2(frequency / metal.centre);
            let hump = math::exp2(-0.5 * octaves * octaves);
            let soft = if octaves > 0.0 { math::exp2(-tilt * octaves) } else { 1.0 };
            Partial {
                frequency: frequency * touch.tune,
                gain: gain * hump * soft / (metal.count as f64).sqrt(),
                decay: metal.decay * math::powf(1000.0 / frequency, metal.damping),
                phase: touch.noise.between(0.0, 1.0),
            }
        })
        .collect();
    let mut side = || touch.noise.between(0.3, 1.0) as f32;
    let weights: Vec<[f32; S]> = partials.iter().map(|_| std::array::from_fn(|_| side())).collect();
    ring_sides(out, touch.rate, &weights, &partials);
}

/// As [`strike`] into both sides.
fn strike_both(out: &mut Stereo, touch: &mut Touch, metal: &Metal, gain: f64) {
    let [left, right] = out;
    strike(&mut [left, right], touch, metal, gain);
}

fn both(out: &mut Stereo, touch: &mut Touch, b: &Band) {
    for side in out {
        band(side, touch.rate, &mut touch.noise, b);
    }
}

fn sides(touch: &Touch, seconds: f64) -> Stereo {
    [touch.buffer(seconds), touch.buffer(seconds)]
}

/// How long the hi-hat rings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pedal {
    Closed,
    /// Closed by foot: no stick.
    Foot,
    Open,
}

/// Hi-hat: two small plates.
pub fn hat(touch: &mut Touch, pedal: Pedal) -> Vec<f32> {
    let (decay, damping, seconds) = match pedal {
        Pedal::Closed => (0.15 + 0.05 * touch.force, 0.3, 0.2),
        Pedal::Foot => (0.13, 0.35, 0.16),
        Pedal::Open => (1.6 + 0.4 * touch.force, 0.3, 1.3),
    };
    let mut out = touch.buffer(seconds);
    let metal = Metal { plate: 0x4a7, count: 40, range: (3300.0, 14_500.0), decay, damping, centre: 8200.0 };
    strike(&mut [&mut out], touch, &metal, 1.0);
    let top = touch.ranged(9500.0, 17_000.0);
    let body = decay * 0.55;
    let noise = Band { low: 6800.0, high: top, delay: 0.0, attack: 0.0005, decay: body, gain: 0.5 };
    band(&mut out, touch.rate, &mut touch.noise, &noise);
    match pedal {
        // Plates meeting: a duller chick with a soft front.
        Pedal::Foot => {
            let chick =
                Band { low: 4500.0, high: 9000.0, delay: 0.004, attack: 0.006, decay: 0.05, gain: 0.5 };
            band(&mut out, touch.rate, &mut touch.noise, &chick);
        }
        Pedal::Closed | Pedal::Open => {
            let gain = touch.ranged(0.2, 0.9);
            let tip = Band { low: 5500.0, high: 13_000.0, delay: 0.0, attack: 0.0002, decay: 0.012, gain };
            band(&mut out, touch.rate, &mut touch.noise, &tip);
        }
    }
    if pedal == Pedal::Open {
        // Half-loose plates beat against each other for a moment.
        let sizzle = Band { low: 7500.0, high: top, delay: 0.008, attack: 0.02, decay: 0.5, gain: 0.3 };
        band(&mut out, touch.rate, &mut touch.noise, &sizzle);
    }
    out
}

/// Crash, splash (`length` 0.4) and china; `length` scales every decay, `dark` pulls the weight down.
pub fn crash(touch: &mut Touch, length: f64, dark: bool) -> Stereo {
    let mut out = sides(touch, 3.2 * length.max(0.3));
    let centre = if dark { 2100.0 } else { 3600.0 };
    let metal = Metal {
        plate: 0xc7a5,
        count: 64,
        range: (310.0, 12_500.0),
        decay: 3.6 * length,
        damping: 0.42,
        centre,
    };
    strike_both(&mut out, touch, &metal, 0.55);
    let bright = touch.ranged(0.35, 1.0);
    for (low, high, attack, decay, gain) in [
        (350.0, 1500.0, 0.001, 0.9, 0.14),
        (1500.0, 5000.0, 0.004, 2.3, 0.26),
        (4500.0, 11_000.0, 0.009, 1.9, 0.36 * bright),
        (8500.0, 18_000.0, 0.014, 1.1, 0.34 * bright * bright),
    ] {
        both(&mut out, touch, &Band { low, high, delay: 0.0, attack, decay: decay * length, gain });
    }
    both(
        &mut out,
        touch,
        &Band { low: 1500.0, high: 9000.0, delay: 0.0, attack: 0.0003, decay: 0.03, gain: 0.5 * bright },
    );
    out
}

/// Ride: a clear tip over a quiet wash.
pub fn ride(touch: &mut Touch) -> Stereo {
    let mut out = sides(touch, 2.4);
    let ping =
        Metal { plate: 0x21de, count: 24, range: (2300.0, 9500.0), decay: 2.2, damping: 0.6, centre: 4600.0 };
    let wash =
        Metal { plate: 0x3a51, count: 32, range: (280.0, 6000.0), decay: 3.0, damping: 0.3, centre: 1500.0 };
    let bright = touch.ranged(0.4, 1.0);
    strike_both(&mut out, touch, &ping, 0.75);
    strike_both(&mut out, touch, &wash, 0.18 + 0.1 * bright);
    let tip =
        Band { low: 3500.0, high: 11_000.0, delay: 0.0, attack: 0.0002, decay: 0.018, gain: 0.7 * bright };
    both(&mut out, touch, &tip);
    let shimmer =
        Band { low: 3000.0, high: 12_000.0, delay: 0.0, attack: 0.01, decay: 1.7, gain: 0.11 * bright };
    both(&mut out, touch, &shimmer);
    out
}

/// Bell of the ride: few strong partials.
pub fn ride_bell(touch: &mut Touch) -> Stereo {
    let mut out = sides(touch, 2.2);
    let bright = touch.ranged(0.4, 1.0);
    let bell = [
        (1.0, 0.5),
        (1.48, 0.7),
        (2.03, 1.0),
        (2.71, 0.8),
        (3.52, 0.7),
        (4.36, 0.55),
        (5.81, 0.4),
        (7.4, 0.3),
    ];
    for side in &mut out {
        let partials = bell.map(|(ratio, gain)| Partial {
            frequency: 655.0 * ratio * touch.tune,
            gain: gain * if ratio > 2.5 { bright } else { 1.0 } * touch.noise.between(0.8, 1.0),
            decay: 2.6 / ratio.sqrt(),
            phase: touch.noise.between(0.0, 0.2),
        });
        ring(side, touch.rate, &partials);
    }
    let tip = Band { low: 3000.0, high: 9000.0, delay: 0.0, attack: 0.0002, decay: 0.02, gain: 1.0 * bright };
    both(&mut out, touch, &tip);
    both(&mut out, touch, &Band { attack: 0.01, decay: 1.4, gain: 0.12, ..tip });
    out
}

/// Cowbell: two loud modes and a rough top.
pub fn cowbell(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.4);
    let bright = touch.ranged(0.3, 1.0);
    let modes = [
        (562.0, 1.0, 0.3),
        (848.0, 0.85, 0.24),
        (1530.0, 0.4, 0.14),
        (2410.0, 0.35, 0.1),
        (3720.0, 0.25, 0.07),
    ];
    let modes = modes.map(|(frequency, gain, decay)| Partial {
        frequency: frequency * touch.tune,
        gain: if frequency > 1000.0 { gain * bright } else { gain },
        decay,
        phase: touch.noise.between(0.0, 0.1),
    });
    ring(&mut out, touch.rate, &modes);
    let stick =
        Band { low: 1500.0, high: 7000.0, delay: 0.0, attack: 0.0002, decay: 0.012, gain: 0.5 * bright };
    band(&mut out, touch.rate, &mut touch.noise, &stick);
    out
}

/// Tambourine: jingles that arrive one after the other.
pub fn tambourine(touch: &mut Touch) -> Vec<f32> {
    let mut out = touch.buffer(0.4);
    let jingles = Metal {
        plate: 0x7a3b,
        count: 16,
        range: (4800.0, 12_500.0),
        decay: 0.5,
        damping: 0.4,
        centre: 8000.0,
    };
    strike(&mut [&mut out], touch, &jingles, 0.5);
    let mut delay = 0.0;
    let high = touch.ranged(9000.0, 16_000.0);
    for gain in [1.0, 0.6, 0.7, 0.35] {
        let gain = gain * touch.noise.between(0.6, 1.0);
        let b = Band { low: 5800.0, high, delay, attack: 0.001, decay: 0.11, gain };
        band(&mut out, touch.rate, &mut touch.noise, &b);
        delay += touch.noise.between(0.008, 0.022);
    }
    out
}

/// Triangle and small bells: high, thin, long; `decay` is the T60 in seconds.
pub fn triangle(touch: &mut Touch, decay: f64) -> Vec<f32> {
    let mut out = touch.buffer(decay);
    let bright = touch.ranged(0.4, 1.0);
    let modes = [(1.0, 0.5), (1.83, 0.35), (2.42, 1.0), (3.31, 0.6), (4.57, 0.5), (5.9, 0.35)];
    let partials = modes.map(|(ratio, gain)| Partial {
        frequency: 1720.0 * ratio * touch.tune,
        gain: if ratio > 3.0 { gain * bright } else { gain },
        decay: decay / ratio.sqrt(),
        phase: touch.noise.between(0.0, 0.2),
    });
    ring(&mut out, touch.rate, &partials);
    out
}
