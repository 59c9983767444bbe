//! Models that are on this machine already, as a folder in the hub's layout.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use partita_models::midi_gpt::MidiGpt;
use sha2::{Digest, Sha256};

use super::commit::Commit;
use super::partial::{Ready, Slot, State};
use super::watch::tell;
use super::{Error, Event, Installed, Result, Source, Store, StoredFile, Watch, catalogue, disk, layout};

/// A folder to import.
#[derive(Clone, Debug)]
pub struct Import<'a> {
    /// Holds `config.json`, `tokenizer.json` and weights; links in it are followed.
    pub folder: &'a Path,
    /// What the model will be called; by default what the folder is.
    pub name: Option<&'a str>,
    /// Copies files where they could be linked. A linked file must not be changed in its old place.
    pub copy: bool,
    /// Replaces a model of the same name.
    pub replace: bool,
}

impl Store {
    /// Brings a folder into the store; the folder stays as it is.
    ///
    /// # Errors
    /// `Content` for what is no model that this program plays; `Name`, `Exists`, `NoSpace`, `Io`, `Cancelled`. Then
    /// the store is as it was.
    pub fn import(&self, import: &Import<'_>, watch: &mut Watch<'_>) -> Result<Installed> {
        let folder =
            fs::canonicalize(import.folder).map_err(|source| Error::io("read", import.folder, source))?;
        let own = folder.file_name().map(|name| name.to_string_lossy().to_lowercase());
        let name = import.name.map(str::to_owned).or(own).unwrap_or_default();
        let name = catalogue::checked(&name)?;
        let found = choose(&folder)?;

        let _lock = self.lock_model(name, watch)?;
        if !import.replace && self.manifest(name).exists() {
            return Err(Error::Exists { name: name.to_owned() });
        }
        // What is left of a pull is another model; of an import, incomplete.
        let partial = self.partial(name);
        disk::remove_folder(&partial)?;
        self.make_partial(name)?;
        let total = found.iter().map(|(_, path)| disk::length(path).unwrap_or(0)).sum();
        let mut taking = Taking { partial: &partial, copy: import.copy, done: 0, total };
        let taken: Result<Vec<Ready>> =
            found.iter().map(|(file, path)| taking.take(file, path, watch)).collect();
        let commit = |files| {
            let licence = catalogue::find(name).ok().map(|model| model.licence.clone());
            self.commit(
                Commit { name, source: Source::Import, licence, files, repair: import.replace },
                watch,
            )
        };
        let result = taken.and_then(commit);
        if result.is_err() {
            // Copying again is quick; nothing is kept for it.
            let _ = disk::remove_folder(&partial);
        }
        result
    }
}

/// Names and places of the files that make the model in `folder`.
fn choose(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let at = |name: &str| folder.join(name);
    let is_there = |name: &str| at(name).is_file();
    let shown = folder.display().to_string();
    if !folder.is_dir() {
        return Err(Error::content(shown, "must be a folder with the files of a model"));
    }
    if !is_there(layout::CONFIG) {
        return Err(Error::content(shown, format!("must hold a {}", layout::CONFIG)));
    }
    let mut names = vec![layout::CONFIG.to_owned()];
    if let Some(missing) = layout::REQUIRED.into_iter().find(|name| !is_there(name)) {
        return Err(Error::content(shown, format!("must hold a {missing}")));
    }
    names.extend(layout::REQUIRED.map(str::to_owned));
    names.extend(layout::OPTIONAL.into_iter().filter(|name| is_there(name)).map(str::to_owned));
    if let Some(weights) = layout::choose(is_there) {
        names.push(weights.to_owned());
        names.extend(layout::parts(weights, &at(weights))?);
    }
    if let Some(missing) = names.iter().find(|name| !is_there(name)) {
        return Err(Error::content(shown, format!("must hold {missing}, which its index names")));
    }
    layout::check(&names.iter().map(String::as_str).collect::<Vec<_>>(), at)?;
    // Most GPT-2 on the hub write words, which their tokenizer tells.
    if MidiGpt::is_at(folder)
        && let Err(error) = MidiGpt::check(&shown, folder)
    {
        return Err(Error::content(
            shown,
            format!("must hold a GPT-2 with MidiTok's tokenizer.json: {}", error.why()),
        ));
    }
    Ok(names.into_iter().map(|name| (name.clone(), folder.join(name))).collect())
}

/// Files being brought into a partial folder.
struct Taking<'a> {
    partial: &'a Path,
    copy: bool,
    /// Bytes of the files before, and of all.
    done: u64,
    total: u64,
}

impl Taking<'_> {
    fn take(&mut self, name: &str, path: &Path, watch: &mut Watch<'_>) -> Result<Ready> {
        let slot = Slot::new(self.partial, name);
        // The target of a link, not the link, which is a small file of its own.
        let from = fs::canonicalize(path).map_err(|source| Error::io("read", path, source))?;
        let linked = !self.copy && fs::hard_link(&from, &slot.part).is_ok();
        let (mut bytes, total) = (0, self.total);
        let before = self.done;
        let mut hasher = Sha256::new();
        let mut source = File::open(&from).map_err(|source| Error::io("read", &from, source))?;
        if linked {
            disk::hash(&from, &mut source, &mut hasher, |chunk| {
                bytes += chunk.len() as u64;
                tell(watch, &Event::Checking { file: name, done: before + bytes, total })
            })?;
        } else {
            disk::room(self.partial, disk::length(&from).unwrap_or(0))?;
            let wrong = |source| Error::io("write", &slot.part, source);
            let mut target = File::create_new(&slot.part).map_err(wrong)?;
            disk::hash(&from, &mut source, &mut hasher, |chunk| {
                target.write_all(chunk).map_err(wrong)?;
                bytes += chunk.len() as u64;
                tell(watch, &Event::Fetching { file: name, done: before + bytes, total })
            })?;
            target.sync_all().map_err(wrong)?;
        }
        self.done += bytes;
        let sha256 = disk::digits(hasher);
        slot.finish(State::default(), &sha256)?;
        let file = StoredFile { name: name.to_owned(), bytes, sha256, etag: None };
        Ok(Ready { file, done: slot.done })
    }
}
