//! Four voices: what they can be asked for and how they answer.

mod ask;
pub(crate) mod check;
mod model;
pub(crate) mod play;

pub use model::Model;

/// `model.json` of the chorales inside the program.
pub(crate) const BUNDLED_CONFIG: &[u8] = include_bytes!("../../../../../weights/chorale/model.json");

/// What four voices can be asked for.
pub(crate) const VERBS: &[&str] = &["generate", "infill", "harmonize"];
