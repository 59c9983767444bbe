//! A hub on this machine: speaks the layout and the headers of the real one over HTTP/1.1, with large files behind a
//! redirect to a second port, and goes wrong where it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use sha2::{Digest, Sha256};

/// What the branch `main` is.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How a request goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with these further headers (`A: b\r\n`) and no body.
    Status(u16, String),
    /// So many bytes of the body, then the connection is closed.
    Cut(usize),
    /// So many bytes of the body, then nothing until the client has gone.
    Stall(usize),
    /// Another content, of its own length.
    Instead(Vec<u8>),
    /// The whole file, although a part was asked for.
    NoRanges,
    /// The same, and cut after so many bytes.
    Again(usize),
    /// Another name for the content than it had before.
    Etag(&'static str),
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// Whether it came to the port to which large files are redirected.
    pub elsewhere: bool,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn file(&self) -> &str {
        let path = self.path.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

#[derive(Clone)]
struct Stored {
    bytes: Arc<Vec<u8>>,
    /// Behind a redirect, named by its SHA-256.
    large: bool,
    /// What `X-Linked-Size` says.
    says: u64,
}

struct Rule {
    method: &'static str,
    file: String,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct Inside {
    /// By `owner/model/file`.
    files: BTreeMap<String, Stored>,
    rules: Vec<Rule>,
    asked: Vec<Asked>,
    /// Addresses of the two ports.
    hub: String,
    elsewhere: String,
}

/// Lives as long as the test process.
#[derive(Clone)]
pub struct FakeHub {
    inside: Arc<Mutex<Inside>>,
    pub url: String,
}

/// Bytes that do not repeat, the same for the same `seed`.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl FakeHub {
    pub fn start() -> FakeHub {
        let inside = Arc::new(Mutex::new(Inside::default()));
        let open = |elsewhere: bool| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let url = format!("http://{}", listener.local_addr().expect("bound"));
            let inside = inside.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let inside = inside.clone();
                    std::thread::spawn(move || converse(&stream, &inside, elsewhere));
                }
            });
            url
        };
        let (hub, elsewhere) = (open(false), open(true));
        let mut all = lock(&inside);
        (all.hub, all.elsewhere) = (hub.clone(), elsewhere);
        drop(all);
        FakeHub { inside, url: hub }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        lock(&self.inside)
    }

    /// Puts a file at `owner/model/file`, and, as a plain server does, at this path.
    pub fn put(&self, path: &str, bytes: &[u8], large: bool) {
        let stored = Stored { bytes: Arc::new(bytes.to_vec()), large, says: bytes.len() as u64 };
        self.inside().files.insert(path.to_owned(), stored);
    }

    /// Has the hub promise another length for a file.
    pub fn promise(&self, path: &str, bytes: u64) {
        self.inside().files.get_mut(path).expect("put before").says = bytes;
    }

    /// The next `times` requests with `method` for a file go wrong; of a large file, those to the second port.
    pub fn fail(&self, method: &'static str, file: &str, times: usize, fault: Fault) {
        self.inside().rules.push(Rule { method, file: file.to_owned(), times, fault });
    }

    pub fn heal(&self) {
        self.inside().rules.clear();
    }

    /// What came since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inside().asked)
    }

    /// How often bytes of `file` were asked for since [`FakeHub::asked`].
    pub fn fetched(&self, file: &str) -> usize {
        let inside = self.inside();
        let large = inside.files.iter().any(|(path, stored)| path.ends_with(file) && stored.large);
        inside.asked.iter().filter(|a| a.method == "GET" && a.file() == file && a.elsewhere == large).count()
    }

    /// Puts a text model of one file of weights.
    pub fn put_small(&self, seed: u64, length: usize) -> Vec<u8> {
        let weights = noise(seed, length);
        self.put_common("musicgen-small", "musicgen");
        self.put("facebook/musicgen-small/model.safetensors", &weights, true);
        // What a downloader by endings would take along.
        self.put("facebook/musicgen-small/pytorch_model.bin", b"another copy", true);
        self.put("facebook/musicgen-small/state_dict.bin", b"the original's", true);
        weights
    }

    /// Puts a melody model of two files of weights with an index; the second is `shared`.
    pub fn put_melody(&self, seed: u64, shared: &[u8]) {
        let at = |file: &str| format!("facebook/musicgen-melody/{file}");
        self.put_common("musicgen-melody", "musicgen_melody");
        let parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
        let index = format!(r#"{{"metadata":{{}},"weight_map":{{"a":"{}","b":"{}"}}}}"#, parts[0], parts[1]);
        self.put(&at("model.safetensors.index.json"), index.as_bytes(), false);
        self.put(&at(parts[0]), &noise(seed, 40_000), true);
        self.put(&at(parts[1]), shared, true);
    }

    pub fn put_common(&self, model: &str, kind: &str) {
        let config = format!(r#"{{"model_type":"{kind}","name":"{model}"}}"#);
        let files: [(&str, &[u8]); 4] = [
            ("config.json", config.as_bytes()),
            ("generation_config.json", br#"{"guidance_scale":3.0}"#),
            ("preprocessor_config.json", br#"{"sampling_rate":32000}"#),
            ("tokenizer.json", br#"{"version":"1.0"}"#),
        ];
        for (file, bytes) in files {
            self.put(&format!("facebook/{model}/{file}"), bytes, false);
        }
    }
}

fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Answers the requests of one connection.
fn converse(stream: &TcpStream, inside: &Mutex<Inside>, elsewhere: bool) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader, elsewhere) {
        let reply = {
            let mut inside = lock(inside);
            inside.asked.push(asked.clone());
            reply(&mut inside, &asked)
        };
        let Reply { head, body, cut } = reply;
        let body: &[u8] = if asked.method == "HEAD" { &[] } else { &body };
        let (end, stall) = match cut {
            Some((end, stall)) => (end.min(body.len()), stall),
            None => (body.len(), false),
        };
        let mut writer = stream;
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body[..end])).is_err() {
            return;
        }
        if stall {
            // Ends when the client does.
            let _ = reader.read(&mut [0; 1]);
        }
        if cut.is_some() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

fn read(reader: &mut impl BufRead, elsewhere: bool) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => return Some(Asked { method, path, headers, elsewhere }),
        };
    }
}

