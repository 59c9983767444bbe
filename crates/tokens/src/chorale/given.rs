//! What is known of a chorale before it is written.

use super::{Cell, VOICES};

/// Cells that are given in advance, and where the chorale ends if that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// A step each from the first on; none where a voice is still to be written. Steps after the last are unknown.
    pub cells: Vec<[Option<Cell>; VOICES]>,
    /// Number of steps of the whole.
    pub end: Option<usize>,
}

impl Given {
    /// Nothing is known.
    pub fn nothing() -> Given {
        Given::default()
    }

    /// The given cell of a voice.
    pub fn cell(&self, step: usize, voice: usize) -> Option<Cell> {
        self.cells.get(step).and_then(|cells| cells[voice])
    }
}
