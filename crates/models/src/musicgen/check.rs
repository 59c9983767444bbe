//! What packing costs: a model with packed weights beside the same model in f32.
//!
//! The f32 model plays greedily and alone: its codes, hidden states and logits are kept, its weights are not. The packed
//! model is then fed the same codes, so that an error of one step does not become that of the next, and its weights are
//! compared layer by layer. Never are both models in memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use partita_kernels::{Compute, KvPrecision, Matrix, Path, Pool, Precision};
use partita_nn::{Rng, Sampler, Sampling, Tap, guide};
use serde::Serialize;

use super::lm::Layer;
use super::pattern::Pattern;
use super::stage::Condition;
use super::{BranchId, Decoder, Error, Generate, Lm, MusicGen, Precisions, Section};

const EXACT: Precisions = Precisions { weights: Precision::F32, kv: KvPrecision::F32 };
/// Fewer say little; more do not fit into the 30 seconds of a window.
const STEPS: std::ops::RangeInclusive<usize> = 10..=1500;

/// What both models play.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// As in [`Generate`].
    pub prompt: String,
    /// Columns of codes, 10..=1500.
    pub steps: usize,
    /// As in [`Generate`].
    pub guidance: f32,
}

impl Default for Options {
    fn default() -> Options {
        let Generate { guidance, .. } = Generate::default();
        Options { prompt: "warm lo-fi hip hop with a dusty piano".into(), steps: 100, guidance }
    }
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps of both models and layers compared so far.
    pub done: usize,
    pub of: usize,
    /// What is being done.
    pub doing: &'static str,
}

/// What was found. An error is the root mean square of the difference, divided by that of the f32 values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub precision: &'static str,
    pub kv: &'static str,
    /// The instruction set.
    pub kernels: &'static str,
    pub prompt: String,
    pub guidance: f32,
    pub steps: usize,
    /// Of the sound of `steps` columns.
    pub seconds: f64,
    pub layers: Vec<LayerReport>,
    pub heads: HeadsReport,
    /// Greedy choices with the codes before them given: equal ones.
    pub choices: Share,
    /// The same for each codebook; the first decides most of what is heard.
    pub codebooks: Vec<Share>,
    /// Columns that both models, each playing greedily from its own codes, have in common from the start.
    pub same_columns: usize,
    /// `same_columns` in seconds of sound.
    pub same_seconds: f64,
    /// Bytes of weights that a step reads.
    pub bytes_per_step: usize,
    pub f32_bytes_per_step: usize,
}

/// A layer, the first is 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    pub layer: usize,
    /// Error of all its packed weights.
    pub weights: f64,
    /// Error of what it hands on, with all layers before it packed too; the last one's after the final normalisation.
    pub output: f64,
    pub matrices: Vec<MatrixReport>,
}

/// One matrix of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatrixReport {
    pub name: &'static str,
    pub weights: f64,
}

/// From the last hidden state to scores of codes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadsReport {
    pub weights: f64,
    /// Error of the guided logits.
    pub logits: f64,
    /// Cosine of the angle between guided logits, mean of all steps; 1 is the same direction.
    pub cosine: f64,
    /// That of the worst step.
    pub least_cosine: f64,
}

/// `equal` of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    pub equal: usize,
    pub of: usize,
}

impl Share {
    /// [0, 1]; 1 of none.
    pub fn part(self) -> f64 {
        if self.of == 0 { 1.0 } else { self.equal as f64 / self.of as f64 }
    }

    fn add(&mut self, equal: bool) {
        self.equal += usize::from(equal);
        self.of += 1;
    }
}

