//! The one configuration: defaults in code, then a YAML file, the environment, and flags; checked before anything runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

mod check;
#[cfg(feature = "redis")]
mod connect;
mod environment;
mod keys;
mod live;
mod load;
mod place;
mod redact;
mod rule;
mod yaml;

pub use live::{Live, Reloaded};
pub use load::{Invalid, Sources, load};
pub(crate) use redact::hide;
pub use redact::redacted;
pub(crate) use rule::is_name;

/// Everything that can be set. `config/partita.yaml` shows each key with its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub storage: Storage,
    pub queue: Queue,
    pub lanes: Lanes,
    pub models: Models,
    /// Named sampling settings a request can choose with `profile`; a file adds to the built-in ones.
    pub profiles: Profiles,
    pub cache: Cache,
    pub retention: Retention,
    pub auth: Auth,
    pub limits: Limits,
    pub webhooks: Webhooks,
    pub log: Log,
}

/// Where and how to listen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address to listen on. Restart.
    pub host: String,
    /// TCP port, 0..=65535; 0 for any free one. Restart.
    pub port: u16,
    /// Listen on a public address without API keys; once a key was made, it is asked for. Restart.
    pub insecure: bool,
    /// Names a `Host` header may have besides `host`, `localhost` and IP addresses of this machine; `*` for any.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may call the API; none if empty, `*` for any.
    pub cors_origins: Vec<String>,
    /// Seconds a request waits for its result before it gets a task to poll, 0..=60.
    pub sync_wait: f64,
    /// Largest JSON body, MiB, 1..=1024.
    pub max_body_mb: u64,
    /// Largest uploaded file, MiB, 1..=1024.
    pub max_upload_mb: u64,
    /// Seconds a client may take to send its headers, 0.1..=3600. Restart.
    pub header_timeout: f64,
    /// Seconds a client may take to send its body, 0.1..=3600.
    pub body_timeout: f64,
    /// Connections at once, 1..=1000000. Restart.
    pub max_connections: usize,
    /// Seconds that running tasks get to finish after SIGTERM before they go back to the queue,
    /// 0..=3600.
    pub drain: f64,
}

/// Where things are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Folder for the task store, files and keys; the system's place for data if empty. Restart.
    pub data_dir: PathBuf,
    /// Where files of results go: a folder, or `s3://bucket/prefix` with feature `cloud`; `data_dir/files` if empty.
    /// Restart.
    pub files: String,
    /// New tasks are refused when less than this is free under `data_dir`, MiB, 0..=1000000000.
    pub min_free_mb: u64,
}

/// Where tasks wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// `sqlite` (a file in `data_dir`), `:memory:`, or `redis://[:password@]host:port/db`; `rediss://` for TLS. Restart.
    pub url: String,
    /// File with PEM certificates that `rediss://` trusts; those of the system if empty. Restart.
    pub ca: PathBuf,
    /// What all names in Redis begin with: 1 to 64 letters, digits, `.`, `_`, `-` or `:`. Restart.
    pub prefix: String,
    /// Seconds without a heartbeat after which a task is given to another worker, 5..=3600.
    pub visibility: f64,
    /// Times a task is tried before it is parked, 1..=100.
    pub max_attempts: u32,
    /// Seconds a task may take from its submission, if it does not say, 0.1..=604800.
    pub timeout: f64,
    /// Seconds an idempotency key is remembered, 1..=31536000.
    pub idempotency: f64,
    /// Events kept for each task, 16..=100000.
    pub events: usize,
}

/// One lane for each kind of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lanes {
    /// Rendering and analysing.
    pub midi: Lane,
    /// Models; tasks at work share their steps.
    pub generation: Lane,
    /// Large batches.
    pub heavy: Lane,
    /// Models that make sound; tasks at work share their steps.
    pub audio: Lane,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lane {
    /// Tasks at work at once, 0..=256; 0 leaves the lane to other machines.
    pub workers: usize,
    /// Tasks that may wait, 0..=1000000.
    pub max_queued: usize,
}

