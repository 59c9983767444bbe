//! The suite on a real redis-server, and what only a server can do to its clients.

mod crowd;
mod faults;
mod rates;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use partita_queue::redis::Redis;
use partita_queue::{Fut, Limits, Queue};

use crate::suite::Store;
use server::{Server, shared};

/// Names of its own on the server that all tests share.
struct Names {
    server: Arc<Server>,
    prefix: String,
}

impl Names {
    fn new() -> Names {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Names { server: shared(), prefix }
    }

    async fn connect(&self, limits: Limits) -> Arc<Redis> {
        Arc::new(Redis::connect(&self.server.url(), &self.prefix, limits).await.expect("the server answers"))
    }
}

impl Store for Names {
    fn open(&self, limits: Limits) -> Fut<'_, Arc<dyn Queue>> {
        Box::pin(async move {
            Ok(Arc::new(Redis::connect(&self.server.url(), &self.prefix, limits).await?) as Arc<dyn Queue>)
        })
    }
}

conformance!(Names::new());
