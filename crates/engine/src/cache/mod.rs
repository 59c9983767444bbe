//! Results of earlier requests, by a hash of everything that decides them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
#[cfg(feature = "redis")]
use partita_queue::redis::Redis;
use sha2::{Digest, Sha256};

use crate::family::Made;
use crate::{Code, Config, Fault};

mod frame;

/// A cache of results: in memory, or in Redis for many machines.
pub struct Cache {
    store: Store,
    hits: AtomicU64,
    misses: AtomicU64,
}

enum Store {
    Off,
    Memory(ArcSwap<Memory>),
    #[cfg(feature = "redis")]
    Redis {
        redis: Redis,
        limits: ArcSwap<Limits>,
    },
}

type Frames = moka::sync::Cache<String, Arc<[u8]>>;

struct Memory {
    frames: Frames,
    limits: Limits,
}

#[derive(Clone, Copy, PartialEq)]
struct Limits {
    bytes: u64,
    ttl: Duration,
}

impl Limits {
    fn of(config: &Config) -> Limits {
        let ttl = Duration::try_from_secs_f64(config.cache.ttl).unwrap_or(Duration::ZERO);
        Limits { bytes: config.cache.max_mb.saturating_mul(1 << 20), ttl }
    }

    /// One result may not push out most others.
    fn takes(&self, frame: &[u8]) -> bool {
        frame.len() as u64 <= self.bytes / 8
    }

    fn memory(self) -> Memory {
        let weigh = |key: &String, frame: &Arc<[u8]>| {
            u32::try_from(key.len() + frame.len() + 128).unwrap_or(u32::MAX)
        };
        let frames = moka::sync::Cache::builder()
            .max_capacity(self.bytes)
            .weigher(weigh)
            .time_to_live(self.ttl)
            .build();
        Memory { frames, limits: self }
    }
}

/// Changes with everything that changes the results of equal requests: the program's version is part of every key too.
const FORMAT: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));
/// A Redis that takes longer is slower than many a model.
#[cfg(feature = "redis")]
const PATIENCE: Duration = Duration::from_millis(500);

impl Cache {
    /// The key of a result: SHA-256 over the model's fingerprint (see `Registry::fingerprint`), verb and the complete
    /// request (without what only the queue reads).
    pub fn key(model: &str, request: &crate::Request) -> String {
        let mut value = serde_json::to_value(request).expect("a request is plain data");
        if let Some(body) = value["body"].as_object_mut() {
            for field in ["custom_id", "priority", "timeout", "webhook"] {
                body.remove(field);
            }
        }
        let mut hash = Sha256::new();
        for part in [FORMAT, model, &sorted(value).to_string()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// # Errors
    /// A cache that cannot be reached at the start.
    pub async fn open(config: &Config) -> Result<Cache, Fault> {
        let limits = Limits::of(config);
        let store = match config.cache.store.as_str() {
            "off" => Store::Off,
            "memory" => Store::Memory(ArcSwap::from_pointee(limits.memory())),
            #[cfg(feature = "redis")]
            "redis" => {
                let redis = config.queue.redis(partita_queue::Limits::default()).await?;
                Store::Redis { redis, limits: ArcSwap::from_pointee(limits) }
            }
            other => {
                let message = format!("cache.store {other:?} is not part of this build");
                return Err(Fault::new(Code::Internal, message));
            }
        };
        Ok(Cache { store, hits: AtomicU64::new(0), misses: AtomicU64::new(0) })
    }

    /// New settings from a reload. Another size or time to live empties the memory.
    pub fn reconfigure(&self, config: &Config) {
        let new = Limits::of(config);
        match &self.store {
            Store::Memory(memory) if memory.load().limits != new => memory.store(Arc::new(new.memory())),
            #[cfg(feature = "redis")]
            Store::Redis { limits, .. } => limits.store(Arc::new(new)),
            Store::Off | Store::Memory(_) => {}
        }
    }

    /// A result that is still fresh. A cache that fails counts as empty.
    pub async fn get(&self, key: &str) -> Option<Made> {
        let made = match &self.store {
            Store::Off => return None,
            Store::Memory(memory) => memory.load().frames.get(key).and_then(|frame| frame::read(&frame)),
            #[cfg(feature = "redis")]
            Store::Redis { redis, .. } => match tokio::time::timeout(PATIENCE, redis.cache_get(key)).await {
                Ok(Ok(frame)) => frame.and_then(|frame| frame::read(&frame)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the cache cannot be read");
                    None
                }
                Err(_) => None,
            },
        };
        let count = if made.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        made
    }

    /// Keeps a result, unless it is larger than an eighth of the cache.
    pub async fn put(&self, key: &str, made: &Made) {
        match &self.store {
            Store::Off => {}
            Store::Memory(memory) => {
                let memory = memory.load();
                if let Some(frame) = frame::write(made).filter(|frame| memory.limits.takes(frame)) {
                    memory.frames.insert(key.to_owned(), frame.into());
                }
            }
            #[cfg(feature = "redis")]
            Store::Redis { redis, limits } => {
                let limits = **limits.load();
                let Some(frame) = frame::write(made).filter(|frame| limits.takes(frame)) else { return };
                let put =
                    tokio::time::timeout(PATIENCE, redis.cache_put(key, &frame, limits.ttl, limits.bytes));
                if let Ok(Err(error)) = put.await {
                    tracing::debug!(%error, "the cache cannot be written");
                }
            }
        }
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> u64 {
        match &self.store {
            Store::Memory(memory) => {
                let memory = memory.load();
                memory.frames.run_pending_tasks();
                memory.frames.weighted_size()
            }
            #[cfg(feature = "redis")]
            Store::Redis { .. } => 0,
            Store::Off => 0,
        }
    }

    /// Results found and not found since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

/// With the keys of all maps in order, whatever order they are kept in.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}
