//! Tone voices, so that melodies, chords and basses beside the drums are heard: 2-operator FM, soft saws, drawbars.
//!
//! They stand in for a SoundFont; pitch bends and modulation are left to that.

use crate::stop::Stop;
use crate::{Error, math};

use super::kit::velocity_gain;
use super::parts::step_correction;
use super::room::{Bus, pan_gains};

/// One note of a tone voice.
#[derive(Clone, Copy, Debug)]
pub struct ToneNote {
    /// Frame of the onset.
    pub at: usize,
    /// Frame of the release, not before `at`.
    pub end: usize,
    /// `0..128`
    pub pitch: u8,
    /// `1..=127`
    pub velocity: u8,
    /// `-1..=1`
    pub pan: f64,
    /// Channel volume, `[0, 1]`.
    pub gain: f64,
}

/// Notes of one track that may sound together; the oldest is released.
const VOICES: usize = 24;

enum Engine {
    /// A sine bent by another of `ratio` times its pitch; `index` falls with T60 `fade` seconds.
    Fm { ratio: f64, index: f64, fade: f64 },
    /// Two saws `cents` apart through a low-pass at `open` times the pitch, falling to `shut` times with T60 `fade`.
    Saw { cents: f64, open: f64, shut: f64, fade: f64 },
    /// Sines at 1, 2, 3 and 4 times the pitch.
    Drawbars,
}

struct Patch {
    engine: Engine,
    /// Seconds to rise.
    attack: f64,
    /// T60 while held, seconds; 0 holds for ever.
    decay: f64,
    /// T60 after the release, seconds.
    release: f64,
    gain: f64,
}

/// The patch of a General MIDI program family (programs in groups of 8).
fn patch(program: u8) -> Patch {
    let (engine, attack, decay, release, gain) = match program / 8 {
        // Pianos.
        0 => (Engine::Fm { ratio: 1.0, index: 0.30, fade: 1.6 }, 0.002, 5.0, 0.35, 0.26),
        // Chromatic percussion.
        1 => (Engine::Fm { ratio: 3.53, index: 0.28, fade: 0.8 }, 0.001, 2.5, 0.8, 0.22),
        2 => (Engine::Drawbars, 0.006, 0.0, 0.12, 0.2),
        // Guitars.
        3 => (Engine::Saw { cents: 3.0, open: 9.0, shut: 1.5, fade: 0.9 }, 0.002, 2.8, 0.25, 0.26),
        // Basses.
        4 => (Engine::Saw { cents: 2.0, open: 9.0, shut: 2.2, fade: 0.5 }, 0.003, 6.0, 0.12, 0.42),
        // Strings, ensembles.
        5 | 6 => (Engine::Saw { cents: 14.0, open: 4.5, shut: 4.5, fade: 1.0 }, 0.09, 0.0, 0.6, 0.2),
        // Brass.
        7 => (Engine::Saw { cents: 6.0, open: 9.0, shut: 4.0, fade: 0.9 }, 0.025, 0.0, 0.2, 0.24),
        // Reeds.
        8 => (Engine::Fm { ratio: 2.0, index: 0.14, fade: 0.0 }, 0.03, 0.0, 0.15, 0.24),
        // Pipes.
        9 => (Engine::Fm { ratio: 1.0, index: 0.05, fade: 0.0 }, 0.04, 0.0, 0.18, 0.26),
        // Leads.
        10 => (Engine::Saw { cents: 7.0, open: 10.0, shut: 6.0, fade: 0.6 }, 0.004, 0.0, 0.2, 0.2),
        // Pads and effects.
        11 | 12 => (Engine::Saw { cents: 17.0, open: 3.0, shut: 3.0, fade: 1.0 }, 0.25, 0.0, 1.2, 0.2),
        // Plucked and struck from everywhere.
        _ => (Engine::Fm { ratio: 2.0, index: 0.25, fade: 0.4 }, 0.001, 1.6, 0.4, 0.24),
    };
    Patch { engine, attack, decay, release, gain }
}

