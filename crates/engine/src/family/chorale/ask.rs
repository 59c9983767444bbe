//! From a request to what four voices are asked: all of them, those that are missing, or some bars of them.

use partita_models::harmony::demands::{self, Demand, Demands, MAX_STEPS};
use partita_models::harmony::{Complete, Error, Harmony, NAMES, Rewrite, Sung, VOICES};
use partita_nn::Sampling;
use partita_score::harmony::{Key, PitchClasses, Scale};
use partita_score::{Score, Tick};

use crate::Code;
use crate::request::groups::{Composed, Sampled};
use crate::request::input::Music;
use crate::request::problems::Problems;
use crate::request::words::{self, MOST_NOTES};
use crate::request::{Generate, Harmonize, Infill, fields};

/// What is asked, and what is given.
pub(crate) struct Ask {
    pub request: Complete,
    pub key: Option<Key>,
    pub sung: Option<Sung>,
    pub bars: u32,
    /// The field that given notes are in.
    pub music: &'static str,
}

/// Demands as a request has them, and how answers are drawn.
struct Wishes<'a> {
    drawn: Drawn,
    key: Option<&'a str>,
    scale: Option<&'a str>,
    max_leap: Option<u8>,
    forbid: Option<&'a [String]>,
    no_cadence: bool,
}

impl<'a> Wishes<'a> {
    fn of(drawn: Drawn, fields: &'a Composed) -> Wishes<'a> {
        Wishes {
            drawn,
            key: fields.key.as_deref(),
            scale: fields.scale.as_deref(),
            max_leap: *fields.max_leap,
            forbid: fields.forbid.as_deref(),
            no_cadence: *fields.cadence == Some(false),
        }
    }

    /// Puts them into a request; the key.
    fn into_request(self, request: &mut Complete, problems: &mut Problems) -> Option<Key> {
        let key = self.key.and_then(|given| words::key(given, problems));
        let scale = self.scale.and_then(|given| words::parsed::<Scale>("scale", given, problems));
        problems.whole("max_leap", 1..=60, self.max_leap);
        let forbidden = words::notes("forbid", self.forbid, MOST_NOTES, problems);
        let scale = scale.map(|scale| scale.pitch_classes()).or(key.map(Key::pitch_classes));
        request.demands = Demands {
            scale: scale.map(PitchClasses::bits),
            forbidden: words::pitches(&forbidden).iter().collect(),
            leaps: [self.max_leap; VOICES],
            ..Demands::default()
        };
        if let Some(key) = key.filter(|_| !self.no_cadence) {
            request.end_on(key.tonic.pitch_class());
        }
        Drawn { seed: request.seed, variations: request.variations, sampling: request.sampling } = self.drawn;
        key
    }
}

impl Ask {
    /// `None` after a problem.
    pub fn generate(request: &mut Generate, problems: &mut Problems) -> Option<Ask> {
        let meter = fields::meter(request.time_signature.unwrap_or([4, 4]))?;
        let bars = request.bars.unwrap_or(super::check::USUAL_BARS);
        let steps = (bars * meter.steps_per_bar()) as usize;
        if steps > MAX_STEPS {
            let allowed = format!("at most {} bars of {meter}", MAX_STEPS as u32 / meter.steps_per_bar());
            problems.add("bars", &allowed, bars);
            return None;
        }
        let tempo = request.tempo.unwrap_or(super::check::USUAL_TEMPO);
        let new = Complete { meter, tempo, ..Complete::new(steps) };
        let drawn = Drawn::of(request.seed, &request.sampled());
        asked(new, None, "", Wishes::of(drawn, &request.composed()), problems)
    }

    /// `None` after a problem.
    pub fn harmonize(request: &mut Harmonize, music: &Music, problems: &mut Problems) -> Option<Ask> {
        let sung = Sung::read(&music.pitched(), None, 0, Rewrite::default());
        let drawn = Drawn::of(request.seed, &request.sampled());
        let key = request.key.as_deref();
        let wishes = Wishes { drawn, key, scale: None, max_leap: None, forbid: None, no_cadence: false };
        around(sung, music.field, wishes, problems)
    }

