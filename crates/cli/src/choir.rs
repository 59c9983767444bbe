//! What four voices must obey, as options.

use std::str::FromStr;

use clap::Args;
use partita_models::harmony::VOICES;
use partita_models::harmony::demands::{Demands, VOICE_NAMES};
use partita_score::harmony::{Key, PitchClasses, Scale};

use crate::error::{Invalid, Result};
use crate::obey::{self, Pitches};
use crate::report::CommandLine;

/// Demands on every new note of every voice.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Obeying")]
pub struct Voices {
    /// Key, as in "G minor": no new note outside its scale, and an end on its tonic; `any` for none. C for a new
    /// chorale, any with an input, if left out
    #[arg(long, value_name = "KEY|any")]
    key: Option<String>,
    /// Scale, if not the key's: "A harmonic minor", or notes, as in "C D Eb G"
    #[arg(long)]
    scale: Option<String>,
    /// Lowest and highest note of the soprano, as in 60-79 or C4-G5
    #[arg(long, value_name = "LOW-HIGH", value_parser = obey::range, allow_hyphen_values = true)]
    soprano: Option<Pitches>,
    #[arg(long, value_name = "LOW-HIGH", value_parser = obey::range, allow_hyphen_values = true)]
    alto: Option<Pitches>,
    #[arg(long, value_name = "LOW-HIGH", value_parser = obey::range, allow_hyphen_values = true)]
    tenor: Option<Pitches>,
    #[arg(long, value_name = "LOW-HIGH", value_parser = obey::range, allow_hyphen_values = true)]
    bass: Option<Pitches>,
    /// Semitones from one note of a voice to its next, at most
    #[arg(long, value_name = "SEMITONES", value_parser = obey::leap, allow_negative_numbers = true)]
    max_leap: Option<u8>,
    /// Notes that may not sound, as in "F#4 61"; a name without an octave means all octaves
    #[arg(long, value_name = "NOTES")]
    forbid: Option<String>,
    /// Let a voice sound below the next one
    #[arg(long)]
    crossing: bool,
    /// Let it end anywhere; else the last bass note is the tonic
    #[arg(long)]
    no_cadence: bool,
}

/// A voice by its name: 0 for the soprano.
pub fn voice(text: &str) -> Result<usize, Invalid> {
    VOICE_NAMES.iter().position(|name| name.eq_ignore_ascii_case(text.trim())).ok_or_else(|| Invalid {
        field: "voice",
        allowed: format!("one of {}", VOICE_NAMES.join(", ")),
        got: format!("{text:?}"),
    })
}

impl Voices {
    /// The key, `None` for any; `usual` if none was said.
    ///
    /// # Errors
    /// A text that is no key.
    pub fn key(&self, usual: Option<Key>) -> Result<Option<Key>> {
        obey::key(self.key.as_deref(), usual)
    }

    /// Whether the end is to be on the tonic.
    pub fn has_cadence(&self) -> bool {
        !self.no_cadence
    }

    fn ranges(&self) -> [Option<&Pitches>; VOICES] {
        [self.soprano.as_ref(), self.alto.as_ref(), self.tenor.as_ref(), self.bass.as_ref()]
    }

    /// Everything demanded but the end.
    ///
    /// # Errors
    /// The option that cannot be read.
    pub fn demands(&self, key: Option<Key>) -> Result<Demands> {
        let scale = match &self.scale {
            Some(text) => {
                let scale = Scale::from_str(text).map_err(|error| obey::syntax("scale", &error))?;
                Some(scale.pitch_classes())
            }
            None => key.map(Key::pitch_classes),
        };
        let bits = |classes: PitchClasses| classes.iter().fold(0, |bits: u16, class| bits | 1 << class);
        let forbidden = obey::notes("forbid", self.forbid.as_deref())?;
        Ok(Demands {
            ranges: self.ranges().map(|range| range.map(|range| range.0.clone())),
            crossing: self.crossing,
            scale: scale.map(bits),
            forbidden: forbidden.into_iter().flat_map(|it| it.pitches().iter().collect::<Vec<_>>()).collect(),
            leaps: [self.max_leap; VOICES],
            cadence: None,
        })
    }

    /// These options, written out in full.
    pub fn echo(&self, key: Option<Key>, line: &mut CommandLine) {
        line.option("key", key.map_or_else(|| "any".to_owned(), |key| key.to_string()));
        line.maybe("scale", self.scale.as_ref());
        for (name, range) in VOICE_NAMES.into_iter().zip(self.ranges()) {
            line.maybe(name, range);
        }
        line.maybe("max-leap", self.max_leap);
        line.maybe("forbid", self.forbid.as_ref());
        line.flag("crossing", self.crossing);
        line.flag("no-cadence", self.no_cadence);
    }
}
