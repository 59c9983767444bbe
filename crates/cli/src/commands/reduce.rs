//! `reduce`: a lead sheet out of a piece: its melody line, and the chords that its notes make. By rule, without a model.

use clap::Args;
use partita_models::melody::{Lead, read};
use partita_score::picture::piano_roll;
use serde_json::json;

use crate::deliver::{Files, Input, Sound};
use crate::error::Result;
use crate::output::Target;
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};
use crate::{leads, options};

#[derive(Args, Debug)]
pub struct Options {
    /// Music file, - for stdin
    #[arg(value_name = "IN")]
    input: Target,
    /// Track of the melody, the first is 1; one named so, or the highest, if left out
    #[arg(long, value_parser = options::track, allow_negative_numbers = true)]
    track: Option<usize>,
    #[command(flatten)]
    files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let input = Input::read(&options.input)?;
    let heard = read(&input.score, options.track)?;
    clock.lap("load");
    let mut delivery = options.files.plan(1, Sound::Acoustic, session.json)?;
    let (key, tempo) = (heard.key, heard.tempo);
    let lead = Lead::from(heard.clone());
    let mut score = lead.score(key, tempo);
    score.texts = heard.words(&input.score, score.ppq, &score.tracks[0].name);
    delivery.write(0, &score, || piano_roll(&score), None)?;
    let (files, has_stdout) = delivery.summary();
    delivery.commit()?;
    clock.lap("write");
    let mut command = CommandLine::new(&["reduce"]);
    command.word(&options.input.to_string());
    command.maybe("track", options.track.map(|track| track + 1));
    options.files.echo(Sound::Acoustic, &mut command);
    let object = json!({
        "command": command.to_string(),
        "key": key.map(|key| key.to_string()),
        "bars": lead.piece.bars,
        "notes": leads::notes(&score)?,
        "files": files,
        "timing_ms": clock.to_json(),
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        text += &leads::sheet(&lead, key);
    }
    let name = key.map_or_else(|| "none".to_owned(), |key| key.to_string());
    text += &report::ending(session, &files, &[("key", &name)], &command);
    session.answer(&object, &text, has_stdout)
}
