//! Where the beats of a bar are.

use partita_score::Meter;
use partita_score::demands::{cells_per_bar, strong_cells};
use partita_tokens::song::CELLS;

/// Beats and their halves, in cells of the bar.
pub struct Pulse {
    pub length: u32,
    /// Where beats begin; never empty, the first is 0.
    pub beats: Vec<u32>,
    pub strong: Vec<u32>,
    /// Cells between the places that fast patterns play on, an eighth or less.
    pub fast: u32,
}

impl Pulse {
    /// Quarters; in compound metres three eighths; in bars of five or seven eighths the groups people count.
    pub fn of(meter: Meter) -> Pulse {
        let (length, strong) = (cells_per_bar(meter), strong_cells(meter));
        let unit = 4 * CELLS / u32::from(meter.denominator.max(1));
        let units = u32::from(meter.numerator);
        let beats = if meter.denominator < 8 {
            (0..length).step_by(CELLS as usize).collect()
        } else if units > 3 && units.is_multiple_of(3) {
            (0..length).step_by(3 * unit as usize).collect()
        } else if units > 3 {
            strong.clone()
        } else {
            vec![0]
        };
        Pulse { length, beats, strong, fast: unit.min(CELLS / 2) }
    }

    /// Where the beat that begins at `beats[index]` ends.
    pub fn end(&self, index: usize) -> u32 {
        self.beats.get(index + 1).copied().unwrap_or(self.length)
    }

    /// The place between a beat and the next: its half, on the fast places.
    pub fn half(&self, index: usize) -> u32 {
        let (start, end) = (self.beats[index], self.end(index));
        start + ((end - start) / self.fast).div_ceil(2) * self.fast
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_are_where_people_tap_their_feet() {
        let check = |text: &str, beats: &[u32], halves: &[u32]| {
            let pulse = Pulse::of(text.parse().expect(text));
            assert_eq!(pulse.beats, beats, "{text}");
            assert_eq!((0..beats.len()).map(|i| pulse.half(i)).collect::<Vec<_>>(), halves, "{text}");
        };
        check("4/4", &[0, 12, 24, 36], &[6, 18, 30, 42]);
        check("2/2", &[0, 12, 24, 36], &[6, 18, 30, 42]);
        check("6/8", &[0, 18], &[12, 30]);
        check("7/8", &[0, 12, 24], &[6, 18, 36]);
        check("5/8", &[0, 18], &[12, 24]);
        check("3/8", &[0], &[12]);
        check("3/16", &[0], &[6]);
    }
}
