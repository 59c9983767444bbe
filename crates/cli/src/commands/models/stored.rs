//! `models list`, `show`, `verify` and `rm` for the models of the store.

use std::fmt::Write;

use clap::Args;
use partita_engine::rfc3339;
use partita_engine::store::{
    Condition, Error as StoreError, Installed, Listed, Source, Store, Verified, catalogue,
};
use partita_models::midi_gpt::MidiGpt;
use serde_json::{Value, json};

use super::place::{Place, at_once, size, watched};
use crate::error::{Error, Result};
use crate::report::tame;
use crate::session::Session;

#[derive(Args, Debug)]
pub struct Named {
    /// A name that `models list` shows
    name: String,
    #[command(flatten)]
    place: Place,
}

/// Lines and objects of every model in the store.
pub fn all(store: &Store) -> Result<(String, Vec<Value>)> {
    let mut text = String::new();
    let mut objects = vec![];
    for Listed { name, model } in store.list()? {
        match model {
            Ok(model) => {
                let family = family(&model).map_or_else(String::new, |family| format!("{family}, "));
                let _ = writeln!(text, "{name}  store, {family}{}, {}", size(model.bytes), licence(&model));
                objects.push(object(&model));
            }
            Err(error) => {
                let error = Error::from(error);
                let _ = writeln!(text, "{name}  store, {}", error.message);
                objects
                    .push(json!({ "name": name, "place": "store", "ok": false, "message": error.message }));
            }
        }
    }
    Ok((text, objects))
}

/// What can be pulled.
pub fn available(store: &Store, session: &Session) -> Result<()> {
    let there: Vec<String> = store.list()?.into_iter().map(|listed| listed.name).collect();
    let mut text = String::new();
    let mut objects = vec![];
    for model in catalogue::models() {
        let installed = there.contains(&model.name);
        let state = if installed { ", installed" } else { "" };
        let (name, size, says, id) = (&model.name, model.size(), &model.says, &model.licence.id);
        let _ = writeln!(text, "{name:28}  {size:>7}  {says}, {id}{state}");
        let mut object = published(model);
        object["installed"] = json!(installed);
        objects.push(object);
    }
    session.answer(&json!({ "available": objects }), &text, false)
}

pub fn show(named: &Named, session: &Session) -> Result<()> {
    let store = named.place.store()?;
    let model = match store.find(&named.name) {
        Ok(model) => model,
        Err(StoreError::NotInstalled { .. }) => {
            let model = catalogue::find(&named.name)?;
            let mut object = published(model);
            object["installed"] = json!(false);
            let text = format!(
                "{name}  not installed, {}\n  {}\n  licence  {}, {}\n           {}\n  `partita models pull {name}` fetches it\n",
                model.size(),
                model.says,
                model.licence.id,
                model.licence.url,
                model.licence.says,
                name = model.name,
            );
            return session.answer(&object, &text, false);
        }
        Err(error) => return Err(error.into()),
    };
    let mut text = format!("{}  {}\n", model.name, size(model.bytes));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<9} {}", tame(value));
    };
    line("folder", &model.folder.display().to_string());
    line("licence", &licence(&model));
    match &model.source {
        Source::Hub { endpoint, repository, revision, commit } => {
            let commit = commit.as_ref().map_or(String::new(), |commit| format!(", commit {commit}"));
            line("source", &format!("{endpoint}/{repository}, {revision}{commit}"));
        }
        Source::Address { address } => line("source", address),
        Source::Import => line("source", "imported from a folder"),
    }
    line("installed", &rfc3339(model.installed_at));
    for file in &model.files {
        line("file", &format!("{}, {}, sha256 {}", file.name, size(file.bytes), file.sha256));
    }
    session.answer(&object(&model), &text, false)
}

pub fn remove(named: &Named, session: &Session) -> Result<()> {
    let removed = named.place.store()?.remove(&named.name, &mut at_once)?;
    let text = format!("{}  removed, {} freed\n", named.name, size(removed.freed));
    session.answer(&json!({ "name": named.name, "freed_bytes": removed.freed }), &text, false)
}

/// Reads every file of a model again: its line and object, or an error that names the first damaged file.
pub fn verify(store: &Store, name: &str, session: &Session) -> Result<(String, Value)> {
    let files = watched(session, |watch| store.verify(name, watch)).map_err(|error| match error {
        StoreError::Cancelled if crate::cancel::requested() => Error::interrupted(),
        error => error.into(),
    })?;
    for Verified { file, condition } in &files {
        let why = match condition {
            Condition::Good => continue,
            Condition::Missing => "is missing".to_owned(),
            Condition::Length(got) => format!("must have {} bytes, got {got}", file.bytes),
            Condition::Hash(got) => format!("must have sha256 {}, got {got}", file.sha256),
        };
        let repair = match catalogue::find(name) {
            Ok(_) => format!("`partita models pull {name} --force` fetches it again"),
            Err(_) => format!("`partita models import DIR --name {name} --force` replaces it"),
        };
        let message = format!("model {name} is damaged: {} {why}; {repair}", file.name);
        return Err(Error::failed(message));
    }
    let bytes: u64 = files.iter().map(|verified| verified.file.bytes).sum();
    let text = format!("{name}  ok, {} files, {}\n", files.len(), size(bytes));
    Ok((text, json!({ "name": name, "place": "store", "ok": true, "bytes": bytes })))
}

/// A model of the store as an object.
pub fn object(model: &Installed) -> Value {
    let source = match &model.source {
        Source::Hub { endpoint, repository, revision, commit } => json!({
            "endpoint": endpoint,
            "repository": repository,
            "revision": revision,
            "commit": commit,
        }),
        Source::Address { address } => json!({ "address": address }),
        Source::Import => json!({ "imported": true }),
    };
    let file = |file: &partita_engine::store::StoredFile| json!({ "name": file.name, "bytes": file.bytes, "sha256": file.sha256 });
    json!({
        "name": model.name,
        "place": "store",
        "ok": true,
        "family": family(model),
        "folder": model.folder,
        "bytes": model.bytes,
        "licence": model.licence.as_ref().map(|licence| &licence.id),
        "licence_url": model.licence.as_ref().map(|licence| &licence.url),
        "source": source,
        "installed_at": rfc3339(model.installed_at),
        "files": model.files.iter().map(file).collect::<Vec<_>>(),
    })
}

/// What a model is, where its name does not tell.
fn family(model: &Installed) -> Option<&'static str> {
    MidiGpt::is_at(&model.folder).then_some(MidiGpt::FAMILY)
}

/// The licence of a model for people.
pub fn licence(model: &Installed) -> String {
    let licence = model.licence.as_ref();
    licence
        .map_or_else(|| "licence unknown".to_owned(), |licence| format!("{} ({})", licence.id, licence.url))
}

/// A model that can be pulled, as an object.
fn published(model: &catalogue::Model) -> Value {
    json!({
        "name": model.name,
        "repository": model.repository,
        "description": model.says,
        "bytes": model.bytes,
        "licence": model.licence.id,
        "licence_url": model.licence.url,
    })
}
