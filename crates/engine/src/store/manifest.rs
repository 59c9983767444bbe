//! What an installed model is made of.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Error, Licence, Result, Store, disk, layout};

/// Raised when an older program could misread what a newer one writes.
const FORMAT: u32 = 1;
/// Of a manifest; a model has some ten files.
const MAX_BYTES: u64 = 1 << 20;

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredFile {
    pub name: String,
    pub bytes: u64,
    /// In lower-case digits; also the name of its blob.
    pub sha256: String,
    /// What the hub calls this content, to ask later whether it is still the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

/// Where a model came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Hub {
        endpoint: String,
        repository: String,
        /// As it was asked for: a branch, a tag or a commit.
        revision: String,
        /// What that was at the time, if the server says so.
        commit: Option<String>,
    },
    /// A file or a folder elsewhere, without what an address may keep secret.
    Address { address: String },
    /// A folder of the user's.
    Import,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub format: u32,
    /// Name under `folders/`.
    pub folder: String,
    pub source: Source,
    pub licence: Option<Licence>,
    /// Milliseconds since 1970.
    pub installed_at: i64,
    pub files: Vec<StoredFile>,
}

impl Manifest {
    pub fn new(folder: String, source: Source, licence: Option<Licence>, files: Vec<StoredFile>) -> Manifest {
        Manifest { format: FORMAT, folder, source, licence, installed_at: now(), files }
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    /// Names become paths: a manifest that was tampered with may not lead out of the store.
    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("its manifest must have format {FORMAT}, got {}", self.format));
        }
        let is_folder =
            !self.folder.is_empty() && self.folder.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let wrong =
            self.files.iter().any(|file| !layout::is_file_name(&file.name) || !disk::is_sha256(&file.sha256));
        if wrong || !is_folder || self.files.is_empty() {
            return Err("its manifest names what cannot be its own".into());
        }
        Ok(())
    }
}

impl Store {
    /// The manifest of `name`, a checked name; `None` if there is none.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub(super) fn read_manifest(&self, name: &str) -> Result<Option<Manifest>> {
        read(name, &self.manifest(name))
    }

    /// Names of all manifests, sorted.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let folder = self.manifests();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(source) => return Err(Error::io("read", &folder, source)),
        };
        let mut names = vec![];
        for entry in entries {
            let entry = entry.map_err(|source| Error::io("read", &folder, source))?;
            let file = entry.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".json"));
            names.extend(name.filter(|name| crate::config::is_name(name)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }
}

fn read(name: &str, path: &Path) -> Result<Option<Manifest>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io("read", path, source)),
    };
    let mut text = vec![];
    let read = file.take(MAX_BYTES).read_to_end(&mut text);
    read.map_err(|source| Error::io("read", path, source))?;
    let damaged = |why: String| Error::Damaged { name: name.to_owned(), why };
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| damaged(format!("its manifest cannot be read: {error}")))?;
    manifest.check().map_err(damaged)?;
    Ok(Some(manifest))
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
