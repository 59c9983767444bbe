//! `eval chorales` and `eval rolls`: the two tables that four-part harmony is measured by.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use partita_models::harmony::demands::MAX_STEPS;
use partita_models::harmony::{Cell, Complete, Harmonizer, VOICES};
use partita_nn::{Precision, Sampling};
use partita_train::Split;
use partita_train::chorales::{self, Chorale, Chorales};
use partita_train::evaluate::evenly;
use partita_train::rolls;
use serde_json::json;

use super::{eval_metrics, train_decoder as train};
use crate::error::{Error, Result};
use crate::session::{Clock, Session};
use crate::{cancel, model};

#[derive(Args, Debug)]
pub struct Harmony {
    /// Folder with Jsb16thSeparated.json
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// f32, int8 or q4
    #[arg(long, default_value = "f32", value_parser = super::bench::precision)]
    precision: Precision,
    /// Chorales to write when looking for copies of the training data, and to measure beside those of the test split; 0
    /// for none
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(0..=64))]
    takes: u16,
}

#[derive(Args, Debug)]
pub struct Rolls {
    /// File that bench/piano_rolls.py wrote
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
}

pub fn chorales(options: &Harmony, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let harmonizer = model::choir(session, options.precision)?;
    let data = train::chorales(&options.data)?;
    clock.lap("load");
    cancel::listen();
    let mut text = String::new();
    let mut line =
        |name: &str, value: String| writeln!(text, "{name:<34}{value}").expect("a string takes all");
    line("split", format!("hash {}", &data.split_hash[..16]));
    let mut rows = Vec::new();
    for split in [Split::Validation, Split::Test] {
        session.remark(&format!("likelihood of the {} split", split.name()));
        let row = chorales::table_c(&data, &harmonizer, &compute, split)?;
        let floor = chorales::floor(&data, split);
        line(
            &format!("Table C, {}", row.split),
            format!("{:.4} nats a token ({} chorales, {} tokens)", row.nats, row.chorales, row.tokens),
        );
        let voices = row.voices.map(|nats| format!("{nats:.3}"));
        line("  soprano, alto, tenor, bass", voices.join(", "));
        line(
            "  n-grams",
            format!(
                "{:.3}; of two {:.3}; and metre {:.3}; and the voice above {:.3}",
                floor.unigram, floor.bigram, floor.metre, floor.above
            ),
        );
        rows.push(json!({ "model": row, "ngrams": floor }));
    }
    clock.lap("likelihood");
    let (mut found, mut metrics) = (json!(null), json!(null));
    if options.takes > 0 {
        session.remark("looking for copies of the training split");
        let takes = usize::from(options.takes);
        let (free, harmonized) = written(session, &data, &harmonizer, &compute, takes)?;
        let test: Vec<Chorale> = data.split(Split::Test).to_vec();
        clock.lap("takes");
        let plain = Complete::new(0);
        let scores = |set: &[Chorale]| set.iter().map(|steps| plain.score(steps)).collect::<Vec<_>>();
        let comparison = eval_metrics::compare(session, &scores(&test), &scores(&free));
        clock.lap("metrics");
        let rows = [
            ("written freely", free),
            ("to sopranos of the test split", harmonized),
            ("the test split", test),
        ];
        let rows = rows.map(|(name, pieces)| (name, chorales::copies(&data, &pieces)));
        line("two bars seen in training", String::new());
        for (name, copies) in &rows {
            line(
                &format!("  {name}"),
                format!(
                    "{:.2} %, the longest {:.1} bars ({} notes), {} chorales",
                    100.0 * copies.two_bars,
                    copies.longest_steps as f64 / 16.0,
                    copies.longest_notes,
                    copies.chorales
                ),
            );
        }
        found = json!(
            rows.iter().map(|(name, copies)| json!({ "of": name, "copies": copies })).collect::<Vec<_>>()
        );
        text += &eval_metrics::table(&comparison);
        metrics = json!(comparison);
        clock.lap("copies");
    }
    let object = json!({
        "split_hash": data.split_hash,
        "precision": options.precision.name(),
        "table_c": rows,
        "copies": found,
        "metrics": metrics,
        "model": harmonizer.config,
        "timing_ms": clock.to_json(),
    });
    session.answer(&object, &text, false)
}

/// Chorales written from nothing, as long as chorales that lie evenly in the test split, and under sopranos of it; at
/// temperature 1, without demands.
fn written(
    session: &Session,
    data: &Chorales,
    harmonizer: &Harmonizer,
    compute: &partita_models::harmony::Compute,
    takes: usize,
) -> Result<(Vec<Chorale>, Vec<Chorale>)> {
    let sampling = Sampling::default();
    let request = |cells: Vec<[Option<Cell>; VOICES]>, seed: usize| {
        let mut request =
            Complete { cells, sampling: sampling.clone(), seed: seed as u64, ..Complete::new(0) };
        // Of the training chorales some voices cross; all are within these.
        request.demands.crossing = true;
        request
    };
    let test: Vec<&Chorale> =
        data.split(Split::Test).iter().filter(|chorale| (1..=MAX_STEPS).contains(&chorale.len())).collect();
    let mut requests: Vec<Complete> = evenly(&test, takes)
        .enumerate()
        .map(|(seed, chorale)| request(vec![[None; VOICES]; chorale.len()], seed))
        .collect();
    let free = requests.len();
    requests.extend(test.iter().take(takes).enumerate().map(|(seed, chorale)| {
        let soprano = chorale.iter().map(|step| [Some(step[0]), None, None, None]);
        request(soprano.collect(), seed)
    }));
    let bar = eval_metrics::writing(session, 0);
    let answers = harmonizer.complete_all(compute, &requests, &mut |progress| {
        bar.set_length(progress.of as u64);
        bar.set_position(progress.cells as u64);
        cancel::flow()
    });
    bar.finish_and_clear();
    let mut answers = answers?.into_iter().flatten().map(|take| take.steps);
    Ok((answers.by_ref().take(free).collect(), answers.collect()))
}

pub fn rolls(options: &Rolls, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let path = model::kernels()?;
    let threads = partita_kernels::Pool::from_env()?.threads();
    let folder = train::folder(session, train::Music::Rolls)?;
    let data = train::rolls(&options.data)?;
    let parameters =
        rolls::best(folder).map_err(|error| Error::new(crate::error::Kind::NotFound, "model", error))?;
    clock.lap("load");
    let mut text = String::new();
    let rows: Vec<_> = [Split::Validation, Split::Test]
        .map(|split| rolls::table_a(&data, &parameters, split, threads, path))
        .into();
    for row in &rows {
        writeln!(
            text,
            "{:<34}{:.3} nats a frame, joint ({} pieces, {} frames)",
            format!("Table A, {}", row.split),
            row.nats,
            row.pieces,
            row.frames
        )
        .expect("a string takes all");
    }
    clock.lap("likelihood");
    let object = json!({ "split_hash": data.split_hash, "table_a": rows, "timing_ms": clock.to_json() });
    session.answer(&object, &text, false)
}
