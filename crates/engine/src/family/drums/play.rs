//! Requests for a drummer, played.

use std::time::Instant;

use partita_models::drums::{self as model, Common, Drummer, Error, Lanes, Sampling, Style, Take, lanes_of};
use partita_score::drums::parse_lanes;
use partita_score::edit::{self, Touch};
use partita_score::swing::{self, SwingUnit};
use partita_score::{DrumPattern, Hit, Meter, QuantizedDrums, Score, Tick};

use super::Model;
use super::check::{self, names};
use super::stream::{Listener, Place};
use crate::family::check::late_check;
use crate::family::deliver::{Frame, PLAYED, Piece, Wanted, deliver, file_name};
use crate::family::limits::Size;
use crate::family::model::Kind;
use crate::family::{Made, Report};
use crate::request::groups::{Played, Sampled};
use crate::request::input::{self, Music};
use crate::request::{Continue, Generate, Humanize, Infill, fields};
use crate::{Code, Fault, Problem};

/// New bars.
///
/// # Errors
/// See [`play`](crate::family::play).
pub(crate) fn generate(model: &Model, request: &Generate, report: &mut dyn Report) -> Result<Made, Fault> {
    let mut request = request.clone();
    let style = style(model, request.style.as_deref())?;
    let common = common(style, request.seed, sampling(&request.sampled()), &request.played())?;
    let time = request.time_signature.unwrap_or([4, 4]);
    let meter =
        fields::meter(time).ok_or_else(|| Fault::field("#/time_signature", fields::METERS, "another"))?;
    let tempo = request.tempo.unwrap_or_else(|| common.style.default_tempo());
    let bars = request.bars.unwrap_or(4);
    let (fill, variations) = (request.fill == Some(true), request.variations.unwrap_or(1));
    let (straight, place) = (request.humanize == Some(false), request.swing);
    let finish = |pattern: &mut DrumPattern| {
        if straight {
            pattern.hits.iter_mut().for_each(|hit| hit.offset = 0.0);
            pattern.sort();
        }
        if let Some(place) = place {
            // Out of range it was refused before anything was played.
            let _ = swing::apply(pattern, SwingUnit::Sixteenth, place);
        }
    };
    let frame = DrumPattern::empty(meter, tempo, bars);
    let end = Some(frame.to_score().length());
    let place = Place {
        frame,
        ppq: DrumPattern::PPQ,
        end,
        first_bar: 0,
        variations,
        sampling: common.sampling,
        finish: &finish,
    };
    let clock = Instant::now();
    let mut listener = Listener::new(report, place);
    let played = match &request.seed_notes {
        None => {
            let tempo = Some(tempo);
            let asked = model::Generate { common: common.clone(), bars, tempo, meter, fill, variations };
            model.drummer().generate(model.player(), &asked, &mut listener)
        }
        Some(notes) => {
            let before = input::from_notes(notes, tempo, meter, "seed_notes").drums()?.pattern;
            let asked = model::Continue { common: common.clone(), before, bars, fill, variations };
            model.drummer().continue_pattern(model.player(), &asked, &mut listener)
        }
    };
    let takes = played.map_err(fault)?;
    let updated = listener.end();
    let seconds = f64::from(bars) * meter.beats_per_bar() * 60.0 / tempo;
    let frame = Frame {
        name: file_name(&common.style.name, tempo, bars, Some(common.seed)),
        time_signature: time,
        bars,
        seconds,
        updated,
        ..framed(&common, tempo, clock, &takes)
    };
    let pieces = takes.into_iter().map(|take| {
        let mut pattern = take.pattern;
        finish(&mut pattern);
        let (ids, nats) = (Some(take.ids), Some(take.nats));
        Piece { score: pattern.to_score(), drums: Some(pattern), midi: None, ids, nats, ..Piece::default() }
    });
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    deliver(pieces.collect(), &frame, &wanted, PLAYED, report)
}

