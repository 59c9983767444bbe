//! `models`: which weights there are, whether they are whole, and which of them a server holds in memory.

use std::fmt::Write;

use clap::{Args, Subcommand};
use partita_models::drums::Drummer;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Result;
use crate::model;
use crate::report::tame;
use crate::session::Session;

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Weights inside the program and in --model
    List,
    /// Check the weights against their checksums
    Verify,
    /// Models of a server, and what they take
    Ps(Client),
    /// Bring a model of a server into memory
    Load(Named),
    /// Take a model of a server out of memory
    Unload(Named),
}

#[derive(Args, Debug)]
pub struct Named {
    /// A name, an alias, or name@version
    name: String,
    #[command(flatten)]
    client: Client,
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
    match command {
        Command::List | Command::Verify => here(command, session),
        Command::Ps(client) => {
            let answer = client.get("/api/v1/models")?;
            let text = answer["data"].as_array().into_iter().flatten().map(line).collect::<String>();
            session.answer(&answer, &text, false)
        }
        Command::Load(named) => change(named, "load", session),
        Command::Unload(named) => change(named, "unload", session),
    }
}

fn change(named: &Named, verb: &str, session: &Session) -> Result<()> {
    let body = json!({ "model_name": named.name });
    let answer = named.client.call(Method::POST, &format!("/api/v1/models/{verb}"), Some(&body))?;
    session.answer(&answer, &line(&answer), false)
}

/// One line a model of a server.
fn line(model: &Value) -> String {
    let word = |key: &str| tame(model[key].as_str().unwrap_or_default());
    let state = match model["memory_bytes"].as_u64() {
        Some(bytes) => format!("loaded, {} MiB, {} in use", bytes >> 20, model["in_use"]),
        None => word("error").split_once('\n').map_or_else(|| word("error"), |(first, _)| first.to_owned()),
    };
    let state = if state.is_empty() { "not loaded".to_owned() } else { state };
    format!("{}@{}  {}  {state}\n", word("name"), word("version"), word("family"))
}

/// The weights this program can reach without a server.
fn here(command: &Command, session: &Session) -> Result<()> {
    let models = all(session);
    let mut objects = Vec::new();
    let mut text = String::new();
    for (name, place, loaded) in &models {
        match (command, loaded) {
            (Command::Verify, Ok(drummer)) => {
                let _ = writeln!(text, "{name}  ok, sha256 {}", drummer.config.sha256);
            }
            (_, Ok(drummer)) => {
                let config = &drummer.config;
                let (layers, width, styles) = (config.layers, config.width, config.styles.len());
                let _ = writeln!(
                    text,
                    "{name}  {place}, {layers} layers x {width}, context {}, {styles} styles",
                    config.context
                );
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
