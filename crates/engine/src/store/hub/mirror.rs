//! Pulling a model that is not of the hub: from the first of its mirrors that has it.

use std::path::Path;

use super::client::Client;
use super::fetch::Fetch;
use super::place::Place;
use super::pull::is_current;
use super::remote::Remote;
use super::{Hub, Pulled, State};
use crate::store::catalogue::Mirror;
use crate::store::commit::Commit;
use crate::store::partial::{Ready, Slot};
use crate::store::{Error, Installed, Licence, Model, Result, Source, Store, Watch, disk, layout};

/// A file of a model: where it is, what is there, and once it is here, where it waits.
struct Part {
    place: Place,
    remote: Remote,
    slot: Slot,
    ready: Option<Ready>,
}

impl Store {
    pub(super) async fn pull_elsewhere(
        &self,
        model: &Model,
        hub: &Hub,
        watch: &mut Watch<'_>,
    ) -> Result<Pulled> {
        let client = Client::new(hub)?;
        let _lock = self.lock_model(&model.name, watch)?;
        let mut first = None;
        for mirror in &model.mirrors {
            match self.pull_mirror(model, mirror, hub, &client, watch).await {
                // The next may have it; if none has, what the first said tells most.
                Err(error @ (Error::Refused { .. } | Error::Unreachable { .. })) => {
                    first.get_or_insert(error);
                }
                result => return result,
            }
        }
        Err(first.unwrap_or_else(|| Error::content(&model.name, "has no address")))
    }

    /// The caller holds the lock of the model.
    async fn pull_mirror(
        &self,
        model: &Model,
        mirror: &Mirror,
        hub: &Hub,
        client: &Client<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Pulled> {
        let name = &model.name;
        let old = self.find(name).ok();
        let partial = self.partial(name);
        let pulling =
            Pulling { store: self, model, mirror, hub, client, partial: &partial, old: old.as_ref() };
        let mut fetch = Fetch { client, hub, done: 0, total: model.bytes, fetched: 0 };
        let mut parts = vec![];
        for (file, there) in model.files.iter().zip(&mirror.names) {
            parts.push(pulling.ask(file, there, watch).await?);
        }
        self.make_partial(name)?;
        // A manifest says which files there are beside it.
        if let Some(manifest) = parts.iter_mut().find(|part| part.remote.name == layout::MANIFEST) {
            pulling.bring(manifest, &mut fetch, watch).await?;
            let shards = layout::shards(&manifest.slot.done);
            if shards.is_err() {
                // It is not gone on with next time.
                manifest.slot.clear()?;
            }
            for shard in shards? {
                parts.push(pulling.ask(&shard, &shard, watch).await?);
            }
        }
        let remotes: Vec<Remote> = parts.iter().map(|part| part.remote.clone()).collect();
        if let Some(found) = old.clone().filter(|old| !hub.repair && is_current(old, &remotes)) {
            let _ = disk::remove_folder(&partial);
            return Ok(Pulled { model: found, state: State::Current, fetched: fetch.fetched });
        }

        let missing = parts.iter().filter(|part| part.ready.is_none()).map(|part| {
            part.remote.bytes.unwrap_or(0).saturating_sub(disk::length(&part.slot.part).unwrap_or(0))
        });
        disk::room(self.root(), missing.fold(0, u64::saturating_add))?;
        let known: Option<u64> = remotes.iter().map(|remote| remote.bytes).sum();
        fetch.total = known.unwrap_or(model.bytes);
        for part in &mut parts {
            pulling.bring(part, &mut fetch, watch).await?;
        }
        if let Err(error) = check(&parts, &partial) {
            // What is no model is not gone on with either.
            let _ = disk::remove_folder(&partial);
            return Err(error);
        }
        let files = parts.into_iter().filter_map(|part| part.ready).collect();
        let source = Source::Address { address: address(mirror) };
        let licence = Some(model.licence.clone()).filter(Licence::is_known);
        let commit = Commit { name, source, licence, files, repair: hub.repair };
        Ok(Pulled { model: self.commit(commit, watch)?, state: State::Installed, fetched: fetch.fetched })
    }
}

/// What stays the same from file to file.
struct Pulling<'a> {
    store: &'a Store,
    model: &'a Model,
    mirror: &'a Mirror,
    hub: &'a Hub,
    client: &'a Client<'a>,
    partial: &'a Path,
    old: Option<&'a Installed>,
}

impl Pulling<'_> {
    /// Asks for the file that is called `there` in the mirror.
    async fn ask(&self, file: &str, there: &str, watch: &mut Watch<'_>) -> Result<Part> {
        let place = Place::read(&format!("{}{there}", self.mirror.base), self.hub)?;
        let mut remote = place.ask(self.client, self.hub, file, watch).await?;
        if remote.sha256.is_none() {
            let before = || self.old?.files.iter().find(|old| old.name == file).map(|old| old.sha256.clone());
            remote.sha256 = self.model.sha256.get(file).cloned().or_else(before);
        }
        Ok(Part { place, remote, slot: Slot::new(self.partial, file), ready: None })
    }

    /// Brings a file into its slot, unless it is there.
    async fn bring(&self, part: &mut Part, fetch: &mut Fetch<'_>, watch: &mut Watch<'_>) -> Result<()> {
        if part.ready.is_some() {
            return Ok(());
        }
        let at_hand = || self.store.at_hand(&part.remote, &part.slot, self.old);
        let ready = match if self.hub.repair { None } else { at_hand() } {
            Some(ready) => ready,
            None => part.place.fetch(fetch, &part.remote, &part.slot, watch).await?,
        };
        fetch.done += ready.file.bytes;
        part.ready = Some(ready);
        Ok(())
    }
}

/// Checks that the files are weights that can be opened.
fn check(parts: &[Part], partial: &Path) -> Result<()> {
    let wrong = |file: &str, error: &partita_nn::Error| {
        let why = error.to_string().replace(&format!("{}/", partial.display()), "");
        Err(Error::content(file, format!("is no checkpoint: {why}")))
    };
    if let [only] = parts {
        return partita_nn::Tensors::read(&only.slot.done)
            .map_or_else(|error| wrong(&only.remote.name, &error), |_| Ok(()));
    }
    // Under their own names they find each other.
    let folder = tempfile::tempdir_in(partial).map_err(|source| Error::io("make", partial, source))?;
    for part in parts {
        disk::link(&part.slot.done, &folder.path().join(&part.remote.name))?;
    }
    partita_nn::Tensors::open(folder.path())
        .map_or_else(|error| wrong(&parts[0].remote.name, &error), |_| Ok(()))
}

/// Of the only file, or of the folder.
fn address(mirror: &Mirror) -> String {
    let text = match mirror.names.as_slice() {
        [only] => format!("{}{only}", mirror.base),
        _ => mirror.base.clone(),
    };
    reqwest::Url::parse(&text).map_or(text, |url| super::shown(&url))
}
