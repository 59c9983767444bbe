//! `render`: a MIDI file as sound.

use clap::Args;
use serde_json::json;

use crate::deliver::{Input, Sound, SoundOptions};
use crate::error::{Error, Result};
use crate::output::{Staging, Target, stdout_is_terminal};
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};

#[derive(Args, Debug)]
pub struct Options {
    /// MIDI file, - for stdin
    #[arg(value_name = "IN.mid")]
    input: Target,
    /// WAV file to write, - for stdout
    #[arg(short, long, value_name = "OUT.wav")]
    output: Target,
    /// Replace a file that is already there
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    sound: SoundOptions,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let input = Input::read(&options.input)?;
    let to_stdout = options.output == Target::Stdout;
    if to_stdout && (session.json || stdout_is_terminal()) {
        return Err(Error::usage("output", "output - needs a pipe, and cannot go with --json"));
    }
    let renderer = options.sound.open(Sound::Acoustic)?;
    let mut staging = Staging::new(options.force);
    let slot = staging.add("output", &options.output)?;
    clock.lap("load");
    let (bytes, seconds) = renderer.wav(&input.score).map_err(|error| match error.field {
        None => Error::new(error.kind, "input", format!("{}: {}", input.name, error.message)),
        Some(_) => error,
    })?;
    clock.lap("render");
    staging.write(slot, &bytes)?;
    staging.commit()?;
    clock.lap("write");
    let mut command = CommandLine::new(&["render"]);
    command.word(&options.input.to_string());
    command.option("output", &options.output);
    options.sound.echo(Sound::Acoustic, &mut command);
    command.flag("force", options.force);
    let seconds = report::round(seconds, 3);
    let files: Vec<String> = (!to_stdout).then(|| options.output.to_string()).into_iter().collect();
    let object = json!({
        "command": command.to_string(),
        "files": files,
        "seconds": seconds,
        "sample_rate": options.sound.sample_rate,
        "timing_ms": clock.to_json(),
    });
    let text =
        if session.quiet { String::new() } else { format!("wrote  {} ({seconds} s)\n", options.output) };
    session.answer(&object, &text, to_stdout)
}
