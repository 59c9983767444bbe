//! `continue` with a GPT-2 of MidiTok's tokens.

use partita_models::midi_gpt::{Piece, Request};
use partita_nn::Sampling;
use partita_score::picture::piano_roll;
use partita_score::{Score, midi};
use partita_tokens::miditok::Limits;

use super::continue_::Options;
use super::midi::limits;
use crate::deliver::{Input, Sound};
use crate::error::{Error, Kind, Result};
use crate::midi_gpt::{self, Told};
use crate::options::{self, LaneList};
use crate::report::CommandLine;
use crate::session::{Clock, Session};

/// `--bars` if nothing else was said.
const USUAL_BARS: u32 = 4;

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    refuse(options)?;
    let (key, range) = options.obeying.key_and_range()?;
    let input = Input::read(&options.input)?;
    let model = midi_gpt::open(session, &options.place)?;
    clock.lap("load");
    let playing = &options.playing;
    let mut delivery = options.files.plan(playing.variations, Sound::Acoustic, session.json)?;
    let seed = playing.seed.unwrap_or_else(options::random_seed);
    // Other formats are as long as --max-tokens says; asked for bars, they say that they have none.
    let bars = (midi_gpt::has_bars(&model) || options.bars != USUAL_BARS).then_some(options.bars);
    let request = Request {
        limits: Limits { bars, ..limits(key, range.as_ref()) },
        given: Some(given(&input, options.track)?),
        max_tokens: options.max_tokens,
        sampling: Sampling {
            temperature: playing.temperature as f32,
            top_k: playing.top_k,
            top_p: playing.top_p as f32,
            ..Sampling::default()
        },
        variations: playing.variations,
        ..Request::new(seed)
    };
    let pieces = midi_gpt::write(session, &model, &request).map_err(|error| match error.kind {
        Kind::Failed if error.field.as_deref() == Some("input") => {
            Error::new(Kind::Failed, "input", format!("{}: {}", input.name, error.message))
        }
        _ => error,
    })?;
    clock.lap("generate");
    let score = |piece: &Piece| if options.only_new { piece.new.clone() } else { piece.after(&input.score) };
    let scores: Vec<Score> = pieces.iter().map(score).collect();
    for (index, score) in scores.iter().enumerate() {
        delivery.write(index, score, || piano_roll(score), None)?;
    }
    clock.lap("render");
    let mut command = CommandLine::new(&["continue"]);
    command.word(&options.input.to_string());
    command.session(session);
    command.maybe("bars", bars);
    command.maybe("track", options.track.map(|track| track + 1));
    command.option("max-tokens", options.max_tokens);
    command.flag("only-new", options.only_new);
    command.maybe("key", key);
    command.maybe("range", range.as_ref());
    command.option("variations", playing.variations);
    command.option("seed", seed);
    command.option("temperature", playing.temperature);
    command.option("top-k", playing.top_k);
    command.option("top-p", playing.top_p);
    options.files.echo(Sound::Acoustic, &mut command);
    midi_gpt::finish(Told {
        session,
        model: &model,
        seed,
        key,
        pieces: &pieces,
        scores: &scores,
        command,
        delivery,
        clock,
    })
}

/// What the model reads: the file, or one track of it.
fn given(input: &Input, track: Option<usize>) -> Result<Vec<u8>> {
    let Some(index) = track else { return Ok(input.bytes.clone()) };
    let tracks = &input.score.tracks;
    let track = tracks.get(index).ok_or_else(|| {
        let message = format!("track must be in 1..={} of {}, got {}", tracks.len(), input.name, index + 1);
        Error::usage("track", message)
    })?;
    Ok(midi::write(&Score { tracks: vec![track.clone()], ..input.score.clone() }))
}

/// Options of the drummer and the melody writer that this model has nothing for.
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
            Err(Error::usage(field, format!("{field} must be left out with a GPT-2, which knows none")))
        }
        None => Ok(()),
    }
}
