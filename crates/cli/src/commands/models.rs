//! `models`: which weights there are, bringing more, whether they are whole, and which of them a server holds in
//! memory.

pub mod bundled;
mod check;
pub mod place;
mod pull;
mod stored;

use std::fmt::Write;

use clap::{Args, Subcommand};
use partita_engine::store::Store;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Result;
use crate::report::tame;
use crate::session::Session;
use bundled::Opened;
use place::Place;

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Weights inside the program, in --model and in the store
    List(List),
    /// Fetch a model from the hub into the store, or bring it up to date
    Pull(pull::Pull),
    /// Bring a model that is on this machine into the store
    Import(pull::Folder),
    /// What a model of the store is, or would be
    Show(stored::Named),
    /// Remove a model from the store
    Rm(stored::Named),
    /// Check the weights against their checksums
    Verify(Verify),
    /// How much a model for sound loses when its weights are kept in fewer bits
    Check(check::Check),
    /// Models of a server, and what they take
    Ps(Client),
    /// Bring a model of a server into memory
    Load(Named),
    /// Take a model of a server out of memory
    Unload(Named),
}

#[derive(Args, Debug)]
pub struct List {
    /// Those that can be pulled instead
    #[arg(long)]
    available: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Debug)]
pub struct Verify {
    /// Models of the store; all weights if left out
    names: Vec<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Debug)]
pub struct Named {
    /// A name, an alias, or name@version
    name: String,
    #[command(flatten)]
    client: Client,
}

pub fn run(command: &Command, session: &Session) -> Result<()> {
    match command {
        Command::List(options) if options.available => stored::available(&options.place.store()?, session),
        Command::List(options) => list(&options.place.store()?, session),
        Command::Verify(options) => verify(options, session),
        Command::Pull(options) => pull::pull(options, session),
        Command::Import(options) => pull::import(options, session),
        Command::Show(named) => stored::show(named, session),
        Command::Rm(named) => stored::remove(named, session),
        Command::Check(options) => check::run(options, session),
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
fn list(store: &Store, session: &Session) -> Result<()> {
    let opened = bundled::all(session);
    let mut objects: Vec<Value> = opened.iter().map(Opened::object).collect();
    let text: String = opened.iter().map(Opened::line).collect();
    let (lines, stored) = stored::all(store)?;
    objects.extend(stored);
    session.answer(&json!({ "models": objects }), &(text + &lines), false)
}

/// Checks what is named, or everything. A damaged model fails the command; with --json the error is the one object.
fn verify(options: &Verify, session: &Session) -> Result<()> {
    let store = options.place.store()?;
    let mut objects = Vec::new();
    let mut text = String::new();
    if options.names.is_empty() {
        for opened in bundled::all(session) {
            objects.push(opened.object());
            let config = opened.config?;
            let checksum = config["sha256"].as_str().map_or_else(String::new, |it| format!(", sha256 {it}"));
            let _ = writeln!(text, "{}  ok{checksum}", opened.name);
        }
    }
    let names = match options.names.as_slice() {
        [] => store.list()?.into_iter().map(|listed| listed.name).collect(),
        names => names.to_vec(),
    };
    for name in names {
        let (line, object) = stored::verify(&store, &name, session)?;
        text.push_str(&line);
        objects.push(object);
    }
    session.answer(&json!({ "models": objects }), &text, false)
}
