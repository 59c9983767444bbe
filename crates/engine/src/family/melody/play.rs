//! Requests for a writer, played.

use std::time::Instant;

use partita_models::melody::{Error, Lead};
use partita_score::Score;
use partita_score::harmony::symbol;
use partita_tokens::song::CELLS;

use super::Model;
use super::ask::{Ask, Into};
use super::check;
use super::line::{Tune, cut, with};
use super::obey::{self, Words};
use super::stream::Stream;
use super::tap::Tap;
use crate::family::check::{asked, late_check};
use crate::family::deliver::{Frame, PLAYED, Piece, Wanted, deliver, file_name};
use crate::family::limits::Size;
use crate::family::{Made, Report, compute};
use crate::request::input::Music;
use crate::request::problems::Problems;
use crate::request::{Continue, Generate, Harmonize, Infill, OutputFormat};
use crate::{ChordAt, Code, Fault};

/// What the files of a request are called when it has no style.
const NAME: &str = "melody";

/// A lead sheet.
///
/// # Errors
/// See [`play`](crate::family::play).
pub(crate) fn generate(model: &Model, request: &Generate, report: &mut dyn Report) -> Result<Made, Fault> {
    let mut request = request.clone();
    let ask = asked(|problems| Ask::generate(&mut request, problems))?;
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    let style = request.style.clone();
    written(
        model,
        &ask,
        false,
        style.as_deref(),
        Words::of(&request.composed()),
        "seed_notes",
        &wanted,
        report,
    )
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
    let ask = asked(|problems| Ask::continue_(&mut request, music, problems))?;
    let only_new = request.only_new == Some(true);
    late_check(|late| {
        let size = check::continued(&ask, only_new);
        check::tally(&size, request.files.as_ref(), request.variations, late);
    })?;
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    let style = request.style.clone();
    written(
        model,
        &ask,
        only_new,
        style.as_deref(),
        Words::of(&request.composed()),
        music.field,
        &wanted,
        report,
    )
}

/// Bars of the melody of a piece anew.
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
    let ask = asked(|problems| Ask::infill(&mut request, music, problems))?;
    late_check(|late| {
        check::tally(&Size::of(&music.score), request.files.as_ref(), request.variations, late);
    })?;
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    let style = request.style.clone();
    written(
        model,
        &ask,
        false,
        style.as_deref(),
        Words::of(&request.composed()).within(request.pitches.is_some()),
        music.field,
        &wanted,
        report,
    )
}

/// Chords for a melody.
///
/// # Errors
/// See [`play`](crate::family::play).
pub(crate) fn harmonize(
    model: &Model,
    request: &Harmonize,
    music: &Music,
    report: &mut dyn Report,
) -> Result<Made, Fault> {
    let mut request = request.clone();
    let ask = asked(|problems| Ask::harmonize(&mut request, music, problems))?;
    late_check(|late| {
        check::tally(&Size::of(&music.score), request.files.as_ref(), request.variations, late);
    })?;
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    written(model, &ask, false, request.style.as_deref(), Words::default(), music.field, &wanted, report)
}

