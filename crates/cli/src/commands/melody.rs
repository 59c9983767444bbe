//! `generate melody`: a lead sheet, a melody with chords.

use clap::Args;
use partita_models::melody::{Harmony, Request, Writer};
use partita_nn::Rng;
use partita_score::harmony::Key;
use partita_score::picture::piano_roll;
use partita_score::{Meter, Score};

use crate::deliver::{Files, PictureFormat, Sound};
use crate::error::{Error, Result};
use crate::leads::{self, Written};
use crate::obey::{Harmonic, Obeying, Pitches};
use crate::options::{self, Tokens};
use crate::output::Target;
use crate::report::CommandLine;
use crate::session::{Clock, Session};
use crate::{model, progress};

#[derive(Args, Debug)]
pub struct Options {
    /// Bars to write, 1..=32
    #[arg(long, default_value_t = 8, value_parser = options::bars, allow_negative_numbers = true)]
    bars: u32,
    /// Time signature, as in 7/8
    #[arg(long, default_value_t = Meter::COMMON, value_parser = options::time, allow_hyphen_values = true)]
    time: Meter,
    /// Beats per minute, 40..=300
    #[arg(long, default_value_t = 110.0, value_parser = options::tempo, allow_negative_numbers = true)]
    tempo: f64,
    /// Style, as in pop, jazz, folk or lied; any if left out
    #[arg(long)]
    style: Option<String>,
    /// From few notes (0) to many (1); left to the model if not given
    #[arg(long, value_parser = options::density, allow_negative_numbers = true)]
    density: Option<f64>,
    #[command(flatten)]
    obeying: Obeying,
    #[command(flatten)]
    harmony: Harmonic,
    /// Let another model of this kind decide too, by its weight: the usual one has 1
    #[arg(long, value_name = "DIR=WEIGHT")]
    mix: Vec<String>,
    /// Write what the model looked at, the attention of every layer and head, for the first variation
    #[arg(long, value_name = "FILE.safetensors")]
    attention: Option<Target>,
    /// Draw it, the mean of layers and heads
    #[arg(long, value_name = "FILE.svg|png")]
    heat_map: Option<Target>,
    #[command(flatten)]
    tokens: Tokens,
    #[command(flatten)]
    files: Files,
}

/// A stream of the seed that no variation draws from, for what is drawn before the model writes.
const BEFORE: u64 = u64::MAX;

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let writer = mixed(model::writer(session)?, &options.mix)?;
    clock.lap("load");
    let tokens = &options.tokens;
    let mut delivery = options.files.plan(tokens.variations, Sound::Acoustic, session.json)?;
    let attention = options.attention.as_ref().map(|target| delivery.add("attention", target)).transpose()?;
    let heat_map = match &options.heat_map {
        None => None,
        Some(target) => Some((delivery.add("heat-map", target)?, PictureFormat::of(target)?)),
    };
    let seed = tokens.seed.unwrap_or_else(options::random_seed);
    let key = options.obeying.key(Some(Key::default()))?;
    let mut demands =
        options.obeying.demands(key, Pitches(57..=81), options.time, options.bars, options.tempo)?;
    let mut rng = Rng::new(seed, BEFORE);
    demands.chords = options.harmony.chords(key, &demands, &mut || rng.f64())?;
    let mut request = Request {
        key,
        style: options.style.clone(),
        density: options.density,
        chord_tones: key.map(Key::pitch_classes),
        sampling: tokens.sampling()?,
        variations: tokens.variations,
        ..Request::new(demands, seed)
    };
    if options.harmony.is_none() {
        request.harmony = Harmony::None;
    }
    let leads = progress::lead(session, |watch| writer.write(&compute, &request, watch))?;
    clock.lap("generate");
    let scores: Vec<Score> = leads.iter().map(|lead| lead.score(key, options.tempo)).collect();
    for (index, score) in scores.iter().enumerate() {
        delivery.write(index, score, || piano_roll(score), None)?;
    }
    if attention.is_some() || heat_map.is_some() {
        let seen = writer.attention(&compute, &leads[0])?;
        if let Some(slot) = attention {
            delivery.stream(slot, &mut |out| seen.write(out))?;
        }
        if let Some((slot, format)) = heat_map {
            let picture = format.encode(&seen.heat_map())?;
            delivery.stream(slot, &mut |out| out.write_all(&picture))?;
        }
    }
    clock.lap("render");
    let mut command = CommandLine::new(&["generate", "melody"]);
    command.session(session);
    command.option("bars", options.bars);
    command.option("time", options.time);
    command.option("tempo", options.tempo);
    command.maybe("style", options.style.as_ref());
    command.maybe("density", options.density);
    options.obeying.echo(key, &request.demands, &mut command);
    options.harmony.echo(&mut command);
    options.mix.iter().for_each(|mix| command.option("mix", mix));
    command.maybe("attention", options.attention.as_ref());
    command.maybe("heat-map", options.heat_map.as_ref());
    tokens.echo(seed, &mut command);
    options.files.echo(Sound::Acoustic, &mut command);
    leads::finish(Written {
        session,
        writer: &writer,
        seed,
        key,
        leads: &leads,
        first: 0,
        bars: leads[0].piece.bars,
        scores: &scores,
        anew: None,
        command,
        delivery,
        clock,
    })
}

/// The writer with those of `--mix`.
fn mixed(writer: Writer, mix: &[String]) -> Result<Writer> {
    if mix.is_empty() {
        return Ok(writer);
    }
    let other = |text: &String| -> Result<(Writer, f32)> {
        let wrong = || {
            Error::usage("mix", format!("mix must be a folder and a weight, as in mine=0.5, got {text:?}"))
        };
        let (folder, weight) = text.rsplit_once('=').ok_or_else(wrong)?;
        let weight = weight.parse().map_err(|_| wrong())?;
        Ok((model::writer_at(std::path::Path::new(folder))?, weight))
    };
    let others = mix.iter().map(other).collect::<Result<Vec<_>>>()?;
    Ok(writer.mixed(1.0, &others)?)
}
