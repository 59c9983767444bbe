//! `cargo xtask test`: the steps, cheap ones first, each with its time; all run even after one has failed.

use std::time::{Duration, Instant};

use crate::repository::Repository;
use crate::shell::{cargo, run, workspace};
use crate::storage::Storage;
use crate::{api, docs, examples, hygiene, kernels, licences, notation, program, setup};

struct Step {
    name: &'static str,
    /// Left out with `--fast`.
    slow: bool,
    run: fn(&Repository) -> Result<(), String>,
}

const STEPS: [Step; 15] = [
    Step { name: "tools", slow: false, run: tools },
    Step { name: "repository: sizes, paths, unfinished code", slow: false, run: hygiene::check },
    Step { name: "documents: paths and links", slow: false, run: docs::paths_and_links },
    Step { name: "format", slow: false, run: format },
    Step { name: "dependencies: no system library", slow: false, run: licences::no_system_library },
    Step { name: "dependencies: licences, bans, sources", slow: true, run: licences::deny },
    Step { name: "clippy", slow: false, run: clippy },
    Step { name: "tests", slow: false, run: tests },
    Step { name: "tests on every kernel path", slow: false, run: kernels::test },
    Step { name: "documents: commands", slow: false, run: docs::commands },
    Step { name: "examples", slow: true, run: examples::check },
    Step { name: "API against its description", slow: true, run: api::check },
    Step { name: "notation as music21 reads it", slow: true, run: notation::check },
    Step { name: "fuzz targets on their seeds", slow: false, run: program::fuzz },
    Step { name: "release program, end to end", slow: true, run: program::end_to_end },
];

/// Runs the steps.
///
/// # Errors
/// The names of the steps that failed.
pub fn test(repository: &Repository, arguments: &[String]) -> Result<(), String> {
    let fast = match arguments {
        [] => false,
        [flag] if flag == "--fast" => true,
        _ => return Err(format!("test takes --fast or nothing, got {}", arguments.join(" "))),
    };
    let start = Instant::now();
    let outcomes: Vec<(&Step, Outcome)> =
        STEPS.iter().map(|step| (step, perform(step, fast, repository))).collect();
    println!("\n== result");
    for (step, outcome) in &outcomes {
        println!("{:42} {outcome}", step.name);
    }
    println!("{:42} {}", "all", seconds(start.elapsed()));
    let failed = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_))).count();
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} of {} steps failed", STEPS.len())),
    }
}

enum Outcome {
    Passed(Duration),
    Failed(Duration),
    LeftOut,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Passed(time) => write!(out, "passed    {}", seconds(*time)),
            Outcome::Failed(time) => write!(out, "FAILED    {}", seconds(*time)),
            Outcome::LeftOut => write!(out, "NOT RUN   left out by --fast"),
        }
    }
}

fn perform(step: &Step, fast: bool, repository: &Repository) -> Outcome {
    println!("\n== {}", step.name);
    if fast && step.slow {
        println!("not run: left out by --fast");
        return Outcome::LeftOut;
    }
    let start = Instant::now();
    let result = (step.run)(repository);
    let time = start.elapsed();
    match result {
        Ok(()) => {
            println!("-- passed in {}", seconds(time));
            Outcome::Passed(time)
        }
        Err(message) => {
            println!("{message}\n-- FAILED after {}", seconds(time));
            Outcome::Failed(time)
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn tools(repository: &Repository) -> Result<(), String> {
    setup::setup(repository, &[])
}

fn format(repository: &Repository) -> Result<(), String> {
    run(&mut cargo(repository, &["fmt", "--all", "--check"]))?;
    run(&mut cargo(repository, &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
}

fn clippy(repository: &Repository) -> Result<(), String> {
    run(&mut workspace(repository, "clippy", &["--all-targets", "--", "--deny", "warnings"]))
}

fn tests(repository: &Repository) -> Result<(), String> {
    let storage = Storage::start(repository)?;
    let mut tests = workspace(repository, "test", &[]);
    storage.tell(&mut tests);
    run(&mut tests)
}
