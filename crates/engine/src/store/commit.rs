//! The last step of a pull or an import, and clearing away what no model needs any more.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::manifest::Manifest;
use super::partial::Ready;
use super::{Error, Installed, Licence, Result, Source, Store, StoredFile, Watch, disk};

/// What is to be installed. The caller holds the lock of the model.
pub(super) struct Commit<'a> {
    pub name: &'a str,
    pub source: Source,
    pub licence: Option<Licence>,
    /// In the model's partial folder.
    pub files: Vec<Ready>,
    /// Contents that are there already may be damaged: they are replaced.
    pub repair: bool,
}

impl Store {
    /// Turns finished files into a model, in one step seen from outside. The partial folder is gone afterwards.
    ///
    /// # Errors
    /// `Io`, `NoSpace`, `Cancelled`: then the model is what it was before.
    pub(super) fn commit(&self, commit: Commit<'_>, watch: &mut Watch<'_>) -> Result<Installed> {
        let _lock = self.lock_store(watch)?;
        let result = self.put_in_place(commit);
        // Also after an error, which leaves contents that nobody names.
        self.sweep();
        result
    }

    fn put_in_place(&self, commit: Commit<'_>) -> Result<Installed> {
        let (blobs, folders) = (self.blobs(), self.folders());
        disk::make_folder(&blobs)?;
        disk::make_folder(&folders)?;
        for ready in &commit.files {
            self.put_blob(ready, commit.repair)?;
        }
        // Nobody knows this folder before the manifest names it; if that never happens, it is swept away.
        let folder = tempfile::Builder::new().prefix("").rand_bytes(24).tempdir_in(&folders);
        let folder = folder.map_err(|source| Error::io("make", &folders, source))?;
        for ready in &commit.files {
            self.name_blob(&ready.file, folder.path())?;
        }
        for made in [&blobs, folder.path(), &folders] {
            disk::sync_folder(made).map_err(|source| Error::io("write", made, source))?;
        }
        open_to_all(folder.path());
        let id = folder.path().file_name().and_then(|id| id.to_str()).unwrap_or_default().to_owned();
        let files: Vec<StoredFile> = commit.files.into_iter().map(|ready| ready.file).collect();
        let manifest = Manifest::new(id, commit.source, commit.licence, files);
        let text = serde_json::to_vec_pretty(&manifest).expect("plain data");
        disk::write(&self.manifest(commit.name), &text)?;
        let _ = folder.keep();
        // What is left of it costs space alone; the next pull clears it.
        let _ = disk::remove_folder(&self.partial(commit.name));
        Ok(self.installed(commit.name, manifest))
    }

    /// Gives a blob its own name in a folder of a model.
    fn name_blob(&self, file: &StoredFile, folder: &Path) -> Result<()> {
        let (blob, to) = (self.blob(&file.sha256), folder.join(&file.name));
        if fs::hard_link(&blob, &to).is_ok() {
            return Ok(());
        }
        // File systems without the one often have the other.
        #[cfg(unix)]
        if std::os::unix::fs::symlink(Path::new("../../blobs").join(&file.sha256), &to).is_ok() {
            return Ok(());
        }
        disk::link(&blob, &to)
    }

    /// Makes a finished file a blob. It stays where it was too, so that a process that dies here loses nothing; where
    /// that would take the space twice, it is moved.
    fn put_blob(&self, ready: &Ready, repair: bool) -> Result<()> {
        let blob = self.blob(&ready.file.sha256);
        if !repair && disk::length(&blob) == Some(ready.file.bytes) {
            return Ok(());
        }
        // Under the lock of the store nobody else makes this name.
        let beside = self.blobs().join(".new");
        disk::remove_file(&beside)?;
        let is_linked = fs::hard_link(&ready.done, &beside).is_ok();
        let from = if is_linked { &beside } else { &ready.done };
        fs::rename(from, &blob).map_err(|source| Error::io("write", &blob, source))
    }

    /// Removes blobs and folders that no manifest names; the caller holds the lock of the store. Returns the bytes of
    /// the blobs. What cannot be removed stays for the next time.
    ///
    /// A manifest that cannot be read may name anything, so that then nothing is removed.
    pub(super) fn sweep(&self) -> u64 {
        let Ok(names) = self.names() else { return 0 };
        let (mut blobs, mut folders) = (HashSet::new(), HashSet::new());
        for name in names {
            match self.read_manifest(&name) {
                Ok(Some(manifest)) => {
                    folders.insert(manifest.folder);
                    blobs.extend(manifest.files.into_iter().map(|file| file.sha256));
                }
                Ok(None) => {}
                Err(_) => return 0,
            }
        }
        for path in unnamed(&self.folders(), &folders) {
            let _ = disk::remove_folder(&path);
        }
        let mut freed = 0;
        for path in unnamed(&self.blobs(), &blobs) {
            let bytes = disk::length(&path).unwrap_or(0);
            if fs::remove_file(&path).is_ok() {
                freed += bytes;
            }
        }
        freed
    }
}

/// Entries of a folder whose names are not among `names`.
fn unnamed(folder: &Path, names: &HashSet<String>) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_none_or(|name| !names.contains(name)))
        .map(|entry| entry.path())
        .collect()
}

/// A temporary folder is its owner's alone; a model is as open as the folders above it.
fn open_to_all(folder: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
    }
    #[cfg(not(unix))]
    let _ = folder;
}
