//! The suite on a file, and what only a file can do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use partita_queue::sqlite::Sqlite;
use partita_queue::{ApiKey, Error, EventKind, Fut, JobId, Lane, Limits, NewJob, Queue, Role, State};
use tempfile::TempDir;

use crate::suite::{self, Store};

/// A file in a folder of its own.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder for the test"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("jobs").join("queue.db")
    }
}

impl Store for Folder {
    fn open(&self, limits: Limits) -> Fut<'_, Arc<dyn Queue>> {
        Box::pin(async move { Ok(Arc::new(Sqlite::open(&self.file(), limits)?) as Arc<dyn Queue>) })
    }
}

conformance!(Folder::new());

/// A queue without a file.
struct Memory;

impl Store for Memory {
    fn open(&self, limits: Limits) -> Fut<'_, Arc<dyn Queue>> {
        Box::pin(async move { Ok(Arc::new(Sqlite::in_memory(limits)?) as Arc<dyn Queue>) })
    }
}

#[test]
fn random_histories_in_memory_match_the_model() {
    suite::run(suite::model::histories(&Memory, 64));
}

#[test]
fn a_queue_in_memory_does_what_a_file_does() {
    suite::run(async {
        suite::order::claimers_never_share_a_job(&Memory).await;
        suite::order::an_idempotency_key_replays_its_job(&Memory).await;
        suite::leases::a_stale_fence_changes_nothing(&Memory).await;
        suite::events::events_come_in_order(&Memory).await;
        suite::records::lists_obey_their_filters(&Memory).await;
        suite::ends::an_end_is_told_to_the_webhook_once(&Memory).await;
    });
}

/// Copies of all files of the queue, as a power cut would leave them.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(name(from), name(to)).expect("the file is copied");
    }
}

#[test]
fn what_was_accepted_survives_a_crash_at_any_moment() {
    suite::run(async {
        let (folder, crashed) = (Folder::new(), Folder::new());
        let queue = suite::open(&folder).await;
        let mut ids = Vec::new();
        for round in 0..20 {
            ids.push(suite::submit(&*queue, suite::new_job()).await.new.id);
            let claim = suite::claim(&*queue).await.expect("it waits");
            if round % 2 == 0 {
                assert!(suite::finish(&*queue, &claim, suite::complete()).await);
            }
        }
        copy(&folder.file(), &crashed.file());
        drop(queue);
        let queue = suite::open(&crashed).await;
        for (round, id) in ids.iter().enumerate() {
            let job = suite::get(&*queue, id).await;
            let expected = if round % 2 == 0 { State::Complete } else { State::Queued };
            assert_eq!((job.state, job.attempts), (expected, 1));
        }
        let claims = suite::claim_many(&*queue, 100).await;
        let again: Vec<JobId> = claims.into_iter().map(|claim| claim.job.new.id).collect();
        assert_eq!(again, ids.into_iter().skip(1).step_by(2).collect::<Vec<_>>());
    });
}

#[test]
fn a_job_that_takes_the_process_down_each_time_is_parked() {
    suite::run(async {
        let folder = Folder::new();
        let mut queue = suite::open(&folder).await;
        let job = NewJob { max_attempts: 2, ..suite::new_job() };
        let id = suite::submit(&*queue, job).await.new.id;
        for attempt in 1..=2 {
            assert_eq!(suite::claim(&*queue).await.expect("it waits").job.attempts, attempt);
            drop(queue);
            queue = suite::open(&folder).await;
        }
        let job = suite::get(&*queue, &id).await;
        assert_eq!((job.state, suite::code(&job)), (State::Failed, Some("gave-up")));
        let error = job.error.expect("it failed").to_string();
        assert!(error.contains("2 times"), "{error}");
    });
}

