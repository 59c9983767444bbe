//! `cargo xtask`: everything done to this repository, on any machine the same way.
//!
//! Only the standard library is used, so that the first answer comes within seconds of a fresh clone.
//! Rule: a check that cannot run fails and says what is missing; nothing is skipped without a word.
#![forbid(unsafe_code)]

mod api;
mod bench;
mod docs;
mod examples;
mod hygiene;
mod kernels;
mod licences;
mod markdown;
mod notation;
mod program;
mod python;
mod repository;
mod server;
mod setup;
mod shell;
mod steps;
mod storage;

use std::process::ExitCode;

use repository::Repository;

struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(&Repository, &[String]) -> Result<(), String>,
}

const COMMANDS: [Command; 3] = [
    Command {
        name: "test",
        about: "runs every test and check (--fast leaves out the release program and the licences)",
        run: steps::test,
    },
    Command { name: "bench", about: "prints how to run each benchmark", run: bench::print },
    Command {
        name: "setup",
        about: "looks for the tools this needs and says how to get them",
        run: setup::setup,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        println!("{}", help());
        return ExitCode::SUCCESS;
    };
    let Some(command) = find(name) else {
        eprintln!("no command {name:?}\n\n{}", help());
        return ExitCode::from(2);
    };
    match Repository::open().and_then(|repository| (command.run)(&repository, rest)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("\n{message}");
            ExitCode::FAILURE
        }
    }
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

fn help() -> String {
    let lines: Vec<String> = COMMANDS
        .iter()
        .map(|command| format!("  cargo xtask {:6} {}", command.name, command.about))
        .collect();
    lines.join("\n")
}
