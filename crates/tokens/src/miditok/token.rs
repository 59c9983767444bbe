//! What a token means, and its name in MidiTok: `Pitch_60`, `TimeSig_4/4`, `Chord_C:min`.

use std::fmt;

use super::bins::{Span, tempo_from_text, tempo_text};
use super::config::{Config, TimeSignature};

/// The pitch classes in chord names.
pub(super) const PITCH_CLASSES: [&str; 12] =
    ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];

/// A token by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// Index in [`Config::special_tokens`].
    Special(u16),
    Bar,
    BarEnd,
    /// Positions from the start of the bar.
    Position(u16),
    Pitch(u8),
    PitchDrum(u8),
    NoteOn(u8),
    NoteOff(u8),
    DrumOn(u8),
    DrumOff(u8),
    Velocity(u8),
    Duration(Span),
    TimeShift(Span),
    Rest(Span),
    Chord(Chord),
    /// Hundredths of a beat a minute.
    Tempo(u32),
    /// `0..=127`, or -1 for drums.
    Program(i16),
    TimeSig(TimeSignature),
}

/// A chord that sounds from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chord {
    /// Pitch class of the first note; `None` where the tokenizer does not tell roots.
    pub root: Option<u8>,
    pub quality: Quality,
}

/// Which chord it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quality {
    /// Index in [`Config::chord_maps`].
    Named(u16),
    /// This many notes without a name.
    Unknown(u16),
}

/// A [`Token`] without its value: what a grammar asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Special,
    Bar,
    BarEnd,
    Position,
    Pitch,
    PitchDrum,
    NoteOn,
    NoteOff,
    DrumOn,
    DrumOff,
    Velocity,
    Duration,
    TimeShift,
    Rest,
    Chord,
    Tempo,
    Program,
    TimeSig,
    /// Several tokens in one, of a trained tokenizer.
    Merged,
}

impl Token {
    pub fn kind(self) -> Kind {
        match self {
            Token::Special(_) => Kind::Special,
            Token::Bar => Kind::Bar,
            Token::BarEnd => Kind::BarEnd,
            Token::Position(_) => Kind::Position,
            Token::Pitch(_) => Kind::Pitch,
            Token::PitchDrum(_) => Kind::PitchDrum,
            Token::NoteOn(_) => Kind::NoteOn,
            Token::NoteOff(_) => Kind::NoteOff,
            Token::DrumOn(_) => Kind::DrumOn,
            Token::DrumOff(_) => Kind::DrumOff,
            Token::Velocity(_) => Kind::Velocity,
            Token::Duration(_) => Kind::Duration,
            Token::TimeShift(_) => Kind::TimeShift,
            Token::Rest(_) => Kind::Rest,
            Token::Chord(_) => Kind::Chord,
            Token::Tempo(_) => Kind::Tempo,
            Token::Program(_) => Kind::Program,
            Token::TimeSig(_) => Kind::TimeSig,
        }
    }

    /// The name in vocabularies.
    pub fn name(self, config: &Config) -> String {
        match self {
            Token::Special(index) => config
                .special_tokens
                .get(usize::from(index))
                .map_or_else(String::new, |name| special_name(name)),
            Token::Bar => "Bar_None".into(),
            Token::BarEnd => "Bar_End".into(),
            Token::Position(position) => format!("Position_{position}"),
            Token::Pitch(pitch) => format!("Pitch_{pitch}"),
            Token::PitchDrum(pitch) => format!("PitchDrum_{pitch}"),
            Token::NoteOn(pitch) => format!("NoteOn_{pitch}"),
            Token::NoteOff(pitch) => format!("NoteOff_{pitch}"),
            Token::DrumOn(pitch) => format!("DrumOn_{pitch}"),
            Token::DrumOff(pitch) => format!("DrumOff_{pitch}"),
            Token::Velocity(velocity) => format!("Velocity_{velocity}"),
            Token::Duration(span) => format!("Duration_{span}"),
            Token::TimeShift(span) => format!("TimeShift_{span}"),
            Token::Rest(span) => format!("Rest_{span}"),
            Token::Chord(chord) => chord.name(config),
            Token::Tempo(tempo) => format!("Tempo_{}", tempo_text(tempo)),
            Token::Program(program) => format!("Program_{program}"),
            Token::TimeSig(signature) => format!("TimeSig_{signature}"),
        }
    }

