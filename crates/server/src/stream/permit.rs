//! How many streams are open, and whose they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::guard::Caller;
use crate::problem::{Answer, Kind, Problem};

/// Open streams by the id of their key.
type ByKey = Arc<Mutex<HashMap<String, usize>>>;

/// The streams of a server.
pub struct Streams {
    most: usize,
    free: Arc<Semaphore>,
    by_key: ByKey,
}

/// The right to have one stream open.
#[derive(Debug)]
pub struct Permit {
    _one: OwnedSemaphorePermit,
    key: Option<(String, ByKey)>,
}

impl Streams {
    pub fn new(most: usize) -> Streams {
        let most = most.min(Semaphore::MAX_PERMITS);
        Streams { most, free: Arc::new(Semaphore::new(most)), by_key: Arc::default() }
    }

    pub fn open(&self) -> usize {
        self.most.saturating_sub(self.free.available_permits())
    }

    /// Returns when no stream is open. Meanwhile none can be opened.
    pub async fn ended(&self) {
        let all = u32::try_from(self.most).unwrap_or(u32::MAX);
        // It is never closed.
        drop(self.free.acquire_many(all).await);
    }

    /// One key may have an eighth of all streams, so that no key takes them all. Callers without a key share them: where
    /// they are let in, they are on this machine or wanted.
    ///
    /// # Errors
    /// `TooManyStreams`
    pub fn permit(&self, caller: &Caller) -> Answer<Permit> {
        let refused = |detail: String| Problem::new(Kind::TooManyStreams, detail).retry_after(5);
        let one = self.free.clone().try_acquire_owned();
        let one = one.map_err(|_| refused(format!("at most {} streams may be open", self.most)))?;
        let Some(key) = caller.owner() else {
            return Ok(Permit { _one: one, key: None });
        };
        let most = (self.most / 8).max(8);
        let mut by_key = lock(&self.by_key);
        let open = by_key.entry(key.clone()).or_default();
        if *open >= most {
            return Err(refused(format!("at most {most} streams of one key may be open")));
        }
        *open += 1;
        drop(by_key);
        Ok(Permit { _one: one, key: Some((key, self.by_key.clone())) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some((key, by_key)) = &self.key else { return };
        let mut by_key = lock(by_key);
        if let Some(open) = by_key.get_mut(key) {
            *open -= 1;
            if *open == 0 {
                by_key.remove(key);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use partita_queue::{ApiKey, Role};

    use super::*;

    fn caller(key: bool) -> Caller {
        let key = key.then(|| Arc::new(ApiKey::create("test", Role::User, 0, None).0));
        Caller { key, role: Role::User, address: IpAddr::from([192, 0, 2, 1]) }
    }

    #[test]
    fn one_key_leaves_streams_to_others_and_gives_its_own_back() {
        let streams = Streams::new(80);
        let (mine, other) = (caller(true), caller(true));
        let held: Vec<Permit> = (0..10).map(|_| streams.permit(&mine).expect("its share")).collect();
        assert!(streams.permit(&mine).is_err());
        assert!(streams.permit(&other).is_ok());
        assert_eq!(streams.open(), 10);
        drop(held);
        assert!(streams.permit(&mine).is_ok() && lock(&streams.by_key).is_empty());
    }

    #[test]
    fn callers_without_keys_may_have_all_streams() {
        let streams = Streams::new(1000);
        let held: Vec<Permit> = (0..1000).map(|_| streams.permit(&caller(false)).expect("one")).collect();
        assert!(streams.permit(&caller(false)).is_err());
        drop(held);
        assert_eq!(streams.open(), 0);
    }
}
