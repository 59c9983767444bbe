//! `eval accompaniment`: an arranger on songs it never saw, beside n-grams.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use partita_train::Split;
use partita_train::songs::band_likelihood;
use serde_json::json;

use super::train_decoder as train;
use crate::error::Result;
use crate::model;
use crate::session::{Clock, Session};

#[derive(Args, Debug)]
pub struct Options {
    /// Folder with lieder.jsonl; several if given several times
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let arranger = model::arranger(session)?;
    let songs = train::songs(&options.data)?;
    clock.lap("load");
    let mut text =
        format!("split hash {}\nnats a note       model  n-grams  frequencies\n", songs.split_hash);
    let mut rows = Vec::new();
    for split in [Split::Validation, Split::Test] {
        session.remark(&format!("likelihood of the {} split", split.name()));
        let row = band_likelihood(&songs, &arranger, &compute, split)?;
        let _ = writeln!(
            text,
            "{:<17} {:5.3}  {:7.3}  {:11.3}  ({} notes)",
            row.split, row.model, row.ngram, row.unigram, row.notes
        );
        rows.push(row);
    }
    clock.lap("likelihood");
    let object = json!({
        "likelihood": rows,
        "split_hash": songs.split_hash,
        "model": { "family": arranger.config.family, "sha256": arranger.config.sha256 },
        "timing_ms": clock.to_json(),
    });
    session.answer(&object, &text, false)
}
