//! What may be linked: `cargo deny` over licences, banned crates and sources, and a program without system libraries.

use std::process::Command;

use crate::repository::Repository;
use crate::shell::{cargo, finish, output, run, target};

/// The release that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";

/// Runs `cargo deny`, installing it under the target folder first if this machine has none of that version.
///
/// Unoptimised, it builds in a quarter of the time and still answers in a second.
pub fn deny(repository: &Repository) -> Result<(), String> {
    let tools = target(repository).join("tools");
    let own = tools.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    let program = [own.clone(), "cargo-deny".into()].into_iter().find(|program| {
        let version = finish(Command::new(program).arg("--version"));
        version.is_ok_and(|found| {
            String::from_utf8_lossy(&found.stdout).trim() == format!("cargo-deny {CARGO_DENY}")
        })
    });
    if program.is_none() {
        println!("cargo-deny {CARGO_DENY} is not on this machine; building it into {}", tools.display());
        let mut install =
            cargo(repository, &["install", "cargo-deny", "--version", CARGO_DENY, "--locked", "--debug"]);
        install.arg("--root").arg(&tools).arg("--target-dir").arg(tools.join("build"));
        run(&mut install).map_err(|error| {
            format!("{error}\ncargo-deny {CARGO_DENY} is needed: `cargo install cargo-deny --version {CARGO_DENY} --locked`")
        })?;
    }
    let mut check = Command::new(program.unwrap_or(own));
    check.current_dir(&repository.root).args(["--locked", "check", "licenses", "bans", "sources"]);
    run(&mut check)
}

/// The default program builds on a bare machine: no crate in it binds a library of the system.
pub fn no_system_library(repository: &Repository) -> Result<(), String> {
    let arguments = [
        "tree",
        "--package",
        "partita",
        "--locked",
        "--target",
        "all",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
    ];
    let tree = output(&mut cargo(repository, &arguments))?;
    let mut found: Vec<&str> =
        tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| binds(name)).collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Ok(());
    }
    let found = found.join(", ");
    Err(format!(
        "the default build must need no system library, but it has {found}: put what uses it behind a feature"
    ))
}

/// `-sys` crates bind C libraries, except those that declare what every system of their kind has, and SQLite's, which
/// brings the library's source (and so never asks the `pkg-config` it depends on).
fn binds(name: &str) -> bool {
    let declarations = ["linux-raw-sys", "windows-sys", "js-sys", "web-sys", "jni-sys"];
    let apple = ["core-foundation-sys", "security-framework-sys"];
    let harmless = declarations.contains(&name) || apple.contains(&name) || name == "libsqlite3-sys";
    name == "cmake" || (name.ends_with("-sys") && !harmless)
}

#[cfg(test)]
mod tests {
    use super::binds;

    #[test]
    fn crates_that_bind_system_libraries_are_told_from_declarations() {
        assert!(["alsa-sys", "openssl-sys", "cmake"].into_iter().all(binds));
        assert!(!["windows-sys", "libsqlite3-sys", "sysctl", "serde"].into_iter().any(binds));
    }
}
