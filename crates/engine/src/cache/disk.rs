//! Results in files of one folder, which outlive the process: the least recently used one goes first.
//!
//! A file is named after its key and holds the SHA-256 of a frame, then the frame. It appears whole or not at all.
//! Several processes may share a folder: each looks at the files themselves and keeps the bounds for those it has seen.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use sha2::{Digest, Sha256};

use super::Limits;

/// Bytes of the sum before a frame.
const SUM: usize = 32;
/// Beginning of the names of files that are being written.
const NEW: &str = ".new-";
/// A file that was begun longer ago was left behind by a process that died.
const ABANDONED: Duration = Duration::from_secs(3600);

pub(super) struct Disk {
    folder: PathBuf,
    /// Length of each file by its key.
    files: moka::sync::Cache<String, u64>,
    pub limits: Limits,
}

impl Disk {
    /// Makes the folder if it has to and looks at what is there.
    ///
    /// # Errors
    /// A folder that cannot be made, read or written.
    pub fn open(folder: &Path, limits: Limits) -> io::Result<Disk> {
        fs::create_dir_all(folder)?;
        // Refused now rather than at the first result.
        drop(tempfile::Builder::new().prefix(NEW).tempfile_in(folder)?);
        let place = folder.to_owned();
        let files = moka::sync::Cache::builder()
            .max_capacity(limits.capacity())
            .weigher(move |_: &String, length: &u64| limits.weight(*length))
            .time_to_live(limits.ttl)
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |key: std::sync::Arc<String>, _, cause| {
                if cause != RemovalCause::Replaced {
                    // One that is gone already was taken by another process.
                    drop(fs::remove_file(place.join(&*key)));
                }
            })
            .build();
        let disk = Disk { folder: folder.to_owned(), files, limits };
        disk.look()?;
        Ok(disk)
    }

    /// The frame of a key, if it is whole and fresh.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.path(key)?;
        let file = fs::File::open(&path).ok()?;
        let about = file.metadata().ok()?;
        let length = about.len();
        if age(&about) > self.limits.ttl || length > self.limits.bytes || length < SUM as u64 {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).ok()?;
        let (sum, frame) = bytes.split_at_checked(SUM)?;
        if Sha256::digest(frame)[..] != *sum {
            tracing::warn!(key, "a damaged result in the cache is removed");
            self.files.invalidate(key);
            drop(fs::remove_file(path));
            return None;
        }
        // Counts as a use; one that another process wrote is seen for the first time.
        if self.files.get(key).is_none() {
            self.files.insert(key.to_owned(), length);
        }
        Some(frame.to_vec())
    }

    /// Keeps a frame.
    ///
    /// # Errors
    /// A disk that is full or gone; nothing is left behind.
    pub fn put(&self, key: &str, frame: &[u8]) -> io::Result<()> {
        let Some(path) = self.path(key) else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(&self.folder)?;
        file.write_all(&Sha256::digest(frame))?;
        file.write_all(frame)?;
        file.persist(path)?;
        self.files.insert(key.to_owned(), (SUM + frame.len()) as u64);
        self.files.run_pending_tasks();
        Ok(())
    }

    /// Bytes of the files known.
    pub fn bytes(&self) -> u64 {
        self.files.run_pending_tasks();
        self.files.iter().map(|(_, length)| length).sum()
    }

    /// Takes in the files that are there, the oldest first; removes what is too old.
    fn look(&self) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(about) = entry.metadata() else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            let old = age(&about);
            if name.starts_with(NEW) && old > ABANDONED {
                drop(fs::remove_file(entry.path()));
            } else if self.path(&name).is_some() && about.is_file() {
                if old > self.limits.ttl {
                    drop(fs::remove_file(entry.path()));
                } else {
                    found.push((old, name, about.len()));
                }
            }
        }
        found.sort_by_key(|(old, ..)| std::cmp::Reverse(*old));
        for (_, name, length) in found {
            self.files.insert(name, length);
        }
        self.files.run_pending_tasks();
        Ok(())
    }

    /// `None` for what is no key: nothing else may name a file.
    fn path(&self, key: &str) -> Option<PathBuf> {
        let is_key =
            key.len() == 2 * SUM && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_key.then(|| self.folder.join(key))
    }
}

/// Time since a file was written; a file of the future is new.
fn age(about: &fs::Metadata) -> Duration {
    let written = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    SystemTime::now().duration_since(written).unwrap_or(Duration::ZERO)
}
