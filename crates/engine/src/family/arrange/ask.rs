//! From a request to what is played under a melody.

use std::ops::{Range, RangeInclusive};

use partita_models::arrange::{BassRule, CompRule, Error, Make, Players, Request, Source, Who, source};
use partita_models::melody::{Harmony, Lead, replace_chords};

use crate::Code;
use crate::family::harmonic::{Harmonic, Place};
use crate::family::melody::{Tune, key, sampling};
use crate::request::Arrange;
use crate::request::input::Music;
use crate::request::problems::{Problems, text};

/// What an arranger is asked, and where its answer belongs.
pub(crate) struct Ask {
    /// One a variation.
    pub requests: Vec<Request>,
    pub tune: Tune,
    /// The melody under the chords that are played.
    pub lead: Lead,
    pub players: Players,
    pub bars: Range<u32>,
    /// Where the chords come from, in words.
    pub chords: &'static str,
    /// Whether they are to be written into the music.
    pub renames: bool,
}

/// Who plays: `None` after a problem.
pub(super) fn players(request: &Arrange, problems: &mut Problems) -> Option<Players> {
    let bass = request.bass.as_deref().map_or(Some(Who::Make(Make::Model)), Who::from_name);
    let piano = request.piano.as_deref().map_or(Some(Who::Make(Make::Model)), Who::from_name);
    if bass.is_none() {
        let got = text(request.bass.as_deref().unwrap_or_default());
        problems.add("bass", &Who::<BassRule>::names(), got);
    }
    if piano.is_none() {
        let got = text(request.piano.as_deref().unwrap_or_default());
        problems.add("piano", &Who::<CompRule>::names(), got);
    }
    let players = Players { bass: bass?, piano: piano? };
    if players.parts().is_empty() {
        let detail = "must not be kept where the bass is, which leaves nothing to do";
        problems.say(Code::InvalidRequest, "piano", detail, None);
        return None;
    }
    Some(players)
}

impl Ask {
    /// `None` after a problem.
    pub fn read(request: &mut Arrange, music: &Music, problems: &mut Problems) -> Option<Ask> {
        let players = players(request, problems)?;
        let track = request.track.map(|track| track.saturating_sub(1));
        let tune = Tune::read(music.pitched(), track, music.field);
        let tune = tune.map_err(|fault| problems.merge(fault)).ok()?;
        let heard = &tune.heard;
        let all = heard.piece.bars;
        let [first, last] = *request.bars.get_or_insert([1, all]);
        if first < 1 || first > last || last > all {
            let got = format_args!("[{first}, {last}]");
            problems.add("bars", &format!("first and last bar in 1..={all}"), got);
            return None;
        }
        let found = problems.count();
        let key = key(request.key.as_deref(), Some(heard), problems);
        let seed = request.seed.unwrap_or(0);
        let harmonic = Harmonic {
            no_chords: false,
            chords: request.chords.as_deref(),
            progression: request.progression.as_deref(),
            mood: request.mood.as_deref(),
        };
        let bars = first - 1..last;
        let place =
            Place { meter: heard.piece.meter, bars: last, given: bars.start, tempo: heard.tempo, seed };
        let is_given = harmonic.source(problems) == Harmony::Given;
        if problems.count() > found {
            return None;
        }
        let length = heard.piece.cells_per_bar();
        let (chords, told, renames) = match source(&tune.score, heard) {
            own if is_given => {
                let asked = harmonic.read(key.unwrap_or_default(), &place, problems)?;
                let own = own.map_or(vec![], |_| heard.chords.clone());
                let cells = bars.start * length..bars.end * length;
                (replace_chords(own, asked, cells, all * length), "given", true)
            }
            Some(Source::Given) => (heard.chords.clone(), "given", false),
            Some(Source::Recognized) => (heard.chords.clone(), "rule recognized", true),
            None => {
                let detail = "must have chords, got a melody alone: say chords, progression or mood, or have them \
                              written by /api/v1/harmonize first";
                problems.say(Code::InvalidMidi, music.field, detail, None);
                return None;
            }
        };
        let lead = Lead::from(heard.clone()).under(chords);
        let sampling = sampling(&request.sampled(), None);
        let requests = (0..request.variations.unwrap_or(1)).map(|variation| {
            let lead = Lead { variation, ..lead.clone() };
            let usual = Request::under((&tune.score, heard), &lead, players, bars.clone(), key, seed);
            let range = |given: Option<[u8; 2]>, usual: &RangeInclusive<u8>| {
                given.map_or(usual.clone(), |[low, high]| low..=high)
            };
            let mut asked = Request {
                density: request.density,
                register: request.register.map(f64::from),
                sampling: sampling.clone(),
                ..usual
            };
            asked.bass_rules.range = range(request.bass_range, &asked.bass_rules.range);
            asked.piano_rules.range = range(request.piano_range, &asked.piano_rules.range);
            asked
        });
        let requests: Vec<Request> = requests.collect();
        if let Err(error) = requests.first().map_or(Ok(()), Request::check) {
            tell(&error, request, music.field, problems);
            return None;
        }
        Some(Ask { requests, lead, players, bars, chords: told, renames, tune })
    }
}

/// Tells what cannot be played at the field that says so. `music`: the field that the notes are in.
pub(super) fn tell(error: &Error, request: &Arrange, music: &str, problems: &mut Problems) {
    let field = match error {
        Error::NoAnchor { .. } if request.bass_range.is_some() => "bass_range",
        Error::NoAnchor { .. } if request.chords.is_some() => "chords",
        Error::NoAnchor { .. } => "bass",
        Error::Range { field: "range", .. } if request.bass_range.is_some() => "bass_range",
        Error::Range { field: "range", .. } => "piano_range",
        Error::Range { field: field @ ("bars" | "density" | "register"), .. } => field,
        Error::Range { .. } | Error::Crowded { .. } => {
            return problems.say(Code::InvalidMidi, music, error, None);
        }
        other => return problems.say(Code::Internal, "", other, None),
    };
    problems.say(Code::InvalidRequest, field, error, None);
}
