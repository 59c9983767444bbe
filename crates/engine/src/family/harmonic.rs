//! Chords that a request asks for: symbols, Roman numerals, or what goes with a mood.

use partita_models::melody::Harmony;
use partita_nn::Rng;
use partita_score::demands::Demands;
use partita_score::harmony::{Chord, Key, Progression, progressions};
use partita_score::{Beat, Meter, Tick};

use crate::Code;
use crate::request::groups::Composed;
use crate::request::problems::Problems;
use crate::request::words::{LONGEST_NAME, short, syntax};

/// A stream of the seed that no variation draws from, for what is drawn before the model writes.
pub(crate) const BEFORE: u64 = u64::MAX;
/// Longest text of chords, characters.
const LONGEST_CHORDS: usize = 2000;

/// What a request says of its chords.
#[derive(Clone, Copy, Default)]
pub(crate) struct Harmonic<'a> {
    pub no_chords: bool,
    pub chords: Option<&'a str>,
    pub progression: Option<&'a str>,
    pub mood: Option<&'a str>,
}

/// The piece that chords are made for.
pub(crate) struct Place {
    pub meter: Meter,
    /// All bars, and those of them at the start that chords of the request do not count.
    pub bars: u32,
    pub given: u32,
    pub tempo: f64,
    pub seed: u64,
}

impl<'a> Harmonic<'a> {
    pub fn of(fields: &'a Composed) -> Harmonic<'a> {
        Harmonic {
            no_chords: *fields.no_chords == Some(true),
            chords: fields.chords.as_deref(),
            progression: fields.progression.as_deref(),
            mood: fields.mood.as_deref(),
        }
    }

    /// Where the chords come from; what excludes each other is told.
    pub fn source(&self, problems: &mut Problems) -> Harmony {
        let ways = [
            ("no_chords", self.no_chords),
            ("chords", self.chords.is_some()),
            ("progression", self.progression.is_some()),
            ("mood", self.mood.is_some()),
        ];
        let mut asked = ways.into_iter().filter(|(_, is_asked)| *is_asked).map(|(field, _)| field);
        let Some(first) = asked.next() else { return Harmony::Written };
        for other in asked {
            problems.useless(other, true, format_args!("{first} says where the chords come from"));
        }
        if first == "no_chords" { Harmony::None } else { Harmony::Given }
    }

    /// The chords of the new bars, by cell of the whole piece; `None` after a problem.
    pub fn read(
        &self,
        key: Key,
        place: &Place,
        problems: &mut Problems,
    ) -> Option<Vec<(u32, Option<Chord>)>> {
        let bars = place.bars - place.given;
        let given = [("chords", self.chords), ("progression", self.progression)];
        let written = given.into_iter().find_map(|(field, given)| Some((field, given?)));
        let progression = if let Some((field, given)) = written {
            if !short(field, given, LONGEST_CHORDS, problems) {
                return None;
            }
            let read = Progression::parse_any(given, key, place.meter);
            read.map_err(|error| syntax(field, &error, problems)).ok()?
        } else {
            let mood = self.mood.unwrap_or_default();
            if !short("mood", mood, LONGEST_NAME, problems) {
                return None;
            }
            let mut rng = Rng::new(place.seed, BEFORE);
            let drawn = mood
                .parse::<progressions::Source>()
                .and_then(|source| progressions::generate(key, source, bars, place.meter, &mut || rng.f64()));
            drawn.map_err(|error| problems.say(Code::InvalidRequest, "mood", error, None)).ok()?
        };
        let whole = progression.fitted(Beat(place.meter.beats_per_bar() * f64::from(bars)));
        let start = Demands::new(place.meter, place.given, place.tempo).cells();
        let changes = whole.changes(Demands::PPQ).into_iter();
        Some(changes.map(|change| (Tick(change.at.0).0 + start, change.chord)).collect())
    }
}
