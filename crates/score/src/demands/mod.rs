//! What a melody must obey, and whether it can: demands, a plan of what can still be met, an independent verifier.
//!
//! [`Demands`] says in musicians' words what a piece must be. [`Plan::new`] answers whether any melody meets it, or
//! names the smallest contradiction; a [`Walk`] goes through the piece with a generator and knows before every note
//! what may come without making any demand unmeetable, so a generator that follows it never gets stuck.
//! [`violations`] reads a finished score and lists what it breaks; it shares the definitions with the plan (strong
//! beats, grids), not the reasoning. Networks and tokens are left to others.
//!
//! Rule to keep: times are cells, [`Demands::PPQ`] a quarter, counted from the start of the piece.

mod contradiction;
mod grid;
mod names;
mod pitch_set;
mod plan;
mod random;
mod types;
mod verify;
mod walk;

pub use contradiction::Contradiction;
pub use grid::{RhythmGrid, cells_per_bar, strong_cells};
pub use pitch_set::PitchSet;
pub use plan::Plan;
pub use random::random_demands;
pub use types::{Demand, Demands, Required, StrongBeats};
pub use verify::{Violation, violations};
pub use walk::{Misstep, Step, Walk};
