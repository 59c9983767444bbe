//! Files of a model on their way into the store.
//!
//! `partial/<model>/<file>.part` grows, `<file>.done` is whole and checked and never written again (it may be a link
//! to a blob), `<file>.state` says what they are. All is kept until the model is installed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Result, Store, StoredFile, disk};

/// The three names of one file.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub part: PathBuf,
    pub done: PathBuf,
    state: PathBuf,
}

/// What a partial file is a part of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// What the hub calls this content; `None` if it has no name for it.
    pub etag: Option<String>,
    /// What the server that sends the bytes calls them, for `If-Range`.
    pub validator: Option<String>,
    /// Once it is done.
    pub sha256: Option<String>,
}

/// A whole, checked file that waits to be installed.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub file: StoredFile,
    /// Where it lies.
    pub done: PathBuf,
}

impl Store {
    /// Makes the partial folder of `name`; the caller holds the lock of that model.
    pub(super) fn make_partial(&self, name: &str) -> Result<PathBuf> {
        let folder = self.partial(name);
        disk::make_folder(&folder)?;
        Ok(folder)
    }
}

impl Slot {
    /// `file`: a checked file name.
    pub fn new(folder: &Path, file: &str) -> Slot {
        let path = |ending: &str| folder.join(format!("{file}.{ending}"));
        Slot { part: path("part"), done: path("done"), state: path("state") }
    }

    pub fn save(&self, state: &State) -> Result<()> {
        disk::write(&self.state, &serde_json::to_vec(state).expect("plain data"))
    }

    /// Ends the file: `part` is whole, durable and has `sha256`.
    pub fn finish(&self, mut state: State, sha256: &str) -> Result<()> {
        state.sha256 = Some(sha256.to_owned());
        self.save(&state)?;
        std::fs::rename(&self.part, &self.done)
            .map_err(|source| super::Error::io("write", &self.done, source))
    }
}

/// Going on with what an earlier pull has left.
#[cfg(feature = "hub")]
impl Slot {
    /// The state as it was written; an empty one if there is none that can be read.
    pub fn state(&self) -> State {
        std::fs::read(&self.state)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    pub fn clear(&self) -> Result<()> {
        // The state last: without the files it means nothing.
        disk::remove_file(&self.part)?;
        disk::remove_file(&self.done)?;
        disk::remove_file(&self.state)
    }

    /// The finished file, if there is one of the content that the hub calls `etag`.
    pub fn finished(&self, name: &str, etag: Option<&str>) -> Option<Ready> {
        let bytes = disk::length(&self.done)?;
        let state = self.state();
        let sha256 = state.sha256.filter(|sha256| disk::is_sha256(sha256))?;
        if etag.is_none() || state.etag.as_deref() != etag {
            return None;
        }
        let file = StoredFile { name: name.to_owned(), bytes, sha256, etag: state.etag };
        Some(Ready { file, done: self.done.clone() })
    }
}
