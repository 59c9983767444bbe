//! Models that are too large for the program: fetched from the hub, a server, a bucket or a folder, or imported, and kept
//! on disk.
//!
//! ```text
//! store/
//!   manifests/musicgen-small.json   what the model is made of; the model is there as soon as this file is
//!   folders/<random>/               its files under their own names, links to the blobs
//!   blobs/<sha256>                  each content once, whichever models use it
//!   partial/musicgen-small/         what a pull or an import has so far; the next one goes on from there
//!   packed/musicgen-small/          its weights as they are played, made at the first start
//!   locks/, licences.json
//! ```
//!
//! **Invariant:** a model appears, changes and goes with one rename or removal of its manifest, after all it names has
//! been checked and made durable. Killed at any moment, a process leaves the old model or the new one.
//! **Invariant:** blobs and folders change only under the lock of the whole store, a partial folder only under its
//! model's; the system frees both when their process ends, however it ends.
//! **Invariant:** no name from outside (an index, a manifest, a server, a user) becomes a path before it was checked.
//!
//! All calls block and are meant for a plain thread, not for one that runs async code. A call that takes long tells
//! its [`Watch`] what it does, several times a second even when nothing moves, and stops when that breaks.

pub mod catalogue;
mod commit;
mod disk;
mod error;
#[cfg(feature = "hub")]
mod hub;
mod import;
mod installed;
mod layout;
mod licence;
mod lock;
mod magenta;
mod manifest;
mod partial;
mod watch;

use std::path::{Path, PathBuf};

pub use catalogue::{Mirror, Model, Played};
pub use error::{Error, Result};
#[cfg(feature = "hub")]
pub use hub::{Hub, Patience, Pulled, State};
pub use import::Import;
pub use installed::{Condition, Installed, Listed, Removed, Verified};
pub(crate) use layout::CONFIG;
pub use licence::Licence;
pub use manifest::{Source, StoredFile};
pub use watch::{Event, Watch};

use crate::Config;

/// A folder of models. Opening it touches nothing; folders are made when something is stored.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    pub fn new(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    /// The store beside everything else that a configuration keeps.
    pub fn of(config: &Config) -> Store {
        Store::new(config.data_dir().join("store"))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where whoever plays the model `name` may keep its weights in the form they are played in. Goes with the model.
    pub fn packed(&self, name: &str) -> PathBuf {
        self.root.join("packed").join(name)
    }

    fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    fn manifest(&self, name: &str) -> PathBuf {
        self.manifests().join(format!("{name}.json"))
    }

    fn folders(&self) -> PathBuf {
        self.root.join("folders")
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// `sha256`: 64 hexadecimal digits.
    fn blob(&self, sha256: &str) -> PathBuf {
        self.blobs().join(sha256)
    }

    fn partial(&self, name: &str) -> PathBuf {
        self.root.join("partial").join(name)
    }

    /// Waits until no other process works on the model `name`.
    fn lock_model(&self, name: &str, watch: &mut Watch<'_>) -> Result<lock::Lock> {
        lock::Lock::take(&self.root.join("locks").join(format!("{name}.lock")), watch)
    }

    /// Waits until no other process changes blobs, folders or manifests: a moment.
    fn lock_store(&self, watch: &mut Watch<'_>) -> Result<lock::Lock> {
        // No model has this name: names begin with a letter or a digit.
        lock::Lock::take(&self.root.join("locks").join(".store.lock"), watch)
    }
}
