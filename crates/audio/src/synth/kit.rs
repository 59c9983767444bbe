//! Plays drum hits on a kit.
//!
//! Hits that sound the same (note, velocity layer, round-robin turn) are grouped; each group's stroke is made once,
//! added at all its onsets and dropped, so memory stays small whatever the length.

use std::collections::BTreeMap;

use crate::Error;
use crate::math;
use crate::noise::Noise;
use crate::stop::Stop;

use super::metal::{self, Pedal};
use super::parts::{Touch, saturate};
use super::pieces::{Instrument, Piece, piece};
use super::room::{Bus, pan_gains};
use super::{Kit, acoustic, analog};

/// One stroke to play.
#[derive(Clone, Copy, Debug)]
pub struct DrumHit {
    /// Frame of the onset.
    pub at: usize,
    /// General MIDI percussion note.
    pub pitch: u8,
    /// `1..=127`
    pub velocity: u8,
}

/// Velocity layers: timbre has this many steps, level none.
const LAYERS: u8 = 8;
/// Different strokes per layer; cymbals, which ring into each other anyway, take half of them.
const TURNS: usize = 4;
/// Strokes of one piece that may ring together; an older one fades.
const VOICES: usize = 6;
/// Level goes with velocity to this power: velocity 32 is 18 dB below 127.
const LEVEL_POWER: f64 = 1.5;

/// Gain of a velocity, `(0, 1]`, 1 at 127.
pub fn velocity_gain(velocity: u8) -> f64 {
    math::powf(f64::from(velocity.clamp(1, 127)) / 127.0, LEVEL_POWER)
}

/// A stroke as it is added to the mix, peak 1.
enum Stroke {
    Mono(Vec<f32>),
    Stereo([Vec<f32>; 2]),
}

struct Placed {
    at: usize,
    gain: f32,
    /// Frame where another stroke ends this one.
    end: Option<usize>,
}

/// Adds `hits` to `bus`. `hits` must be sorted by onset.
///
/// # Errors
/// [`Error::Stopped`].
pub fn render_drums(
    kit: Kit,
    hits: &[DrumHit],
    rate: f64,
    bus: &mut Bus,
    stop: Stop<'_>,
) -> Result<(), Error> {
    let mut groups: BTreeMap<(u8, u8, usize), Vec<Placed>> = BTreeMap::new();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); 256];
    let mut hat_next: [Option<(usize, usize)>; 3] = [None; 3];
    let mut ends = vec![None; hits.len()];
    // Backwards, so that each hit knows who ends it.
    for (index, hit) in hits.iter().enumerate().rev() {
        let later = &mut next[usize::from(hit.pitch)];
        let crowded = if later.len() >= VOICES { Some(later[later.len() - VOICES]) } else { None };
        later.push(hit.at);
        let choked = piece(hit.pitch).instrument.choke(kit).and_then(|choke| {
            let slot = &mut hat_next[choke as usize];
            // Strokes at the same moment do not end each other.
            let end = match *slot {
                Some((at, after)) if at == hit.at => (after != usize::MAX).then_some(after),
                Some((at, _)) => Some(at),
                None => None,
            };
            *slot = Some((hit.at, end.unwrap_or(usize::MAX)));
            end
        });
        ends[index] = [crowded, choked].into_iter().flatten().min();
    }
    let mut turns = [0usize; 256];
    for (hit, end) in hits.iter().zip(ends) {
        let layer = ((u16::from(hit.velocity.min(127)) * u16::from(LAYERS)) >> 7) as u8;
        let turn = &mut turns[usize::from(hit.pitch)];
        let placed = Placed { at: hit.at, gain: velocity_gain(hit.velocity) as f32, end };
        let variants = if piece(hit.pitch).instrument.is_cymbal() { TURNS / 2 } else { TURNS };
        groups.entry((hit.pitch, layer, *turn % variants)).or_default().push(placed);
        *turn += 1;
    }
    for ((pitch, layer, turn), places) in groups {
        stop.check()?;
        let piece = piece(pitch);
        let force = (f64::from(layer) + 0.5) / f64::from(LAYERS);
        let seed = u64::from(pitch) << 16 | u64::from(layer) << 8 | turn as u64;
        let mut noise = Noise::new(seed);
        // A machine repeats itself better than a drummer.
        let spread = if kit == Kit::Acoustic { 0.8 } else { 0.25 };
        let human = math::db_to_gain(noise.between(-spread, spread));
        let touch = Touch { rate, force, tune: piece.tune, noise };
        let stroke = strike(kit, piece, touch);
        let (gain, room) = piece.instrument.level(kit);
        let pan = pan_gains(piece.pan);
        for place in &places {
            stop.check()?;
            let level = place.gain * (gain * human) as f32;
            match &stroke {
                Stroke::Mono(wave) => {
                    add(bus, place, [wave, wave], [level * pan[0], level * pan[1]], (room as f32, rate));
                }
                // Cymbals are wide by themselves; the pan only leans them.
                Stroke::Stereo([left, right]) => {
                    add(bus, place, [left, right], [level * pan[0], level * pan[1]], (room as f32, rate));
                }
            }
        }
    }
    Ok(())
}

