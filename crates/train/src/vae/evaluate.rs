//! What an autoencoder is worth on windows it never saw.

use std::collections::HashSet;

use partita_kernels::{Path, sigmoid_slice, tanh_slice};
use partita_nn::Rng;
use serde::Serialize;

use super::drums::{Grooves, NUMBERS, groove_window};
use super::head::{Choice, DRUMS, Groove};
use super::net::{Pass, Target, VaeNet, Window, normal};
use super::run::{Workers, best_class, right_cells};
use super::source::Source;
use super::weights::{Head, Heard, VaeWeights};
use crate::evaluate::{Humanizing, PlayedStroke, distances};
use crate::groove::Split;

/// MusicVAE's table on one split: likelihood, and how much of a window comes back.
///
/// A cell is a step's class; for grooves, whether one of nine drums is struck at a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reconstruction {
    pub split: &'static str,
    pub windows: usize,
    /// Nats a window of the truth, told all steps before, for a code drawn from the posterior; for grooves the loss
    /// (log-loss of hits, squared errors of velocities and offsets) instead.
    pub reconstruction: f64,
    /// Nats a window of the posterior from the prior.
    pub divergence: f64,
    /// Sum of both over the steps of a window: an upper bound of nats a step.
    pub bound_per_step: f64,
    /// Nats a step of a table of which class follows which, learnt from the training split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followers_per_step: Option<f64>,
    /// Share of cells right with the mean as the code, told the truth at every step.
    pub told: f64,
    /// The same reading its own likeliest choices.
    pub alone: f64,
    /// Windows all of whose cells are right then.
    pub alone_whole: f64,
    /// For drum loops: share of the nine drums' strokes and silences that are right then, and of never striking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strokes_alone: Option<[f64; 2]>,
    /// Share of cells right with a drawn code and choices drawn at temperature 1.
    pub drawn: f64,
    /// Share of cells right of always saying the commonest class, or of never striking.
    pub commonest: f64,
}

/// Measures `weights` on a split of `source`.
pub fn reconstruction(
    source: &dyn Source,
    weights: &VaeWeights,
    split: Split,
    threads: usize,
    path: Path,
) -> Reconstruction {
    let windows = source.windows(split);
    let mut workers = Workers::new(weights, threads, path);
    let told = workers.share(&windows, |net, _, first, shard| {
        net.losses(weights, shard, first, &Pass::TEACHER);
        right_cells(weights.shape, net.outputs(), shard).0
    });
    let noisy = Pass { noisy: true, seed: 1, ..Pass::TEACHER };
    let nats = workers.share(&windows, |net, _, first, shard| {
        let (losses, divergences) = net.losses(weights, shard, first, &noisy);
        let sum = |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>();
        (sum(&losses), sum(&divergences))
    });
    let alone = workers.share(&windows, |net, _, first, shard| {
        net.losses(weights, shard, first, &Pass::ALONE);
        let right = right_cells(weights.shape, net.outputs(), shard).0;
        (right, whole_windows(weights, net.outputs(), shard), strokes(weights, net.outputs(), shard))
    });
    let drawing = Pass { noisy: true, seed: 2, choice: Choice::Drawn, ..Pass::ALONE };
    let drawn = workers.share(&windows, |net, _, first, shard| {
        net.losses(weights, shard, first, &drawing);
        drawn_cells(weights, net, shard, first, &drawing)
    });
    let cells =
        windows.len() * weights.shape.steps * if weights.shape.head == Head::Groove { DRUMS } else { 1 };
    let (mut losses, mut divergences) = (0.0, 0.0);
    for (loss, divergence) in nats {
        losses += loss;
        divergences += divergence;
    }
    let a_window = |sum: f64| sum / windows.len().max(1) as f64;
    let share = |right: usize| right as f64 / cells.max(1) as f64;
    Reconstruction {
        split: split.name(),
        windows: windows.len(),
        reconstruction: a_window(losses),
        divergence: a_window(divergences),
        bound_per_step: a_window(losses + divergences) / weights.shape.steps as f64,
        followers_per_step: followers(&source.windows(Split::Train), &windows, weights.shape.output),
        told: share(told.into_iter().sum()),
        alone: share(alone.iter().map(|(right, ..)| right).sum()),
        alone_whole: a_window(alone.iter().map(|(_, whole, _)| *whole as f64).sum()),
        strokes_alone: (weights.shape.output == super::drums::CLASSES).then(|| {
            let sum = |which: usize| alone.iter().map(|(.., strokes)| strokes[which]).sum::<u32>();
            [0, 1].map(|which| f64::from(sum(which)) / (cells * DRUMS).max(1) as f64)
        }),
        drawn: share(drawn.into_iter().sum()),
        commonest: share(commonest(&windows, weights.shape.output)),
    }
}

