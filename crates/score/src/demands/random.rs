//! Random demands of every kind, many of them contradictory, for tests and the benchmark of obedience.

use super::{Demands, PitchSet, Required, RhythmGrid, StrongBeats};
use crate::harmony::{Chord, ChordKind, NoteName, PitchClasses};
use crate::{Meter, Note, Tick};

/// Draws demands; `next` gives numbers in `[0, 1)`, in whose order everything is decided.
///
/// Bars are `1..=16`. Metres are simple, compound and odd; every other demand comes in about a third of the draws.
pub fn random_demands(next: &mut dyn FnMut() -> f64) -> Demands {
    let mut draw = Draw(next);
    let meters: [(u8, u8); 12] =
        [(4, 4), (4, 4), (3, 4), (6, 8), (5, 4), (7, 8), (2, 4), (12, 8), (9, 8), (2, 2), (5, 8), (11, 8)];
    let (numerator, denominator) = draw.one_of(&meters);
    let meter = Meter { numerator, denominator };
    let bars = draw.one_of(&[1, 2, 2, 3, 4, 4, 6, 8, 8, 12, 16]);
    let mut demands = Demands::new(meter, bars, f64::from(draw.between(40, 300)));
    let tonic = draw.between(0, 11) as u8;
    if draw.chance(0.6) {
        demands.scale = Some(draw.scale(tonic));
    }
    if draw.chance(0.7) {
        let low = draw.between(36, 76);
        let width = draw.one_of(&[0, 2, 4, 7, 12, 12, 19, 24, 36]);
        demands.range = low as u8..=(low + width).min(127) as u8;
    }
    if draw.chance(0.25) {
        let count = draw.between(1, 12);
        demands.forbidden = (0..count).map(|_| draw.between(48, 84) as u8).collect();
    } else if draw.chance(0.1) {
        let classes: PitchClasses = (0..draw.between(1, 3)).map(|_| draw.between(0, 11) as u8).collect();
        demands.forbidden = PitchSet::of_classes(classes);
    }
    if draw.chance(0.3) {
        let count = draw.one_of(&[1, 1, 2, 3, 5]);
        demands.required = (0..count).map(|_| draw.required(&demands)).collect();
    }
    if draw.chance(0.35) {
        demands.max_leap = Some(draw.one_of(&[0, 1, 2, 3, 4, 5, 7, 9, 12, 12]));
    }
    if draw.chance(0.75) {
        demands.grid = draw.one_of(&RhythmGrid::ALL);
    }
    if draw.chance(0.4) {
        let low = draw.one_of(&[0, 0, 1, 1, 2, 3, 4, 6, 8]);
        demands.density = Some(low..=low + draw.one_of(&[0, 1, 2, 4, 8, 16]));
    }
    if draw.chance(0.4) {
        demands.cadence = Some(if draw.chance(0.85) { tonic } else { draw.between(0, 11) as u8 });
    }
    demands.strong_beats =
        draw.one_of(&[StrongBeats::Free, StrongBeats::Free, StrongBeats::Licensed, StrongBeats::Strict]);
    if draw.chance(0.6) {
        demands.chords = draw.chords(&demands);
    }
    if draw.chance(0.3) {
        demands.locked = draw.locked(&demands);
    }
    if draw.chance(0.25) {
        demands.open = draw.open(&demands);
    }
    demands
}

struct Draw<'a>(&'a mut dyn FnMut() -> f64);

impl Draw<'_> {
    fn chance(&mut self, of: f64) -> bool {
        (self.0)() < of
    }

    fn between(&mut self, low: u32, high: u32) -> u32 {
        // Below high + 1 also where rounding makes a 1 of the largest draw.
        (low + ((self.0)() * f64::from(high - low + 1)) as u32).min(high)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.between(0, of.len() as u32 - 1) as usize]
    }

    fn scale(&mut self, tonic: u8) -> PitchClasses {
        let scales: [&[u8]; 12] = [
            &[0, 2, 4, 5, 7, 9, 11],
            &[0, 2, 3, 5, 7, 8, 10],
            &[0, 2, 3, 5, 7, 8, 11],
            &[0, 2, 3, 5, 7, 9, 10],
            &[0, 1, 3, 5, 7, 8, 10],
            &[0, 2, 4, 6, 7, 9, 11],
            &[0, 2, 4, 5, 7, 9, 10],
            &[0, 2, 4, 7, 9],
            &[0, 3, 5, 7, 10],
            &[0, 3, 5, 6, 7, 10],
            &[0, 2, 4, 6, 8, 10],
            &[],
        ];
        let members = self.one_of(&scales);
        if members.is_empty() {
            let custom = PitchClasses::from_bits(self.between(1, 0xfff) as u16);
            return custom;
        }
        members.iter().map(|semitones| tonic + semitones).collect()
    }

    fn required(&mut self, demands: &Demands) -> Required {
        let pitches: Vec<u8> = demands.pitches().iter().collect();
        let pitch = if pitches.is_empty() || self.chance(0.2) {
            self.between(36, 96) as u8
        } else {
            self.one_of(&pitches)
        };
        if self.chance(0.5) { Required::Pitch(pitch) } else { Required::Class(pitch % 12) }
    }

    fn chords(&mut self, demands: &Demands) -> Vec<(u32, Option<Chord>)> {
        let kinds: Vec<ChordKind> = ChordKind::all().collect();
        let (bar, mut at, mut chords) = (demands.cells_per_bar(), 0, Vec::new());
        while at < demands.cells() {
            let root = NoteName::in_window(self.between(0, 11) as u8, -3);
            let common = [ChordKind::Major, ChordKind::Minor, ChordKind::Dominant, ChordKind::MinorSeventh];
            let kind = if self.chance(0.7) { self.one_of(&common) } else { self.one_of(&kinds) };
            chords.push((at, (!self.chance(0.08)).then(|| Chord::new(root, kind))));
            at += self.one_of(&[bar, bar, bar, 2 * bar, 12, 24]);
        }
        chords
    }

    fn locked(&mut self, demands: &Demands) -> Vec<Note> {
        let pitches: Vec<u8> = demands.pitches().iter().collect();
        let (mut locked, mut at) = (Vec::new(), 0);
        for _ in 0..self.between(1, 8) {
            at += self.between(0, demands.cells() / 4) / 3 * 3;
            let end = at + self.one_of(&[3, 4, 6, 12, 12, 24, 48]);
            if end > demands.cells() {
                break;
            }
            let pitch = if pitches.is_empty() || self.chance(0.1) {
                self.between(48, 84) as u8
            } else {
                self.one_of(&pitches)
            };
            let velocity = self.between(1, 127) as u8;
            locked.push(Note { onset: Tick(at), end: Tick(end), pitch, velocity });
            at = end;
        }
        locked
    }

    fn open(&mut self, demands: &Demands) -> Vec<std::ops::Range<u32>> {
        let bar = demands.cells_per_bar();
        let mut open = Vec::new();
        for _ in 0..self.between(1, 2) {
            let (first, last) = (self.between(0, demands.bars - 1), self.between(0, demands.bars - 1));
            let (mut start, mut end) = (first.min(last) * bar, (first.max(last) + 1) * bar);
            if self.chance(0.2) {
                start += bar / 3;
                end = (end - bar / 4).max(start + 1);
            }
            open.push(start..end);
        }
        open
    }
}
