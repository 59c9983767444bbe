//! Requests for an arranger, played.

use std::time::Instant;

use partita_models::arrange::{Error, arrange_by_rule, splice};
use partita_models::melody::{Lead, Progress};
use partita_score::Tick;
use partita_score::harmony::symbol;
use partita_tokens::song::{CELLS, Part};

use super::Model;
use super::ask::{Ask, tell};
use super::check::tally;
use crate::family::check::{asked, late_check};
use crate::family::deliver::{Frame, PLAYED, Piece, Wanted, deliver, file_name, tell_bars};
use crate::family::limits::bars;
use crate::family::{Made, Report};
use crate::request::Arrange;
use crate::request::input::Music;
use crate::request::problems::Problems;
use crate::{ChordAt, Code, Fault};

/// What the files of a request are called.
const NAME: &str = "arrangement";

/// A bass and a piano under a melody.
///
/// # Errors
/// See [`play`](crate::family::play).
pub(crate) fn arrange(
    model: &Model,
    request: &Arrange,
    music: &Music,
    report: &mut dyn Report,
) -> Result<Made, Fault> {
    let mut request = request.clone();
    let ask = asked(|problems| Ask::read(&mut request, music, problems))?;
    late_check(|late| tally(&ask, &request, late))?;
    let clock = Instant::now();
    let mut watch = |it: &Progress| {
        let fraction = PLAYED * f64::from(it.bars) / f64::from(it.total_bars.max(1));
        report.progress("generate", fraction, u64::from(it.bars), u64::from(it.total_bars))
    };
    let made = if ask.players.has_model() {
        model.arranger().arrange_all(model.player(), &ask.requests, &mut watch)
    } else {
        ask.requests.iter().map(arrange_by_rule).collect()
    };
    let made = made.map_err(|error| {
        if matches!(error, Error::Cancelled) {
            return Fault::new(Code::Cancelled, "cancelled");
        }
        let mut problems = Problems::default();
        tell(&error, &request, music.field, &mut problems);
        problems.finish().err().unwrap_or_else(|| Fault::internal(error))
    })?;
    let generate_ms = clock.elapsed().as_secs_f64() * 1000.0;
    let (score, heard) = (&ask.tune.score, &ask.tune.heard);
    let meter = heard.piece.meter;
    let chords = chords(&ask.lead);
    let mut tokens = 0;
    let mut pieces = Vec::new();
    for (variation, take) in made.into_iter().flatten().enumerate() {
        tokens += take.ids.len() as u64;
        let new = splice(score, heard, &take, &ask.bars, &ask.players.parts());
        let score = if ask.renames { ask.lead.rename_chords(new, &ask.bars) } else { new };
        tell_bars(&score, variation, bars(&score), meter.beats_per_bar(), report);
        let by = |part: Part| take.made[part.index()].to_string();
        let made = [("bass", by(Part::Bass)), ("chords", ask.chords.into()), ("piano", by(Part::Piano))];
        pieces.push(Piece {
            score,
            chords: Some(chords.clone()),
            made: Some(made.into_iter().map(|(part, by)| (part.to_owned(), by)).collect()),
            nats: Some(take.nats),
            cost: Some(take.cost),
            ..Piece::default()
        });
    }
    let (tempo, all) = (score.tempos.bpm_at(Tick(0)), heard.piece.bars);
    let frame = Frame {
        name: file_name(NAME, tempo, all, request.seed),
        seed: request.seed,
        tempo,
        time_signature: [u32::from(meter.numerator), u32::from(meter.denominator)],
        bars: all,
        seconds: pieces.first().map_or(0.0, |piece| piece.score.duration().0),
        generate_ms,
        tokens,
        updated: false,
    };
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    let wanted = Wanted { stems: request.stems == Some(true), ..wanted };
    deliver(pieces, &frame, &wanted, PLAYED, report)
}

/// The chords of a lead sheet, in beats.
pub(crate) fn chords(lead: &Lead) -> Vec<ChordAt> {
    let chord = |(cell, chord): &(u32, Option<_>)| ChordAt {
        start: f64::from(*cell) / f64::from(CELLS),
        chord: symbol(chord.as_ref()),
    };
    lead.chords.iter().map(chord).collect()
}
