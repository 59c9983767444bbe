//! Bytes read by position: a file, or contents that are already in memory.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::{Error, Result};

/// How much of a file is in memory while a tensor is converted. A multiple of every element's size.
const PIECE: usize = 1 << 18;

/// Where the tensors of one file come from.
pub(super) struct Source {
    /// The file's path; `None` for contents in memory.
    path: Option<String>,
    content: Content,
    length: u64,
}

enum Content {
    Memory(Vec<u8>),
    File(File),
}

impl Source {
    /// Opens a regular file (a link to one is followed); reads nothing of it.
    pub(super) fn open(path: &Path) -> Result<Source> {
        let text = path.display().to_string();
        let read = |source| Error::Read { path: text.clone(), source };
        // Asked before opening: opening a pipe would wait for its other end.
        if !path.metadata().map_err(read)?.is_file() {
            return Err(read(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        let file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        Ok(Source { path: Some(text), content: Content::File(file), length })
    }

    pub(super) fn memory(bytes: Vec<u8>) -> Source {
        Source { path: None, length: bytes.len() as u64, content: Content::Memory(bytes) }
    }

    /// In bytes, as it was when the file was opened.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn name(&self) -> &str {
        self.path.as_deref().unwrap_or("contents in memory")
    }

    /// The file's own name, and when it was changed, in nanoseconds since 1970; `None` for contents in memory.
    pub(super) fn identity(&self) -> Option<(&str, i128)> {
        let Content::File(file) = &self.content else { return None };
        let changed = file.metadata().ok()?.modified().ok()?;
        let nanos = match changed.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        };
        Some((Path::new(self.path.as_deref()?).file_name()?.to_str()?, nanos))
    }

    /// What is wrong with the file, with its name.
    pub(super) fn fault(&self, what: &str) -> Error {
        Error::Format(match &self.path {
            Some(path) => format!("{path}: {what}"),
            None => what.to_owned(),
        })
    }

    /// A part of the file. The length is checked against the file's before memory is taken for it.
    pub(super) fn section(&self, at: u64, length: u64) -> Result<Vec<u8>, String> {
        if at.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(format!("{length} bytes are needed at {at}, but the file has {}", self.length));
        }
        let length = usize::try_from(length).map_err(|_| format!("{length} bytes do not fit in memory"))?;
        let mut bytes = vec![0; length];
        self.read_exact(at, &mut bytes).map_err(|error| format!("cannot read: {error}"))?;
        Ok(bytes)
    }

    /// Hands over `length` bytes from `at` in order, in pieces of whole elements.
    pub(super) fn pieces(&self, at: u64, length: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        if let Content::Memory(bytes) = &self.content {
            take(within(bytes, at, length)?);
            return Ok(());
        }
        let mut piece = vec![0; PIECE.min(usize::try_from(length).unwrap_or(PIECE))];
        let mut done = 0;
        while done < length {
            let here = (length - done).min(PIECE as u64);
            let piece = &mut piece[..here as usize];
            self.read_exact(at + done, piece)?;
            take(piece);
            done += here;
        }
        Ok(())
    }

    fn read_exact(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        match &self.content {
            Content::Memory(bytes) => into.copy_from_slice(within(bytes, at, into.len() as u64)?),
            Content::File(file) => read_exact_at(file, at, into)?,
        }
        Ok(())
    }
}

fn within(bytes: &[u8], at: u64, length: u64) -> io::Result<&[u8]> {
    let end = at.checked_add(length).and_then(|end| usize::try_from(end).ok());
    end.and_then(|end| bytes.get(at as usize..end)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(unix)]
fn read_exact_at(file: &File, at: u64, into: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut at: u64, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, into, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                into = &mut into[read..];
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_file_join_to_what_memory_holds() {
        let bytes: Vec<u8> = (0..PIECE * 2 + 24).map(|i| (i * 31 % 251) as u8).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        std::fs::write(&path, &bytes).unwrap();
        let (file, memory) = (Source::open(&path).unwrap(), Source::memory(bytes.clone()));
        for (at, length) in [(0, bytes.len()), (8, PIECE), (16, PIECE + 8), (8, 0), (bytes.len(), 0)] {
            for source in [&file, &memory] {
                let mut joined = Vec::new();
                source.pieces(at as u64, length as u64, |piece| joined.extend_from_slice(piece)).unwrap();
                assert!(joined == bytes[at..at + length], "{length} bytes at {at} of {}", source.name());
            }
        }
        for source in [&file, &memory] {
            assert!(source.pieces(8, bytes.len() as u64, |_| {}).is_err());
            assert!(source.section(1, u64::MAX).is_err());
            assert_eq!(source.section(3, 4).unwrap(), bytes[3..7]);
        }
    }

    #[test]
    fn a_folder_is_no_source() {
        let folder = tempfile::tempdir().unwrap();
        let error = Source::open(folder.path()).err().expect("not a file").to_string();
        assert!(error.ends_with("not a regular file"), "{error}");
    }
}
