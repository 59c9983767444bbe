//! Pulling a whole model.

use super::client::Client;
use super::fetch::Fetch;
use super::remote::{Remote, ask};
use super::{Hub, Pulled, State};
use crate::store::commit::Commit;
use crate::store::partial::{self, Ready, Slot};
use crate::store::{
    Error, Installed, Model, Result, Source, Store, StoredFile, Watch, catalogue, disk, layout,
};

impl Store {
    /// The model `name`; one of the catalogue that is not there is fetched first, and its licence accepted: for those
    /// whose configuration says so (`models.auto_pull`).
    ///
    /// Blocks; not for threads that run async code.
    ///
    /// # Errors
    /// As [`Store::find`] and [`Store::pull`].
    pub fn find_or_pull(&self, name: &str, hub: &Hub, watch: &mut Watch<'_>) -> Result<Installed> {
        match self.find(name) {
            Err(Error::NotInstalled { .. }) => {}
            found => return found,
        }
        let model = catalogue::find(name)?;
        self.accept(&model.licence, watch)?;
        Ok(self.pull(model, hub, watch)?.model)
    }

    /// Fetches a model, or brings it up to date. Its licence must have been accepted.
    ///
    /// Files that are there under any name are not fetched again, and what an earlier pull has left is gone on with.
    /// When several processes pull the same model, one works and the others wait and find it done.
    ///
    /// A model that is not of the hub is fetched from the first of its mirrors that has it. Without a checksum in the
    /// catalogue, that of what came first is kept and must fit from then on, until the model is removed.
    ///
    /// Blocks; not for threads that run async code.
    ///
    /// # Errors
    /// `Licence`, `Offline`, `Unreachable`, `Refused`, `Redirect`, `Changed`, `Length`, `Hash`, `Content`, `NoSpace`,
    /// `Io`, `Cancelled`. The model is then what it was before.
    pub fn pull(&self, model: &Model, hub: &Hub, watch: &mut Watch<'_>) -> Result<Pulled> {
        if hub.offline {
            return match self.find(&model.name) {
                Ok(found) => Ok(Pulled { model: found, state: State::Unchecked, fetched: 0 }),
                Err(Error::NotInstalled { name, .. }) => Err(Error::Offline { name }),
                Err(error) => Err(error),
            };
        }
        if !self.has_accepted(&model.licence) {
            let (licence, url) = (model.licence.id.clone(), model.licence.url.clone());
            return Err(Error::Licence { name: model.name.clone(), licence, url });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| Error::io("call the hub from", self.root(), source))?;
        if model.mirrors.is_empty() {
            runtime.block_on(self.pull_from(model, hub, watch))
        } else {
            runtime.block_on(self.pull_elsewhere(model, hub, watch))
        }
    }

    async fn pull_from(&self, model: &Model, hub: &Hub, watch: &mut Watch<'_>) -> Result<Pulled> {
        let name = &model.name;
        let client = Client::new(hub)?;
        let _lock = self.lock_model(name, watch)?;
        let repository = ask(&client, hub, model, watch).await?;
        let old = self.find(name).ok();
        if let Some(found) = old.clone().filter(|old| !hub.repair && is_current(old, &repository.files)) {
            let _ = disk::remove_folder(&self.partial(name));
            return Ok(Pulled { model: found, state: State::Current, fetched: 0 });
        }

        let partial = self.make_partial(name)?;
        let mut waiting = vec![];
        for remote in &repository.files {
            let slot = Slot::new(&partial, &remote.name);
            let ready = if hub.repair { None } else { self.at_hand(remote, &slot, old.as_ref()) };
            waiting.push((remote, slot, ready));
        }
        let missing = waiting.iter().filter(|(.., ready)| ready.is_none());
        let missing = missing.map(|(remote, slot, _)| {
            remote.bytes.unwrap_or(0).saturating_sub(disk::length(&slot.part).unwrap_or(0))
        });
        disk::room(self.root(), missing.fold(0, u64::saturating_add))?;

        let known: Option<u64> = repository.files.iter().map(|file| file.bytes).sum();
        let total = known.unwrap_or(model.bytes);
        let mut fetch = Fetch { client: &client, hub, done: 0, total, fetched: 0 };
        // A commit stays what it is while a branch moves on.
        let revision = repository.commit.as_deref().unwrap_or(&hub.revision);
        let mut files = vec![];
        for (remote, slot, ready) in waiting {
            let ready = match ready {
                Some(ready) => ready,
                None => {
                    let url = hub.address(&model.repository, revision, &remote.name);
                    fetch.file(remote, &slot, &url, watch).await?
                }
            };
            fetch.done += ready.file.bytes;
            // Told before gigabytes follow.
            if remote.name == layout::CONFIG {
                discard_if_wrong(layout::check_config(&ready.done), &slot)?;
            }
            files.push(ready);
        }
        let names: Vec<&str> = files.iter().map(|ready| ready.file.name.as_str()).collect();
        layout::check(&names, |name| Slot::new(&partial, name).done)?;
        let source = Source::Hub {
            endpoint: super::shown(&hub.endpoint),
            repository: model.repository.clone(),
            revision: hub.revision.clone(),
            commit: repository.commit,
        };
        let licence = Some(model.licence.clone());
        let commit = Commit { name, source, licence, files, repair: hub.repair };
        Ok(Pulled { model: self.commit(commit, watch)?, state: State::Installed, fetched: fetch.fetched })
    }

    /// The content of `remote`, if an earlier pull has finished it or another model has it.
    pub(super) fn at_hand(&self, remote: &Remote, slot: &Slot, old: Option<&Installed>) -> Option<Ready> {
        let fits = |bytes: u64| remote.bytes.is_none_or(|expected| expected == bytes);
        let finished = slot.finished(&remote.name, remote.etag.as_deref());
        if let Some(ready) = finished.filter(|ready| fits(ready.file.bytes)) {
            return Some(ready);
        }
        let before = || old?.files.iter().find(|file| file.etag.is_some() && file.etag == remote.etag);
        let sha256 = remote.sha256.clone().or_else(|| before().map(|file| file.sha256.clone()))?;
        let blob = self.blob(&sha256);
        let bytes = disk::length(&blob).filter(|bytes| fits(*bytes))?;
        // A name of its own for it, so that it stays when the other model goes meanwhile.
        slot.clear().ok()?;
        disk::link(&blob, &slot.done).ok()?;
        let etag = remote.etag.clone();
        let state = partial::State { etag: etag.clone(), validator: None, sha256: Some(sha256.clone()) };
        slot.save(&state).ok()?;
        let file = StoredFile { name: remote.name.clone(), bytes, sha256, etag };
        Some(Ready { file, done: slot.done.clone() })
    }
}

/// Whether a model is exactly what the hub has, as far as the hub's names for contents tell.
pub(super) fn is_current(model: &Installed, files: &[Remote]) -> bool {
    model.files.len() == files.len()
        && files.iter().all(|remote| {
            let found = model.files.iter().find(|file| file.name == remote.name);
            found.is_some_and(|file| {
                let same_name = remote.etag.is_some() && file.etag == remote.etag;
                let same_hash = remote.sha256.as_ref() == Some(&file.sha256);
                (same_name || same_hash) && remote.bytes.is_none_or(|bytes| bytes == file.bytes)
            })
        })
}

/// A file that is no part of a model is not gone on with next time.
fn discard_if_wrong(checked: Result<()>, slot: &Slot) -> Result<()> {
    if checked.is_err() {
        slot.clear()?;
    }
    checked
}
