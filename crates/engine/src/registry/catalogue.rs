//! Which models there are: the bundled ones, those of the store and the subfolders of `models.dir`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::config::is_name;
use crate::family::{Description, ModelSource, Stored, describe_source};
use crate::store::{self, Installed, Store};

/// Name and version of a model; sorts by name, then by version, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub name: String,
    pub version: String,
}

impl Id {
    pub fn text(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Id) -> Ordering {
        self.name.cmp(&other.name).then_with(|| compare_versions(&self.version, &other.version))
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Id) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Numbers inside versions compare as numbers: `1.9` before `1.10`.
pub(super) fn compare_versions(left: &str, right: &str) -> Ordering {
    fn parts(text: &str) -> Vec<(&str, bool)> {
        let mut parts = vec![];
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let digit = first.is_ascii_digit();
            let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
            parts.push((&rest[..end], digit));
            rest = &rest[end..];
        }
        parts
    }
    let (a, b) = (parts(left), parts(right));
    for (x, y) in a.iter().zip(&b) {
        let order = if x.1 && y.1 {
            let (x, y) = (x.0.trim_start_matches('0'), y.0.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            x.0.cmp(y.0)
        };
        if order.is_ne() {
            return order;
        }
    }
    // `01` and `1` are two versions, so they may not compare as equal.
    a.len().cmp(&b.len()).then_with(|| left.cmp(right))
}

/// A model that can be asked for.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub place: Place,
    pub description: Result<Description, String>,
    /// Of its weights on disk.
    pub bytes: u64,
    pub licence: String,
    stamp: Option<Stamp>,
}

/// Where a model is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Bundled,
    /// A subfolder of `models.dir`.
    Folder(PathBuf),
    Store(Stored),
}

impl Place {
    pub fn name(&self) -> &'static str {
        match self {
            Place::Bundled => "bundled",
            Place::Folder(_) => "folder",
            Place::Store(_) => "store",
        }
    }
}

impl Entry {
    fn read(id: &Id, path: &Path, written: Written, stamp: Stamp) -> Entry {
        let name = id.text();
        let described = describe_source(&name, ModelSource::Folder(path)).map_err(|fault| fault.message);
        let description = described.and_then(|description| {
            let whole = whole_weights(&path.join(WEIGHTS));
            whole.map(|()| description).map_err(|why| format!("model {name}: {WEIGHTS} {why}"))
        });
        Entry {
            description,
            place: Place::Folder(path.to_owned()),
            bytes: stamp[1].map_or(0, |(_, bytes)| bytes),
            licence: written.licence.unwrap_or_else(|| "unknown".into()),
            stamp: Some(stamp),
        }
    }

    /// Whether its files are no longer those that were read.
    pub fn has_changed(&self) -> bool {
        match &self.place {
            Place::Bundled => false,
            Place::Folder(folder) => self.stamp != Some(stamp(folder)),
            // Another model under the same name lies in another folder.
            Place::Store(stored) => !stored.folder.join(store::CONFIG).is_file(),
        }
    }

    pub fn source(&self) -> ModelSource<'_> {
        match &self.place {
            Place::Bundled => ModelSource::Bundled,
            Place::Folder(folder) => ModelSource::Folder(folder),
            Place::Store(stored) => ModelSource::Stored(stored),
        }
    }

    /// A model of the store, as an earlier look found it if it is still the same.
    fn installed(id: &Id, installed: &Installed, packed: PathBuf, old: &Catalogue) -> Entry {
        let mut names = Sha256::new();
        for file in &installed.files {
            names.update(format!("{} {}\n", file.name, file.sha256));
        }
        let sha256 = names.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let stored = Stored { folder: installed.folder.clone(), packed, sha256 };
        let known = old.entries.get(id).filter(|entry| entry.description.is_ok());
        if let Some(known) = known.filter(|known| matches!(&known.place, Place::Store(old) if *old == stored))
        {
            return known.clone();
        }
        let described = describe_source(&id.text(), ModelSource::Stored(&stored));
        Entry {
            place: Place::Store(stored),
            description: described.map_err(|fault| fault.message),
            bytes: installed.bytes,
            licence: installed
                .licence
                .as_ref()
                .map_or_else(|| "unknown".into(), |licence| licence.id.clone()),
            stamp: None,
        }
    }
}

/// Times and lengths of a model's two files: while they stay, the model does.
type Stamp = [Option<(SystemTime, u64)>; 2];

#[derive(Clone, Default)]
pub(super) struct Catalogue {
    pub entries: BTreeMap<Id, Entry>,
    /// Subfolders that are no models: name and reason.
    pub junk: Vec<(String, String)>,
}

/// Most subfolders that are looked at.
const MAX_FOLDERS: usize = 10_000;

impl Catalogue {
    /// Looks again. Files are read only where a stamp has changed since `old`.
    pub fn scan(dir: &Path, store: &Store, old: &Catalogue) -> Catalogue {
        let mut new = Catalogue::default();
        for (id, entry) in bundled() {
            new.entries.insert(id, entry);
        }
        new.add_stored(store, old);
        let Ok(folders) = std::fs::read_dir(dir) else { return new };
        let mut folders: Vec<_> = folders.flatten().take(MAX_FOLDERS).collect();
        folders.sort_by_key(std::fs::DirEntry::file_name);
        for folder in folders {
            let name = folder.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            match folder.file_type() {
                // The type of the entry itself: a link could lead anywhere.
                Ok(kind) if kind.is_dir() => new.add(&name, &folder.path(), old),
                Ok(kind) if kind.is_symlink() => new.junk.push((name, "must be a folder, not a link".into())),
                _ => {}
            }
        }
        new
    }

