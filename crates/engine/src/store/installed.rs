//! The models of a store: finding, listing, checking and removing them.

use std::fs::File;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::lock::Lock;
use super::manifest::Manifest;
use super::watch::tell;
use super::{Error, Event, Licence, Result, Source, Store, StoredFile, Watch, catalogue, disk};

/// A model of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    pub name: String,
    /// Its files in the hub's layout. Never written to: other models may share them.
    pub folder: PathBuf,
    pub source: Source,
    /// `None` where nobody knows it, as for a folder that was imported.
    pub licence: Option<Licence>,
    /// Milliseconds since 1970.
    pub installed_at: i64,
    /// Of all files.
    pub bytes: u64,
    pub files: Vec<StoredFile>,
}

/// A model, or why it cannot be used.
#[derive(Debug)]
pub struct Listed {
    pub name: String,
    pub model: Result<Installed>,
}

/// What a check of one file found.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Good,
    Missing,
    /// Its length in bytes.
    Length(u64),
    /// Its SHA-256.
    Hash(String),
}

/// One checked file.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    pub file: StoredFile,
    pub condition: Condition,
}

/// What went with a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Removed {
    /// Bytes that no other model needs.
    pub freed: u64,
}

impl Installed {
    /// What a model is called whose files do not say what it plays: by the catalogue, else its name.
    pub fn called(&self) -> &str {
        let known = catalogue::models().iter().find(|model| model.name == self.name);
        known.and_then(|model| model.played.as_ref()).map_or(&self.name, |played| &played.config)
    }

    /// Whether every file is there and has its length; says which has not.
    fn check(&self) -> Result<(), String> {
        for file in &self.files {
            match disk::length(&self.folder.join(&file.name)) {
                Some(bytes) if bytes == file.bytes => {}
                Some(bytes) => {
                    return Err(format!("{} must have {} bytes, got {bytes}", file.name, file.bytes));
                }
                None => return Err(format!("{} is missing", file.name)),
            }
        }
        Ok(())
    }
}

impl Store {
    /// The model `name`, with every file there and of the right length.
    ///
    /// # Errors
    /// [`Error::NotInstalled`] says how to get it; [`Error::Unknown`], `Name`, `Damaged`, `Io`.
    pub fn find(&self, name: &str) -> Result<Installed> {
        let name = catalogue::checked(name)?;
        let mut seen = None;
        loop {
            let Some(manifest) = self.read_manifest(name)? else { return Err(self.missing(name)) };
            let installed = self.installed(name, manifest);
            match installed.check() {
                Ok(()) => return Ok(installed),
                // Somebody may just have replaced it and cleared the old folder away.
                Err(_) if seen.as_ref() != Some(&installed.folder) => seen = Some(installed.folder),
                Err(why) => return Err(Error::Damaged { name: name.to_owned(), why }),
            }
        }
    }

    /// Every model of the store, by name.
    ///
    /// # Errors
    /// `Io`: the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let names = self.names()?.into_iter();
        Ok(names.map(|name| Listed { model: self.find(&name), name }).collect())
    }

    /// Reads every file of a model again and compares it with what was installed.
    ///
    /// # Errors
    /// As [`Store::find`] where there is no model; `Cancelled`, `Io`. Damaged files are results, not errors.
    pub fn verify(&self, name: &str, watch: &mut Watch<'_>) -> Result<Vec<Verified>> {
        let name = catalogue::checked(name)?;
        let Some(manifest) = self.read_manifest(name)? else { return Err(self.missing(name)) };
        let installed = self.installed(name, manifest);
        let (mut done, total) = (0, installed.bytes);
        let mut all = vec![];
        for file in installed.files {
            let path = installed.folder.join(&file.name);
            let condition = match disk::length(&path) {
                None => Condition::Missing,
                Some(bytes) if bytes != file.bytes => Condition::Length(bytes),
                Some(_) => {
                    let mut before = done;
                    let mut hasher = Sha256::new();
                    let mut opened = File::open(&path).map_err(|source| Error::io("read", &path, source))?;
                    disk::hash(&path, &mut opened, &mut hasher, |chunk| {
                        before += chunk.len() as u64;
                        tell(watch, &Event::Checking { file: &file.name, done: before, total })
                    })?;
                    let got = disk::digits(hasher);
                    if got == file.sha256 { Condition::Good } else { Condition::Hash(got) }
                }
            };
            done += file.bytes;
            all.push(Verified { file, condition });
        }
        Ok(all)
    }

    /// Removes a model, and what a pull of it has left unfinished; contents that other models use stay.
    ///
    /// # Errors
    /// As [`Store::find`] where there is nothing to remove; `Busy` while it is being pulled; `Io`, `Cancelled`.
    pub fn remove(&self, name: &str, watch: &mut Watch<'_>) -> Result<Removed> {
        let name = catalogue::checked(name)?;
        let (manifest, partial) = (self.manifest(name), self.partial(name));
        if !manifest.exists() && !partial.exists() {
            return Err(self.missing(name));
        }
        let lock = self.root.join("locks").join(format!("{name}.lock"));
        let Some(_model) = Lock::attempt(&lock)? else { return Err(Error::Busy { name: name.to_owned() }) };
        let _store = self.lock_store(watch)?;
        // From here on it is gone, even if the rest fails.
        disk::remove_file(&manifest)?;
        let unfinished = std::fs::read_dir(&partial).into_iter().flatten().flatten();
        let parts =
            unfinished.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "part"));
        let unfinished: u64 = parts.filter_map(|entry| disk::length(&entry.path())).sum();
        disk::remove_folder(&partial)?;
        disk::remove_folder(&self.packed(name))?;
        Ok(Removed { freed: self.sweep() + unfinished })
    }

    /// What to say of a model that is not there.
    fn missing(&self, name: &str) -> Error {
        match catalogue::find(name) {
            Ok(model) => model.missing(),
            Err(_) => catalogue::unknown(name, &self.names().unwrap_or_default()),
        }
    }

    pub(super) fn installed(&self, name: &str, manifest: Manifest) -> Installed {
        Installed {
            name: name.to_owned(),
            folder: self.folders().join(&manifest.folder),
            bytes: manifest.bytes(),
            source: manifest.source,
            licence: manifest.licence,
            installed_at: manifest.installed_at,
            files: manifest.files,
        }
    }
}
