//! `generate drums`: a new pattern in a style.

use clap::Args;
use partita_models::drums::{Common, Generate};
use partita_score::Meter;
use partita_score::picture::drum_grid;
use partita_score::swing::{self, SwingUnit};

use crate::deliver::{Files, Sound};
use crate::error::Result;
use crate::options::{self, LaneList, Playing};
use crate::report::CommandLine;
use crate::session::{Clock, Session};
use crate::takes::{self, Played};
use crate::{model, progress};

#[derive(Args, Debug)]
pub struct Options {
    /// A style, `any`, or a profile in a YAML file; see `partita styles list`
    #[arg(long, default_value = "funk", value_name = "NAME|FILE.yaml")]
    style: String,
    /// Bars to play, 1..=32
    #[arg(long, default_value_t = 4, value_parser = options::bars, allow_negative_numbers = true)]
    bars: u32,
    /// Beats per minute, 40..=300; the style's own if left out
    #[arg(long, value_parser = options::tempo, allow_negative_numbers = true)]
    tempo: Option<f64>,
    /// Time signature, as in 7/8
    #[arg(long, default_value_t = Meter::COMMON, value_parser = options::time, allow_hyphen_values = true)]
    time: Meter,
    /// Drums that may sound, as in kick,snare,hihat
    #[arg(long, value_parser = options::kit, default_value_t)]
    kit: LaneList,
    /// Make the last bar a fill
    #[arg(long)]
    fill: bool,
    /// Place of the off-beat sixteenth, [0.5, 0.75]: 0.5 straight, 0.67 triplets
    #[arg(long, value_parser = options::swing, allow_negative_numbers = true)]
    swing: Option<f64>,
    #[command(flatten)]
    playing: Playing,
    #[command(flatten)]
    files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let drummer = model::drummer(session)?;
    let style = model::style(&drummer, &options.style)?;
    clock.lap("load");
    let sound = Sound::of_style(&style);
    let playing = &options.playing;
    let mut delivery = options.files.plan(playing.variations, sound, session.json)?;
    let seed = playing.seed.unwrap_or_else(options::random_seed);
    let request = Generate {
        common: Common {
            style: style.clone(),
            seed,
            sampling: playing.sampling(),
            density: playing.density,
            lanes: options.kit.lanes,
            velocities: playing.velocity.0.clone(),
        },
        bars: options.bars,
        tempo: options.tempo,
        meter: options.time,
        fill: options.fill,
        variations: playing.variations,
    };
    let mut played = progress::watch(session, |watch| drummer.generate(&compute, &request, watch))?;
    clock.lap("generate");
    for (index, take) in played.iter_mut().enumerate() {
        if let Some(place) = options.swing {
            swing::apply(&mut take.pattern, SwingUnit::Sixteenth, place)?;
        }
        delivery.write(index, &take.pattern.to_score(), || drum_grid(&take.pattern), None)?;
    }
    clock.lap("render");
    let mut command = CommandLine::new(&["generate", "drums"]);
    command.session(session);
    command.option("style", &options.style);
    command.option("bars", options.bars);
    command.option("tempo", played[0].pattern.tempo);
    command.option("time", options.time);
    command.option("kit", &options.kit);
    command.flag("fill", options.fill);
    command.maybe("swing", options.swing);
    playing.echo(seed, &mut command);
    options.files.echo(sound, &mut command);
    let shown: Vec<_> = played.iter().map(|take| take.pattern.clone()).collect();
    let style = &style.name;
    let bars = String::new();
    let takes = &played;
    let shown = &shown;
    takes::finish(Played {
        session,
        drummer: &drummer,
        style,
        seed,
        bars,
        takes,
        shown,
        command,
        delivery,
        clock,
    })
}
