//! Where a bar is strong and weak: what decides how long notes are cut and which ones share a beam.

use crate::Meter;
use std::sync::Arc;

/// Units in a quarter note: holds 64th notes (3) and triplets of 32nds (4).
pub(crate) const QUARTER: u32 = 48;
/// The shortest straight note value, a 64th; bars are whole numbers of it.
pub(crate) const SHORTEST: u32 = 3;

/// Beats that belong together.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Group {
    start: u32,
    length: u32,
    /// What the group is counted in.
    beat: u32,
    /// Three beats felt as one, as in 6/8.
    compound: bool,
}

/// The inner order of one bar. All times are units from the start of the bar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Metre {
    /// As long as the bar is, which may be less than its metre says.
    length: u32,
    /// A pickup lacks this much at its start.
    missing: u32,
    groups: Arc<[Group]>,
    /// Of every 64th of the bar; bars of one metre share it.
    weak: Arc<[u8]>,
}

/// The length of a full bar: a multiple of [`SHORTEST`], at least one.
pub(crate) fn bar_length(meter: Meter) -> u32 {
    let exact = 4 * QUARTER * u32::from(meter.numerator.max(1));
    exact.div_ceil(u32::from(meter.denominator.max(1)) * SHORTEST) * SHORTEST
}

impl Metre {
    /// A bar of `length` units; `pickup` puts what it lacks at its start instead of its end.
    pub(crate) fn new(meter: Meter, length: u32, pickup: bool) -> Metre {
        let full = bar_length(meter);
        let missing = if pickup { full.saturating_sub(length) } else { 0 };
        let number = u32::from(meter.numerator.max(1));
        let unit = (4 * QUARTER / u32::from(meter.denominator.max(1))).max(SHORTEST);
        // (units in the group, is it compound)
        let sizes: Vec<(u32, bool)> = match (unit, number) {
            (..=24, 1) => vec![(1, false)],
            // Threes first, then what is left in twos: 6/8, 5/8, 8/8; but 7/8 is 2+2+3.
            (..=24, 7) => vec![(2, false), (2, false), (3, true)],
            (24, _) | (..24, 3 | 6 | 9 | 12 | 15) => threes(number),
            (..24, _) => runs(number, 4).into_iter().map(|size| (size, false)).collect(),
            (_, 3 | 6 | 9) => vec![(3, false); (number / 3) as usize],
            (_, 5) => vec![(3, false), (2, false)],
            _ if number % 2 == 1 && number > 1 => {
                let mut sizes = vec![(2, false); (number / 2) as usize - 1];
                sizes.push((3, false));
                sizes
            }
            _ => runs(number, 2).into_iter().map(|size| (size, false)).collect(),
        };
        let (mut groups, mut start) = (Vec::new(), 0);
        for (size, compound) in sizes {
            let length = size * unit;
            // Twos of eighths are quarters.
            let beat = if compound || !length.is_multiple_of(QUARTER) { unit } else { unit.max(QUARTER) };
            groups.push(Group { start, length, beat, compound });
            start += length;
        }
        let mut metre = Metre { length, missing, groups: groups.into(), weak: Arc::default() };
        metre.weak = (0..=length).step_by(SHORTEST as usize).map(|at| metre.judge(at)).collect();
        metre
    }

    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// How weak a place is: 0 the start of the bar, 1 a group, 2 a beat, then halves of halves; 9 between 64ths.
    pub(crate) fn weakness(&self, at: u32) -> u32 {
        let known = self.weak.get((at / SHORTEST) as usize).filter(|_| at.is_multiple_of(SHORTEST));
        known.map_or(9, |weak| u32::from(*weak))
    }

    fn judge(&self, at: u32) -> u8 {
        let at = at + self.missing;
        if at == 0 {
            return 0;
        }
        let Some(group) = self.group_of(at) else { return 1 };
        let inside = at - group.start;
        match inside {
            0 => return 1,
            _ if inside.is_multiple_of(group.beat) => return 2,
            _ => {}
        }
        let (mut part, mut level) = (group.beat, 2);
        while part % 2 == 0 && !inside.is_multiple_of(part) {
            (part, level) = (part / 2, level + 1);
        }
        if inside.is_multiple_of(part) { level } else { 9 }
    }

    /// The group that a place of the full bar lies in.
    fn group_of(&self, at: u32) -> Option<&Group> {
        self.groups.get(self.groups.partition_point(|group| group.start + group.length <= at))
    }

    /// Whether a place lies inside a compound group, where three beats are one.
    pub(crate) fn is_compound(&self, at: u32) -> bool {
        let at = at + self.missing;
        self.group_of(at).is_some_and(|group| group.compound)
    }

    /// The start of the group that a place lies in, and the end of that group.
    pub(crate) fn group(&self, at: u32) -> (u32, u32) {
        let shifted = at + self.missing;
        let found = self.group_of(shifted);
        let (start, end) = found.map_or((0, u32::MAX), |group| (group.start, group.start + group.length));
        (start.saturating_sub(self.missing), end.saturating_sub(self.missing).min(self.length))
    }