/// Windows all of whose cells are right.
fn whole_windows(weights: &VaeWeights, outputs: &[f32], windows: &[Window]) -> usize {
    let (shape, rows) = (weights.shape, windows.len());
    let is_whole = |row: usize| {
        (0..shape.steps).all(|step| {
            let output = &outputs[(step * rows + row) * shape.output..][..shape.output];
            match &windows[row].target {
                Target::Classes(classes) => best_class(output) == classes[step],
                Target::Groove(truth) => {
                    let truth = &truth[step * shape.output..][..DRUMS];
                    truth.iter().zip(output).all(|(hit, out)| (*hit > 0.5) == (*out > 0.0))
                }
            }
        })
    };
    (0..rows).filter(|row| is_whole(*row)).count()
}

/// Of the nine bits of every class: how many the likeliest class has right, and how many are not set.
fn strokes(weights: &VaeWeights, outputs: &[f32], windows: &[Window]) -> [u32; 2] {
    let mut counts = [0; 2];
    for (row, output) in outputs.chunks_exact(weights.shape.output).enumerate() {
        if let Target::Classes(classes) = &windows[row % windows.len()].target {
            let class = classes[row / windows.len()];
            let wrong = (best_class(output) ^ class).count_ones();
            counts[0] += (DRUMS as u32).saturating_sub(wrong);
            counts[1] += (DRUMS as u32).saturating_sub(class.count_ones());
        }
    }
    counts
}

/// Right cells among what the decoder drew: what it read at the next step, and a last draw.
fn drawn_cells(weights: &VaeWeights, net: &VaeNet, windows: &[Window], first: u64, pass: &Pass) -> usize {
    let (shape, rows) = (weights.shape, windows.len());
    let mut right = 0;
    for (row, window) in windows.iter().enumerate() {
        // The last step is not read back; it is drawn here.
        let mut rng = Rng::new(pass.seed ^ 0x5eed, first + row as u64);
        let last = &net.outputs()[((shape.steps - 1) * rows + row) * shape.output..][..shape.output];
        for step in 0..shape.steps {
            let read = (step + 1 < shape.steps).then(|| net.read_at(step + 1, row, rows));
            match &window.target {
                Target::Classes(classes) => {
                    let class = match read {
                        Some(mut read) => read.next().map(|(class, _)| class),
                        None => Some(super::head::choose_class(last, pass.choice, &mut rng)),
                    };
                    right += usize::from(class == Some(classes[step]));
                }
                Target::Groove(truth) => {
                    let mut hits = [false; DRUMS];
                    match read {
                        Some(read) => read.filter(|(at, _)| (*at as usize) < DRUMS).for_each(|(at, _)| {
                            hits[at as usize] = true;
                        }),
                        None => {
                            for (hit, logit) in hits.iter_mut().zip(last) {
                                *hit = rng.f32() < 1.0 / (1.0 + (-logit).exp());
                            }
                        }
                    }
                    let truth = &truth[step * shape.output..][..DRUMS];
                    right += truth.iter().zip(hits).filter(|(truth, hit)| (**truth > 0.5) == *hit).count();
                }
            }
        }
    }
    right
}

