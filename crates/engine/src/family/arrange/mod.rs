//! Accompaniments: what they can be asked for and how they answer.

mod ask;
pub(crate) mod check;
mod model;
pub(crate) mod play;

pub use model::Model;

/// `model.json` of the accompaniments inside the program.
pub(crate) const BUNDLED_CONFIG: &[u8] = include_bytes!("../../../../../weights/arrange/model.json");

/// What an arranger can be asked for.
pub(crate) const VERBS: &[&str] = &["arrange"];
