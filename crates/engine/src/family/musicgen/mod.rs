//! MusicGen: what it can be asked for and how it answers.

pub(crate) mod check;
pub(crate) mod kind;
mod model;
pub(crate) mod play;

pub use model::Model;

/// The family's name.
pub(crate) const FAMILY: &str = "musicgen";

/// What it can be asked for.
pub(crate) const VERBS: &[&str] = &["generate"];
