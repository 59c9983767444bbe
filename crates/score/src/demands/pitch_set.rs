//! A set of MIDI pitches in 128 bits.

use crate::harmony::PitchClasses;
use std::{fmt, ops};

/// Which of the pitches `0..128` are in; bit 60 = middle C.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PitchSet(u128);

impl PitchSet {
    pub const EMPTY: PitchSet = PitchSet(0);
    pub const ALL: PitchSet = PitchSet(u128::MAX);

    /// From bits, pitch 0 lowest.
    pub const fn from_bits(bits: u128) -> PitchSet {
        PitchSet(bits)
    }

    /// Pitch 0 is the lowest bit.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// One pitch; none for a number above 127.
    pub const fn of(pitch: u8) -> PitchSet {
        if pitch < 128 { PitchSet(1 << pitch) } else { PitchSet(0) }
    }

    /// All pitches from the lower end to the upper, both in; none where the upper end is below the lower.
    pub fn range(range: ops::RangeInclusive<u8>) -> PitchSet {
        let (low, high) = (*range.start(), (*range.end()).min(127));
        if low > high {
            return PitchSet::EMPTY;
        }
        PitchSet((u128::MAX >> (127 - (high - low))) << low)
    }

    /// Every octave of these pitch classes.
    pub fn of_classes(classes: PitchClasses) -> PitchSet {
        // Ten octaves and eight pitches; what is shifted out lies above 127.
        let octave = u128::from(classes.bits());
        (0..11).fold(PitchSet::EMPTY, |set, at| PitchSet(set.0 | octave << (12 * at)))
    }

    pub const fn contains(self, pitch: u8) -> bool {
        pitch < 128 && self.0 >> pitch & 1 == 1
    }

    #[must_use]
    pub const fn with(self, pitch: u8) -> PitchSet {
        PitchSet(self.0 | PitchSet::of(pitch).0)
    }

    #[must_use]
    pub const fn without(self, pitch: u8) -> PitchSet {
        PitchSet(self.0 & !PitchSet::of(pitch).0)
    }

    /// `0..=128`
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The lowest pitch.
    pub fn first(self) -> Option<u8> {
        (self.0 != 0).then_some(self.0.trailing_zeros() as u8)
    }

    /// From the lowest up.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let pitch = PitchSet(left).first()?;
            left &= left - 1;
            Some(pitch)
        })
    }

    /// Whether all members are in `other` too.
    pub const fn is_subset(self, other: PitchSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// All pitches at most `semitones` away from a member, the members too.
    #[must_use]
    pub fn dilate(self, semitones: u8) -> PitchSet {
        let (mut bits, mut reached) = (self.0, 0);
        while reached < semitones.min(127) && bits != 0 {
            // A stride beyond reached + 1 would step over pitches near 0 and 127.
            let stride = (reached + 1).min(semitones.min(127) - reached);
            bits |= bits << stride | bits >> stride;
            reached += stride;
        }
        PitchSet(bits)
    }

    /// All pitches `1..=semitones` away from some member, for `semitones` up to 2; a member is in only if it is a step
    /// away from another.
    #[must_use]
    pub fn steps(self, semitones: u8) -> PitchSet {
        let by = |away: u8| self.0 << away | self.0 >> away;
        PitchSet(match semitones {
            0 => 0,
            1 => by(1),
            _ => by(1) | by(2),
        })
    }
}

impl ops::BitAnd for PitchSet {
    type Output = PitchSet;

    fn bitand(self, other: PitchSet) -> PitchSet {
        PitchSet(self.0 & other.0)
    }
}

impl ops::BitOr for PitchSet {
    type Output = PitchSet;

    fn bitor(self, other: PitchSet) -> PitchSet {
        PitchSet(self.0 | other.0)
    }
}

impl ops::BitOrAssign for PitchSet {
    fn bitor_assign(&mut self, other: PitchSet) {
        self.0 |= other.0;
    }
}

/// The complement.
impl ops::Not for PitchSet {
    type Output = PitchSet;

    fn not(self) -> PitchSet {
        PitchSet(!self.0)
    }
}

/// Numbers above 127 are left out.
impl FromIterator<u8> for PitchSet {
    fn from_iter<I: IntoIterator<Item = u8>>(pitches: I) -> PitchSet {
        pitches.into_iter().fold(PitchSet::EMPTY, PitchSet::with)
    }
}

impl fmt::Debug for PitchSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(set: PitchSet, away: std::ops::RangeInclusive<u8>) -> PitchSet {
        (0..128).filter(|pitch| set.iter().any(|it| away.contains(&it.abs_diff(*pitch)))).collect()
    }

    #[test]
    fn ranges_and_classes_hold_what_they_say() {
        for (low, high) in [(0, 127), (60, 60), (127, 127), (0, 0), (55, 79)] {
            let expected: PitchSet = (low..=high).collect();
            assert_eq!(PitchSet::range(low..=high), expected);
        }
        #[allow(clippy::reversed_empty_ranges, reason = "an empty range is what is tested")]
        let reversed = 61..=60;
        assert_eq!(PitchSet::range(reversed), PitchSet::EMPTY);
        assert_eq!(PitchSet::range(120..=255), PitchSet::range(120..=127));
        let classes: PitchClasses = [0, 7, 11].into_iter().collect();
        let expected: PitchSet = (0..128).filter(|pitch| classes.contains(*pitch)).collect();
        assert_eq!(PitchSet::of_classes(classes), expected);
        assert_eq!(PitchSet::of_classes(PitchClasses::ALL), PitchSet::ALL);
        assert_eq!((PitchSet::of(128), PitchSet::ALL.len()), (PitchSet::EMPTY, 128));
    }

    #[test]
    fn dilating_reaches_every_pitch_that_near_and_no_other() {
        for start in [&[0][..], &[127], &[60], &[1, 126], &[3, 64, 90], &[]] {
            let set: PitchSet = start.iter().copied().collect();
            for semitones in 0..=128 {
                assert_eq!(set.dilate(semitones), near(set, 0..=semitones), "{set:?} by {semitones}");
            }
            for semitones in 0..=2 {
                let away = 1..=semitones;
                assert_eq!(set.steps(semitones), near(set, away), "{set:?} by {semitones}");
            }
        }
    }

    #[test]
    fn members_come_in_order() {
        let set: PitchSet = [127, 0, 60, 60, 200].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 60, 127]);
        assert_eq!((set.len(), set.first(), set.without(0).first()), (3, Some(0), Some(60)));
        assert!(!set.contains(200) && set.contains(127) && PitchSet::of(60).is_subset(set));
        assert_eq!((!set).len(), 125);
    }
}
