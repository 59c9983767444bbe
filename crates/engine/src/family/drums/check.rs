//! What a drummer may be asked for: every field, its range, and what holds when it is left out.

use partita_models::drums::{ALL_LANES, Lanes, Sampling, lanes_of};
use partita_score::drums::parse_lanes;
use partita_score::{DrumClass, QuantizedDrums};

use super::kind::{DrumsKind, Manner};
use crate::Code;
use crate::family::check::{Check, Chosen, MOST_VARIATIONS, drawn, modelled, no_words};
use crate::family::limits::Size;
use crate::request::fields::{self, Offer};
use crate::request::groups::{Composed, Delivered, Played};
use crate::request::input::{self, Music};
use crate::request::problems::{Problems, text};
use crate::request::{Continue, FileFormat, Generate, Humanize, Infill, OutputFormat};

/// The style of new music when none is asked for.
const USUAL_STYLE: &str = "funk";
const USUAL_BARS: u32 = 4;
const SAMPLE_RATE: u32 = 44_100;
/// Bars that one request may play anew, all variations together: as many as it may generate.
const MOST_NEW_BARS: u64 = 32 * 64;
/// Bars of a piece that is worked on as a whole.
const MOST_BARS: u32 = 2048;

pub(crate) fn generate(request: &mut Generate, chosen: &Chosen, kind: &DrumsKind, check: &mut Check) {
    let usual = if kind.find(USUAL_STYLE).is_some() { USUAL_STYLE } else { "any" };
    let manner = manner(&mut request.style, usual, &chosen.name, kind, &mut check.problems);
    modelled(&mut request.modelled(), chosen);
    played(&mut request.played(), manner.as_ref(), check);
    drawn(&mut request.sampled(), MOST_VARIATIONS, Sampling::default(), check);
    let problems = &mut check.problems;
    let name = &chosen.name;
    no_words(request, name, problems);
    obeys(&request.composed(), name, problems);
    fields::format(&mut request.format, &mut request.files, problems);
    let bars = *request.bars.get_or_insert(USUAL_BARS);
    problems.whole("bars", 1..=32, Some(bars));
    fields::tempo("tempo", request.tempo, problems);
    let usual = manner.as_ref().map_or(100.0, |manner| manner.tempo);
    let tempo = *request.tempo.get_or_insert(usual);
    let time = *request.time_signature.get_or_insert([4, 4]);
    fields::time_signature("time_signature", Some(time), problems);
    fields::swing("swing", request.swing, problems);
    request.fill.get_or_insert(false);
    request.humanize.get_or_insert(true);
    let meter = fields::meter(time);
    if let Some(notes) = &request.seed_notes {
        let found = problems.count();
        input::notes("seed_notes", notes, problems);
        if let Some(meter) = meter.filter(|_| problems.count() == found && (40.0..=300.0).contains(&tempo)) {
            let drums = input::from_notes(notes, tempo, meter, "seed_notes").drums();
            drums.err().into_iter().for_each(|fault| problems.merge(fault));
        }
    }
    delivered(&mut request.delivered(), manner.as_ref(), true, check);
    if let Some(meter) = meter.filter(|_| (1..=32).contains(&bars) && (40.0..=300.0).contains(&tempo)) {
        let seconds = f64::from(bars) * meter.beats_per_bar() * 60.0 / tempo;
        let size = Size { seconds, bars, notes: 0 };
        tally(&size, request.files.as_ref(), request.variations, check);
    }
}

pub(crate) fn continue_(
    request: &mut Continue,
    music: Option<&Music>,
    chosen: &Chosen,
    kind: &DrumsKind,
    check: &mut Check,
) {
    let manner = manner(&mut request.style, "any", &chosen.name, kind, &mut check.problems);
    modelled(&mut request.modelled(), chosen);
    played(&mut request.played(), manner.as_ref(), check);
    drawn(&mut request.sampled(), MOST_VARIATIONS, Sampling::default(), check);
    obeys(&request.composed(), &chosen.name, &mut check.problems);
    let bars = *request.bars.get_or_insert(USUAL_BARS);
    check.problems.whole("bars", 1..=32, Some(bars));
    request.fill.get_or_insert(false);
    request.only_new.get_or_insert(false);
    delivered(&mut request.delivered(), manner.as_ref(), true, check);
    if let Some((music, drums)) = quantized(music, check) {
        let size = continued(music, &drums, bars.min(32), request.only_new == Some(true));
        tally(&size, request.files.as_ref(), request.variations, check);
    }
}

