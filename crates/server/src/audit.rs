//! Who had what made, and when: one JSON line for each task, each refusal, cancelling and act of an administrator, in a
//! file of its own.
//!
//! A thread writes, so that a slow disk holds up nobody; what it cannot keep up with is counted and told.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use partita_engine::Live;
use partita_queue::Job;
use serde::Serialize;
use serde_json::Value;

use crate::wire::time::rfc3339;

/// Lines that may wait for the disk.
const WAITING: usize = 8192;

/// Writes the audit file that the configuration names; its lines go where it says at the time.
pub struct Audit {
    live: Arc<Live>,
    writer: SyncSender<Message>,
    lost: AtomicU64,
}

enum Message {
    Line(PathBuf, Vec<u8>),
    Reopen,
    Flush(SyncSender<()>),
}

/// Something other than a new task.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// `refused` or `action`
    pub kind: &'a str,
    pub request_id: &'a str,
    /// Method and path, without its query: `DELETE /api/v1/tasks/tsk_...`
    pub what: &'a str,
    pub status: u16,
}

#[derive(Serialize)]
struct ActLine<'a> {
    time: String,
    request_id: &'a str,
    key: Option<&'a str>,
    address: IpAddr,
    kind: &'a str,
    what: &'a str,
    status: u16,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    key: Option<&'a str>,
    address: IpAddr,
    kind: &'a str,
    model: &'a str,
    task: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Value>,
}

impl Audit {
    pub fn start(live: Arc<Live>) -> Audit {
        let (writer, messages) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("audit".into()).spawn(move || write(&messages));
        if let Err(error) = thread {
            tracing::error!(%error, "the audit file cannot be written");
        }
        Audit { live, writer, lost: AtomicU64::new(0) }
    }

    /// Writes that `job` was accepted and answered with `status`.
    pub fn task(&self, address: IpAddr, job: &Job, status: u16) {
        let config = self.live.get();
        if config.log.audit.as_os_str().is_empty() {
            return;
        }
        let line = Line {
            time: time(),
            request_id: &job.new.request_id,
            key: job.new.owner.as_deref(),
            address,
            kind: &job.new.kind,
            model: &job.new.model,
            task: job.new.id.as_str(),
            status,
            request: config.log.audit_requests.then(|| without_secrets(job.new.request.clone())),
        };
        self.line(&config.log.audit, &line);
    }

    /// Writes that the caller with `key` did or was refused `act`.
    pub fn act(&self, address: IpAddr, key: Option<&str>, act: Act<'_>) {
        let config = self.live.get();
        if config.log.audit.as_os_str().is_empty() {
            return;
        }
        let Act { kind, request_id, what, status } = act;
        let line = ActLine { time: time(), request_id, key, address, kind, what, status };
        self.line(&config.log.audit, &line);
    }

    fn line(&self, path: &Path, line: &impl Serialize) {
        let mut line = serde_json::to_vec(line).expect("plain data");
        line.push(b'\n');
        if self.writer.try_send(Message::Line(path.to_owned(), line)).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            // At 1, 2, 4, 8, ...: enough to be seen, too few to fill the log.
            if lost.is_power_of_two() {
                tracing::error!(lost, "lines of the audit file were lost: the disk is too slow");
            }
        }
    }

    /// Opens the file anew: after it was moved away.
    pub fn reopen(&self) {
        // Full means that lines wait; each checks the file's path, and the next signal comes.
        let _ = self.writer.try_send(Message::Reopen);
    }

    /// Waits until what was written so far is in the file, or for `most`. Blocks.
    pub fn flush(&self, most: Duration) {
        let (done, wait) = sync_channel(1);
        if self.writer.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(most);
        }
    }
}

fn time() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

/// The caller's own secret for its webhook is nobody's business.
fn without_secrets(mut request: Value) -> Value {
    if let Some(secret) = request.pointer_mut("/webhook/secret") {
        *secret = Value::from("***");
    }
    request
}

fn write(messages: &Receiver<Message>) {
    let mut open: Option<(PathBuf, File)> = None;
    let mut failing = false;
    for message in messages {
        match message {
            Message::Reopen => open = None,
            Message::Flush(done) => drop(done.send(())),
            Message::Line(path, line) => {
                let written = append(&mut open, &path, &line);
                if let Err(error) = &written
                    && !failing
                {
                    tracing::error!(%error, "the audit file cannot be written");
                }
                failing = written.is_err();
            }
        }
    }
}

fn append(open: &mut Option<(PathBuf, File)>, path: &Path, line: &[u8]) -> std::io::Result<()> {
    if open.as_ref().is_none_or(|(known, _)| known != path) {
        *open = Some((path.to_owned(), create(path)?));
    }
    let (_, file) = open.as_mut().expect("opened above");
    // One write a line, so that lines of two processes do not mix.
    file.write_all(line).inspect_err(|_| *open = None)
}

fn create(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use partita_engine::Config;
    use serde_json::json;

    use super::*;

    fn audit(path: &Path, requests: bool) -> Audit {
        let mut config = Config::default();
        config.log.audit = path.to_owned();
        config.log.audit_requests = requests;
        Audit::start(Arc::new(Live::fixed(config)))
    }

    fn job() -> Job {
        let mut job = crate::wire::task::tests::job();
        job.new.owner = Some("0123456789abcdef".into());
        job.new.request =
            json!({"prompt": "rain", "webhook": {"url": "https://example.com", "secret": "whsec_x"}});
        job
    }

    fn lines(audit: &Audit, path: &Path) -> Vec<Value> {
        audit.flush(Duration::from_secs(10));
        let text = std::fs::read_to_string(path).expect("the file");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    #[test]
    fn a_task_is_one_line_without_its_request() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("audit.jsonl");
        let audit = audit(&path, false);
        audit.task(IpAddr::from([192, 0, 2, 1]), &job(), 202);
        audit.task(IpAddr::from([192, 0, 2, 1]), &job(), 200);
        let lines = lines(&audit, &path);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["key"], "0123456789abcdef");
        assert_eq!(lines[0]["address"], "192.0.2.1");
        assert_eq!(lines[0]["status"], 202);
        assert_eq!(lines[0]["kind"], job().new.kind);
        assert!(lines[0]["task"].as_str().is_some_and(|task| task.starts_with("tsk_")));
        assert!(lines[0]["time"].as_str().is_some_and(|time| time.ends_with('Z')));
        assert!(lines[0].get("request").is_none());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).expect("the file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn requests_are_written_only_when_wanted_and_never_secrets() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("audit.jsonl");
        let audit = audit(&path, true);
        audit.task(IpAddr::from([192, 0, 2, 1]), &job(), 202);
        let lines = lines(&audit, &path);
        assert_eq!(lines[0]["request"]["prompt"], "rain");
        assert_eq!(lines[0]["request"]["webhook"]["secret"], "***");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, moved) = (dir.path().join("audit.jsonl"), dir.path().join("audit.jsonl.1"));
        let audit = audit(&path, false);
        audit.task(IpAddr::from([192, 0, 2, 1]), &job(), 202);
        assert_eq!(lines(&audit, &path).len(), 1);
        std::fs::rename(&path, &moved).expect("moved");
        audit.reopen();
        audit.task(IpAddr::from([192, 0, 2, 1]), &job(), 202);
        assert_eq!(lines(&audit, &path).len(), 1);
        assert_eq!(lines(&audit, &moved).len(), 1);
    }
}
