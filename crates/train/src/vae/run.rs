//! The training loop: batches, schedules, clipping, validation, checkpoints.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use partita_kernels::train::{AdamW, adamw, add, squared_norm};
use partita_nn::Rng;
use serde::{Deserialize, Serialize};

use super::checkpoint::{self, State};
use super::head::{Choice, Groove};
use super::net::{Pass, Sums, Target, VaeGradients, VaeNet, Window};
use super::source::Source;
use super::weights::{Head, Heard, VaeShape, VaeWeights};
use crate::groove::Split;
use crate::run::Error;

/// What to train and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeSettings {
    pub shape: VaeShape,
    pub steps: u32,
    /// Windows a step.
    pub batch: usize,
    pub learning_rate: f32,
    pub warmup: u32,
    pub weight_decay: f32,
    /// Largest norm of the mean gradient.
    pub clip: f32,
    /// Share of the numbers between layers left out.
    pub dropout: f32,
    /// Share of steps at which the decoder is not told the step before.
    pub skip: f32,
    /// The share of steps fed with the decoder's own choices rises to this along an inverse sigmoid ...
    pub own: f32,
    /// ... whose constant this is, in steps; see [`VaeSettings::own_at`].
    pub own_after: f32,
    /// Weight of the divergence at the end; it rises as `1 - beta_rate^step`.
    pub beta: f32,
    pub beta_rate: f32,
    /// Bits of divergence that cost nothing.
    pub free_bits: f32,
    pub groove: Groove,
    pub seed: u64,
    /// Steps between validations; a checkpoint is written at each.
    pub validate_every: u32,
}

impl VaeSettings {
    /// Divergence weighed as in MusicVAE's small two-bar configurations.
    pub fn new(shape: VaeShape) -> VaeSettings {
        VaeSettings {
            shape,
            steps: 6000,
            batch: 128,
            learning_rate: 2e-3,
            warmup: 100,
            weight_decay: 0.01,
            clip: 1.0,
            dropout: 0.0,
            skip: 0.0,
            own: 0.0,
            own_after: 500.0,
            beta: 0.2,
            beta_rate: 0.999,
            free_bits: 48.0,
            groove: Groove::PLAIN,
            seed: 1,
            validate_every: 250,
        }
    }

    /// The settings of the shipped melodies; their card tells what was changed on the way.
    pub fn melodies() -> VaeSettings {
        VaeSettings {
            steps: 6400,
            batch: 64,
            learning_rate: 1.5e-3,
            dropout: 0.1,
            skip: 0.15,
            own: 0.5,
            own_after: 800.0,
            beta_rate: 0.9995,
            validate_every: 400,
            ..VaeSettings::new(VaeShape::melodies())
        }
    }

    /// The settings of the shipped drum loops; their card tells what was changed on the way.
    pub fn drum_loops() -> VaeSettings {
        VaeSettings {
            steps: 7000,
            batch: 64,
            learning_rate: 1.5e-3,
            dropout: 0.2,
            skip: 0.15,
            own: 0.5,
            own_after: 500.0,
            beta_rate: 0.9995,
            validate_every: 300,
            ..VaeSettings::new(VaeShape::drum_loops())
        }
    }

    /// The settings of the shipped grooves; their card tells what was changed on the way. A code costs little, because
    /// none is drawn from the prior.
    pub fn grooves() -> VaeSettings {
        VaeSettings {
            steps: 4000,
            batch: 64,
            learning_rate: 2e-3,
            dropout: 0.2,
            own: 1.0,
            own_after: 60.0,
            beta: 0.02,
            groove: Groove { struck: 4.0, silent: 0.2, keep_hits: 0.8 },
            validate_every: 200,
            ..VaeSettings::new(VaeShape::grooves())
        }
    }

    /// The settings the shipped drums to a tapped rhythm were trained with: which drums are hit is now the model's, so
    /// hits weigh as much as they do in MusicVAE.
    pub fn taps() -> VaeSettings {
        VaeSettings {
            steps: 2600,
            own: 0.7,
            own_after: 250.0,
            beta: 0.1,
            groove: Groove { struck: 2.0, silent: 0.5, keep_hits: 0.0 },
            ..VaeSettings { shape: VaeShape::taps(), ..VaeSettings::grooves() }
        }
    }

