//! Lead sheets: a melody with chords.

mod config;

pub use config::MelodyConfig;
