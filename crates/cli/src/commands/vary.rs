//! `vary`: pieces near a given one, by a MusicVAE, or by the writer of melodies ([`super::vary_melody`]).

use clap::Args;
use partita_models::latent::{Made, Vary};
use serde_json::json;

use super::{Place, vary_melody};
use crate::deliver::{Files, Input, Sound};
use crate::error::Result;
use crate::latent::{self, Drawing, Reading, Told};
use crate::obey::Obeying;
use crate::options;
use crate::output::Target;
use crate::report::CommandLine;
use crate::session::{Clock, Session};

#[derive(Args, Debug)]
pub struct Options {
    /// Music file to vary, - for stdin; the writer of melodies varies those that are longer than two bars of 4/4 or must
    /// obey, a MusicVAE the others
    #[arg(value_name = "IN")]
    pub input: Target,
    /// From the piece itself (0) to any piece (1), or the share of a longer melody's bars that are written anew; with
    /// --toward or --away how far that way, [-10, 10]
    #[arg(long, default_value_t = 0.3, value_parser = options::vary_amount, allow_negative_numbers = true)]
    pub amount: f64,
    /// How many variations, 1..=64
    #[arg(short = 'n', long, default_value_t = 1, value_parser = options::variations, allow_negative_numbers = true)]
    pub variations: usize,
    /// Make it more like these files
    #[arg(long, value_name = "MID", num_args = 1..)]
    pub toward: Vec<Target>,
    /// Make it less like these files
    #[arg(long, value_name = "MID", num_args = 1..)]
    pub away: Vec<Target>,
    /// Have the writer vary this track, the first is 1
    #[arg(long, value_parser = options::track, allow_negative_numbers = true)]
    pub track: Option<usize>,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub drawing: Drawing,
    #[command(flatten)]
    pub obeying: Obeying,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let input = Input::read(&options.input)?;
    if vary_melody::is_meant(options, &input, session)? {
        return vary_melody::run(options, session, input);
    }
    let model = latent::open(session, &options.place, latent::usual(&input))?;
    let mut compute = latent::compute()?;
    let example = options.reading.example(&model, &input)?;
    let toward = options.reading.examples(&model, &options.toward)?;
    let away = options.reading.examples(&model, &options.away)?;
    let settings = options.drawing.settings(&model, Some(example.tempo), 0.0)?;
    clock.lap("load");
    let mut delivery = options.files.plan(options.variations, Sound::Acoustic, session.json)?;
    let vary = Vary { amount: options.amount, count: options.variations, toward: &toward, away: &away };
    let Made { places, pieces: played } = latent::watched(session, |watch| {
        model.vary(&mut compute, &example, &vary, &settings.playing(), watch)
    })?;
    clock.lap("generate");
    let names: Vec<String> = (1..=played.len()).map(|number| number.to_string()).collect();
    latent::write(&mut delivery, &played, &names, None)?;
    clock.lap("render");
    let mut command = CommandLine::new(&["vary"]);
    command.word(&options.input.to_string());
    command.session(session);
    command.option("amount", options.amount);
    command.option("variations", options.variations);
    options.toward.iter().for_each(|file| command.option("toward", file));
    options.away.iter().for_each(|file| command.option("away", file));
    options.reading.echo(&mut command);
    settings.echo(&mut command);
    options.files.echo(Sound::Acoustic, &mut command);
    let more = json!({
        "amount": options.amount,
        "bar": example.bar,
        "examples": example.of,
        "input": latent::place(&places[0]),
    });
    let (played, seed) = (&played[..], settings.seed);
    latent::finish(Told { session, model: &model, seed, played, names, more, command, delivery, clock })
}
