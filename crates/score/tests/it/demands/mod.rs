//! Demands, plans and the verifier, against each other and against every melody there is.

#![allow(clippy::single_range_in_vec_init, reason = "one open stretch is a list of one range")]

mod exhaustive;
mod named;
mod planted;
mod steps;
mod walking;

use partita_score::demands::{Demands, Step, Walk};
use partita_score::harmony::Chord;
use partita_score::{ChordChange, MeterMap, Note, Ppq, Score, TempoMap, Tick, Track};

/// Numbers in `[0, 1)` from a seed (splitmix64).
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn below(next: &mut dyn FnMut() -> f64, count: usize) -> usize {
    ((next() * count as f64) as usize).min(count - 1)
}

/// A score of one track with notes in cells, at any ticks a quarter that are a multiple of 12.
fn score(demands: &Demands, notes: &[Note], chords: &[(u32, Option<Chord>)], ppq: u16) -> Score {
    let ticks = |cell: u32| Tick(cell * u32::from(ppq) / 12);
    let tick = |note: &Note| Note { onset: ticks(note.onset.0), end: ticks(note.end.0), ..*note };
    let change =
        |(cell, chord): &(u32, Option<Chord>)| ChordChange { at: ticks(*cell), chord: chord.clone() };
    Score {
        ppq: Ppq::new(ppq).expect("tests use valid ppq"),
        tempos: TempoMap::constant(demands.tempo),
        meters: MeterMap::constant(demands.meter),
        chords: chords.iter().map(change).collect(),
        tracks: vec![Track { notes: notes.iter().map(tick).collect(), ..Track::default() }],
        ..Score::default()
    }
}

/// The notes of a walk, in cells.
#[derive(Clone, Default)]
struct Melody {
    notes: Vec<Note>,
    sounding: bool,
}

impl Melody {
    fn end_at(&mut self, cell: u32) {
        if let Some(note) = self.notes.last_mut().filter(|_| self.sounding) {
            note.end = Tick(cell);
        }
        self.sounding = false;
    }

    /// Takes a step in the walk and writes it down.
    fn take(&mut self, walk: &mut Walk, step: Step) {
        walk.take(step).unwrap_or_else(|misstep| panic!("{step:?}: {misstep}"));
        match step {
            Step::Onset { cell, pitch } => {
                self.end_at(cell);
                let kept = walk.plan().demands().locked.iter().find(|note| note.onset.0 == cell);
                let velocity = kept.map_or(80, |note| note.velocity);
                self.notes.push(Note { onset: Tick(cell), end: Tick(cell), pitch, velocity });
                self.sounding = true;
            }
            Step::Rest { cell } => self.end_at(cell),
            Step::NextBar if walk.is_done() => self.end_at(walk.plan().cells()),
            Step::NextBar => {}
        }
    }
}
