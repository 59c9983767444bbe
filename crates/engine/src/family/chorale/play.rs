//! Requests for four voices, sung.

use std::time::Instant;

use partita_models::harmony::{Error, VOICES};
use partita_score::harmony::{Unit, recognize, symbol};

use super::Model;
use super::ask::{Ask, tell};
use super::check::tally;
use crate::family::check::{asked, late_check};
use crate::family::deliver::{Frame, PLAYED, Piece, Wanted, deliver, file_name, tell_bars};
use crate::family::{Made, Report, compute};
use crate::request::input::Music;
use crate::request::problems::Problems;
use crate::request::{Generate, Harmonize, Infill};
use crate::{ChordAt, Code, Fault};

/// What the files of a request are called.
const NAME: &str = "chorale";

/// Four new voices.
///
/// # Errors
/// See [`play`](crate::family::play).
pub(crate) fn generate(model: &Model, request: &Generate, report: &mut dyn Report) -> Result<Made, Fault> {
    let mut request = request.clone();
    let ask = asked(|problems| Ask::generate(&mut request, problems))?;
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    written(model, &ask, &wanted, report)
}

/// Bars of given voices anew.
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
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    written(model, &ask, &wanted, report)
}

/// The voices that are missing beside given ones.
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
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    written(model, &ask, &wanted, report)
}

fn written(model: &Model, ask: &Ask, wanted: &Wanted, report: &mut dyn Report) -> Result<Made, Fault> {
    late_check(|late| tally(ask, &wanted.files, late))?;
    let (clock, compute) = (Instant::now(), compute()?);
    let takes = model.harmonizer().complete(&compute, &ask.request, &mut |written| {
        let fraction = PLAYED * written.cells as f64 / written.of.max(1) as f64;
        report.progress("generate", fraction, written.cells as u64, written.of as u64)
    });
    let takes = takes.map_err(|error| fault(&error, ask.music))?;
    let generate_ms = clock.elapsed().as_secs_f64() * 1000.0;
    let (meter, tempo) = (ask.request.meter, ask.request.tempo);
    let mut frame = Frame {
        name: file_name(NAME, tempo, ask.bars, Some(ask.request.seed)),
        seed: Some(ask.request.seed),
        tempo,
        time_signature: [u32::from(meter.numerator), u32::from(meter.denominator)],
        bars: ask.bars,
        seconds: match &ask.sung {
            Some(sung) => sung.score.duration().0,
            None => f64::from(ask.bars) * meter.beats_per_bar() * 60.0 / tempo,
        },
        generate_ms,
        tokens: 0,
        updated: false,
    };
    let mut pieces = Vec::with_capacity(takes.len());
    for (variation, take) in takes.into_iter().enumerate() {
        frame.tokens += (take.steps.len() * VOICES) as u64;
        let (nats, cost) = (Some(take.nats), Some(take.cost));
        let score = ask.score(take);
        // The voices of a chorale end together, so none is settled much before the last.
        tell_bars(&score, variation, ask.bars, meter.beats_per_bar(), report);
        let chords = recognize(&score, Unit::Beat).into_iter().map(|change| ChordAt {
            start: change.at.beats(score.ppq).0,
            chord: symbol(change.chord.as_ref()),
        });
        let chords = Some(chords.collect());
        pieces.push(Piece { score, chords, nats, cost, ..Piece::default() });
    }
    model.count(frame.tokens);
    deliver(pieces, &frame, wanted, PLAYED, report)
}

/// What an error of the model means to whoever asked.
fn fault(error: &Error, music: &str) -> Fault {
    if matches!(error, Error::Cancelled) {
        return Fault::new(Code::Cancelled, "cancelled");
    }
    let mut problems = Problems::default();
    tell(error, music, &mut problems);
    problems.finish().err().unwrap_or_else(|| Fault::internal(error))
}