/// Adds one placed stroke with the given left and right gains.
fn add(bus: &mut Bus, place: &Placed, wave: [&Vec<f32>; 2], gains: [f32; 2], (room, rate): (f32, f64)) {
    let frames = bus.frames();
    let length = wave[0].len().min(frames.saturating_sub(place.at));
    let fade = (0.012 * rate) as usize;
    let full = place.end.map_or(length, |end| (end - place.at).min(length));
    let stop = (full + fade).min(length);
    for side in 0..2 {
        let dry = &mut bus.dry[side][place.at..place.at + stop];
        let wet = &mut bus.room[side][place.at..place.at + stop];
        let source = &wave[side][..stop];
        let (gain, send) = (gains[side], gains[side] * room);
        for ((dry, wet), &sample) in dry[..full].iter_mut().zip(&mut wet[..full]).zip(source) {
            *dry += sample * gain;
            *wet += sample * send;
        }
        for i in full..stop {
            let down = 1.0 - (i - full) as f32 / fade as f32;
            dry[i] += source[i] * gain * down * down;
            wet[i] += source[i] * send * down * down;
        }
    }
}

/// Makes one stroke, trims and levels it to peak 1.
fn strike(kit: Kit, piece: Piece, mut touch: Touch) -> Stroke {
    let touch = &mut touch;
    let rate = touch.rate;
    let mut stroke = match kit {
        Kit::Acoustic => strike_acoustic(piece.instrument, touch),
        Kit::Analog808 => Stroke::Mono(strike_808(piece.instrument, touch)),
        Kit::Analog909 => strike_909(piece.instrument, touch),
    };
    let sides: &mut [Vec<f32>] = match &mut stroke {
        Stroke::Mono(wave) => std::slice::from_mut(wave),
        Stroke::Stereo(sides) => sides,
    };
    let peak_of = |sides: &[Vec<f32>]| sides.iter().flatten().fold(1e-9f32, |peak, x| peak.max(x.abs()));
    let mut peak = peak_of(sides);
    if kit == Kit::Acoustic && piece.instrument.drive() > 1.0 {
        let drive = piece.instrument.drive() / peak;
        sides.iter_mut().for_each(|side| saturate(side, drive));
        peak = peak_of(sides);
    }
    let fade = ((0.01 * rate) as usize).max(1);
    for wave in sides {
        let length = wave.len();
        for (i, sample) in wave.iter_mut().enumerate() {
            // The end is quiet already; a short fade makes it silent.
            *sample *= ((length - i) as f32 / fade as f32).min(1.0) / peak;
        }
    }
    stroke
}

