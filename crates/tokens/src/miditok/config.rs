//! What a tokenizer is made of: the `config` of a tokenizer file, checked.
//!
//! The ids of a MidiTok tokenizer follow from these values and from the version that wrote them. A key that is not in
//! the file therefore never takes the default of another version: it is either a key that version did not know (then
//! the tokenizer behaves as that version did), or the file is refused.

use std::fmt;
use std::ops::RangeInclusive;

use super::bins::Resolution;
use super::keys::OtherKeys;
use super::{Error, Result};

/// How time and notes become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokenization {
    /// Bars and positions (REMI, and REMI+ with programs, tempos and signatures).
    Remi,
    /// Time shifts and durations.
    Tsd,
    /// Every note is a time shift, a pitch, a velocity and a duration.
    Structured,
    /// Time shifts, note-ons and note-offs.
    MidiLike,
}

impl Tokenization {
    pub const ALL: [Tokenization; 4] =
        [Tokenization::Remi, Tokenization::Tsd, Tokenization::Structured, Tokenization::MidiLike];

    /// The class name in tokenizer files.
    pub fn name(self) -> &'static str {
        match self {
            Tokenization::Remi => "REMI",
            Tokenization::Tsd => "TSD",
            Tokenization::Structured => "Structured",
            Tokenization::MidiLike => "MIDILike",
        }
    }
}

/// The version of MidiTok whose ids are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub patch: u16,
}

impl Version {
    /// What new tokenizers are: MidiTok 3.1.0.
    pub const CURRENT: Version = Version { major: 3, minor: 1, patch: 0 };

    pub(super) const fn new(major: u16, minor: u16, patch: u16) -> Version {
        Version { major, minor, patch }
    }

    /// `3.0.6.post1` is 3.0.6.
    pub fn parse(text: &str) -> Option<Version> {
        let mut parts = text.split('.');
        let mut number = || parts.next().unwrap_or("0").parse::<u16>().ok();
        Some(Version { major: number()?, minor: number()?, patch: number()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Where a trained tokenizer cuts a sequence before it merges tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    Bar,
    Beat,
    No,
}

impl Split {
    pub fn name(self) -> &'static str {
        match self {
            Split::Bar => "bar",
            Split::Beat => "beat",
            Split::No => "no",
        }
    }
}

/// A time signature; `3/8` is `{ numerator: 3, denominator: 8 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeSignature {
    pub numerator: u32,
    pub denominator: u32,
}

impl TimeSignature {
    pub const COMMON: TimeSignature = TimeSignature { numerator: 4, denominator: 4 };
}

impl fmt::Display for TimeSignature {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

/// A tokenizer's configuration, under the names of MidiTok. [`Config::check`] says what is allowed.
///
/// Programs are `0..=127`, and -1 for drums.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub tokenization: Tokenization,
    pub version: Version,
    /// Versions as the file says them; `None` for the libraries whose ids [`Version::CURRENT`] means.
    pub written_by: Option<WrittenBy>,
    /// Lowest and highest pitch; the highest is not meant itself before 3.0.6. See [`Config::pitches`].
    pub pitch_range: (u8, u8),
    pub drums_pitch_range: (u8, u8),
    pub beat_res: Vec<Resolution>,
    pub beat_res_rest: Vec<Resolution>,
    pub num_velocities: u16,
    pub special_tokens: Vec<String>,
    pub encode_ids_split: Split,
    pub use_velocities: bool,
    pub use_note_duration_programs: Vec<i16>,
    pub use_chords: bool,
    pub use_rests: bool,
    pub use_tempos: bool,
    pub use_time_signatures: bool,
    pub use_programs: bool,
    pub use_pitchdrum_tokens: bool,
    /// Beats a note lasts whose program has no duration tokens.
    pub default_note_duration: f64,
    pub programs: Vec<i16>,
    pub one_token_stream_for_programs: bool,
    pub program_changes: bool,
    /// Qualities with the semitones above the first note, in the order of the vocabulary.
    pub chord_maps: Vec<(String, Vec<i16>)>,
    pub chord_tokens_with_root_note: bool,
    /// Numbers of notes of chords without a name, from and up to but not including.
    pub chord_unknown: Option<(u16, u16)>,
    pub num_tempos: u16,
    pub tempo_range: (f64, f64),
    pub log_tempos: bool,
    pub remove_duplicated_notes: bool,
    pub delete_equal_successive_tempo_changes: bool,
    pub delete_equal_successive_time_sig_changes: bool,
    /// Denominators with their numerators, in the order of the vocabulary.
    pub time_signature_range: Vec<(u32, Vec<u32>)>,
    /// REMI ends every bar with a token of its own.
    pub use_bar_end_tokens: bool,
    /// REMI writes the bars after the last onset in which notes still sound.
    pub add_trailing_bars: bool,
    /// Keys that have no effect on ids, kept for writing.
    pub rest: OtherKeys,
}

/// Versions as a tokenizer file says them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenBy {
    pub miditok: String,
    pub symusic: Option<String>,
    pub tokenizers: Option<String>,
}

