//! The files that a file of weights needs beside it.

use std::io;
use std::path::{Component, Path};

use super::source::Source;
use super::tar::Archive;
use crate::{Error, Result};

/// Where they are.
pub(super) enum Beside<'a> {
    /// The weights are contents in memory, or were unpacked: nothing is beside them.
    Nothing,
    Folder(&'a Path),
    /// Members of an archive whose names begin so.
    Archive(&'a Archive, &'a str),
}

impl Beside<'_> {
    /// Opens the file `name`, which must be one plain name.
    ///
    /// # Errors
    /// [`Error::Read`] for one that is not there.
    pub(super) fn open(&self, name: &str) -> Result<Source> {
        let absent = |path: String, why: &str| Error::Read {
            path,
            source: io::Error::new(io::ErrorKind::NotFound, why.to_owned()),
        };
        if !is_file_name(name) {
            return Err(absent(format!("{name:?}"), "its name must be that of a file in the same folder"));
        }
        match self {
            Beside::Nothing => Err(absent(name.to_owned(), "the weights have no folder")),
            Beside::Folder(folder) => Source::open(&folder.join(name)),
            Beside::Archive(archive, folder) => {
                let path = format!("{folder}{name}");
                archive.member(&path).ok_or_else(|| absent(path, "the archive has no such member"))?
            }
        }
    }
}

/// One plain name that stays in its folder, on every system.
pub(super) fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let plain = matches!(components.next(), Some(Component::Normal(only)) if only == name);
    plain && components.next().is_none() && !name.contains(['/', '\\', ':', '\0'])
}
