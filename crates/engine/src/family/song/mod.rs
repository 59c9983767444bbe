//! Songs: a writer, a drummer and an arranger play together.

pub(crate) mod check;
mod model;
pub(crate) mod play;

pub use model::Model;
