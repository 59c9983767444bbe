//! Running other programs, and saying plainly which one is missing.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::repository::Repository;
use crate::setup;

/// Variables that change what the program and its tests do; the checks set their own.
const CLEARED: [&str; 3] = ["PARTITA_KERNELS", "PARTITA_THREADS", "PARTITA_MODEL"];

/// `cargo` with these arguments, in the root.
pub fn cargo(repository: &Repository, arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&repository.root).args(arguments);
    for name in CLEARED {
        cargo.env_remove(name);
    }
    cargo
}

/// `cargo` on the whole workspace, with every feature that builds on a bare machine: one set of features for every
/// check, so that each crate is built once. The release program is built without them.
pub fn workspace(repository: &Repository, verb: &str, more: &[&str]) -> Command {
    let mut cargo = cargo(repository, &[verb, "--workspace", "--locked"]);
    cargo.args(["--features", "partita/cloud,partita/otel"]).args(more);
    cargo
}

/// Where cargo puts what it builds.
pub fn target(repository: &Repository) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository.root.join("target"), |path| repository.root.join(path))
}

/// Runs with our output; an exit code other than 0 is an error.
pub fn run(command: &mut Command) -> Result<(), String> {
    println!("$ {}", line(command));
    let status = command.status().map_err(|error| missing(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", line(command))) }
}

/// What a program prints to its standard output.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = finish(command.stderr(Stdio::inherit()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("`{}` failed: {}", line(command), output.status))
    }
}

/// The outcome, whatever it is.
pub fn finish(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| missing(command, &error))
}

/// The command as one would type it.
pub fn line(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn missing(command: &Command, error: &std::io::Error) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    if error.kind() == ErrorKind::NotFound {
        format!("{program} was not found. {}", setup::how_to_get(&program))
    } else {
        format!("{program}: {error}")
    }
}
