//! Bytes read by position: a file, a part of one, or contents that are already in memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::{Error, Result};

/// How much of a file is in memory while a tensor is converted. A multiple of every element's size.
pub(super) const PIECE: usize = 1 << 18;

/// Where the tensors of one file come from.
pub(super) struct Source {
    /// What errors call it; `None` for contents in memory.
    label: Option<String>,
    /// The file on disk that all of it was made from.
    origin: Option<Origin>,
    content: Content,
    /// First byte in the content.
    start: u64,
    length: u64,
}

#[derive(Clone)]
struct Origin {
    /// Without its folder; `None` if it is not UTF-8.
    name: Option<String>,
    file: Arc<File>,
}

#[derive(Clone)]
enum Content {
    Memory(Arc<Vec<u8>>),
    File(Arc<File>),
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
        let file = Arc::new(File::open(path).map_err(read)?);
        let length = file.metadata().map_err(read)?.len();
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let origin = Some(Origin { name, file: Arc::clone(&file) });
        Ok(Source { label: Some(text), origin, content: Content::File(file), start: 0, length })
    }

    pub(super) fn memory(bytes: Vec<u8>) -> Source {
        let length = bytes.len() as u64;
        Source { label: None, origin: None, content: Content::Memory(Arc::new(bytes)), start: 0, length }
    }

    /// A part as a source of its own, which errors call `named`.
    pub(super) fn part(&self, at: u64, length: u64, named: &str) -> Result<Source, String> {
        self.inside(at, length)?;
        let label = self.label.as_ref().map_or_else(|| named.to_owned(), |own| format!("{own}, {named}"));
        let (origin, content) = (self.origin.clone(), self.content.clone());
        Ok(Source { label: Some(label), origin, content, start: self.start + at, length })
    }

    /// What was made from this source, in memory.
    pub(super) fn made(&self, bytes: Vec<u8>) -> Source {
        Source { label: self.label.clone(), origin: self.origin.clone(), ..Source::memory(bytes) }
    }

    /// What was made from this source, in a file of `length` bytes.
    pub(super) fn spooled(&self, file: File, length: u64) -> Source {
        let content = Content::File(Arc::new(file));
        Source { label: self.label.clone(), origin: self.origin.clone(), content, start: 0, length }
    }

    /// In bytes, as it was when the file was opened.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn name(&self) -> &str {
        self.label.as_deref().unwrap_or("contents in memory")
    }

    pub(super) fn is_memory(&self) -> bool {
        matches!(self.content, Content::Memory(_))
    }

    /// The file's own name, and when it was changed, in nanoseconds since 1970; `None` for contents in memory.
    pub(super) fn identity(&self) -> Option<(&str, i128)> {
        let Origin { name, file } = self.origin.as_ref()?;
        let changed = file.metadata().ok()?.modified().ok()?;
        let nanos = match changed.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        };
        Some((name.as_deref()?, nanos))
    }

    /// What is wrong with the file, with its name.
    pub(super) fn fault(&self, what: &str) -> Error {
        Error::Format(match &self.label {
            Some(label) => format!("{label}: {what}"),
            None => what.to_owned(),
        })
    }

    fn inside(&self, at: u64, length: u64) -> Result<(), String> {
        if at.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(format!("{length} bytes are needed at {at}, but the file has {}", self.length));
        }
        Ok(())
    }

    /// A part of the file. The length is checked against the file's before memory is taken for it.
    pub(super) fn section(&self, at: u64, length: u64) -> Result<Vec<u8>, String> {
        self.inside(at, length)?;
        let length = usize::try_from(length).map_err(|_| format!("{length} bytes do not fit in memory"))?;
        let mut bytes = vec![0; length];
        self.read_exact(at, &mut bytes).map_err(|error| format!("cannot read: {error}"))?;
        Ok(bytes)
    }

    /// The whole from its beginning, for whoever can only read on.
    pub(super) fn reader(&self) -> impl Read {
        Reader { source: self, at: 0 }
    }

    pub(super) fn read_exact(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let inside = self.inside(at, into.len() as u64);
        inside.map_err(|what| io::Error::new(io::ErrorKind::UnexpectedEof, what))?;
        let at = self.start + at;
        match &self.content {
            Content::Memory(bytes) => into.copy_from_slice(within(bytes, at, into.len() as u64)?),
            Content::File(file) => read_exact_at(file, at, into)?,
        }
        Ok(())
    }
}

struct Reader<'a> {
    source: &'a Source,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let here = (self.source.length - self.at).min(into.len() as u64);
        self.source.read_exact(self.at, &mut into[..here as usize])?;
        self.at += here;
        Ok(here as usize)
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
    fn a_part_is_that_of_the_whole_in_file_and_memory() {
        let bytes: Vec<u8> = (0..100).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        std::fs::write(&path, &bytes).unwrap();
        for source in [Source::open(&path).unwrap(), Source::memory(bytes.clone())] {
            assert!(source.section(1, u64::MAX).is_err());
            assert_eq!(source.section(3, 4).unwrap(), bytes[3..7]);
            let part = source.part(10, 20, "a part").unwrap().part(5, 10, "of a part").unwrap();
            assert_eq!((part.length(), part.section(0, 10).unwrap()), (10, bytes[15..25].to_vec()));
            assert!(part.name().ends_with("a part, of a part"), "{}", part.name());
            assert_eq!(part.identity(), source.identity());
            let mut all = Vec::new();
            part.reader().read_to_end(&mut all).unwrap();
            assert_eq!(all, bytes[15..25]);
            for (at, length) in [(0, 11), (10, 1), (u64::MAX, 1), (1, u64::MAX)] {
                assert!(part.section(at, length).is_err(), "{length} at {at}");
                assert!(part.part(at, length, "").is_err(), "{length} at {at}");
            }
            assert!(part.read_exact(5, &mut [0; 6]).is_err(), "the next byte belongs to another part");
        }
    }

    #[test]
    fn a_folder_is_no_source() {
        let folder = tempfile::tempdir().unwrap();
        let error = Source::open(folder.path()).err().expect("not a file").to_string();
        assert!(error.ends_with("not a regular file"), "{error}");
    }
}
