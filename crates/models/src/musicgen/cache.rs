//! The packed language model beside its weights, so that only the first start packs.
//!
//! A file `lm-PRECISION.packed` a precision, replaced when it is not of these weights. It is written under a name of
//! its own and renamed when it is complete, so that other processes see the old file, none or the new one. **Rule:**
//! the cache is never a reason to fail: what cannot be read is packed anew, what cannot be written is left.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufWriter, Error as IoError, ErrorKind, Result as IoResult, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use partita_kernels::{Matrix, Precision};
use partita_nn::Tensors;
use sha2::{Digest, Sha256};

use super::packed::{Key, Reader, Recorder};
use super::{Config, Error, Lm};

/// What was begun and not touched for this long is of a process that died.
const ABANDONED: Duration = Duration::from_secs(3600);

/// What the cache did at the last load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// The packed form was there.
    Read,
    /// It was not, or of other weights, or damaged; now it is there.
    Written,
    /// It was not, and could not be written.
    Failed(String),
}

/// The language model from `folder`, or packed and written there.
///
/// # Errors
/// As [`Lm::load`]; never because of the folder.
pub(super) fn load(
    folder: &Path,
    tensors: &Tensors,
    config: &Config,
    precision: Precision,
) -> Result<(Lm, CacheUse), Error> {
    let Some(key) = key(tensors, config, precision) else {
        let why = "the weights are no files with a time of change".to_owned();
        return Ok((Lm::load(tensors, config, precision)?, CacheUse::Failed(why)));
    };
    let target = folder.join(format!("lm-{}.packed", precision.name()));
    if let Ok(lm) = read(&target, config, precision, &key) {
        return Ok((lm, CacheUse::Read));
    }
    let mut recorder = Recorder::new(Lm::published(tensors), Draft::new(&target), &key);
    let lm = Lm::build(config, precision, &mut recorder)?;
    let unchanged = |draft| match self::key(tensors, config, precision) {
        Some(now) if now == key => Ok(draft),
        _ => Err(IoError::other("the weights changed while they were read")),
    };
    let written = recorder.finish().and_then(unchanged).and_then(Draft::keep);
    Ok((lm, written.map_or_else(|error| CacheUse::Failed(error.to_string()), |()| CacheUse::Written)))
}

/// Everything that decides about the packed bytes.
fn key(tensors: &Tensors, config: &Config, precision: Precision) -> Option<Key> {
    let mut hash = Sha256::new();
    hash.update(format!(
        "{} {} {} {} {:?}\n{}",
        Matrix::PACKING,
        precision.name(),
        config.melody(),
        if cfg!(target_endian = "big") { "big" } else { "little" },
        config.decoder,
        tensors.fingerprint()?
    ));
    Some(hash.finalize().into())
}

fn read(path: &Path, config: &Config, precision: Precision, key: &Key) -> IoResult<Lm> {
    // Asked before opening: opening a pipe would wait for its other end.
    if !path.metadata()?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut reader = Reader::new(file, length, key)?;
    let lm = Lm::build(config, precision, &mut reader)?;
    reader.finish()?;
    Ok(lm)
}

/// A file that is being written. Gone unless it is [kept](Self::keep).
struct Draft {
    file: BufWriter<File>,
    path: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl Draft {
    fn new(target: &Path) -> IoResult<Draft> {
        let (Some(folder), Some(name)) = (target.parent(), target.file_name().and_then(|name| name.to_str()))
        else {
            return Err(ErrorKind::InvalidInput.into());
        };
        fs::create_dir_all(folder)?;
        clear(folder, name);
        // Another process may have the same number on another machine, or after a restart.
        let random = RandomState::new().build_hasher().finish();
        let path = folder.join(format!("{name}.{random:016x}.tmp"));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Draft { file: BufWriter::new(file), path, target: target.to_owned(), kept: false })
    }

    fn keep(mut self) -> IoResult<()> {
        self.file.flush()?;
        // Renamed before it is on the disk, it could be half a file after a power cut.
        self.file.get_ref().sync_all()?;
        fs::rename(&self.path, &self.target)?;
        self.kept = true;
        Ok(())
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what processes that died left of this file.
fn clear(folder: &Path, name: &str) {
    let now = SystemTime::now();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let found = entry.file_name();
        let Some(found) = found.to_str() else { continue };
        let draft =
            found.strip_prefix(name).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".tmp"));
        let changed = || entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = || now.duration_since(changed()?).ok();
        if draft && age().is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
