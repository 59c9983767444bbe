//! What can go wrong with stored models.

use std::io;
use std::path::{Path, PathBuf};

use super::catalogue::readable;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure. Never holds a token, nor the query of an address, which may be a signature.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "a model's name must be 1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit, got {got:?}"
    )]
    Name { got: String },
    /// Neither in the store nor in the catalogue.
    #[error("no model is called {name:?}; {hint}")]
    Unknown { name: String, hint: String },
    /// In the catalogue, not in the store.
    #[error(
        "model {name} is not installed: `partita models pull {name}` fetches {size} (licence {licence}, {url})",
        size = if *.bytes == 0 { "it".to_owned() } else { readable(*.bytes) }
    )]
    NotInstalled { name: String, bytes: u64, licence: String, url: String },
    #[error(
        "{name} is under the licence {licence} ({url}), which must be accepted first: --accept-licence does"
    )]
    Licence { name: String, licence: String, url: String },
    #[error("model {name} is not installed and cannot be fetched offline")]
    Offline { name: String },
    #[error("model {name} is there already; --force replaces it")]
    Exists { name: String },
    #[error("model {name} is damaged: {why}")]
    Damaged { name: String, why: String },
    /// Another process works on it.
    #[error("model {name} is being pulled or imported by another process")]
    Busy { name: String },
    /// `what` as it reads before "must be".
    #[error("{what} must be {allowed}, got {got:?}")]
    Setting { what: &'static str, allowed: &'static str, got: String },
    /// The token itself is not repeated.
    #[error("HF_TOKEN must be visible ASCII characters")]
    Token,
    /// A server that says no.
    #[error("{url} answers {status}{}", .why.as_deref().map_or_else(String::new, |why| format!(": {why}")))]
    Refused { url: String, status: u16, why: Option<String> },
    /// A server that does not answer, or not to the end, however often it is tried.
    #[error("{url} cannot be fetched: {why}{}", if *.kept { "; what came so far is kept" } else { "" })]
    Unreachable { url: String, why: String, kept: bool },
    #[error("{url} leads astray: {why}")]
    Redirect { url: String, why: String },
    #[error("{repository} changed while it was fetched; run it again")]
    Changed { repository: String },
    #[error("{file} must have {expected} bytes, got {got}")]
    Length { file: String, expected: u64, got: u64 },
    #[error("{file} must have sha256 {expected}, got {got}")]
    Hash { file: String, expected: String, got: String },
    #[error("{address} can only be fetched by a program that was built with the feature {feature}")]
    Feature { address: String, feature: &'static str },
    /// What is in a folder or a file is no model of a known kind.
    #[error("{file} {why}")]
    Content { file: String, why: String },
    #[error("no space left for models in {}{}", .place.display(), room(*.needed, *.free))]
    NoSpace { place: PathBuf, needed: Option<u64>, free: Option<u64> },
    #[error("cannot {verb} {}: {}", .path.display(), plain(.source))]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub(super) fn io(verb: &'static str, path: &Path, source: io::Error) -> Error {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
            let place = path.parent().unwrap_or(path).to_owned();
            return Error::NoSpace { place, needed: None, free: None };
        }
        Error::Io { verb, path: path.to_owned(), source }
    }

    pub(super) fn content(file: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Content { file: file.into(), why: why.into() }
    }
}

fn room(needed: Option<u64>, free: Option<u64>) -> String {
    match (needed, free) {
        (Some(needed), Some(free)) => format!(": {} needed, {} free", readable(needed), readable(free)),
        _ => String::new(),
    }
}

/// The system's words without its error number.
fn plain(source: &io::Error) -> String {
    let text = source.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = Error::io("write", Path::new("store/partial/m/file.part"), full);
        assert_eq!(error.to_string(), "no space left for models in store/partial/m");
        let error =
            Error::NoSpace { place: "store".into(), needed: Some(8_040_000_000), free: Some(1_000_000) };
        assert_eq!(error.to_string(), "no space left for models in store: 8.0 GB needed, 1.0 MB free");
    }
}
