//! Times and values as MidiTok's vocabulary has them: spans of beats, velocities, tempos.

use std::fmt;

/// A length as tokens say it: `beats` and `position / resolution` of the next beat.
///
/// What a beat is depends on the time signature: the unit of its denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub beats: u16,
    pub position: u16,
    pub resolution: u16,
}

impl Span {
    /// No time at all, as Structured writes it.
    pub const ZERO: Span = Span { beats: 0, position: 0, resolution: 1 };

    /// Length in ticks where a beat has `per_beat`; fractions are cut off.
    pub fn ticks(self, per_beat: i64) -> i64 {
        let resolution = i64::from(self.resolution.max(1));
        (i64::from(self.beats) * resolution + i64::from(self.position)) * per_beat / resolution
    }

    /// `beats.position.resolution`; `None` for other text.
    pub fn parse(text: &str) -> Option<Span> {
        let mut parts = text.split('.').map(|part| part.parse::<u16>().ok());
        let span = Span { beats: parts.next()??, position: parts.next()??, resolution: parts.next()?? };
        (parts.next().is_none() && span.resolution > 0).then_some(span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}.{}", self.beats, self.position, self.resolution)
    }
}

/// Beats `from..to` are cut into `resolution` positions each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    pub from: u16,
    pub to: u16,
    pub resolution: u16,
}

/// All spans of some ranges but the empty one, in the order of the vocabulary. The last is the end of the last range.
pub(super) fn spans(ranges: &[Resolution]) -> Vec<Span> {
    let each = ranges.iter().flat_map(|range| {
        let resolution = range.resolution;
        (range.from..range.to)
            .flat_map(move |beats| (0..resolution).map(move |position| Span { beats, position, resolution }))
    });
    // The range that comes last when sorted by its bounds.
    let last = ranges.iter().max_by_key(|range| (range.from, range.to));
    let last = last.map(|range| Span { beats: range.to, position: 0, resolution: range.resolution });
    each.skip(1).chain(last).collect()
}

/// Spans as ticks of one beat length: finds the nearest, or the largest that fits.
#[derive(Clone, Debug)]
pub(super) struct Ruler {
    /// Of the spans, in their order.
    ticks: Vec<i64>,
    /// Index of the nearest bin by ticks, up to the last bin's or [`MOST_TABLE`].
    nearest: Vec<u32>,
}

/// Lengths up to this many ticks are looked up, longer ones searched.
const MOST_TABLE: i64 = 1 << 14;

impl Ruler {
    pub fn new(spans: &[Span], per_beat: i64) -> Ruler {
        let ticks: Vec<i64> = spans.iter().map(|span| span.ticks(per_beat)).collect();
        let most = ticks.last().copied().unwrap_or(0).max(0);
        let nearest = (0..=most.min(MOST_TABLE)).map(|value| nearest(&ticks, value) as u32).collect();
        Ruler { ticks, nearest }
    }

    /// Index of the bin nearest to `ticks`; ties go up, beyond the last it is the last.
    pub fn nearest(&self, ticks: i64) -> usize {
        let index = usize::try_from(ticks).ok().and_then(|ticks| self.nearest.get(ticks));
        index.map_or_else(|| nearest(&self.ticks, ticks), |&index| index as usize)
    }

    pub fn ticks(&self, index: usize) -> i64 {
        self.ticks[index]
    }

    pub fn smallest(&self) -> i64 {
        self.ticks.first().copied().unwrap_or(i64::MAX)
    }

    /// Index of the largest bin that is not longer than `ticks`; `None` if even the smallest is.
    pub fn largest_within(&self, ticks: i64) -> Option<usize> {
        self.ticks.partition_point(|&bin| bin <= ticks).checked_sub(1)
    }
}

/// Index of the value nearest to `value` in a sorted list; ties go up. 0 for an empty list.
pub(super) fn nearest<T: Copy + PartialOrd + std::ops::Sub<Output = T>>(sorted: &[T], value: T) -> usize {
    let above = sorted.partition_point(|&bin| bin < value);
    if above == 0 {
        return 0;
    }
    if above == sorted.len() || value - sorted[above - 1] < sorted[above] - value {
        return above - 1;
    }
    above
}

/// `1 <= count <= 127` velocities, the last is 127.
pub(super) fn velocities(count: u16) -> Vec<u8> {
    (1..=u32::from(count)).map(|index| (127 * index / u32::from(count)) as u8).collect()
}

/// Tempos in hundredths of a beat a minute, rising.
pub(super) fn tempos(low: f64, high: f64, count: u16, log: bool) -> Vec<u32> {
    let last = count.saturating_sub(1);
    let value = |index: u16| {
        if index == 0 {
            return low;
        }
        if index == last {
            return high;
        }
        if log {
            let (from, to) = (low.log10(), high.log10());
            10f64.powf(from + f64::from(index) * ((to - from) / f64::from(last)))
        } else {
            low + f64::from(index) * ((high - low) / f64::from(last))
        }
    };
    (0..count).map(|index| (value(index) * 100.0).round_ties_even() as u32).collect()
}

/// A tempo as Python prints the float: `120.0`, `46.77`.
pub(super) fn tempo_text(hundredths: u32) -> String {
    let (whole, part) = (hundredths / 100, hundredths % 100);
    if part % 10 == 0 { format!("{whole}.{}", part / 10) } else { format!("{whole}.{part:02}") }
}

/// The reverse of [`tempo_text`].
pub(super) fn tempo_from_text(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.')?;
    let whole: u32 = whole.parse().ok().filter(|&whole| whole <= 1_000_000)?;
    let part = match (part.len(), part.parse::<u32>().ok()?) {
        (1, tenths) => tenths * 10,
        (2, hundredths) => hundredths,
        _ => return None,
    };
    Some(whole * 100 + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_up() {
        assert_eq!([0, 1, 2, 3, 9].map(|value| nearest(&[0, 2, 4], value)), [0, 1, 1, 2, 2]);
        let ruler = Ruler::new(&spans(&[Resolution { from: 0, to: 1, resolution: 4 }]), 8);
        assert_eq!([-3, 0, 1, 2, 3, 5, 8, 99].map(|ticks| ruler.nearest(ticks)), [0, 0, 0, 0, 1, 2, 3, 3]);
        assert_eq!(
            [1, 2, 3, 4, 100].map(|ticks| ruler.largest_within(ticks)),
            [None, Some(0), Some(0), Some(1), Some(3)]
        );
    }

    #[test]
    fn tempos_print_as_python_floats() {
        for (hundredths, text) in
            [(4000, "40.0"), (4677, "46.77"), (12130, "121.3"), (10, "0.1"), (5, "0.05")]
        {
            assert_eq!(tempo_text(hundredths), text);
            assert_eq!(tempo_from_text(text), Some(hundredths));
        }
        assert_eq!(tempo_from_text("1.234"), None);
    }
}
