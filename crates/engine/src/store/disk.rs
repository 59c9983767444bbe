//! Files made so that they are whole or not there, also after a power cut.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Error, Result};

/// Read at once.
pub(super) const CHUNK: usize = 1 << 20;
/// Left free on a disk for everything else.
const MARGIN: u64 = 64 << 20;

pub(super) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| Error::io("make", folder, source))
}

/// Writes a small file under another name, makes it durable and renames it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let write = || {
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        sync_folder(folder)
    };
    write().map_err(|source| Error::io("write", path, source))
}

/// Makes renames in a folder durable; systems without such a call do so by themselves.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// No error if it is not there.
pub(super) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, source)),
        _ => Ok(()),
    }
}

/// No error if it is not there.
pub(super) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, source)),
        _ => Ok(()),
    }
}

/// Gives the content at `from` the name `to` too; a copy where the file system has no links. `to` is not there yet.
pub(super) fn link(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let bytes = length(from).unwrap_or(0);
    room(to.parent().unwrap_or(to), bytes)?;
    fs::copy(from, to).map_err(|source| Error::io("write", to, source))?;
    let synced = File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|source| Error::io("write", to, source))
}

/// Length of a regular file, `None` if there is none.
pub(super) fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|about| about.len())
}

/// Whether `needed` bytes fit where `folder` is or will be.
///
/// # Errors
/// [`Error::NoSpace`].
pub(super) fn room(folder: &Path, needed: u64) -> Result<()> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = absolute.ancestors().find(|folder| folder.exists());
    let free = there.and_then(|folder| fs4::available_space(folder).ok()).unwrap_or(u64::MAX);
    if needed == 0 || needed.saturating_add(MARGIN) <= free {
        return Ok(());
    }
    Err(Error::NoSpace { place: folder.to_owned(), needed: Some(needed), free: Some(free) })
}

/// Reads `file` from its position to its end into `hasher`, and hands every chunk to `each`.
pub(super) fn hash(
    path: &Path,
    file: &mut File,
    hasher: &mut Sha256,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => &buffer[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::io("read", path, source)),
        };
        hasher.update(read);
        each(read)?;
    }
}

/// The digits of a finished hash.
pub(super) fn digits(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text is a SHA-256 in lower-case digits, and so a safe name of a blob.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_any_disk_holds_is_refused_with_both_numbers() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(room(&folder.path().join("not/made/yet"), 1).is_ok());
        let error = room(folder.path(), u64::MAX / 2).expect_err("too much").to_string();
        assert!(error.contains("needed") && error.contains("free"), "{error}");
    }

    #[test]
    fn only_lower_case_digits_name_a_blob() {
        assert!(is_sha256(&"0123456789abcdef".repeat(4)));
        for text in ["", "..", &"A".repeat(64), &"g".repeat(64), &"0".repeat(63), &"../".repeat(22)[..64]] {
            assert!(!is_sha256(text), "{text}");
        }
    }
}