fn commonest(windows: &[Window], classes: usize) -> usize {
    let mut counts = vec![0; classes];
    let mut silent = 0;
    for window in windows {
        match &window.target {
            Target::Classes(steps) => steps.iter().for_each(|class| counts[*class as usize] += 1),
            Target::Groove(truth) => {
                let hits = truth.chunks_exact(classes).flat_map(|row| &row[..DRUMS]);
                silent += hits.filter(|hit| **hit < 0.5).count();
            }
        }
    }
    counts.into_iter().max().unwrap_or(0) + silent
}

/// Nats a step of `test` by which class follows which in `train` (as many imagined followers as there are kinds).
fn followers(train: &[Window], test: &[Window], classes: usize) -> Option<f64> {
    let steps = |window: &Window| match &window.target {
        Target::Classes(steps) => Some(steps.clone()),
        Target::Groove(_) => None,
    };
    let train: Vec<Vec<u32>> = train.iter().map(steps).collect::<Option<_>>()?;
    let test: Vec<Vec<u32>> = test.iter().map(steps).collect::<Option<_>>()?;
    let mut single = vec![1.0f64; classes];
    // The row after the last class is for the beginning of a window.
    let mut pairs = vec![0.0f64; (classes + 1) * classes];
    for window in &train {
        let mut before = classes;
        for class in window {
            single[*class as usize] += 1.0;
            pairs[before * classes + *class as usize] += 1.0;
            before = *class as usize;
        }
    }
    let all: f64 = single.iter().sum();
    let rows: Vec<(f64, f64)> = pairs
        .chunks_exact(classes)
        .map(|row| (row.iter().sum(), row.iter().filter(|count| **count > 0.0).count().max(1) as f64))
        .collect();
    let (mut nats, mut count) = (0.0, 0usize);
    for window in &test {
        let mut before = classes;
        for class in window {
            let class = *class as usize;
            let (total, kinds) = rows[before];
            nats -= ((pairs[before * classes + class] + kinds * single[class] / all) / (total + kinds)).ln();
            count += 1;
            before = class;
        }
    }
    Some(nats / count.max(1) as f64)
}

/// Windows played from codes of the prior, and how many of them are in the training split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Invented {
    pub windows: usize,
    /// Share that the training split holds; melodies count in any transposition.
    pub known: f64,
    /// The same of the test split's windows.
    pub test_known: f64,
    /// Different ones among them.
    pub distinct: usize,
}

/// Plays `count` windows of classes from the prior, at temperature 1, and looks for them in the training split.
///
/// `transposes` tells which classes are pitches: from this one on. Melodies are compared by their intervals.
pub fn invented(
    source: &dyn Source,
    weights: &VaeWeights,
    count: usize,
    transposes: Option<u32>,
    path: Path,
) -> Invented {
    let key = |steps: &[u32]| -> Vec<i64> {
        let Some(lowest) = transposes else { return steps.iter().map(|class| i64::from(*class)).collect() };
        let mut first = None;
        let interval = |class: &u32| {
            if *class < lowest {
                return i64::from(*class) - 1000;
            }
            i64::from(*class) - i64::from(*first.get_or_insert(*class))
        };
        steps.iter().map(interval).collect()
    };
    let classes = |window: &Window| match &window.target {
        Target::Classes(steps) => key(steps),
        Target::Groove(truth) => truth.iter().map(|value| (value * 1e3) as i64).collect(),
    };
    let known: HashSet<Vec<i64>> = source.windows(Split::Train).iter().map(classes).collect();
    let share = |all: &[Vec<i64>]| {
        all.iter().filter(|window| known.contains(*window)).count() as f64 / all.len().max(1) as f64
    };
    let test: Vec<Vec<i64>> = source.windows(Split::Test).iter().map(classes).collect();
    let mut net = VaeNet::new(weights.shape, path);
    let (latent, steps) = (weights.shape.latent, weights.shape.steps);
    let mut played: Vec<Vec<i64>> = Vec::new();
    // One step more would be read back; the last step is the likeliest class.
    for first in (0..count).step_by(64) {
        let rows = (count - first).min(64);
        let mut rng = Rng::new(3, first as u64);
        let codes: Vec<f32> = (0..rows * latent).map(|_| normal(&mut rng)).collect();
        let pass = Pass { choice: Choice::Drawn, seed: 4, ..Pass::ALONE };
        let outputs = net.play(weights, &codes, first as u64, &pass).to_vec();
        for row in 0..rows {
            let class = |step: usize| {
                let output = &outputs[(step * rows + row) * weights.shape.output..][..weights.shape.output];
                let read = (step + 1 < steps).then(|| net.read_at(step + 1, row, rows).next());
                read.flatten().map_or_else(|| best_class(output), |(class, _)| class)
            };
            let window: Vec<u32> = (0..steps).map(class).collect();
            played.push(key(&window));
        }
    }
    let distinct = played.iter().collect::<HashSet<_>>().len();
    Invented { windows: played.len(), known: share(&played), test_known: share(&test), distinct }
}

