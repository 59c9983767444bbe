//! Chords that sound together, as MidiTok's chord tokens name them.
//!
//! Intervals are counted from the first note listed, so a chord is known in root position only.

use crate::miditok::config::Config;
use crate::miditok::prepare::Sections;
use crate::miditok::read::Note;
use crate::miditok::token::{Chord, Quality};
use crate::miditok::{Error, Result};

/// Notes looked at from one onset.
const MOST_NOTES: usize = 10;
/// Semitones between the first note and the last one.
const WIDEST: i16 = 24;

/// Onset and name of each chord of a track, in the order of its notes.
///
/// # Errors
/// [`Error::NoToken`] for chords without a name where roots are not told: MidiTok has no token for what it finds.
pub(super) fn find(notes: &[Note], sections: &Sections, config: &Config) -> Result<Vec<(i64, Chord)>> {
    let resolution = config.beat_res.first().map_or(1, |range| i64::from(range.resolution));
    let mut chords = Vec::new();
    let (mut at, mut from) = (0, 0);
    let mut previous = -1;
    while let Some(first) = notes.get(at) {
        if first.time == previous {
            at += 1;
            continue;
        }
        let beat = sections.at(first.time, &mut from).beat;
        let half = beat / 2;
        let near = |note: &&Note| (note.time - first.time) * resolution <= beat;
        let mut together: Vec<&Note> = notes[at..].iter().take(MOST_NOTES).filter(near).collect();
        let end = |note: &Note| note.time + note.duration;
        if together.iter().any(|note| (end(note) - end(first)).abs() > half) {
            at += together.len();
            continue;
        }
        if first.duration <= half {
            together.retain(|note| note.time == first.time);
        }
        let map: Vec<i16> =
            together.iter().map(|note| i16::from(note.pitch) - i16::from(first.pitch)).collect();
        if (3..=5).contains(&map.len()) && map.last().is_some_and(|&last| last <= WIDEST) {
            let named = config.chord_maps.iter().position(|(_, known)| *known == map);
            let root = config.chord_tokens_with_root_note.then_some(first.pitch % 12);
            let quality = match named {
                Some(index) => Some(Quality::Named(index as u16)),
                None if config.chord_unknown.is_none() => None,
                None if root.is_none() => return Err(Error::NoToken(format!("Chord_ukn{}", map.len()))),
                None => Some(Quality::Unknown(map.len() as u16)),
            };
            let time = together.iter().map(|note| note.time).min().unwrap_or(first.time);
            chords.extend(quality.map(|quality| (time, Chord { root, quality })));
        }
        previous = together.iter().map(|note| note.time).max().unwrap_or(first.time);
        at += together.len();
    }
    Ok(chords)
}
