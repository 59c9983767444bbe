//! What holds for every command: how much is said, in which form, and with which weights.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::output::{write_stderr, write_stdout};

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub struct Session {
    /// Print one JSON object instead of text (`tasks watch` prints one a line)
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Another model than the usual one inside the program: its folder or file, or the name of an installed one
    #[arg(long, global = true, value_name = "DIR", env = "PARTITA_MODEL", hide_env_values = true)]
    pub model: Option<PathBuf>,
}

impl Session {
    /// Whether text for people on stdout may have colours.
    pub fn color(&self) -> bool {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        std::io::stdout().is_terminal() && !no_color && !dumb
    }

    /// Whether a progress bar has a place.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// The end of a command: the object with `--json`, else the text.
    ///
    /// `elsewhere` tells that stdout holds the bytes of a result, so that the text has to go to stderr.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn answer(&self, json: &Value, text: &str, elsewhere: bool) -> Result<()> {
        if self.json {
            return write_stdout(format!("{json}\n").as_bytes());
        }
        if elsewhere { write_stderr(text) } else { write_stdout(text.as_bytes()) }
    }

    /// A remark for `-v`.
    pub fn remark(&self, text: &str) {
        if self.verbose {
            drop(write_stderr(&format!("{text}\n")));
        }
    }
}

/// Milliseconds of each part of a command.
pub struct Clock {
    started: Instant,
    last: Instant,
    parts: Map<String, Value>,
}

impl Clock {
    pub fn start() -> Clock {
        let now = Instant::now();
        Clock { started: now, last: now, parts: Map::new() }
    }

    /// Ends a part.
    pub fn lap(&mut self, name: &str) {
        let now = Instant::now();
        self.parts.insert(name.to_owned(), milliseconds(now - self.last));
        self.last = now;
    }

    /// All parts and `total`.
    pub fn to_json(&self) -> Value {
        let mut parts = self.parts.clone();
        parts.insert("total".into(), milliseconds(self.started.elapsed()));
        Value::Object(parts)
    }
}

fn milliseconds(time: std::time::Duration) -> Value {
    json!((time.as_secs_f64() * 1e5).round() / 100.0)
}
