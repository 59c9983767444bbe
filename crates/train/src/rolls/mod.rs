//! Piano rolls of 88 keys, frame by frame: the joint likelihood of Table A. Made for measuring, not for playing.
//!
//! A frame is its pitches from the lowest up and then an end. A token is the interval from the note below, and for the
//! lowest from the lowest of the frame before. Probability that falls on what cannot follow (a note below the last, a
//! key that no piano has) is lost, so the measured likelihood is at most the true one.

mod data;
mod evaluate;
mod features;
mod source;

pub use data::{Error, Frame, Roll, Rolls};
pub use evaluate::{TableA, best, table_a};
pub use source::{RollSource, windows};
