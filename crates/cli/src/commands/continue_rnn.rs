//! `continue --model attention_rnn`: a piece played on by one of Magenta's event RNNs.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use partita_kernels::Compute;
use partita_models::event_rnn::{Beam, Bundle, Error as RnnError, EventRnn, Further};
use partita_nn::{Precision, Sampling};
use partita_score::picture::piano_roll;
use partita_score::{NoteSequence, Score, Track};
use serde_json::json;

use super::continue_::Options;
use crate::deliver::{Input, Sound};
use crate::error::{Error, Kind, Result};
use crate::options::LaneList;
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};
use crate::{cancel, latent, model, options, progress};

/// The bundle that `--model` names, if it names one, and where it is said to be.
pub fn asked_for(session: &Session) -> Option<(&'static str, &Path)> {
    let path = session.model.as_deref()?;
    let name = path.file_name()?.to_string_lossy();
    // Not by extension: names have dots of their own.
    let stem = name.strip_suffix(".mag").unwrap_or(&name);
    Some((Bundle::find(stem).ok()?.id, path))
}

pub fn run(options: &Options, session: &Session, (name, path): (&str, &Path)) -> Result<()> {
    let mut clock = Clock::start();
    refuse(options)?;
    let input = Input::read(&options.input)?;
    let rnn = if path.exists() {
        EventRnn::open(name, path, Precision::F32)?
    } else {
        let installed = options.place.find(session, &path.to_string_lossy())?;
        EventRnn::open(installed.called(), &installed.folder, Precision::F32)?
    };
    let compute = model::compute()?;
    let mut compute = Compute::new(Arc::clone(&compute.pool), compute.path);
    clock.lap("load");
    let playing = &options.playing;
    let mut delivery = options.files.plan(playing.variations, Sound::Acoustic, session.json)?;
    let seed = playing.seed.unwrap_or_else(options::random_seed);
    let further = Further {
        bars: options.bars,
        sampling: Sampling {
            temperature: playing.temperature as f32,
            top_k: playing.top_k,
            top_p: playing.top_p as f32,
            ..Sampling::default()
        },
        beam: Beam::default(),
        seed,
        variations: playing.variations,
    };
    let piece = input.sequence()?;
    cancel::listen();
    let bar = progress::bar(session, 0, "{bar:30} event {pos} of {len}");
    let played = rnn.continue_sequence(&mut compute, &piece, &further, &mut |progress| {
        bar.set_length(progress.of as u64);
        bar.set_position(progress.events as u64);
        cancel::flow()
    });
    bar.finish_and_clear();
    let played = played.map_err(|error| match error {
        RnnError::Piece(_) => Error::new(Kind::Failed, "input", format!("{}: {error}", input.name)),
        error => error.into(),
    })?;
    clock.lap("generate");
    for (index, notes) in played.iter().enumerate() {
        let new =
            NoteSequence { ticks_per_quarter: input.score.ppq.get().into(), ..notes.clone() }.to_score();
        let score = if options.only_new { new } else { joined(&input.score, new) };
        delivery.write(index, &score, || piano_roll(&score), None)?;
    }
    clock.lap("render");
    let mut command = CommandLine::new(&["continue"]);
    command.word(&options.input.to_string());
    command.session(session);
    command.option("bars", options.bars);
    command.flag("only-new", options.only_new);
    command.option("variations", playing.variations);
    command.option("seed", seed);
    command.option("temperature", playing.temperature);
    command.option("top-k", playing.top_k);
    command.option("top-p", playing.top_p);
    options.files.echo(Sound::Acoustic, &mut command);
    let (files, has_stdout) = delivery.summary();
    delivery.commit()?;
    clock.lap("write");
    let takes = played.iter().map(|notes| json!({ "sequence": notes.to_json_value() }));
    let object = json!({
        "command": command.to_string(),
        "seed": seed,
        "bars": options.bars,
        "takes": takes.collect::<Vec<_>>(),
        "files": files,
        "model": { "name": rnn.bundle().id, "family": "event_rnn" },
        "timing_ms": clock.to_json(),
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        for (index, notes) in played.iter().enumerate() {
            let _ = writeln!(text, "{:>8}  {}", index + 1, latent::line(notes));
        }
    }
    let facts = [("model", rnn.bundle().id), ("seed", &seed.to_string())];
    text += &report::ending(session, &files, &facts, &command);
    session.remark(&format!("milliseconds {}", clock.to_json()));
    session.answer(&object, &text, has_stdout)
}

/// Options of the drummer that an event RNN has nothing for.
fn refuse(options: &Options) -> Result<()> {
    let playing = &options.playing;
    let given = [
        ("style", options.style != "any"),
        ("kit", options.kit.lanes != LaneList::default().lanes),
        ("fill", options.fill),
        ("density", playing.density.is_some()),
        ("velocity", playing.velocity.0 != (1..=127)),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((field, _)) => {
            Err(Error::usage(field, format!("{field} must be left out with an event RNN, which knows none")))
        }
        None => Ok(()),
    }
}

/// The piece with the new notes, in the tracks whose sound they have. Both count in the same ticks.
fn joined(score: &Score, new: Score) -> Score {
    let mut score = score.clone();
    for track in new.tracks {
        let same = |other: &&mut Track| {
            other.is_drums() == track.is_drums() && (track.is_drums() || other.program == track.program)
        };
        match score.tracks.iter_mut().find(|other| !other.notes.is_empty() && same(other)) {
            Some(other) => {
                other.notes.extend(track.notes);
                other.notes.sort_by_key(|note| note.onset);
            }
            None => score.tracks.push(track),
        }
    }
    score
}

impl From<RnnError> for Error {
    fn from(error: RnnError) -> Error {
        match &error {
            RnnError::Range { field, .. } => Error::usage(field, &error),
            RnnError::UnknownBundle { .. } => Error::new(Kind::NotFound, "model", &error),
            RnnError::Cancelled if cancel::requested() => Error::interrupted(),
            RnnError::Cancelled => Error { kind: Kind::Cancelled, ..Error::failed(&error) },
            RnnError::Piece(_) => Error::new(Kind::Failed, "input", &error),
            _ => Error::new(Kind::Failed, "model", &error),
        }
    }
}