impl Config {
    /// MidiTok 3.1.0's defaults.
    pub fn new(tokenization: Tokenization) -> Config {
        let chords: [(&str, &[i16]); 14] = [
            ("min", &[0, 3, 7]),
            ("maj", &[0, 4, 7]),
            ("dim", &[0, 3, 6]),
            ("aug", &[0, 4, 8]),
            ("sus2", &[0, 2, 7]),
            ("sus4", &[0, 5, 7]),
            ("7dom", &[0, 4, 7, 10]),
            ("7min", &[0, 3, 7, 10]),
            ("7maj", &[0, 4, 7, 11]),
            ("7halfdim", &[0, 3, 6, 10]),
            ("7dim", &[0, 3, 6, 9]),
            ("7aug", &[0, 4, 8, 11]),
            ("9maj", &[0, 4, 7, 10, 14]),
            ("9min", &[0, 4, 7, 10, 13]),
        ];
        let range = |from, to, resolution| Resolution { from, to, resolution };
        let programs: Vec<i16> = (0..128).chain([-1]).collect();
        Config {
            tokenization,
            version: Version::CURRENT,
            written_by: None,
            pitch_range: (21, 109),
            drums_pitch_range: (27, 88),
            beat_res: vec![range(0, 4, 8), range(4, 12, 4)],
            beat_res_rest: vec![range(0, 1, 8), range(1, 2, 4), range(2, 12, 2)],
            num_velocities: 32,
            special_tokens: ["PAD_None", "BOS_None", "EOS_None", "MASK_None"].map(String::from).into(),
            encode_ids_split: Split::Bar,
            use_velocities: true,
            use_note_duration_programs: programs.clone(),
            use_chords: false,
            use_rests: false,
            use_tempos: false,
            use_time_signatures: tokenization != Tokenization::Structured,
            use_programs: false,
            use_pitchdrum_tokens: true,
            default_note_duration: 0.5,
            programs,
            one_token_stream_for_programs: false,
            program_changes: false,
            chord_maps: chords.map(|(name, map)| (name.into(), map.into())).into(),
            chord_tokens_with_root_note: false,
            chord_unknown: None,
            num_tempos: 32,
            tempo_range: (40.0, 250.0),
            log_tempos: false,
            remove_duplicated_notes: false,
            delete_equal_successive_tempo_changes: false,
            delete_equal_successive_time_sig_changes: false,
            time_signature_range: vec![(8, vec![3, 12, 6]), (4, vec![5, 6, 3, 2, 1, 4])],
            use_bar_end_tokens: false,
            add_trailing_bars: false,
            rest: OtherKeys::default(),
        }
    }

    /// REMI+: bars and positions of all tracks in one sequence, with programs, tempos and time signatures.
    pub fn remi_plus() -> Config {
        Config {
            use_programs: true,
            one_token_stream_for_programs: true,
            use_tempos: true,
            ..Config::new(Tokenization::Remi)
        }
    }

    /// Pitches of [`super::Token::Pitch`].
    pub fn pitches(&self) -> RangeInclusive<u8> {
        self.inclusive(self.pitch_range)
    }

    /// Pitches of [`super::Token::PitchDrum`].
    pub fn drum_pitches(&self) -> RangeInclusive<u8> {
        self.inclusive(self.drums_pitch_range)
    }

    fn inclusive(&self, (low, high): (u8, u8)) -> RangeInclusive<u8> {
        if self.version >= Version::new(3, 0, 6) { low..=high } else { low..=high.saturating_sub(1) }
    }

    /// All tracks become one sequence.
    pub fn one_stream(&self) -> bool {
        self.use_programs && self.one_token_stream_for_programs
    }

    /// Positions a beat, the finest resolution.
    pub fn positions_per_beat(&self) -> u32 {
        self.beat_res.iter().map(|range| u32::from(range.resolution)).max().unwrap_or(1)
    }

    pub fn uses_duration_of(&self, program: i16) -> bool {
        self.use_note_duration_programs.contains(&program)
    }

    /// Time signatures of the vocabulary in its order; only 4/4 when they are not used.
    pub fn time_signatures(&self) -> Vec<TimeSignature> {
        if !self.use_time_signatures {
            return vec![TimeSignature::COMMON];
        }
        let each = self.time_signature_range.iter();
        each.flat_map(|(denominator, numerators)| {
            let denominator = *denominator;
            numerators.iter().map(move |&numerator| TimeSignature { numerator, denominator })
        })
        .collect()
    }

    /// Largest denominator in use.
    pub(super) fn finest_denominator(&self) -> u32 {
        self.time_signatures().iter().map(|signature| signature.denominator).max().unwrap_or(4)
    }

    /// The order of notes in a file: by onset, pitch, duration and velocity until symusic 0.5.6, as written after.
    pub(super) fn sorts_notes(&self) -> bool {
        let symusic = self.written_by.as_ref().and_then(|by| by.symusic.as_deref()).and_then(Version::parse);
        symusic.map_or(self.version < Version::new(3, 1, 0), |version| version < Version::new(0, 5, 7))
    }

    /// What MidiTok switches off by itself, then all limits.
    ///
    /// # Errors
    /// The first value outside its range, and what this tokenizer cannot do.
    pub fn check(mut self) -> Result<Config> {
        if self.version.major != 3 {
            let text = format!("MidiTok {} is not supported, only 3.x: its rules were others", self.version);
            return Err(Error::Unsupported(text));
        }
        if self.tokenization == Tokenization::Structured {
            self.use_chords = false;
            self.use_rests = false;
            self.use_tempos = false;
            self.use_time_signatures = false;
            self.program_changes = false;
        }
        if !self.use_programs {
            self.one_token_stream_for_programs = false;
            self.program_changes = false;
        }
        super::check::check(&self)?;
        Ok(self)
    }
}
