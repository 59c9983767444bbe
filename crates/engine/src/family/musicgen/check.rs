//! What MusicGen may be asked for: every field, its range, and what holds when it is left out.

use partita_models::drums::Sampling;
use partita_models::musicgen::{self, MOST_CHARACTERS, Words};

use crate::Code;
use crate::family::check::{Check, Chosen, drawn, modelled};
use crate::request::fields;
use crate::request::problems::Problems;
use crate::request::{FileFormat, Generate};

const USUAL_SECONDS: f64 = 10.0;
const USUAL_GUIDANCE: f64 = 3.0;
/// As the published model draws.
const USUAL: Sampling = Sampling { temperature: 1.0, top_k: 250, top_p: 1.0 };
/// Characters of a style, mood, key or instrument.
const LONGEST_WORDS: usize = 100;
const MOST_INSTRUMENTS: usize = 16;
const MOST_VARIATIONS: usize = 16;
const FILES: &str = "wav, flac or ogg";

pub(crate) fn generate(request: &mut Generate, chosen: &Chosen, check: &mut Check) {
    modelled(&mut request.modelled(), chosen);
    useless(request, &chosen.name, &mut check.problems);
    let why = format_args!("{} makes sound, no notes", chosen.name);
    for (field, is_given) in request.composed().given() {
        check.problems.useless(field, is_given, why);
    }
    drawn(&mut request.sampled(), MOST_VARIATIONS, USUAL, check);
    let problems = &mut check.problems;
    said(request, problems);
    let seconds = *request.seconds.get_or_insert(USUAL_SECONDS);
    problems.real("seconds", "1..=300", |seconds| (1.0..=300.0).contains(&seconds), Some(seconds));
    let guidance = *request.guidance.get_or_insert(USUAL_GUIDANCE);
    let guides = |guidance| (1.0..=20.0).contains(&guidance);
    problems.real("guidance", "[1, 20]", guides, Some(guidance));
    if request.negative.is_some() && guidance == 1.0 {
        problems.add("guidance", "above 1 with a negative prompt", guidance);
    }
    let variations = request.variations.unwrap_or(1);
    request.stream.get_or_insert(false);
    fields::format(&mut request.format, &mut request.files, problems);
    let files = request.files.get_or_insert_with(|| vec![FileFormat::Wav]);
    if files.is_empty() {
        problems.add("files", &format!("at least one of {FILES}"), "none");
    }
    for (index, file) in files.iter().enumerate().filter(|(_, file)| !file.is_sound()).take(8) {
        problems.add(&format!("files/{index}"), FILES, format!("{file:?}").to_lowercase());
    }
    fields::once(files, problems);
    if (1.0..=300.0).contains(&seconds) {
        check.tally.sound(seconds * variations.min(MOST_VARIATIONS) as f64, &mut check.problems);
    }
}

/// Fields of drummers.
fn useless(request: &Generate, name: &str, problems: &mut Problems) {
    for (field, is_given) in [("bars", request.bars.is_some()), ("fill", request.fill.is_some())] {
        problems.useless(field, is_given, format_args!("{name} plays seconds; say seconds"));
    }
    let hears = format_args!("{name} makes sound, no notes");
    for (field, is_given) in [
        ("time_signature", request.time_signature.is_some()),
        ("swing", request.swing.is_some()),
        ("humanize", request.humanize.is_some()),
        ("seed_notes", request.seed_notes.is_some()),
        ("kit", request.kit.is_some()),
        ("density", request.density.is_some()),
        ("velocity", request.velocity.is_some()),
        ("output_format", request.output_format.is_some()),
        ("sound", request.sound.is_some()),
    ] {
        problems.useless(field, is_given, hears);
    }
}

/// Checks everything that becomes part of the prompt.
fn said(request: &Generate, problems: &mut Problems) {
    let found = problems.count();
    fields::tempo("tempo", request.tempo, problems);
    for (field, words) in [("style", &request.style), ("mood", &request.mood), ("key", &request.key)] {
        short(field, words.as_deref(), problems);
    }
    let instruments = request.instruments.as_deref().unwrap_or_default();
    if instruments.len() > MOST_INSTRUMENTS {
        problems.add("instruments", &format!("at most {MOST_INSTRUMENTS}"), instruments.len());
    }
    for (index, name) in instruments.iter().enumerate().take(MOST_INSTRUMENTS) {
        short(&format!("instruments/{index}"), Some(name), problems);
    }
    if let Some(prompt) = &request.prompt {
        words_of("prompt", prompt, problems);
    }
    if let Some(negative) = &request.negative {
        words_of("negative", negative, problems);
    }
    let all = words(request).prompt();
    if request.prompt.is_none() && all.is_empty() {
        let detail = "must be given, or style, mood, instruments, tempo or key; got none";
        problems.say(Code::InvalidRequest, "prompt", detail, None);
    }
    let characters = all.chars().count();
    if characters > MOST_CHARACTERS && problems.count() == found {
        let allowed = format!("at most {MOST_CHARACTERS} characters with what is added to it");
        problems.add("prompt", &allowed, characters);
    }
}

fn short(field: &str, words: Option<&str>, problems: &mut Problems) {
    let Some(words) = words else { return };
    let count = words.chars().count();
    if !(1..=LONGEST_WORDS).contains(&count) {
        problems.add(field, &format!("1..={LONGEST_WORDS} characters"), count);
    } else {
        words_of(field, words, problems);
    }
}

fn words_of(field: &str, words: &str, problems: &mut Problems) {
    if let Err(musicgen::Error::Range { allowed, got, .. }) = musicgen::check_words("prompt", words) {
        problems.add(field, &format!("in {allowed}"), got);
    }
}

/// What a request says it should sound like.
pub(crate) fn words(request: &Generate) -> Words {
    Words {
        prompt: request.prompt.clone(),
        style: request.style.clone(),
        instruments: request.instruments.clone().unwrap_or_default(),
        mood: request.mood.clone(),
        tempo: request.tempo,
        key: request.key.clone(),
    }
}
