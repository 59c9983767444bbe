//! Results in memory: the least recently used one goes first.

use std::sync::Arc;

use moka::policy::EvictionPolicy;

use super::Limits;

/// What a frame costs beside its bytes.
const OVERHEAD: usize = 128;

pub(super) struct Memory {
    frames: moka::sync::Cache<String, Arc<[u8]>>,
    pub limits: Limits,
}

impl Memory {
    pub fn new(limits: Limits) -> Memory {
        let weigh =
            move |key: &String, frame: &Arc<[u8]>| limits.weight((key.len() + frame.len() + OVERHEAD) as u64);
        let frames = moka::sync::Cache::builder()
            .max_capacity(limits.capacity())
            .weigher(weigh)
            .time_to_live(limits.ttl)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Memory { frames, limits }
    }

    pub fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.frames.get(key)
    }

    pub fn put(&self, key: &str, frame: Vec<u8>) {
        self.frames.insert(key.to_owned(), frame.into());
        // A read counts as a use only after the write has taken its place.
        self.frames.run_pending_tasks();
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.frames.run_pending_tasks();
        self.frames.iter().map(|(key, frame)| (key.len() + frame.len() + OVERHEAD) as u64).sum()
    }
}
