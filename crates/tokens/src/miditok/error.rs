//! Everything that can go wrong with a MidiTok tokenizer, as one enum.

use std::path::PathBuf;

/// What went wrong, what was allowed and what came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that can't be read or written.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// JSON that is no tokenizer file.
    #[error("tokenizer.json: {0}")]
    Json(String),
    /// A value outside what a tokenizer can have.
    #[error("tokenizer.json: {field} must be {allowed}, got {got}")]
    Value { field: String, allowed: String, got: String },
    /// A key that this version's files always have; another version's default would change the ids.
    #[error("tokenizer.json: {field} is missing, and files of MidiTok {version} always say it")]
    Missing { field: &'static str, version: String },
    /// Something MidiTok can do and this tokenizer can't.
    #[error("tokenizer.json: {0}")]
    Unsupported(String),
    /// A vocabulary that does not belong to the configuration.
    #[error("vocabulary: {0}")]
    Vocabulary(String),
    /// The merges of a trained tokenizer.
    #[error("_model in tokenizer.json: {0}")]
    Model(String),
    /// A MIDI file that can't be read.
    #[error(transparent)]
    Midi(#[from] partita_score::Error),
    /// Ticks must count in quarters.
    #[error("midi file must count in ticks a quarter, got ticks a second (smpte)")]
    Smpte,
    /// The piece needs a token that the vocabulary lacks.
    #[error("token {0} is needed but not in the vocabulary")]
    NoToken(String),
    /// An id outside the vocabulary.
    #[error("token ids must be in 0..{size}, got {id} at {at} of sequence {sequence}")]
    Id { id: u32, size: usize, sequence: usize, at: usize },
    /// Numbers of sequences, programs and so on that do not fit together.
    #[error("{what} must be {allowed}, got {got}")]
    Shape { what: &'static str, allowed: String, got: String },
    /// A time signature that the tokenizer's grid can't count by.
    #[error("{0}/{1} has no whole number of ticks on the tokenizer's grid")]
    Grid(u32, u32),
    /// Silence of years, or a file made to fill the memory.
    #[error("a sequence may have {most} tokens at most, this one has more")]
    TooLong { most: usize },
    /// Demands on generated sequences that contradict each other or the vocabulary.
    #[error("{0}")]
    Demand(String),
    /// A token that may not follow.
    #[error("token {0} may not follow here")]
    NotAllowed(u32),
}

/// Result of this module's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(super) fn value(
        field: impl Into<String>,
        allowed: impl Into<String>,
        got: impl std::fmt::Display,
    ) -> Error {
        Error::Value { field: field.into(), allowed: allowed.into(), got: got.to_string() }
    }
}
