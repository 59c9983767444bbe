//! Learning: data sets, the trainable decoder, the optimiser's loop, checkpoints and evaluation.
//!
//! The trainable network is `nn`'s decoder with a hand-derived backward pass; both read the same
//! weights file and a test holds their outputs together.
#![forbid(unsafe_code)]

pub mod bench;
pub mod checkpoint;
pub mod chorales;
pub mod drums;
pub mod evaluate;
pub mod examples;
mod gpt;
pub mod groove;
mod parameters;
pub mod rolls;
mod run;
pub mod songs;
mod source;
pub mod vae;

pub use drums::DrumSource;
pub use gpt::{Example, Gpt, Gradients};
pub use groove::{Groove, Split};
pub use parameters::{Parameters, Shape};
pub use run::{Error, Point, Progress, Settings, train};
pub use source::Source;