/// Bars after those of a piece.
///
/// # Errors
/// See [`play`](crate::family::play).
pub(crate) fn continue_(
    model: &Model,
    request: &Continue,
    music: &Music,
    report: &mut dyn Report,
) -> Result<Made, Fault> {
    let mut request = request.clone();
    let drums = music.drums()?;
    let new_bars = request.bars.unwrap_or(4);
    let only_new = request.only_new == Some(true);
    let variations = request.variations.unwrap_or(1);
    late_check(|check| {
        let size = check::continued(music, &drums, new_bars, only_new);
        check::tally(&size, request.files.as_ref(), request.variations, check);
    })?;
    let style = style(model, request.style.as_deref())?;
    let common = common(style, request.seed, sampling(&request.sampled()), &request.played())?;
    let mut before = drums.pattern;
    let start = before.steps();
    // The tempo that sounds where the new bars begin, which need not be that of the first stroke.
    before.tempo = music.score.tempos.bpm_at(tick(&music.score, start));
    let fill = request.fill == Some(true);
    let (meter, tempo) = (before.meter, before.tempo);
    let (first_bar, ppq) = if only_new { (0, DrumPattern::PPQ) } else { (before.bars, music.score.ppq) };
    let frame = DrumPattern::empty(meter, tempo, new_bars);
    let end = only_new.then(|| frame.to_score().length());
    let clock = Instant::now();
    let mut listener = Listener::new(
        report,
        Place { frame, ppq, end, first_bar, variations, sampling: common.sampling, finish: &|_| {} },
    );
    let asked = model::Continue { common: common.clone(), before, bars: new_bars, fill, variations };
    let takes = model.drummer().continue_pattern(model.player(), &asked, &mut listener).map_err(fault)?;
    let updated = listener.end();
    let framed = framed(&common, tempo, clock, &takes);
    let pieces: Vec<Piece> = takes
        .into_iter()
        .map(|take| {
            let score = if only_new {
                take.pattern.to_score()
            } else {
                let moved = take.pattern.hits.iter().map(|hit| Hit { step: hit.step + start, ..*hit });
                let mut score = edit::replace_hits(&music.score, &[], &moved.collect::<Vec<_>>());
                let end = tick(&music.score, start + take.pattern.steps());
                edit::hold_meter(&mut score, meter, end);
                score
            };
            let (ids, nats) = (Some(take.ids), Some(take.nats));
            Piece { score, drums: Some(take.pattern), midi: None, ids, nats, ..Piece::default() }
        })
        .collect();
    let all_bars = if only_new { new_bars } else { first_bar + new_bars };
    let seconds = if only_new {
        f64::from(new_bars) * meter.beats_per_bar() * 60.0 / tempo
    } else {
        pieces.first().map_or(0.0, |piece| piece.score.duration().0)
    };
    let frame = Frame {
        name: file_name(&common.style.name, tempo, all_bars, Some(common.seed)),
        time_signature: signature(meter),
        bars: all_bars,
        seconds,
        updated,
        ..framed
    };
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    deliver(pieces, &frame, &wanted, PLAYED, report)
}

/// Some bars and drums of a piece anew.
///
/// # Errors
/// See [`play`](crate::family::play).
pub(crate) fn infill(
    model: &Model,
    request: &Infill,
    music: &Music,
    report: &mut dyn Report,
) -> Result<Made, Fault> {
    let mut request = request.clone();
    let drums = music.drums()?;
    late_check(|check| {
        check::infill_bars(&mut request, &drums, check);
        check::tally(&Size::of(&music.score), request.files.as_ref(), request.variations, check);
    })?;
    let style = style(model, request.style.as_deref())?;
    let mut common = common(style, request.seed, sampling(&request.sampled()), &request.played())?;
    common.lanes = open_lanes(&common)?;
    let [first, last] = request.bars.unwrap_or([1, drums.pattern.bars]);
    let variations = request.variations.unwrap_or(1);
    let QuantizedDrums { pattern, sources, .. } = drums;
    let asked = model::Infill { common: common.clone(), pattern, bars: first.max(1) - 1..last, variations };
    let frame = DrumPattern { hits: vec![], ..asked.pattern };
    let place = Place {
        frame,
        ppq: music.score.ppq,
        end: None,
        first_bar: 0,
        variations,
        sampling: common.sampling,
        finish: &|_| {},
    };
    let clock = Instant::now();
    let mut listener = Listener::new(report, place);
    let takes = model.drummer().infill(model.player(), &asked, &mut listener).map_err(fault)?;
    let updated = listener.end();
    let pattern = &asked.pattern;
    let hits = || pattern.hits.iter();
    let removed: Vec<_> =
        hits().zip(&sources).filter(|(hit, _)| asked.opens(hit)).map(|(_, place)| *place).collect();
    let kept: Vec<Hit> = hits().filter(|hit| !asked.opens(hit)).copied().collect();
    let framed = framed(&common, pattern.tempo, clock, &takes);
    let pieces: Vec<Piece> = takes
        .into_iter()
        .map(|take| {
            let score = edit::replace_hits(&music.score, &removed, &take.pattern.hits);
            let mut whole = DrumPattern { hits: [&kept[..], &take.pattern.hits].concat(), ..*pattern };
            whole.sort();
            let (ids, nats) = (Some(take.ids), Some(take.nats));
            Piece { score, drums: Some(whole), midi: None, ids, nats, ..Piece::default() }
        })
        .collect();
    let frame = Frame {
        name: file_name(&common.style.name, pattern.tempo, pattern.bars, Some(common.seed)),
        time_signature: signature(pattern.meter),
        bars: pattern.bars,
        seconds: pieces.first().map_or(0.0, |piece| piece.score.duration().0),
        updated,
        ..framed
    };
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    deliver(pieces, &frame, &wanted, PLAYED, report)
}

