//! Two-bar drum loops and grooves of the Groove MIDI Dataset.

use partita_nn::Rng;
use partita_score::{Hit, Meter};

use super::head::DRUMS;
use super::layers::Sparse;
use super::net::{Target, Window};
use super::source::{BAR, STEPS, Source};
use super::weights::Heard;
use crate::evaluate::loudest_of_cells;
use crate::groove::{Clip, Groove, Split};

/// Classes of a step of a loop: one for each set of drums.
pub const CLASSES: usize = 1 << DRUMS;
/// Bits of a step that the encoder reads: nine drums, and one that says none is struck.
pub const BITS: usize = DRUMS + 1;
/// Numbers of a groove's step.
pub const NUMBERS: usize = 3 * DRUMS;

const BARS: u32 = 2;
/// The drum on which a rhythm is tapped: the open hi-hat, as Magenta's.
const TAP: u32 = 3;

fn common(groove: &Groove, split: Split) -> impl Iterator<Item = &Clip> {
    groove.split(split).filter(|clip| clip.meter == Meter::COMMON)
}

/// Quantised loops: which drums are struck at each step.
pub struct DrumLoops<'a> {
    groove: &'a Groove,
    train: Vec<[u16; STEPS]>,
}

impl<'a> DrumLoops<'a> {
    pub fn new(groove: &'a Groove) -> DrumLoops<'a> {
        DrumLoops { groove, train: loops(groove, Split::Train) }
    }

    /// All loops of a split: windows of two bars, a bar apart; equal ones of a performance once.
    pub fn loops(&self, split: Split) -> Vec<[u16; STEPS]> {
        loops(self.groove, split)
    }
}

fn loops(groove: &Groove, split: Split) -> Vec<[u16; STEPS]> {
    let mut all = Vec::new();
    for clip in common(groove, split) {
        let mut seen = std::collections::HashSet::new();
        for first in 0..(clip.bars + 1).saturating_sub(BARS) {
            let mut steps = [0u16; STEPS];
            for hit in clip.window(first, BARS) {
                steps[hit.step as usize] |= 1 << hit.class.index();
            }
            if steps.iter().any(|drums| *drums != 0) && seen.insert(steps) {
                all.push(steps);
            }
        }
    }
    all
}

fn loop_window(steps: &[u16; STEPS]) -> Window {
    let mut input = Sparse::default();
    for drums in steps {
        let none = (*drums == 0).then_some(DRUMS);
        let struck = (0..DRUMS).filter(|drum| drums >> drum & 1 == 1).chain(none);
        input.push(struck.map(|bit| (bit as u32, 1.0)));
    }
    Window { input, target: Target::Classes(steps.iter().map(|drums| u32::from(*drums)).collect()) }
}

impl Source for DrumLoops<'_> {
    /// A fifth of the loops lose one or two drums; a tenth have their bars swapped.
    fn draw(&self, rng: &mut Rng) -> Window {
        let mut steps = self.train[rng.below(self.train.len() as u64) as usize];
        if rng.f64() < 0.2 {
            let without = 1 << rng.below(DRUMS as u64) | 1 << rng.below(DRUMS as u64);
            let left = steps.map(|drums| drums & !without);
            if left.iter().any(|drums| *drums != 0) {
                steps = left;
            }
        }
        if rng.f64() < 0.1 {
            steps.rotate_left(BAR);
        }
        loop_window(&steps)
    }

    fn windows(&self, split: Split) -> Vec<Window> {
        self.loops(split).iter().map(loop_window).collect()
    }

    fn split_hash(&self) -> &str {
        &self.groove.split_hash
    }
}

/// Played grooves, of which the encoder is given a part.
pub struct Grooves<'a> {
    groove: &'a Groove,
    heard: Heard,
    train: Vec<PlayedWindow>,
}

/// Two bars of a performance: one hit a drum and sixteenth.
#[derive(Clone, Debug)]
pub struct PlayedWindow {
    /// Sorted by step and drum; steps count from the window's start.
    pub hits: Vec<Hit>,
    /// Milliseconds of a sixteenth.
    pub step_ms: f64,
}

impl<'a> Grooves<'a> {
    pub fn new(groove: &'a Groove, heard: Heard) -> Grooves<'a> {
        Grooves { groove, heard, train: played(groove, Split::Train, 1) }
    }

    /// Windows of a split two bars apart; the last of an odd performance has an empty second bar.
    pub fn played(&self, split: Split) -> Vec<PlayedWindow> {
        played(self.groove, split, BARS)
    }
}

fn played(groove: &Groove, split: Split, apart: u32) -> Vec<PlayedWindow> {
    let mut all = Vec::new();
    for clip in common(groove, split) {
        let whole = loudest_of_cells(clip);
        for first in (0..clip.bars).step_by(apart as usize) {
            let start = first * BAR as u32;
            let end = start + BARS.min(clip.bars - first) * BAR as u32;
            let inside = whole.iter().filter(|hit| (start..end).contains(&hit.step));
            let hits: Vec<Hit> = inside.map(|hit| Hit { step: hit.step - start, ..*hit }).collect();
            if !hits.is_empty() {
                all.push(PlayedWindow { hits, step_ms: 15_000.0 / clip.tempo });
            }
        }
    }
    all
}

/// The window the network learns from or is asked about.
pub fn groove_window(hits: &[Hit], heard: Heard) -> Window {
    let mut steps: Vec<Vec<(u32, f32)>> = vec![vec![]; STEPS];
    let mut loudest = [0; STEPS];
    let mut truth = vec![0.0; STEPS * NUMBERS];
    for hit in hits {
        let (step, drum) = (hit.step as usize, hit.class.index());
        match heard {
            Heard::Hits => steps[step].push((drum as u32, 1.0)),
            // Of equals the first, as Magenta taps.
            Heard::Taps if hit.velocity > loudest[step] => {
                loudest[step] = hit.velocity;
                steps[step] = vec![(TAP, 1.0), (2 * DRUMS as u32 + TAP, -2.0 * hit.offset)];
            }
            Heard::Taps => {}
        }
        let row = &mut truth[step * NUMBERS..][..NUMBERS];
        row[drum] = 1.0;
        row[DRUMS + drum] = f32::from(hit.velocity) / 127.0;
        // MusicVAE's offsets are of half steps, and early is positive.
        row[2 * DRUMS + drum] = -2.0 * hit.offset;
    }
    let mut input = Sparse::default();
    steps.into_iter().for_each(|numbers| input.push(numbers));
    Window { input, target: Target::Groove(truth) }
}

impl Source for Grooves<'_> {
    /// Half the windows are louder or softer by up to 15 %; a seventh lose one drum.
    fn draw(&self, rng: &mut Rng) -> Window {
        let mut hits = self.train[rng.below(self.train.len() as u64) as usize].hits.clone();
        if rng.f64() < 0.5 {
            let gain = 0.85 + 0.3 * rng.f64();
            for hit in &mut hits {
                hit.velocity = (f64::from(hit.velocity) * gain).round().clamp(1.0, 127.0) as u8;
            }
        }
        if rng.f64() < 1.0 / 7.0 {
            let without = rng.below(DRUMS as u64) as usize;
            if hits.iter().any(|hit| hit.class.index() != without) {
                hits.retain(|hit| hit.class.index() != without);
            }
        }
        groove_window(&hits, self.heard)
    }

    fn windows(&self, split: Split) -> Vec<Window> {
        self.played(split).iter().map(|window| groove_window(&window.hits, self.heard)).collect()
    }

    fn split_hash(&self) -> &str {
        &self.groove.split_hash
    }
}