    /// `(start, length)` of the pieces of the bar that one grid of time holds for, in order and without gaps.
    pub(crate) fn cells(&self) -> Vec<(u32, u32)> {
        let mut cells = Vec::new();
        for group in self.groups.iter() {
            let size = if group.compound { group.beat.min(24) } else { group.beat.min(QUARTER) };
            self.cut(group.start, group.length, size, &mut cells);
        }
        self.finish(cells)
    }

    /// Like [`Metre::cells`], but as wide as a triplet may be: halves and whole bars where the metre has them.
    pub(crate) fn spans(&self) -> Vec<(u32, u32)> {
        let full: u32 = self.groups.iter().map(|group| group.length).sum();
        let halves = self.groups.iter().all(|group| group.length == 96 && !group.compound);
        if halves && full == 192 && self.missing == 0 && self.length == full {
            return vec![(0, full)];
        }
        let mut spans = Vec::new();
        for group in self.groups.iter() {
            let wide = !group.compound && matches!(group.length, 96 | 192);
            let narrow = if group.compound { group.beat.min(24) } else { group.beat.min(QUARTER) };
            self.cut(group.start, group.length, if wide { group.length } else { narrow }, &mut spans);
        }
        self.finish(spans)
    }

    /// `length` units from `start` in pieces of `size`, less what this bar lacks.
    fn cut(&self, start: u32, length: u32, size: u32, pieces: &mut Vec<(u32, u32)>) {
        let end = start + length;
        for from in (start..end).step_by(size.max(SHORTEST) as usize) {
            let from_here = from.max(self.missing) - self.missing;
            let to_here = ((from + size).min(end).max(self.missing) - self.missing).min(self.length);
            if from_here < to_here {
                pieces.push((from_here, to_here - from_here));
            }
        }
    }

    /// What a metre does not account for is one more piece.
    fn finish(&self, mut pieces: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
        let end = pieces.last().map_or(0, |(start, length)| start + length);
        if end < self.length {
            pieces.push((end, self.length - end));
        }
        pieces
    }
}

fn threes(number: u32) -> Vec<(u32, bool)> {
    let (mut left, mut sizes) = (number, Vec::new());
    while left > 0 {
        let (size, compound) = if left == 3 || left >= 5 { (3, true) } else { (left.min(2), false) };
        sizes.push((size, compound));
        left -= size;
    }
    sizes
}

fn runs(number: u32, size: u32) -> Vec<u32> {
    let whole = std::iter::repeat_n(size, (number / size) as usize);
    whole.chain((!number.is_multiple_of(size)).then_some(number % size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metre(text: &str) -> Metre {
        let meter: Meter = text.parse().expect("valid");
        Metre::new(meter, bar_length(meter), false)
    }

    #[test]
    fn bars_are_grouped_as_they_are_counted() {
        let lengths = |text| metre(text).groups.iter().map(|group| group.length).collect::<Vec<_>>();
        assert_eq!(lengths("4/4"), [96, 96]);
        assert_eq!(lengths("3/4"), [144]);
        assert_eq!(lengths("5/4"), [144, 96]);
        assert_eq!(lengths("6/8"), [72, 72]);
        assert_eq!(lengths("5/8"), [72, 48]);
        assert_eq!(lengths("7/8"), [48, 48, 72]);
        assert_eq!(lengths("8/8"), [72, 72, 48]);
        assert_eq!(lengths("2/2"), [192]);
        assert_eq!(lengths("7/16"), [24, 24, 36]);
    }

    #[test]
    fn the_middle_of_four_is_stronger_than_its_beats() {
        let four = metre("4/4");
        assert_eq!([0, 96, 48, 24, 12, 6, 3, 16].map(|at| four.weakness(at)), [0, 1, 2, 3, 4, 5, 6, 9]);
        let six = metre("6/8");
        assert_eq!([0, 72, 24, 12].map(|at| six.weakness(at)), [0, 1, 2, 3]);
    }

    #[test]
    fn a_pickup_lacks_its_start() {
        let pickup = Metre::new(Meter::COMMON, 48, true);
        assert_eq!((pickup.weakness(0), pickup.weakness(24), pickup.cells()), (2, 3, vec![(0, 48)]));
    }

    #[test]
    fn cells_cover_every_bar_without_gaps() {
        for numerator in 1..=32 {
            for denominator in [1, 2, 4, 8, 16, 32, 64, 128] {
                let meter = Meter { numerator, denominator };
                for length in [bar_length(meter), 3, 36, 99] {
                    for pickup in [false, true] {
                        let metre = Metre::new(meter, length, pickup);
                        for pieces in [metre.cells(), metre.spans()] {
                            let mut at = 0;
                            for (start, size) in pieces {
                                assert_eq!(start, at, "{meter} {length}");
                                assert!(size > 0 && size % SHORTEST == 0);
                                at += size;
                            }
                            assert_eq!(at, length, "{meter}");
                        }
                    }
                }
            }
        }
    }
}
