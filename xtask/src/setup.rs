//! The tools a machine needs before `cargo xtask test` can pass.

use std::process::{Command, Stdio};

use crate::repository::Repository;
use crate::shell::run;

struct Tool {
    /// What is run to see whether it is there.
    probe: &'static [&'static str],
    /// How to get it, in words.
    get: &'static str,
    /// Debian packages that bring it.
    debian: &'static [&'static str],
}

const TOOLS: [Tool; 10] = [
    Tool { probe: &["cargo", "--version"], get: "Install Rust with rustup.", debian: &[] },
    Tool { probe: &["cargo", "fmt", "--version"], get: "Run `rustup component add rustfmt`.", debian: &[] },
    Tool { probe: &["cargo", "clippy", "--version"], get: "Run `rustup component add clippy`.", debian: &[] },
    Tool { probe: &["git", "--version"], get: "Install git.", debian: &["git"] },
    Tool {
        probe: &["cc", "--version"],
        get: "Install a C compiler, which Rust links with.",
        debian: &["gcc", "libc6-dev"],
    },
    Tool {
        probe: &["redis-server", "--version"],
        get: "Install Redis 7 or newer, which the tests of the shared queue start.",
        debian: &["redis-server"],
    },
    Tool {
        probe: &["npm", "--version"],
        get: "Install Node 20 or newer with npm, which the TypeScript example is built with.",
        debian: &["nodejs", "npm"],
    },
    Tool {
        probe: &["faketime", "--version"],
        get: "Install faketime, which moves a server's clock in a test.",
        debian: &["faketime"],
    },
    Tool { probe: &["curl", "--version"], get: "Install curl, which the examples call.", debian: &["curl"] },
    Tool {
        probe: &["python3", "-c", "import venv, ensurepip"],
        get: "Install Python 3.10 or newer with venv, which the API's checker runs on.",
        debian: &["python3", "python3-venv"],
    },
];

/// How to get a program that was not found.
pub fn how_to_get(program: &str) -> String {
    let tool = TOOLS.iter().find(|tool| tool.probe[0] == program);
    let get = tool.map_or("Install it and put it on PATH.", |tool| tool.get);
    format!("{get} `cargo xtask setup` checks all tools.")
}

/// Checks every tool; on Debian, as root, installs the packages that are missing.
///
/// # Errors
/// What is missing and could not be installed.
pub fn setup(_: &Repository, arguments: &[String]) -> Result<(), String> {
    if let Some(argument) = arguments.first() {
        return Err(format!("setup takes no arguments, got {argument:?}"));
    }
    let absent: Vec<&Tool> = TOOLS.iter().filter(|tool| !report(tool)).collect();
    let packages: Vec<&str> = absent.iter().flat_map(|tool| tool.debian).copied().collect();
    if !packages.is_empty() && is_debian_root() {
        let install = ["install", "--yes", "--no-install-recommends"];
        // A machine that never asked for packages has no list of them.
        if run(Command::new("apt-get").args(install).args(&packages)).is_err() {
            run(Command::new("apt-get").arg("update"))?;
            run(Command::new("apt-get").args(install).args(&packages))?;
        }
    }
    let still: Vec<&str> = absent.iter().filter(|tool| !works(tool)).map(|tool| tool.get).collect();
    if still.is_empty() {
        println!(
            "everything needed is here; `cargo xtask test` itself gets cargo-deny, schemathesis, music21 and a server for S3"
        );
        return Ok(());
    }
    Err(still.join("\n"))
}

fn report(tool: &Tool) -> bool {
    let works = works(tool);
    println!(
        "{:20} {}",
        tool.probe.iter().filter(|word| !word.starts_with('-')).copied().collect::<Vec<_>>().join(" "),
        if works { "found" } else { "missing" }
    );
    works
}

fn works(tool: &Tool) -> bool {
    let mut probe = Command::new(tool.probe[0]);
    probe.args(&tool.probe[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    // On Windows the linker comes with Visual Studio and `cc` is no program of its own.
    (cfg!(windows) && tool.probe[0] == "cc") || probe.status().is_ok_and(|status| status.success())
}

fn is_debian_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    std::path::Path::new("/etc/debian_version").exists() && id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
