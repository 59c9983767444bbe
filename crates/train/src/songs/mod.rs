//! Songs: lead sheets (melody and chord symbols) and art songs (voice and piano).
//!
//! Rule: what a network is asked comes from `examples.rs` and `accompaniment.rs`; `collection.rs` only says what was written down.

mod accompaniment;
mod band_evaluate;
mod band_source;
mod collection;
mod evaluate;
mod examples;
mod key;
mod piece;
mod source;
mod takes;

pub use accompaniment::{BandSampler, bass_line};
pub use band_evaluate::{BandLikelihood, band_likelihood};
pub use band_source::BandSource;
pub use collection::{Error, STYLES, Song, Songs};
pub use evaluate::{Copies, Likelihood, copies, likelihood};
pub use examples::{Sampler, covering};
pub use source::LeadSource;
pub use takes::{Takes, takes};
