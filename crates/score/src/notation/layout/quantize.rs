//! From played time to written time: onsets and ends onto 64ths or triplets.
//!
//! A track whose onsets all lie on written places already keeps them. Any other was played by hand: each beat gets the
//! coarsest grid that explains its onsets, and small gaps and overlaps, which are articulation, are closed.

use super::bars::Bars;
use crate::{Note, Tick, Track};
use std::collections::BTreeMap;

/// A note on the grid; `onset` and `end` in units from the start of the piece, `end` after `onset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Placed {
    pub onset: u32,
    pub end: u32,
    pub pitch: u8,
    pub velocity: u8,
    /// Where the note began as it was played.
    pub tick: Tick,
}

/// Which grids a place lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grids(u8);

impl Grids {
    pub const ALL: Grids = Grids(3);
    const STRAIGHT: Grids = Grids(1);

    /// Of a place, in units from the start of its cell.
    pub fn of(inside: u32) -> Grids {
        Grids(u8::from(inside.is_multiple_of(3)) | (u8::from(inside.is_multiple_of(4)) << 1))
    }

    /// What a cell of this length can hold at all: pieces cut off by the end of a bar have no triplets.
    pub fn allowed(length: u32) -> Grids {
        if matches!(length, 12 | 24 | 48) { Grids::ALL } else { Grids::STRAIGHT }
    }

    pub fn and(self, other: Grids) -> Grids {
        Grids(self.0 & other.0)
    }

    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// A cell's start and length, in units from the start of the piece.
pub(super) type Cell = (u32, u32);

/// All cells of a piece, to be found by a place.
pub(super) struct Cells(Vec<Cell>);

impl Cells {
    pub fn new(bars: &Bars) -> Cells {
        let cells = bars.list.iter().flat_map(|bar| {
            let cells = bar.metre.cells().into_iter();
            cells.map(|(start, length)| (bar.start + start, length))
        });
        Cells(cells.collect())
    }

    /// The cell that a place lies in; the last one for what lies behind.
    pub fn at(&self, unit: u32) -> Cell {
        self.0[self.index(unit)]
    }

