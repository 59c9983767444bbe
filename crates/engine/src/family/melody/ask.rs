//! From a request to what the writer is asked: new bars, bars after given ones, or bars between them.

use std::ops::{Range, RangeInclusive};

use partita_models::melody::{Given, Harmony, Request, replace_chords};
use partita_score::demands::Demands;
use partita_score::harmony::{Chord, Key};
use partita_score::{Meter, Score};
use partita_tokens::song::{ChordClass, Hidden, PITCHES};

use super::line::Tune;
use super::obey::{self, Obeyed, Words};
use crate::family::harmonic::Place;
use crate::request::groups::{Composed, Sampled};
use crate::request::input::{self, Music};
use crate::request::problems::Problems;
use crate::request::{Continue, Generate, Harmonize, Infill, fields};

/// Bars of what is around that the writer hears.
const BEFORE: u32 = 16;
const AFTER: u32 = 4;
/// Bars that are written anew at once.
const MOST_NEW: u32 = 32;
const ALL: RangeInclusive<u8> = 0..=127;

/// What the writer is asked, and where its answer belongs.
pub(crate) struct Ask {
    pub request: Request,
    pub key: Option<Key>,
    /// The music that is given, with its melody.
    pub music: Option<Tune>,
    /// Of the notes of given bars that are written anew.
    pub pitches: RangeInclusive<u8>,
    /// New bars of the piece that the writer sees.
    pub new: Range<u32>,
    /// The bar of the given music where that piece begins.
    pub first: u32,
    pub into: Into,
}

/// What of the answer goes into given music.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Into {
    Melody,
    /// Melody and chords.
    Both,
    Chords,
}

/// What every verb has, read out of a request.
struct Fields<'a> {
    composed: Composed<'a>,
    style: Option<String>,
    seed: u64,
    density: Option<f64>,
    variations: usize,
    sampling: partita_nn::Sampling,
}

macro_rules! fields {
    ($request:expr) => {{
        let penalty = $request.repetition_penalty;
        let sampling = sampling(&$request.sampled(), penalty);
        Fields {
            style: $request.style.clone(),
            seed: $request.seed.unwrap_or(0),
            density: $request.density,
            variations: $request.variations.unwrap_or(1),
            sampling,
            composed: $request.composed(),
        }
    }};
}

impl Ask {
    pub fn meter(&self) -> Meter {
        self.request.demands.meter
    }

    pub fn tempo(&self) -> f64 {
        self.request.demands.tempo
    }

    /// New bars, by their place in the whole music.
    pub fn bars(&self) -> Range<u32> {
        self.new.start + self.first..self.new.end + self.first
    }

    /// Of given music what the new bars keep.
    pub fn around(&self, music: &Tune) -> Tune {
        music.around(self.bars(), &self.pitches)
    }

    /// `None` after a problem.
    pub fn generate(request: &mut Generate, problems: &mut Problems) -> Option<Ask> {
        let meter = fields::meter(request.time_signature.unwrap_or([4, 4]))?;
        let (tempo, bars) = (request.tempo.unwrap_or(super::check::USUAL_TEMPO), request.bars.unwrap_or(8));
        const NOTES: &str = "seed_notes";
        let score =
            request.seed_notes.as_ref().map(|notes| input::from_notes(notes, tempo, meter, NOTES).pitched());
        let fields = fields!(request);
        if let Some(score) = score {
            return after(score, NOTES, bars, true, &fields, problems);
        }
        let place = Place { meter, bars, given: 0, tempo, seed: fields.seed };
        let obeyed = obey::read(&fields.composed, None, &place, problems)?;
        let (key, request) = asked(obeyed, Given::Nothing, &fields);
        let ask = Ask { request, key, music: None, pitches: ALL, new: 0..bars, first: 0, into: Into::Both };
        checked(ask, Words::of(&fields.composed), "bars", problems)
    }

