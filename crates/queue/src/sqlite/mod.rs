//! The queue in one file: SQLite with a write-ahead log, for one process.
//!
//! `schema` is the file, `rows` jobs as rows; `writer` the one thread that writes, `jobs` and `records` what it
//! writes; `live` what is in memory alone (leases, watchers), `log` the events, `schedule` whose turn it is, `clock` the
//! time.
//!
//! Async code never waits for the disk: it sends work to the writer or to a reader and awaits the reply.

mod clock;
mod jobs;
mod live;
mod log;
mod queue;
mod reader;
mod records;
mod rows;
mod schedule;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use self::live::Shared;
use self::reader::Readers;
use self::writer::{Call, Piece, Work, Writer};
use crate::{Error, Limits, Result};

/// Jobs in an SQLite file, or in memory.
///
/// Dropping it waits for the writes that were asked for.
pub struct Sqlite {
    shared: Arc<Shared>,
    inbox: Option<Sender<Box<dyn Piece>>>,
    writer: Option<JoinHandle<()>>,
    /// None in memory, where the one connection does all.
    readers: Option<Readers>,
    keys_only: bool,
    /// Let go after the writer has ended.
    _lock: Option<File>,
}

impl Sqlite {
    /// Opens or makes the file at `path`; jobs that ran when the last process died go back to the front of the queue.
    ///
    /// # Errors
    /// `Locked`, `NoSpace`, `Damaged`, `Unavailable`.
    pub fn open(path: &Path, limits: Limits) -> Result<Sqlite> {
        schema::create(path)?;
        let lock = schema::lock(path)?;
        let db = schema::connect(path)?;
        Sqlite::start(db, Some(Readers::start(path)?), limits, Some(lock), false)
    }

    /// Opens or makes the file for its API keys alone, also while another process runs its jobs; what concerns jobs
    /// answers `Unavailable`, except for looking.
    ///
    /// # Errors
    /// `NoSpace`, `Damaged`, `Unavailable`.
    pub fn open_keys(path: &Path) -> Result<Sqlite> {
        schema::create(path)?;
        let db = schema::connect(path)?;
        Sqlite::start(db, Some(Readers::start(path)?), Limits::default(), None, true)
    }

    /// A queue that ends with the process.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub fn in_memory(limits: Limits) -> Result<Sqlite> {
        Sqlite::start(schema::in_memory()?, None, limits, None, false)
    }

    fn start(
        db: Connection,
        readers: Option<Readers>,
        limits: Limits,
        lock: Option<File>,
        keys_only: bool,
    ) -> Result<Sqlite> {
        let opening = if keys_only { 0 } else { schema::count_opening(&db)? };
        let shared = Arc::new(Shared::new(limits, opening));
        let mut writer = Writer::new(db, shared.clone())?;
        if !keys_only {
            let reaped = writer.recover()?;
            if reaped != crate::Reaped::default() {
                tracing::info!(
                    requeued = reaped.requeued,
                    parked = reaped.parked,
                    expired = reaped.expired,
                    "took back tasks of the last process"
                );
            }
        }
        let (inbox, pieces) = channel();
        let thread = Builder::new().name("queue-writer".into()).spawn(move || writer.run(&pieces));
        let thread = thread.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Sqlite { shared, inbox: Some(inbox), writer: Some(thread), readers, keys_only, _lock: lock })
    }

    /// Runs `function` on the writer's thread and replies after its commit. It may run twice, see [`writer`].
    async fn write<T: Send + 'static>(
        &self,
        function: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.keys_only {
            return Err(Error::Unavailable("the file was opened for its keys alone".into()));
        }
        self.send(function).await
    }

    async fn send<T: Send + 'static>(
        &self,
        function: impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, result) = oneshot::channel();
        let gone = || Error::Unavailable("the queue's writer has stopped".into());
        let inbox = self.inbox.as_ref().ok_or_else(gone)?;
        inbox.send(Box::new(Call { function, result: None, reply })).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }

    /// Runs `function` beside the writer; it sees everything that was replied.
    async fn read<T: Send + 'static>(
        &self,
        mut function: impl FnMut(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.readers {
            Some(readers) => readers.run(function).await,
            None => self.send(move |work| function(work.db)).await,
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.readers = None;
        self.inbox = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the queue's writer stopped with a panic");
        }
    }
}
