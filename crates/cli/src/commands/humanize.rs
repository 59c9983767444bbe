//! `humanize`: the drums of a MIDI file as a drummer would play them.

use std::fmt::Write;
use std::sync::Arc;

use clap::Args;
use partita_kernels::Compute;
use partita_models::drums::Humanize;
use partita_models::latent::Feel;
use partita_score::picture::drum_grid;
use partita_score::{DrumPattern, Hit, edit, edit::Touch};
use serde_json::{Value, json};

use super::Place;
use crate::deliver::{Delivery, Files, Input, Sound};
use crate::error::{Error, Result};
use crate::output::Target;
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};
use crate::{latent, model, options, progress, takes};

#[derive(Args, Debug)]
pub struct Options {
    /// MIDI file with drums on channel 10, - for stdin
    #[arg(value_name = "IN.mid")]
    input: Target,
    /// From the file as it is (0) to the model's performance (1)
    #[arg(long, default_value_t = 1.0, value_parser = options::amount, allow_negative_numbers = true)]
    amount: f64,
    /// A style, `any`, or a profile in a YAML file; a profile gives its base style here, not its timing or
    /// fixed strokes
    #[arg(long, default_value = ANY, value_name = "NAME|FILE.yaml")]
    style: String,
    /// Number all randomness comes from; drawn and printed if left out
    #[arg(long, value_parser = options::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    files: Files,
}

/// What plays, and what it made of the drums.
struct Performed {
    /// One for each hit.
    touches: Vec<Touch>,
    style: String,
    sound: Sound,
    model: Value,
    delivery: Delivery,
}

/// The style that is none in particular.
const ANY: &str = "any";
/// How far a groove model strays from the middle of what fits.
const SPREAD: f32 = 0.3;

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let input = Input::read(&options.input)?;
    let drums = input.drums()?;
    let (seed, amount) = (options.seed.unwrap_or_else(options::random_seed), options.amount);
    let Performed { touches, style, sound, model, mut delivery } = if latent::is_asked_for(session) {
        if options.style != ANY {
            let message =
                format!("style must be {ANY} for a model that knows no styles, got {}", options.style);
            return Err(Error::usage("style", message));
        }
        let model = latent::open(session, &options.place, "")?;
        clock.lap("load");
        let delivery = options.files.plan(1, Sound::Acoustic, session.json)?;
        let mut compute = Compute::new(Arc::clone(&compute.pool), compute.path);
        let feel = Feel { seed, spread: SPREAD };
        let touches =
            latent::watched(session, |watch| model.humanize(&mut compute, &drums.pattern, feel, watch))?;
        let touches = blended(&drums.pattern, &touches, amount);
        Performed {
            touches,
            style: ANY.to_owned(),
            sound: Sound::Acoustic,
            model: latent::about(&model),
            delivery,
        }
    } else {
        let drummer = model::drummer(session)?;
        let style = model::style(&drummer, &options.style)?;
        clock.lap("load");
        let sound = Sound::of_style(&style);
        let delivery = options.files.plan(1, sound, session.json)?;
        let request = Humanize { style: style.clone(), seed, pattern: drums.pattern.clone(), amount };
        let strokes = progress::watch(session, |watch| drummer.humanize(&compute, &request, watch))?;
        let touches = strokes.iter().map(|stroke| Touch { velocity: stroke.velocity, offset: stroke.offset });
        Performed {
            touches: touches.collect(),
            style: style.name,
            sound,
            model: takes::model(&drummer),
            delivery,
        }
    };
    clock.lap("generate");
    let score = edit::perform(&input.score, &drums, &touches);
    // What a score does not hold (texts, running status) survives when there is nothing to change.
    let untouched = (score == input.score).then_some(&input.bytes[..]);
    let shown = touched(&drums.pattern, &touches);
    delivery.write(0, &score, || drum_grid(&shown), untouched)?;
    clock.lap("render");

    let step_ms = 15_000.0 / drums.pattern.tempo;
    let hits = drums.pattern.hits.iter().zip(&touches);
    let mean = |sum: f64| report::round(sum / touches.len() as f64, 2);
    let moved_ms =
        mean(hits.clone().map(|(hit, t)| (t.offset - f64::from(hit.offset)).abs() * step_ms).sum());
    let moved_velocity = mean(hits.map(|(hit, t)| (t.velocity - f64::from(hit.velocity)).abs()).sum());

    let mut command = CommandLine::new(&["humanize"]);
    command.word(&options.input.to_string());
    command.session(session);
    command.option("amount", amount);
    command.option("style", &options.style);
    command.option("seed", seed);
    options.files.echo(sound, &mut command);
    let (files, has_stdout) = delivery.summary();
    delivery.commit()?;
    clock.lap("write");
    let object = json!({
        "command": command.to_string(),
        "seed": seed,
        "style": style,
        "amount": amount,
        "tempo": report::round(shown.tempo, 3),
        "time": shown.meter.to_string(),
        "bars": shown.bars,
        "hits": report::hits(&shown),
        "mean_shift_ms": moved_ms,
        "mean_velocity_change": moved_velocity,
        "unmapped": drums.unmapped,
        "files": files,
        "model": model,
        "timing_ms": clock.to_json(),
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        let _ = writeln!(text, "{}", report::grid(session, &shown));
    }
    if !session.quiet {
        let hits = report::count(touches.len(), "hit");
        let _ = writeln!(text, "{hits} moved by {moved_ms} ms and {moved_velocity} velocity on average");
    }
    text += &report::ending(session, &files, &[("seed", &seed.to_string())], &command);
    session.remark(&format!("milliseconds {}", clock.to_json()));
    session.answer(&object, &text, has_stdout)
}

/// From the hits as they are (`amount` 0) to `touches` (1).
pub fn blended(pattern: &DrumPattern, touches: &[Touch], amount: f64) -> Vec<Touch> {
    let between = |from: f64, to: f64| if amount == 1.0 { to } else { from + amount * (to - from) };
    let one = |(hit, touch): (&Hit, &Touch)| Touch {
        velocity: between(f64::from(hit.velocity), touch.velocity),
        offset: between(f64::from(hit.offset), touch.offset),
    };
    pattern.hits.iter().zip(touches).map(one).collect()
}

/// The pattern as it is played now. Reading the performance back could fail: a late last stroke may come after a
/// metre change that the drums did not reach before.
pub fn touched(pattern: &DrumPattern, touches: &[Touch]) -> DrumPattern {
    let hits = pattern.hits.iter().zip(touches).map(|(hit, touch)| Hit {
        velocity: touch.velocity.round().clamp(1.0, 127.0) as u8,
        offset: touch.offset as f32,
        ..*hit
    });
    let mut touched = DrumPattern { hits: hits.collect(), ..*pattern };
    touched.sort();
    touched
}
