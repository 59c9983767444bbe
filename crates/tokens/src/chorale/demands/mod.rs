//! What a user demands of a chorale, and which pitches it leaves.
//!
//! Every demand bounds one cell, or two by an order or a distance: no voice below the next, no leap wider than so much,
//! the same pitch until the end. Such constraints have a pleasant property: the highest pitches that are left, taken
//! together, obey all of them. So once nothing more can be crossed out (arc consistency) and no cell is empty, the rest
//! can be written, and a pitch may be chosen if that is still so with it alone in its cell. No choice ends in a dead end.
//!
//! Source: Jeavons and Cooper 1995, "Tractable constraints on ordered domains" (max-closed constraints).

mod grid;
mod resolve;

pub use resolve::Choices;

use std::ops::RangeInclusive;

use super::{Cell, VOICES};

/// Longest chorale, in steps.
pub const MAX_STEPS: usize = 650;

/// Demands on the cells that are not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Lowest and highest pitch of each voice, soprano first. Given notes must keep to them where they are told.
    pub ranges: [Option<RangeInclusive<u8>>; VOICES],
    /// Whether a voice may sound below the next one.
    pub crossing: bool,
    /// Bit c: pitch class c may sound.
    pub scale: Option<u16>,
    /// Pitches that may not sound.
    pub forbidden: Vec<u8>,
    /// Widest interval from note to note, in semitones, of each voice. Two given notes may leap as they like.
    pub leaps: [Option<u8>; VOICES],
    pub cadence: Option<Cadence>,
}

/// How the last chord sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// Pitch class of the bass.
    pub tonic: u8,
    /// Steps for which all voices stay, at least 1.
    pub steps: usize,
}

/// Ranges of a choir's voices: what the training chorales use, a few notes aside.
pub const RANGES: [RangeInclusive<u8>; VOICES] = [60..=81, 53..=74, 48..=69, 36..=64];

impl Default for Demands {
    /// No crossing, in [`RANGES`].
    fn default() -> Demands {
        Demands {
            ranges: [const { None }; VOICES],
            crossing: false,
            scale: None,
            forbidden: vec![],
            leaps: [None; VOICES],
            cadence: None,
        }
    }
}

/// A kind of demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Demand {
    Range,
    Scale,
    Forbidden,
    Cadence,
    Crossing,
    Leap,
}

impl Demand {
    const ALL: [Demand; 6] =
        [Demand::Range, Demand::Scale, Demand::Forbidden, Demand::Cadence, Demand::Crossing, Demand::Leap];

    pub fn name(self) -> &'static str {
        match self {
            Demand::Range => "range",
            Demand::Scale => "scale",
            Demand::Forbidden => "forbidden pitches",
            Demand::Cadence => "cadence",
            Demand::Crossing => "no crossing of voices",
            Demand::Leap => "widest leap",
        }
    }
}

/// Names of the voices in messages.
pub const VOICE_NAMES: [&str; VOICES] = ["soprano", "alto", "tenor", "bass"];

/// What cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{field} must be {allowed}, got {got}")]
    Range { field: String, allowed: String, got: String },
    /// The fewest demands that contradict each other or the given notes.
    #[error("{} in step {step} ({voice})", conflict(demands, *given))]
    Contradiction {
        demands: Vec<Demand>,
        /// Whether they leave nothing only beside the given notes.
        given: bool,
        step: usize,
        voice: &'static str,
    },
}

fn conflict(demands: &[Demand], given: bool) -> String {
    let mut names: Vec<&str> = demands.iter().map(|demand| demand.name()).collect();
    if given {
        names.push("the given notes");
    }
    match names.as_slice() {
        [one] => format!("{one} must leave a pitch, got none"),
        [head @ .., last] => format!("{} and {last} must leave a pitch, got none", head.join(", ")),
        [] => "something must be possible, got nothing".into(),
    }
}

impl Demands {
    /// Checks each demand by itself, for `steps` steps.
    ///
    /// # Errors
    /// [`Error::Range`] naming the first that is out of range.
    pub fn check(&self, steps: usize) -> Result<(), Error> {
        let error = |field: &str, allowed: &str, got: String| {
            Err(Error::Range { field: field.into(), allowed: allowed.into(), got })
        };
        for (range, name) in self.ranges.iter().zip(VOICE_NAMES) {
            let Some(range) = range else { continue };
            if range.is_empty() || *range.start() < super::LOWEST || *range.end() > super::HIGHEST {
                let allowed = format!("a range in {}..={}", super::LOWEST, super::HIGHEST);
                return error(&format!("range of the {name}"), &allowed, format!("{range:?}"));
            }
        }
        if let Some(scale) = self.scale.filter(|scale| scale & 0xfff == 0 || scale >> 12 != 0) {
            return error("scale", "some of 12 pitch classes", format!("{scale:#b}"));
        }
        if let Some(got) = self.leaps.iter().flatten().find(|leap| !(1..=60).contains(*leap)) {
            return error("widest leap", "in 1..=60 semitones", got.to_string());
        }
        if let Some(Cadence { tonic, steps: hold }) = self.cadence {
            if tonic >= 12 {
                return error("tonic", "in 0..=11", tonic.to_string());
            }
            if !(1..=steps).contains(&hold) {
                return error("steps of the cadence", &format!("in 1..={steps}"), hold.to_string());
            }
        }
        Ok(())
    }
}

/// The pitch a cell asks for.
fn sounding(cell: Option<Cell>) -> bool {
    !matches!(cell, Some(Cell::Rest))
}
