//! From the fields of a request to what a melody must obey, and from what is wrong with that to fields.

use partita_models::melody::{Error, Harmony, Heard};
use partita_score::demands::{Contradiction, Demand, Demands, RhythmGrid, StrongBeats};
use partita_score::harmony::{Key, Scale};

use super::line::usual_range;
use crate::Code;
use crate::family::harmonic::{Harmonic, Place};
use crate::request::fields::one_of;
use crate::request::groups::Composed;
use crate::request::problems::{Problems, text};
use crate::request::words::{self, MOST_NOTES, notes, parsed, pitches};

/// Pitches when none are asked for.
const USUAL_RANGE: [u8; 2] = [57, 81];
/// What was read.
pub(crate) struct Obeyed {
    pub key: Option<Key>,
    pub demands: Demands,
    pub harmony: Harmony,
}

/// Fills in what holds when it is left out. What follows from given music is not told here: the file may be elsewhere.
pub(crate) fn fill_in(fields: &mut Composed, has_music: bool) {
    if !has_music {
        fields.key.get_or_insert_with(|| "C".to_owned());
        fields.range.get_or_insert(USUAL_RANGE);
    }
    fields.grid.get_or_insert_with(|| RhythmGrid::Mixed.name().to_owned());
    fields.strong_beats.get_or_insert_with(|| StrongBeats::Licensed.name().to_owned());
    fields.cadence.get_or_insert(true);
    fields.repetition_penalty.get_or_insert(1.0);
}

/// Reads all fields; `None` after a problem. `heard`: the music that is given.
pub(crate) fn read(
    fields: &Composed,
    heard: Option<&Heard>,
    place: &Place,
    problems: &mut Problems,
) -> Option<Obeyed> {
    let found = problems.count();
    let key = key(fields.key.as_deref(), heard, problems);
    let scale = fields.scale.as_deref().and_then(|given| parsed::<Scale>("scale", given, problems));
    let grids = || RhythmGrid::ALL.map(RhythmGrid::name);
    let grid =
        named("grid", fields.grid.as_deref(), RhythmGrid::Mixed, RhythmGrid::from_name, &grids(), problems);
    let levels = [StrongBeats::Free, StrongBeats::Licensed, StrongBeats::Strict];
    let level = |name: &str| levels.into_iter().find(|level| level.name() == name);
    let names = levels.map(StrongBeats::name);
    let asked = fields.strong_beats.as_deref();
    let strong_beats = named("strong_beats", asked, StrongBeats::Licensed, level, &names, problems);
    let [low, high] = fields.range.unwrap_or_else(|| heard.map_or(USUAL_RANGE, usual_range));
    if low > high || high > 127 {
        problems.add("range", "lowest and highest in 0..=127, lowest first", format_args!("[{low}, {high}]"));
    }
    problems.whole("max_leap", 0..=127, *fields.max_leap);
    if let Some([fewest, most]) = fields.notes_per_bar.filter(|[fewest, most]| fewest > most || *most > 96) {
        let allowed = "fewest and most in 0..=96, fewest first";
        problems.add("notes_per_bar", allowed, format_args!("[{fewest}, {most}]"));
    }
    let penalty = |penalty: f64| (1.0..=2.0).contains(&penalty);
    problems.real("repetition_penalty", "[1, 2]", penalty, *fields.repetition_penalty);
    let forbidden = notes("forbid", fields.forbid.as_deref(), MOST_NOTES, problems);
    let required = notes("require", fields.require.as_deref(), Demands::MOST_REQUIRED, problems);
    let harmonic = Harmonic::of(fields);
    let harmony = harmonic.source(problems);
    if problems.count() > found {
        return None;
    }
    let cadence = key.filter(|_| *fields.cadence != Some(false)).map(|key| key.tonic.pitch_class());
    let mut demands = Demands {
        scale: scale.map(|scale| scale.pitch_classes()).or(key.map(Key::pitch_classes)),
        range: low..=high,
        forbidden: pitches(&forbidden),
        required,
        strong_beats,
        max_leap: *fields.max_leap,
        grid,
        density: fields.notes_per_bar.map(|[fewest, most]| fewest..=most),
        cadence,
        ..Demands::new(place.meter, place.bars, place.tempo)
    };
    if harmony == Harmony::Given {
        demands.chords = harmonic.read(key.unwrap_or_default(), place, problems)?;
    }
    Some(Obeyed { key, demands, harmony })
}

/// The key of a request, or of the music that is given; `None` for any, and after a problem.
pub(crate) fn key(given: Option<&str>, heard: Option<&Heard>, problems: &mut Problems) -> Option<Key> {
    match given {
        None => Some(heard.and_then(|heard| heard.key).unwrap_or_default()),
        Some(given) => words::key(given, problems),
    }
}

fn named<T>(
    field: &str,
    given: Option<&str>,
    usual: T,
    find: impl Fn(&str) -> Option<T>,
    names: &[&str],
    problems: &mut Problems,
) -> T {
    let Some(given) = given else { return usual };
    find(given).unwrap_or_else(|| {
        problems.add(field, &one_of(names), text(given));
        usual
    })
}

/// Under which names a request said what it demands.
#[derive(Clone, Copy, Default)]
pub(crate) struct Words {
    range: bool,
    pitches: bool,
    scale: bool,
    progression: bool,
    mood: bool,
}

impl Words {
    pub fn of(fields: &Composed) -> Words {
        Words {
            range: fields.range.is_some(),
            pitches: false,
            scale: fields.scale.is_some(),
            progression: fields.progression.is_some(),
            mood: fields.mood.is_some(),
        }
    }

    /// Whether only some pitches are written anew.
    #[must_use]
    pub fn within(self, pitches: bool) -> Words {
        Words { pitches, ..self }
    }
}

/// Tells what no melody can meet, at every field that has a part in it. `music`: the field that given notes are in.
pub(crate) fn tell(error: &Error, fields: Words, music: &str, problems: &mut Problems) {
    let field = match error {
        Error::Contradiction(contradiction) => return contradicts(contradiction, fields, music, problems),
        Error::Crowded { .. } => music,
        Error::Range { field, .. } => match *field {
            "time" => "time_signature",
            "region" => "bars",
            field => field,
        },
        other => return problems.say(Code::Internal, "", other, None),
    };
    problems.say(Code::InvalidRequest, field, error, None);
}

fn contradicts(contradiction: &Contradiction, fields: Words, music: &str, problems: &mut Problems) {
    let mut told: Vec<&str> = Vec::new();
    for demand in contradiction.demands() {
        let field = match demand {
            Demand::Meter => "time_signature",
            Demand::Bars | Demand::Open => "bars",
            Demand::Scale if !fields.scale => "key",
            Demand::Range if fields.pitches && !fields.range => "pitches",
            Demand::Chords if fields.progression => "progression",
            Demand::Chords if fields.mood => "mood",
            Demand::Locked => music,
            // All others have one name everywhere.
            other => other.field(),
        };
        if !told.contains(&field) {
            told.push(field);
            problems.say(Code::InvalidRequest, field, contradiction, None);
        }
    }
    if told.is_empty() {
        problems.say(Code::InvalidRequest, "", contradiction, None);
    }
}
