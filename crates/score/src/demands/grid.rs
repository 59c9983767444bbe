//! Where notes may begin, and which beats are strong.

use super::Demands;
use crate::Meter;
use std::fmt;

/// Places at which notes may begin, counted from every bar line; where they end is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RhythmGrid {
    /// Any cell, a twelfth of a quarter.
    #[default]
    Free,
    /// On the bar line, and every four quarters after it.
    Whole,
    /// Every two quarters.
    Half,
    Quarter,
    Eighth,
    Sixteenth,
    /// Three in a half note.
    QuarterTriplet,
    /// Three in a quarter.
    EighthTriplet,
    /// Sixteenths and eighth triplets.
    Mixed,
}

impl RhythmGrid {
    pub const ALL: [RhythmGrid; 9] = [
        RhythmGrid::Free,
        RhythmGrid::Whole,
        RhythmGrid::Half,
        RhythmGrid::Quarter,
        RhythmGrid::Eighth,
        RhythmGrid::Sixteenth,
        RhythmGrid::QuarterTriplet,
        RhythmGrid::EighthTriplet,
        RhythmGrid::Mixed,
    ];

    /// Lower case, words joined by hyphens: `eighth-triplet`.
    pub fn name(self) -> &'static str {
        match self {
            RhythmGrid::Free => "free",
            RhythmGrid::Whole => "whole",
            RhythmGrid::Half => "half",
            RhythmGrid::Quarter => "quarter",
            RhythmGrid::Eighth => "eighth",
            RhythmGrid::Sixteenth => "sixteenth",
            RhythmGrid::QuarterTriplet => "quarter-triplet",
            RhythmGrid::EighthTriplet => "eighth-triplet",
            RhythmGrid::Mixed => "mixed",
        }
    }

    /// By [`RhythmGrid::name`].
    pub fn from_name(name: &str) -> Option<RhythmGrid> {
        RhythmGrid::ALL.into_iter().find(|grid| grid.name() == name)
    }

    /// The distances of which places are multiples, in cells.
    pub fn strides(self) -> &'static [u32] {
        match self {
            RhythmGrid::Free => &[1],
            RhythmGrid::Whole => &[48],
            RhythmGrid::Half => &[24],
            RhythmGrid::Quarter => &[12],
            RhythmGrid::Eighth => &[6],
            RhythmGrid::Sixteenth => &[3],
            RhythmGrid::QuarterTriplet => &[8],
            RhythmGrid::EighthTriplet => &[4],
            RhythmGrid::Mixed => &[3, 4],
        }
    }

    /// Whether a note may begin so many cells after a bar line.
    pub fn has(self, cell_in_bar: u32) -> bool {
        self.strides().iter().any(|stride| cell_in_bar.is_multiple_of(*stride))
    }
}

impl fmt::Display for RhythmGrid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Cells in a bar, a whole number in every metre that can be written: 48 in 4/4, 42 in 7/8.
pub fn cells_per_bar(meter: Meter) -> u32 {
    u32::from(meter.numerator) * (4 * u32::from(Demands::PPQ.get())) / u32::from(meter.denominator.max(1))
}

/// The strong beats of a metre, in cells after the bar line, rising; the first is 0.
///
/// Beats are what the denominator says, but the dotted ones of compound metres: a numerator of 6, 9, 12, ... over 8 or
/// 16 has beats of three units. The beats of a bar come in groups, the first of each is strong. Up to three beats are
/// one group (strong: 2/4, 3/4, 6/8, 9/8: 1), five are 3 + 2 (5/4: 1 and 4), six are 3 + 3 (6/4: 1 and 4), all others
/// go by twos, an odd one at the end making a three (4/4 and 12/8: 1 and 3; 7/8 = 2 + 2 + 3: 1, 3 and 5).
pub fn strong_cells(meter: Meter) -> Vec<u32> {
    let (units, below) = (u32::from(meter.numerator), meter.denominator);
    let compound = below >= 8 && units > 3 && units.is_multiple_of(3);
    let (beats, beat) = if compound { (units / 3, 3) } else { (units, 1) };
    let cells = beat * 4 * u32::from(Demands::PPQ.get()) / u32::from(below.max(1));
    let starts: Vec<u32> = match beats {
        0..=3 => vec![0],
        5 | 6 => vec![0, 3],
        _ => (0..beats / 2).map(|group| 2 * group).collect(),
    };
    starts.into_iter().map(|start| start * cells).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_beats_are_where_musicians_count_them() {
        let check = |text: &str, bar, strong: &[u32]| {
            let meter = text.parse().expect(text);
            assert_eq!((cells_per_bar(meter), strong_cells(meter).as_slice()), (bar, strong), "{text}");
        };
        check("4/4", 48, &[0, 24]);
        check("3/4", 36, &[0]);
        check("2/4", 24, &[0]);
        check("2/2", 48, &[0]);
        check("6/8", 36, &[0]);
        check("9/8", 54, &[0]);
        check("12/8", 72, &[0, 36]);
        check("5/4", 60, &[0, 36]);
        check("5/8", 30, &[0, 18]);
        check("15/8", 90, &[0, 54]);
        check("6/4", 72, &[0, 36]);
        check("7/8", 42, &[0, 12, 24]);
        check("7/4", 84, &[0, 24, 48]);
        check("8/8", 48, &[0, 12, 24, 36]);
        check("11/8", 66, &[0, 12, 24, 36, 48]);
        check("3/8", 18, &[0]);
        check("6/16", 18, &[0]);
        check("1/4", 12, &[0]);
        check("3/16", 9, &[0]);
    }

    #[test]
    fn grids_count_from_the_bar_line() {
        let places = |grid: RhythmGrid, bar| (0..bar).filter(|cell| grid.has(*cell)).collect::<Vec<_>>();
        assert_eq!(places(RhythmGrid::Whole, 36), [0]);
        assert_eq!(places(RhythmGrid::Half, 36), [0, 24]);
        assert_eq!(places(RhythmGrid::QuarterTriplet, 48), [0, 8, 16, 24, 32, 40]);
        assert_eq!(places(RhythmGrid::Mixed, 12), [0, 3, 4, 6, 8, 9]);
        assert_eq!(places(RhythmGrid::Free, 12).len(), 12);
        for grid in RhythmGrid::ALL {
            assert_eq!(RhythmGrid::from_name(grid.name()), Some(grid));
        }
    }
}
