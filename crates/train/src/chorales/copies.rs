//! How much of a chorale stands in the training split already, in any key.

use std::collections::HashSet;

use partita_tokens::chorale::{Cell, Step, VOICES};
use serde::Serialize;

use super::data::{Chorale, Chorales};
use crate::groove::Split;

/// Steps of the stretches that are looked for: two bars.
const STRETCH: usize = 32;

/// How much of some chorales is copied.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Copies {
    pub chorales: usize,
    /// Share of stretches of two bars, all four voices, that the training split has.
    pub two_bars: f64,
    /// The longest copied stretch, in sixteenths.
    pub longest_steps: usize,
    /// Notes in it, of all voices.
    pub longest_notes: usize,
}

/// A step told without its key: the voices below the soprano from it, and the soprano from where it was.
type Relative = [Option<i16>; VOICES];

fn relative(chorale: &[Step]) -> Vec<Relative> {
    let distance = |from: Cell, to: Cell| Some(i16::from(to.pitch()?) - i16::from(from.pitch()?));
    let mut before = Cell::Rest;
    chorale
        .iter()
        .map(|step| {
            let moved = distance(before, step[0]);
            before = step[0];
            [moved, distance(step[0], step[1]), distance(step[0], step[2]), distance(step[0], step[3])]
        })
        .collect()
}

/// Looks for stretches of `pieces` in the training split.
pub fn copies(chorales: &Chorales, pieces: &[Chorale]) -> Copies {
    let trained: Vec<_> = chorales.split(Split::Train).iter().map(|c| relative(c)).collect();
    let looked_at: Vec<_> = pieces.iter().map(|piece| relative(piece)).collect();
    let found = |length: usize| -> Vec<(usize, usize)> {
        // The first step of a stretch counts without where it came from.
        let known: HashSet<_> = trained.iter().flat_map(|piece| piece.windows(length).map(cut)).collect();
        let places = looked_at.iter().enumerate().flat_map(|(i, piece)| {
            piece.windows(length).enumerate().map(move |(t, window)| (i, t, cut(window)))
        });
        places.filter(|(_, _, window)| known.contains(window)).map(|(i, t, _)| (i, t)).collect()
    };
    let stretches: usize = looked_at.iter().map(|piece| (piece.len() + 1).saturating_sub(STRETCH)).sum();
    // The longest length at which something is found: what is found at one is found at all shorter ones.
    let (mut least, mut beyond) = (0, looked_at.iter().map(Vec::len).max().unwrap_or(0) + 1);
    let mut place = None;
    while beyond - least > 1 {
        let length = least.midpoint(beyond);
        match found(length).first() {
            Some(first) => (least, place) = (length, Some(*first)),
            None => beyond = length,
        }
    }
    let notes = place.map_or(0, |(i, t)| notes(&pieces[i][t..t + least]));
    Copies {
        chorales: pieces.len(),
        two_bars: found(STRETCH).len() as f64 / stretches.max(1) as f64,
        longest_steps: least,
        longest_notes: notes,
    }
}

/// A stretch without where its first step came from.
fn cut(window: &[Relative]) -> ([Option<i16>; 3], &[Relative]) {
    let [_, rest @ ..] = window[0];
    (rest, &window[1..])
}

fn notes(steps: &[Step]) -> usize {
    let begins = |t: usize, v: usize| steps[t][v] != Cell::Rest && (t == 0 || steps[t - 1][v] != steps[t][v]);
    (0..steps.len()).map(|t| (0..VOICES).filter(|v| begins(t, *v)).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::data::transposed;
    use super::*;

    fn chorales(train: &str) -> Chorales {
        Chorales::parse(&format!(r#"{{"train": [{train}], "valid": [], "test": []}}"#)).unwrap()
    }

    #[test]
    fn a_copy_is_found_in_another_key_and_its_length_told() {
        let piece: Vec<[u8; 4]> = (0..64u32)
            .map(|t| [70 + (t * t / 8 % 5) as u8, 64, 57 + (t / 4 % 2) as u8, 50 - (t / 8) as u8])
            .collect();
        let data = chorales(&format!("{piece:?}"));
        let own = data.split(Split::Train)[0].clone();
        let moved = transposed(&own, -3);
        let all = copies(&data, std::slice::from_ref(&moved));
        assert_eq!((all.two_bars, all.longest_steps), (1.0, 64));
        let mut half = moved;
        for step in &mut half[40..] {
            step[1] = Cell::Pitch(59);
        }
        let part = copies(&data, std::slice::from_ref(&half));
        assert_eq!(part.longest_steps, 40);
        assert!((part.two_bars - 9.0 / 33.0).abs() < 1e-12, "{part:?}");
        assert_eq!(part.longest_notes, notes(&half[..40]));
    }
}