/// Which models there are and how many stay in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// Folder whose subfolders `name` or `name@version` hold `model.json` and `model.safetensors`; `data_dir/models` if
    /// empty.
    pub dir: PathBuf,
    /// Models in memory at once, 1..=1000.
    pub max_loaded: usize,
    /// Memory for models, MiB, 1..=16777216.
    pub memory_mb: u64,
    /// Seconds without a request after which a model is unloaded, 0..=31536000; 0 for never.
    pub idle: f64,
    /// Models to load at the start.
    pub warm: Vec<String>,
    /// Weights in memory: `int8`, `q4` or `f32`.
    pub precision: String,
    /// Whether a model of the catalogue that is asked for and not installed is fetched at once, and its licence
    /// accepted. For commands and single calls; a server's tasks never wait for a download.
    pub auto_pull: bool,
    /// Other names for models; several targets share requests by weight. A target may be an alias itself.
    pub aliases: BTreeMap<String, Vec<Target>>,
}

/// One model behind an alias.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// A name, an alias or `name@version`.
    pub model: String,
    /// Share of the requests, relative to the other targets, (0, 1000000]; 1 if left out.
    pub weight: Option<f64>,
}

/// Sampling settings by name.
pub type Profiles = BTreeMap<String, Profile>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// (0, 4]; 1 leaves the model's probabilities as they are.
    pub temperature: Option<f64>,
    /// Only the k likeliest tokens, 0..=100000; 0 for all.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together reach this probability, (0, 1].
    pub top_p: Option<f64>,
}

impl Profile {
    /// From the lines of a YAML file: `temperature: 1.2`, `top_k: 40`, `top_p: 0.9`, any of them.
    ///
    /// # Errors
    /// What is no YAML, an unknown name, a value out of its range; in words.
    pub fn from_yaml(text: &str) -> Result<Profile, String> {
        let profile: Profile = serde_saphyr::from_str(text)
            .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?;
        let above =
            |name: &str, most: f64, value: Option<f64>| match value.filter(|v| !(*v > 0.0 && *v <= most)) {
                Some(got) => Err(format!("{name} must be in (0, {most}], got {got}")),
                None => Ok(()),
            };
        above("temperature", 4.0, profile.temperature)?;
        above("top_p", 1.0, profile.top_p)?;
        match profile.top_k.filter(|k| *k > 100_000) {
            Some(got) => Err(format!("top_k must be in 0..=100000, got {got}")),
            None => Ok(profile),
        }
    }
}

/// Results of earlier requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// `memory`, `disk` (files in `data_dir/cache`, kept over a restart), `redis` (where the queue is) or `off`. Restart.
    pub store: String,
    /// MiB of results kept, 1..=1048576. The least recently used go first; in Redis the oldest.
    pub max_mb: u64,
    /// How many results are kept in memory or on disk, 1..=1000000000.
    pub max_entries: u64,
    /// Seconds a result is kept, 0.1..=31536000.
    pub ttl: f64,
}

/// How long things are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Seconds a task is kept after its end, 1..=315360000.
    pub tasks: f64,
    /// Seconds a file is kept, 1..=315360000.
    pub files: f64,
    /// Seconds between clean-ups, 0.1..=86400.
    pub interval: f64,
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// `auto`: keys are asked for unless the address is loopback and no key was ever made; `always`; `never`: only on
    /// loopback or with `server.insecure`. Restart.
    pub keys: String,
}

/// How much one caller may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Tasks an hour for each key, 0..=1000000000; 0 for no limit. A key may have its own. Each request of a batch counts.
    pub tasks_per_hour: u32,
    /// Tasks a minute for each address without a key, 0..=1000000000; 0 for no limit. Each request of a batch counts.
    pub tasks_per_minute_per_address: u32,
    /// Tasks of one key that may wait or run at once, 0..=1000000; 0 for no limit.
    pub concurrent_per_key: usize,
    /// When Redis cannot count: let calls pass (`open`) or refuse them (`closed`).
    pub on_failure: String,
    /// Event streams at once, SSE and WebSocket together, 0..=1000000. Restart.
    pub max_streams: usize,
    /// Requests of one batch, 1..=10000.
    pub max_batch: usize,
}

