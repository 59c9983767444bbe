//! Which MIDI pitches are which drum, for Magenta's models.

/// Pitches by class; the first of a class is the one that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PitchMap(&'static [&'static [u8]]);

/// Nine classes: kick, snare, closed and open hi-hat, low, mid and high tom, crash, ride.
pub const REDUCED: PitchMap = PitchMap(&[
    &[36, 35],
    &[38, 27, 28, 31, 32, 33, 34, 37, 39, 40, 56, 65, 66, 75, 85],
    &[42, 44, 54, 68, 69, 70, 71, 73, 78, 80, 22],
    &[46, 67, 72, 74, 79, 81, 26],
    &[45, 29, 41, 43, 61, 64, 84],
    &[48, 47, 60, 63, 77, 86, 87],
    &[50, 30, 62, 76, 83],
    &[49, 52, 55, 57, 58],
    &[51, 53, 59, 82],
]);

/// [`REDUCED`] before 2019-04-24, and in magenta-js: 43 was a high tom and 52 a ride, 22 and 26 were no drums.
pub const REDUCED_BEFORE_2019: PitchMap = PitchMap(&[
    &[36, 35],
    &[38, 27, 28, 31, 32, 33, 34, 37, 39, 40, 56, 65, 66, 75, 85],
    &[42, 44, 54, 68, 69, 70, 71, 73, 78, 80],
    &[46, 67, 72, 74, 79, 81],
    &[45, 29, 41, 61, 64, 84],
    &[48, 47, 60, 63, 77, 86, 87],
    &[50, 30, 43, 62, 76, 83],
    &[49, 55, 57, 58],
    &[51, 52, 53, 59, 82],
]);

/// The nine classes of the electronic kit that the groove models were trained on.
pub const ROLAND: PitchMap = PitchMap(&[
    &[36],
    &[38, 37, 40],
    &[42, 22, 44],
    &[46, 26],
    &[43, 58],
    &[47, 45],
    &[50, 48],
    &[49, 52, 55, 57],
    &[51, 53, 59],
]);

/// 61 classes, one a pitch.
pub const FULL: PitchMap = PitchMap(&[
    &[36],
    &[35],
    &[38],
    &[27],
    &[28],
    &[31],
    &[32],
    &[33],
    &[34],
    &[37],
    &[39],
    &[40],
    &[56],
    &[65],
    &[66],
    &[75],
    &[85],
    &[42],
    &[44],
    &[54],
    &[68],
    &[69],
    &[70],
    &[71],
    &[73],
    &[78],
    &[80],
    &[46],
    &[67],
    &[72],
    &[74],
    &[79],
    &[81],
    &[45],
    &[29],
    &[41],
    &[61],
    &[64],
    &[84],
    &[48],
    &[47],
    &[60],
    &[63],
    &[77],
    &[86],
    &[87],
    &[50],
    &[30],
    &[43],
    &[62],
    &[76],
    &[83],
    &[49],
    &[55],
    &[57],
    &[58],
    &[51],
    &[52],
    &[53],
    &[59],
    &[82],
]);

impl PitchMap {
    /// At most 61.
    pub fn classes(self) -> usize {
        self.0.len()
    }

    /// `None` for a pitch that is no drum here.
    pub fn class(self, pitch: u8) -> Option<usize> {
        self.0.iter().position(|pitches| pitches.contains(&pitch))
    }

    /// The pitch a class is written as.
    pub fn pitch(self, class: usize) -> u8 {
        self.0[class][0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pitch_has_two_classes() {
        for (map, count) in [(REDUCED, 63), (REDUCED_BEFORE_2019, 61), (ROLAND, 22), (FULL, 61)] {
            let mut pitches: Vec<u8> = map.0.iter().copied().flatten().copied().collect();
            pitches.sort_unstable();
            pitches.dedup();
            assert_eq!(pitches.len(), count);
            assert_eq!(map.0.iter().map(|class| class.len()).sum::<usize>(), count);
            for class in 0..map.classes() {
                assert_eq!(map.class(map.pitch(class)), Some(class));
            }
        }
    }
}