/// Adds the notes of one track to `bus`. `notes` must be sorted by onset.
///
/// # Errors
/// [`Error::Stopped`].
pub fn render_tone(
    program: u8,
    notes: &[ToneNote],
    rate: f64,
    bus: &mut Bus,
    stop: Stop<'_>,
) -> Result<(), Error> {
    let patch = patch(program);
    for (index, note) in notes.iter().enumerate() {
        let mut note = *note;
        if let Some(newer) = notes.get(index + VOICES) {
            note.end = note.end.min(newer.at).max(note.at);
        }
        stop.check()?;
        play(&patch, &note, rate, bus, stop)?;
    }
    Ok(())
}

/// Frequency of a pitch in Hz, A4 = 440.
fn frequency(pitch: u8) -> f64 {
    440.0 * math::exp2((f64::from(pitch) - 69.0) / 12.0)
}

fn play(patch: &Patch, note: &ToneNote, rate: f64, bus: &mut Bus, stop: Stop<'_>) -> Result<(), Error> {
    let frequency = frequency(note.pitch);
    if frequency > 0.45 * rate || note.at >= bus.frames() {
        return Ok(());
    }
    let force = f64::from(note.velocity) / 127.0;
    let held = note.end - note.at;
    let length = (held + (patch.release * rate) as usize).min(bus.frames() - note.at);
    let level = patch.gain * velocity_gain(note.velocity) * note.gain;
    let [left, right] = pan_gains(note.pan).map(|side| side * level as f32);
    let rise = (1.0 / (patch.attack * rate).max(1.0)) as f32;
    let hold = if patch.decay == 0.0 { 1.0 } else { math::decay_factor(patch.decay, rate) as f32 };
    let fall = math::decay_factor(patch.release, rate) as f32;
    let mut oscillator = Oscillator::new(&patch.engine, frequency, force, rate);
    let (mut up, mut envelope) = (0.0f32, 1.0f32);
    for i in 0..length {
        stop.at(i)?;
        up = (up + rise).min(1.0);
        envelope *= if i < held { hold } else { fall };
        let [a, b] = oscillator.next();
        let (a, b) = (a * up * envelope * left, b * up * envelope * right);
        let at = note.at + i;
        bus.dry[0][at] += a;
        bus.dry[1][at] += b;
        bus.room[0][at] += a * 0.12;
        bus.room[1][at] += b * 0.12;
        if envelope < 1e-4 {
            break;
        }
    }
    Ok(())
}

enum Oscillator {
    Fm { phase: [f32; 2], step: [f32; 2], index: f32, fade: f32 },
    Saw { phase: [f32; 2], step: [f32; 2], low: [[f32; 2]; 2], cutoff: [f32; 2], fade: f32 },
    Drawbars { phase: f32, step: f32, top: usize },
}

impl Oscillator {
    fn new(engine: &Engine, frequency: f64, force: f64, rate: f64) -> Self {
        let step = frequency / rate;
        let fade_factor = |fade: f64| if fade == 0.0 { 1.0 } else { math::decay_factor(fade, rate) as f32 };
        match *engine {
            Engine::Fm { ratio, index, fade } => {
                // Sidebands reach about (index · 2π + 1) modulator steps up: keep them below half the rate.
                let widest = ((0.45 / step - 1.0) / ratio - 1.0).max(0.0) / std::f64::consts::TAU;
                let index = (index * (0.4 + 1.1 * force)).min(widest) as f32;
                Self::Fm {
                    phase: [0.0; 2],
                    step: [step as f32, (step * ratio) as f32],
                    index,
                    fade: fade_factor(fade),
                }
            }
            Engine::Saw { cents, open, shut, fade } => {
                let apart = math::exp2(cents / 2400.0);
                let pole = |times: f64| {
                    let turns = (step * times * (0.6 + 0.8 * force)).min(0.4);
                    1.0 - math::exp(-std::f64::consts::TAU * turns) as f32
                };
                Self::Saw {
                    phase: [0.25, 0.6],
                    step: [(step * apart) as f32, (step / apart) as f32],
                    low: [[0.0; 2]; 2],
                    cutoff: [pole(open) - pole(shut), pole(shut)],
                    fade: fade_factor(fade),
                }
            }
            Engine::Drawbars => {
                let top = (1..=4).take_while(|&k| f64::from(k) * step < 0.45).count();
                Self::Drawbars { phase: 0.0, step: step as f32, top }
            }
        }
    }

