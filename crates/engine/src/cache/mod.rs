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

mod disk;
mod frame;
mod memory;

use disk::Disk;
use memory::Memory;

/// A cache of results: in memory, in a folder that outlives the process, or in Redis for many machines.
pub struct Cache {
    store: Store,
    hits: AtomicU64,
    misses: AtomicU64,
}

enum Store {
    Off,
    Memory(ArcSwap<Memory>),
    Disk(ArcSwap<Disk>),
    #[cfg(feature = "redis")]
    Redis {
        redis: Redis,
        limits: ArcSwap<Limits>,
    },
}

#[derive(Clone, Copy, PartialEq)]
struct Limits {
    bytes: u64,
    entries: u64,
    ttl: Duration,
}

impl Limits {
    fn of(config: &Config) -> Limits {
        let ttl = Duration::try_from_secs_f64(config.cache.ttl).unwrap_or(Duration::ZERO);
        let bytes = config.cache.max_mb.saturating_mul(1 << 20);
        Limits { bytes, entries: config.cache.max_entries, ttl }
    }

    /// One result may not push out most others.
    fn takes(&self, frame: &[u8]) -> bool {
        frame.len() as u64 <= self.bytes / 8
    }

    /// What each result counts at least, so that their number is bounded where their bytes are.
    fn share(self) -> u64 {
        (self.bytes / self.entries.max(1)).max(1)
    }

    /// What all results count at most.
    fn capacity(self) -> u64 {
        self.share().saturating_mul(self.entries).min(self.bytes)
    }

    /// What a result of `bytes` counts.
    fn weight(self, bytes: u64) -> u32 {
        u32::try_from(self.share().max(bytes)).unwrap_or(u32::MAX)
    }
}

/// Changes with everything that changes the results of equal requests: the program's version is part of every key too.
const FORMAT: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));
/// A Redis that takes longer is slower than many a model.
#[cfg(feature = "redis")]
const PATIENCE: Duration = Duration::from_millis(500);

impl Cache {
    /// The key of a result: SHA-256 over the model's fingerprint (see `Registry::fingerprint`), verb and the complete
    /// request (without what only the queue and listeners read).
    pub fn key(model: &str, request: &crate::Request) -> String {
        let mut value = serde_json::to_value(request).expect("a request is plain data");
        if let Some(body) = value["body"].as_object_mut() {
            for field in ["custom_id", "priority", "timeout", "webhook", "stream"] {
                body.remove(field);
            }
        }
        Cache::key_of(model, "", value)
    }

    /// The key of the result of a call that is no [`crate::Request`]; `kind` tells such calls apart.
    pub(crate) fn key_of(model: &str, kind: &str, request: serde_json::Value) -> String {
        let mut hash = Sha256::new();
        for part in [FORMAT, model, kind, &sorted(request).to_string()] {
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
            "memory" => Store::Memory(ArcSwap::from_pointee(Memory::new(limits))),
            "disk" => Store::Disk(ArcSwap::from_pointee(open_disk(config, limits)?)),
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
            Store::Memory(memory) if memory.load().limits != new => memory.store(Arc::new(Memory::new(new))),
            Store::Disk(disk) if disk.load().limits != new => match open_disk(config, new) {
                Ok(opened) => disk.store(Arc::new(opened)),
                Err(fault) => tracing::warn!(%fault, "the cache keeps its limits"),
            },
            #[cfg(feature = "redis")]
            Store::Redis { limits, .. } => limits.store(Arc::new(new)),
            Store::Off | Store::Memory(_) | Store::Disk(_) => {}
        }
    }

    /// A result that is still fresh. A cache that fails counts as empty.
    pub async fn get(&self, key: &str) -> Option<Made> {
        let made = match &self.store {
            Store::Off => return None,
            Store::Memory(memory) => memory.load().get(key).and_then(|frame| frame::read(&frame)),
            Store::Disk(disk) => disk.load().get(key).and_then(|frame| frame::read(&frame)),
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
                    memory.put(key, frame);
                }
            }
            Store::Disk(disk) => {
                let disk = disk.load();
                let Some(frame) = frame::write(made).filter(|frame| disk.limits.takes(frame)) else { return };
                if let Err(error) = disk.put(key, &frame) {
                    tracing::debug!(%error, "the cache cannot be written");
                }
            }
            #[cfg(feature = "redis")]
            Store::Redis { redis, limits } => {
                let limits = **limits.load();
                let Some(frame) = frame::write(made).filter(|frame| limits.takes(frame)) else { return };
                let Limits { bytes, entries, ttl } = limits;
                let bounds = partita_queue::redis::CacheBounds { bytes, entries, ttl };
                let put = tokio::time::timeout(PATIENCE, redis.cache_put(key, &frame, bounds));
                if let Ok(Err(error)) = put.await {
                    tracing::debug!(%error, "the cache cannot be written");
                }
            }
        }
    }

    /// Bytes held by this process, in memory or in files.
    pub fn bytes(&self) -> u64 {
        match &self.store {
            Store::Memory(memory) => memory.load().bytes(),
            Store::Disk(disk) => disk.load().bytes(),
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

fn open_disk(config: &Config, limits: Limits) -> Result<Disk, Fault> {
    let folder = config.data_dir().join("cache");
    let unusable = |error| {
        let message = format!("cache.store disk cannot use {}: {error}", folder.display());
        Fault::new(Code::Internal, message)
    };
    Disk::open(&folder, limits).map_err(unusable)
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