    /// The token of a name; `None` for a name that no vocabulary of `config` can hold.
    pub fn parse(name: &str, config: &Config) -> Option<Token> {
        if let Some(index) = config.special_tokens.iter().position(|token| special_name(token) == name) {
            return Some(Token::Special(index as u16));
        }
        let (kind, value) = name.split_once('_')?;
        let pitch = || value.parse::<u8>().ok().filter(|&pitch| pitch <= 127);
        Some(match kind {
            "Bar" if value == "None" => Token::Bar,
            "Bar" if value == "End" => Token::BarEnd,
            "Position" => Token::Position(value.parse().ok()?),
            "Pitch" => Token::Pitch(pitch()?),
            "PitchDrum" => Token::PitchDrum(pitch()?),
            "NoteOn" => Token::NoteOn(pitch()?),
            "NoteOff" => Token::NoteOff(pitch()?),
            "DrumOn" => Token::DrumOn(pitch()?),
            "DrumOff" => Token::DrumOff(pitch()?),
            "Velocity" => Token::Velocity(pitch()?),
            "Duration" => Token::Duration(Span::parse(value)?),
            "TimeShift" => Token::TimeShift(Span::parse(value)?),
            "Rest" => Token::Rest(Span::parse(value)?),
            "Chord" => Token::Chord(Chord::parse(value, config)?),
            "Tempo" => Token::Tempo(tempo_from_text(value)?),
            "Program" => Token::Program(value.parse().ok().filter(|program| (-1..=127).contains(program))?),
            "TimeSig" => {
                let (numerator, denominator) = value.split_once('/')?;
                Token::TimeSig(TimeSignature {
                    numerator: numerator.parse().ok()?,
                    denominator: denominator.parse().ok()?,
                })
            }
            _ => return None,
        })
    }
}

impl Chord {
    fn name(self, config: &Config) -> String {
        let quality = match self.quality {
            Quality::Named(index) => {
                config.chord_maps.get(usize::from(index)).map_or_else(String::new, |(name, _)| name.clone())
            }
            // Without roots MidiTok's vocabulary has the bare number.
            Quality::Unknown(notes) if self.root.is_none() => notes.to_string(),
            Quality::Unknown(notes) => format!("ukn{notes}"),
        };
        match self.root {
            Some(root) => format!("Chord_{}:{quality}", PITCH_CLASSES[usize::from(root % 12)]),
            None => format!("Chord_{quality}"),
        }
    }

    fn parse(value: &str, config: &Config) -> Option<Chord> {
        let (root, quality) = match value.split_once(':') {
            Some((root, quality)) => {
                (Some(PITCH_CLASSES.iter().position(|class| *class == root)? as u8), quality)
            }
            None => (None, value),
        };
        let named = config.chord_maps.iter().position(|(name, _)| name == quality);
        let quality = match named {
            Some(index) => Quality::Named(index as u16),
            None if root.is_some() => Quality::Unknown(quality.strip_prefix("ukn")?.parse().ok()?),
            None => Quality::Unknown(quality.parse().ok()?),
        };
        Some(Chord { root, quality })
    }
}

/// The name of a special token: a kind and a value, whatever was asked for.
pub(super) fn special_name(name: &str) -> String {
    match name.rsplit_once('_') {
        None => format!("{name}_None"),
        Some((kind, value)) => format!("{}_{value}", kind.replace('_', "-")),
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
