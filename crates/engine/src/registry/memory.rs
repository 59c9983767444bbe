//! Models in memory: loaded once, kept while used, evicted when others need the room.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::family::Model;
use crate::{Code, Fault};

/// How much may be in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub models: usize,
    pub bytes: u64,
}

/// How a load ended, for those who wait for it.
pub(super) type Flight = Arc<OnceLock<Result<(), Fault>>>;

pub(super) enum Slot {
    /// `bytes`: about what it will take.
    Loading {
        flight: Flight,
        bytes: u64,
        /// Somebody asked to unload it meanwhile.
        unload: bool,
    },
    Loaded(Loaded),
}

pub(super) struct Loaded {
    pub model: Arc<Model>,
    pub bytes: u64,
    pub in_use: usize,
    pub requests: u64,
    pub last_used: Instant,
    /// It was loaded with.
    pub precision: String,
}

impl Slot {
    fn bytes(&self) -> u64 {
        match self {
            Slot::Loading { bytes, .. } => *bytes,
            Slot::Loaded(loaded) => loaded.bytes,
        }
    }
}

/// Slots by `name@version`. Models that leave are handed to the caller, who drops them without holding the lock.
#[derive(Default)]
pub(super) struct Memory {
    pub slots: HashMap<String, Slot>,
    /// Models that go after their last task, with their `name@version`.
    pub leaving: Vec<(String, Loaded)>,
}

impl Memory {
    /// Evicts what has not been used for longest until `bytes` more for one more model fit.
    ///
    /// # Errors
    /// `ModelsFull` when what is in use leaves no room; nothing is evicted then.
    pub fn make_room(
        &mut self,
        id: &str,
        bytes: u64,
        room: Room,
        gone: &mut Vec<Arc<Model>>,
    ) -> Result<(), Fault> {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        if bytes > room.bytes {
            let message =
                format!("model {id} needs {} MiB, models.memory_mb allows {}", mib(bytes), mib(room.bytes));
            return Err(Fault::new(Code::ModelsFull, message));
        }
        let mut idle: Vec<(Instant, String, u64)> = vec![];
        for (name, slot) in &self.slots {
            match slot {
                Slot::Loaded(loaded) if loaded.in_use == 0 => {
                    idle.push((loaded.last_used, name.clone(), loaded.bytes));
                }
                _ => {}
            }
        }
        idle.sort();
        let (mut models, mut used) = (self.count(), self.bytes());
        let mut evicted = 0;
        while models + 1 > room.models || used + bytes > room.bytes {
            let Some((_, _, freed)) = idle.get(evicted) else {
                let message = format!(
                    "no room for model {id}: {} of {} models and {} of {} MiB are in use",
                    models,
                    room.models,
                    mib(used),
                    mib(room.bytes)
                );
                return Err(Fault { retry_after: Some(5), ..Fault::new(Code::ModelsFull, message) });
            };
            models -= 1;
            used -= freed;
            evicted += 1;
        }
        for (_, name, _) in &idle[..evicted] {
            gone.extend(self.take(name));
        }
        Ok(())
    }

    /// Evicts idle models until what is left fits, as far as that goes.
    pub fn shrink(&mut self, room: Room, gone: &mut Vec<Arc<Model>>) {
        while self.count() > room.models || self.bytes() > room.bytes {
            let oldest = self.slots.iter().filter_map(|(name, slot)| match slot {
                Slot::Loaded(loaded) if loaded.in_use == 0 => Some((loaded.last_used, name.clone())),
                _ => None,
            });
            let Some((_, name)) = oldest.min() else { return };
            gone.extend(self.take(&name));
        }
    }

    /// Lets a loaded model go: at once when nobody uses it, else after its last task.
    pub fn let_go(&mut self, id: &str) -> Option<Arc<Model>> {
        if self.loaded(id)?.in_use == 0 {
            return self.take(id);
        }
        if let Some(Slot::Loaded(loaded)) = self.slots.remove(id) {
            self.leaving.push((id.to_owned(), loaded));
        }
        None
    }

    /// Brings back a model that was about to leave, if its weights are still those of `sha`.
    pub fn stay(&mut self, id: &str, sha: Option<&str>) {
        let fits =
            |model: &Model| sha.is_none_or(|sha| model.sha256() == sha) && !self.slots.contains_key(id);
        if let Some(at) = self.leaving.iter().position(|(name, loaded)| name == id && fits(&loaded.model)) {
            let (name, loaded) = self.leaving.swap_remove(at);
            self.slots.insert(name, Slot::Loaded(loaded));
        }
    }

    /// One task less uses `model`; it is returned when it was to leave and that was the last.
    pub fn done(&mut self, id: &str, model: &Arc<Model>) -> Option<Arc<Model>> {
        let ended = |loaded: &mut Loaded| {
            loaded.in_use -= 1;
            loaded.last_used = Instant::now();
            loaded.in_use == 0
        };
        if let Some(loaded) = self.loaded_mut(id).filter(|loaded| Arc::ptr_eq(&loaded.model, model)) {
            ended(loaded);
            return None;
        }
        let at = self.leaving.iter().position(|(_, loaded)| Arc::ptr_eq(&loaded.model, model))?;
        ended(&mut self.leaving[at].1).then(|| self.leaving.swap_remove(at).1.model)
    }

    /// A loaded model, or else one that leaves.
    pub fn present(&self, id: &str) -> Option<&Loaded> {
        let leaving = || self.leaving.iter().find(|(name, _)| name == id).map(|(_, loaded)| loaded);
        self.loaded(id).or_else(leaving)
    }

    fn count(&self) -> usize {
        self.slots.len() + self.leaving.len()
    }

    /// Takes a loaded model out.
    pub fn take(&mut self, id: &str) -> Option<Arc<Model>> {
        match self.slots.get(id) {
            Some(Slot::Loaded(_)) => match self.slots.remove(id) {
                Some(Slot::Loaded(loaded)) => Some(loaded.model),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn loaded(&self, id: &str) -> Option<&Loaded> {
        match self.slots.get(id) {
            Some(Slot::Loaded(loaded)) => Some(loaded),
            _ => None,
        }
    }

    pub fn loaded_mut(&mut self, id: &str) -> Option<&mut Loaded> {
        match self.slots.get_mut(id) {
            Some(Slot::Loaded(loaded)) => Some(loaded),
            _ => None,
        }
    }

    fn bytes(&self) -> u64 {
        let leaving = self.leaving.iter().map(|(_, loaded)| loaded.bytes);
        self.slots.values().map(Slot::bytes).chain(leaving).sum()
    }
}