/// Writes what is asked. `only_new`: the answer holds the new bars alone. `music`: the field that given notes are in.
#[expect(clippy::too_many_arguments, reason = "what all verbs share, called by them alone")]
fn written(
    model: &Model,
    ask: &Ask,
    only_new: bool,
    style: Option<&str>,
    fields: Words,
    music: &str,
    wanted: &Wanted,
    report: &mut dyn Report,
) -> Result<Made, Fault> {
    let clock = Instant::now();
    let sampling = ask.request.sampling.clone();
    let tap = Tap::new(model.player(), report, sampling, Stream::new(ask, only_new)?);
    let leads = model.writer().write(&tap, &ask.request, &mut |_| std::ops::ControlFlow::Continue(()));
    let updated = tap.updated();
    let leads = leads.map_err(|error| fault(&error, fields, music))?;
    let generate_ms = clock.elapsed().as_secs_f64() * 1000.0;
    let mut takes: Vec<Piece> = Vec::with_capacity(leads.len());
    let mut tokens = 0;
    for lead in leads {
        tokens += lead.ids.len() as u64;
        // As the largest thing there is to tell, for one take alone.
        let seen = if wanted.format == Some(OutputFormat::Research) && takes.is_empty() {
            attention(model, &lead)?
        } else {
            vec![]
        };
        takes.push(Piece { extra: seen, ..take(ask, only_new, lead) });
    }
    let bars = if only_new {
        ask.new.end - ask.new.start
    } else {
        let end = ask.bars().end;
        ask.music.as_ref().map_or(end, |tune| tune.heard.piece.bars.max(end))
    };
    let seconds = match takes.first().filter(|_| ask.music.is_some() && !only_new) {
        Some(take) => take.score.duration().0,
        None => f64::from(bars) * ask.meter().beats_per_bar() * 60.0 / ask.tempo(),
    };
    let name = style.filter(|style| *style != check::ANY).unwrap_or(NAME);
    let frame = Frame {
        name: file_name(name, ask.tempo(), bars, Some(ask.request.seed)),
        seed: Some(ask.request.seed),
        tempo: ask.tempo(),
        time_signature: [u32::from(ask.meter().numerator), u32::from(ask.meter().denominator)],
        bars,
        seconds,
        generate_ms,
        tokens,
        updated,
    };
    deliver(takes, &frame, wanted, PLAYED, report)
}

/// A file beside the usual ones: its name, its type and its bytes.
type Extra = (&'static str, &'static str, Vec<u8>);

/// What the model looked at, as tensors and as a picture; nothing of a lead sheet longer than its context.
fn attention(model: &Model, lead: &Lead) -> Result<Vec<Extra>, Fault> {
    let seen = match model.writer().attention(&compute()?, lead) {
        Ok(seen) => seen,
        Err(Error::Crowded { .. }) => return Ok(vec![]),
        Err(error) => return Err(Fault::internal(error)),
    };
    let mut tensors = Vec::new();
    seen.write(&mut tensors).map_err(|error| Fault::internal(error.kind()))?;
    let picture = seen.heat_map().to_svg().into_bytes();
    Ok(vec![
        ("attention.safetensors", "application/octet-stream", tensors),
        ("attention.svg", "image/svg+xml", picture),
    ])
}

/// What was asked for, out of what was written. `music`: that of `ask`, as far as it is wanted.
pub(super) fn score(ask: &Ask, music: Option<&Tune>, only_new: bool, lead: &Lead) -> Score {
    let new = || cut(lead, ask.new.clone());
    match music {
        _ if only_new => new().score(ask.key, ask.tempo()),
        None => lead.score(ask.key, ask.tempo()),
        Some(tune) if ask.into == Into::Chords => lead.harmonize(&tune.score),
        Some(tune) => with(tune, &new(), ask.bars(), &ask.pitches, ask.into == Into::Both),
    }
}

fn take(ask: &Ask, only_new: bool, lead: Lead) -> Piece {
    let score = score(ask, ask.music.as_ref(), only_new, &lead);
    let new = only_new.then(|| cut(&lead, ask.new.clone()));
    let from = if ask.music.is_some() && !only_new { ask.first } else { 0 };
    let told = new.as_ref().unwrap_or(&lead);
    let start = f64::from(from) * ask.meter().beats_per_bar();
    let chords = told.chords.iter().map(|(cell, chord)| ChordAt {
        start: start + f64::from(*cell) / f64::from(CELLS),
        chord: symbol(chord.as_ref()),
    });
    let chords: Vec<ChordAt> = chords.collect();
    Piece {
        score,
        chords: Some(chords).filter(|chords| !chords.is_empty()),
        nats: Some(lead.nats),
        cost: Some(lead.cost),
        prompt: Some(lead.prompt),
        ids: Some(lead.ids),
        ..Piece::default()
    }
}

/// What an error of the model means to whoever asked.
fn fault(error: &Error, fields: Words, music: &str) -> Fault {
    if matches!(error, Error::Cancelled) {
        return Fault::new(Code::Cancelled, "cancelled");
    }
    let mut problems = Problems::default();
    obey::tell(error, fields, music, &mut problems);
    problems.finish().err().unwrap_or_else(|| Fault::internal(error))
}
