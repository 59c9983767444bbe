//! Training speed on random tokens, for comparison with other frameworks on the same shape.

use std::time::Instant;

use partita_kernels::Path;
use partita_nn::Rng;
use serde::Serialize;

use crate::gpt::Example;
use crate::parameters::{Parameters, Shape};
use crate::run::Bench;

/// What to measure: `batch` sequences of `length` tokens a step.
#[derive(Clone, Copy, Debug)]
pub struct TrainBench {
    pub shape: Shape,
    pub batch: usize,
    pub length: usize,
    pub steps: usize,
    pub threads: usize,
    pub path: Path,
}

/// Forward, backward, clipping and AdamW.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainReport {
    pub parameters: usize,
    pub tokens_per_step: usize,
    /// Median over the steps.
    pub ms_per_step: f64,
    pub tokens_per_s: f64,
    pub threads: usize,
}

/// Runs `bench.steps` measured steps after one that warms up; dropout is off.
pub fn train_speed(bench: &TrainBench) -> TrainReport {
    let mut rng = Rng::new(1, 0);
    let mut token = || rng.below(bench.shape.vocab as u64) as u32;
    let examples: Vec<Example> = (0..bench.batch)
        .map(|_| {
            let ids: Vec<u32> = (0..=bench.length).map(|_| token()).collect();
            Example::next_tokens(&ids, vec![1.0; bench.length], 0)
        })
        .collect();
    let mut run = Bench::new(bench.shape, bench.threads, bench.path);
    let mut times: Vec<f64> = (0..=bench.steps)
        .map(|step| {
            let start = Instant::now();
            run.step(&examples, step as u32 + 1);
            start.elapsed().as_secs_f64()
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let tokens = bench.batch * bench.length;
    TrainReport {
        parameters: Parameters::zeros(bench.shape).values.len(),
        tokens_per_step: tokens,
        ms_per_step: median * 1e3,
        tokens_per_s: tokens as f64 / median,
        threads: bench.threads,
    }
}
