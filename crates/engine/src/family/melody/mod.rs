//! The writer of lead sheets: what it can be asked for and how it answers.

mod ask;
pub(crate) mod check;
pub(crate) mod kind;
mod line;
pub(crate) mod mix;
mod model;
pub(crate) mod obey;
pub(crate) mod play;
mod stream;
mod tap;

pub(crate) use ask::sampling;
pub(crate) use line::Tune;
pub use model::Model;
pub(crate) use obey::key;

/// `model.json` of the writer inside the program.
pub(crate) const BUNDLED_CONFIG: &[u8] = include_bytes!("../../../../../weights/melody/model.json");

/// What a writer can be asked for.
pub(crate) const VERBS: &[&str] = &["generate", "continue", "infill", "harmonize", "song"];
