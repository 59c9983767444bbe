//! Training speed on random windows, for comparison with other frameworks on the same shape.

use std::time::Instant;

use partita_kernels::Path;
use partita_nn::Rng;
use serde::Serialize;

use super::checkpoint::State;
use super::layers::Sparse;
use super::net::{Pass, Target, Window};
use super::run::{VaeSettings, Workers, update};
use super::weights::VaeShape;

/// Forward, backward, clipping and Adam; the decoder is told the truth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VaeTrainReport {
    pub parameters: usize,
    pub batch: usize,
    /// Median over the steps.
    pub ms_per_step: f64,
    pub windows_per_s: f64,
    pub threads: usize,
}

/// Runs `steps` measured steps of `batch` windows after one that warms up. `shape` must be of classes.
pub fn vae_train_speed(
    shape: VaeShape,
    batch: usize,
    steps: usize,
    threads: usize,
    path: Path,
) -> VaeTrainReport {
    let mut rng = Rng::new(1, 0);
    let windows: Vec<Window> = (0..batch)
        .map(|_| {
            let classes: Vec<u32> = (0..shape.steps).map(|_| rng.below(shape.output as u64) as u32).collect();
            let mut input = Sparse::default();
            classes.iter().for_each(|class| input.push([(class % shape.input as u32, 1.0)]));
            Window { input, target: Target::Classes(classes) }
        })
        .collect();
    let mut state = State::new(VaeSettings::new(shape), "");
    let mut workers = Workers::new(&state.weights, threads, path);
    let mut times: Vec<f64> = (0..=steps)
        .map(|step| {
            let start = Instant::now();
            let pass = Pass { noisy: true, beta: 0.2, free: 33.0, seed: step as u64, ..Pass::TEACHER };
            workers.gradients(&state.weights, &windows, &pass);
            let norm = workers.norm() / batch as f64;
            update(
                &mut state,
                workers.sum(),
                (1.0 / norm.max(1.0) / batch as f64) as f32,
                step as u32 + 1,
                path,
            );
            start.elapsed().as_secs_f64()
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    VaeTrainReport {
        parameters: state.weights.values.len(),
        batch,
        ms_per_step: median * 1e3,
        windows_per_s: batch as f64 / median,
        threads,
    }
}
