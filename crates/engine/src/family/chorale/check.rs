//! What four voices may be asked for: every field, its range, and what holds when it is left out.

use partita_models::drums::Sampling;
use partita_models::harmony::Complete;

use super::ask::Ask;
use crate::family::check::{Check, Chosen, MOST_VARIATIONS, drawn, modelled, no_drums, no_words};
use crate::family::limits::Size;
use crate::request::fields::{self, Offer};
use crate::request::groups::{Composed, Delivered, Played, Sampled};
use crate::request::input::{MOST_TRACKS, Music};
use crate::request::problems::Problems;
use crate::request::{FileFormat, Generate, Harmonize, Infill, OutputFormat};

pub(super) const USUAL_BARS: u32 = 8;
pub(super) const USUAL_TEMPO: f64 = 80.0;
const SAMPLE_RATE: u32 = 44_100;
/// Notes of four voices that begin in a bar.
const NOTES_A_BAR: usize = 128;

pub(crate) fn generate(request: &mut Generate, chosen: &Chosen, check: &mut Check) {
    let found = check.problems.count();
    modelled(&mut request.modelled(), chosen);
    let (name, problems) = (&chosen.name, &mut check.problems);
    no_words(request, name, problems);
    no_drums(request, name, problems);
    style(request.style.is_some(), name, problems);
    let why = format_args!("{name} sings over given voices with harmonize");
    problems.useless("seed_notes", request.seed_notes.is_some(), why);
    played(&request.played(), name, problems);
    composed(&mut request.composed(), name, problems);
    request.key.get_or_insert_with(|| "C".to_owned());
    sampled(&mut request.sampled(), check);
    let problems = &mut check.problems;
    fields::format(&mut request.format, &mut request.files, problems);
    let bars = *request.bars.get_or_insert(USUAL_BARS);
    problems.whole("bars", 1..=32, Some(bars));
    fields::tempo("tempo", Some(*request.tempo.get_or_insert(USUAL_TEMPO)), problems);
    let time = *request.time_signature.get_or_insert([4, 4]);
    fields::time_signature("time_signature", Some(time), problems);
    delivered(&mut request.delivered(), check);
    if check.problems.count() == found
        && let Some(ask) = Ask::generate(request, &mut check.problems)
    {
        tally(&ask, request.files.as_deref().unwrap_or_default(), check);
    }
}

pub(crate) fn infill(request: &mut Infill, music: Option<&Music>, chosen: &Chosen, check: &mut Check) {
    let found = check.problems.count();
    modelled(&mut request.modelled(), chosen);
    let (name, problems) = (&chosen.name, &mut check.problems);
    style(request.style.is_some(), name, problems);
    played(&request.played(), name, problems);
    composed(&mut request.composed(), name, problems);
    problems.whole("track", 1..=MOST_TRACKS, request.track);
    let why = format_args!("{name} writes whole voices anew; say track");
    problems.useless("pitches", request.pitches.is_some(), why);
    sampled(&mut request.sampled(), check);
    delivered(&mut request.delivered(), check);
    let Some(music) = music.filter(|_| check.problems.count() == found) else { return };
    if let Some(ask) = Ask::infill(request, music, &mut check.problems) {
        tally(&ask, request.files.as_deref().unwrap_or_default(), check);
    }
}

pub(crate) fn harmonize(request: &mut Harmonize, music: Option<&Music>, chosen: &Chosen, check: &mut Check) {
    let found = check.problems.count();
    modelled(&mut request.modelled(), chosen);
    let (name, problems) = (&chosen.name, &mut check.problems);
    style(request.style.is_some(), name, problems);
    let why = format_args!("{name} sings a chord whenever a voice moves");
    problems.useless("chords_per_bar", request.chords_per_bar.is_some(), why);
    sampled(&mut request.sampled(), check);
    delivered(&mut request.delivered(), check);
    let Some(music) = music.filter(|_| check.problems.count() == found) else { return };
    if let Some(ask) = Ask::harmonize(request, music, &mut check.problems) {
        tally(&ask, request.files.as_deref().unwrap_or_default(), check);
    }
}

/// Adds the files of a request to what the task makes.
pub(super) fn tally(ask: &Ask, files: &[FileFormat], check: &mut Check) {
    let own = ask.bars as usize * NOTES_A_BAR;
    let size = match &ask.sung {
        Some(sung) => {
            let size = Size::of(&sung.score);
            Size { notes: size.notes + own, ..size }
        }
        None => {
            let beats = f64::from(ask.bars) * ask.request.meter.beats_per_bar();
            Size { seconds: beats * 60.0 / ask.request.tempo, bars: ask.bars, notes: own }
        }
    };
    check.tally.add(&size, files, ask.request.variations, SAMPLE_RATE, &mut check.problems);
}

fn style(is_given: bool, name: &str, problems: &mut Problems) {
    problems.useless("style", is_given, format_args!("{name} has one style"));
}

fn played(fields: &Played, name: &str, problems: &mut Problems) {
    problems.useless("kit", fields.kit.is_some(), format_args!("{name} plays no drums"));
    for (field, is_given) in [("velocity", fields.velocity.is_some()), ("density", fields.density.is_some())]
    {
        problems.useless(field, is_given, format_args!("{name} sings four even voices"));
    }
}

fn composed(fields: &mut Composed, name: &str, problems: &mut Problems) {
    let obeyed = ["scale", "max_leap", "cadence", "forbid"];
    for (field, is_given) in fields.given().into_iter().filter(|(field, _)| !obeyed.contains(field)) {
        problems.useless(field, is_given, format_args!("{name} obeys key, {}", obeyed.join(", ")));
    }
    problems.useless("mood", fields.mood.is_some(), format_args!("{name} reads no words"));
    fields.cadence.get_or_insert(true);
}

fn sampled(fields: &mut Sampled, check: &mut Check) {
    let usual = Complete::new(0).sampling;
    let (temperature, top_p) = (round(usual.temperature), round(usual.top_p));
    drawn(fields, MOST_VARIATIONS, Sampling { temperature, top_k: usual.top_k, top_p }, check);
}

/// As people write it: 0.8, not what of it an f32 holds.
fn round(value: f32) -> f64 {
    (f64::from(value) * 1000.0).round() / 1000.0
}

fn delivered(fields: &mut Delivered, check: &mut Check) {
    let offer = Offer {
        format: Some(OutputFormat::Notes),
        files: &[FileFormat::Mid],
        sound: "acoustic",
        has_tokens: false,
        has_research: false,
        has_stems: false,
    };
    fields::delivered(fields, &offer, &mut check.problems);
}
