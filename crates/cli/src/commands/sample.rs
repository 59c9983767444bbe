//! `sample`: new pieces from nowhere in particular.

use clap::Args;
use serde_json::json;

use super::Place;
use crate::deliver::{Files, Sound};
use crate::error::Result;
use crate::latent::{self, Drawing, Told};
use crate::options;
use crate::report::CommandLine;
use crate::session::{Clock, Session};

#[derive(Args, Debug)]
pub struct Options {
    /// How many pieces, 1..=64
    #[arg(short = 'n', long, default_value_t = 1, value_parser = options::variations, allow_negative_numbers = true)]
    variations: usize,
    #[command(flatten)]
    drawing: Drawing,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let model = latent::open(session, &options.place, "melody-2bar")?;
    let mut compute = latent::compute()?;
    let settings = options.drawing.settings(&model, None, 0.5)?;
    clock.lap("load");
    let mut delivery = options.files.plan(options.variations, Sound::Acoustic, session.json)?;
    let played = latent::watched(session, |watch| {
        model.sample(&mut compute, options.variations, &settings.playing(), watch)
    })?;
    clock.lap("generate");
    let names: Vec<String> = (1..=played.len()).map(|number| number.to_string()).collect();
    latent::write(&mut delivery, &played, &names, None)?;
    clock.lap("render");
    let mut command = CommandLine::new(&["sample"]);
    command.session(session);
    command.option("variations", options.variations);
    settings.echo(&mut command);
    options.files.echo(Sound::Acoustic, &mut command);
    let (played, seed, more) = (&played[..], settings.seed, json!({}));
    latent::finish(Told { session, model: &model, seed, played, names, more, command, delivery, clock })
}
