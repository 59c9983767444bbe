//! `generate melody`: a lead sheet, a melody with chords.

use std::fmt::Write;

use clap::Args;
use partita_models::melody::{Harmony, Lead, Request, Writer};
use partita_nn::Rng;
use partita_score::harmony::{Key, symbol};
use partita_score::picture::piano_roll;
use partita_score::{Meter, Score, notation};
use partita_tokens::song::{CELLS, Part};
use serde_json::{Value, json};

use crate::deliver::{Files, Sound};
use crate::error::{Error, Result};
use crate::obey::{Harmonic, Obeying};
use crate::options::{self, Tokens};
use crate::report::{self, CommandLine};
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
    let writer = model::writer(session)?;
    clock.lap("load");
    let tokens = &options.tokens;
    let mut delivery = options.files.plan(tokens.variations, Sound::Acoustic, session.json)?;
    let seed = tokens.seed.unwrap_or_else(options::random_seed);
    let key = options.obeying.key()?;
    let mut demands = options.obeying.demands(options.time, options.bars, options.tempo)?;
    let mut rng = Rng::new(seed, BEFORE);
    demands.chords = options.harmony.chords(key, &demands, &mut || rng.f64())?;
    let mut request = Request {
        key,
        style: options.style.clone(),
        density: options.density,
        chord_tones: options.obeying.chord_tones()?,
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
    clock.lap("render");
    let mut command = CommandLine::new(&["generate", "melody"]);
    command.session(session);
    command.option("bars", options.bars);
    command.option("time", options.time);
    command.option("tempo", options.tempo);
    command.maybe("style", options.style.as_ref());
    command.maybe("density", options.density);
    options.obeying.echo(&mut command);
    options.harmony.echo(&mut command);
    tokens.echo(seed, &mut command);
    options.files.echo(Sound::Acoustic, &mut command);
    let (files, has_stdout) = delivery.summary();
    let names: Vec<Vec<String>> = (0..leads.len()).map(|index| delivery.names(index).to_vec()).collect();
    delivery.commit()?;
    clock.lap("write");
    let takes = leads.iter().zip(&scores).zip(&names);
    let timing = clock.to_json();
    let object = json!({
        "command": command.to_string(),
        "seed": seed,
        "key": key.map(|key| key.to_string()),
        "tempo": report::round(options.tempo, 3),
        "time": options.time.to_string(),
        "bars": options.bars,
        "takes": takes.map(|((lead, score), files)| take(lead, score, files)).collect::<Result<Vec<_>>>()?,
        "files": files,
        "model": told(&writer),
        "timing_ms": timing,
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        for (index, lead) in leads.iter().enumerate() {
            if leads.len() > 1 {
                let _ = writeln!(text, "take {} of {}", index + 1, leads.len());
            }
            text += &sheet(lead, key);
        }
    }
    text += &report::ending(session, &files, &[("seed", &seed.to_string())], &command);
    let written: usize = leads.iter().map(|lead| lead.ids.len()).sum();
    let (nats, cost) = leads.iter().fold((0.0, 0.0), |(n, c), lead| (n + lead.nats, c + lead.cost));
    session.remark(&format!(
        "{written} tokens, {nats:.1} nats, demands cost {cost:.1} nats, milliseconds {timing}"
    ));
    session.answer(&object, &text, has_stdout)
}

fn take(lead: &Lead, score: &Score, files: &[String]) -> Result<Value> {
    let notes: Value = serde_json::from_str(&notation::notes::write(score))
        .map_err(|error| Error::failed(format!("notes: {error}")))?;
    Ok(json!({
        "variation": lead.variation,
        "notes": notes,
        "nats": report::round(lead.nats, 3),
        "cost_nats": report::round(lead.cost, 3),
        "tokens": lead.ids.len(),
        "files": files,
    }))
}

fn told(writer: &Writer) -> Value {
    json!({ "family": writer.config.family, "sha256": writer.config.sha256 })
}

/// A line a bar: its chords, and its notes by name; a dot is half a beat that a note rings on, a dash one of silence.
fn sheet(lead: &Lead, key: Option<Key>) -> String {
    let piece = &lead.piece;
    let (length, half) = (piece.cells_per_bar(), CELLS / 2);
    let melody = piece.part(Part::Melody);
    let chord_of = |bar: u32| {
        let inside = lead.chords.iter().filter(|(cell, _)| cell / length == bar);
        inside.map(|(_, chord)| symbol(chord.as_ref())).collect::<Vec<_>>().join(" ")
    };
    let width = (0..piece.bars).map(|bar| chord_of(bar).chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for bar in 0..piece.bars {
        let _ = write!(text, "{:>3} | {:width$} |", bar + 1, chord_of(bar));
        for slot in (bar * length..(bar + 1) * length).step_by(half as usize) {
            let inside = |cell: u32| (slot..slot + half).contains(&cell);
            let begun: Vec<_> = melody.iter().filter(|note| inside(note.onset)).collect();
            for note in &begun {
                let name = key.unwrap_or_default().spell(note.pitch);
                let _ = write!(text, " {name}{}", name.octave(note.pitch));
            }
            if begun.is_empty() {
                let rings = melody.iter().any(|note| note.onset < slot && note.end > slot);
                text += if rings { " ." } else { " -" };
            }
        }
        text.push('\n');
    }
    text
}