/// A piece as a drummer would play it.
///
/// # Errors
/// See [`play`](crate::family::play).
pub(crate) fn humanize(
    model: &Model,
    request: &Humanize,
    music: &Music,
    report: &mut dyn Report,
) -> Result<Made, Fault> {
    let drums = music.drums()?;
    late_check(|check| {
        check::humanize_bars(music, &drums, check);
        check::tally(&Size::of(&music.score), request.files.as_ref(), None, check);
    })?;
    let style = style(model, request.style.as_deref())?;
    let seed = request.seed.unwrap_or(0);
    let (pattern, amount) = (drums.pattern.clone(), request.amount.unwrap_or(1.0));
    let frame = DrumPattern { hits: vec![], ..pattern };
    let place = Place {
        frame,
        ppq: music.score.ppq,
        end: None,
        first_bar: 0,
        variations: 1,
        sampling: Sampling::default(),
        finish: &|_| {},
    };
    let clock = Instant::now();
    let mut listener = Listener::new(report, place);
    let name = style.name.clone();
    let asked = model::Humanize { style, seed, pattern, amount };
    let strokes = model.drummer().humanize(model.player(), &asked, &mut listener).map_err(fault)?;
    let updated = listener.end();
    let generate_ms = clock.elapsed().as_secs_f64() * 1000.0;
    let pattern = &drums.pattern;
    let late = swing_of(pattern.meter, request.swing);
    let touches: Vec<Touch> = strokes
        .iter()
        .zip(&pattern.hits)
        .map(|(stroke, hit)| {
            let offset = match late.get((hit.step % pattern.meter.steps_per_bar().max(1)) as usize) {
                Some(late) if *late != 0.0 => (stroke.offset + late).clamp(-0.5, 0.499),
                _ => stroke.offset,
            };
            Touch { velocity: stroke.velocity, offset }
        })
        .collect();
    let score = edit::perform(&music.score, &drums, &touches);
    // What a score does not hold (texts, running status) survives when there is nothing to change.
    let midi = if score == music.score { music.bytes.clone() } else { None };
    let shown = touched(pattern, &touches);
    let tempo = pattern.tempo;
    let frame = Frame {
        name: file_name(&name, tempo, pattern.bars, Some(seed)),
        seed: Some(seed),
        tempo,
        time_signature: signature(pattern.meter),
        bars: pattern.bars,
        seconds: score.duration().0,
        generate_ms,
        tokens: 0,
        updated,
    };
    let piece = Piece { score, drums: Some(shown), midi, ..Piece::default() };
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    deliver(vec![piece], &frame, &wanted, PLAYED, report)
}

/// Steps by which each sixteenth of a bar comes late when it swings; empty when it does not.
fn swing_of(meter: Meter, place: Option<f64>) -> Vec<f64> {
    let Some(place) = place else { return vec![] };
    let late = |step: u32| {
        let straight = Hit { step, class: partita_score::DrumClass::Snare, velocity: 100, offset: 0.0 };
        // A second bar, so that nothing is held back by the end of the pattern.
        let mut alone = DrumPattern { hits: vec![straight], ..DrumPattern::empty(meter, 120.0, 2) };
        match swing::apply(&mut alone, SwingUnit::Sixteenth, place) {
            Ok(()) => alone.hits[0].position() - f64::from(step),
            Err(_) => 0.0,
        }
    };
    (0..meter.steps_per_bar()).map(late).collect()
}

