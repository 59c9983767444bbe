//! Everything that can go wrong between a score and a sound file.

/// Errors of the audio crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sample rate is outside what the voice can render.
    #[error("sample_rate must be in {min}..={max} Hz, got {got}")]
    SampleRate { min: u32, max: u32, got: u32 },
    /// The score has no note to play.
    #[error("score must hold at least one note, got none: it would render to silence")]
    EmptyScore,
    /// The score lasts longer than one render may.
    #[error("score must last at most {max_seconds} seconds, got {got_seconds:.0}")]
    TooLong { max_seconds: u32, got_seconds: f64 },
    /// The tail asked for is not a length of time.
    #[error("tail must be in 0..={max_seconds} seconds, got {got}")]
    Tail { max_seconds: u32, got: f64 },
    /// The loudness target is out of range.
    #[error("loudness must be in -60..=0 LUFS, got {got}")]
    Loudness { got: f64 },
    /// The true-peak ceiling is out of range.
    #[error("ceiling must be in -40..=0 dBFS, got {got}")]
    Ceiling { got: f64 },
    /// Channels of different lengths, or too many, or none.
    #[error("pcm must have 1..=8 channels of equal length, got lengths {lengths:?}")]
    Channels { lengths: Vec<usize> },
    /// The audio holds nothing that can be measured.
    #[error("pcm must hold at least 400 ms of sound louder than -70 LUFS, got none")]
    Silence,
    /// Whoever asked for it wants it no more.
    #[error("rendering was stopped")]
    Stopped,
    /// No built-in kit has this name.
    #[error("kit must be one of 808, 909, acoustic, got {got:?}")]
    UnknownKit { got: String },
    /// A WAV file that breaks the format or uses a part of it that is not read.
    #[error("wav {what} must be {allowed}, got {got}")]
    Wav { what: &'static str, allowed: &'static str, got: String },
    /// More or fewer frames came than the WAV header already written says.
    #[error("wav frames must be {promised}, as the header says, got {got}")]
    WavLength { promised: usize, got: usize },
    /// Sound in a file that cannot be read: of no known kind, broken, cut off or empty.
    #[error("cannot read {name} as audio: {reason}")]
    Unreadable {
        /// What was being read.
        name: String,
        reason: String,
    },
    /// A file that holds more sound than may be decoded.
    #[error("{name} must hold at most {allowed}, got {got}")]
    TooMuch {
        /// What was being read.
        name: String,
        allowed: String,
        got: String,
    },
    /// A format cannot hold this sound.
    #[error("{format} {what} must be {allowed}, got {got}")]
    Format { format: &'static str, what: &'static str, allowed: &'static str, got: String },
    /// An encoder failed at sound it should have taken.
    #[error("cannot write {format}: {reason}")]
    Encoder { format: &'static str, reason: String },
    /// A SoundFont that breaks the format.
    #[error("soundfont {what} must be {allowed}, got {got}")]
    SoundFont { what: &'static str, allowed: &'static str, got: String },
    /// Reading or writing failed.
    #[error("cannot {action} {name}: {source}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// What was being read or written.
        name: String,
        source: std::io::Error,
    },
}
