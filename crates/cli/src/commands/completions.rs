//! `completions`: scripts for shells.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use crate::error::Result;
use crate::session::Session;

#[derive(Args, Debug)]
pub struct Options {
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut super::Cli::command(), "partita", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    session.answer(&json!({ "shell": options.shell.to_string(), "script": script }), &script, false)
}
