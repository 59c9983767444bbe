//! From made music to files with names and an outcome that lists them.

use std::time::Duration;

use tokio::runtime::Handle;

use super::perform::{Task, stopped};
use crate::engine::rfc3339;
use crate::family::{JSONL_NAME, Made, MadeFile, jsonl};
use crate::{Artifact, Artifacts, Code, Fault, File, Outcome};

/// Writes the files of a job and lists them in the outcome. Their names come from the job's nonce and the fence of its
/// lease: a worker that lost the lease and does not know it yet writes files of its own, which nobody is told of and
/// which expire.
///
/// A full disk or a store that cannot be reached does not cost finished work: it tries again until the job is told
/// to stop.
///
/// # Errors
/// `Cancelled` when told to stop, `Internal`.
pub(super) fn save(task: &Task, made: Made, runtime: &Handle) -> Result<Outcome, Fault> {
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
        list(&mut outcome, &file, entry(artifact));
    }
    Ok(outcome)
}

async fn put(task: &Task, id: &str, file: &MadeFile, keep: Duration) -> Result<Artifact, Fault> {
    let Task { core, job, control, .. } = task;
    let mut pause = Duration::from_millis(50);
    loop {
        if control.is_stopped() {
            return Err(stopped());
        }
        let bytes = file.bytes.clone();
        let put = core.artifacts.put(id, &file.name, &file.media_type, job.new.id.as_str(), keep, bytes);
        match put.await {
            Err(fault) if matches!(fault.code, Code::NoSpace | Code::Unavailable) => {
                tracing::warn!(task = %job.new.id, error = %fault, "a file cannot be stored, trying again");
                tokio::select! {
                    () = control.stopped() => {}
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            result => return result,
        }
    }
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
    use super::*;
    use crate::{Item, Take};

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