/// Compares the model in `folder`, stored as `precisions` say, with itself in f32. `watch` may break it off.
///
/// # Errors
/// A field out of range, a model that cannot be read, [`Error::Cancelled`].
pub fn check(
    folder: &std::path::Path,
    precisions: Precisions,
    (pool, path): (&Arc<Pool>, Path),
    options: &Options,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, Error> {
    let request =
        Generate { prompt: options.prompt.clone(), guidance: options.guidance, ..Generate::default() };
    request.check()?;
    if !STEPS.contains(&options.steps) {
        return Err(Error::range("steps", "10..=1500", options.steps));
    }
    let compute = || Compute::new(Arc::clone(pool), path);
    let exact = MusicGen::open(folder, EXACT)?;
    let config = exact.config();
    let of = 2 * options.steps + config.decoder.num_hidden_layers + 1;
    let mut done = 0;
    let mut tell = |doing: &'static str| {
        let broken = watch(Progress { done, of, doing }).is_break();
        done += 1;
        if broken { Err(Error::Cancelled) } else { Ok(()) }
    };
    tell("reading the prompt")?;
    let condition = exact.condition(&mut compute(), &options.prompt, None)?;
    let null = exact.null_condition(&mut compute(), &condition);
    exact.release(Section::Text);
    let pattern = Pattern {
        codebooks: config.decoder.num_codebooks,
        channels: config.decoder.audio_channels,
        frames: options.steps,
    };
    let told = Told { condition, guidance: (options.guidance > 1.0).then_some((null, options.guidance)) };

    let lm = exact.lm()?;
    let mut player = Player::new(&lm, compute(), EXACT.kv, &told, options.steps);
    let mut chooser = Chooser::new(pattern, lm.start())?;
    let mut columns = vec![vec![lm.start(); pattern.codebooks]];
    let mut kept = Vec::new();
    for step in 0..options.steps {
        tell("playing in f32")?;
        let seen = player.step(&columns[step]);
        columns.push(chooser.choose(step + 1, &seen.logits)?);
        kept.push(seen);
    }
    let f32_bytes_per_step = lm.step_bytes();
    drop((player, lm));
    exact.release(Section::Lm);

    let packed = MusicGen::open(folder, precisions)?;
    let lm = packed.lm()?;
    let mut player = Player::new(&lm, compute(), precisions.kv, &told, options.steps);
    let mut found = Found::new(lm.layers.len(), pattern);
    for (step, expected) in kept.iter().enumerate() {
        tell("playing with packed weights")?;
        let seen = player.step(&columns[step]);
        let chosen = chooser.choose(step + 1, &seen.logits)?;
        found.compare(expected, &seen);
        found.count(step + 1, &columns[step + 1], &chosen);
    }
    drop(player);

    let mut layers = Vec::new();
    for (index, layer) in lm.layers.iter().enumerate() {
        tell("comparing weights")?;
        let f32_layer = Layer::load(exact.tensors(), config, index, Precision::F32)?;
        layers.push(found.layer(index, &f32_layer, layer));
    }
    tell("comparing weights")?;
    let f32_heads = Lm::load_heads(exact.tensors(), config, Precision::F32)?;
    let frame_rate = config.audio_encoder.frame_rate() as f64;
    Ok(Report {
        precision: precisions.weights.name(),
        kv: precisions.kv.name(),
        kernels: path.name(),
        prompt: options.prompt.clone(),
        guidance: options.guidance,
        steps: options.steps,
        seconds: options.steps as f64 / frame_rate,
        layers,
        heads: found.heads(&f32_heads, &lm.heads),
        choices: found.choices,
        codebooks: found.codebooks,
        same_columns: found.same_columns,
        same_seconds: found.same_columns as f64 / frame_rate,
        bytes_per_step: lm.step_bytes(),
        f32_bytes_per_step,
    })
}

/// What both models are told.
struct Told {
    condition: Condition,
    guidance: Option<(Condition, f32)>,
}

/// One model, column by column.
struct Player {
    decoder: Decoder,
    width: usize,
    with: BranchId,
    without: Option<(BranchId, f32)>,
}

