//! Token ids.
//!
//! | ids | meaning |
//! |---|---|
//! | `0..=120` | the voice sounds this far from its last pitch: id - 60 semitones |
//! | 121 | the voice rests |
//! | 122 | before the first step; never predicted |

use super::Cell;

/// Lowest and highest pitch that can be written.
pub const LOWEST: u8 = 30;
pub const HIGHEST: u8 = 90;
const UNISON: i32 = (HIGHEST - LOWEST) as i32;
pub const REST: u32 = 2 * UNISON as u32 + 1;
pub const BEGIN: u32 = REST + 1;
/// Number of ids.
pub const VOCAB: u32 = BEGIN + 1;

/// The id of `cell` for a voice that last sounded `reference`; both pitches in `LOWEST..=HIGHEST`.
pub fn token(cell: Cell, reference: u8) -> u32 {
    match cell {
        Cell::Rest => REST,
        Cell::Pitch(pitch) => (i32::from(pitch) - i32::from(reference) + UNISON) as u32,
    }
}

/// What `id` means to a voice that last sounded `reference`; none for a pitch that cannot be written.
pub fn cell(id: u32, reference: u8) -> Option<Cell> {
    if id >= REST {
        return (id == REST).then_some(Cell::Rest);
    }
    let pitch = i32::from(reference) + id as i32 - UNISON;
    (i32::from(LOWEST)..=i32::from(HIGHEST)).contains(&pitch).then_some(Cell::Pitch(pitch as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_one_id_from_every_reference() {
        for reference in LOWEST..=HIGHEST {
            let cells: Vec<Cell> = (0..VOCAB).filter_map(|id| cell(id, reference)).collect();
            assert_eq!(cells.len(), usize::from(HIGHEST - LOWEST) + 2);
            for id in 0..VOCAB {
                if let Some(cell) = cell(id, reference) {
                    assert_eq!(token(cell, reference), id);
                }
            }
        }
    }
}
