//! Files in a folder: a body and, written after it, a sidecar that makes it visible.
//!
//! `ab/fil_abcd....<hash>` is a body and `ab/fil_abcd....json` the sidecar that names its hash. Both are written
//! under another name, made durable and renamed. So a file is there whole or not at all, whenever the power goes, and
//! one that is replaced changes in a single step. What a crash leaves behind, [`Folder::clean`] removes.
//!
//! A sidecar's own time of modification is the end of its file, so that a clean-up need not open it. What counts is
//! what stands in it: whoever copies the folder may lose such times.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use super::sweep::Seen;
use super::{Artifact, MAX_SIDECAR, body_name, place, sidecar_name};

pub(super) struct Folder {
    pub(super) root: PathBuf,
    /// Folders that are known to be there for good.
    made: Mutex<HashSet<PathBuf>>,
    /// Held by whoever ends a file or puts its end off.
    pub(super) ends: Mutex<()>,
    /// At the last clean-up.
    pub(super) seen: Mutex<Seen>,
}

impl Folder {
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn open(root: PathBuf) -> io::Result<Folder> {
        let (made, ends, seen) = Default::default();
        let folder = Folder { root, made, ends, seen };
        make_folder(&folder.temporary())?;
        // Found out now rather than at the end of the first task.
        tempfile::NamedTempFile::new_in(folder.temporary())?;
        Ok(folder)
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn leaf(&self, id: &str) -> PathBuf {
        self.root.join(place(id))
    }

    /// Makes a folder for files, once and durably.
    fn make(&self, leaf: &Path) -> io::Result<()> {
        if lock(&self.made).contains(leaf) {
            return Ok(());
        }
        make_folder(leaf)?;
        // Whoever made it may not have got so far yet.
        sync_folder(&self.root)?;
        lock(&self.made).insert(leaf.to_owned());
        Ok(())
    }

    pub fn put(&self, artifact: &Artifact, bytes: &[u8]) -> io::Result<()> {
        let leaf = self.leaf(&artifact.id);
        self.make(&leaf)?;
        self.write(&leaf.join(body_name(artifact)), bytes, None)?;
        self.write_sidecar(&leaf, artifact)?;
        // The body that the old sidecar named stays for `clean`: a second writer may just be naming it again.
        sync_folder(&leaf)
    }

    fn write_sidecar(&self, leaf: &Path, artifact: &Artifact) -> io::Result<()> {
        let text = serde_json::to_vec(artifact).map_err(io::Error::other)?;
        self.write(&leaf.join(sidecar_name(&artifact.id)), &text, Some(artifact.expires_at))
    }

    /// `ends`: when the file ends (milliseconds), for its time of modification.
    fn write(&self, to: &Path, bytes: &[u8], ends: Option<i64>) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(self.temporary())?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        let file = file.persist(to)?;
        // Not before: what a crash leaves half written must look as old as it is.
        if let Some(ends) = ends {
            stamp(&file, ends);
        }
        Ok(())
    }

    /// Puts the end of a file off until `until` (milliseconds); `None` if it is not there.
    pub fn extend(&self, id: &str, until: i64) -> io::Result<Option<Artifact>> {
        let _ends = lock(&self.ends);
        let leaf = self.leaf(id);
        let path = leaf.join(sidecar_name(id));
        let Some(mut artifact) = read_sidecar(&path)? else { return Ok(None) };
        artifact.expires_at = artifact.expires_at.max(until);
        self.write_sidecar(&leaf, &artifact)?;
        sync_folder(&leaf)?;
        // Another process on this folder may just have ended it.
        if leaf.join(body_name(&artifact)).exists() {
            return Ok(Some(artifact));
        }
        remove_file(&path)?;
        Ok(None)
    }

    pub fn find(&self, id: &str) -> io::Result<Option<Artifact>> {
        read_sidecar(&self.leaf(id).join(sidecar_name(id)))
    }

    /// `range` lies within the file.
    pub fn read(&self, artifact: &Artifact, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.leaf(&artifact.id).join(body_name(artifact)))?;
        file.seek(SeekFrom::Start(range.start))?;
        let length = range.end - range.start;
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    pub fn remove(&self, id: &str) -> io::Result<()> {
        let leaf = self.leaf(id);
        let found = self.find(id)?;
        // The sidecar first: nobody finds a file without its body.
        remove_file(&leaf.join(sidecar_name(id)))?;
        found.map_or(Ok(()), |artifact| remove_file(&leaf.join(body_name(&artifact))))
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `None` if there is none, or none that makes sense.
pub(super) fn read_sidecar(path: &Path) -> io::Result<Option<Artifact>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = vec![];
    file.take(MAX_SIDECAR).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

/// Makes `ends` (milliseconds) the time a sidecar was modified, where the system can: a clean-up looks at it first.
pub(super) fn stamp(sidecar: &File, ends: i64) {
    let since = Duration::from_millis(u64::try_from(ends).unwrap_or(0));
    if let Some(time) = UNIX_EPOCH.checked_add(since) {
        let _ = sidecar.set_modified(time);
    }
}

/// No error if somebody else was faster.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder and those above it, for the owner alone. The files in them are so too, being made as temporary ones.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Makes renames in a folder durable; systems without such a call do so by themselves.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
