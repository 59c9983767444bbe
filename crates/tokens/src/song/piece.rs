//! Music as the song format sees it: cells of a twelfth of a quarter note, from the start of the first bar.

use partita_score::Meter;

use super::ChordClass;
use super::vocab::{CELLS, Part};

/// A note of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceNote {
    pub onset: u32,
    /// After `onset`.
    pub end: u32,
    pub pitch: u8,
}

/// Chords and notes of a piece in one metre.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Piece {
    pub meter: Meter,
    pub bars: u32,
    /// Sorted by cell, one a cell.
    pub chords: Vec<(u32, ChordClass)>,
    /// Notes by [`Part::index`]; sorted by onset, then pitch.
    pub parts: [Vec<PieceNote>; 3],
}

impl Piece {
    /// Cells of a bar.
    pub fn cells_per_bar(&self) -> u32 {
        u32::from(self.meter.numerator) * 4 * CELLS / u32::from(self.meter.denominator.max(1))
    }

    /// Notes of a part.
    pub fn part(&self, part: Part) -> &[PieceNote] {
        &self.parts[part.index()]
    }

    /// The chord in force at a cell; `None` before the first.
    pub fn chord_at(&self, cell: u32) -> Option<ChordClass> {
        let after = self.chords.partition_point(|(at, _)| *at <= cell);
        Some(self.chords[after.checked_sub(1)?].1)
    }

    /// `bars` bars from `first`. Chords in force and notes that ring are cut to it.
    #[must_use]
    pub fn window(&self, first: u32, bars: u32) -> Piece {
        let length = self.cells_per_bar();
        let (start, end) = (first * length, (first + bars) * length);
        let mut chords: Vec<(u32, ChordClass)> =
            self.chord_at(start).map(|chord| (0, chord)).into_iter().collect();
        let later = self.chords.iter().filter(|(at, _)| *at > start && *at < end);
        chords.extend(later.map(|(at, chord)| (at - start, *chord)));
        let cut = |notes: &Vec<PieceNote>| {
            let inside = notes.iter().filter(|note| (start..end).contains(&note.onset));
            inside
                .map(|note| PieceNote {
                    onset: note.onset - start,
                    end: note.end.min(end) - start,
                    pitch: note.pitch,
                })
                .collect()
        };
        Piece { meter: self.meter, bars, chords, parts: self.parts.each_ref().map(cut) }
    }
}
