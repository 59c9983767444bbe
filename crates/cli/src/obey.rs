//! What a melody must obey, as options.

use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::Args;
use partita_score::demands::{Demands, PitchSet, Required, RhythmGrid, StrongBeats};
use partita_score::harmony::{Key, NoteName, Progression, Scale, SyntaxError, progressions};
use partita_score::{Meter, Tick};

use crate::error::{Error, Invalid, Result};
use crate::report::CommandLine;

/// Demands on a melody; each holds for every note, always.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Obeying")]
pub struct Obeying {
    /// Key, as in "F# minor", Bb or "D dorian": no new note and no new chord outside its scale; `any` for none. C, or
    /// that of the input, if left out
    #[arg(long, value_name = "KEY|any")]
    key: Option<String>,
    /// Scale of the melody, if not the key's: "A minor pentatonic", "E blues", or notes, as in "C D Eb G"
    #[arg(long)]
    scale: Option<String>,
    /// Lowest and highest note, as in 55-79 or G3-G5; A3-A5, or about that of the input, if left out
    #[arg(long, value_name = "LOW-HIGH", value_parser = range, allow_hyphen_values = true)]
    range: Option<Pitches>,
    /// Where notes may begin: whole, half, quarter, eighth, sixteenth, quarter-triplet, eighth-triplet, mixed or free
    #[arg(long, default_value = "mixed", value_parser = grid)]
    grid: RhythmGrid,
    /// Semitones from one note to the next, at most
    #[arg(long, value_name = "SEMITONES", value_parser = leap, allow_negative_numbers = true)]
    max_leap: Option<u8>,
    /// Notes that begin in each bar, as in 2-6
    #[arg(long, value_name = "FEWEST-MOST", value_parser = counts, allow_hyphen_values = true)]
    notes_per_bar: Option<Counts>,
    /// What may begin on strong beats: free, chord tones and what is reached or left by step (licensed), or chord tones
    /// alone (strict)
    #[arg(long, default_value = "licensed", value_parser = strong_beats)]
    strong_beats: StrongBeats,
    /// Let the last note be any; else it is the tonic
    #[arg(long)]
    no_cadence: bool,
    /// Notes that may not sound, as in "F#4 61"; a name without an octave means all octaves
    #[arg(long, value_name = "NOTES")]
    forbid: Option<String>,
    /// Notes that must sound somewhere, up to 5
    #[arg(long, value_name = "NOTES")]
    require: Option<String>,
}

/// Where the harmony comes from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Harmony")]
pub struct Harmonic {
    /// Chords to play over, as in "Cm7 F7 | Bbmaj7"; one a bar without bar lines, repeated to the end
    #[arg(long, conflicts_with_all = ["progression", "mood", "no_chords"])]
    chords: Option<String>,
    /// Chords as Roman numerals, as in ii-V-I
    #[arg(long, conflicts_with_all = ["mood", "no_chords"])]
    progression: Option<String>,
    /// A progression of this mood, drawn from a library, or `charts`
    #[arg(long, conflicts_with = "no_chords")]
    mood: Option<String>,
    /// No chords at all
    #[arg(long)]
    no_chords: bool,
}

/// Pitches from low to high.
#[derive(Clone, Debug)]
pub struct Pitches(pub RangeInclusive<u8>);

/// Numbers from low to high.
#[derive(Clone, Debug)]
pub struct Counts(RangeInclusive<u32>);

impl std::fmt::Display for Pitches {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}-{}", self.0.start(), self.0.end())
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}-{}", self.0.start(), self.0.end())
    }
}

/// A MIDI pitch: a number, or a name with its octave; C4 is 60.
pub fn pitch(text: &str) -> Option<u8> {
    let text = text.trim();
    if let Ok(number) = text.parse::<u8>() {
        return (number < 128).then_some(number);
    }
    let octave = text.find(|c: char| c == '-' || c.is_ascii_digit())?;
    let name = NoteName::from_str(&text[..octave]).ok()?;
    name.pitch(text[octave..].parse().ok()?)
}

pub fn range(text: &str) -> Result<Pitches, Invalid> {
    low_high("range", text)
}

/// Pitches of the notes that are written anew.
pub fn pitches(text: &str) -> Result<Pitches, Invalid> {
    low_high("pitches", text)
}

fn low_high(field: &'static str, text: &str) -> Result<Pitches, Invalid> {
    // The first dash behind a character that is no dash, so that C-1-C4 is read too.
    let dash = text
        .char_indices()
        .skip(1)
        .find(|(at, c)| *c == '-' && text[..*at].ends_with(|c: char| c.is_ascii_digit()));
    let ends = dash.and_then(|(at, _)| pitch(&text[..at]).zip(pitch(&text[at + 1..])));
    let (low, high) = ends.filter(|(low, high)| low <= high).ok_or_else(|| Invalid {
        field,
        allowed: "low-high, as in 55-79 or G3-G5, low first".into(),
        got: format!("{text:?}"),
    })?;
    Ok(Pitches(low..=high))
}