/// What one step gave.
struct Seen {
    /// Hidden states of the branch with the prompt: the embedding, then what each layer hands on, `[D]` each.
    hidden: Vec<Vec<f32>>,
    /// `[K, V]`, guided.
    logits: Vec<f32>,
}

impl Player {
    fn new(lm: &Arc<Lm>, compute: Compute, kv: KvPrecision, told: &Told, steps: usize) -> Player {
        let width = lm.config().hidden_size;
        let capacity = told.condition.prefix.len() / width + steps;
        let mut decoder = Decoder::new(lm, compute, kv, capacity);
        let mut join = |condition: &Condition| {
            let text = Some(condition.text.as_slice()).filter(|rows| !rows.is_empty());
            let branch = decoder.join(text);
            decoder.prefix(branch, &condition.prefix);
            branch
        };
        let with = join(&told.condition);
        let without = told.guidance.as_ref().map(|(condition, scale)| (join(condition), *scale));
        Player { decoder, width, with, without }
    }

    fn step(&mut self, column: &[u32]) -> Seen {
        let mut rows = vec![(self.with, column)];
        rows.extend(self.without.map(|(branch, _)| (branch, column)));
        let mut tap = Tap::hidden();
        let logits = self.decoder.step_tapped(&rows, Some(&mut tap));
        let logits = match self.without {
            Some((_, scale)) => {
                let (with, without) = logits.split_at(logits.len() / 2);
                guide(with, without, scale)
            }
            None => logits.to_vec(),
        };
        Seen { hidden: tap.hidden.iter().map(|rows| rows[..self.width].to_vec()).collect(), logits }
    }
}

/// Takes the likeliest codes.
struct Chooser {
    pattern: Pattern,
    start: u32,
    sampler: Sampler,
    /// Greedy choices draw nothing from it.
    rng: Rng,
}

impl Chooser {
    fn new(pattern: Pattern, start: u32) -> Result<Chooser, Error> {
        Ok(Chooser { pattern, start, sampler: Sampler::new(Sampling::greedy())?, rng: Rng::new(0, 0) })
    }

    /// Column `column`, `[K]`, from the logits `[K, V]` of the one before.
    fn choose(&mut self, column: usize, logits: &[f32]) -> Result<Vec<u32>, Error> {
        let rows = logits.chunks_exact(logits.len() / self.pattern.codebooks);
        rows.enumerate()
            .map(|(k, logits)| match self.pattern.frame(k, column) {
                Some(_) => Ok(self.sampler.sample(logits, &[], None, &mut self.rng)?),
                None => Ok(self.start),
            })
            .collect()
    }
}

/// Sums over all steps.
struct Found {
    pattern: Pattern,
    /// As [`Seen::hidden`].
    hidden: Vec<Distance>,
    logits: Distance,
    cosines: f64,
    least_cosine: f64,
    steps: usize,
    choices: Share,
    codebooks: Vec<Share>,
    same_columns: usize,
}

impl Found {
    fn new(layers: usize, pattern: Pattern) -> Found {
        Found {
            pattern,
            hidden: vec![Distance::default(); layers + 1],
            logits: Distance::default(),
            cosines: 0.0,
            least_cosine: 1.0,
            steps: 0,
            choices: Share::default(),
            codebooks: vec![Share::default(); pattern.codebooks],
            same_columns: 0,
        }
    }

    fn compare(&mut self, expected: &Seen, got: &Seen) {
        for (distance, (expected, got)) in self.hidden.iter_mut().zip(expected.hidden.iter().zip(&got.hidden))
        {
            distance.add(expected, got);
        }
        self.logits.add(&expected.logits, &got.logits);
        let cosine = cosine(&expected.logits, &got.logits);
        self.cosines += cosine;
        self.least_cosine = self.least_cosine.min(cosine);
        self.steps += 1;
    }

