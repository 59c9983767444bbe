//! Requests one after another, each alone, against the same requests at once in shared steps.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use partita_models::drums::{ALL_LANES, Common, Drummer, Error, Generate, Progress, Sampling, Take};
use partita_models::stage::{Compute, Player, share};
use partita_score::Meter;
use serde_json::{Value, json};

use crate::error::{Error as CliError, Result as CliResult};
use crate::report::round;

/// What to measure.
pub struct ShareBench {
    pub requests: usize,
    pub bars: u32,
    /// The median counts.
    pub runs: usize,
}

/// Both ways, milliseconds for all requests.
pub struct ShareReport {
    pub requests: usize,
    pub bars: u32,
    pub tokens: usize,
    pub alone_ms: f64,
    pub shared_ms: f64,
    /// How many times faster; 4 means a quarter of the time.
    pub ratio: f64,
    pub shared_tokens_per_s: f64,
    /// Sequences a step, on average.
    pub batch: f64,
    /// The slowest request of the median shared run.
    pub slowest_ms: f64,
    /// Bytes of the model, and of a sequence being played.
    pub model_bytes: usize,
    pub sequence_bytes: usize,
    pub threads: usize,
    pub kernels: &'static str,
}

impl ShareReport {
    pub fn to_json(&self) -> Value {
        json!({
            "requests": self.requests,
            "bars": self.bars,
            "tokens": self.tokens,
            "alone_ms": round(self.alone_ms, 1),
            "shared_ms": round(self.shared_ms, 1),
            "ratio": round(self.ratio, 2),
            "shared_tokens_per_s": round(self.shared_tokens_per_s, 0),
            "batch": round(self.batch, 2),
            "slowest_ms": round(self.slowest_ms, 1),
            "model_bytes": self.model_bytes,
            "sequence_bytes": self.sequence_bytes,
            "threads": self.threads,
            "kernels": self.kernels,
        })
    }
}

fn play(drummer: &Drummer, player: &dyn Player, request: &Generate) -> Result<Vec<Take>, Error> {
    drummer.generate(player, request, &mut |_: &Progress| crate::cancel::flow())
}

/// Plays all requests both ways, `runs` times in turn.
///
/// # Errors
/// Whatever a request may meet; takes that differ between the two ways.
pub fn measure(drummer: &Arc<Drummer>, compute: &Compute, bench: &ShareBench) -> CliResult<ShareReport> {
    let styles = drummer.styles()?;
    let learned: Vec<_> = styles.into_iter().filter(|style| style.profile.is_none()).collect();
    let request = |i: usize| Generate {
        common: Common {
            style: learned[i % learned.len()].clone(),
            seed: i as u64,
            sampling: Sampling::default(),
            density: None,
            lanes: ALL_LANES,
            velocities: 1..=127,
        },
        bars: bench.bars,
        tempo: None,
        meter: Meter::COMMON,
        fill: false,
        variations: 1,
    };
    let requests: Vec<Generate> = (0..bench.requests).map(request).collect();
    let (shared, work) = share(drummer.network(), compute.clone());
    let (mut alone_ms, mut shared_ms, mut tokens) = (Vec::new(), Vec::new(), 0);
    thread::scope(|scope| -> CliResult<()> {
        scope.spawn(|| work.run());
        // Dropped at the end of this scope, also after an error: the loop ends with it.
        let shared = shared;
        for _ in 0..bench.runs {
            let started = Instant::now();
            let expected = requests
                .iter()
                .map(|request| play(drummer, compute, request))
                .collect::<Result<Vec<_>, _>>()?;
            alone_ms.push(ms(started));
            let started = Instant::now();
            let results: Vec<_> = thread::scope(|scope| {
                let one = |request| {
                    let shared = shared.clone();
                    scope.spawn(move || (play(drummer, &shared, request), ms(started)))
                };
                let threads: Vec<_> = requests.iter().map(one).collect();
                threads.into_iter().map(|thread| thread.join().expect("a request does not panic")).collect()
            });
            let time = ms(started);
            let slowest = results.iter().map(|(_, ms)| *ms).fold(0.0, f64::max);
            let takes = results.into_iter().map(|(takes, _)| takes).collect::<Result<Vec<_>, _>>()?;
            if takes != expected {
                return Err(CliError::failed("shared and lone requests must agree, and do not"));
            }
            tokens = takes.iter().flatten().map(Take::tokens).sum();
            let counts = shared.counts();
            shared_ms.push((time, slowest, counts.stepped as f64 / counts.steps as f64));
        }
        Ok(())
    })?;
    alone_ms.sort_by(f64::total_cmp);
    shared_ms.sort_by(|a, b| a.0.total_cmp(&b.0));
    let alone_ms = alone_ms[alone_ms.len() / 2];
    let (shared_ms, slowest_ms, batch) = shared_ms[shared_ms.len() / 2];
    Ok(ShareReport {
        requests: bench.requests,
        bars: bench.bars,
        tokens,
        alone_ms,
        shared_ms,
        ratio: alone_ms / shared_ms,
        shared_tokens_per_s: 1000.0 * tokens as f64 / shared_ms,
        batch,
        slowest_ms,
        model_bytes: drummer.memory_bytes(),
        sequence_bytes: drummer.sequence_bytes(),
        threads: compute.pool.threads(),
        kernels: compute.path.name(),
    })
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
