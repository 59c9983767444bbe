//! What a writer may be asked for: every field, its range, and what holds when it is left out.

use partita_models::drums::Sampling;

use super::ask::Ask;
use super::kind::MelodyKind;
use super::obey;
use crate::Code;
use crate::family::check::{Check, Chosen, MOST_VARIATIONS, drawn, modelled, no_drums, no_words};
use crate::family::limits::Size;
use crate::request::fields::{self, Offer};
use crate::request::groups::{Delivered, Played, Sampled};
use crate::request::input::{self, MOST_TRACKS, Music};
use crate::request::problems::text;
use crate::request::{Continue, FileFormat, Generate, Harmonize, Infill, OutputFormat};

/// No style.
pub(crate) const ANY: &str = "any";
const USUAL_BARS: u32 = 8;
const USUAL_NEW_BARS: u32 = 4;
pub(crate) const USUAL_TEMPO: f64 = 110.0;
/// The profile that holds when none is asked for.
const USUAL_PROFILE: &str = "balanced";
const SAMPLE_RATE: u32 = 44_100;

pub(crate) fn generate(request: &mut Generate, chosen: &Chosen, kind: &MelodyKind, check: &mut Check) {
    let found = check.problems.count();
    modelled(&mut request.modelled(), chosen);
    style(&mut request.style, chosen, kind, check);
    played(&mut request.played(), &chosen.name, check);
    sampled(&mut request.sampled(), check);
    let (problems, name) = (&mut check.problems, &chosen.name);
    no_words(request, name, problems);
    no_drums(request, name, problems);
    fields::format(&mut request.format, &mut request.files, problems);
    let bars = *request.bars.get_or_insert(USUAL_BARS);
    problems.whole("bars", 1..=32, Some(bars));
    let tempo = *request.tempo.get_or_insert(USUAL_TEMPO);
    fields::tempo("tempo", Some(tempo), problems);
    let time = *request.time_signature.get_or_insert([4, 4]);
    fields::time_signature("time_signature", Some(time), problems);
    let has_notes = request.seed_notes.is_some();
    obey::fill_in(&mut request.composed(), has_notes);
    if let Some(notes) = &request.seed_notes {
        input::notes("seed_notes", notes, problems);
    }
    delivered(&mut request.delivered(), check);
    if check.problems.count() > found {
        return;
    }
    let Some(ask) = Ask::generate(request, &mut check.problems) else { return };
    let all = ask.bars().end;
    let seconds = f64::from(all) * ask.meter().beats_per_bar() * 60.0 / ask.tempo();
    let size = Size { seconds, bars: all, notes: request.seed_notes.as_ref().map_or(0, Vec::len) };
    tally(&size, request.files.as_ref(), request.variations, check);
}

pub(crate) fn continue_(
    request: &mut Continue,
    music: Option<&Music>,
    chosen: &Chosen,
    kind: &MelodyKind,
    check: &mut Check,
) {
    let found = check.problems.count();
    modelled(&mut request.modelled(), chosen);
    style(&mut request.style, chosen, kind, check);
    played(&mut request.played(), &chosen.name, check);
    sampled(&mut request.sampled(), check);
    let bars = *request.bars.get_or_insert(USUAL_NEW_BARS);
    check.problems.whole("bars", 1..=32, Some(bars));
    check.problems.useless("fill", request.fill.is_some(), format_args!("{} plays no drums", chosen.name));
    request.only_new.get_or_insert(false);
    obey::fill_in(&mut request.composed(), true);
    delivered(&mut request.delivered(), check);
    let Some(music) = music.filter(|_| check.problems.count() == found) else { return };
    let Some(ask) = Ask::continue_(request, music, &mut check.problems) else { return };
    let size = continued(&ask, request.only_new == Some(true));
    tally(&size, request.files.as_ref(), request.variations, check);
}

pub(crate) fn infill(
    request: &mut Infill,
    music: Option<&Music>,
    chosen: &Chosen,
    kind: &MelodyKind,
    check: &mut Check,
) {
    let found = check.problems.count();
    modelled(&mut request.modelled(), chosen);
    style(&mut request.style, chosen, kind, check);
    played(&mut request.played(), &chosen.name, check);
    sampled(&mut request.sampled(), check);
    check.problems.whole("track", 1..=MOST_TRACKS, request.track);
    if let Some([low, high]) = request.pitches.filter(|[low, high]| low > high || *high > 127) {
        let allowed = "lowest and highest in 0..=127, lowest first";
        check.problems.add("pitches", allowed, format_args!("[{low}, {high}]"));
    }
    obey::fill_in(&mut request.composed(), true);
    delivered(&mut request.delivered(), check);
    let Some(music) = music.filter(|_| check.problems.count() == found) else { return };
    if Ask::infill(request, music, &mut check.problems).is_some() {
        tally(&Size::of(&music.score), request.files.as_ref(), request.variations, check);
    }
}

