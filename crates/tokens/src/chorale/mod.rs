//! Four-part chorales on a grid of sixteenths: a token a voice and step, in the order soprano, alto, tenor, bass.
//!
//! ```text
//! step     |      0        |      1        | ...
//! voice    | S   A   T   B | S   A   T   B | ...
//! token    | where the voice goes: an interval from its last pitch, or a rest
//! ```
//! A token says how far the voice moves, so a chorale in another key is nearly the same sequence. What a musician would
//! look at before choosing (metre, the chord so far, what the voices just did, and what is given of the future) comes
//! beside the token as [features](Tracker::features).
//!
//! A held note and a repeated one are the same here: the published data does not tell them apart.

mod cells;
pub mod demands;
mod features;
mod given;
mod repeats;
mod tracker;
mod vocab;

pub use cells::{Cell, Step, VOICES};
pub use features::{FEATURES, FEATURES_EACH, LEFT_OUT};
pub use given::Given;
pub use repeats::Repeats;
pub use tracker::Tracker;
pub use vocab::{BEGIN, HIGHEST, LOWEST, REST, VOCAB, cell, token};

/// Name of this format; ids and features never change their meaning under it.
pub const TOKENS: &str = "chorale-1";
/// Sixteenths of a quarter.
pub const STEPS_PER_BEAT: usize = 4;