struct Reply {
    head: String,
    body: Vec<u8>,
    /// Bytes after which the connection ends, and whether it waits for the client to end it.
    cut: Option<(usize, bool)>,
}

impl Reply {
    fn new(status: u16, headers: &str, body: Vec<u8>) -> Reply {
        let has_length = headers.to_lowercase().contains("content-length");
        let length = if has_length { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("HTTP/1.1 {status} Words\r\n{headers}{length}\r\n");
        Reply { head, body, cut: None }
    }
}

fn reply(inside: &mut Inside, asked: &Asked) -> Reply {
    let missing =
        || Reply::new(404, "X-Error-Code: EntryNotFound\r\nX-Error-Message: Entry not found\r\n", vec![]);
    let path = asked.path.split('?').next().unwrap_or_default();
    // A plain server of files.
    if let Some(stored) = inside.files.get(path.trim_start_matches('/')).cloned() {
        let fault = fault(&mut inside.rules, asked);
        return serve(&stored, &sha256(&stored.bytes), asked, fault);
    }
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let ["facebook", model, "resolve", revision, file] = parts[..] else { return missing() };
    if !["main", COMMIT].contains(&revision) {
        return Reply::new(404, "X-Error-Message: Invalid rev id\r\n", vec![]);
    }
    let Some(stored) = inside.files.get(&format!("facebook/{model}/{file}")).cloned() else {
        return missing();
    };
    let hash = sha256(&stored.bytes);
    if stored.large && !asked.elsewhere {
        let headers = format!(
            "Location: {}{path}?signature=secret\r\nX-Linked-ETag: \"{hash}\"\r\nX-Linked-Size: {}\r\nX-Repo-Commit: {COMMIT}\r\n",
            inside.elsewhere, stored.says
        );
        return Reply::new(302, &headers, b"elsewhere".to_vec());
    }
    let fault = fault(&mut inside.rules, asked);
    serve(&stored, &hash, asked, fault)
}

/// How this request is to go wrong.
fn fault(rules: &mut [Rule], asked: &Asked) -> Option<Fault> {
    let fits = |rule: &&mut Rule| {
        rule.times > 0 && rule.method == asked.method && asked.file().starts_with(rule.file.as_str())
    };
    rules.iter_mut().find(fits).map(|rule| {
        rule.times -= 1;
        rule.fault.clone()
    })
}

/// The bytes of a file, or the part that was asked for.
fn serve(stored: &Stored, hash: &str, asked: &Asked, fault: Option<Fault>) -> Reply {
    let mut etag =
        if stored.large { format!("\"elsewhere-{}\"", &hash[..8]) } else { format!("\"{}\"", &hash[..40]) };
    let mut cut = None;
    let mut ranges = true;
    let mut bytes = stored.bytes.as_slice();
    let mut instead = vec![];
    match fault {
        Some(Fault::Status(status, headers)) => return Reply::new(status, &headers, vec![]),
        Some(Fault::Cut(end)) => cut = Some((end, false)),
        Some(Fault::Stall(end)) => cut = Some((end, true)),
        Some(Fault::Instead(other)) => {
            instead = other;
            bytes = instead.as_slice();
        }
        Some(Fault::NoRanges) => ranges = false,
        Some(Fault::Again(end)) => (ranges, cut) = (false, Some((end, false))),
        Some(Fault::Etag(other)) => other.clone_into(&mut etag),
        None => {}
    }
    let start =
        asked.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let same = asked.header("if-range").is_none_or(|named| named == etag);
    let start: Option<usize> = start.filter(|_| same && ranges);
    let whole = bytes.len();
    let common = format!("ETag: {etag}\r\nX-Repo-Commit: {COMMIT}\r\nAccept-Ranges: bytes\r\n");
    let reply = match start {
        Some(start) if start >= whole => {
            Reply::new(416, &format!("{common}Content-Range: bytes */{whole}\r\n"), vec![])
        }
        Some(start) => {
            let range = format!("{common}Content-Range: bytes {start}-{}/{whole}\r\n", whole - 1);
            Reply::new(206, &range, bytes[start..].to_vec())
        }
        None => Reply::new(200, &common, bytes.to_vec()),
    };
    drop(instead);
    Reply { cut, ..reply }
}
