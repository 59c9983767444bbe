//! From made music to files with names and an outcome that lists them.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::control::Control;
use super::perform::{Task, stopped};
use crate::engine::rfc3339;
use crate::family::{JSONL_NAME, Made, MadeFile, jsonl};
use crate::{Artifact, Artifacts, Code, Fault, File, Outcome};

/// How long one try of a job waits for space. Five tries, as many as usual, and the waits between them last longer than
/// it is from one clean-up to the next.
pub(super) const SPACE: Duration = Duration::from_secs(10);

/// Writes the files of a job and lists them in the outcome. Their names come from the job's nonce and the fence of its
/// lease: a worker that lost the lease and does not know it yet writes files of its own, which nobody is told of and
/// which expire.
///
/// A store that cannot be reached does not cost finished work: it tries again until the job is told to stop. It does
/// so for [`SPACE`] on a full disk; then another try of the job, later, may find room.
///
/// # Errors
/// `Cancelled` when told to stop, `NoSpace`, `Internal`; none of its files is left then.
pub(super) fn save(task: &Task, made: Made, runtime: &Handle) -> Result<(Outcome, Vec<String>), Fault> {
    let mut stored = vec![];
    let saved = save_all(task, made, &mut stored, runtime);
    if saved.is_err() {
        runtime.block_on(forget(&task.core.artifacts, &stored));
    }
    Ok((saved?, stored))
}

/// Removes files that nobody has been told of. Those it cannot remove expire.
pub(super) async fn forget(artifacts: &Artifacts, ids: &[String]) {
    for id in ids {
        if let Err(error) = artifacts.remove(id).await {
            tracing::debug!(%error, "a file stays until it expires");
        }
    }
}

/// `stored`: gets the ids of the files.
fn save_all(task: &Task, made: Made, stored: &mut Vec<String>, runtime: &Handle) -> Result<Outcome, Fault> {
    let keep = Duration::try_from_secs_f64(task.config.retention.files).unwrap_or(Duration::MAX);
    let mut outcome = made.outcome;
    for (index, mut file) in made.files.into_iter().enumerate() {
        let id = Artifacts::id(&task.job.new.nonce, task.fence, index);
        if file.item.is_none() && file.name == JSONL_NAME {
            // The last of a batch: by now its items know their files.
            file.bytes = jsonl(&outcome.items);
        }
        let put = put(task, &id, &file, keep);
        let artifact = runtime.block_on(put)?;
        stored.push(id);
        list(&mut outcome, &file, entry(artifact));
    }
    Ok(outcome)
}

async fn put(task: &Task, id: &str, file: &MadeFile, keep: Duration) -> Result<Artifact, Fault> {
    let Task { core, job, control, .. } = task;
    let put = || {
        let bytes = file.bytes.clone();
        core.artifacts.put(id, &file.name, &file.media_type, job.new.id.as_str(), keep, bytes)
    };
    keep_trying(put, control, SPACE, |fault| {
        tracing::warn!(task = %job.new.id, error = %fault, "a file cannot be stored, trying again");
    })
    .await
}