/// Calls that tell of the end of tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// `whsec_` and base64 of 24 to 64 bytes; signs calls that bring no secret of their own. Kept out of every log and answer.
    pub secret: String,
    /// Private networks that may be called, as in `10.1.0.0/16`.
    pub allow_private: Vec<String>,
    /// Seconds one call may take, 0.1..=300.
    pub timeout: f64,
    /// Calls tried before giving up, 1..=100.
    pub max_attempts: u32,
}

/// What is written to stderr.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `pretty` or `json`. Restart.
    pub format: String,
    /// As in `info` or `info,partita_engine=debug`. Restart.
    pub level: String,
    /// File with a line for every task: who, what, when; none if empty.
    pub audit: PathBuf,
    /// Requests too in the audit file, prompts included.
    pub audit_requests: bool,
    /// OTLP endpoint for traces, as in `http://localhost:4318`, with feature `otel`; none if empty. Restart.
    pub otlp: String,
}

impl Default for Config {
    fn default() -> Config {
        let profile = |temperature, top_p| Profile {
            temperature: Some(temperature),
            top_k: Some(0),
            top_p: Some(top_p),
        };
        let profiles = [
            ("creative", profile(1.1, 0.98)),
            ("balanced", profile(0.9, 0.95)),
            ("conservative", profile(0.7, 0.85)),
        ];
        Config {
            server: Server::default(),
            storage: Storage::default(),
            queue: Queue::default(),
            lanes: Lanes::default(),
            models: Models::default(),
            profiles: profiles.map(|(name, profile)| (name.to_owned(), profile)).into(),
            cache: Cache::default(),
            retention: Retention::default(),
            auth: Auth::default(),
            limits: Limits::default(),
            webhooks: Webhooks::default(),
            log: Log::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Server {
        Server {
            host: "127.0.0.1".into(),
            port: 8000,
            insecure: false,
            allowed_hosts: vec![],
            cors_origins: vec![],
            sync_wait: 10.0,
            max_body_mb: 16,
            max_upload_mb: 10,
            header_timeout: 10.0,
            body_timeout: 30.0,
            max_connections: 4096,
            drain: 30.0,
        }
    }
}

impl Default for Storage {
    fn default() -> Storage {
        Storage { data_dir: PathBuf::new(), files: String::new(), min_free_mb: 64 }
    }
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            url: "sqlite".into(),
            ca: PathBuf::new(),
            prefix: "partita".into(),
            visibility: 30.0,
            max_attempts: 5,
            timeout: 3600.0,
            idempotency: 86_400.0,
            events: 1024,
        }
    }
}

impl Default for Lanes {
    fn default() -> Lanes {
        Lanes {
            midi: Lane { workers: 2, max_queued: 1000 },
            generation: Lane { workers: 32, max_queued: 1000 },
            heavy: Lane { workers: 1, max_queued: 100 },
            audio: Lane { workers: 4, max_queued: 100 },
        }
    }
}

impl Default for Models {
    fn default() -> Models {
        Models {
            dir: PathBuf::new(),
            max_loaded: 4,
            memory_mb: 4096,
            idle: 1800.0,
            warm: vec!["drums".into()],
            precision: "int8".into(),
            auto_pull: false,
            aliases: BTreeMap::new(),
        }
    }
}

impl Default for Cache {
    fn default() -> Cache {
        Cache { store: "memory".into(), max_mb: 64, max_entries: 100_000, ttl: 3600.0 }
    }
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { tasks: 7.0 * 86_400.0, files: 86_400.0, interval: 60.0 }
    }
}

impl Default for Auth {
    fn default() -> Auth {
        Auth { keys: "auto".into() }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            tasks_per_hour: 0,
            tasks_per_minute_per_address: 0,
            concurrent_per_key: 0,
            on_failure: "open".into(),
            max_streams: 2048,
            max_batch: 1000,
        }
    }
}

impl Default for Webhooks {
    fn default() -> Webhooks {
        Webhooks { secret: String::new(), allow_private: vec![], timeout: 10.0, max_attempts: 8 }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            format: "pretty".into(),
            level: "info".into(),
            audit: PathBuf::new(),
            audit_requests: false,
            otlp: String::new(),
        }
    }
}