    /// `None` after a problem.
    pub fn infill(request: &mut Infill, music: &Music, problems: &mut Problems) -> Option<Ask> {
        let score = music.pitched();
        let whole = Sung::read(&score, None, 0, Rewrite::default());
        let whole = whole.map_err(|error| tell(&error, music.field, problems)).ok()?;
        if whole.voices.iter().any(Option::is_none) {
            let needed = format!("must have tracks called {} with notes", NAMES.join(", ").to_lowercase());
            problems.say(Code::InvalidMidi, music.field, needed, None);
            return None;
        }
        let all = whole.bars();
        let [first, last] = *request.bars.get_or_insert([1, all]);
        if first < 1 || first > last || last > all {
            problems.add(
                "bars",
                &format!("first and last bar in 1..={all}"),
                format_args!("[{first}, {last}]"),
            );
            return None;
        }
        let track_of = |voice: &Option<(usize, _)>| voice.as_ref().map(|(track, _)| track + 1);
        let voices = match request.track {
            None => vec![],
            Some(track) => match whole.voices.iter().position(|voice| track_of(voice) == Some(track)) {
                Some(voice) => vec![voice],
                None => {
                    let tracks: Vec<String> =
                        whole.voices.iter().filter_map(track_of).map(|track| track.to_string()).collect();
                    problems.add("track", &format!("that of a voice: {}", tracks.join(", ")), track);
                    return None;
                }
            },
        };
        let sung = Sung::read(&score, None, 0, Rewrite { bars: Some(first - 1..last), voices });
        let drawn = Drawn::of(request.seed, &request.sampled());
        around(sung, music.field, Wishes::of(drawn, &request.composed()), problems)
    }

    /// What was asked for, out of what was written.
    pub fn score(&self, take: Harmony) -> Score {
        match &self.sung {
            Some(sung) => take.around(&self.request, &sung.score, &sung.voices),
            None => {
                Score { keys: self.key.map(|key| key.change(Tick(0))).into_iter().collect(), ..take.score }
            }
        }
    }
}

struct Drawn {
    seed: u64,
    variations: usize,
    sampling: Sampling,
}

impl Drawn {
    fn of(seed: Option<u64>, fields: &Sampled) -> Drawn {
        let usual = Complete::new(0).sampling;
        let sampling = Sampling {
            temperature: fields.temperature.map_or(usual.temperature, |value| value as f32),
            top_k: fields.top_k.unwrap_or(usual.top_k),
            top_p: fields.top_p.map_or(usual.top_p, |value| value as f32),
            ..usual
        };
        Drawn { seed: seed.unwrap_or(0), variations: fields.variations.unwrap_or(1), sampling }
    }
}

fn around(
    sung: Result<Sung, Error>,
    music: &'static str,
    wishes: Wishes,
    problems: &mut Problems,
) -> Option<Ask> {
    let read = sung.and_then(|sung| Ok((sung.complete()?, sung)));
    let (request, sung) = read.map_err(|error| tell(&error, music, problems)).ok()?;
    let tempo = sung.score.tempos.bpm_at(Tick(0)).clamp(20.0, 400.0);
    asked(Complete { tempo, ..request }, Some(sung), music, wishes, problems)
}

fn asked(
    mut request: Complete,
    sung: Option<Sung>,
    music: &'static str,
    wishes: Wishes,
    problems: &mut Problems,
) -> Option<Ask> {
    let found = problems.count();
    let key = wishes.into_request(&mut request, problems);
    if problems.count() > found {
        return None;
    }
    if let Err(error) = request.check() {
        tell(&error, music, problems);
        return None;
    }
    let steps = request.cells.len() as u32;
    let bars = sung.as_ref().map_or(steps / request.meter.steps_per_bar().max(1), Sung::bars);
    Some(Ask { request, key, sung, bars, music })
}

/// Tells what four voices cannot sing, at every field that has a part in it. `music`: the field that given notes are in.
pub(super) fn tell(error: &Error, music: &str, problems: &mut Problems) {
    let Error::Demands(demands::Error::Contradiction { demands, given, .. }) = error else {
        let (code, field) = match error {
            Error::Range { field: "input" | "melody", .. } | Error::TwoNotes { .. } => {
                (Code::InvalidMidi, music)
            }
            Error::Range { field, .. } => (Code::InvalidRequest, *field),
            Error::Demands(_) => (Code::InvalidRequest, ""),
            _ => (Code::Internal, ""),
        };
        return problems.say(code, field, error, None);
    };
    let fields = demands.iter().filter_map(|demand| match demand {
        Demand::Scale => Some("key"),
        Demand::Forbidden => Some("forbid"),
        Demand::Cadence => Some("cadence"),
        Demand::Leap => Some("max_leap"),
        // Voices lie where voices lie; nobody asked for it.
        Demand::Range | Demand::Crossing => None,
    });
    let fields: Vec<&str> = fields.chain(given.then_some(music)).collect();
    for field in &fields {
        problems.say(Code::InvalidRequest, field, error, None);
    }
    if fields.is_empty() {
        problems.say(Code::InvalidRequest, music, error, None);
    }
}
