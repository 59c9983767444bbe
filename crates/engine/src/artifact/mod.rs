//! Files of results: written whole or not at all, found by an unguessable name, gone after a while.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Code, Config, Fault};

#[cfg(feature = "cloud")]
mod cloud;
mod folder;
mod sweep;

use folder::Folder;

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// `fil_` and 26 letters or digits.
    pub id: String,
    pub name: String,
    pub media_type: String,
    pub bytes: u64,
    /// Hex.
    pub sha256: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    pub expires_at: i64,
    /// The task it belongs to; empty for an upload.
    pub task: String,
}

/// Where files are kept.
pub struct Artifacts {
    store: Store,
    /// Folders whose disks must have room.
    disks: Arc<Vec<PathBuf>>,
    /// Bytes that must be free there.
    min_free: AtomicU64,
    /// When the disks were last asked, and the least that was free.
    free: Mutex<Option<(Instant, u64)>>,
}

enum Store {
    Folder(Arc<Folder>),
    #[cfg(feature = "cloud")]
    Cloud(cloud::Cloud),
}

/// How long the answer of the disks counts.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A longer sidecar is none of ours.
const MAX_SIDECAR: u64 = 64 << 10;
const PREFIX: &str = "fil_";
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl Artifacts {
    /// The folder or the bucket that the configuration names.
    ///
    /// # Errors
    /// `Internal` for a folder that cannot be written, or a bucket in a build without feature `cloud`.
    pub async fn open(config: &Config) -> Result<Artifacts, Fault> {
        let mut disks = vec![config.data_dir()];
        if let Some(file) = config.queue.url.strip_prefix("sqlite:") {
            disks.extend(Path::new(file).parent().map(Path::to_owned));
        }
        let store = match config.files_dir() {
            Some(folder) => {
                disks.push(folder.clone());
                let shown = folder.display().to_string();
                let opened = blocking(move || Folder::open(folder)).await?;
                let folder = opened.map_err(|error| {
                    let why = error.kind();
                    Fault {
                        message: format!("storage.files {shown} cannot be written: {why}"),
                        ..failed(&error)
                    }
                })?;
                Store::Folder(Arc::new(folder))
            }
            #[cfg(feature = "cloud")]
            None => Store::Cloud(cloud::Cloud::open(&config.storage.files)?),
            #[cfg(not(feature = "cloud"))]
            None => {
                let message =
                    "storage.files must be a folder: this build has no object storage (feature cloud)";
                return Err(Fault::internal(message));
            }
        };
        let artifacts =
            Artifacts { store, disks: Arc::new(disks), min_free: AtomicU64::new(0), free: Mutex::new(None) };
        artifacts.reconfigure(config);
        Ok(artifacts)
    }

    /// New settings from a reload.
    pub fn reconfigure(&self, config: &Config) {
        self.min_free.store(config.storage.min_free_mb.saturating_mul(1 << 20), Ordering::Relaxed);
    }

    /// The id of file `index` of a job's try: `nonce` is the job's, `fence` that of the lease it is done under.
    pub fn id(nonce: &str, fence: u64, index: usize) -> String {
        let numbers = [fence, index as u64].map(u64::to_le_bytes).concat();
        let hash = Sha256::new().chain_update(nonce).chain_update([0]).chain_update(numbers);
        // 130 bits, five a digit.
        let mut bits = hash.finalize().into_iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1));
        let digit = |_| DIGITS[bits.by_ref().take(5).fold(0, |digit, bit| digit << 1 | usize::from(bit))];
        let digits = (0..26).map(digit).map(char::from);
        PREFIX.chars().chain(digits).collect()
    }

    /// An id that nothing leads to, for an upload.
    pub fn random_id() -> String {
        Artifacts::id(&partita_queue::random_hex(32), 0, 0)
    }

    /// Whether there is room for more files and tasks. The disks are asked once a second at most.
    ///
    /// # Errors
    /// `NoSpace` when less than `storage.min_free_mb` is free.
    pub async fn has_room(&self) -> Result<(), Fault> {
        let min_free = self.min_free.load(Ordering::Relaxed);
        if min_free == 0 {
            return Ok(());
        }
        let known = *self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = match known.filter(|(asked, _)| asked.elapsed() < ASK_AGAIN) {
            Some((_, free)) => free,
            None => {
                let disks = Arc::clone(&self.disks);
                let free = blocking(move || disks.iter().map(|disk| free_at(disk)).min()).await?;
                // A system that cannot tell has room.
                let free = free.unwrap_or(u64::MAX);
                *self.free.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), free));
                free
            }
        };
        if free >= min_free {
            return Ok(());
        }
        let (free, need) = (free >> 20, min_free >> 20);
        let message = format!("no space left: storage.min_free_mb wants {need} MiB free, {free} MiB are");
        Err(Fault { retry_after: Some(60), ..Fault::new(Code::NoSpace, message) })
    }

    /// Writes a file whole; writing the same id again replaces it. `keep`: until it expires.
    ///
    /// # Errors
    /// `NoSpace`, `Unavailable`; `NotFound` for an id that is none.
    pub async fn put(
        &self,
        id: &str,
        name: &str,
        media_type: &str,
        task: &str,
        keep: Duration,
        bytes: Vec<u8>,
    ) -> Result<Artifact, Fault> {
        let created_at = now();
        let mut artifact = Artifact {
            id: parse_id(id)?.to_owned(),
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            bytes: bytes.len() as u64,
            sha256: String::new(),
            created_at,
            expires_at: created_at.saturating_add(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)),
            task: task.to_owned(),
        };
        let (artifact, bytes) = blocking(move || {
            artifact.sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            (artifact, bytes)
        })
        .await?;
        match &self.store {
            Store::Folder(folder) => {
                let folder = Arc::clone(folder);
                let stored = blocking(move || folder.put(&artifact, &bytes).map(|()| artifact)).await?;
                stored.map_err(|error| failed(&error))
            }
            #[cfg(feature = "cloud")]
            Store::Cloud(cloud) => cloud.put(artifact, bytes).await,
        }
    }

    /// Keeps a file for at least `keep` from now; `None` if there is none or it has expired.
    ///
    /// # Errors
    /// `NoSpace`, `Unavailable`.
    pub async fn extend(&self, id: &str, keep: Duration) -> Result<Option<Artifact>, Fault> {
        let Some(artifact) = self.find(id).await? else { return Ok(None) };
        let until = now().saturating_add(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        if artifact.expires_at >= until {
            return Ok(Some(artifact));
        }
        match &self.store {
            Store::Folder(folder) => {
                let (folder, id) = (Arc::clone(folder), artifact.id);
                blocking(move || folder.extend(&id, until)).await?.map_err(|error| failed(&error))
            }
            #[cfg(feature = "cloud")]
            Store::Cloud(cloud) => cloud.extend(Artifact { expires_at: until, ..artifact }).await.map(Some),
        }
    }

    /// What is known of a file; `None` if there is none or it has expired.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn find(&self, id: &str) -> Result<Option<Artifact>, Fault> {
        let Ok(id) = parse_id(id) else { return Ok(None) };
        let found = match &self.store {
            Store::Folder(folder) => {
                let (folder, id) = (Arc::clone(folder), id.to_owned());
                blocking(move || folder.find(&id)).await?.map_err(|error| failed(&error))?
            }
            #[cfg(feature = "cloud")]
            Store::Cloud(cloud) => cloud.find(id).await?,
        };
        Ok(found.filter(|artifact| artifact.expires_at > now()))
    }

    /// Bytes `range` of a file; what lies behind its end is left out.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`; `InvalidRequest` for a range that begins behind the end.
    pub async fn read(&self, id: &str, range: std::ops::Range<u64>) -> Result<Vec<u8>, Fault> {
        let artifact = self.find(id).await?.ok_or_else(no_file)?;
        let end = range.end.min(artifact.bytes);
        if range.start > end {
            let message = format!("a range must begin in 0..={}, got {}", artifact.bytes, range.start);
            return Err(Fault::new(Code::InvalidRequest, message));
        }
        match &self.store {
            Store::Folder(folder) => {
                let folder = Arc::clone(folder);
                let read = blocking(move || folder.read(&artifact, range.start..end)).await?;
                read.map_err(
                    |error| if error.kind() == io::ErrorKind::NotFound { no_file() } else { failed(&error) },
                )
            }
            #[cfg(feature = "cloud")]
            Store::Cloud(cloud) => cloud.read(&artifact, range.start..end).await,
        }
    }

    /// # Errors
    /// `Unavailable`; none if it is not there.
    pub async fn remove(&self, id: &str) -> Result<(), Fault> {
        let Ok(id) = parse_id(id) else { return Ok(()) };
        match &self.store {
            Store::Folder(folder) => {
                let (folder, id) = (Arc::clone(folder), id.to_owned());
                blocking(move || folder.remove(&id)).await?.map_err(|error| failed(&error))
            }
            #[cfg(feature = "cloud")]
            Store::Cloud(cloud) => cloud.remove(id).await,
        }
    }

    /// Removes what has expired; returns files and bytes. What a crash left half written an hour ago or earlier goes when
    /// it is found a second time, so that a clock that jumps removes nothing that is just being written.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn clean(&self) -> Result<(u64, u64), Fault> {
        match &self.store {
            Store::Folder(folder) => {
                let folder = Arc::clone(folder);
                let swept = blocking(move || folder.clean(now())).await?.map_err(|error| failed(&error))?;
                Ok((swept.files, swept.bytes))
            }
            #[cfg(feature = "cloud")]
            Store::Cloud(cloud) => cloud.clean(now()).await,
        }
    }
}