    /// `None` after a problem.
    pub fn continue_(request: &mut Continue, music: &Music, problems: &mut Problems) -> Option<Ask> {
        let bars = request.bars.unwrap_or(4);
        after(music.pitched(), music.field, bars, false, &fields!(request), problems)
    }

    /// `None` after a problem.
    pub fn infill(request: &mut Infill, music: &Music, problems: &mut Problems) -> Option<Ask> {
        let track = request.track.map(|track| track.saturating_sub(1));
        let tune = Tune::read(music.pitched(), track, music.field);
        let tune = tune.map_err(|fault| problems.merge(fault)).ok()?;
        let heard = &tune.heard;
        let all = heard.piece.bars;
        let [first, last] = *request.bars.get_or_insert([1, all]);
        if first < 1 || first > last || last > all || last - first >= MOST_NEW {
            let allowed = format!("first and last bar in 1..={all}, at most {MOST_NEW} bars");
            problems.add("bars", &allowed, format_args!("[{first}, {last}]"));
            return None;
        }
        let start = (first - 1).saturating_sub(BEFORE);
        let seen = last.saturating_add(AFTER).min(all) - start;
        let new = first - 1 - start..last - start;
        let pitches = request.pitches.map_or(ALL, |[low, high]| low..=high);
        let fields = fields!(request);
        let (meter, tempo) = (heard.piece.meter, heard.tempo);
        let place = Place { meter, bars: new.end, given: new.start, tempo, seed: fields.seed };
        let mut obeyed = obey::read(&fields.composed, Some(heard), &place, problems)?;
        let range = &obeyed.demands.range;
        if range.start().max(pitches.start()) > range.end().min(pitches.end()) {
            let allowed = format!("some of the range, {}..={}", range.start(), range.end());
            problems.add("pitches", &allowed, format_args!("[{}, {}]", pitches.start(), pitches.end()));
            return None;
        }
        let mut piece = heard.piece.window(start, seen);
        let length = piece.cells_per_bar();
        obeyed.demands.bars = seen;
        // The end of what is seen is there already.
        obeyed.demands.cadence = None;
        if obeyed.harmony != Harmony::None {
            let own = within(&heard.chords, start * length..(start + seen) * length);
            let asked = std::mem::take(&mut obeyed.demands.chords);
            let cells = new.start * length..new.end * length;
            let is_asked = obeyed.harmony == Harmony::Given;
            obeyed.demands.chords =
                if is_asked { replace_chords(own, asked, cells, seen * length) } else { own };
            obeyed.harmony = Harmony::Given;
        }
        let chords = obeyed.demands.chords.iter();
        piece.chords = chords.map(|(at, chord)| (*at, ChordClass::of(chord.as_ref()))).collect();
        let hidden = |bar| Hidden { chords: false, parts: [new.contains(&bar), false, false] };
        let open = (0..seen).map(hidden).collect();
        let given = Given::Around { piece, open, pitches: pitches.clone() };
        let words = Words::of(&fields.composed).within(pitches != ALL);
        let (key, request) = asked(obeyed, given, &fields);
        let ask = Ask { request, key, music: Some(tune), pitches, new, first: start, into: Into::Melody };
        checked(ask, words, music.field, problems)
    }

    /// `None` after a problem.
    pub fn harmonize(request: &mut Harmonize, music: &Music, problems: &mut Problems) -> Option<Ask> {
        let tune = Tune::read(music.pitched(), None, music.field);
        let tune = tune.map_err(|fault| problems.merge(fault)).ok()?;
        let heard = &tune.heard;
        let found = problems.count();
        let key = obey::key(request.key.as_deref(), Some(heard), problems);
        let bars = heard.piece.bars;
        if bars > Demands::MOST_BARS {
            problems.add(music.field, &format!("at most {} bars", Demands::MOST_BARS), bars);
        }
        if problems.count() > found {
            return None;
        }
        let open = vec![Hidden { chords: true, ..Hidden::default() }; bars as usize];
        let demands = Demands { range: PITCHES, ..Demands::new(heard.piece.meter, bars, heard.tempo) };
        let chords_per_bar = request.chords_per_bar.unwrap_or(2);
        let variations = request.variations.unwrap_or(1);
        let drawn = sampling(&request.sampled(), None);
        let asked = Request {
            key,
            style: request.style.clone().filter(|style| style != super::check::ANY),
            chord_tones: key.map(Key::pitch_classes),
            chords_per_bar,
            given: Given::Around { piece: heard.piece.clone(), open, pitches: ALL },
            sampling: drawn,
            variations,
            ..Request::new(demands, request.seed.unwrap_or(0))
        };
        if let Err(error) = asked.check() {
            obey::tell(&error, Words::default(), music.field, problems);
            return None;
        }
        let (music, pitches) = (Some(tune), ALL);
        Some(Ask { request: asked, key, music, pitches, new: 0..bars, first: 0, into: Into::Chords })
    }
}