    /// Adds the models of the store.
    fn add_stored(&mut self, store: &Store, old: &Catalogue) {
        // A folder that cannot be read holds no models that could be used.
        for listed in store.list().unwrap_or_default() {
            let id = Id { name: listed.name, version: "1".into() };
            if self.entries.contains_key(&id) {
                let why = format!("{} is there already: import it under another name", id.text());
                self.junk.push((id.name, why));
                continue;
            }
            match listed.model {
                // MusicVAEs and event RNNs are played at once, not in tasks.
                Ok(installed) if !installed.files.iter().any(|file| file.name == TOKENIZER) => {}
                Ok(installed) => {
                    let entry = Entry::installed(&id, &installed, store.packed(&id.name), old);
                    self.entries.insert(id, entry);
                }
                // Others may tell the place of a file.
                Err(store::Error::Damaged { why, .. }) => {
                    self.junk.push((id.name, format!("is damaged: {why}")));
                }
                Err(_) => self.junk.push((id.name, "cannot be read".into())),
            }
        }
    }

    fn add(&mut self, folder: &str, path: &Path, old: &Catalogue) {
        let (name, version) = match folder.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (folder, None),
        };
        if !is_name(name) || !version.is_none_or(is_name) {
            let why = "must be called name or name@version, each 1 to 64 of a-z, 0-9, '.', '_' and '-'";
            return self.junk.push((folder.to_owned(), why.into()));
        }
        let stamp = stamp(path);
        let known = old.entries.iter().find(|(_, entry)| {
            entry.stamp == Some(stamp) && matches!(&entry.place, Place::Folder(folder) if folder == path)
        });
        let (id, entry) = match known {
            Some((id, entry)) => (id.clone(), entry.clone()),
            None => {
                let written = Written::read(path);
                let version = version.map_or_else(|| written.version(), str::to_owned);
                let id = Id { name: name.to_owned(), version };
                let entry = Entry::read(&id, path, written, stamp);
                (id, entry)
            }
        };
        if self.entries.contains_key(&id) {
            let why = format!("{} is there already: call the folder {name}@ and another version", id.text());
            return self.junk.push((folder.to_owned(), why));
        }
        self.entries.insert(id, entry);
    }

    /// The newest version of `name` that is whole; the newest of all where none is.
    pub fn newest(&self, name: &str) -> Option<&Id> {
        let named = || self.entries.iter().filter(|(id, _)| id.name == name);
        let whole = named().filter(|(_, entry)| entry.description.is_ok()).map(|(id, _)| id).max();
        whole.or_else(|| named().map(|(id, _)| id).max())
    }
}

const WEIGHTS: &str = "model.safetensors";
/// What tells MusicGen's files from those of other families.
const TOKENIZER: &str = "tokenizer.json";
/// A longer header is none.
const MAX_HEADER: u64 = 16 << 20;

/// Whether a file of weights is as long as its own header says: one that is still being copied is not.
fn whole_weights(path: &Path) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {}", error.kind());
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut head = [0; 8];
    file.read_exact(&mut head).map_err(unreadable)?;
    let header = u64::from_le_bytes(head);
    if header > MAX_HEADER.min(length) {
        return Err("has no header".into());
    }
    let mut text = vec![];
    file.take(header).read_to_end(&mut text).map_err(unreadable)?;
    let tensors: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&text).map_err(|_| "has no header".to_owned())?;
    let data = tensors.values().filter_map(|tensor| tensor["data_offsets"][1].as_u64()).max().unwrap_or(0);
    let whole = data.saturating_add(header + 8);
    if length == whole { Ok(()) } else { Err(format!("must have {whole} bytes, got {length}")) }
}

fn stamp(folder: &Path) -> Stamp {
    ["model.json", WEIGHTS].map(|file| {
        let about = std::fs::metadata(folder.join(file)).ok()?;
        Some((about.modified().ok()?, about.len()))
    })
}

/// What `model.json` says for catalogues, whatever else is in it.
#[derive(Default, serde::Deserialize)]
struct Written {
    version: Option<String>,
    licence: Option<String>,
}

impl Written {
    fn read(folder: &Path) -> Written {
        let mut text = vec![];
        let read = std::fs::File::open(folder.join("model.json"))
            .and_then(|file| file.take(1 << 20).read_to_end(&mut text));
        read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    fn version(&self) -> String {
        self.version.clone().filter(|version| is_name(version)).unwrap_or_else(|| "1".into())
    }
}

/// The models inside the program.
fn bundled() -> impl Iterator<Item = (Id, Entry)> {
    #[derive(Clone, serde::Deserialize)]
    struct Shipped {
        family: String,
        bytes: u64,
        licence: String,
    }
    let manifest: BTreeMap<String, Shipped> =
        serde_json::from_str(include_str!("../../../../weights/MANIFEST.json"))
            .expect("the shipped manifest is JSON");
    // Others (MusicVAEs) are played at once, not in tasks.
    let played = manifest
        .into_iter()
        .filter(|(_, shipped)| matches!(shipped.family.as_str(), "drums" | "melody" | "chorale" | "arrange"));
    played.map(|(name, shipped)| {
        let id = Id { name, version: "1".into() };
        let description = describe_source(&id.text(), ModelSource::Bundled).map_err(|fault| fault.message);
        let entry = Entry {
            place: Place::Bundled,
            description,
            bytes: shipped.bytes,
            licence: shipped.licence,
            stamp: None,
        };
        (id, entry)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_people_count() {
        let mut versions =
            vec!["10", "2", "1.10", "1.9", "1", "2-beta", "01", "2.0.1", "99999999999999999999999"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            versions,
            ["01", "1", "1.9", "1.10", "2", "2-beta", "2.0.1", "10", "99999999999999999999999"]
        );
    }
}
