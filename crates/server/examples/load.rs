//! Load on a running server: `load URL [--clients 100] [--seconds 30] [--bars 8] [--poll 100] [--every 0]
//! [--streams 0] [--idle TASK]`.
//!
//! Every client submits a task without waiting, asks for it every `--poll` milliseconds until it is done, and begins
//! again, so generation runs flat out. With `--poll 0` it waits for the answer instead. With `--every` it begins a task
//! each so many milliseconds, as people do; one that begins late counts from when it should have begun. `--streams` keeps
//! as many event streams of task `--idle` open beside that. No two tasks are equal, so none is answered from the cache.
//! Prints one JSON row.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::Mutex;

#[derive(Default)]
struct Seen {
    submit: Mutex<Vec<f64>>,
    status: Mutex<Vec<f64>>,
    done: Mutex<Vec<f64>>,
    refused: AtomicU64,
    failed: AtomicU64,
}

struct Options {
    url: String,
    clients: usize,
    seconds: f64,
    bars: u32,
    streams: usize,
    idle: Option<String>,
    /// Milliseconds between two looks at a task; 0 waits for the answer.
    poll: u64,
    /// Milliseconds from one task of a client to its next; 0 begins when the last one has ended.
    every: f64,
    /// The first seed; later runs on the same server have others.
    seed: u64,
}

fn options() -> Options {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        words.iter().position(|word| word == name).and_then(|at| words.get(at + 1)).map(String::as_str)
    };
    let number = |name: &str, usual: f64| {
        value(name).map_or(usual, |text| {
            text.parse().unwrap_or_else(|_| panic!("{name} must be a number, got {text}"))
        })
    };
    Options {
        url: words.first().expect("the first argument is the server's URL").trim_end_matches('/').to_owned(),
        clients: number("--clients", 100.0) as usize,
        seconds: number("--seconds", 30.0),
        bars: number("--bars", 8.0) as u32,
        streams: number("--streams", 0.0) as usize,
        idle: value("--idle").map(str::to_owned),
        poll: number("--poll", 100.0) as u64,
        every: number("--every", 0.0),
        seed: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() << 20),
    }
}

#[tokio::main]
async fn main() {
    partita_server::serve::install_crypto();
    let options = Arc::new(options());
    let http = reqwest::Client::builder().pool_max_idle_per_host(usize::MAX).build().expect("a client");
    let open = Arc::new(AtomicUsize::new(0));
    for _ in 0..options.streams {
        let (http, open) = (http.clone(), Arc::clone(&open));
        let idle = options.idle.as_ref().expect("--streams needs --idle TASK");
        let url = format!("{}/api/v1/tasks/{idle}/events", options.url);
        tokio::spawn(async move {
            let Ok(mut response) = http.get(url).send().await else { return };
            if response.status().is_success() {
                open.fetch_add(1, Ordering::Relaxed);
                while let Ok(Some(_)) = response.chunk().await {}
                open.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
    let memory_before = memory(&http, &options.url).await;
    let seen = Arc::new(Seen::default());
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(options.seconds);
    let clients: Vec<_> = (0..options.clients)
        .map(|client| tokio::spawn(run(http.clone(), Arc::clone(&options), Arc::clone(&seen), client, end)))
        .collect();
    // Memory half-way, when everything is warm, beside memory at the end: flat or not.
    tokio::time::sleep(Duration::from_secs_f64(options.seconds / 2.0)).await;
    let memory_middle = memory(&http, &options.url).await;
    for client in clients {
        client.await.expect("a client does not panic");
    }
    let seconds = start.elapsed().as_secs_f64();
    let memory_after = memory(&http, &options.url).await;
    let done = seen.done.lock().await.clone();
    let row = json!({
        "clients": options.clients, "bars": options.bars, "seconds": round(seconds),
        "tasks": done.len(), "tasks_per_second": round(done.len() as f64 / seconds),
        "submit_ms": percentiles(seen.submit.lock().await.clone()),
        "status_ms": percentiles(seen.status.lock().await.clone()),
        "task_ms": percentiles(done),
        "refused": seen.refused.load(Ordering::Relaxed), "failed": seen.failed.load(Ordering::Relaxed),
        "streams_open": open.load(Ordering::Relaxed),
        "memory_mb": { "before": memory_before, "middle": memory_middle, "after": memory_after },
    });
    println!("{row}");
}

async fn run(http: reqwest::Client, options: Arc<Options>, seen: Arc<Seen>, client: usize, end: Instant) {
    let every = Duration::from_secs_f64(options.every / 1000.0);
    // Clients of a fixed rate do not all begin at once.
    let mut planned = Instant::now() + every.mul_f64(client as f64 / options.clients as f64);
    for turn in 0u64.. {
        if options.every > 0.0 {
            tokio::time::sleep_until(planned.into()).await;
        }
        let begin = Instant::now();
        if begin >= end {
            return;
        }
        let late = if options.every > 0.0 { begin - planned } else { Duration::ZERO };
        planned += every;
        let seed = options.seed + turn * options.clients as u64 + client as u64;
        let request = http
            .post(format!("{}/api/v1/generate", options.url))
            .header("Prefer", if options.poll == 0 { "wait=60" } else { "respond-async" })
            .json(&json!({ "style": "funk", "bars": options.bars, "seed": seed }));
        let Some(task) = answer(request).await else {
            seen.failed.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let Some(id) = task["id"].as_str() else {
            seen.refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let answered = begin.elapsed();
        let ended = if options.poll == 0 {
            Some((task, answered))
        } else {
            seen.submit.lock().await.push(milliseconds(answered));
            watch(&http, &options, &seen, id).await.map(|task| {
                let took = between(&task["created_at"], &task["finished_at"]);
                (task, took)
            })
        };
        match ended {
            Some((task, took)) if task["status"] == "complete" => {
                seen.done.lock().await.push(milliseconds(took + late));
            }
            _ => _ = seen.failed.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// Asks for a task until it is done.
async fn watch(http: &reqwest::Client, options: &Options, seen: &Seen, id: &str) -> Option<Value> {
    loop {
        tokio::time::sleep(Duration::from_millis(options.poll)).await;
        let asked = Instant::now();
        let task = answer(http.get(format!("{}/api/v1/tasks/{id}", options.url))).await?;
        seen.status.lock().await.push(milliseconds(asked.elapsed()));
        if task["done"] == json!(true) {
            return Some(task);
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Option<Value> {
    let bytes = request.send().await.ok()?.bytes().await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

async fn memory(http: &reqwest::Client, url: &str) -> f64 {
    let status = answer(http.get(format!("{url}/api/v1/status"))).await.unwrap_or_default();
    round(status["memory_bytes"].as_f64().unwrap_or(0.0) / f64::from(1 << 20))
}

/// Time between two RFC 3339 times of one day or two.
fn between(from: &Value, to: &Value) -> Duration {
    let millis = |text: &Value| {
        let text = text.as_str().unwrap_or_default();
        let part = |range: std::ops::Range<usize>| {
            text.get(range).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0)
        };
        let seconds = text.get(17..).unwrap_or_default().trim_end_matches('Z').parse::<f64>().unwrap_or(0.0);
        ((part(8..10) * 24.0 + part(11..13)) * 60.0 + part(14..16)) * 60_000.0 + seconds * 1000.0
    };
    Duration::from_secs_f64((millis(to) - millis(from)).max(0.0) / 1000.0)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn percentiles(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
        round(values.get(index).copied().unwrap_or(0.0))
    };
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0), "count": values.len() })
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