/// The id itself, if it is one: nothing else may become part of a path.
///
/// # Errors
/// `NotFound`, as for a file that is not there.
pub fn parse_id(text: &str) -> Result<&str, Fault> {
    let digits = text.strip_prefix(PREFIX).unwrap_or_default();
    let is_id = digits.len() == 26 && digits.bytes().all(|byte| DIGITS.contains(&byte));
    is_id.then_some(text).ok_or_else(no_file)
}

fn no_file() -> Fault {
    Fault::new(Code::NotFound, "no such file, or it has expired")
}

/// The folder an id lies in, one of 1024.
fn place(id: &str) -> &str {
    &id[PREFIX.len()..][..2]
}

fn sidecar_name(id: &str) -> String {
    format!("{id}.json")
}

/// Named by its content too, so that a file is replaced in one step: when its sidecar names another body.
fn body_name(artifact: &Artifact) -> String {
    let hash: String = artifact.sha256.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    format!("{}.{hash}", artifact.id)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Bytes free where `folder` is or will be.
fn free_at(folder: &Path) -> u64 {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = absolute.ancestors().find(|folder| folder.exists());
    there.and_then(|folder| fs4::available_space(folder).ok()).unwrap_or(u64::MAX)
}

/// Kinds only: the text of an error may hold the path.
fn failed(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Fault { retry_after: Some(60), ..Fault::new(Code::NoSpace, "no space left for files") }
        }
        kind => Fault {
            retry_after: Some(5),
            ..Fault::new(Code::Unavailable, format!("the place for files cannot be used: {kind}"))
        },
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Fault::internal("work on files was cut off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_fixed_by_nonce_fence_and_index_and_read_back() {
        let id = Artifacts::id("abc", 3, 1);
        assert_eq!(id, Artifacts::id("abc", 3, 1));
        assert_eq!(parse_id(&id), Ok(id.as_str()));
        let others = [
            Artifacts::id("abc", 3, 2),
            Artifacts::id("abc", 2, 1),
            Artifacts::id("abd", 3, 1),
            Artifacts::random_id(),
            Artifacts::random_id(),
        ];
        assert!(others.iter().all(|other| *other != id && parse_id(other).is_ok()));
        assert_ne!(others[3], others[4]);
    }

    #[test]
    fn what_is_no_id_never_becomes_a_path() {
        let tricks = [
            "",
            "fil_",
            "../../etc/passwd",
            "fil_../../../../../etc/passwd0",
            "fil_01hz3q0w8t9v5x2c7b4n6m1k0",
            "fil_01HZ3Q0W8T9V5X2C7B4N6M1K0J",
            "fil_01hz3q0w8t9v5x2c7b4n6m1k0u",
            "fil_01hz3q0w8t9v5x2c7b4n6m1k0\u{e9}",
            "fil_01hz3q0w8t9v5x2c7b4n6m1k0j/",
            "fil_01hz3q0w8t9v5x2c7b4n6m1k0j\0",
        ];
        for text in tricks {
            assert_eq!(parse_id(text).expect_err(text).code, Code::NotFound);
        }
    }

    #[test]
    fn a_full_disk_is_told_apart_and_no_path_is_told() {
        assert_eq!(failed(&io::ErrorKind::StorageFull.into()).code, Code::NoSpace);
        let fault = failed(&io::Error::new(io::ErrorKind::PermissionDenied, "/srv/secret"));
        assert!(fault.code == Code::Unavailable && !fault.message.contains("/srv"), "{fault}");
    }
}
