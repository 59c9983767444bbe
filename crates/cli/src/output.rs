//! Files that appear whole or not at all.
//!
//! All files of a command are staged beside their targets before any work is done, so a folder that cannot be
//! written is told at once; they get their names only when every one of them is complete.

use std::ffi::OsString;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tempfile::{Builder, NamedTempFile};

use crate::cancel;
use crate::error::{Error, Kind, Result};

/// Where bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Written `-`.
    Stdout,
    File(PathBuf),
}

impl FromStr for Target {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Target, Self::Err> {
        Ok(if text == "-" { Target::Stdout } else { Target::File(text.into()) })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Stdout => out.write_str("-"),
            Target::File(path) => write!(out, "{}", path.display()),
        }
    }
}

impl Target {
    /// The target of take `index` of `count`: `funk.mid` becomes `funk-1.mid`, `funk-2.mid`, ...
    pub fn numbered(&self, index: usize, count: usize) -> Target {
        match self {
            Target::File(path) if count > 1 => {
                let mut name = path.file_stem().map_or_else(OsString::new, OsString::from);
                name.push(format!("-{}", index + 1));
                if let Some(extension) = path.extension() {
                    name.push(".");
                    name.push(extension);
                }
                Target::File(path.with_file_name(name))
            }
            other => other.clone(),
        }
    }
}

/// A file under way.
#[derive(Clone, Copy, Debug)]
pub struct Slot(usize);

enum Staged {
    Stdout(Vec<u8>),
    /// A device or pipe: it has no name to be given later.
    Device {
        path: PathBuf,
        bytes: Vec<u8>,
    },
    File {
        path: PathBuf,
        beside: NamedTempFile,
    },
}

impl Staged {
    /// Place in the order of writing: what cannot be taken back comes after what can.
    fn rank(&self) -> u8 {
        match self {
            Staged::File { .. } => 0,
            Staged::Device { .. } => 1,
            Staged::Stdout(_) => 2,
        }
    }
}

/// All files of one command.
pub struct Staging {
    /// Whether files that are already there may be replaced.
    force: bool,
    staged: Vec<Staged>,
}

impl Staging {
    /// From here on Ctrl-C is listened to: a file that is staged must not stay behind.
    pub fn new(force: bool) -> Staging {
        cancel::listen();
        Staging { force, staged: Vec::new() }
    }

    /// Reserves a file; `field` is the option it comes from.
    ///
    /// # Errors
    /// A target that is already there, is a folder, cannot be written, or was named twice.
    pub fn add(&mut self, field: &str, target: &Target) -> Result<Slot> {
        let staged = match target {
            Target::Stdout if self.has_stdout() => {
                return Err(Error::usage(field, format!("{field} must be a file, got a second -")));
            }
            Target::Stdout => Staged::Stdout(Vec::new()),
            Target::File(path) => self.stage(field, path)?,
        };
        self.staged.push(staged);
        Ok(Slot(self.staged.len() - 1))
    }

    fn stage(&self, field: &str, path: &Path) -> Result<Staged> {
        let real = real(path);
        if self.staged.iter().any(|other| matches!(other, Staged::File { path, .. } if *path == real)) {
            return Err(Error::usage(
                field,
                format!("{field} must be a file of its own, got {} again", path.display()),
            ));
        }
        match std::fs::metadata(&real) {
            Ok(found) if found.is_dir() => {
                let message = format!("cannot write {}: it is a folder", path.display());
                return Err(Error::new(Kind::Failed, field, message));
            }
            Ok(found) if !found.is_file() => return Ok(Staged::Device { path: real, bytes: Vec::new() }),
            Ok(_) if !self.force => return Err(exists(field, path)),
            _ => {}
        }
        let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = Builder::new();
        builder.prefix(".partita-").suffix(".partial");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let beside = builder.tempfile_in(folder).map_err(|e| {
            let source = std::io::Error::from(e.kind());
            Error::file(field, "write", path, &source)
        })?;
        cancel::remember(beside.path());
        Ok(Staged::File { path: real, beside })
    }

    /// Whether bytes of a result go to stdout, so that the report cannot.
    pub fn has_stdout(&self) -> bool {
        self.staged.iter().any(|staged| matches!(staged, Staged::Stdout(_)))
    }

    /// Fills a reserved file.
    ///
    /// # Errors
    /// When the disk is full or gone.
    pub fn write(&mut self, slot: Slot, content: &[u8]) -> Result<()> {
        match &mut self.staged[slot.0] {
            Staged::Stdout(bytes) | Staged::Device { bytes, .. } => bytes.extend_from_slice(content),
            Staged::File { path, beside } => {
                let written = beside.write_all(content).and_then(|()| beside.flush());
                written.map_err(|e| Error::file("output", "write", path, &e))?;
            }
        }
        Ok(())
    }

