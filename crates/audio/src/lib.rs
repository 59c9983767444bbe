//! From a score to sound: built-in drum kits and tone voices, SoundFonts, loudness, WAV.
//!
//! [`render`] is the way in; everything it needs is inside the crate, so a WAV comes out with no download.
//! Playing through a sound card and compressed formats are left to others.
//!
//! Rule: the same score and options give the same samples on every machine. Sound is made with
//! the crate's own noise and its own sine and exponential, never with the platform's libm.
//! A SoundFont is the exception: `rustysynth` calls the platform's maths.
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
mod limiter;
pub mod loudness;
mod math;
mod noise;
mod pcm;
mod render;
pub mod soundfont;
mod stop;
pub mod synth;
pub mod wav;

pub use error::Error;
pub use loudness::{integrated_loudness, normalize, true_peak};
pub use pcm::Pcm;
pub use render::{CEILING_DBFS, MAX_SECONDS, MAX_TAIL, RenderOptions, Voice, render, render_until};
pub use soundfont::SoundFont;
pub use synth::Kit;
pub use wav::{WavFormat, read_wav, write_wav};