fn counts(text: &str) -> Result<Counts, Invalid> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let ends = low.trim().parse().ok().zip(high.trim().parse().ok());
    let (low, high) =
        ends.filter(|(low, high): &(u32, u32)| low <= high && *high <= 96).ok_or_else(|| Invalid {
            field: "notes-per-bar",
            allowed: "fewest-most in 0..=96, as in 2-6".into(),
            got: format!("{text:?}"),
        })?;
    Ok(Counts(low..=high))
}

pub fn leap(text: &str) -> Result<u8, Invalid> {
    let leap = text.trim().parse().ok().filter(|leap| *leap <= 127);
    leap.ok_or_else(|| Invalid { field: "max-leap", allowed: "in 0..=127".into(), got: format!("{text:?}") })
}

fn grid(text: &str) -> Result<RhythmGrid, Invalid> {
    RhythmGrid::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = RhythmGrid::ALL.into_iter().map(RhythmGrid::name).collect();
        Invalid { field: "grid", allowed: format!("one of {}", names.join(", ")), got: format!("{text:?}") }
    })
}

fn strong_beats(text: &str) -> Result<StrongBeats, Invalid> {
    let all = [StrongBeats::Free, StrongBeats::Licensed, StrongBeats::Strict];
    all.into_iter().find(|it| it.name() == text).ok_or_else(|| Invalid {
        field: "strong-beats",
        allowed: "free, licensed or strict".into(),
        got: format!("{text:?}"),
    })
}

/// A text that could not be read, with a caret under the character at fault.
pub fn syntax(field: &'static str, error: &SyntaxError) -> Error {
    Error::usage(field, error).with(error.caret())
}

/// The most bars that are written or read at once.
pub const MOST_BARS: u32 = 64;

/// The key of an option, `None` for any; `usual` if it was left out.
///
/// # Errors
/// A text that is no key.
pub fn key(text: Option<&str>, usual: Option<Key>) -> Result<Option<Key>> {
    match text.map(str::trim) {
        None => Ok(usual),
        Some(text) if text.eq_ignore_ascii_case("any") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|error| syntax("key", &error)),
    }
}

impl Obeying {
    /// The key, `None` for any; `usual` if none was said.
    ///
    /// # Errors
    /// A text that is no key.
    pub fn key(&self, usual: Option<Key>) -> Result<Option<Key>> {
        key(self.key.as_deref(), usual)
    }

    /// Everything demanded of `bars` bars; `usual` is the range if none was said.
    ///
    /// # Errors
    /// The option that cannot be read.
    pub fn demands(
        &self,
        key: Option<Key>,
        usual: Pitches,
        meter: Meter,
        bars: u32,
        tempo: f64,
    ) -> Result<Demands> {
        let scale = match &self.scale {
            Some(text) => {
                let scale: Scale = text.parse().map_err(|error| syntax("scale", &error))?;
                Some(scale.pitch_classes())
            }
            None => key.map(Key::pitch_classes),
        };
        let mut forbidden = PitchSet::EMPTY;
        for required in notes("forbid", self.forbid.as_deref())? {
            forbidden = required.pitches().iter().fold(forbidden, |set, pitch| set | PitchSet::of(pitch));
        }
        Ok(Demands {
            scale,
            range: self.range.clone().unwrap_or(usual).0,
            forbidden,
            required: notes("require", self.require.as_deref())?,
            strong_beats: self.strong_beats,
            max_leap: self.max_leap,
            grid: self.grid,
            density: self.notes_per_bar.as_ref().map(|counts| counts.0.clone()),
            cadence: key.filter(|_| !self.no_cadence).map(|key| key.tonic.pitch_class()),
            ..Demands::new(meter, bars, tempo)
        })
    }