/// The pattern as it is played now.
fn touched(pattern: &DrumPattern, touches: &[Touch]) -> DrumPattern {
    let hits = pattern.hits.iter().zip(touches).map(|(hit, touch)| Hit {
        velocity: touch.velocity.round().clamp(1.0, 127.0) as u8,
        offset: touch.offset as f32,
        ..*hit
    });
    let mut touched = DrumPattern { hits: hits.collect(), ..*pattern };
    touched.sort();
    touched
}

fn framed(common: &Common, tempo: f64, clock: Instant, takes: &[Take]) -> Frame {
    Frame {
        seed: Some(common.seed),
        tempo,
        generate_ms: clock.elapsed().as_secs_f64() * 1000.0,
        tokens: takes.iter().map(|take| take.ids.len() as u64).sum(),
        ..Frame::default()
    }
}

fn signature(meter: Meter) -> [u32; 2] {
    [u32::from(meter.numerator), u32::from(meter.denominator)]
}

/// Where a step begins.
fn tick(score: &Score, step: u32) -> Tick {
    // The cast saturates.
    Tick((f64::from(step) * f64::from(score.ppq.get()) / 4.0).round() as u32)
}

fn style(model: &Model, name: Option<&str>) -> Result<Style, Fault> {
    style_of(&model.description().kind, model.drummer(), name)
}

/// The style of a request that was checked; `kind` is the drummer's.
///
/// # Errors
/// `UnknownStyle` where the model under the name is another by now.
pub(crate) fn style_of(kind: &Kind, drummer: &Drummer, name: Option<&str>) -> Result<Style, Fault> {
    let name = name.unwrap_or("any");
    if let Kind::Drums(kind) = kind
        && let Some(style) = kind.style(name)
    {
        return Ok(style.clone());
    }
    if name == "any" {
        return Ok(drummer.any_style());
    }
    Err(Fault::new(Code::UnknownStyle, format!("this model has no style {name:?} any more")))
}

fn sampling(fields: &Sampled) -> Sampling {
    let usual = Sampling::default();
    Sampling {
        temperature: fields.temperature.unwrap_or(usual.temperature),
        top_k: fields.top_k.unwrap_or(usual.top_k),
        top_p: fields.top_p.unwrap_or(usual.top_p),
    }
}

fn common(style: Style, seed: Option<u64>, sampling: Sampling, fields: &Played) -> Result<Common, Fault> {
    let lanes = match fields.kit.as_ref() {
        None => model::ALL_LANES,
        Some(words) => {
            let drums = parse_lanes(&words.join(","));
            lanes_of(&drums.map_err(|error| Fault::new(Code::InvalidRequest, format!("kit: {error}")))?)
        }
    };
    let [low, high] = fields.velocity.unwrap_or([1, 127]);
    Ok(Common {
        style,
        seed: seed.unwrap_or(0),
        sampling,
        density: *fields.density,
        lanes,
        velocities: low..=high,
    })
}

/// Drums that are asked for and that the style can play: the strokes of any other would be lost for good.
fn open_lanes(common: &Common) -> Result<Lanes, Fault> {
    let kit = common.style.lanes();
    let lanes: Lanes = std::array::from_fn(|index| common.lanes[index] && kit[index]);
    if lanes.contains(&true) {
        return Ok(lanes);
    }
    let allowed = format!("drums of style {} ({})", common.style.name, names(&kit).join(", "));
    Err(Fault::field("#/kit", allowed, names(&common.lanes).join(", ")))
}

/// What an error of the model means to whoever asked.
pub(crate) fn fault(error: Error) -> Fault {
    let field = match &error {
        Error::Range { field, .. } => match *field {
            "top-p" => "top_p",
            "time" => "time_signature",
            field => field,
        },
        Error::Crowded { .. } => "input",
        Error::Cancelled => return Fault::new(Code::Cancelled, "cancelled"),
        Error::UnknownStyle { .. } => return Fault::new(Code::UnknownStyle, error),
        Error::Grammar(_) => return Fault::new(Code::InvalidRequest, error),
        _ => return Fault::internal(error),
    };
    let problem = Problem { pointer: format!("#/{field}"), detail: error.to_string(), allowed: None };
    Fault { errors: vec![problem], ..Fault::new(Code::InvalidRequest, error) }
}
