//! The training loop: batches, schedule, clipping, validation, checkpoints.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use partita_kernels::train::{AdamW, adamw, add, squared_norm};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, State};
use crate::gpt::{Example, Gpt, Gradients};
use crate::parameters::{Parameters, Shape};
use crate::source::Source;
use partita_nn::Rng;

/// What to train and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub shape: Shape,
    pub steps: u32,
    /// Tokens a step, at least.
    pub batch_tokens: usize,
    pub learning_rate: f32,
    pub warmup: u32,
    pub weight_decay: f32,
    pub dropout: f32,
    /// Largest gradient norm.
    pub clip: f32,
    pub seed: u64,
    /// Steps between validations; a checkpoint is written at each.
    pub validate_every: u32,
    /// How much of the average of the weights stays at a step, [0, 1): the average is what is validated and shipped.
    /// 0: the weights themselves are.
    #[serde(default)]
    pub averaging: f32,
}

impl Settings {
    /// The settings the shipped drummer was trained with.
    pub fn new(shape: Shape) -> Settings {
        Settings {
            shape,
            steps: 4200,
            batch_tokens: 8192,
            learning_rate: 2e-3,
            warmup: 150,
            weight_decay: 0.1,
            dropout: 0.13,
            clip: 1.0,
            seed: 1,
            validate_every: 200,
            averaging: 0.0,
        }
    }
}

/// One validated point of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub step: u32,
    /// Mean training loss in nats a token since the last point.
    pub train: f64,
    /// Nats a unit of the source (a hit, a note) on the validation split.
    pub validation: f64,
}

/// How far a run is; told after every step.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub step: u32,
    pub steps: u32,
    /// Nats a token of this step's batch.
    pub nats: f64,
    pub tokens_per_s: f64,
    pub validated: Option<Point>,
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error("the checkpoint in {} was made with other settings; use another folder or the same settings", .0.display())]
    OtherSettings(PathBuf),
    #[error("the checkpoint in {} was made with other data; use another folder or the same data", .0.display())]
    OtherData(PathBuf),
    #[error("data must have {needs} in its {split} split, got none")]
    EmptySplit { needs: &'static str, split: &'static str },
    #[error("the loss is not a number at step {0}; lower the learning rate")]
    Diverged(u32),
}

/// Sequences a thread takes at a time, in tokens: large enough for fast products, small enough for the caches.
const SHARD_TOKENS: usize = 1024;

