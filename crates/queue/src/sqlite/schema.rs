//! The file: opening it, its tables, and what its errors mean.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::{Error, Result};

/// "ptta": tells the file from others' databases.
const APPLICATION: i32 = 0x7074_7461;

/// Each brings a file from the format before; never changed once released.
const MIGRATIONS: [&str; 2] = [include_str!("1.sql"), include_str!("2.sql")];

/// Files up to this size are read whole at opening to find damage early; it takes about 0.1 s.
const CHECKED_BYTES: u64 = 32 << 20;

const BUSY: Duration = Duration::from_secs(10);

/// Takes the right to run jobs from the file at `path`; it ends with the process or with the returned file.
pub fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file =
        private().create(true).truncate(false).write(true).open(&name).map_err(|error| io(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(io(path, &error)),
    }
}

/// Prompts, hashes of keys and secrets of webhooks are inside: for the owner's eyes only.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the folder and an empty file. An existing file is not touched: to close a file that SQLite has open in this
/// process would drop its locks.
pub fn create(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(folder).map_err(|error| io(path, &error))?;
    }
    match private().create_new(true).write(true).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(io(path, &error)),
        _ => Ok(()),
    }
}

/// A connection that writes, with all tables there.
pub fn connect(path: &Path) -> Result<Connection> {
    let named = |error: Error| match error {
        Error::Damaged(reason) => Error::Damaged(format!("{}: {reason}", path.display())),
        other => other,
    };
    let open = || -> Result<Connection> {
        let mut db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.busy_timeout(BUSY)?;
        check_owner(&db)?;
        // Lets a clean-up give space back. Only an empty file takes it, before its log is there.
        let pages: u64 = db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        if pages == 0 {
            db.pragma_update(None, "auto_vacuum", "incremental")?;
        }
        // Accepted work survives a power cut: every commit is synced.
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "full")?;
        db.pragma_update(None, "journal_size_limit", 64 << 20)?;
        if std::fs::metadata(path).is_ok_and(|data| data.len() <= CHECKED_BYTES) {
            check_pages(&db)?;
        }
        migrate(&mut db)?;
        Ok(db)
    };
    open().map_err(named)
}

/// A connection that reads while another writes.
pub fn connect_reader(path: &Path) -> Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

pub fn in_memory() -> Result<Connection> {
    let mut db = Connection::open_in_memory()?;
    migrate(&mut db)?;
    Ok(db)
}

fn check_owner(db: &Connection) -> Result<()> {
    let application: i32 = db.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (application != 0 || tables != 0) {
        return Err(Error::Damaged("this is a database of another program".into()));
    }
    check_version(version(db)?)
}

fn version(db: &Connection) -> Result<usize> {
    Ok(db.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn check_version(version: usize) -> Result<()> {
    let known = MIGRATIONS.len();
    if version > known {
        let reason = format!(
            "made by a newer partita: format {version}, this one knows up to {known}; run the newer one"
        );
        return Err(Error::Damaged(reason));
    }
    Ok(())
}

fn check_pages(db: &Connection) -> Result<()> {
    let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(corrupt(&verdict));
    }
    Ok(())
}

fn corrupt(what: &str) -> Error {
    Error::Damaged(format!("the database is corrupt ({what}): move the file away to start with an empty one"))
}

fn migrate(db: &mut Connection) -> Result<()> {
    loop {
        // Asked again inside: another process may be doing the same.
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = version(&step)?;
        check_version(version)?;
        let Some(sql) = MIGRATIONS.get(version) else { return Ok(()) };
        step.execute_batch(sql)?;
        step.pragma_update(None, "application_id", APPLICATION)?;
        step.pragma_update(None, "user_version", version + 1)?;
        step.commit()?;
    }
}

fn io(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("{}: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::NoSpace(message),
        _ => Error::Unavailable(message),
    }
}

/// A write, a truncation or the growth of the shared index failed: what a full disk or quota gives besides
/// `SQLITE_FULL`.
const FULL_IO: [i32; 3] = [
    rusqlite::ffi::SQLITE_IOERR_WRITE,
    rusqlite::ffi::SQLITE_IOERR_TRUNCATE,
    rusqlite::ffi::SQLITE_IOERR_SHMSIZE,
];

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        let message = error.to_string();
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Error::NoSpace(message),
                ErrorCode::SystemIoFailure if FULL_IO.contains(&failure.extended_code) => {
                    Error::NoSpace(message)
                }
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => corrupt(&message),
                _ => Error::Unavailable(message),
            },
            _ => Error::Damaged(message),
        }
    }
}

/// Counts how often the file was opened for its jobs, this time included.
pub fn count_opening(db: &Connection) -> Result<u64> {
    let sql = "UPDATE meta SET value = value + 1 WHERE name = 'openings' RETURNING value";
    Ok(db.query_row(sql, [], |row| row.get(0))?)
}
