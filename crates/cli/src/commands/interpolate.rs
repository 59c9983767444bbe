//! `interpolate`: the way from one piece to another.

use clap::{Args, ValueEnum};
use partita_models::latent::Made;
use partita_models::music_vae::latent::Blend;
use serde_json::json;

use super::Place;
use crate::deliver::{Files, Input, Sound};
use crate::error::Result;
use crate::latent::{self, Drawing, Reading, Told};
use crate::options;
use crate::output::Target;
use crate::report::{CommandLine, round};
use crate::session::{Clock, Session};

#[derive(Args, Debug)]
pub struct Options {
    /// MIDI file to begin with, - for stdin
    #[arg(value_name = "A.mid")]
    from: Target,
    /// MIDI file to end with
    #[arg(value_name = "B.mid")]
    to: Target,
    /// Pieces in all, both ends included, 2..=64
    #[arg(long, default_value_t = 7, value_parser = options::interpolation_steps, allow_negative_numbers = true)]
    steps: usize,
    /// The way between: spherical as Magenta's own, linear as magenta-js
    #[arg(long, value_enum, default_value = "spherical")]
    blend: Way,
    /// Write each piece into a file of its own instead of all after each other
    #[arg(long)]
    each: bool,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    drawing: Drawing,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    files: Files,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    Spherical,
    Linear,
}

impl Way {
    fn blend(self) -> Blend {
        match self {
            Way::Spherical => Blend::Spherical,
            Way::Linear => Blend::Linear,
        }
    }
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let (from, to) = (Input::read(&options.from)?, Input::read(&options.to)?);
    let model = latent::open(session, &options.place, latent::usual(&from))?;
    let mut compute = latent::compute()?;
    let ends = [options.reading.example(&model, &from)?, options.reading.example(&model, &to)?];
    let settings = options.drawing.settings(&model, Some(ends[0].tempo), 0.0)?;
    clock.lap("load");
    let count = if options.each { options.steps } else { 1 };
    let mut delivery = options.files.plan(count, Sound::Acoustic, session.json)?;
    let way = (options.steps, options.blend.blend());
    let Made { places, pieces: played } = latent::watched(session, |watch| {
        model.interpolate(&mut compute, [&ends[0], &ends[1]], way, &settings.playing(), watch)
    })?;
    clock.lap("generate");
    let part = |step: usize| round(step as f64 / (options.steps - 1) as f64 * 100.0, 1);
    let names: Vec<String> = (0..played.len()).map(|step| format!("{} %", part(step))).collect();
    latent::write(&mut delivery, &played, &names, (!options.each).then_some(model.bars()))?;
    clock.lap("render");
    let mut command = CommandLine::new(&["interpolate"]);
    command.word(&options.from.to_string());
    command.word(&options.to.to_string());
    command.session(session);
    command.option("steps", options.steps);
    command.option("blend", options.blend.blend().name());
    command.flag("each", options.each);
    options.reading.echo(&mut command);
    settings.echo(&mut command);
    options.files.echo(Sound::Acoustic, &mut command);
    let more = json!({ "blend": options.blend.blend().name(), "ends": places.iter().map(latent::place).collect::<Vec<_>>() });
    let (played, seed) = (&played[..], settings.seed);
    latent::finish(Told { session, model: &model, seed, played, names, more, command, delivery, clock })
}
