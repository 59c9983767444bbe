//! `models pull` and `models import`: bringing models into the store.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use partita_engine::store::{Error as StoreError, Hub, Import, Model, State, Store, catalogue};

use super::place::{Place, at_once, size, watched};
use super::stored;
use crate::error::{Error, Kind, Result};
use crate::output::write_stderr;
use crate::report::tame;
use crate::session::Session;

#[derive(Args, Debug)]
pub struct Pull {
    /// A name that `models list --available` shows; with --from, what the model will be called
    name: String,
    /// Address of a checkpoint of one's own: https://, gs://, s3:// or file://, of an archive, a bundle, or a folder of
    /// magenta-js with a slash at its end
    #[arg(long, value_name = "URL", conflicts_with = "revision")]
    from: Option<String>,
    /// What the file of --from must hash to
    #[arg(long, value_name = "DIGITS", requires = "from")]
    sha256: Option<String>,
    /// Branch, tag or commit; main if left out
    #[arg(long)]
    revision: Option<String>,
    /// Accept the model's licence; asked for once
    #[arg(long, alias = "accept-license")]
    accept_licence: bool,
    /// Address of a mirror; that of HF_ENDPOINT or the hub if left out, for gs:// that of GS_ENDPOINT or Google's
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Call nobody: tell whether the model is there
    #[arg(long)]
    offline: bool,
    /// Fetch again what is there already, as after damage
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Debug)]
pub struct Folder {
    /// Folder with config.json, tokenizer.json and weights, as the hub has them: a MusicGen, or a GPT-2 with MidiTok's
    /// tokenizer
    folder: PathBuf,
    /// What the model will be called; as the folder if left out
    #[arg(long)]
    name: Option<String>,
    /// Copy the files; otherwise they are linked where that is possible, and must not be changed in their old place
    #[arg(long)]
    copy: bool,
    /// Replace a model of this name
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

pub fn pull(options: &Pull, session: &Session) -> Result<()> {
    let model = match &options.from {
        Some(address) => &Model::at(&options.name, address, options.sha256.as_deref())?,
        None => catalogue::find(&options.name)?,
    };
    let mut hub = Hub::from_env(|name| std::env::var_os(name))?;
    if let Some(endpoint) = &options.endpoint {
        let is_of_the_hub = model.mirrors.is_empty();
        hub = if is_of_the_hub { hub.with_endpoint(endpoint)? } else { hub.with_gs_endpoint(endpoint)? };
    }
    if let Some(revision) = &options.revision {
        hub = hub.with_revision(revision)?;
    }
    hub.offline |= options.offline;
    hub.repair = options.force;
    let store = options.place.store()?;
    if !hub.offline && !store.has_accepted(&model.licence) {
        accept(options.accept_licence, model, &store, session)?;
    }
    let pulled = watched(session, |watch| store.pull(model, &hub, watch))?;
    let mut object = stored::object(&pulled.model);
    let (state, words) = match pulled.state {
        State::Installed => ("installed", "installed"),
        State::Current => ("current", "up to date"),
        State::Unchecked => ("unchecked", "installed; offline, nobody was asked for a newer one"),
    };
    object["state"] = state.into();
    object["fetched_bytes"] = pulled.fetched.into();
    let text = format!("{}  {words}, {}\n", pulled.model.name, size(pulled.model.bytes));
    session.answer(&object, &text, false)
}

/// Shows a licence and has it accepted.
fn accept(agreed: bool, model: &Model, store: &Store, session: &Session) -> Result<()> {
    let licence = &model.licence;
    if !session.quiet {
        let (name, size) = (&model.name, model.size());
        write_stderr(&format!(
            "{name} ({size}) is under the licence {}: {}\n  {}\n",
            licence.id, licence.says, licence.url
        ))?;
    }
    let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let can_ask = somebody && !session.json && !session.quiet;
    if !agreed && !can_ask {
        let (name, id, url) = (model.name.clone(), licence.id.clone(), licence.url.clone());
        return Err(StoreError::Licence { name, licence: id, url }.into());
    }
    if !agreed {
        write_stderr("accept it? [y/N] ")?;
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        if read.is_err() || !["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
            let message = "the licence was not accepted; nothing was fetched";
            return Err(Error { kind: Kind::Cancelled, ..Error::failed(message) });
        }
    }
    Ok(store.accept(licence, &mut at_once)?)
}

pub fn import(options: &Folder, session: &Session) -> Result<()> {
    let store = options.place.store()?;
    let import = Import {
        folder: &options.folder,
        name: options.name.as_deref(),
        copy: options.copy,
        replace: options.force,
    };
    let model = watched(session, |watch| store.import(&import, watch)).map_err(|error| match error {
        // Of an import nothing is kept.
        StoreError::Cancelled if crate::cancel::requested() => Error::interrupted(),
        error => error.into(),
    })?;
    let licence = stored::licence(&model);
    let text = format!("{}  imported, {}, {}\n", tame(&model.name), size(model.bytes), licence);
    session.answer(&stored::object(&model), &text, false)
}
