//! `generate chorale`: four voices, new or around those that a file gives.

use std::fmt::Write;

use clap::Args;
use partita_models::harmony::{Complete, Harmony, NAMES, Rewrite, Sung, VOICES, Written};
use partita_score::harmony::{Key, Unit, recognize, symbol};
use partita_score::picture::piano_roll;
use partita_score::{Meter, Score, Tick};
use serde_json::json;

use crate::choir::{self, Voices};
use crate::deliver::{Files, Input, Sound};
use crate::error::Result;
use crate::options::{self, BarRange, Tokens};
use crate::output::Target;
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};
use crate::{cancel, leads, model, progress};

#[derive(Args, Debug)]
pub struct Options {
    /// Music file whose voices stay note for note, - for stdin: tracks called soprano, alto, tenor and bass, else its
    /// melody, which is called by its voice then. What is missing of four voices is written, and a track `chords` of an
    /// input that lacks some goes. At most 650 sixteenths, which are 40 bars of 4/4
    #[arg(value_name = "IN")]
    input: Option<Target>,
    /// Track to take instead, the first is 1
    #[arg(long, requires = "input", value_parser = options::track, allow_negative_numbers = true)]
    track: Option<usize>,
    /// Voice that it is: soprano, alto, tenor or bass
    #[arg(long, requires = "input", default_value = "soprano", value_parser = choir::voice)]
    voice: usize,
    /// Bars of the input to write anew, as in 3-4
    #[arg(long, requires = "input", value_name = "FROM-TO", value_parser = options::bar_range)]
    rewrite_bars: Option<BarRange>,
    /// Voices of the input to write anew, as in alto,tenor; all in --rewrite-bars if left out
    #[arg(long, requires = "input", value_name = "VOICES", value_delimiter = ',', value_parser = choir::voice)]
    rewrite_voices: Vec<usize>,
    /// Bars of a new chorale, 1..=32
    #[arg(long, default_value_t = 8, value_parser = options::bars, allow_negative_numbers = true)]
    bars: u32,
    /// Time signature of a new chorale, as in 3/4
    #[arg(long, default_value_t = Meter::COMMON, value_parser = options::time, allow_hyphen_values = true)]
    time: Meter,
    /// Beats per minute of a new chorale, 40..=300
    #[arg(long, default_value_t = 80.0, value_parser = options::tempo, allow_negative_numbers = true)]
    tempo: f64,
    /// For each variation write so many and keep the likeliest; 64 in all at most
    #[arg(long, default_value_t = 1, value_parser = options::variations, allow_negative_numbers = true)]
    candidates: usize,
    #[command(flatten)]
    voices: Voices,
    #[command(flatten)]
    tokens: Tokens,
    #[command(flatten)]
    files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let harmonizer = model::choir(session, model::PRECISION)?;
    let sung = options.input.as_ref().map(|target| options.sung(target)).transpose()?;
    clock.lap("load");
    let tokens = &options.tokens;
    let mut delivery = options.files.plan(tokens.variations, Sound::Acoustic, session.json)?;
    let seed = tokens.seed.unwrap_or_else(options::random_seed);
    let key = options.voices.key(if sung.is_some() { None } else { Some(Key::default()) })?;
    let mut request = match &sung {
        Some(sung) => sung.complete()?,
        None => {
            let steps = (options.bars * options.time.steps_per_bar()) as usize;
            Complete { meter: options.time, ..Complete::new(steps) }
        }
    };
    request.tempo = options.tempo;
    request.demands = options.voices.demands(key)?;
    if let Some(key) = key.filter(|_| options.voices.has_cadence()) {
        request.end_on(key.tonic.pitch_class());
    }
    request.seed = seed;
    request.sampling = tokens.sampling()?;
    request.variations = tokens.variations;
    request.candidates = options.candidates;
    let takes = watched(session, |watch| harmonizer.complete(&compute, &request, watch))?;
    clock.lap("generate");
    let signature = key.map(|key| key.change(Tick(0)));
    let score = |take: &Harmony| match &sung {
        Some(sung) => take.around(&request, &sung.score, &sung.voices),
        None => Score { keys: signature.into_iter().collect(), ..take.score.clone() },
    };
    let scores: Vec<Score> = takes.iter().map(score).collect();
    for (index, score) in scores.iter().enumerate() {
        delivery.write(index, score, || piano_roll(score), None)?;
    }
    clock.lap("render");
    let command = options.echo(session, sung.is_some(), key, seed);
    let (files, has_stdout) = delivery.summary();
    let names: Vec<Vec<String>> = (0..takes.len()).map(|index| delivery.names(index).to_vec()).collect();
    delivery.commit()?;
    clock.lap("write");
    let told = takes.iter().zip(&scores).zip(&names).enumerate();
    let told = told.map(|(variation, ((take, score), files))| {
        Ok(json!({
            "variation": variation,
            "notes": leads::notes(score)?,
            "cells": take.written,
            "nats": report::round(take.nats, 3),
            "files": files,
        }))
    });
    let given: Vec<&str> = match &sung {
        Some(sung) => (0..VOICES).filter(|v| sung.voices[*v].is_some()).map(|v| NAMES[v]).collect(),
        None => vec![],
    };
    let object = json!({
        "command": command.to_string(),
        "seed": seed,
        "key": key.map(|key| key.to_string()),
        "time": request.meter.to_string(),
        "given": given,
        "takes": told.collect::<Result<Vec<_>>>()?,
        "files": files,
        "model": { "family": harmonizer.config.family, "sha256": harmonizer.config.sha256 },
        "timing_ms": clock.to_json(),
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        for score in &scores {
            text += &sheet(score, request.meter);
        }
    }
    text += &report::ending(session, &files, &[("seed", &seed.to_string())], &command);
    session.answer(&object, &text, has_stdout)
}

impl Options {
    /// The voices of a file, and which of their notes stay.
    fn sung(&self, target: &Target) -> Result<Sung> {
        let input = Input::read(target)?;
        let bars = self.rewrite_bars.as_ref().map(|range| range.bars.clone());
        let rewrite = Rewrite { bars, voices: self.rewrite_voices.clone() };
        Ok(Sung::read(&input.score, self.track, self.voice, rewrite)?)
    }

