//! `generate midi`: a new piece from a GPT-2 of MidiTok's tokens.

use clap::Args;
use partita_models::midi_gpt::Request;
use partita_score::harmony::Key;
use partita_score::picture::piano_roll;
use partita_score::{Meter, Score, TempoMap, Tick};
use partita_tokens::miditok::{Limits, TimeSignature};

use super::Place;
use crate::deliver::{Files, Sound};
use crate::error::Result;
use crate::midi_gpt::{self, Told};
use crate::obey::{self, Pitches};
use crate::options::{self, Programs, Tokens};
use crate::report::CommandLine;
use crate::session::{Clock, Session};

#[derive(Args, Debug)]
pub struct Options {
    /// Bars to write, 1..=512 (REMI); as many as the model likes if left out
    #[arg(long, value_parser = options::many_bars, allow_negative_numbers = true)]
    bars: Option<u32>,
    /// Tokens after which a piece is brought to its end, 1..=65536
    #[arg(long, default_value_t = 1024, value_parser = options::max_tokens, allow_negative_numbers = true)]
    max_tokens: usize,
    /// Key, as in "F# minor", Bb or "D dorian": no note outside its scale but drums; any if left out
    #[arg(long, value_name = "KEY|any")]
    key: Option<String>,
    /// Lowest and highest note but drums, as in 55-79 or G3-G5
    #[arg(long, value_name = "LOW-HIGH", value_parser = obey::range, allow_hyphen_values = true)]
    range: Option<Pitches>,
    /// The only time signature, as in 3/4
    #[arg(long, value_parser = options::time, allow_hyphen_values = true)]
    time: Option<Meter>,
    /// Beats per minute, 40..=300; what the model says, else 120, if left out
    #[arg(long, value_parser = options::tempo, allow_negative_numbers = true)]
    tempo: Option<f64>,
    /// Instruments that may play, as General MIDI counts them from 0: 0,33,drums
    #[arg(long, value_parser = options::programs)]
    programs: Option<Programs>,
    #[command(flatten)]
    tokens: Tokens,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    files: Files,
}

/// What new notes obey.
pub fn limits(key: Option<Key>, range: Option<&Pitches>) -> Limits {
    let any = Limits::default();
    Limits {
        pitches: range.map_or(any.pitches, |range| range.0.clone()),
        pitch_classes: std::array::from_fn(|class| key.is_none_or(|key| key.contains(class as u8))),
        ..any
    }
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let key = obey::key(options.key.as_deref(), None)?;
    let model = midi_gpt::open(session, &options.place)?;
    clock.lap("load");
    let tokens = &options.tokens;
    let mut delivery = options.files.plan(tokens.variations, Sound::Acoustic, session.json)?;
    let seed = tokens.seed.unwrap_or_else(options::random_seed);
    let signature = options.time.map(|meter| TimeSignature {
        numerator: meter.numerator.into(),
        denominator: meter.denominator.into(),
    });
    let request = Request {
        limits: Limits {
            bars: options.bars,
            signature,
            programs: options.programs.as_ref().map(|programs| programs.0.clone()),
            ..limits(key, options.range.as_ref())
        },
        max_tokens: options.max_tokens,
        sampling: tokens.sampling()?,
        variations: tokens.variations,
        ..Request::new(seed)
    };
    let pieces = midi_gpt::write(session, &model, &request)?;
    clock.lap("generate");
    let score = |score: &Score| {
        let mut score = score.clone();
        score.keys = key.map(|key| key.change(Tick(0))).into_iter().collect();
        if let Some(tempo) = options.tempo {
            score.tempos = TempoMap::constant(tempo);
        }
        score
    };
    let scores: Vec<Score> = pieces.iter().map(|piece| score(&piece.score)).collect();
    for (index, score) in scores.iter().enumerate() {
        delivery.write(index, score, || piano_roll(score), None)?;
    }
    clock.lap("render");
    let command = echo(options, session, seed);
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

fn echo(options: &Options, session: &Session, seed: u64) -> CommandLine {
    let mut command = CommandLine::new(&["generate", "midi"]);
    command.session(session);
    command.maybe("bars", options.bars);
    command.option("max-tokens", options.max_tokens);
    command.maybe("key", options.key.as_ref());
    command.maybe("range", options.range.as_ref());
    command.maybe("time", options.time);
    command.maybe("tempo", options.tempo);
    command.maybe("programs", options.programs.as_ref());
    options.tokens.echo(seed, &mut command);
    options.files.echo(Sound::Acoustic, &mut command);
    command
}
