//! `models list` and `models verify`: which weights there are, and whether they are whole.

use std::fmt::Write;

use clap::Subcommand;
use partita_models::drums::Drummer;
use serde_json::{Value, json};

use crate::error::Result;
use crate::model;
use crate::session::Session;

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Weights inside the program and in --model
    List,
    /// Check the weights against their checksums
    Verify,
}

/// Name and place of every drummer within reach.
fn all(session: &Session) -> Vec<(String, &'static str, Result<Drummer>)> {
    let bundled = Drummer::bundled(model::PRECISION).map_err(Into::into);
    let mut models = vec![("drums".to_owned(), "bundled", bundled)];
    if let Some(folder) = &session.model {
        models.push((folder.display().to_string(), "folder", model::load(folder, model::PRECISION)));
    }
    models
}

pub fn run(command: &Command, session: &Session) -> Result<()> {
    let models = all(session);
    let mut objects = Vec::new();
    let mut text = String::new();
    for (name, place, loaded) in &models {
        match (command, loaded) {
            (Command::List, Ok(drummer)) => {
                let config = &drummer.config;
                let (layers, width, styles) = (config.layers, config.width, config.styles.len());
                let _ = writeln!(
                    text,
                    "{name}  {place}, {layers} layers x {width}, context {}, {styles} styles",
                    config.context
                );
            }
            (Command::Verify, Ok(drummer)) => {
                let _ = writeln!(text, "{name}  ok, sha256 {}", drummer.config.sha256);
            }
            (_, Err(error)) => {
                let _ = writeln!(text, "{name}  {place}, damaged: {}", error.message);
            }
        }
        objects.push(object(name, place, loaded));
    }
    // A damaged model fails the command; with --json the error is the one object.
    if matches!(command, Command::Verify) {
        if let Some((.., Err(error))) = models.into_iter().find(|(.., loaded)| loaded.is_err()) {
            return Err(error);
        }
        return session.answer(&json!({ "models": objects }), &text, false);
    }
    session.answer(&json!({ "models": objects }), &text, false)
}

/// One model as an object.
pub fn object(name: &str, place: &str, loaded: &Result<Drummer>) -> Value {
    match loaded {
        Ok(drummer) => {
            let mut object = serde_json::to_value(&drummer.config).unwrap_or_else(|_| json!({}));
            object["name"] = json!(name);
            object["place"] = json!(place);
            object["ok"] = json!(true);
            object
        }
        Err(error) => json!({ "name": name, "place": place, "ok": false, "message": error.message }),
    }
}