fn strike_acoustic(instrument: Instrument, touch: &mut Touch) -> Stroke {
    use Instrument::*;
    Stroke::Mono(match instrument {
        Kick => acoustic::kick(touch),
        SideStick => acoustic::side_stick(touch),
        Snare => acoustic::snare(touch),
        Clap => acoustic::clap(touch),
        Tom => acoustic::tom(touch),
        HandDrum => acoustic::hand_drum(touch),
        ClosedHat => metal::hat(touch, Pedal::Closed),
        PedalHat => metal::hat(touch, Pedal::Foot),
        OpenHat => metal::hat(touch, Pedal::Open),
        Cowbell => metal::cowbell(touch),
        Tambourine => metal::tambourine(touch),
        Shaker => acoustic::shaker(touch),
        Wood => acoustic::wood(touch),
        Triangle => metal::triangle(touch, 2.5),
        Crash => return Stroke::Stereo(metal::crash(touch, 1.0, false)),
        China => return Stroke::Stereo(metal::crash(touch, 0.75, true)),
        Splash => return Stroke::Stereo(metal::crash(touch, 0.4, false)),
        Ride => return Stroke::Stereo(metal::ride(touch)),
        RideBell => return Stroke::Stereo(metal::ride_bell(touch)),
    })
}

fn strike_808(instrument: Instrument, touch: &mut Touch) -> Vec<f32> {
    use Instrument::*;
    match instrument {
        Kick => analog::kick_808(touch),
        Snare => analog::snare_808(touch),
        SideStick => analog::rim(touch),
        Clap => analog::clap(touch),
        Tom => analog::tom(touch, 0.18),
        HandDrum => analog::conga(touch),
        ClosedHat => analog::hat_808(touch, Pedal::Closed),
        PedalHat => analog::hat_808(touch, Pedal::Foot),
        OpenHat => analog::hat_808(touch, Pedal::Open),
        Crash | China => analog::cymbal_808(touch, 1.0),
        Splash => analog::cymbal_808(touch, 0.45),
        Ride | RideBell => analog::cymbal_808(touch, 0.7),
        Cowbell => analog::cowbell_808(touch),
        Tambourine => metal::tambourine(touch),
        Shaker => analog::maracas(touch),
        Wood => acoustic::wood(touch),
        Triangle => metal::triangle(touch, 1.5),
    }
}

/// The 909's metal was sampled from real cymbals: the acoustic ones, tuned up and driven.
fn strike_909(instrument: Instrument, touch: &mut Touch) -> Stroke {
    use Instrument::*;
    Stroke::Mono(match instrument {
        Kick => analog::kick_909(touch),
        Snare => analog::snare_909(touch),
        SideStick => analog::rim(touch),
        Clap => analog::clap(touch),
        Tom => analog::tom(touch, 0.6),
        Cowbell => analog::cowbell_808(touch),
        Shaker => analog::maracas(touch),
        ClosedHat | PedalHat | OpenHat | Crash | China | Splash | Ride | RideBell => {
            touch.tune *= 1.08;
            let mut stroke = strike_acoustic(instrument, touch);
            match &mut stroke {
                Stroke::Mono(wave) => saturate(wave, 1.6),
                Stroke::Stereo(sides) => sides.iter_mut().for_each(|side| saturate(side, 1.6)),
            }
            return stroke;
        }
        HandDrum | Tambourine | Wood | Triangle => return strike_acoustic(instrument, touch),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stroke_peaks_at_one_and_ends_in_silence() {
        for kit in Kit::ALL {
            for pitch in 22..88 {
                for force in [0.06, 0.94] {
                    let piece = piece(pitch);
                    let noise = Noise::new(u64::from(pitch));
                    let touch = Touch { rate: 22_050.0, force, tune: piece.tune, noise };
                    let waves = match strike(kit, piece, touch) {
                        Stroke::Mono(wave) => vec![wave],
                        Stroke::Stereo(sides) => sides.to_vec(),
                    };
                    let peak = waves.iter().flatten().fold(0.0f32, |p, x| p.max(x.abs()));
                    assert!((peak - 1.0).abs() < 0.01, "{kit:?} {pitch}: {peak}");
                    for wave in waves {
                        assert!(wave.iter().all(|x| x.is_finite()));
                        let tail = wave[wave.len() - 20..].iter().fold(0.0f32, |p, x| p.max(x.abs()));
                        assert!(tail < 0.01, "{kit:?} {pitch}: {tail}");
                    }
                }
            }
        }
    }
}