/// Stores something, as often as it takes while there is hope. `space`: how long a full disk may stay full.
///
/// # Errors
/// `Cancelled` when told to stop, `NoSpace`, and those of `store` that no second call could change.
async fn keep_trying<T, F: Future<Output = Result<T, Fault>>>(
    store: impl Fn() -> F,
    control: &Control,
    space: Duration,
    failed: impl Fn(&Fault),
) -> Result<T, Fault> {
    let mut pause = Duration::from_millis(50);
    let mut full: Option<Instant> = None;
    loop {
        if control.is_stopped() {
            return Err(stopped());
        }
        let fault = match store().await {
            Err(fault) if matches!(fault.code, Code::NoSpace | Code::Unavailable) => fault,
            result => return result,
        };
        if fault.code == Code::NoSpace && full.get_or_insert_with(Instant::now).elapsed() >= space {
            return Err(no_space(&fault));
        }
        failed(&fault);
        tokio::select! {
            () = control.stopped() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// What a job fails with whose result finds no room.
pub(super) fn no_space(why: &dyn std::fmt::Display) -> Fault {
    Fault::new(Code::NoSpace, format_args!("the result could not be stored: {why}"))
}

/// As a task shows it.
fn entry(artifact: Artifact) -> File {
    File {
        url: format!("/api/v1/download/{}", artifact.id),
        file_id: artifact.id,
        name: artifact.name,
        media_type: artifact.media_type,
        bytes: artifact.bytes,
        sha256: artifact.sha256,
        expires_at: rfc3339(artifact.expires_at),
    }
}

/// Puts a file where its item and take say; `files` of an outcome are those of its first take and of no take.
fn list(outcome: &mut Outcome, made: &MadeFile, file: File) {
    let outcome = match made.item {
        None => outcome,
        Some(index) => {
            let item = outcome.items.iter_mut().find(|item| item.index == index);
            match item.and_then(|item| item.result.as_deref_mut()) {
                Some(outcome) => outcome,
                // A file of an item without a result belongs to the task.
                None => return outcome.files.push(file),
            }
        }
    };
    if made.take.is_none_or(|take| take == 0) {
        outcome.files.push(file.clone());
    }
    if let Some(take) = made.take.and_then(|take| outcome.takes.get_mut(take)) {
        take.files.push(file);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::worker::control::Why;
    use crate::{Item, Take};

    #[tokio::test]
    async fn a_full_disk_is_waited_for_and_then_told_of() {
        let control = Control::default();
        let left = Cell::new(3);
        let store = || {
            left.set(left.get() - 1);
            let full = left.get() > 0;
            async move { if full { Err(Fault::new(Code::NoSpace, "no space left for files")) } else { Ok(7) } }
        };
        assert_eq!(keep_trying(store, &control, SPACE, |_| {}).await, Ok(7));
        let (tries, began) = (Cell::new(0), Instant::now());
        let store = || async { Err::<(), _>(Fault::new(Code::NoSpace, "no space left for files")) };
        let space = Duration::from_millis(400);
        let fault = keep_trying(store, &control, space, |_| tries.set(tries.get() + 1)).await;
        let fault = fault.expect_err("it stays full");
        assert_eq!(fault.code, Code::NoSpace);
        assert_eq!(fault.message, "the result could not be stored: no space left for files");
        // After 0, 50, 150 and 350 ms; later on a busy machine.
        assert!(began.elapsed() >= space && (1..=4).contains(&tries.get()), "{tries:?}");
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_waited_for_until_the_job_is_told_to_stop() {
        let (control, tries) = (Control::default(), Cell::new(0));
        let store = || async { Err::<(), _>(Fault::new(Code::Unavailable, "away")) };
        let failed = |_: &Fault| {
            tries.set(tries.get() + 1);
            if tries.get() == 3 {
                control.stop(Why::Deadline);
            }
        };
        let fault = keep_trying(store, &control, Duration::ZERO, failed).await.expect_err("it stays away");
        assert_eq!((fault.code, tries.get()), (Code::Cancelled, 3));
    }

    #[test]
    fn a_file_is_listed_where_it_belongs() {
        let file = |name: &str| File {
            file_id: name.into(),
            name: name.into(),
            media_type: String::new(),
            bytes: 0,
            sha256: String::new(),
            url: String::new(),
            expires_at: String::new(),
        };
        let made = |item, take| MadeFile {
            take,
            item,
            name: String::new(),
            media_type: String::new(),
            bytes: vec![],
        };
        let takes = || vec![Take::default(), Take { variation: 1, ..Take::default() }];
        let inner = Outcome { takes: takes(), ..Outcome::default() };
        let item = Item {
            index: 3,
            custom_id: None,
            status: "complete".into(),
            result: Some(Box::new(inner)),
            error: None,
        };
        let mut outcome = Outcome { takes: takes(), items: vec![item], ..Outcome::default() };
        for (item, take, name) in [
            (None, Some(0), "a"),
            (None, Some(1), "b"),
            (None, None, "c"),
            (Some(3), Some(1), "d"),
            (Some(3), Some(0), "e"),
            (Some(9), Some(0), "f"),
        ] {
            list(&mut outcome, &made(item, take), file(name));
        }
        let names = |files: &[File]| files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&outcome.files), ["a", "c", "f"]);
        assert_eq!(names(&outcome.takes[0].files), ["a"]);
        assert_eq!(names(&outcome.takes[1].files), ["b"]);
        let inner = outcome.items[0].result.as_deref().expect("a result");
        assert_eq!((names(&inner.files), names(&inner.takes[1].files)), (vec!["e".into()], vec!["d".into()]));
    }
}