/// Humanizing by GrooVAE's recipe, and the same with the model's strokes widened around their mean.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Widened {
    /// Factor on how far offsets and velocities are from their means.
    pub gain: f64,
    pub distances: Humanizing,
}

/// Plays the scores of a split: the encoder sees the hits; the decoder is told them as it goes, and its own
/// velocities and offsets. One row for each gain.
///
/// The means are those of the drummers' strokes in the training split.
pub fn humanizing(
    grooves: &Grooves,
    weights: &VaeWeights,
    split: Split,
    gains: &[f64],
    threads: usize,
    path: Path,
) -> Vec<Widened> {
    let played = grooves.played(split);
    let windows: Vec<Window> = played.iter().map(|window| groove_window(&window.hits, Heard::Hits)).collect();
    let groove = Groove { keep_hits: 1.0, ..Groove::PLAIN };
    let mut workers = Workers::new(weights, threads, path);
    let strokes = workers.share(&windows, |net, _, first, shard| {
        net.losses(weights, shard, first, &Pass { groove, ..Pass::ALONE });
        let (mut sigmoids, mut tanhs) = (net.outputs().to_vec(), net.outputs().to_vec());
        sigmoid_slice(path, &mut sigmoids);
        tanh_slice(path, &mut tanhs);
        let mut strokes = Vec::new();
        for (row, window) in played[first as usize..][..shard.len()].iter().enumerate() {
            for hit in &window.hits {
                let at = (hit.step as usize * shard.len() + row) * NUMBERS + hit.class.index();
                strokes.push(PlayedStroke {
                    played: *hit,
                    offset: f64::from(-tanhs[at + 2 * DRUMS] / 2.0),
                    velocity: f64::from(sigmoids[at + DRUMS] * 127.0),
                    step_ms: window.step_ms,
                });
            }
        }
        strokes
    });
    let strokes: Vec<PlayedStroke> = strokes.into_iter().flatten().collect();
    let train = grooves.played(Split::Train);
    let hits = || train.iter().flat_map(|window| &window.hits);
    let count = hits().count().max(1) as f64;
    let offset = hits().map(|hit| f64::from(hit.offset)).sum::<f64>() / count;
    let velocity = hits().map(|hit| f64::from(hit.velocity)).sum::<f64>() / count;
    let widened = |gain: f64| {
        let widen = |stroke: &PlayedStroke| PlayedStroke {
            offset: (offset + gain * (stroke.offset - offset)).clamp(-0.5, 0.5),
            velocity: (velocity + gain * (stroke.velocity - velocity)).clamp(1.0, 127.0),
            ..*stroke
        };
        let strokes: Vec<PlayedStroke> = strokes.iter().map(widen).collect();
        Widened { gain, distances: distances(split, &strokes) }
    };
    gains.iter().map(|gain| widened(*gain)).collect()
}
