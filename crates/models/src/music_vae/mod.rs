//! MusicVAE and GrooVAE: bars to a point in a latent space, and points back to bars.
//!
//! ```text
//! steps -> bidirectional LSTMs -> mu, sigma                          encoder.rs
//! z -> state -> LSTMs -> outputs -> a step, which is fed back        flat.rs, head.rs
//! 16 bars: z -> conductor -> a vector a bar -> the same for each     decoder.rs
//! ```
//! Checkpoints are read as Magenta published them: names and layouts are theirs, and every size comes from the shapes
//! of the tensors (`config.rs`). What a step means, notes or drums, is known elsewhere: ids and rows go in and out
//! (`sequence.rs`). What can be done with points is in [`latent`].
//!
//! Source: Roberts et al. 2018, "A Hierarchical Latent Vector Model for Learning Long-Term Structure in Music";
//! Gillick et al. 2019, "Learning to Groove with Inverse Sequence Transformations"; magenta 2.1.4.

pub mod bench;
mod config;
mod decoder;
mod encoder;
mod error;
mod flat;
mod head;
pub mod latent;
mod model;
mod sequence;
mod teacher;

pub use config::{Config, Head, Segments};
pub use encoder::{Input, Posterior};
pub use error::Error;
pub use model::{Decode, MusicVae, Progress};
pub use sequence::Sequence;
pub use teacher::{Taught, Teacher};