    /// Gives all files their names, then writes what goes to stdout.
    ///
    /// # Errors
    /// A target that has appeared meanwhile, or cannot be written; files named before are taken back. Only when the
    /// reader of stdout has gone do they stay: that is told as success. Nothing is named after Ctrl-C.
    pub fn commit(mut self) -> Result<()> {
        if cancel::requested() {
            return Err(Error::interrupted());
        }
        let mut named: Vec<PathBuf> = Vec::new();
        let mut staged = std::mem::take(&mut self.staged);
        staged.sort_by_key(Staged::rank);
        for staged in staged {
            let result = match staged {
                Staged::Stdout(bytes) => write_stdout(&bytes),
                Staged::Device { path, bytes } => write_device(&path, &bytes),
                Staged::File { path, beside } => self.name(path, beside, &mut named),
            };
            if let Err(error) = result {
                if error.kind == Kind::ClosedPipe {
                    return Err(error);
                }
                named.iter().for_each(|path| drop(std::fs::remove_file(path)));
                return Err(error);
            }
        }
        Ok(())
    }

    fn name(&self, path: PathBuf, beside: NamedTempFile, named: &mut Vec<PathBuf>) -> Result<()> {
        let staged = beside.path().to_path_buf();
        let result = if self.force { beside.persist(&path) } else { beside.persist_noclobber(&path) };
        cancel::forget(&staged);
        match result {
            // What replaced an older file is not taken back: the older one is gone either way.
            Ok(_) if self.force => Ok(()),
            Ok(_) => {
                named.push(path);
                Ok(())
            }
            Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists("output", &path)),
            Err(e) => Err(Error::file("output", "write", &path, &e.error)),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        for staged in &self.staged {
            if let Staged::File { beside, .. } = staged {
                cancel::forget(beside.path());
            }
        }
    }
}

/// The path with all links followed: a link's target is replaced, not the link, and two ways to write one name
/// are one file.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_path_buf(),
    }
}

fn exists(field: &str, path: &Path) -> Error {
    Error::new(Kind::Failed, field, format!("{} is already there; add -f to replace it", path.display()))
}

fn write_device(path: &Path, bytes: &[u8]) -> Result<()> {
    let opened = std::fs::OpenOptions::new().write(true).open(path);
    let written = opened.and_then(|mut device| device.write_all(bytes));
    written.map_err(|e| Error::file("output", "write", path, &e))
}

/// Bytes or text to stdout.
///
/// # Errors
/// [`Kind::ClosedPipe`] when the reader has gone.
pub fn write_stdout(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    finish(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// Text to stderr.
///
/// # Errors
/// As [`write_stdout`].
pub fn write_stderr(text: &str) -> Result<()> {
    finish(std::io::stderr().lock().write_all(text.as_bytes()))
}

fn finish(written: std::io::Result<()>) -> Result<()> {
    written.map_err(|e| match e.kind() {
        std::io::ErrorKind::BrokenPipe => Error::told(Kind::ClosedPipe),
        _ => Error::failed(format!("cannot write the result: {e}")),
    })
}

/// Whether raw bytes would land on a screen.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path) -> Target {
        Target::File(path.to_path_buf())
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("the test's own folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_left_of_what_was_not_committed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut staging = Staging::new(false);
        let slot = staging.add("output", &file(&folder.path().join("a.mid"))).expect("free");
        staging.write(slot, b"half").expect("written");
        assert_eq!(names(folder.path()).len(), 1);
        drop(staging);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_target_that_appears_meanwhile_takes_the_others_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let paths = ["a.mid", "b.mid"].map(|name| folder.path().join(name));
        let mut staging = Staging::new(false);
        for path in &paths {
            let slot = staging.add("output", &file(path)).expect("free");
            staging.write(slot, b"new").expect("written");
        }
        std::fs::write(&paths[1], b"other").expect("written");
        let error = staging.commit().expect_err("b.mid is there");
        assert!(error.message.contains("-f"), "{}", error.message);
        assert_eq!(names(folder.path()), ["b.mid"]);
        assert_eq!(std::fs::read(&paths[1]).expect("still there"), b"other");
    }

    #[test]
    fn takes_are_numbered_before_the_extension() {
        let target: Target = "out/funk.v2.mid".parse().expect("infallible");
        assert_eq!(target.numbered(0, 1), target);
        assert_eq!(target.numbered(1, 3).to_string(), "out/funk.v2-2.mid");
        let bare: Target = "funk".parse().expect("infallible");
        assert_eq!(bare.numbered(0, 2).to_string(), "funk-1");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_not_replaced() {
        let mut staging = Staging::new(true);
        let slot = staging.add("output", &file(Path::new("/dev/null"))).expect("writable");
        staging.write(slot, b"gone").expect("kept in memory");
        staging.commit().expect("written");
        assert!(!Path::new("/dev/null").is_file());
    }
}