    /// Share of own choices at a step. Source: scheduled sampling (Bengio et al. 2015), inverse sigmoid decay.
    fn own_at(&self, step: u32) -> f32 {
        let k = self.own_after.max(1.0);
        self.own * (1.0 - k / (k + (step as f32 / k).min(80.0).exp()))
    }

    fn pass(&self, step: u32) -> Pass {
        Pass {
            dropout: self.dropout,
            skip: self.skip,
            own: self.own_at(step),
            choice: Choice::Drawn,
            noisy: true,
            beta: self.beta * (1.0 - self.beta_rate.powi(step.min(1 << 30) as i32)),
            free: self.free_bits * std::f32::consts::LN_2,
            groove: self.groove,
            seed: self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(step) << 20,
        }
    }

    /// Linear warm-up, then a cosine down to a fiftieth.
    fn learning_rate_at(&self, step: u32) -> f32 {
        if step <= self.warmup {
            return self.learning_rate * step as f32 / self.warmup as f32;
        }
        let through = (step - self.warmup) as f32 / (self.steps - self.warmup.min(self.steps)).max(1) as f32;
        self.learning_rate * (0.02 + 0.49 * (1.0 + (std::f32::consts::PI * through).cos()))
    }
}

/// One validated point of a run; all in nats a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VaePoint {
    pub step: u32,
    /// Mean cost of the training windows since the last point.
    pub train: f64,
    /// Cost of the validation windows with the mean as their code, told the truth (or their own steps, if the training
    /// ends with nothing else); the checkpoint with the least ships.
    pub validation: f64,
    pub reconstruction: f64,
    pub divergence: f64,
    /// Share of steps that come back when the decoder reads its own choices: whole classes, or hits.
    pub accuracy: f64,
}

/// How far a run is; told after every step.
#[derive(Clone, Copy, Debug)]
pub struct VaeProgress {
    pub step: u32,
    pub steps: u32,
    /// Mean over this step's windows.
    pub cost: f64,
    pub divergence: f64,
    pub windows_per_s: f64,
    pub validated: Option<VaePoint>,
}

/// What a split must have.
const WINDOWS: &str = "two bars of common time";
/// Windows a thread takes at a time: enough for fast products, few enough for memory.
const SHARD: usize = 128;
/// Validation windows measured during training; whole splits are measured afterwards.
const VALIDATION_WINDOWS: usize = 768;

/// Trains, or goes on training what `folder` holds, until `settings.steps` or until `report` breaks; the
/// checkpoint in the folder is then that of the last validation.
///
/// The same settings, data and number of threads give the same weights, also across a stop and a resume.
///
/// # Errors
/// See [`Error`]; the folder then holds the last checkpoint.
pub fn train_vae(
    source: &dyn Source,
    settings: VaeSettings,
    folder: &Path,
    threads: usize,
    path: partita_kernels::Path,
    mut report: impl FnMut(VaeProgress) -> ControlFlow<()>,
) -> Result<State, Error> {
    let mut state = match checkpoint::load(folder)? {
        Some(state) if state.settings != settings => {
            return Err(Error::OtherSettings(folder.to_path_buf()));
        }
        Some(state) if state.split_hash != source.split_hash() => {
            return Err(Error::OtherData(folder.to_path_buf()));
        }
        Some(state) => state,
        None => State::new(settings, source.split_hash()),
    };
    if source.windows(Split::Train).is_empty() {
        return Err(Error::EmptySplit { needs: WINDOWS, split: Split::Train.name() });
    }
    let validation = source.windows(Split::Validation);
    if validation.is_empty() {
        return Err(Error::EmptySplit { needs: WINDOWS, split: Split::Validation.name() });
    }
    let every = validation.len().div_ceil(VALIDATION_WINDOWS);
    let validation: Vec<Window> = validation.into_iter().step_by(every).collect();
    let mut workers = Workers::new(&state.weights, threads, path);
    let mut sums = Sums::default();
    while state.step < settings.steps {
        let start = Instant::now();
        let step = state.step + 1;
        let mut rng = Rng::new(settings.seed, u64::from(step));
        let windows: Vec<Window> = (0..settings.batch).map(|_| source.draw(&mut rng)).collect();
        let batch = workers.gradients(&state.weights, &windows, &settings.pass(step));
        let norm = workers.norm() / batch.windows as f64;
        if !(batch.cost.is_finite() && norm.is_finite()) {
            return Err(Error::Diverged(step));
        }
        let scale = (f64::from(settings.clip) / norm.max(1e-12)).min(1.0) / batch.windows as f64;
        update(&mut state, workers.sum(), scale as f32, step, path);
        sums.add(batch);
        state.step = step;
        let seconds = start.elapsed().as_secs_f64();
        let validated = (step % settings.validate_every == 0 || step == settings.steps).then(|| {
            let point = workers.validate(&state, &validation, sums.mean(sums.cost));
            sums = Sums::default();
            point
        });
        if let Some(point) = validated {
            state.points.push(point);
            checkpoint::save(folder, &state)?;
        }
        let progress = VaeProgress {
            step,
            steps: settings.steps,
            cost: batch.mean(batch.cost),
            divergence: batch.mean(batch.divergence),
            windows_per_s: batch.windows as f64 / seconds,
            validated,
        };
        if report(progress).is_break() {
            break;
        }
    }
    Ok(state)
}