    pub fn index(&self, unit: u32) -> usize {
        self.0.partition_point(|(start, _)| *start <= unit).saturating_sub(1)
    }
}

/// The notes of a track in written time, sorted by onset, then from high to low.
pub(super) fn place(track: &Track, bars: &Bars, cells: &Cells) -> Vec<Placed> {
    let exact: Option<Vec<u32>> = track.notes.iter().map(|note| exact(note.onset, bars, cells)).collect();
    let mut placed = match exact {
        Some(onsets) => placed_exactly(track, &onsets, bars, cells),
        None => placed_by_ear(track, bars, cells),
    };
    if track.is_drums() {
        let mut onsets: Vec<u32> = placed.iter().map(|note| note.onset).collect();
        onsets.sort_unstable();
        onsets.dedup();
        // Strokes have no length: each lasts until the next one or the end of its beat.
        for note in &mut placed {
            let next = onsets.partition_point(|&onset| onset <= note.onset);
            let (start, length) = cells.at(note.onset);
            note.end = (start + length).min(onsets.get(next).copied().unwrap_or(u32::MAX));
        }
    }
    let end = bars.end();
    for note in &mut placed {
        note.onset = note.onset.min(end - super::metre::SHORTEST);
        note.end = note.end.clamp(note.onset + super::metre::SHORTEST, end.max(note.onset + 3));
    }
    placed.sort_by_key(|note| (note.onset, 255 - note.pitch));
    placed
}

/// The written place at a tick, if there is one no further than rounding to ticks explains.
fn exact(tick: Tick, bars: &Bars, cells: &Cells) -> Option<u32> {
    let (bar, inside) = bars.locate(tick);
    let unit = f64::from(bars.list[bar].start) + inside;
    let cell = cells.at(unit as u32);
    let place = nearest(unit, cell, &[3, 4]);
    ((unit - f64::from(place)).abs() <= bars.tolerance()).then_some(place)
}

/// The nearest place in a cell on any of these grids; the first of equals.
fn nearest(unit: f64, (start, length): Cell, grids: &[u32]) -> u32 {
    let inside = unit - f64::from(start);
    let allowed = Grids::allowed(length);
    let places = grids.iter().filter(|&&grid| !Grids::of(grid).and(allowed).is_none() || grid == length);
    let places = places.map(|&grid| ((inside / f64::from(grid)).round() as u32 * grid).min(length));
    let best =
        places.min_by(|a, b| (f64::from(*a) - inside).abs().total_cmp(&(f64::from(*b) - inside).abs()));
    start + best.unwrap_or(0)
}

fn placed_exactly(track: &Track, onsets: &[u32], bars: &Bars, cells: &Cells) -> Vec<Placed> {
    // What the onsets of a cell leave possible for the ends in it.
    let mut held: BTreeMap<usize, Grids> = BTreeMap::new();
    for &onset in onsets {
        let index = cells.index(onset);
        let grids = held.entry(index).or_insert(Grids::ALL);
        *grids = grids.and(Grids::of(onset - cells.0[index].0));
    }
    let notes = track.notes.iter().zip(onsets);
    let placed = notes.map(|(note, &onset)| {
        let (bar, inside) = bars.locate(note.end);
        let unit = f64::from(bars.list[bar].start) + inside;
        let cell = cells.at(unit as u32);
        let grids = held.get(&cells.index(unit as u32)).copied().unwrap_or(Grids::ALL);
        let grids = if grids.is_none() { Grids::ALL } else { grids };
        let end = exact(note.end, bars, cells)
            .filter(|end| *end > onset && !Grids::of(end - cell.0).and(grids).is_none());
        // Not on the grid: the nearest 32nd, or 16th of a triplet.
        let rounded: &[u32] = if grids.and(Grids::STRAIGHT).is_none() { &[8] } else { &[6, 12] };
        let end = end.unwrap_or_else(|| nearest(unit, cell, rounded));
        placed_note(note, onset, end, cells)
    });
    placed.collect()
}

/// A note that would end with its onset lasts for the rest of the finest piece of its cell.
fn placed_note(note: &Note, onset: u32, end: u32, cells: &Cells) -> Placed {
    let (start, length) = cells.at(onset);
    let end = if end > onset {
        end
    } else {
        let step =
            [12, 8, 6, 4, 3].into_iter().find(|&step| (onset - start).is_multiple_of(step)).unwrap_or(3);
        (onset + step).min(start + length).max(onset + 1)
    };
    let (pitch, velocity) = (note.pitch.min(127), note.velocity.clamp(1, 127));
    Placed { onset, end, pitch, velocity, tick: note.onset }
}

/// Grids in the order of preference and what each costs, in squared units: the finer, the better it must fit.
const GRIDS: [(u32, f64); 5] = [(24, 0.0), (12, 1.0), (16, 2.5), (6, 5.0), (8, 6.0)];
/// Two onsets this far apart are two strokes; nearer ones are a chord.
const APART: f64 = 5.0;

fn placed_by_ear(track: &Track, bars: &Bars, cells: &Cells) -> Vec<Placed> {
    let unit = |tick| {
        let (bar, inside) = bars.locate(tick);
        f64::from(bars.list[bar].start) + inside
    };
    let mut by_cell: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for note in &track.notes {
        let onset = unit(note.onset);
        by_cell.entry(cells.index(onset as u32)).or_default().push(onset);
    }
    let grids: BTreeMap<usize, u32> =
        by_cell.iter_mut().map(|(&index, onsets)| (index, choose(onsets, cells.0[index]))).collect();
    let grid = |index: usize| grids.get(&index).copied().unwrap_or(12);
    let rounded = |at: f64| {
        let index = cells.index(at as u32);
        nearest(at, cells.0[index], &[grid(index)])
    };
    let mut placed: Vec<Placed> = Vec::with_capacity(track.notes.len());
    for note in &track.notes {
        let onset = rounded(unit(note.onset));
        let mut end = rounded(unit(note.end));
        if end <= onset {
            let index = cells.index(onset);
            let (start, length) = cells.0[index];
            let step =
                if onset >= start && (onset - start).is_multiple_of(grid(index)) { grid(index) } else { 12 };
            end = (onset + step).min((start + length).max(onset + 3));
        }
        placed.push(Placed { end, ..placed_note(note, onset, end, cells) });
    }
    placed.sort_by_key(|note| note.onset);
    tidy(&mut placed);
    placed
}

/// The grid that explains the onsets of a cell best.
fn choose(onsets: &mut [f64], (start, length): Cell) -> u32 {
    onsets.sort_by(f64::total_cmp);
    let allowed = Grids::allowed(length);
    let fits = |grid: u32| length.is_multiple_of(grid) && !Grids::of(grid).and(allowed).is_none();
    let cost = |grid: u32, price: f64| {
        let round = |at: f64| ((at - f64::from(start)) / f64::from(grid)).round();
        let errors = onsets.iter().map(|&at| at - f64::from(start) - round(at) * f64::from(grid));
        let mean = errors.map(|error| error * error).sum::<f64>() / onsets.len().max(1) as f64;
        let lost =
            onsets.windows(2).filter(|pair| pair[1] - pair[0] > APART && round(pair[0]) == round(pair[1]));
        mean + price + 10.0 * lost.count() as f64
    };
    let costs = GRIDS.iter().filter(|(grid, _)| fits(*grid)).map(|&(grid, price)| (grid, cost(grid, price)));
    costs.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(3, |(grid, _)| grid)
}

/// Ends of what was played by hand: chords end together, small gaps and overlaps go. Sorted by onset.
fn tidy(placed: &mut [Placed]) {
    let mut from = 0;
    while from < placed.len() {
        let onset = placed[from].onset;
        let to = from + placed[from..].iter().take_while(|note| note.onset == onset).count();
        let next = placed.get(to).map(|note| note.onset);
        let chord = &mut placed[from..to];
        if let Some(next) = next {
            for note in chord.iter_mut() {
                let gap = next.saturating_sub(note.end);
                let overlap = note.end.saturating_sub(next);
                if (gap > 0 && gap < 24 && next - onset <= 96) || (1..=12).contains(&overlap) {
                    note.end = next;
                }
            }
        }
        let longest = chord.iter().map(|note| note.end).max().unwrap_or(onset);
        for note in chord.iter_mut().filter(|note| longest - note.end < 24) {
            note.end = longest;
        }
        from = to;
    }
}