pub(crate) fn harmonize(
    request: &mut Harmonize,
    music: Option<&Music>,
    chosen: &Chosen,
    kind: &MelodyKind,
    check: &mut Check,
) {
    let found = check.problems.count();
    modelled(&mut request.modelled(), chosen);
    style(&mut request.style, chosen, kind, check);
    sampled(&mut request.sampled(), check);
    check.problems.whole("chords_per_bar", 1..=8, Some(*request.chords_per_bar.get_or_insert(2)));
    delivered(&mut request.delivered(), check);
    let Some(music) = music.filter(|_| check.problems.count() == found) else { return };
    if Ask::harmonize(request, music, &mut check.problems).is_some() {
        tally(&Size::of(&music.score), request.files.as_ref(), request.variations, check);
    }
}

/// How long a piece is once the new bars are written.
pub(crate) fn continued(ask: &Ask, only_new: bool) -> Size {
    let bars = ask.new.end - ask.new.start;
    let seconds = |bars: u32| f64::from(bars) * ask.meter().beats_per_bar() * 60.0 / ask.tempo();
    let Some(tune) = ask.music.as_ref().filter(|_| !only_new) else {
        return Size { seconds: seconds(bars), bars, notes: 0 };
    };
    let size = Size::of(&tune.score);
    // A melody may end before the piece does.
    Size { seconds: size.seconds + seconds(bars), bars: size.bars.max(tune.heard.piece.bars + bars), ..size }
}

/// Adds the files of a request to what the task makes.
pub(crate) fn tally(size: &Size, files: Option<&Vec<FileFormat>>, takes: Option<usize>, check: &mut Check) {
    let files = files.map(Vec::as_slice).unwrap_or_default();
    let takes = takes.unwrap_or(1).min(MOST_VARIATIONS);
    check.tally.add(size, files, takes, SAMPLE_RATE, &mut check.problems);
}

/// Looks a style up and writes its proper name back.
fn style(style: &mut Option<String>, chosen: &Chosen, kind: &MelodyKind, check: &mut Check) {
    let asked = style.get_or_insert_with(|| ANY.to_owned());
    if asked.trim().eq_ignore_ascii_case(ANY) {
        ANY.clone_into(asked);
        return;
    }
    if let Some(name) = kind.find(asked) {
        name.clone_into(asked);
        return;
    }
    let near = kind.nearest(asked);
    let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
    let detail = format!("must be a style of {}, got {}{hint}", chosen.name, text(asked));
    let allowed = if near.is_empty() { kind.names().to_vec() } else { near };
    check.problems.say(Code::UnknownStyle, "style", detail, Some(allowed.join(", ")));
}

fn played(fields: &mut Played, name: &str, check: &mut Check) {
    let problems = &mut check.problems;
    problems.useless("kit", fields.kit.is_some(), format_args!("{name} plays no drums"));
    problems.useless("velocity", fields.velocity.is_some(), format_args!("{name} writes no velocities"));
    problems.real("density", "[0, 1]", |density| (0.0..=1.0).contains(&density), *fields.density);
}

pub(crate) fn sampled(fields: &mut Sampled, check: &mut Check) {
    let profile = check.config.profiles.get(USUAL_PROFILE);
    let plain = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0 };
    let usual = profile.map_or(plain, |profile| Sampling {
        temperature: profile.temperature.unwrap_or(plain.temperature),
        top_k: profile.top_k.unwrap_or(plain.top_k),
        top_p: profile.top_p.unwrap_or(plain.top_p),
    });
    drawn(fields, MOST_VARIATIONS, usual, check);
}

fn delivered(fields: &mut Delivered, check: &mut Check) {
    let offer = Offer {
        format: Some(OutputFormat::Notes),
        files: &[FileFormat::Mid],
        sound: "acoustic",
        has_tokens: true,
        has_research: true,
        has_stems: false,
    };
    fields::delivered(fields, &offer, &mut check.problems);
}
