//! One folder a model family: its configuration, its network and how it turns a request into music.
//!
//! Networks see ids and tensors only; what they mean is told by `tokens` and `score`.
#![forbid(unsafe_code)]

pub mod arrange;
pub mod checkpoint;
pub mod drums;
pub mod event_rnn;
pub mod harmony;
pub mod latent;
pub mod melody;
pub mod midi_gpt;
pub mod music_vae;
pub mod musicgen;
pub mod song;
pub mod stage;
