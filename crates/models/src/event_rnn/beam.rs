//! Beam search: several sequences of a variation are continued, and those that turned out most likely go on.
//!
//! Not the search of translation: continuations are drawn, not enumerated. Every `steps` events the `size` best
//! sequences are kept, and each goes on in `branches` ways.

use super::Error;
use super::play::Branch;

/// With 1 everywhere there is one draw an event and nothing is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beam {
    /// Sequences that are kept, 1..=64.
    pub size: usize,
    /// Ways in which each of them goes on, 1..=64.
    pub branches: usize,
    /// Events between two choices, 1 and more.
    pub steps: usize,
}

impl Default for Beam {
    fn default() -> Beam {
        Beam { size: 1, branches: 1, steps: 1 }
    }
}

impl Beam {
    pub(super) fn check(&self) -> Result<(), Error> {
        for (field, got, most) in [
            ("beam size", self.size, 64),
            ("beam branches", self.branches, 64),
            ("beam steps", self.steps, super::MOST_EVENTS),
        ] {
            if !(1..=most).contains(&got) {
                return Err(Error::range(field, format!("1..={most}"), got));
            }
        }
        if self.size * self.branches > 1024 {
            return Err(Error::range("beam size times branches", "1..=1024", self.size * self.branches));
        }
        Ok(())
    }
}

/// Rows of the `size` most likely sequences of each variation, and the variations; of equal ones the first. Sequences
/// of a variation are side by side.
pub(super) fn best<E>(branches: &[Branch<E>], size: usize) -> Vec<(usize, usize)> {
    let (mut kept, mut first) = (Vec::new(), 0);
    for together in branches.chunk_by(|a, b| a.variation == b.variation) {
        let mut rows: Vec<usize> = (first..first + together.len()).collect();
        rows.sort_by(|&a, &b| branches[b].score.total_cmp(&branches[a].score));
        kept.extend(rows.into_iter().take(size).map(|row| (row, together[0].variation)));
        first += together.len();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_likely_of_each_variation_are_kept() {
        let scores = [(-3.0, 0), (-1.0, 0), (-1.0, 0), (-9.0, 1), (-8.0, 1), (-0.5, 1)];
        let branches: Vec<Branch<u8>> = scores
            .iter()
            .map(|&(score, variation)| Branch { events: Vec::new(), score, variation })
            .collect();
        assert_eq!(best(&branches, 2), [(1, 0), (2, 0), (5, 1), (4, 1)]);
        assert_eq!(best(&branches, 1), [(1, 0), (5, 1)]);
    }
}
