//! A server, workers and Redis as processes of their own, and a client to call them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::blocking::{RequestBuilder, Response};
use serde_json::{Value, json};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A child process that does not outlive the test.
pub struct Process(Child);

impl Process {
    /// SIGKILL, and gone.
    pub fn kill(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }

    /// SIGTERM; the exit code, or -1 for a signal.
    pub fn terminate(&mut self) -> i32 {
        self.signal("-TERM");
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait().expect("our child") {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the process did not end after SIGTERM");
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("our child").is_some()
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.0.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn partita(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_partita"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env_remove("PARTITA_CONFIG").env_remove("PARTITA_MODEL");
    command
}

/// What a process has written to stderr so far.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Reads on, or the pipe would fill up and the process would wait.
    fn follow(lines: impl Iterator<Item = std::io::Result<String>> + Send + 'static) -> Log {
        let log = Log::default();
        let kept = log.clone();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.0.lock().expect("no panic").push(line));
        });
        log
    }

    pub fn text(&self) -> String {
        self.0.lock().expect("no panic").join("\n")
    }

    /// Waits for a line with `words`.
    pub fn says(&self, words: &str) -> String {
        let start = Instant::now();
        loop {
            let line = self.0.lock().expect("no panic").iter().find(|line| line.contains(words)).cloned();
            if let Some(line) = line {
                return line;
            }
            assert!(start.elapsed() < PATIENCE, "{words:?} is never said in\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A running `partita serve`.
pub struct Server {
    pub process: Process,
    pub url: String,
    pub log: Log,
}

impl Server {
    /// Starts one on a free port.
    pub fn start(data: &Path, more: &[&str]) -> Server {
        Server::start_in(data, more, &[])
    }

    /// As [`Server::start`], with variables of the environment.
    pub fn start_in(data: &Path, more: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = partita(&Server::arguments(data, more));
        command.envs(environment.iter().copied());
        Server::spawn(command)
    }

    /// As [`Server::start`], from a shell that has run `first`.
    pub fn start_after(first: &str, data: &Path, more: &[&str]) -> Server {
        let plain = partita(&Server::arguments(data, more));
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{first}\nexec \"$0\" \"$@\""));
        command.arg(plain.get_program()).args(plain.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.env_remove("PARTITA_CONFIG").env_remove("PARTITA_MODEL");
        Server::spawn(command)
    }

    fn arguments<'a>(data: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
        let data = data.to_str().expect("a plain path");
        let first = ["serve", "--port", "0", "--data-dir", data, "--set", "log.level=warn"];
        [&first[..], more].concat()
    }

    fn spawn(mut command: Command) -> Server {
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = Vec::new();
        let url = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("the server did not start: {}", said.join("\n"));
            };
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.trim().to_owned();
            }
            said.push(line);
        };
        Server { process: Process(child), url, log: Log::follow(lines) }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.url)
    }
}

/// Starts `partita worker`.
pub fn worker(data: &Path, more: &[&str]) -> Process {
    worker_in(data, more, &[])
}

/// As [`worker`], with variables of the environment.
pub fn worker_in(data: &Path, more: &[&str], environment: &[(&str, &str)]) -> Process {
    let data = data.to_str().expect("a plain path");
    let mut arguments = vec!["worker", "--data-dir", data, "--set", "log.level=warn"];
    arguments.extend(more);
    let child = partita(&arguments).envs(environment.iter().copied()).spawn();
    let mut child = child.expect("the program starts");
    Log::follow(BufReader::new(child.stderr.take().expect("piped")).lines());
    Process(child)
}

/// A real Redis on a socket in `folder`, with every write on disk before it is answered.
pub struct Redis {
    pub process: Process,
    pub url: String,
}

impl Redis {
    pub fn start(folder: &Path) -> Redis {
        Redis::start_with(folder, &[]).expect("redis-server runs")
    }