#[test]
fn one_process_runs_the_jobs_while_others_manage_keys() {
    suite::run(async {
        let folder = Folder::new();
        let queue = suite::open(&folder).await;
        let held = suite::running(&*queue, suite::new_job()).await;
        let Err(error) = Sqlite::open(&folder.file(), suite::limits()) else { panic!("opened twice") };
        assert!(matches!(&error, Error::Locked(_)), "{error}");
        assert!(error.to_string().contains("queue.db"), "{error}");

        let keys = Sqlite::open_keys(&folder.file()).expect("keys need no lock");
        let (key, _) = ApiKey::create("test", Role::User, 1, None);
        keys.put_key(&key).await.expect("the key is stored");
        assert_eq!(queue.key(&key.id).await.expect("reading works"), Some(key.clone()));
        assert!(matches!(keys.claim("w", Lane::Generation, 1).await, Err(Error::Unavailable(_))));
        drop(keys);
        assert!(!suite::beat(&*queue, &held).await.lost, "the held job was left alone");
        assert_eq!(suite::get(&*queue, &held.job.new.id).await.state, State::Running);

        drop(queue);
        let queue = suite::open(&folder).await;
        assert_eq!(queue.keys().await.expect("reading works"), [key]);
    });
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    suite::run(async {
        let folder = Folder::new();
        let queue = suite::open(&folder).await;
        suite::submit(&*queue, suite::new_job()).await;
        let files =
            std::fs::read_dir(folder.file().parent().expect("a folder")).expect("the folder is there");
        let mut count = 0;
        for file in files {
            let file = file.expect("an entry");
            let mode = file.metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
            count += 1;
        }
        assert_eq!(count, 4, "the file, its log, the log's index and the lock");
    });
}

/// The message of a file that cannot be opened, which must say that it is damaged.
fn damage(file: &Path) -> String {
    match Sqlite::open(file, suite::limits()) {
        Err(Error::Damaged(message)) => message,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("the file was opened"),
    }
}

#[test]
fn a_corrupt_file_is_told_and_left_alone() {
    suite::run(async {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.file().parent().expect("a folder")).expect("a folder");
        std::fs::write(folder.file(), "this is no database".repeat(100)).expect("the file is written");
        assert!(damage(&folder.file()).contains("queue.db"));

        std::fs::remove_file(folder.file()).expect("the file is removed");
        let queue = suite::open(&folder).await;
        for _ in 0..50 {
            suite::submit(&*queue, suite::new_job()).await;
        }
        drop(queue);
        let mut bytes = std::fs::read(folder.file()).expect("the file is read");
        // The header and the schema stay whole.
        let middle = bytes.len() / 2;
        bytes[8192..middle].fill(0x5a);
        std::fs::write(folder.file(), &bytes).expect("the file is written");
        let message = damage(&folder.file());
        assert!(message.contains("move the file away"), "{message}");
        assert!(std::fs::read(folder.file()).expect("the file is read") == bytes);
    });
}

#[test]
fn a_newer_or_strange_file_is_refused() {
    suite::run(async {
        let folder = Folder::new();
        drop(suite::open(&folder).await);
        let change = |sql: &str| {
            let db = rusqlite::Connection::open(folder.file()).expect("the file opens");
            db.execute_batch(sql).expect("the file is changed");
        };
        change("PRAGMA user_version = 99");
        let message = damage(&folder.file());
        assert!(message.contains("newer partita") && message.contains("99"), "{message}");
        change("PRAGMA user_version = 1; PRAGMA application_id = 7");
        let message = damage(&folder.file());
        assert!(message.contains("another program"), "{message}");
    });
}

#[test]
fn thousands_may_watch_idly() {
    suite::run(async {
        let folder = Folder::new();
        let queue = suite::open(&folder).await;
        let claim = suite::running(&*queue, suite::new_job()).await;
        let mut watchers = Vec::new();
        for _ in 0..2000 {
            let watcher = queue.subscribe(&claim.job.new.id, 0).await.expect("subscribing works");
            watchers.push(watcher.expect("the job is there"));
        }
        assert!(suite::finish(&*queue, &claim, suite::complete()).await);
        for mut watcher in watchers {
            assert_eq!(watcher.next().await.expect("an event").kind, EventKind::Queued);
            assert_eq!(watcher.next().await.expect("an event").kind, EventKind::Complete);
            assert!(watcher.next().await.is_none());
        }
    });
}
