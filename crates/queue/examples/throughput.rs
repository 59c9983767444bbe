//! How fast the file takes and gives jobs: `cargo run --release -p partita-queue --example throughput [FOLDER]`.
//!
//! Every figure is with all commits synced to the disk, as in production.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use partita_queue::sqlite::Sqlite;
use partita_queue::{JobId, Lane, Limits, NewJob, Outcome, Progress, Queue, Result};
use serde_json::json;

const CLIENTS: usize = 64;
const JOBS: usize = 10_000;
const WAITING: usize = 100_000;

fn job(owner: usize) -> NewJob {
    NewJob {
        id: JobId::new(),
        kind: "generate".into(),
        lane: Lane::Generation,
        priority: 5,
        owner: Some(format!("owner{owner}")),
        model: "drums@1".into(),
        request: json!({ "style": "funk", "bars": 4, "seed": 7, "temperature": 1.0 }),
        nonce: "00112233445566778899aabbccddeeff".into(),
        deadline: None,
        max_attempts: 3,
        webhook: None,
        idempotency: None,
        request_id: "req".into(),
        trace: String::new(),
    }
}

/// `CLIENTS` tasks that do `step` until `count` were done; prints the rate and the latencies.
async fn measure<F, T>(name: &str, count: usize, step: F) -> Result<()>
where
    F: Fn(usize) -> T + Clone + Send + 'static,
    T: Future<Output = Result<()>> + Send,
{
    let (left, started) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let clients: Vec<tokio::task::JoinHandle<Result<Vec<Duration>>>> = (0..CLIENTS)
        .map(|client| {
            let (left, step) = (left.clone(), step.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while left.fetch_add(1, Ordering::Relaxed) < count {
                    let started = Instant::now();
                    step(client).await?;
                    times.push(started.elapsed());
                }
                Ok(times)
            })
        })
        .collect();
    let mut times: Vec<Duration> = Vec::new();
    for client in clients {
        times.extend(client.await.expect("no client panics")?);
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    times.sort();
    let (middle, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{name:<32} {rate:>9.0}/s   p50 {middle:>9.2?}   p99 {late:>9.2?}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder =
        tempfile::tempdir_in(folder).map_err(|error| partita_queue::Error::Unavailable(error.to_string()))?;
    let queued = BTreeMap::from([(Lane::Generation, 10 * WAITING)]);
    let limits = Limits { queued, ..Limits::default() };
    let queue: Arc<dyn Queue> = Arc::new(Sqlite::open(&folder.path().join("queue.db"), limits)?);

    let all = queue.clone();
    let submit = move |client| {
        let queue = all.clone();
        async move { queue.submit(job(client), None).await.map(drop) }
    };
    let all = queue.clone();
    let work = move |_| {
        let queue = all.clone();
        async move {
            for claim in queue.claim("worker", Lane::Generation, 1).await? {
                queue.heartbeat(&claim.lease, &Progress::default()).await?;
                queue.finish(&claim.lease, Outcome::Complete(json!({ "notes": 64 }))).await?;
            }
            Ok(())
        }
    };
    measure("submit", JOBS, submit.clone()).await?;
    measure("claim, heartbeat, finish", JOBS, work.clone()).await?;
    measure("submit until many wait", WAITING, submit.clone()).await?;
    measure("submit with many waiting", 2000, submit).await?;
    measure("claim, heartbeat, finish, many", 2000, work).await?;
    let all = queue.clone();
    let stats = move |_| {
        let queue = all.clone();
        async move { queue.stats().await.map(drop) }
    };
    measure("stats with many waiting", 200, stats).await?;
    let started = Instant::now();
    drop(queue);
    println!("closed in {:.2?}", started.elapsed());
    Ok(())
}
