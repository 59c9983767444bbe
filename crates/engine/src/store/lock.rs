//! Locks between processes.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::watch::{Event, TICK, Watch, tell};
use super::{Error, Result, disk};

/// An exclusive lock on a file, free again when this is dropped or its process ends, also by `kill -9`.
///
/// The file itself stays: whoever removed it would let a third process lock a new one beside a second that still
/// waits for the old.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Waits for the lock.
    ///
    /// # Errors
    /// `Cancelled`; a folder that cannot be written or has no locks.
    pub fn take(path: &Path, watch: &mut Watch<'_>) -> Result<Lock> {
        loop {
            if let Some(lock) = Lock::attempt(path)? {
                return Ok(lock);
            }
            tell(watch, &Event::Waiting)?;
            std::thread::sleep(TICK / 4);
        }
    }

    /// The lock, or `None` while another process has it.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn attempt(path: &Path) -> Result<Option<Lock>> {
        path.parent().map_or(Ok(()), disk::make_folder)?;
        let opened = File::options().create(true).truncate(false).write(true).open(path);
        let file = opened.map_err(|source| Error::io("open", path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", path, source)),
        }
    }
}
