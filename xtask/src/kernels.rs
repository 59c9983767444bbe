//! The tests of everything that computes, again on each instruction set and number of threads.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::repository::Repository;
use crate::shell::{output, run, workspace};

/// Folders of the crates whose results must not depend on the machine.
const CRATES: [&str; 3] = ["kernels", "nn", "models"];

/// A name for `PARTITA_KERNELS` and what this CPU lacks for it.
fn paths() -> [(&'static str, Vec<&'static str>); 3] {
    macro_rules! lacks {
        ($($feature:tt),*) => {{
            #[cfg(target_arch = "x86_64")]
            let features = [$(($feature, is_x86_feature_detected!($feature))),*];
            #[cfg(not(target_arch = "x86_64"))]
            let features = [$(($feature, false)),*];
            features.into_iter().filter(|(_, has)| !has).map(|(name, _)| name).collect::<Vec<_>>()
        }};
    }
    // As `Path::is_supported` in crates/kernels/src/dispatch.rs.
    [
        ("generic", Vec::new()),
        ("avx2", lacks!("avx2", "fma")),
        ("avx512", lacks!("avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni")),
    ]
}

/// Runs the tests once for each path this CPU has and for one and two threads.
pub fn test(repository: &Repository) -> Result<(), String> {
    let programs = test_programs(repository)?;
    for (path, lacks) in paths() {
        if !lacks.is_empty() {
            println!("{path}: this CPU has no {}, so this machine cannot test it", lacks.join(", "));
            continue;
        }
        for threads in ["1", "2"] {
            println!("\nPARTITA_KERNELS={path} PARTITA_THREADS={threads}");
            for (folder, program) in &programs {
                let mut test = Command::new(program);
                test.current_dir(folder).arg("--quiet");
                run(test.env("PARTITA_KERNELS", path).env("PARTITA_THREADS", threads))?;
            }
        }
    }
    Ok(())
}

/// Test programs of [`CRATES`], each with the folder it runs in.
///
/// They are built as part of the whole workspace: alone, they would get other features of their
/// dependencies and build those again.
fn test_programs(repository: &Repository) -> Result<Vec<(PathBuf, PathBuf)>, String> {
    let mut build = workspace(repository, "test", &["--no-run", "--message-format=json"]);
    let messages = output(build.stderr(Stdio::inherit()))?;
    let mut programs = Vec::new();
    for message in messages.lines() {
        let (Some(program), Some(manifest)) = (field(message, "executable"), field(message, "manifest_path"))
        else {
            continue;
        };
        let folder = PathBuf::from(manifest).parent().map(PathBuf::from).unwrap_or_default();
        let wanted = CRATES.iter().any(|name| folder == repository.root.join("crates").join(name));
        if wanted && message.contains("\"test\":true}") {
            programs.push((folder, PathBuf::from(program)));
        }
    }
    if programs.len() < CRATES.len() {
        let count = programs.len();
        return Err(format!("expected a test program from each of {}, got {count}", CRATES.join(", ")));
    }
    Ok(programs)
}

/// The value of a text field of one line of cargo's JSON. Paths need no more unescaping than `\\`.
fn field(message: &str, name: &str) -> Option<String> {
    let start = message.find(&format!("\"{name}\":\""))? + name.len() + 4;
    let end = message[start..].find('"')?;
    Some(message[start..start + end].replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_read_from_a_line_of_json() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"C:\\a\\Cargo.toml","executable":null}"#;
        assert_eq!(field(line, "manifest_path").as_deref(), Some(r"C:\a\Cargo.toml"));
        assert_eq!(field(line, "executable"), None);
    }
}
