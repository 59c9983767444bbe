//! `doctor`: whether this machine and these weights are ready.

use std::fmt::Write;

use partita_kernels::{Path, bandwidth};
use serde_json::json;

use super::models::bundled::{self, Opened};
use crate::error::Result;
use crate::model;
use crate::report::round;
use crate::session::Session;

/// Beyond the caches of small machines, yet read in a moment.
const MEGABYTES: usize = 256;

pub fn run(session: &Session) -> Result<()> {
    let compute = model::compute()?;
    let threads = compute.pool.threads();
    let supported: Vec<&str> =
        Path::ALL.into_iter().filter(|path| path.is_supported()).map(Path::name).collect();
    let gigabytes = round(bandwidth(threads, MEGABYTES)? / 1e9, 1);
    let models = bundled::all(session);
    let version = env!("CARGO_PKG_VERSION");
    let (os, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernels = compute.path.name();

    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10} {value}");
    };
    line("version", format!("{version}, {os} {architecture}"));
    line("kernels", format!("{kernels} (this CPU has {})", supported.join(", ")));
    line("threads", format!("{threads} of {cores} cores"));
    line("memory", format!("{gigabytes} GB/s"));
    for opened in &models {
        let state = match &opened.config {
            Ok(config) => format!("ok, sha256 {}", config["sha256"].as_str().unwrap_or_default()),
            Err(error) => format!("damaged: {}", error.message),
        };
        line("weights", format!("{} ({}): {state}", opened.name, opened.place));
    }
    let object = json!({
        "version": version,
        "os": os,
        "architecture": architecture,
        "kernels": kernels,
        "supported_kernels": supported,
        "threads": threads,
        "cores": cores,
        "bandwidth_gb_per_s": gigabytes,
        "models": models.iter().map(Opened::object).collect::<Vec<_>>(),
    });
    if let Some(error) = models.into_iter().find_map(|opened| opened.config.err()) {
        if !session.json {
            crate::output::write_stdout(text.as_bytes())?;
        }
        return Err(error);
    }
    session.answer(&object, &text, false)
}