    fn echo(&self, session: &Session, sung: bool, key: Option<Key>, seed: u64) -> CommandLine {
        let mut line = CommandLine::new(&["generate", "chorale"]);
        if let Some(input) = &self.input {
            line.word(&input.to_string());
        }
        line.session(session);
        if sung {
            line.maybe("track", self.track.map(|track| track + 1));
            line.option("voice", NAMES[self.voice].to_lowercase());
            line.maybe("rewrite-bars", self.rewrite_bars.as_ref());
            if !self.rewrite_voices.is_empty() {
                let names: Vec<String> =
                    self.rewrite_voices.iter().map(|v| NAMES[*v].to_lowercase()).collect();
                line.option("rewrite-voices", names.join(","));
            }
        } else {
            line.option("bars", self.bars);
            line.option("time", self.time);
            line.option("tempo", self.tempo);
        }
        line.option("candidates", self.candidates);
        self.voices.echo(key, &mut line);
        self.tokens.echo(seed, &mut line);
        self.files.echo(Sound::Acoustic, &mut line);
        line
    }
}

/// Runs `work` with a bar that stops at Ctrl-C.
fn watched<T>(
    session: &Session,
    work: impl FnOnce(&mut dyn FnMut(Written) -> std::ops::ControlFlow<()>) -> T,
) -> T {
    cancel::listen();
    let bar = progress::bar(session, 0, "{bar:30} note {pos} of {len}");
    let result = work(&mut |written: Written| {
        bar.set_length(written.of as u64);
        bar.set_position(written.cells as u64);
        cancel::flow()
    });
    bar.finish_and_clear();
    result
}

/// The chords that are heard, four bars a line.
fn sheet(score: &Score, meter: Meter) -> String {
    let bar = (meter.steps_per_bar() * u32::from(score.ppq.get()) / 4).max(1);
    let changes = recognize(score, Unit::Beat);
    let mut text = String::new();
    for index in 0..score.end().0.div_ceil(bar) {
        if index % 4 == 0 {
            let _ = write!(text, "{}{:>3} |", if index > 0 { "\n" } else { "" }, index + 1);
        }
        let inside = changes.iter().filter(|change| change.at.0 / bar == index);
        let symbols: Vec<String> = inside.map(|change| symbol(change.chord.as_ref())).collect();
        // As in lead sheets: the bar before goes on.
        let shown = if symbols.is_empty() { "%".to_owned() } else { symbols.join(" ") };
        let _ = write!(text, " {shown} |");
    }
    text + "\n"
}
