//! Licences of models, and which ones the user has accepted.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Error, Result, Store, Watch, disk, manifest};

/// Under which terms a model may be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Licence {
    /// As SPDX calls it: `CC-BY-NC-4.0`.
    pub id: String,
    /// Where its text is.
    pub url: String,
    /// What it says, in one line.
    pub says: String,
}

impl Licence {
    /// Of what a user fetches from an address of their own.
    pub(super) fn unknown() -> Licence {
        Licence { id: String::new(), url: String::new(), says: String::new() }
    }

    /// Whether anybody told the terms, which then must be accepted.
    pub fn is_known(&self) -> bool {
        !self.id.is_empty()
    }
}

/// What `licences.json` keeps of each accepted licence.
#[derive(Serialize, Deserialize)]
struct Accepted {
    url: String,
    /// Milliseconds since 1970.
    accepted_at: i64,
}

impl Store {
    fn licences(&self) -> PathBuf {
        self.root.join("licences.json")
    }

    /// Whether the user has accepted a licence, for whichever model. One that nobody knows needs no accepting.
    pub fn has_accepted(&self, licence: &Licence) -> bool {
        if !licence.is_known() {
            return true;
        }
        // A file that cannot be read accepts nothing: the question comes again.
        self.accepted().is_ok_and(|accepted| accepted.contains_key(&licence.id))
    }

    /// Keeps that the user has accepted a licence.
    ///
    /// # Errors
    /// `Io`, `NoSpace`, `Cancelled`.
    pub fn accept(&self, licence: &Licence, watch: &mut Watch<'_>) -> Result<()> {
        if self.has_accepted(licence) {
            return Ok(());
        }
        let _lock = self.lock_store(watch)?;
        let mut accepted = self.accepted().unwrap_or_default();
        let now = Accepted { url: licence.url.clone(), accepted_at: manifest::now() };
        accepted.insert(licence.id.clone(), now);
        let text = serde_json::to_vec_pretty(&accepted).expect("plain data");
        disk::write(&self.licences(), &text)
    }

    fn accepted(&self) -> Result<BTreeMap<String, Accepted>> {
        let path = self.licences();
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| Error::content("licences.json", format!("cannot be read: {error}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(source) => Err(Error::io("read", &path, source)),
        }
    }
}
