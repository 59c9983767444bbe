//! A set of pitch classes in sixteen bits.

use std::{fmt, ops};

/// Which of the twelve pitch classes are in; C = bit 0.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PitchClasses(u16);

impl PitchClasses {
    pub const EMPTY: PitchClasses = PitchClasses(0);
    pub const ALL: PitchClasses = PitchClasses(0xfff);

    /// From bits; those above the twelfth are dropped.
    pub const fn from_bits(bits: u16) -> PitchClasses {
        PitchClasses(bits & 0xfff)
    }

    /// Bit 0 = C, bit 11 = B.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether a MIDI pitch or a pitch class is in.
    pub fn contains(self, pitch: u8) -> bool {
        self.0 >> (pitch % 12) & 1 == 1
    }

    /// With a MIDI pitch or a pitch class.
    #[must_use]
    pub fn with(self, pitch: u8) -> PitchClasses {
        PitchClasses(self.0 | 1 << (pitch % 12))
    }

    /// Without a MIDI pitch or a pitch class.
    #[must_use]
    pub fn without(self, pitch: u8) -> PitchClasses {
        PitchClasses(self.0 & !(1 << (pitch % 12)))
    }

    /// `0..=12`
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// From C up, `0..12` each.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..12).filter(move |&pitch_class| self.contains(pitch_class))
    }

    /// Every member `semitones` higher.
    #[must_use]
    pub fn transposed(self, semitones: i32) -> PitchClasses {
        let by = semitones.rem_euclid(12);
        PitchClasses((self.0 << by | self.0 >> (12 - by)) & 0xfff)
    }

    /// Whether all members are in `other` too.
    pub fn is_subset(self, other: PitchClasses) -> bool {
        self.0 & !other.0 == 0
    }
}

impl ops::BitAnd for PitchClasses {
    type Output = PitchClasses;

    fn bitand(self, other: PitchClasses) -> PitchClasses {
        PitchClasses(self.0 & other.0)
    }
}

impl ops::BitOr for PitchClasses {
    type Output = PitchClasses;

    fn bitor(self, other: PitchClasses) -> PitchClasses {
        PitchClasses(self.0 | other.0)
    }
}

/// The complement.
impl ops::Not for PitchClasses {
    type Output = PitchClasses;

    fn not(self) -> PitchClasses {
        PitchClasses(!self.0 & 0xfff)
    }
}

/// From MIDI pitches or pitch classes.
impl FromIterator<u8> for PitchClasses {
    fn from_iter<I: IntoIterator<Item = u8>>(pitches: I) -> PitchClasses {
        pitches.into_iter().fold(PitchClasses::EMPTY, PitchClasses::with)
    }
}

impl fmt::Debug for PitchClasses {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_what_was_put_in() {
        let triad: PitchClasses = [60, 64, 67].into_iter().collect();
        assert_eq!(triad.iter().collect::<Vec<_>>(), [0, 4, 7]);
        assert_eq!((triad.len(), triad.is_empty(), triad.bits()), (3, false, 0b1001_0001));
        assert!(triad.contains(76) && !triad.contains(61));
        assert_eq!(triad.without(4).with(3).iter().collect::<Vec<_>>(), [0, 3, 7]);
        assert_eq!((!triad).len(), 9);
        assert_eq!((triad & !triad, triad | !triad), (PitchClasses::EMPTY, PitchClasses::ALL));
        assert!((triad & PitchClasses::ALL).is_subset(triad) && !PitchClasses::ALL.is_subset(triad));
        assert_eq!(PitchClasses::from_bits(u16::MAX), PitchClasses::ALL);
        assert_eq!(format!("{triad:?}"), "{0, 4, 7}");
    }

    #[test]
    fn transposing_goes_round() {
        let triad: PitchClasses = [0, 4, 7].into_iter().collect();
        for by in -30..30 {
            let expected: PitchClasses =
                [0, 4, 7].into_iter().map(|it: i32| (it + by).rem_euclid(12) as u8).collect();
            assert_eq!(triad.transposed(by), expected, "{by}");
        }
    }
}
