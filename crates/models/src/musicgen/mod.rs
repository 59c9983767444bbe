//! MusicGen: text, and where asked a melody or the beginning of a piece, to audio.
//!
//! ```text
//! prompt -> tokens -> T5 -> projection -> conditioning rows        text.rs
//! conditioning rows -> columns of codes, one a step                lm.rs, decoder.rs, pattern.rs, stage.rs
//! frames of codes -> samples, while later ones are generated       voices.rs, codec
//! clips of several requests in one stage                            shared.rs
//! ```
//! Checkpoints are read as they are published (`config.json`, `tokenizer.json`, `*.safetensors` or `*.bin`).
//! `cache.rs` keeps the packed language model beside them, so that later starts need not pack again.
//!
//! Source: Copet et al. 2023, "Simple and Controllable Music Generation"; sizes and names of the published files.

pub mod bench;
mod cache;
pub mod check;
pub mod codec;
mod config;
mod decoder;
mod error;
mod generate;
mod lm;
pub mod melody;
pub mod memory;
mod model;
mod packed;
mod parts;
mod pattern;
mod positions;
mod prompt;
mod shared;
mod stage;
mod text;
mod voices;

pub use cache::CacheUse;
pub use codec::{Codec, CodecConfig, CodecEncoder, CodecStream};
pub use config::{Config, LmConfig, TextConfig};
pub use decoder::{BranchId, Decoder};
pub use error::Error;
pub use generate::{Audio, Generate, MOST_CHARACTERS, Prepared, Progress, check_words};
pub use lm::Lm;
pub use model::{MusicGen, Precisions, Section};
pub use pattern::Pattern;
pub use prompt::Words;
pub use shared::{Counts, Shared, SharedLoop, share};
pub use stage::{Clip, Condition, Frames, Stage};
pub use text::TextEncoder;
