//! From a score to sound, and sound in files: built-in drum kits and tone voices, SoundFonts, loudness; WAV, FLAC and
//! Opus written, WAV, FLAC, MP3 and Vorbis read; other sample rates.
//!
//! [`render`] makes sound of a score; everything it needs is inside the crate, so a WAV comes out with no download.
//! [`read_audio`] takes sound from a file. Playing through a sound card is left to others.
//!
//! Rule: the same score and options give the same samples on every machine. Sound is made with
//! the crate's own noise and its own sine and exponential, never with the platform's libm.
//! A SoundFont is an exception: `rustysynth` calls the platform's maths. So do the decoders of MP3 and Vorbis and, for how
//! a FLAC is packed, not for its samples, its encoder. An Opus file is the same on every machine of one architecture.
//!
//! ```
//! use partita_audio::{RenderOptions, WavFormat, render, write_wav};
//! use partita_score::{Note, Score, Tick, Track};
//!
//! let kick = Note { onset: Tick(0), end: Tick(100), pitch: 36, velocity: 100 };
//! let drums = Track { channel: 9, notes: vec![kick], ..Track::default() };
//! let score = Score { tracks: vec![drums], ..Score::default() };
//!
//! let pcm = render(&score, &RenderOptions::default())?;
//! let mut file = Vec::new();
//! write_wav(&mut file, &pcm, WavFormat::Int16)?;
//! assert_eq!(&file[..4], b"RIFF");
//! # Ok::<(), partita_audio::Error>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod flac;
mod limiter;
pub mod loudness;
mod math;
mod noise;
mod opus;
mod pcm;
mod quantize;
mod read;
mod render;
mod resample;
pub mod soundfont;
mod stems;
mod stop;
pub mod synth;
pub mod wav;

pub use error::Error;
pub use flac::{flac_bytes, flac_bytes_until};
pub use loudness::{integrated_loudness, normalize, true_peak};
pub use opus::{opus_bytes, opus_bytes_until};
pub use pcm::Pcm;
pub use read::{Limits, read_audio, read_audio_file};
pub use render::{CEILING_DBFS, MAX_SECONDS, MAX_TAIL, RenderOptions, Voice, render, render_until};
pub use resample::resample;
pub use soundfont::SoundFont;
pub use stems::Stems;
pub use synth::Kit;
pub use wav::{WavFormat, WavWriter, read_wav, write_wav};
