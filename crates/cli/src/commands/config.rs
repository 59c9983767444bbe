//! `config show` and `config check`.

use std::fmt::Write;

use clap::Subcommand;
use partita_engine::config::redacted;
use serde_json::{Value, json};

use crate::error::Result;
use crate::session::Session;
use crate::settings::Settings;

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Print the configuration in force, without passwords and secrets
    Show(Settings),
    /// Say whether a configuration can be used
    Check(Settings),
}

pub fn run(command: &Command, session: &Session) -> Result<()> {
    match command {
        Command::Show(settings) => {
            let shown = redacted(&settings.live(vec![])?.get());
            let mut text = String::new();
            lines(&shown, "", &mut text);
            session.answer(&shown, &text, false)
        }
        Command::Check(settings) => {
            settings.live(vec![])?;
            session.answer(&json!({ "ok": true }), "the configuration can be used\n", false)
        }
    }
}

/// One line a key, as `--set` takes it.
fn lines(value: &Value, key: &str, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                lines(value, &key, text);
            }
        }
        Value::String(value) => drop(writeln!(text, "{key}={value}")),
        value => drop(writeln!(text, "{key}={value}")),
    }
}
