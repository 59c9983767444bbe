//! `drumify`: drums that go with the rhythm of any part.

use clap::Args;
use partita_models::latent::Feel;
use partita_score::edit;
use partita_score::picture::drum_grid;
use serde_json::json;
use std::fmt::Write;

use super::Place;
use crate::deliver::{Files, Input, Sound};
use crate::error::{Error, Kind, Result};
use crate::latent;
use crate::options;
use crate::output::Target;
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};

#[derive(Args, Debug)]
pub struct Options {
    /// MIDI file whose rhythm counts, - for stdin
    #[arg(value_name = "IN.mid")]
    input: Target,
    /// Write the drums without the part they go with
    #[arg(long)]
    only_new: bool,
    /// Number all randomness comes from; drawn and printed if left out
    #[arg(long, value_parser = options::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// From the drums that go best with the rhythm (0) to any that do (1)
    #[arg(long, default_value_t = 0.5, value_parser = options::spread, allow_negative_numbers = true)]
    spread: f64,
    /// Boldness, [0, 4]: 0 hits what is likelier hit than not
    #[arg(long, default_value_t = 1.0, value_parser = options::any_temperature, allow_negative_numbers = true)]
    temperature: f64,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let input = Input::read(&options.input)?;
    let model = latent::open(session, &options.place, "groove-tap")?;
    let mut compute = latent::compute()?;
    let piece = input.sequence()?;
    clock.lap("load");
    let mut delivery = options.files.plan(1, Sound::Acoustic, session.json)?;
    let seed = options.seed.unwrap_or_else(options::random_seed);
    let feel = Feel { seed, spread: options.spread as f32 };
    let how = (feel, options.temperature as f32);
    let drums = latent::watched(session, |watch| model.drumify(&mut compute, &piece, how, watch)).map_err(
        |error| match error.field.as_deref() {
            Some("input") => Error::new(Kind::Failed, "input", format!("{}: {}", input.name, error.message)),
            _ => error,
        },
    )?;
    clock.lap("generate");
    let score =
        if options.only_new { drums.to_score() } else { edit::replace_hits(&input.score, &[], &drums.hits) };
    delivery.write(0, &score, || drum_grid(&drums), None)?;
    clock.lap("render");
    let mut command = CommandLine::new(&["drumify"]);
    command.word(&options.input.to_string());
    command.session(session);
    command.flag("only-new", options.only_new);
    command.option("seed", seed);
    command.option("spread", options.spread);
    command.option("temperature", options.temperature);
    options.files.echo(Sound::Acoustic, &mut command);
    let (files, has_stdout) = delivery.summary();
    delivery.commit()?;
    clock.lap("write");
    let object = json!({
        "command": command.to_string(),
        "seed": seed,
        "tempo": report::round(drums.tempo, 3),
        "bars": drums.bars,
        "hits": report::hits(&drums),
        "files": files,
        "model": latent::about(&model),
        "timing_ms": clock.to_json(),
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        let _ = writeln!(text, "{}", report::grid(session, &drums));
    }
    let facts = [("model", model.name()), ("seed", &seed.to_string())];
    text += &report::ending(session, &files, &facts, &command);
    session.remark(&format!("milliseconds {}", clock.to_json()));
    session.answer(&object, &text, has_stdout)
}