    /// As [`Redis::start`], with more options; `None` if it ends at once, as one does whose port is taken.
    pub fn start_with(folder: &Path, options: &[&str]) -> Option<Redis> {
        let socket = folder.join("redis.sock");
        drop(std::fs::remove_file(&socket));
        let child = Command::new("redis-server")
            .args(["--port", "0", "--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .args(["--unixsocket", socket.to_str().expect("a plain path")])
            .args(options)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is needed: `apt-get install redis-server`");
        let mut process = Process(child);
        let start = Instant::now();
        // The socket is the last place it listens at.
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if process.has_ended() {
                return None;
            }
            assert!(start.elapsed() < PATIENCE, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Redis { process, url: format!("redis+unix://{}", socket.display()) })
    }

    /// What `redis-cli` says to a command.
    pub fn command(&self, arguments: &[&str]) -> String {
        let socket = self.url.trim_start_matches("redis+unix://");
        let said = Command::new("redis-cli").args(["-s", socket]).args(arguments).output();
        let said = said.expect("redis-cli is needed: `apt-get install redis-server`");
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).expect("text").trim_end().to_owned()
    }
}

fn read(response: Response) -> Answer {
    let status = response.status().as_u16();
    Ok((status, serde_json::from_slice(&response.bytes()?).unwrap_or_default()))
}

/// Calls a server.
#[derive(Clone)]
pub struct Client {
    pub url: String,
    key: String,
    http: reqwest::blocking::Client,
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub id: u64,
    pub name: String,
    pub data: Value,
}

/// Status and body.
pub type Answer = Result<(u16, Value), reqwest::Error>;

impl Client {
    /// The files of a task that is done, each as long as the task says.
    pub fn files(&self, task: &Value) -> Vec<Vec<u8>> {
        let files = task["result"]["files"].as_array().expect("files");
        assert!(!files.is_empty(), "{task}");
        let read = |file: &Value| {
            let (status, bytes) = self.bytes(file["url"].as_str().expect("a URL")).expect("an answer");
            assert_eq!((status, Some(bytes.len() as u64)), (200, file["bytes"].as_u64()), "{file}");
            bytes
        };
        files.iter().map(read).collect()
    }

    pub fn new(url: &str) -> Client {
        partita_server::serve::install_crypto();
        let http = reqwest::blocking::Client::builder().timeout(Duration::from_secs(30)).build();
        Client { url: url.to_owned(), key: String::new(), http: http.expect("a client") }
    }

    /// The same client for a server elsewhere.
    pub fn at(&self, url: &str) -> Client {
        Client { url: url.to_owned(), ..self.clone() }
    }

    /// The same client with an API key; none if empty.
    pub fn with_key(&self, key: &str) -> Client {
        Client { key: key.to_owned(), ..self.clone() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        if self.key.is_empty() { request } else { request.bearer_auth(&self.key) }
    }

    pub fn response(&self, path: &str) -> Result<Response, reqwest::Error> {
        self.request(Method::GET, path).send()
    }

    /// Posts with headers.
    pub fn posted(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Response, reqwest::Error> {
        let request = self.request(Method::POST, path).json(body);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send()
    }

    pub fn get(&self, path: &str) -> Answer {
        read(self.response(path)?)
    }

    pub fn post(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        read(self.posted(path, body, headers)?)
    }

    pub fn delete(&self, path: &str) -> Answer {
        read(self.request(Method::DELETE, path).send()?)
    }

    pub fn bytes(&self, path: &str) -> Result<(u16, Vec<u8>), reqwest::Error> {
        let response = self.response(path)?;
        Ok((response.status().as_u16(), response.bytes()?.to_vec()))
    }

    /// Has a task made; returns its id.
    pub fn submit(&self, body: &Value) -> String {
        let (status, task) =
            self.post("/api/v1/generate", body, &[("Prefer", "respond-async")]).expect("an answer");
        assert_eq!(status, 202, "{task}");
        task["id"].as_str().expect("a task has an id").to_owned()
    }

    /// The task as soon as it is so.
    pub fn until(&self, id: &str, so: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.get(&format!("/api/v1/tasks/{id}"));
            match answer {
                Ok((200, task)) if so(&task) => return task,
                other => assert!(start.elapsed() < PATIENCE, "task {id} does not get there: {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The task when it has ended.
    pub fn finished(&self, id: &str) -> Value {
        self.until(id, |task| task["done"] == json!(true))
    }

    /// Events of a task after `after`, as they come; the receiver sees the end of the stream.
    pub fn watch(&self, id: &str, after: u64) -> mpsc::Receiver<Event> {
        let http = reqwest::blocking::Client::builder().timeout(None).build().expect("a client");
        let request = http
            .get(format!("{}/api/v1/tasks/{id}/events", self.url))
            .header("Last-Event-ID", after.to_string());
        let response = request.send().expect("an answer");
        assert_eq!(response.status(), 200);
        let (sender, events) = mpsc::channel();
        std::thread::spawn(move || {
            let mut event = Event::default();
            for line in BufReader::new(response).lines().map_while(Result::ok) {
                match line.split_once(": ").or_else(|| line.split_once(':')) {
                    Some(("id", id)) => event.id = id.parse().expect("a number"),
                    Some(("event", name)) => event.name = name.to_owned(),
                    Some(("data", data)) => event.data = serde_json::from_str(data).expect("JSON"),
                    _ if line.is_empty() && !event.name.is_empty() => {
                        let sent = sender.send(std::mem::take(&mut event));
                        if sent.is_err() {
                            return;
                        }
                    }
                    _ => {}
                }
            }
        });
        events
    }
}
