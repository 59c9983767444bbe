//! What a song may be asked for: every field, its range, and what holds when it is left out.

use partita_models::arrange::{BassRule, CompRule, Make};
use partita_models::melody;
use partita_score::harmony::Key;

use crate::Code;
use crate::family::arrange::check::delivered;
use crate::family::check::{Catalogue, Check, Chosen, look_up, modelled};
use crate::family::drums::check::manner;
use crate::family::harmonic::Place;
use crate::family::limits::Size;
use crate::family::melody::check::sampled;
use crate::family::melody::obey::{self, Words};
use crate::family::melody::sampling;
use crate::family::model::{Description, Kind};
use crate::request::problems::{Problems, text};
use crate::request::{FileFormat, Song, SongPart, fields};

const USUAL_STYLE: &str = "pop";
const USUAL_BARS: u32 = 16;
const SAMPLE_RATE: u32 = 44_100;

pub(crate) fn song(request: &mut Song, chosen: &Chosen, catalogue: &dyn Catalogue, check: &mut Check) {
    let found = check.problems.count();
    modelled(&mut request.modelled(), chosen);
    let problems = &mut check.problems;
    for (field, is_given) in [("no_chords", request.no_chords.is_some()), ("mix", request.mix.is_some())] {
        let why =
            if field == "mix" { "a song's melody is written by one model" } else { "a band needs chords" };
        problems.useless(field, is_given, why);
    }
    let without = request.without.get_or_insert_default();
    if let Some(index) = (1..without.len()).find(|index| without[..*index].contains(&without[*index])) {
        let detail = "must be there once, got it again";
        problems.say(Code::InvalidRequest, &format!("without/{index}"), detail, None);
    }
    let leaves = |part: SongPart| without.contains(&part);
    for (field, is_given, part) in [
        ("bass", request.bass.is_some(), SongPart::Bass),
        ("comping", request.comping.is_some(), SongPart::Chords),
        ("drummer", request.drummer.is_some(), SongPart::Drums),
        ("fill", request.fill == Some(true), SongPart::Drums),
    ] {
        problems.useless(field, is_given && leaves(part), format_args!("{} are left out", part.name()));
    }
    if SongPart::ALL.iter().all(|part| without.contains(part)) {
        problems.add("without", "at most three of melody, chords, bass and drums", "all four");
    }
    maker::<BassRule>("bass", request.bass.as_deref(), problems);
    maker::<CompRule>("comping", request.comping.as_deref(), problems);
    let by_model = |player: &Option<String>| player.as_deref() == Some("model");
    let asks_model = by_model(&request.bass) || by_model(&request.comping);
    let drummer = beside("drummer", &mut request.drummer, "drums", catalogue, problems);
    let drummer = drummer.and_then(|it| match it.kind {
        Kind::Drums(kind) => Some(kind),
        _ => {
            problems.add("drummer", "a model that plays drums", text(request.drummer.as_deref()?));
            None
        }
    });
    if asks_model {
        let arranger = beside("arranger", &mut request.arranger, "arrange", catalogue, problems);
        if arranger.is_some_and(|it| !matches!(it.kind, Kind::Arrange)) {
            let got = text(request.arranger.as_deref().unwrap_or_default());
            problems.add("arranger", "a model that plays accompaniments", got);
        }
    } else {
        let why = "no model plays bass or chords; say \"model\" as bass or comping";
        problems.useless("arranger", request.arranger.is_some(), why);
    }
    request.fill.get_or_insert(false);
    request.straight.get_or_insert(false);
    let bars = *request.bars.get_or_insert(USUAL_BARS);
    problems.whole("bars", 1..=32, Some(bars));
    let name = request.drummer.clone().unwrap_or_default();
    let manner = drummer.and_then(|kind| manner(&mut request.style, USUAL_STYLE, &name, &kind, problems));
    fields::tempo("tempo", request.tempo, problems);
    let tempo = *request.tempo.get_or_insert(manner.as_ref().map_or(100.0, |manner| manner.tempo));
    let time = *request.time_signature.get_or_insert([4, 4]);
    fields::time_signature("time_signature", Some(time), problems);
    obey::fill_in(&mut request.composed(), false);
    sampled(&mut request.sampled(), check);
    let has_stems = *request.stems.get_or_insert(false);
    let sound = manner.as_ref().map_or("acoustic", |manner| &manner.sound);
    delivered(&mut request.delivered(), sound, has_stems, check);
    if check.problems.count() > found {
        return;
    }
    let Some(lead) = lead(request, &mut check.problems) else { return };
    let seconds = f64::from(bars) * lead.demands.meter.beats_per_bar() * 60.0 / tempo;
    let size = Size { seconds, bars, notes: 0 };
    let files = request.files.as_deref().unwrap_or_default();
    let takes = lead.variations;
    check.tally.add(&size, files, takes, SAMPLE_RATE, &mut check.problems);
    if has_stems {
        let parts = SongPart::ALL.len() - request.without.as_ref().map_or(0, Vec::len);
        check.tally.add(&size, &[FileFormat::Wav], takes * parts, SAMPLE_RATE, &mut check.problems);
    }
}

/// What is asked of the melody, and so of all; `None` after a problem.
pub(super) fn lead(request: &mut Song, problems: &mut Problems) -> Option<melody::Request> {
    let meter = fields::meter(request.time_signature.unwrap_or([4, 4]))?;
    let seed = request.seed.unwrap_or(0);
    let (bars, tempo) = (request.bars.unwrap_or(USUAL_BARS), request.tempo.unwrap_or(100.0));
    let (penalty, variations) = (request.repetition_penalty, request.variations.unwrap_or(1));
    let sampling = sampling(&request.sampled(), penalty);
    let fields = request.composed();
    let place = Place { meter, bars, given: 0, tempo, seed };
    let obeyed = obey::read(&fields, None, &place, problems)?;
    let lead = melody::Request {
        key: obeyed.key,
        harmony: obeyed.harmony,
        chord_tones: obeyed.key.map(Key::pitch_classes),
        sampling,
        variations,
        ..melody::Request::new(obeyed.demands, seed)
    };
    match lead.check() {
        Ok(()) => Some(lead),
        Err(error) => {
            obey::tell(&error, Words::of(&fields), "bars", problems);
            None
        }
    }
}

/// Checks who plays a part.
fn maker<R: partita_models::arrange::Manner>(field: &str, given: Option<&str>, problems: &mut Problems) {
    if let Some(given) = given.filter(|given| Make::<R>::from_name(given).is_none()) {
        problems.add(field, &Make::<R>::names(), text(given));
    }
}

/// Looks up a model beside the request's own and writes its proper name back; `None` after a problem.
fn beside(
    field: &str,
    asked: &mut Option<String>,
    usual: &str,
    catalogue: &dyn Catalogue,
    problems: &mut Problems,
) -> Option<Description> {
    look_up(field, asked.get_or_insert_with(|| usual.to_owned()), catalogue, problems)
}
