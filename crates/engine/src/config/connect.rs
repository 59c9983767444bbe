//! The Redis that the configuration names.

use partita_queue::redis::Redis;
use partita_queue::{Limits, Result};

use super::Queue;

impl Queue {
    /// A connection of its own to `queue.url`.
    ///
    /// # Errors
    /// `Unavailable`, `Place`, `Ca`.
    pub async fn redis(&self, limits: Limits) -> Result<Redis> {
        let ca = (!self.ca.as_os_str().is_empty()).then_some(self.ca.as_path());
        Redis::connect_trusting(ca, &self.url, &self.prefix, limits).await
    }
}
