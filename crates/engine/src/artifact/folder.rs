//! Files in a folder: a body and, written after it, a sidecar that makes it visible.
//!
//! `ab/fil_abcd....<hash>` is a body and `ab/fil_abcd....json` the sidecar that names its hash. Both are written
//! under another name, made durable and renamed. So a file is there whole or not at all, whenever the power goes, and
//! one that is replaced changes in a single step. What a crash leaves behind, [`Folder::clean`] removes.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Artifact, MAX_SIDECAR, body_name, parse_id, place, sidecar_name};

/// Left alone for so long: somebody may still be writing it.
const FRESH: Duration = Duration::from_secs(3600);

pub(super) struct Folder {
    root: PathBuf,
    /// Folders that are known to be there for good.
    made: Mutex<HashSet<PathBuf>>,
    /// Held by whoever ends a file or puts its end off.
    ends: Mutex<()>,
    /// What looked like left by a crash at the last clean-up.
    suspects: Mutex<HashSet<PathBuf>>,
}

impl Folder {
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn open(root: PathBuf) -> io::Result<Folder> {
        let (made, ends, suspects) = Default::default();
        let folder = Folder { root, made, ends, suspects };
        make_folder(&folder.temporary())?;
        // Found out now rather than at the end of the first task.
        tempfile::NamedTempFile::new_in(folder.temporary())?;
        Ok(folder)
    }

    fn temporary(&self) -> PathBuf {
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
        self.write(&leaf.join(body_name(artifact)), bytes)?;
        let sidecar = serde_json::to_vec(artifact).map_err(io::Error::other)?;
        self.write(&leaf.join(sidecar_name(&artifact.id)), &sidecar)?;
        // The body that the old sidecar named stays for `clean`: a second writer may just be naming it again.
        sync_folder(&leaf)
    }

    fn write(&self, to: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(self.temporary())?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(to)?;
        Ok(())
    }

    /// Puts the end of a file off until `until` (milliseconds); `None` if it is not there.
    pub fn extend(&self, id: &str, until: i64) -> io::Result<Option<Artifact>> {
        let _ends = lock(&self.ends);
        let leaf = self.leaf(id);
        let path = leaf.join(sidecar_name(id));
        let Some(mut artifact) = read_sidecar(&path)? else { return Ok(None) };
        artifact.expires_at = artifact.expires_at.max(until);
        self.write(&path, &serde_json::to_vec(&artifact).map_err(io::Error::other)?)?;
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

    /// Removes what expired before `now` (milliseconds) and what a crash left; returns files and bytes.
    pub fn clean(&self, now: i64) -> io::Result<(u64, u64)> {
        let mut round =
            Round { removed: (0, 0), before: lock(&self.suspects).clone(), after: HashSet::new() };
        for path in entries(&self.temporary())? {
            round.remove_old(path)?;
        }
        for leaf in entries(&self.root)?.iter().filter(|path| path.file_name() != Some(OsStr::new("tmp"))) {
            self.clean_leaf(leaf, now, &mut round)?;
        }
        *lock(&self.suspects) = round.after;
        Ok(round.removed)
    }

    fn clean_leaf(&self, leaf: &Path, now: i64, round: &mut Round) -> io::Result<()> {
        let (sidecars, bodies): (Vec<_>, Vec<_>) =
            entries(leaf)?.into_iter().partition(|path| path.extension() == Some(OsStr::new("json")));
        let mut known = vec![];
        for path in sidecars {
            let id = path.file_stem().and_then(OsStr::to_str).filter(|id| parse_id(id).is_ok());
            match (id, read_sidecar(&path)) {
                (None, _) => {}
                (Some(_), Ok(Some(artifact))) if artifact.expires_at > now => {
                    known.push(body_name(&artifact));
                }
                (Some(_), Ok(Some(_))) => {
                    let _ends = lock(&self.ends);
                    match read_sidecar(&path)? {
                        Some(artifact) if artifact.expires_at <= now => {
                            remove_file(&path)?;
                            remove_file(&leaf.join(body_name(&artifact)))?;
                            round.removed.0 += 1;
                            round.removed.1 += artifact.bytes;
                        }
                        // Put off just now.
                        Some(artifact) => known.push(body_name(&artifact)),
                        None => {}
                    }
                }
                (Some(_), _) => round.remove_old(path)?,
            }
        }
        for path in bodies {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let is_body = name.split_once('.').is_some_and(|(id, _)| parse_id(id).is_ok());
            // What is not ours is left alone.
            if is_body && !known.iter().any(|known| known == name) {
                round.remove_old(path)?;
            }
        }
        Ok(())
    }
}

/// One clean-up.
struct Round {
    /// Files and bytes.
    removed: (u64, u64),
    /// What looked old before, and what does now.
    before: HashSet<PathBuf>,
    after: HashSet<PathBuf>,
}

impl Round {
    /// Removes what is old and was so the last time: by one look alone, everything is old to a clock that has jumped.
    fn remove_old(&mut self, path: PathBuf) -> io::Result<()> {
        let Ok(about) = fs::symlink_metadata(&path) else { return Ok(()) };
        let age = about.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        if !about.is_file() || age.is_none_or(|age| age < FRESH) {
            return Ok(());
        }
        if !self.before.contains(&path) {
            self.after.insert(path);
            return Ok(());
        }
        remove_file(&path)?;
        self.removed.0 += 1;
        self.removed.1 += about.len();
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `None` if there is none, or none that makes sense.
fn read_sidecar(path: &Path) -> io::Result<Option<Artifact>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = vec![];
    file.take(MAX_SIDECAR).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

/// Paths in a folder; none if it is no folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(vec![])
        }
        Err(error) => Err(error),
    }
}

/// No error if somebody else was faster.
fn remove_file(path: &Path) -> io::Result<()> {
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
