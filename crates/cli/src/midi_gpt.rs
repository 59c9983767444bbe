//! What the commands share that play a GPT-2 of MidiTok's tokens: which model, how it is watched, and what is told of
//! the result.

use std::fmt::Write;

use partita_models::midi_gpt::{Error as GptError, MidiGpt, Piece, Request};
use partita_score::Score;
use partita_score::harmony::Key;
use partita_tokens::miditok::Token;
use serde_json::{Value, json};

use crate::commands::Place;
use crate::deliver::Delivery;
use crate::error::{Error, Kind, Result};
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};
use crate::{cancel, leads, model, progress};

/// Whether `--model` names a GPT-2: a folder, or a model of the store.
pub fn is_asked_for(session: &Session, place: &Place) -> bool {
    let Some(path) = &session.model else { return false };
    if path.exists() {
        return MidiGpt::is_at(path);
    }
    let installed = place.store().ok().and_then(|store| store.find(path.to_str()?).ok());
    installed.is_some_and(|installed| MidiGpt::is_at(&installed.folder))
}

/// The model that `--model` names.
///
/// # Errors
/// No model, one of another kind, or a damaged one.
pub fn open(session: &Session, place: &Place) -> Result<MidiGpt> {
    let Some(path) = &session.model else {
        let message = "model must be a GPT-2 with MidiTok's tokenizer.json: --model DIR, or a name that \
                       `partita models import DIR` gave it";
        return Err(Error::usage("model", message));
    };
    let named = path.display().to_string();
    let folder = if path.exists() { path.clone() } else { place.find(session, &named)?.folder };
    Ok(MidiGpt::open(&named, &folder, model::PRECISION)?)
}

/// Whether its pieces have bars.
pub fn has_bars(model: &MidiGpt) -> bool {
    model.tokenizer().vocab().id_of(Token::Bar).is_some()
}

/// Plays a request with a bar of tokens, which stops at Ctrl-C.
///
/// # Errors
/// Those of [`MidiGpt::write`].
pub fn write(session: &Session, model: &MidiGpt, request: &Request) -> Result<Vec<Piece>> {
    let compute = crate::model::compute()?;
    cancel::listen();
    let bar = progress::bar(session, 0, "{bar:30} token {pos} of {len}");
    let pieces = model.write(&compute, request, &mut |progress| {
        bar.set_length(progress.max_tokens as u64);
        bar.set_position(progress.tokens as u64);
        cancel::flow()
    });
    bar.finish_and_clear();
    Ok(pieces?)
}

/// All there is to tell.
pub struct Told<'a> {
    pub session: &'a Session,
    pub model: &'a MidiGpt,
    pub seed: u64,
    pub key: Option<Key>,
    pub pieces: &'a [Piece],
    /// What was written to files, one a piece.
    pub scores: &'a [Score],
    pub command: CommandLine,
    pub delivery: Delivery,
    pub clock: Clock,
}

/// Gives the files their names and tells what they are.
///
/// # Errors
/// When a file cannot be named or nobody reads the answer.
pub fn finish(told: Told) -> Result<()> {
    let Told { session, model, seed, key, pieces, scores, command, delivery, mut clock } = told;
    let (files, has_stdout) = delivery.summary();
    let names: Vec<Vec<String>> = (0..pieces.len()).map(|index| delivery.names(index).to_vec()).collect();
    delivery.commit()?;
    clock.lap("write");
    let timing = clock.to_json();
    let takes = pieces.iter().zip(scores).zip(&names);
    let takes = takes.map(|((piece, score), files)| take(piece, score, files)).collect::<Result<Vec<_>>>()?;
    let warning = model.warning();
    let object = json!({
        "command": command.to_string(),
        "seed": seed,
        "key": key.map(|key| key.to_string()),
        "takes": takes,
        "files": files,
        "model": {
            "name": model.name(),
            "family": MidiGpt::FAMILY,
            "tokens": model.tokenizer().config().tokenization.name(),
        },
        "warning": warning,
        "timing_ms": timing,
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        for (index, piece) in pieces.iter().enumerate() {
            let _ = writeln!(text, "{:>8}  {}", index + 1, line(piece));
        }
    }
    if let Some(warning) = warning.filter(|_| !session.quiet) {
        let _ = writeln!(text, "warning {warning}");
    }
    text +=
        &report::ending(session, &files, &[("model", model.name()), ("seed", &seed.to_string())], &command);
    let (nats, cost) = pieces.iter().fold((0.0, 0.0), |(n, c), piece| (n + piece.nats, c + piece.cost));
    session.remark(&format!("{nats:.1} nats, demands cost {cost:.1} nats, milliseconds {timing}"));
    session.answer(&object, &text, has_stdout)
}

/// A piece in a line.
fn line(piece: &Piece) -> String {
    let notes: usize = piece.new.tracks.iter().map(|track| track.notes.len()).sum();
    let mut text = report::count(notes, "new note");
    let _ = write!(text, " in {}", report::count(piece.new.tracks.len(), "track"));
    if piece.bars > 0 {
        let _ = write!(text, ", {}", report::count(piece.bars as usize, "bar"));
    }
    let _ = write!(text, ", {}", report::count(piece.ids.len(), "token"));
    if piece.is_cut {
        text += ", brought to its end by --max-tokens";
    }
    text
}

fn take(piece: &Piece, score: &Score, files: &[String]) -> Result<Value> {
    Ok(json!({
        "variation": piece.variation,
        "notes": leads::notes(score)?,
        "bars": (piece.bars > 0).then_some(piece.bars),
        "tokens": piece.ids.len(),
        "ids": piece.ids,
        "cut": piece.is_cut,
        "nats": report::round(piece.nats, 3),
        "cost_nats": report::round(piece.cost, 3),
        "files": files,
    }))
}

impl From<GptError> for Error {
    fn from(error: GptError) -> Error {
        match &error {
            GptError::Range { field: "signature", .. } => Error::usage("time", &error),
            GptError::Range { field, .. } => Error::usage(&field.replace('_', "-"), &error),
            GptError::Demand(text) => {
                let field =
                    ["bars", "signature", "programs"].into_iter().find(|field| text.starts_with(field));
                Error::usage(
                    if field == Some("signature") { "time" } else { field.unwrap_or("range") },
                    &error,
                )
            }
            GptError::Input(_) => Error::new(Kind::Failed, "input", &error),
            GptError::Cancelled if cancel::requested() => Error::interrupted(),
            GptError::Cancelled => Error { kind: Kind::Cancelled, ..Error::failed(&error) },
            _ => Error::new(Kind::Failed, "model", &error),
        }
    }
}
