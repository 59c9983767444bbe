//! Everything that can go wrong in this crate, as one enum.

use crate::{Meter, Tick, harmony::SyntaxError};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, what was allowed and what came.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A time signature that can't be read or isn't allowed here.
    #[error("meter must be numerator/denominator with 1..=32 over 1, 2, 4, 8 or 16, got {got}")]
    BadMeter { got: String },
    /// A drum lane nobody knows; `hint` is empty or ", did you mean ...?".
    #[error("drum lane must be one of {allowed}, got {got}{hint}")]
    UnknownDrum { got: String, allowed: &'static str, hint: String },
    /// Bytes that are no MIDI file at all.
    #[error("not a MIDI file: {0}")]
    NotMidi(&'static str),
    /// A header field with a value nothing can be made of.
    #[error("midi header at byte {at}: {message}")]
    MidiHeader { at: usize, message: String },
    /// A damaged track; `track` counts from 1, `at` is the byte position in the input.
    #[error("track {track} at byte {at}: {message}")]
    MidiTrack { track: usize, at: usize, message: &'static str },
    /// Nothing to quantize.
    #[error(
        "score has no drum notes: drums are channel 9 (10 when counted from 1), {unmapped} notes there have no drum class"
    )]
    NoDrums { unmapped: usize },
    /// A drum pattern has one metre.
    #[error("meter must not change inside a drum pattern: {from} becomes {to} at tick {}, bar {bar}", at.0)]
    MixedMeter { from: Meter, to: Meter, at: Tick, bar: u32 },
    /// The metre has no whole number of sixteenths, or is not one drums are written in.
    #[error("meter of a drum pattern must have denominator 2, 4, 8 or 16 and numerator 1..=32, got {got}")]
    DrumMeter { got: Meter },
    /// More bars than a pattern may have.
    #[error("bars must be in 1..={max}, got {got}")]
    TooManyBars { max: u32, got: u64 },
    /// A number outside its range.
    #[error("{name} must be in [{min}, {max}], got {got}")]
    OutOfRange { name: &'static str, min: f64, max: f64, got: f64 },
    /// A sequence on one grid has one tempo.
    #[error("tempo must not change inside the part used: {from} bpm becomes {to} bpm at {at} s")]
    TempoChange { from: f64, to: f64, at: f64 },
    /// A sequence on one grid has one time signature; numerators and denominators.
    #[error(
        "time signature must not change inside the part used: {}/{} becomes {}/{} at {at} s",
        from.0, from.1, to.0, to.1
    )]
    MeterChange { from: (u32, u32), to: (u32, u32), at: f64 },
    /// A time signature no bar can be counted by.
    #[error(
        "time signature must have a power of two below and at least 1 above, got {numerator}/{denominator}"
    )]
    BadTimeSignature { numerator: u32, denominator: u32 },
    /// A grid starts at 0.
    #[error("times must not be negative, got {got} s")]
    NegativeTime { got: f64 },
    /// A grid has an end too.
    #[error("a sequence must end within {max} steps, got a time of {at} s")]
    TooManySteps { max: u32, at: f64 },
    /// JSON that is no note sequence.
    #[error("note sequence: {0}")]
    SequenceJson(String),
    /// Music that cannot be written down.
    #[error("notation: {0}")]
    Notation(String),
    /// A file that is no MusicXML.
    #[error("musicxml: {0}")]
    MusicXml(String),
    /// A text that is no ABC tune; `line` counts from 1.
    #[error("abc, line {line}: {message}")]
    Abc { line: usize, message: String },
    /// JSON that is no list of notes.
    #[error("json notes: {0}")]
    NotesJson(String),
    /// A file that no reader knows, or the name of a format that there is not.
    #[error("format must be midi, musicxml, mxl, abc, notes or notesequence, got {got}")]
    UnknownFormat { got: String },
    /// Patterns that can't be joined or cut as asked.
    #[error("{0}")]
    Pattern(String),
    /// A key, scale, chord symbol or progression that can't be read.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A mood nobody tagged; `hint` is empty or ", did you mean ...?".
    #[error("mood must be one of {allowed}, got {got}{hint}")]
    UnknownMood { got: String, allowed: String, hint: String },
    /// A drawing that can't be made.
    #[error("picture: {0}")]
    Picture(String),
}
