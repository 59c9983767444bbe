//! `eval melody`: a writer of lead sheets on songs it never saw, beside n-grams, what it copies, and how like those songs
//! its own are.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use partita_train::Split;
use partita_train::songs::{copies, likelihood, takes};
use serde_json::json;

use super::{eval_metrics, train_decoder as train};
use crate::error::Result;
use crate::session::{Clock, Session};
use crate::{cancel, model};

#[derive(Args, Debug)]
pub struct Options {
    /// Folder with leadsheets.jsonl or lieder.jsonl; several if given several times
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// Lead sheets to write when looking for copies of the training songs, and to measure beside songs of the test
    /// split; 0 for none
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(0..=1024))]
    takes: u16,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let writer = model::writer(session)?;
    let songs = train::songs(&options.data)?;
    clock.lap("load");
    let mut rows = Vec::new();
    for split in [Split::Validation, Split::Test] {
        session.remark(&format!("likelihood of the {} split", split.name()));
        rows.extend(likelihood(&songs, &writer, &compute, split)?);
    }
    clock.lap("likelihood");
    let copied = match options.takes {
        0 => None,
        takes => Some(copies(&songs, &writer, &compute, usize::from(takes))?),
    };
    clock.lap("copies");
    let metrics = match options.takes {
        0 => None,
        count => {
            cancel::listen();
            let bar = eval_metrics::writing(session, usize::from(count));
            let takes = takes(&songs, &writer, &compute, usize::from(count), &mut |done| {
                bar.set_position(done as u64);
                cancel::flow()
            });
            bar.finish_and_clear();
            let takes = takes?;
            clock.lap("takes");
            Some(eval_metrics::compare(session, &takes.held_out, &takes.written))
        }
    };
    clock.lap("metrics");
    let mut text =
        format!("split hash {}\nnats a note       model  n-grams  frequencies\n", songs.split_hash);
    for row in &rows {
        let name = options.data[row.collection].file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(
            text,
            "{:<17} {:5.3}  {:7.3}  {:11.3}  ({name}, {} notes)",
            row.split, row.model, row.ngram, row.unigram, row.notes
        );
    }
    if let Some(copied) = &copied {
        let percent = |share: f64| 100.0 * share;
        let _ = writeln!(
            text,
            "copies: {:.2} % of stretches of 12 notes stand in the training songs ({:.2} % of the test songs'), the longest has {} notes",
            percent(copied.written),
            percent(copied.test),
            copied.longest
        );
    }
    if let Some(metrics) = &metrics {
        text += &eval_metrics::table(metrics);
    }
    let object = json!({
        "likelihood": rows,
        "copies": copied,
        "metrics": metrics,
        "split_hash": songs.split_hash,
        "model": { "family": writer.config.family, "sha256": writer.config.sha256 },
        "timing_ms": clock.to_json(),
    });
    session.answer(&object, &text, false)
}