/// The threads' networks and gradient sums.
pub(super) struct Workers {
    nets: Vec<(VaeNet, VaeGradients)>,
    path: partita_kernels::Path,
}

impl Workers {
    pub(super) fn new(weights: &VaeWeights, threads: usize, path: partita_kernels::Path) -> Workers {
        let net = || (VaeNet::new(weights.shape, path), VaeGradients::zeros(weights));
        Workers { nets: (0..threads).map(|_| net()).collect(), path }
    }

    /// Runs `work` on shards of `windows`, given with the number of their first window; thread `t` takes shards
    /// `t`, `t + threads`, ...: the order of every sum is fixed.
    pub(super) fn share<T: Send>(
        &mut self,
        windows: &[Window],
        work: impl Fn(&mut VaeNet, &mut VaeGradients, u64, &[Window]) -> T + Sync,
    ) -> Vec<T> {
        let threads = self.nets.len();
        let size = windows.len().div_ceil(threads).clamp(1, SHARD);
        let shards: Vec<(u64, &[Window])> =
            windows.chunks(size).enumerate().map(|(i, shard)| ((i * size) as u64, shard)).collect();
        let mut results: Vec<(u64, T)> = std::thread::scope(|scope| {
            let handles: Vec<_> = self
                .nets
                .iter_mut()
                .enumerate()
                .map(|(t, (net, gradients))| {
                    let (work, shards) = (&work, &shards);
                    scope.spawn(move || {
                        let mine = shards.iter().skip(t).step_by(threads);
                        mine.map(|(first, shard)| (*first, work(net, gradients, *first, shard)))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            handles.into_iter().flat_map(|h| h.join().expect("training threads do not panic")).collect()
        });
        results.sort_by_key(|(first, _)| *first);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// Sums all gradients into [`Workers::sum`].
    pub(super) fn gradients(&mut self, weights: &VaeWeights, windows: &[Window], pass: &Pass) -> Sums {
        for (_, gradients) in &mut self.nets {
            gradients.values.fill(0.0);
            gradients.sums = Sums::default();
        }
        self.share(windows, |net, gradients, first, shard| {
            net.accumulate(weights, shard, first, pass, gradients);
        });
        let path = self.path;
        let ((_, into), others) = self.nets.split_first_mut().expect("at least one thread");
        for (_, other) in others {
            add(path, &mut into.values, &other.values);
            into.sums.add(other.sums);
        }
        into.sums
    }

    /// The gradients that [`Workers::gradients`] summed.
    pub(super) fn sum(&self) -> &[f32] {
        &self.nets[0].1.values
    }

    /// Length of [`Workers::sum`].
    pub(super) fn norm(&self) -> f64 {
        f64::from(squared_norm(self.path, self.sum())).sqrt()
    }

    fn validate(&mut self, state: &State, windows: &[Window], train: f64) -> VaePoint {
        let (settings, weights) = (state.settings, &state.weights);
        let (beta, free) = (settings.beta, settings.free_bits * std::f32::consts::LN_2);
        let groove = Groove { keep_hits: 0.0, ..settings.groove };
        // A network that always learns from its own steps is judged by them too; grooves keep the score's hits.
        let judged = Pass {
            own: if settings.own >= 1.0 { 1.0 } else { 0.0 },
            groove: Groove { keep_hits: 1.0, ..settings.groove },
            ..Pass::TEACHER
        };
        let sums = self.share(windows, |net, _, first, shard| {
            let (losses, divergences) = net.losses(weights, shard, first, &judged);
            let mut sums = Sums::default();
            for (loss, divergence) in losses.iter().zip(&divergences) {
                sums.add(Sums {
                    windows: 1,
                    reconstruction: f64::from(*loss),
                    divergence: f64::from(*divergence),
                    cost: f64::from(loss + beta * (divergence - free).max(0.0)),
                });
            }
            net.losses(weights, shard, first, &Pass { groove, ..Pass::ALONE });
            (sums, right_cells(weights.shape, net.outputs(), shard))
        });
        let (mut total, mut right, mut cells) = (Sums::default(), 0, 0);
        for (sums, (r, c)) in sums {
            total.add(sums);
            right += r;
            cells += c;
        }
        VaePoint {
            step: state.step,
            train,
            validation: total.mean(total.cost),
            reconstruction: total.mean(total.reconstruction),
            divergence: total.mean(total.divergence),
            accuracy: right as f64 / cells.max(1) as f64,
        }
    }
}

/// How many cells of the outputs `[T, N, out]` are the truth, of how many: classes, or hits and silences of nine drums.
pub(super) fn right_cells(shape: VaeShape, outputs: &[f32], windows: &[Window]) -> (usize, usize) {
    let (mut right, mut cells) = (0, 0);
    for (row, output) in outputs.chunks_exact(shape.output).enumerate() {
        let (step, window) = (row / windows.len(), &windows[row % windows.len()]);
        match (&window.target, shape.head) {
            (Target::Classes(classes), _) => {
                cells += 1;
                right += usize::from(best_class(output) == classes[step]);
            }
            (Target::Groove(truth), _) => {
                let truth = &truth[step * shape.output..][..super::DRUMS];
                cells += super::DRUMS;
                right += truth.iter().zip(output).filter(|(hit, out)| (**hit > 0.5) == (**out > 0.0)).count();
            }
        }
    }
    (right, cells)
}

/// The likeliest class; the first of equals.
pub(super) fn best_class(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, value) in logits.iter().enumerate() {
        if *value > logits[best] {
            best = i;
        }
    }
    best as u32
}

pub(super) fn update(
    state: &mut State,
    gradients: &[f32],
    scale: f32,
    step: u32,
    path: partita_kernels::Path,
) {
    let settings = state.settings;
    for tensor in &state.weights.tensors {
        let range = tensor.range.clone();
        let step = AdamW {
            learning_rate: settings.learning_rate_at(step),
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weight_decay: if tensor.decays { settings.weight_decay } else { 0.0 },
            step,
            gradient_scale: scale,
        };
        adamw(
            path,
            step,
            &mut state.weights.values[range.clone()],
            &gradients[range.clone()],
            &mut state.first[range.clone()],
            &mut state.second[range],
        );
    }
}

/// Sizes of the shipped models.
impl VaeShape {
    pub fn melodies() -> VaeShape {
        let classes = super::melodies::CLASSES;
        VaeShape {
            head: Head::Categorical,
            heard: Heard::Hits,
            steps: super::STEPS,
            input: classes,
            output: classes,
            encoder: 384,
            decoder: 256,
            latent: 192,
        }
    }

    pub fn drum_loops() -> VaeShape {
        VaeShape {
            head: Head::Categorical,
            heard: Heard::Hits,
            steps: super::STEPS,
            input: super::drums::BITS,
            output: super::drums::CLASSES,
            encoder: 320,
            decoder: 256,
            latent: 128,
        }
    }

    pub fn grooves() -> VaeShape {
        VaeShape {
            head: Head::Groove,
            heard: Heard::Hits,
            steps: super::STEPS,
            input: super::drums::NUMBERS,
            output: super::drums::NUMBERS,
            encoder: 320,
            decoder: 256,
            latent: 128,
        }
    }

    pub fn taps() -> VaeShape {
        VaeShape { heard: Heard::Taps, encoder: 256, decoder: 192, ..VaeShape::grooves() }
    }
}