    /// The first demand that was made.
    pub fn given(&self) -> Option<&'static str> {
        let own = [("key", self.key.is_some()), ("range", self.range.is_some())];
        own.into_iter().chain(self.others()).find(|(_, given)| *given).map(|(field, _)| field)
    }

    /// Which demands but key and range were made.
    fn others(&self) -> [(&'static str, bool); 8] {
        [
            ("scale", self.scale.is_some()),
            ("grid", self.grid != RhythmGrid::Mixed),
            ("max-leap", self.max_leap.is_some()),
            ("notes-per-bar", self.notes_per_bar.is_some()),
            ("strong-beats", self.strong_beats != StrongBeats::Licensed),
            ("no-cadence", self.no_cadence),
            ("forbid", self.forbid.is_some()),
            ("require", self.require.is_some()),
        ]
    }

    /// Key and range, for a model that knows no other demands.
    ///
    /// # Errors
    /// A text that is no key, and any other demand.
    pub fn key_and_range(&self) -> Result<(Option<Key>, Option<Pitches>)> {
        if let Some((field, _)) = self.others().into_iter().find(|(_, given)| *given) {
            let message = format!("{field} must be left out with a GPT-2, which obeys key and range");
            return Err(Error::usage(field, message));
        }
        Ok((self.key(None)?, self.range.clone()))
    }

    /// These options, written out in full.
    pub fn echo(&self, key: Option<Key>, demands: &Demands, line: &mut CommandLine) {
        line.option("key", key.map_or_else(|| "any".to_owned(), |key| key.to_string()));
        line.maybe("scale", self.scale.as_ref());
        line.option("range", Pitches(demands.range.clone()));
        line.option("grid", self.grid.name());
        line.maybe("max-leap", self.max_leap);
        line.maybe("notes-per-bar", self.notes_per_bar.as_ref());
        line.option("strong-beats", self.strong_beats.name());
        line.flag("no-cadence", self.no_cadence);
        line.maybe("forbid", self.forbid.as_ref());
        line.maybe("require", self.require.as_ref());
    }
}

/// Notes parted by blanks or commas.
pub fn notes(field: &'static str, text: Option<&str>) -> Result<Vec<Required>> {
    let words = text.unwrap_or_default().split([' ', ',']).filter(|word| !word.is_empty());
    let note = |word: &str| {
        let class = || Some(Required::Class(NoteName::from_str(word).ok()?.pitch_class()));
        pitch(word).map(Required::Pitch).or_else(class).ok_or_else(|| {
            Error::usage(field, format!("{field} must be notes, as in \"F#4 61 Bb\", got {word:?}"))
        })
    };
    words.map(note).collect()
}

impl Harmonic {
    /// Whether there are no chords at all.
    pub fn is_none(&self) -> bool {
        self.no_chords
    }

    /// Whether chords are asked for in any way.
    pub fn is_given(&self) -> bool {
        self.chords.is_some() || self.progression.is_some() || self.mood.is_some()
    }

    /// The chords of the whole piece by cell; empty where they are not given. `random`: for a mood.
    ///
    /// # Errors
    /// Chords that cannot be read, with the place; a mood nobody tagged.
    pub fn chords(
        &self,
        key: Option<Key>,
        demands: &Demands,
        random: &mut dyn FnMut() -> f64,
    ) -> Result<Vec<(u32, Option<partita_score::harmony::Chord>)>> {
        let (meter, bars) = (demands.meter, demands.bars);
        let key = key.unwrap_or_default();
        let progression = if let Some(text) = &self.chords {
            Progression::parse_any(text, key, meter).map_err(|error| syntax("chords", &error))?
        } else if let Some(text) = &self.progression {
            Progression::parse_any(text, key, meter).map_err(|error| syntax("progression", &error))?
        } else if let Some(mood) = &self.mood {
            let source = mood.parse::<progressions::Source>().map_err(|error| Error::usage("mood", error))?;
            progressions::generate(key, source, bars, meter, random)
                .map_err(|error| Error::usage("mood", error))?
        } else {
            return Ok(Vec::new());
        };
        let whole = progression.fitted(partita_score::Beat(meter.beats_per_bar() * f64::from(bars)));
        let changes = whole.changes(Demands::PPQ).into_iter();
        Ok(changes.map(|change| (Tick(change.at.0).0, change.chord)).collect())
    }

    pub fn echo(&self, line: &mut CommandLine) {
        line.maybe("chords", self.chords.as_ref());
        line.maybe("progression", self.progression.as_ref());
        line.maybe("mood", self.mood.as_ref());
        line.flag("no-chords", self.no_chords);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitches_are_numbers_or_names_with_octaves() {
        for (text, expected) in [("60", 60), ("C4", 60), ("F#4", 66), ("Bb3", 58), ("C-1", 0), ("g5", 79)] {
            assert_eq!(pitch(text), Some(expected), "{text}");
        }
        for bad in ["128", "H4", "C", "", "C4x"] {
            assert_eq!(pitch(bad), None, "{bad}");
        }
        assert_eq!(range("G3-G5").expect("valid").0, 55..=79);
        assert_eq!(range("55-79").expect("valid").to_string(), "55-79");
        assert_eq!(range("C-1-C4").expect("valid").0, 0..=60);
        assert!(range("79-55").expect_err("wrong").to_string().contains("low first"));
    }
}