/// Trains, or goes on training what `folder` holds, until `settings.steps` or until `report` breaks; the
/// checkpoint in the folder is then that of the last validation.
///
/// The same settings, data and number of threads give the same weights, also across a stop and a resume.
///
/// # Errors
/// See [`Error`]; the folder then holds the last checkpoint.
pub fn train(
    source: &dyn Source,
    settings: Settings,
    folder: &Path,
    threads: usize,
    path: partita_kernels::Path,
    mut report: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<State, Error> {
    let mut state = match checkpoint::load(folder)? {
        Some(state) if state.settings != settings => return Err(Error::OtherSettings(folder.to_path_buf())),
        Some(state) if state.split_hash != source.split_hash() => {
            return Err(Error::OtherData(folder.to_path_buf()));
        }
        Some(state) => state,
        None => State::new(settings, source.split_hash()),
    };
    let validation = thin_out(source.validation(), source.validation_tokens());
    let mut workers: Vec<Worker> = (0..threads).map(|_| Worker::new(&state.parameters, path)).collect();
    let (mut nats, mut weight) = (0.0, 0.0);
    while state.step < settings.steps {
        let start = Instant::now();
        let step = state.step + 1;
        let examples = draw_batch(source, settings, step);
        let tokens: usize = examples.iter().map(Example::length).sum();
        let seed = settings.seed as u32 ^ step.wrapping_mul(0x9e37_79b9);
        let sum = gradients(&mut workers, &state.parameters, &examples, settings.dropout, seed, path);
        let batch_nats = sum.0 / sum.1;
        let finite = squared_norm(path, &workers[0].gradients.values).is_finite();
        if !(batch_nats.is_finite() && finite) {
            return Err(Error::Diverged(step));
        }
        nats += sum.0;
        weight += sum.1;
        update(&mut state, &mut workers[0].gradients, sum.1, step, path);
        state.step = step;
        state.follow();
        let seconds = start.elapsed().as_secs_f64();
        let validated = (step % settings.validate_every == 0 || step == settings.steps).then(|| {
            let point = Point {
                step,
                train: nats / weight,
                validation: nats_per_unit(&mut workers, source, state.shipped(), &validation),
            };
            (nats, weight) = (0.0, 0.0);
            point
        });
        if let Some(point) = validated {
            state.points.push(point);
            checkpoint::save(folder, &state, source)?;
        }
        let progress = Progress {
            step,
            steps: settings.steps,
            nats: batch_nats,
            tokens_per_s: tokens as f64 / seconds,
            validated,
        };
        if report(progress).is_break() {
            break;
        }
    }
    Ok(state)
}

/// The loop's inner step alone, for measuring its speed.
pub(crate) struct Bench {
    state: State,
    workers: Vec<Worker>,
    path: partita_kernels::Path,
}

impl Bench {
    pub(crate) fn new(shape: Shape, threads: usize, path: partita_kernels::Path) -> Bench {
        let state = State::new(Settings::new(shape), "");
        let workers = (0..threads).map(|_| Worker::new(&state.parameters, path)).collect();
        Bench { state, workers, path }
    }

    pub(crate) fn step(&mut self, examples: &[Example], step: u32) {
        let (_, weight) =
            gradients(&mut self.workers, &self.state.parameters, examples, 0.0, step, self.path);
        update(&mut self.state, &mut self.workers[0].gradients, weight, step, self.path);
    }
}

/// One thread's network and gradient sum.
struct Worker {
    net: Gpt,
    gradients: Gradients,
}

impl Worker {
    fn new(parameters: &Parameters, path: partita_kernels::Path) -> Worker {
        Worker { net: Gpt::new(parameters.shape, path), gradients: Gradients::zeros(parameters) }
    }
}

fn draw_batch(source: &dyn Source, settings: Settings, step: u32) -> Vec<Example> {
    let mut rng = Rng::new(settings.seed, u64::from(step));
    let (mut examples, mut tokens) = (Vec::new(), 0);
    while tokens < settings.batch_tokens {
        let example = source.draw(&mut rng);
        tokens += example.length();
        examples.push(example);
    }
    examples
}

/// Cuts `examples` where `SHARD_TOKENS` are full.
pub(crate) fn shards(examples: &[Example]) -> Vec<&[Example]> {
    let mut shards = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (i, example) in examples.iter().enumerate() {
        let length = example.length();
        if tokens + length > SHARD_TOKENS && i > start {
            shards.push(&examples[start..i]);
            (start, tokens) = (i, 0);
        }
        tokens += length;
    }
    if start < examples.len() {
        shards.push(&examples[start..]);
    }
    shards
}

/// Runs `work` on the shards, thread `t` taking shards `t`, `t + threads`, ...: the sums' order is fixed.
fn share<T: Send>(
    workers: &mut [Worker],
    shards: &[&[Example]],
    work: impl Fn(&mut Worker, usize, &[Example]) -> T + Sync,
) -> Vec<Vec<T>> {
    let threads = workers.len();
    std::thread::scope(|scope| {
        let handles: Vec<_> = workers
            .iter_mut()
            .enumerate()
            .map(|(t, worker)| {
                let work = &work;
                scope.spawn(move || {
                    let mine = shards.iter().enumerate().skip(t).step_by(threads);
                    mine.map(|(i, shard)| work(worker, i, shard)).collect::<Vec<T>>()
                })
            })
            .collect();
        handles.into_iter().map(|h| h.join().expect("training threads do not panic")).collect()
    })
}

/// Sums all gradients into the first worker's; returns nats and weight.
fn gradients(
    workers: &mut [Worker],
    parameters: &Parameters,
    examples: &[Example],
    dropout: f32,
    seed: u32,
    path: partita_kernels::Path,
) -> (f64, f64) {
    for worker in workers.iter_mut() {
        worker.gradients.values.fill(0.0);
        (worker.gradients.nats, worker.gradients.weight) = (0.0, 0.0);
    }
    share(workers, &shards(examples), |worker, i, shard| {
        let seed = seed ^ (i as u32).wrapping_mul(0x85eb_ca6b);
        worker.net.accumulate(parameters, shard, dropout, seed, &mut worker.gradients);
    });
    let (first, others) = workers.split_first_mut().expect("at least one thread");
    for other in others {
        add(path, &mut first.gradients.values, &other.gradients.values);
        first.gradients.nats += other.gradients.nats;
        first.gradients.weight += other.gradients.weight;
    }
    (first.gradients.nats, first.gradients.weight)
}

fn update(state: &mut State, gradients: &mut Gradients, weight: f64, step: u32, path: partita_kernels::Path) {
    let settings = state.settings;
    let norm = f64::from(squared_norm(path, &gradients.values)).sqrt() / weight;
    let scale = (f64::from(settings.clip) / norm.max(1e-12)).min(1.0) / weight;
    for tensor in &state.parameters.tensors {
        let range = tensor.range.clone();
        let step = AdamW {
            learning_rate: learning_rate(&settings, step),
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            weight_decay: if tensor.decays { settings.weight_decay } else { 0.0 },
            step,
            gradient_scale: scale as f32,
        };
        adamw(
            path,
            step,
            &mut state.parameters.values[range.clone()],
            &gradients.values[range.clone()],
            &mut state.first[range.clone()],
            &mut state.second[range],
        );
    }
}

/// Linear warm-up, then a cosine down to a twentieth.
fn learning_rate(settings: &Settings, step: u32) -> f32 {
    if step <= settings.warmup {
        return settings.learning_rate * step as f32 / settings.warmup as f32;
    }
    let through = (step - settings.warmup) as f32 / (settings.steps - settings.warmup).max(1) as f32;
    settings.learning_rate * (0.05 + 0.475 * (1.0 + (std::f32::consts::PI * through).cos()))
}

/// Every k-th example, so that about `most` tokens remain.
fn thin_out(examples: Vec<Example>, most: usize) -> Vec<Example> {
    let tokens: usize = examples.iter().map(Example::length).sum();
    examples.into_iter().step_by(tokens.div_ceil(most).max(1)).collect()
}

fn nats_per_unit(
    workers: &mut [Worker],
    source: &dyn Source,
    parameters: &Parameters,
    examples: &[Example],
) -> f64 {
    let sums = share(workers, &shards(examples), |worker, _, shard| {
        let losses = worker.net.losses(parameters, shard);
        let weights = shard.iter().flat_map(|e| &e.weights);
        losses.iter().zip(weights).map(|(l, w)| f64::from(l * w)).sum::<f64>()
    });
    let nats: f64 = sums.into_iter().flatten().sum();
    nats / examples.iter().map(|example| source.units(example)).sum::<usize>() as f64
}
