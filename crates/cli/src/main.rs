//! `partita`: music from the command line.
//!
//! A command's options are in `commands/`, what several commands share beside it. Results go to stdout or to files,
//! everything else to stderr; with `--json`, stdout holds exactly one object, or with
//! `tasks watch` one a line.
#![forbid(unsafe_code)]

mod cancel;
mod choir;
mod client;
mod commands;
mod deliver;
mod error;
mod latent;
mod leads;
mod midi_gpt;
mod model;
mod obey;
mod options;
mod output;
mod parts;
mod progress;
mod report;
mod session;
mod settings;
mod takes;
mod training;

use std::process::ExitCode;

use clap::Parser;

use error::{Error, Kind};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let result = match commands::Cli::try_parse_from(&arguments) {
        Ok(cli) => commands::run(cli),
        // Help and versions are answers, not errors.
        Err(asked) if !asked.use_stderr() => {
            drop(asked.print());
            Ok(())
        }
        Err(wrong) => Err(wrong.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parser may have failed before it came to this flag.
            tell(&error, arguments.iter().any(|argument| argument == "--json"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn tell(error: &Error, json: bool) {
    if error.kind == Kind::ClosedPipe || error.message.is_empty() {
        return;
    }
    if json {
        drop(output::write_stdout(format!("{}\n", error.to_json()).as_bytes()));
    }
    let below = error.below.lines().map(|line| format!("  {line}\n")).collect::<String>();
    drop(output::write_stderr(&format!("error: {}\n{below}", error.message)));
}
