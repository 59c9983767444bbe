//! What the converters of note sequences share: what they cut out, and why they found nothing.
//!
//! Each converter offers `all`, every excerpt that the models' original code would train on, and `one`, for a request
//! that means one example: nothing found, or more than one, is an error that names the rule and what to do.

use partita_score::{Second, sequence::Piece, sequence::QuantizedSequence};
use std::fmt;

/// Result of this crate's converters.
pub type Result<T, E = ConvertError> = std::result::Result<T, E>;

/// Steps in a quarter note, for every converter here.
pub const STEPS_PER_QUARTER: u32 = 4;
/// Steps in a bar, for every converter here.
pub const STEPS_PER_BAR: u32 = 16;
/// Velocity of notes made from tokens that have none.
pub const VELOCITY: u8 = 80;
/// The tempo of everything that the models' original code makes from tokens.
pub const MAGENTA_QPM: f64 = 120.0;

/// A part of a sequence as a model takes it, and where it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Excerpt<T> {
    pub value: T,
    /// Where it begins in the sequence it was cut from.
    pub start: Second,
    /// Its own tempo, in quarter notes per minute. Tokens do not hold it: give it back when making notes again.
    pub qpm: f64,
}

/// Why a sequence does not become what a model takes.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// Nothing of the kind the model plays.
    #[error("{what} must have notes, got none{hint}")]
    NoNotes { what: &'static str, hint: &'static str },
    /// A bar of another length than the models know.
    #[error("time signature must have bars of 16 sixteenths (4/4 or 2/2), got {numerator}/{denominator}")]
    Meter { numerator: u32, denominator: u32 },
    /// `pieces` above 1: changes of tempo or time signature cut it into so many.
    #[error("{what} must be at least {needs} bars long, got {has}{}", Pieces(*pieces))]
    TooShort { what: &'static str, needs: u32, has: u32, pieces: usize },
    /// More than one example where one was asked for.
    #[error("{what} must give one example of {bars} bars, got {found}: cut it to {bars} bars of one part")]
    ManyExamples { what: &'static str, bars: u32, found: usize },
    /// A melody has one note at a time.
    #[error(
        "a melody must have one note at a time, {what} at {at:.2} s: --extract-melody takes the top line"
    )]
    Polyphonic { what: &'static str, at: f64 },
    /// A drum nobody mapped.
    #[error("drum pitch must be one of the kit's, got {pitch} at {at:.2} s")]
    UnknownDrum { pitch: u8, at: f64 },
    /// A chord that is none of the four triads.
    #[error("chord must have a major, minor, augmented or diminished triad, or be N.C., got {got:?}")]
    Chord { got: String },
    /// A model that plays over chords needs them.
    #[error("the sequence must have chord symbols, got none: the model plays over chords")]
    NoChords,
    /// A player the trio misses.
    #[error(
        "a trio must have a melody (programs 0..=31), a bass (32..=39) and drums, each on an instrument of its own; got no {missing}"
    )]
    NoTrioPart { missing: &'static str },
    /// The three players are never all there for long enough.
    #[error("melody, bass and drums must play together for {needs} bars, with gaps of at most 2")]
    NotTogether { needs: u32 },
    /// An id or a row that no converter makes.
    #[error("{name} must be {allowed}, got {got}")]
    BadToken { name: &'static str, allowed: String, got: String },
    /// Changes inside the part, negative times and the like.
    #[error(transparent)]
    Sequence(#[from] partita_score::Error),
}

/// The end of [`ConvertError::TooShort`].
struct Pieces(usize);

impl fmt::Display for Pieces {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 | 1 => Ok(()),
            pieces => {
                write!(out, " between changes of tempo or time signature, which cut it into {pieces} parts")
            }
        }
    }
}

/// What a converter saw on its way through a sequence.
#[derive(Debug)]
pub(crate) struct Scan<T> {
    pub found: Vec<Excerpt<T>>,
    /// Notes of the kind that counts.
    pub notes: usize,
    /// Bars of the longest stretch of them.
    pub longest: u32,
    pub pieces: usize,
    /// The first rule that made a whole piece useless.
    pub fault: Option<ConvertError>,
}

impl<T> Default for Scan<T> {
    fn default() -> Self {
        Scan { found: Vec::new(), notes: 0, longest: 0, pieces: 0, fault: None }
    }
}

/// How a converter names itself in errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub what: &'static str,
    /// What to say when there are no such notes; begins with a separator.
    pub hint: &'static str,
    /// Bars of an example.
    pub bars: u32,
}

impl<T> Scan<T> {
    /// The grid of a piece, if all its bars have 16 steps; else the fault is kept.
    pub fn quantize(&mut self, piece: &Piece) -> Option<QuantizedSequence> {
        self.pieces += 1;
        match grid(piece) {
            Ok(quantized) => Some(quantized),
            Err(fault) => {
                // A stretch without notes breaks no rule that matters to anyone.
                if self.fault.is_none() && !piece.sequence.notes.is_empty() {
                    self.fault = Some(fault);
                }
                None
            }
        }
    }

    /// Keeps an excerpt unless the same one was found before.
    pub fn add_new(&mut self, excerpt: Excerpt<T>, seen: &mut std::collections::HashSet<T>)
    where
        T: Clone + Eq + std::hash::Hash,
    {
        if seen.insert(excerpt.value.clone()) {
            self.found.push(excerpt);
        }
    }

    /// The only excerpt, or why there is none or more.
    pub fn one(mut self, wanted: Wanted) -> Result<Excerpt<T>> {
        let Wanted { what, hint, bars } = wanted;
        if self.found.len() > 1 {
            return Err(ConvertError::ManyExamples { what, bars, found: self.found.len() });
        }
        if let Some(excerpt) = self.found.pop() {
            return Ok(excerpt);
        }
        if self.notes == 0 {
            return Err(ConvertError::NoNotes { what, hint });
        }
        Err(self.fault.unwrap_or(ConvertError::TooShort {
            what,
            needs: bars,
            has: self.longest,
            pieces: self.pieces,
        }))
    }
}

fn grid(piece: &Piece) -> Result<QuantizedSequence> {
    let quantized = piece.sequence.quantize(STEPS_PER_QUARTER)?;
    let (numerator, denominator) = (quantized.numerator, quantized.denominator);
    match quantized.steps_per_bar() {
        Some(STEPS_PER_BAR) => Ok(quantized),
        _ => Err(ConvertError::Meter { numerator, denominator }),
    }
}

/// Length of a step in seconds at a tempo.
pub(crate) fn seconds_per_step(qpm: f64) -> f64 {
    60.0 / qpm / f64::from(STEPS_PER_QUARTER)
}

/// A sequence of one tempo, as the models' original code begins one.
pub(crate) fn empty_sequence(qpm: f64) -> partita_score::NoteSequence {
    let time = Second(0.0);
    partita_score::NoteSequence {
        ticks_per_quarter: partita_score::NoteSequence::DEFAULT_TICKS_PER_QUARTER,
        tempos: vec![partita_score::sequence::Tempo { time, qpm }],
        ..partita_score::NoteSequence::default()
    }
}
