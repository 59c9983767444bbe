//! A real redis-server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use partita_queue::Limits;
use partita_queue::redis::Redis;
use tempfile::TempDir;

/// A redis-server of its own on a socket in a folder of its own; both go when it is dropped.
pub struct Server {
    folder: TempDir,
    options: Vec<&'static str>,
    child: Child,
}

impl Server {
    pub fn start(options: &[&'static str]) -> Server {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let child = spawn(&folder, options);
        let server = Server { folder, options: options.to_vec(), child };
        server.wait();
        server
    }

    /// Without a file: what is in it goes with it.
    pub fn in_memory() -> Server {
        Server::start(&["--appendonly", "no"])
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server ends");
    }

    pub fn restart(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        self.child = spawn(&self.folder, &self.options);
        self.wait();
    }

    /// `STOP` and `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill is installed");
        assert!(status.success());
    }

    pub fn client(&self) -> redis::Client {
        redis::Client::open(self.url()).expect("the URL is one")
    }

    pub async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection =
            self.client().get_multiplexed_async_connection().await.expect("the server answers");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.expect("the server answers")
    }

    pub async fn open(&self, limits: Limits) -> Arc<Redis> {
        Arc::new(Redis::connect(&self.url(), "partita", limits).await.expect("the server answers"))
    }

    fn wait(&self) {
        let started = Instant::now();
        loop {
            let answer = self
                .client()
                .get_connection_with_timeout(Duration::from_secs(1))
                .and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection));
            // Until it has read its file it answers with another error.
            if answer.as_ref().map_or_else(|error| error.code() == Some("NOAUTH"), |_| true) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn spawn(folder: &TempDir, options: &[&str]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(folder.path().join("s"));
    command.arg("--dir").arg(folder.path()).args(options);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("install redis-server: {error}"))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One server while any test uses it. Statics are never dropped, so the last user ends it.
pub fn shared() -> Arc<Server> {
    static SERVER: OnceLock<Mutex<Weak<Server>>> = OnceLock::new();
    let mut slot = SERVER.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    slot.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::in_memory());
        *slot = Arc::downgrade(&server);
        server
    })
}
