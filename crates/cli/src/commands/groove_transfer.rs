//! `groove-transfer`: one beat with the feel of another.

use std::fmt::Write;

use clap::Args;
use partita_models::latent::Feel;
use partita_score::picture::drum_grid;
use partita_score::{GrooveTemplate, edit};
use serde_json::json;

use super::Place;
use super::humanize::{blended, touched};
use crate::deliver::{Files, Input, Sound};
use crate::error::{Error, Kind, Result};
use crate::output::Target;
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};
use crate::{latent, options};

#[derive(Args, Debug)]
pub struct Options {
    /// MIDI file with the drums whose feel is wanted, - for stdin
    #[arg(value_name = "FROM.mid")]
    from: Target,
    /// MIDI file with the drums that are to have it
    #[arg(value_name = "TO.mid")]
    to: Target,
    /// From the second file as it is (0) to the feel of the first (1)
    #[arg(long, default_value_t = 1.0, value_parser = options::amount, allow_negative_numbers = true)]
    amount: f64,
    /// Number all randomness comes from, with --model; drawn and printed if left out
    #[arg(long, value_parser = options::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let (from, to) = (Input::read(&options.from)?, Input::read(&options.to)?);
    let (heard, drums) = (from.drums()?, to.drums()?);
    clock.lap("load");
    let mut delivery = options.files.plan(1, Sound::Acoustic, session.json)?;
    let wrong = |error: partita_score::Error| Error::new(Kind::Failed, "input", error);
    let (touches, played, seed) = if session.model.is_some() {
        let model = latent::open(session, &options.place, "")?;
        let mut compute = latent::compute()?;
        let seed = options.seed.unwrap_or_else(options::random_seed);
        let feel = Feel { seed, spread: 0.0 };
        let patterns = [&heard.pattern, &drums.pattern];
        let touches =
            latent::watched(session, |watch| model.transfer_groove(&mut compute, patterns, feel, watch))?;
        (touches, latent::about(&model), Some(seed))
    } else {
        let groove = GrooveTemplate::of(&heard.pattern).map_err(wrong)?;
        (groove.touches(&drums.pattern).map_err(wrong)?, json!({ "family": "template" }), None)
    };
    clock.lap("generate");
    let touches = blended(&drums.pattern, &touches, options.amount);
    let score = edit::perform(&to.score, &drums, &touches);
    let untouched = (score == to.score).then_some(&to.bytes[..]);
    let shown = touched(&drums.pattern, &touches);
    delivery.write(0, &score, || drum_grid(&shown), untouched)?;
    clock.lap("render");
    let mut command = CommandLine::new(&["groove-transfer"]);
    command.word(&options.from.to_string());
    command.word(&options.to.to_string());
    command.session(session);
    command.option("amount", options.amount);
    command.maybe("seed", seed);
    options.files.echo(Sound::Acoustic, &mut command);
    let (files, has_stdout) = delivery.summary();
    delivery.commit()?;
    clock.lap("write");
    let object = json!({
        "command": command.to_string(),
        "seed": seed,
        "amount": options.amount,
        "tempo": report::round(shown.tempo, 3),
        "bars": shown.bars,
        "hits": report::hits(&shown),
        "files": files,
        "model": played,
        "timing_ms": clock.to_json(),
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        let _ = writeln!(text, "{}", report::grid(session, &shown));
    }
    text += &report::ending(session, &files, &[], &command);
    session.remark(&format!("milliseconds {}", clock.to_json()));
    session.answer(&object, &text, has_stdout)
}