/// Bars after those of a score. `chords`: theirs go into it whether it has some or not.
fn after(
    score: Score,
    field: &str,
    bars: u32,
    chords: bool,
    fields: &Fields,
    problems: &mut Problems,
) -> Option<Ask> {
    let tune = Tune::read(score, None, field).map_err(|fault| problems.merge(fault)).ok()?;
    let heard = &tune.heard;
    let given = heard.piece.bars.min(BEFORE);
    let first = heard.piece.bars - given;
    let (meter, tempo) = (heard.piece.meter, heard.tempo);
    let place = Place { meter, bars: given + bars, given, tempo, seed: fields.seed };
    let obeyed = obey::read(&fields.composed, Some(heard), &place, problems)?;
    let chords = chords || !tune.score.chords.is_empty() || obeyed.harmony == Harmony::Given;
    let into = if chords { Into::Both } else { Into::Melody };
    let piece = heard.piece.window(first, given);
    let (key, request) = asked(obeyed, Given::Before(piece), fields);
    let (music, new) = (Some(tune), given..given + bars);
    let ask = Ask { request, key, music, pitches: ALL, new, first, into };
    checked(ask, Words::of(&fields.composed), field, problems)
}

type Chords = Vec<(u32, Option<Chord>)>;

/// Chords of a stretch of cells, counted from its start.
fn within(chords: &Chords, cells: Range<u32>) -> Chords {
    let before = chords.iter().rfind(|(at, _)| *at <= cells.start).map(|(_, chord)| (0, chord.clone()));
    let later = chords.iter().filter(|(at, _)| (cells.start + 1..cells.end).contains(at));
    before.into_iter().chain(later.map(|(at, chord)| (at - cells.start, chord.clone()))).collect()
}

pub(crate) fn sampling(fields: &Sampled, penalty: Option<f64>) -> partita_nn::Sampling {
    let usual = partita_nn::Sampling::default();
    partita_nn::Sampling {
        temperature: fields.temperature.map_or(usual.temperature, |value| value as f32),
        top_k: fields.top_k.unwrap_or(usual.top_k),
        top_p: fields.top_p.map_or(usual.top_p, |value| value as f32),
        repetition_penalty: penalty.map_or(usual.repetition_penalty, |value| value as f32),
    }
}

fn asked(obeyed: Obeyed, given: Given, fields: &Fields) -> (Option<Key>, Request) {
    let Obeyed { key, demands, harmony } = obeyed;
    let request = Request {
        key,
        style: fields.style.clone().filter(|style| style != super::check::ANY),
        density: fields.density,
        harmony,
        chord_tones: key.map(Key::pitch_classes),
        given,
        sampling: fields.sampling.clone(),
        variations: fields.variations,
        ..Request::new(demands, fields.seed)
    };
    (key, request)
}

/// Whether it can be written at all. `music`: the field that given notes are in.
fn checked(ask: Ask, fields: Words, music: &str, problems: &mut Problems) -> Option<Ask> {
    match ask.request.check() {
        Ok(()) => Some(ask),
        Err(error) => {
            obey::tell(&error, fields, music, problems);
            None
        }
    }
}
