//! What a voice does in a sixteenth.

/// Soprano, alto, tenor, bass.
pub const VOICES: usize = 4;

/// A voice in one sixteenth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cell {
    Rest,
    /// In `LOWEST..=HIGHEST` of this format.
    Pitch(u8),
}

/// All voices in one sixteenth, from the top.
pub type Step = [Cell; VOICES];

impl Cell {
    pub fn pitch(self) -> Option<u8> {
        match self {
            Cell::Rest => None,
            Cell::Pitch(pitch) => Some(pitch),
        }
    }
}
