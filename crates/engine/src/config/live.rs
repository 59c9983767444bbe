//! The configuration in force, exchanged as a whole while the server runs.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::keys::KEYS;
use super::{Config, Invalid, Sources};

/// A configuration that can be read at any time and reloaded.
pub struct Live {
    current: ArcSwap<Config>,
    /// `None` for a configuration made in code, which a reload leaves as it is.
    sources: Option<Sources>,
    /// Hash of the file as it was last read. Held through a reload, so that two cannot mix.
    seen: Mutex<Option<[u8; 32]>>,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Reloaded {
    /// Keys that have new values now.
    pub changed: Vec<String>,
    /// Keys whose new values need a restart; they keep their old ones.
    pub needs_restart: Vec<String>,
}

impl Live {
    /// Loads for the first time.
    ///
    /// # Errors
    /// See [`super::load`].
    pub fn open(sources: Sources) -> Result<Live, Vec<Invalid>> {
        let seen = hash(&sources);
        let config = super::load(&sources)?;
        Ok(Live { current: ArcSwap::from_pointee(config), sources: Some(sources), seen: Mutex::new(seen) })
    }

    /// A configuration made in code; a reload changes nothing.
    pub fn fixed(config: Config) -> Live {
        Live { current: ArcSwap::from_pointee(config), sources: None, seen: Mutex::new(None) }
    }

    /// The configuration in force. Hold it for one task; the next task asks again.
    pub fn get(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Reads all sources again. All or nothing: on an error the old configuration stays in force.
    ///
    /// # Errors
    /// See [`super::load`].
    pub fn reload(&self) -> Result<Reloaded, Vec<Invalid>> {
        let Some(sources) = &self.sources else { return Ok(Reloaded::default()) };
        let mut seen = self.seen();
        // Before reading: a change in between then shows as one more change, never as none. A file that is wrong
        // counts as seen too, so it is told of once.
        *seen = hash(sources);
        let new = super::load(sources)?;
        let (config, reloaded) = exchange(&self.current.load(), &new);
        self.current.store(Arc::new(config));
        Ok(reloaded)
    }

    /// Whether the file holds something else than when it was last read. Reads through links, so the exchanged folder
    /// of a Kubernetes ConfigMap counts; a file that is missing for a moment does not. Cheap: it hashes one small file.
    pub fn file_changed(&self) -> bool {
        let seen = self.seen();
        self.sources.as_ref().and_then(hash).is_some_and(|now| *seen != Some(now))
    }

    fn seen(&self) -> MutexGuard<'_, Option<[u8; 32]>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The new configuration with the old values of the keys that need a restart.
fn exchange(old: &Config, new: &Config) -> (Config, Reloaded) {
    let plain = |config: &Config| serde_json::to_value(config).expect("a configuration is plain data");
    let (old, mut merged) = (plain(old), plain(new));
    let mut reloaded = Reloaded::default();
    for key in KEYS {
        let pointer = format!("/{}", key.path.replace('.', "/"));
        let old: &Value = old.pointer(&pointer).expect("a key of the table");
        let new: &mut Value = merged.pointer_mut(&pointer).expect("a key of the table");
        if old == new {
            continue;
        }
        if key.restart {
            new.clone_from(old);
            reloaded.needs_restart.push(key.path.to_owned());
        } else {
            reloaded.changed.push(key.path.to_owned());
        }
    }
    (serde_json::from_value(merged).expect("values of two configurations"), reloaded)
}

/// Of the file; `None` without one.
fn hash(sources: &Sources) -> Option<[u8; 32]> {
    let file = std::fs::File::open(sources.file.as_ref()?).ok()?;
    let mut bytes = vec![];
    // One byte more than may be read: a file that is too long still differs from the one before it grew.
    file.take(super::load::MAX_BYTES + 1).read_to_end(&mut bytes).ok()?;
    Some(Sha256::digest(bytes).into())
}
