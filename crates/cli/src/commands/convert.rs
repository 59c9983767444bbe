//! `convert`: a piece from one format of written music to others, as sound and as a picture.

use clap::Args;
use partita_score::picture::piano_roll;
use serde_json::json;

use crate::deliver::{Files, Input, Sound};
use crate::error::{Error, Result};
use crate::output::Target;
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};

#[derive(Args, Debug)]
pub struct Options {
    /// MIDI, MusicXML, ABC or JSON file, known by its content; - for stdin
    #[arg(value_name = "IN")]
    input: Target,
    #[command(flatten)]
    files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let input = Input::read(&options.input)?;
    clock.lap("load");
    let mut delivery = options.files.plan(1, Sound::Acoustic, session.json)?;
    let (files, has_stdout) = delivery.summary();
    if files.is_empty() && !has_stdout {
        return Err(Error::usage("output", "output must name a file, as in -o song.musicxml, got none"));
    }
    delivery.write(0, &input.score, || piano_roll(&input.score), Some(&input.bytes))?;
    delivery.commit()?;
    clock.lap("write");
    let mut command = CommandLine::new(&["convert"]);
    command.word(&options.input.to_string());
    options.files.echo(Sound::Acoustic, &mut command);
    let notes: usize = input.score.tracks.iter().map(|track| track.notes.len()).sum();
    let object = json!({
        "command": command.to_string(),
        "input": input.name,
        "tracks": input.score.tracks.len(),
        "notes": notes,
        "chords": input.score.chords.len(),
        "files": files,
        "timing_ms": clock.to_json(),
    });
    let text = report::ending(session, &files, &[("notes", &notes.to_string())], &command);
    session.answer(&object, &text, has_stdout)
}