pub(crate) fn infill(
    request: &mut Infill,
    music: Option<&Music>,
    chosen: &Chosen,
    kind: &DrumsKind,
    check: &mut Check,
) {
    let manner = manner(&mut request.style, "any", &chosen.name, kind, &mut check.problems);
    modelled(&mut request.modelled(), chosen);
    played(&mut request.played(), manner.as_ref(), check);
    drawn(&mut request.sampled(), MOST_VARIATIONS, Sampling::default(), check);
    obeys(&request.composed(), &chosen.name, &mut check.problems);
    for (field, is_given) in [("track", request.track.is_some()), ("pitches", request.pitches.is_some())] {
        check.problems.useless(field, is_given, format_args!("{} plays drums", chosen.name));
    }
    delivered(&mut request.delivered(), manner.as_ref(), true, check);
    if let Some([first, last]) = request.bars.filter(|[first, last]| *first < 1 || first > last) {
        let allowed = "first and last bar counted from 1, first first";
        check.problems.add("bars", allowed, format_args!("[{first}, {last}]"));
        return;
    }
    if let Some((music, drums)) = quantized(music, check) {
        infill_bars(request, &drums, check);
        tally(&Size::of(&music.score), request.files.as_ref(), request.variations, check);
    }
}

/// Checks the bars to play anew against the piece, and fills them in.
pub(crate) fn infill_bars(request: &mut Infill, drums: &QuantizedDrums, check: &mut Check) {
    let last_bar = drums.pattern.bars;
    let [first, last] = *request.bars.get_or_insert([1, last_bar]);
    if last > last_bar {
        check.problems.add("bars", &format!("in 1..={last_bar}"), format_args!("[{first}, {last}]"));
        return;
    }
    let takes = request.variations.unwrap_or(1).max(1) as u64;
    if u64::from(last + 1 - first) * takes > MOST_NEW_BARS {
        let most = MOST_NEW_BARS / takes;
        let got = last + 1 - first;
        check.problems.add("bars", &format!("at most {most} bars with {takes} variations"), got);
    }
}

pub(crate) fn humanize(
    request: &mut Humanize,
    music: Option<&Music>,
    chosen: &Chosen,
    kind: &DrumsKind,
    check: &mut Check,
) {
    let manner = manner(&mut request.style, "any", &chosen.name, kind, &mut check.problems);
    modelled(&mut request.modelled(), chosen);
    let amount = *request.amount.get_or_insert(1.0);
    check.problems.real("amount", "[0, 1]", |amount| (0.0..=1.0).contains(&amount), Some(amount));
    fields::swing("swing", request.swing, &mut check.problems);
    delivered(&mut request.delivered(), manner.as_ref(), false, check);
    if let Some((music, drums)) = quantized(music, check) {
        humanize_bars(music, &drums, check);
        tally(&Size::of(&music.score), request.files.as_ref(), None, check);
    }
}

pub(crate) fn humanize_bars(music: &Music, drums: &QuantizedDrums, check: &mut Check) {
    if drums.pattern.bars > MOST_BARS {
        check.problems.add(music.field, &format!("at most {MOST_BARS} bars"), drums.pattern.bars);
    }
}

/// How long a piece is once `bars` new bars are played.
pub(crate) fn continued(music: &Music, drums: &QuantizedDrums, bars: u32, only_new: bool) -> Size {
    let pattern = &drums.pattern;
    let new = f64::from(bars) * pattern.meter.beats_per_bar() * 60.0 / pattern.tempo.max(1.0);
    if only_new {
        return Size { seconds: new, bars, notes: 0 };
    }
    let size = Size::of(&music.score);
    // Drums may end before the piece does.
    Size { seconds: size.seconds + new, bars: size.bars.max(pattern.bars.saturating_add(bars)), ..size }
}

fn quantized<'a>(music: Option<&'a Music>, check: &mut Check) -> Option<(&'a Music, QuantizedDrums)> {
    let music = music?;
    match music.drums() {
        Ok(drums) => Some((music, drums)),
        Err(fault) => {
            check.problems.merge(fault);
            None
        }
    }
}

