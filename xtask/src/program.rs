//! The release program does what the README's first command says, from end to end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::docs::program_arguments;
use crate::markdown::parse;
use crate::repository::Repository;
use crate::shell::{cargo, run, target};

/// 40 MB of weights, and as much of everything else.
const MAX_PROGRAM: u64 = 80_000_000;

pub fn end_to_end(repository: &Repository) -> Result<(), String> {
    run(&mut cargo(repository, &["build", "--release", "--locked", "--package", "partita"]))?;
    let program = target(repository).join("release").join(format!("partita{}", std::env::consts::EXE_SUFFIX));
    let size = fs::metadata(&program).map_err(|error| format!("{}: {error}", program.display()))?.len();
    println!("{}: {:.1} MiB", program.display(), size as f64 / (1 << 20) as f64);
    if size > MAX_PROGRAM {
        return Err(format!("the program must have at most {MAX_PROGRAM} bytes, got {size}"));
    }
    run(Command::new(&program).arg("--help"))?;
    let arguments = first_command(repository)?;
    let folder = std::env::temp_dir().join(format!("partita-xtask-{}", std::process::id()));
    let outcome = play(&program, &arguments, &folder);
    let removed = fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()));
    outcome.and(removed)
}

/// The arguments of the first command of the README that calls the program.
fn first_command(repository: &Repository) -> Result<Vec<String>, String> {
    let text = repository.text("README.md")?.unwrap_or_default();
    let commands = parse(&text).commands;
    let first = commands.iter().find_map(|words| program_arguments(words));
    first.map(<[String]>::to_vec).ok_or_else(|| "README.md: no command calls partita".into())
}

/// Runs the command as it stands, then twice with one seed, each time in an empty folder.
fn play(program: &Path, arguments: &[String], folder: &Path) -> Result<(), String> {
    let midi = file_after(arguments, &["-o", "--out", "--output"])?;
    let wav = file_after(arguments, &["--wav"])?;
    let mut seeded = arguments.to_vec();
    if !arguments.iter().any(|argument| argument == "--seed") {
        seeded.extend(["--seed".into(), "7".into()]);
    }
    let play_in = |name: &str, arguments: &[String]| -> Result<[Vec<u8>; 2], String> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        run(Command::new(program).args(arguments).current_dir(&folder))?;
        let read = |file: &str| {
            fs::read(folder.join(file)).map_err(|error| format!("{file} was not written: {error}"))
        };
        Ok([read(midi)?, read(wav)?])
    };
    check_headers(&play_in("as-written", arguments)?)?;
    let [first, second] = [play_in("first", &seeded)?, play_in("second", &seeded)?];
    check_headers(&first)?;
    let differs = if first[0] != second[0] { Some(midi) } else { (first[1] != second[1]).then_some(wav) };
    differs.map_or(Ok(()), |file| Err(format!("the same seed gave two different {file}")))
}

fn file_after<'a>(arguments: &'a [String], flags: &[&str]) -> Result<&'a str, String> {
    let place = arguments.iter().position(|argument| flags.contains(&argument.as_str()));
    let file = place.and_then(|place| arguments.get(place + 1));
    file.map(String::as_str).ok_or_else(|| format!("the README's first command must have {}", flags[0]))
}

fn check_headers([midi, wav]: &[Vec<u8>; 2]) -> Result<(), String> {
    if !(midi.starts_with(b"MThd\0\0\0\x06") && midi.len() > 22) {
        return Err(format!("not a MIDI file: {} bytes, {}", midi.len(), start(midi)));
    }
    if !(wav.starts_with(b"RIFF") && wav.get(8..12) == Some(b"WAVE") && wav.len() > 44) {
        return Err(format!("not a WAV file: {} bytes, {}", wav.len(), start(wav)));
    }
    Ok(())
}

fn start(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes[..bytes.len().min(12)].escape_ascii())
}

/// Replays the seeds of every fuzz target with any compiler, and builds the targets.
pub fn fuzz(repository: &Repository) -> Result<(), String> {
    let cargo_in = |arguments: &[&str]| {
        let mut command = cargo(repository, arguments);
        let manifest: PathBuf = ["fuzz", "Cargo.toml"].iter().collect();
        command.arg("--manifest-path").arg(manifest).arg("--locked");
        command.env("CARGO_TARGET_DIR", target(repository).join("fuzz"));
        command
    };
    run(&mut cargo_in(&["test", "--all-targets"])).map_err(|error| {
        format!("{error}\nif fuzz/Cargo.lock is out of date: `cargo update --workspace --manifest-path fuzz/Cargo.toml`")
    })
}
