//! What every handler shares.

use std::sync::Arc;
use std::time::{Duration, Instant};

use partita_engine::Engine;
use tokio_util::sync::CancellationToken;

use crate::guard::Guard;
use crate::metrics::Metrics;
use crate::stream::permit::Streams;

/// How long things on open streams take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between signs of life that go out. A socket that answers none of two is dead.
    pub heartbeat: Duration,
    /// How often an open stream asks whether its caller may still have it.
    pub check: Duration,
    /// A socket without a task and without a message closes after this.
    pub idle: Duration,
    /// A task that has not ended by then took the change that was sent to it.
    pub change: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            heartbeat: Duration::from_secs(15),
            // With the time a key is believed, below 15 s.
            check: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            change: Duration::from_millis(250),
        }
    }
}

/// The state behind the routes.
pub struct App {
    pub engine: Engine,
    pub started: Instant,
    pub guard: Guard,
    pub metrics: Metrics,
    /// Event streams that are open, and may still be.
    pub streams: Streams,
    pub pace: Pace,
    /// Cancelled when the server begins to shut down: it takes no new tasks, and `/health/ready` says so.
    pub closing: CancellationToken,
    /// Cancelled when all tasks have ended or gone back to the queue: streams end, and nobody waits any more.
    pub parting: CancellationToken,
}

impl App {
    pub fn new(engine: Engine) -> Arc<App> {
        App::paced(engine, Pace::default())
    }

    /// With other times than the usual.
    pub fn paced(engine: Engine, pace: Pace) -> Arc<App> {
        let config = engine.config();
        Arc::new(App {
            started: Instant::now(),
            guard: Guard::new(&engine),
            metrics: Metrics::new(),
            streams: Streams::new(config.limits.max_streams),
            pace,
            closing: CancellationToken::new(),
            parting: CancellationToken::new(),
            engine,
        })
    }
}
