//! The answer of a command that played something: files first, then what is told of them.

use std::fmt::Write;

use partita_models::drums::{Drummer, Take};
use partita_score::DrumPattern;
use serde_json::{Value, json};

use crate::deliver::Delivery;
use crate::error::Result;
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};

/// All there is to tell.
pub struct Played<'a> {
    pub session: &'a Session,
    pub drummer: &'a Drummer,
    pub style: &'a str,
    pub seed: u64,
    /// Which bars the grids show, empty for all.
    pub bars: String,
    pub takes: &'a [Take],
    /// What the grid of each take shows.
    pub shown: &'a [DrumPattern],
    pub command: CommandLine,
    pub delivery: Delivery,
    pub clock: Clock,
}

/// Gives the files their names and tells what they are.
///
/// # Errors
/// When a file cannot be named or nobody reads the answer.
pub fn finish(played: Played) -> Result<()> {
    let Played { session, drummer, style, seed, bars, takes, shown, command, delivery, mut clock } = played;
    let (files, has_stdout) = delivery.summary();
    let names: Vec<Vec<String>> = (0..takes.len()).map(|index| delivery.names(index).to_vec()).collect();
    delivery.commit()?;
    clock.lap("write");
    let objects = takes.iter().zip(&names).map(|(take, files)| {
        json!({
            "variation": take.variation,
            "hits": report::hits(&take.pattern),
            "nats": report::round(take.nats, 3),
            "tokens": take.tokens(),
            "files": files,
        })
    });
    let pattern = &takes[0].pattern;
    let timing = clock.to_json();
    let object = json!({
        "command": command.to_string(),
        "seed": seed,
        "style": style,
        "tempo": report::round(pattern.tempo, 3),
        "time": pattern.meter.to_string(),
        "bars": pattern.bars,
        "takes": objects.collect::<Vec<_>>(),
        "files": files,
        "model": model(drummer),
        "timing_ms": timing,
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        for (index, pattern) in shown.iter().enumerate() {
            if shown.len() > 1 {
                let _ = writeln!(text, "take {} of {}", index + 1, shown.len());
            }
            if !bars.is_empty() {
                let _ = writeln!(text, "{bars}");
            }
            let _ = writeln!(text, "{}", report::grid(session, pattern));
        }
    }
    text += &report::ending(session, &files, &[("seed", &seed.to_string())], &command);
    let tokens: usize = takes.iter().map(Take::tokens).sum();
    let nats: f64 = takes.iter().map(|take| take.nats).sum();
    session.remark(&format!("{tokens} tokens, {nats:.1} nats, milliseconds {timing}"));
    session.answer(&object, &text, has_stdout)
}

/// Which weights played.
pub fn model(drummer: &Drummer) -> Value {
    json!({ "family": drummer.config.family, "sha256": drummer.config.sha256 })
}
