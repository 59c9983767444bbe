//! The drummer: what it can be asked for and how it answers.

pub(crate) mod check;
pub(crate) mod kind;
mod model;
pub(crate) mod play;
mod stream;

pub use model::Model;

/// `model.json` of the drummer inside the program.
pub(crate) const BUNDLED_CONFIG: &[u8] = include_bytes!("../../../../../weights/drums/model.json");

/// What a drummer can be asked for.
pub(crate) const VERBS: &[&str] = &["generate", "continue", "infill", "humanize"];
