//! Exact lengths: fractions of a quarter note.

/// A fraction in lowest terms; the denominator is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    above: u32,
    below: u32,
}

impl Length {
    pub const ZERO: Length = Length { above: 0, below: 1 };
    pub const ONE: Length = Length { above: 1, below: 1 };

    /// `None` for what has no 32-bit terms: nobody writes that finely.
    pub fn new(above: u64, below: u64) -> Option<Length> {
        let (mut a, mut b) = (above, below);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        let (above, below) = (above.checked_div(a)?, below.checked_div(a)?);
        let (above, below) = (u32::try_from(above).ok()?, u32::try_from(below).ok()?);
        (below > 0).then_some(Length { above, below })
    }

    pub fn times(self, other: Length) -> Option<Length> {
        let above = u64::from(self.above) * u64::from(other.above);
        Length::new(above, u64::from(self.below) * u64::from(other.below))
    }

    pub fn plus(self, other: Length) -> Option<Length> {
        let above = u64::from(self.above) * u64::from(other.below);
        let above = above.checked_add(u64::from(other.above) * u64::from(self.below))?;
        Length::new(above, u64::from(self.below) * u64::from(other.below))
    }

    pub fn value(self) -> f64 {
        f64::from(self.above) / f64::from(self.below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_stay_exact_and_refuse_to_overflow() {
        let third = Length::new(2, 6).expect("a third");
        let whole = third.plus(third).and_then(|it| it.plus(third));
        assert_eq!(whole, Some(Length::ONE));
        assert_eq!(third.times(Length::ZERO), Some(Length::ZERO));
        assert_eq!(Length::new(1, 0), None);
        let fine = Length::new(1, u64::from(u32::MAX)).expect("fits");
        assert_eq!(fine.times(fine), None);
    }
}
