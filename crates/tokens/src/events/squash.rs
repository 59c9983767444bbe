//! Moving a melody into the key and range that a network was trained in, and back.

use super::{MelodyEvent, MelodyRange};

/// Steps of a major scale, in semitones above its first note.
pub(super) const MAJOR: [u8; 7] = [0, 2, 4, 5, 7, 9, 11];

const SEMITONES: i32 = 12;

/// How many of these notes fit each of the twelve major keys, C first.
pub(super) fn key_histogram(pitches: impl Iterator<Item = u8>) -> [usize; 12] {
    let mut keys = [0; 12];
    for pitch in pitches {
        for step in MAJOR {
            keys[usize::from((pitch % 12 + 12 - step) % 12)] += 1;
        }
    }
    keys
}

/// The major key `0..12` (C is 0) that most notes fit; the lowest of several.
pub fn major_key(events: &[MelodyEvent]) -> usize {
    let keys = key_histogram(events.iter().filter_map(|event| event.pitch()));
    let most = keys.iter().max().copied().unwrap_or(0);
    keys.iter().position(|&count| count == most).unwrap_or(0)
}

/// Moves every pitch by `semitones`; those outside `range` are folded into its lowest or highest octave.
pub fn transpose(events: &mut [MelodyEvent], semitones: i32, range: MelodyRange) {
    let (low, high) = (i32::from(range.low), i32::from(range.high));
    for event in events {
        let Some(pitch) = event.pitch() else { continue };
        let moved = i32::from(pitch) + semitones;
        let folded = if moved < low {
            low + (moved - low).rem_euclid(SEMITONES)
        } else if moved >= high {
            high - SEMITONES + (moved - high).rem_euclid(SEMITONES)
        } else {
            moved
        };
        *event = MelodyEvent::NoteOn(folded.clamp(0, 127) as u8);
    }
}

/// Moves a melody into `range`, its middle near the range's; with `key` `0..12`, so that its major key becomes that
/// one. Returns the semitones it was moved by, which [`transpose`] takes back.
pub fn squash(events: &mut [MelodyEvent], range: MelodyRange, key: Option<usize>) -> i32 {
    let pitches = || events.iter().filter_map(|event| event.pitch());
    let semitones = match (key, pitches().min(), pitches().max()) {
        (Some(key), Some(lowest), Some(highest)) => {
            let to_key = key as i32 - major_key(events) as i32;
            let center = f64::from(u16::from(lowest) + u16::from(highest)) / 2.0;
            let target = f64::from(u16::from(range.low) + u16::from(range.high) - 1) / 2.0;
            let octaves = (target - (center + f64::from(to_key))) / f64::from(SEMITONES);
            // Half an octave goes to the even number of octaves, as Python 3 rounds.
            to_key + SEMITONES * octaves.round_ties_even() as i32
        }
        _ => 0,
    };
    transpose(events, semitones, range);
    semitones
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: MelodyRange = MelodyRange { low: 48, high: 84 };
    const MIDI: MelodyRange = MelodyRange { low: 0, high: 128 };

    fn melody(codes: &[i64]) -> Vec<MelodyEvent> {
        codes.iter().map(|&code| MelodyEvent::from_code(code).unwrap()).collect()
    }

    #[test]
    fn a_scale_is_in_its_own_key() {
        for key in 0..12u8 {
            let scale: Vec<i64> = MAJOR.iter().map(|step| i64::from(60 + key + step)).collect();
            assert_eq!(major_key(&melody(&scale)), usize::from(key));
        }
        assert_eq!(major_key(&melody(&[-2, -1])), 0);
    }

    #[test]
    fn pitches_outside_are_folded_into_the_nearest_octave() {
        let mut events = melody(&[47, 48, 83, 84, 0, 127, -1, -2]);
        transpose(&mut events, 0, RANGE);
        assert_eq!(events, melody(&[59, 48, 83, 72, 48, 79, -1, -2]));
    }

    #[test]
    fn a_squashed_melody_moves_back_to_itself() {
        let before = melody(&[79, 85, -2, 86, 79, -2, 85, -2, 88, -1, 90]);
        let mut events = before.clone();
        let moved = squash(&mut events, RANGE, Some(0));
        assert!(moved != 0 && events != before);
        transpose(&mut events, -moved, MIDI);
        assert_eq!(events, before);
        assert_eq!(squash(&mut events, MIDI, None), 0);
        assert_eq!(events, before);
    }

    #[test]
    fn half_an_octave_is_rounded_to_an_even_number_of_octaves() {
        // Target 65.5; a middle of 71.5 in C is half an octave high, one of 83.5 one and a half.
        for (codes, moved) in [([71, 72], 0), ([83, 84], -24)] {
            let mut events = melody(&codes);
            let key = major_key(&events);
            assert_eq!(squash(&mut events, RANGE, Some(key)), moved);
        }
    }

    #[test]
    fn a_melody_without_notes_stays() {
        let mut events = melody(&[-2, -1, -2]);
        assert_eq!(squash(&mut events, RANGE, Some(0)), 0);
        assert_eq!(events, melody(&[-2, -1, -2]));
    }
}
