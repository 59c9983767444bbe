//! Notes that sound together become chords or voices: within a voice nothing overlaps.

use super::quantize::{Cells, Grids, Placed};
use std::collections::BTreeMap;

/// The most voices on a staff.
pub(super) const MAX_VOICES: usize = 4;

/// Notes that start and end together, high to low.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chord {
    pub onset: u32,
    pub end: u32,
    pub notes: Vec<Placed>,
}

/// One line of chords, in order, and the grids its cells are left with.
#[derive(Default)]
struct Line {
    chords: Vec<Chord>,
    held: BTreeMap<usize, Grids>,
}

impl Line {
    fn busy_until(&self) -> u32 {
        self.chords.last().map_or(0, |chord| chord.end)
    }

    fn grids(&self, cells: &Cells, unit: u32) -> Grids {
        let (start, length) = cells.at(unit);
        let held = self.held.get(&cells.index(unit)).copied().unwrap_or(Grids::allowed(length));
        held.and(Grids::of(unit - start))
    }

    fn can_take(&self, chord: &Chord, cells: &Cells) -> bool {
        if cells.index(chord.onset) == cells.index(chord.end) {
            let onset = self.grids(cells, chord.onset);
            return !onset.and(self.grids(cells, chord.end)).is_none();
        }
        !self.grids(cells, chord.onset).is_none() && !self.grids(cells, chord.end).is_none()
    }

    fn take(&mut self, chord: Chord, cells: &Cells) {
        for unit in [chord.onset, chord.end] {
            let grids = self.grids(cells, unit);
            self.held.insert(cells.index(unit), grids);
        }
        self.chords.push(chord);
    }
}

/// At most [`MAX_VOICES`] voices, the first the highest where several start together.
///
/// `placed` is sorted by onset, then from high to low. Where more would be needed, a note is cut short when the next
/// one of its voice starts, or takes the length of a chord it starts with; none is lost.
pub(super) fn allot(placed: &[Placed], cells: &Cells) -> Vec<Vec<Chord>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut from = 0;
    while from < placed.len() {
        let onset = placed[from].onset;
        let to = from + placed[from..].iter().take_while(|note| note.onset == onset).count();
        for chord in chords(&placed[from..to]) {
            let free =
                lines.iter().position(|line| line.busy_until() <= onset && line.can_take(&chord, cells));
            match free {
                Some(index) => lines[index].take(chord, cells),
                None if lines.len() < MAX_VOICES => {
                    let mut line = Line::default();
                    line.take(chord, cells);
                    lines.push(line);
                }
                None => squeeze(&mut lines, chord, cells),
            }
        }
        from = to;
    }
    let mut voices: Vec<Vec<Chord>> = lines.into_iter().map(|line| line.chords).collect();
    for chord in voices.iter_mut().flatten() {
        chord.notes.sort_by_key(|note| 255 - note.pitch);
    }
    voices
}

/// Notes of one onset, those of one end together; no pitch twice in a chord.
fn chords(notes: &[Placed]) -> Vec<Chord> {
    let mut chords: Vec<Chord> = Vec::new();
    // By end and how often the pitch was there before.
    let mut found: BTreeMap<(u32, usize), usize> = BTreeMap::new();
    let mut seen: BTreeMap<(u32, u8), usize> = BTreeMap::new();
    for note in notes {
        let copies = seen.entry((note.end, note.pitch)).or_default();
        let index = *found.entry((note.end, *copies)).or_insert_with(|| {
            chords.push(Chord { onset: note.onset, end: note.end, notes: Vec::new() });
            chords.len() - 1
        });
        *copies += 1;
        chords[index].notes.push(*note);
    }
    chords
}

/// All voices are busy: the one that is free first gives way.
fn squeeze(lines: &mut [Line], chord: Chord, cells: &Cells) {
    let onset = chord.onset;
    let started_before = |line: &Line| line.chords.last().is_none_or(|last| last.onset < onset);
    let fits = lines.iter_mut().filter(|line| started_before(line) && line.can_take(&chord, cells));
    if let Some(line) = fits.min_by_key(|line| line.busy_until()) {
        if let Some(last) = line.chords.last_mut() {
            last.end = last.end.min(onset);
        }
        line.take(chord, cells);
        return;
    }
    // Each voice has just started something or lies on another grid: the notes join the chord of the nearest length.
    let nearest = lines.iter_mut().min_by_key(|line| {
        let last = line.chords.last();
        last.map_or((u32::MAX, u32::MAX), |last| (onset.abs_diff(last.onset), chord.end.abs_diff(last.end)))
    });
    if let Some(last) = nearest.and_then(|line| line.chords.last_mut()) {
        last.notes.extend(chord.notes);
    }
}