    /// Counts the choices of column `column`; codebooks without a frame there have none.
    fn count(&mut self, column: usize, expected: &[u32], got: &[u32]) {
        // Until its first other choice, a model fed the f32 model's codes is fed its own.
        if self.same_columns == column - 1 && expected == got {
            self.same_columns = column;
        }
        for (k, (expected, got)) in expected.iter().zip(got).enumerate() {
            if self.pattern.frame(k, column).is_some() {
                self.choices.add(expected == got);
                self.codebooks[k].add(expected == got);
            }
        }
    }

    fn layer(&self, index: usize, exact: &Layer, packed: &Layer) -> LayerReport {
        let mut all = Distance::default();
        let every = |layer| [Layer::matrices(layer), Layer::text_matrices(layer)].concat();
        let (exact, packed) = (every(exact), every(packed));
        let matrices = exact
            .into_iter()
            .zip(packed)
            .map(|((name, exact), (_, packed))| {
                let distance = Distance::between(exact, packed);
                all.join(distance);
                MatrixReport { name, weights: distance.relative() }
            })
            .collect();
        LayerReport {
            layer: index,
            weights: all.relative(),
            output: self.hidden[index + 1].relative(),
            matrices,
        }
    }

    fn heads(&self, exact: &Matrix, packed: &Matrix) -> HeadsReport {
        HeadsReport {
            weights: Distance::between(exact, packed).relative(),
            logits: self.logits.relative(),
            cosine: self.cosines / self.steps as f64,
            least_cosine: self.least_cosine,
        }
    }
}

/// Sums of squares.
#[derive(Clone, Copy, Debug, Default)]
struct Distance {
    difference: f64,
    exact: f64,
}

impl Distance {
    fn between(exact: &Matrix, packed: &Matrix) -> Distance {
        let mut distance = Distance::default();
        (0..exact.out_features()).for_each(|row| distance.add(&exact.row(row), &packed.row(row)));
        distance
    }

    fn add(&mut self, exact: &[f32], got: &[f32]) {
        for (&exact, &got) in exact.iter().zip(got) {
            let (exact, got) = (f64::from(exact), f64::from(got));
            self.difference += (exact - got) * (exact - got);
            self.exact += exact * exact;
        }
    }

    fn join(&mut self, other: Distance) {
        self.difference += other.difference;
        self.exact += other.exact;
    }

    /// 0 where nothing differs, also from zeros.
    fn relative(self) -> f64 {
        if self.difference == 0.0 {
            0.0
        } else {
            (self.difference / self.exact.max(f64::MIN_POSITIVE)).sqrt()
        }
    }
}

/// [-1, 1]; 1 of equal vectors, also of zeros.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a == b {
        return 1.0;
    }
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    (dot(a, b) / lengths.max(f64::MIN_POSITIVE)).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn musicgen_errors_are_relative_to_the_exact_values() {
        let mut distance = Distance::default();
        distance.add(&[3.0, 0.0], &[3.0, 0.4]);
        distance.add(&[0.0, 4.0], &[0.3, 4.0]);
        assert!((distance.relative() - 0.1).abs() < 1e-7, "{distance:?}");
        assert!(Distance::default().relative().abs() < f64::EPSILON);
        assert!((cosine(&[1.0, 0.0], &[1.0, 1.0]) - 0.5f64.sqrt()).abs() < 1e-12);
        assert!((cosine(&[0.0], &[0.0]) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn musicgen_columns_count_as_the_same_up_to_the_first_other_code() {
        let pattern = Pattern { codebooks: 2, channels: 1, frames: 10 };
        let mut found = Found::new(1, pattern);
        found.count(1, &[5, 9], &[5, 9]);
        found.count(2, &[6, 7], &[6, 8]);
        found.count(3, &[1, 2], &[1, 2]);
        assert_eq!(found.same_columns, 1);
        assert_eq!(found.choices, Share { equal: 4, of: 5 });
        assert_eq!(found.codebooks, [Share { equal: 3, of: 3 }, Share { equal: 1, of: 2 }]);
    }
}