/// Adds the files of a request to what the task makes.
pub(crate) fn tally(size: &Size, files: Option<&Vec<FileFormat>>, takes: Option<usize>, check: &mut Check) {
    let files = files.map(Vec::as_slice).unwrap_or_default();
    let takes = takes.unwrap_or(1).min(MOST_VARIATIONS);
    check.tally.add(size, files, takes, SAMPLE_RATE, &mut check.problems);
}

/// Refuses what a drummer cannot obey.
fn obeys(fields: &Composed, name: &str, problems: &mut Problems) {
    problems.useless("mood", fields.mood.is_some(), format_args!("{name} reads no words"));
    let key = ("key", fields.key.is_some());
    for (field, is_given) in fields.given().into_iter().chain([key]) {
        problems.useless(field, is_given, format_args!("{name} plays drums"));
    }
}

/// Looks a style up and writes its proper name back.
/// Looks a style up and writes its proper name back. `name`: the drummer's.
pub(crate) fn manner(
    style: &mut Option<String>,
    usual: &str,
    name: &str,
    kind: &DrumsKind,
    problems: &mut Problems,
) -> Option<Manner> {
    let asked = style.get_or_insert_with(|| usual.to_owned());
    if let Some(manner) = kind.find(asked) {
        asked.clone_from(&manner.name);
        return Some(manner);
    }
    let near = kind.nearest(asked);
    let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
    let detail = format!("must be a style of {name}, got {}{hint}", text(asked));
    let allowed = if near.is_empty() { kind.names() } else { near };
    problems.say(Code::UnknownStyle, "style", detail, Some(allowed.join(", ")));
    None
}

fn played(fields: &mut Played, manner: Option<&Manner>, check: &mut Check) {
    kit(fields.kit, manner, check);
    let problems = &mut check.problems;
    problems.real("density", "[0, 1]", |density| (0.0..=1.0).contains(&density), *fields.density);
    let [low, high] = *fields.velocity.get_or_insert([1, 127]);
    if low < 1 || high > 127 || low > high {
        let allowed = "lowest and highest in 1..=127, lowest first";
        problems.add("velocity", allowed, format_args!("[{low}, {high}]"));
    }
}

/// Checks the drums asked for and writes their proper names back.
fn kit(kit: &mut Option<Vec<String>>, manner: Option<&Manner>, check: &mut Check) {
    let Some(words) = kit else { return };
    // Every drum under every name it has is fewer.
    if !(1..=64).contains(&words.len()) {
        check.problems.add("kit", "1..=64 drums", words.len());
        return;
    }
    let mut drums = Vec::new();
    let mut known = true;
    for (index, word) in words.iter().enumerate() {
        match parse_lanes(word) {
            Ok(lanes) => drums.extend(lanes),
            Err(error) => {
                known = false;
                let (allowed, detail) = match error {
                    partita_score::Error::UnknownDrum { got, allowed, hint } => {
                        let hint = hint.replacen(',', ";", 1);
                        (Some(allowed.to_owned()), format!("must be one of {allowed}, got {got}{hint}"))
                    }
                    other => (None, other.to_string()),
                };
                check.problems.say(Code::InvalidRequest, &format!("kit/{index}"), detail, allowed);
            }
        }
    }
    if !known {
        return;
    }
    let asked = lanes_of(&drums);
    let played = manner.map_or(ALL_LANES, |manner| manner.lanes);
    let open: Lanes = std::array::from_fn(|index| asked[index] && played[index]);
    if let Some(manner) = manner.filter(|_| !open.contains(&true)) {
        let allowed = format!("drums of style {} ({})", manner.name, names(&played).join(", "));
        check.problems.add("kit", &allowed, names(&asked).join(", "));
    }
    *words = names(&asked).into_iter().map(str::to_owned).collect();
}

/// Names of drums.
pub(crate) fn names(lanes: &Lanes) -> Vec<&'static str> {
    DrumClass::ALL.into_iter().filter(|class| lanes[class.index()]).map(DrumClass::name).collect()
}

fn delivered(fields: &mut Delivered, manner: Option<&Manner>, has_tokens: bool, check: &mut Check) {
    let sound = manner.map_or("acoustic", |manner| manner.sound.as_str());
    let offer = Offer {
        format: Some(OutputFormat::Notes),
        files: &[FileFormat::Mid],
        sound,
        has_tokens,
        has_research: false,
        has_stems: false,
    };
    fields::delivered(fields, &offer, &mut check.problems);
}
