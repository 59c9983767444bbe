//! Scores to render and measurements to take.

use partita_audio::{Kit, Pcm, RenderOptions, Voice, render};
use partita_score::{Note, Ppq, Score, TempoMap, Tick, Track};

pub const RATE: u32 = 44_100;

/// `(seconds, pitch, velocity)`, 0.1 s long.
pub type Stroke = (f64, u8, u8);

/// A score of one track, 1000 ticks a second.
pub fn score(channel: u8, program: u8, strokes: &[Stroke]) -> Score {
    let note = |&(at, pitch, velocity): &Stroke| {
        let onset = (at * 1000.0) as u32;
        Note { onset: Tick(onset), end: Tick(onset + 100), pitch, velocity }
    };
    let notes = strokes.iter().map(note).collect();
    let track = Track { channel, program, notes, ..Track::default() };
    let ppq = Ppq::new(1000).expect("a valid resolution");
    Score { ppq, tempos: TempoMap::constant(60.0), tracks: vec![track], ..Score::default() }
}

pub fn options(kit: Kit) -> RenderOptions {
    RenderOptions { voice: Voice::Kit(kit), loudness: None, ..RenderOptions::default() }
}

/// Drum strokes as played, without a loudness target, as mono.
pub fn mono(kit: Kit, strokes: &[Stroke]) -> Vec<f32> {
    mix(&render(&score(9, 0, strokes), &options(kit)).expect("a valid score"))
}

pub fn mix(pcm: &Pcm) -> Vec<f32> {
    pcm.channels[0].iter().zip(&pcm.channels[1]).map(|(l, r)| 0.5 * (l + r)).collect()
}

pub fn energy(wave: &[f32]) -> f64 {
    wave.iter().map(|x| f64::from(x * x)).sum()
}

/// The part of `wave` from `from` to `to` seconds.
pub fn part(wave: &[f32], from: f64, to: f64) -> &[f32] {
    let frame = |s: f64| ((s * f64::from(RATE)) as usize).min(wave.len());
    &wave[frame(from)..frame(to)]
}

/// Power spectrum of the first 0.37 s: `[8192]`, bin k is `k * RATE / 16384` Hz.
pub fn spectrum(wave: &[f32]) -> Vec<f64> {
    const SIZE: usize = 16_384;
    let mut re: Vec<f64> =
        wave.iter().copied().map(f64::from).chain(std::iter::repeat(0.0)).take(SIZE).collect();
    let mut im = vec![0.0; SIZE];
    for i in 0..SIZE {
        let j = i.reverse_bits() >> (usize::BITS - SIZE.trailing_zeros());
        if j > i {
            re.swap(i, j);
        }
    }
    let mut half = 1;
    while half < SIZE {
        for k in 0..half {
            let angle = -std::f64::consts::PI * k as f64 / half as f64;
            let (c, s) = (angle.cos(), angle.sin());
            for i in (k..SIZE).step_by(2 * half) {
                let j = i + half;
                let (tr, ti) = (re[j] * c - im[j] * s, re[j] * s + im[j] * c);
                (re[j], im[j]) = (re[i] - tr, im[i] - ti);
                (re[i], im[i]) = (re[i] + tr, im[i] + ti);
            }
        }
        half *= 2;
    }
    (0..SIZE / 2).map(|k| re[k] * re[k] + im[k] * im[k]).collect()
}

fn hertz(bin: usize) -> f64 {
    bin as f64 * f64::from(RATE) / 16_384.0
}

/// Share of the power between two frequencies, `[0, 1]`.
pub fn share(wave: &[f32], low: f64, high: f64) -> f64 {
    let power = spectrum(wave);
    let inside: f64 =
        power.iter().enumerate().filter(|(k, _)| (low..high).contains(&hertz(*k))).map(|(_, p)| p).sum();
    inside / power.iter().sum::<f64>()
}

/// Centre of gravity of the power spectrum, Hz.
pub fn centroid(wave: &[f32]) -> f64 {
    let power = spectrum(wave);
    power.iter().enumerate().map(|(k, p)| hertz(k) * p).sum::<f64>() / power.iter().sum::<f64>()
}

/// Frequency with the most power, Hz.
pub fn strongest(wave: &[f32]) -> f64 {
    let power = spectrum(wave);
    let best = power.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("a spectrum has bins");
    hertz(best.0)
}