    /// The next sample, left and right.
    fn next(&mut self) -> [f32; 2] {
        match self {
            Self::Fm { phase, step, index, fade } => {
                let bend = *index * math::sin_fast(phase[1]);
                // The offset keeps the argument positive.
                let y = math::sin_fast(phase[0] + bend + 4.0);
                *index *= *fade;
                for (phase, step) in phase.iter_mut().zip(step) {
                    *phase += *step;
                    *phase -= f32::from(u8::from(*phase >= 1.0));
                }
                [y, y]
            }
            Self::Saw { phase, step, low, cutoff, fade } => {
                let pole = cutoff[1] + cutoff[0];
                cutoff[0] *= *fade;
                let mut saw = [0.0f32; 2];
                for k in 0..2 {
                    saw[k] = 1.0 - 2.0 * phase[k] + step_correction(phase[k], step[k]);
                    phase[k] += step[k];
                    phase[k] -= f32::from(u8::from(phase[k] >= 1.0));
                }
                // Each saw leans to its side.
                let mixed = [0.7 * saw[0] + 0.3 * saw[1], 0.3 * saw[0] + 0.7 * saw[1]];
                for (mixed, low) in mixed.iter().zip(low.iter_mut()) {
                    low[0] += pole * (mixed - low[0]);
                    low[1] += pole * (low[0] - low[1]);
                }
                [low[0][1], low[1][1]]
            }
            Self::Drawbars { phase, step, top } => {
                const BARS: [f32; 4] = [0.5, 0.32, 0.22, 0.12];
                let harmonic = |k: usize| BARS[k] * math::sin_fast(*phase * (k + 1) as f32);
                let y = (0..*top).map(harmonic).sum();
                *phase += *step;
                *phase -= f32::from(u8::from(*phase >= 1.0));
                [y, y]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_sounds_at_its_pitch_and_stays_in_range() {
        let rate = 44_100.0;
        for program in (0..128).step_by(8) {
            let mut bus = Bus::new(44_100);
            let note = ToneNote { at: 0, end: 40_000, pitch: 69, velocity: 127, pan: 0.0, gain: 1.0 };
            render_tone(program, &[note], rate, &mut bus, Stop::NEVER).unwrap();
            let wave = &bus.dry[0];
            let peak = wave.iter().fold(0.0f32, |p, x| p.max(x.abs()));
            assert!((0.02..0.7).contains(&peak), "{program}: {peak}");
            // The wave repeats itself after one period of A4, much better than after two thirds of one.
            let alike =
                |lag: usize| (10_000..20_000).map(|i| f64::from(wave[i] * wave[i + lag])).sum::<f64>();
            assert!(alike(100) > 0.5 * alike(0) && alike(100) > alike(67), "{program}");
        }
    }

    #[test]
    fn notes_end_after_their_release() {
        let mut bus = Bus::new(44_100);
        let note = ToneNote { at: 100, end: 2000, pitch: 40, velocity: 100, pan: 0.0, gain: 1.0 };
        render_tone(33, &[note], 44_100.0, &mut bus, Stop::NEVER).unwrap();
        assert!(bus.dry[0][..100].iter().chain(&bus.dry[0][10_000..]).all(|&x| x == 0.0));
    }
}
