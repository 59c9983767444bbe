//! `cargo xtask bench`: the commands of `bench/README.md`, where each stands beside its peer.

use crate::markdown::parse;
use crate::repository::Repository;

/// Prints the commands. It runs none: a measurement needs a quiet machine and someone who knows it is.
///
/// # Errors
/// A repository without `bench/README.md`.
pub fn print(repository: &Repository, arguments: &[String]) -> Result<(), String> {
    if let Some(argument) = arguments.first() {
        return Err(format!("bench takes no arguments, got {argument:?}"));
    }
    let text = repository.text("bench/README.md")?.unwrap_or_default();
    println!("On a quiet machine (bench/README.md says what each measures and how to keep a run):");
    for words in parse(&text).commands {
        println!("  {}", words.join(" "));
    }
    Ok(())
}
