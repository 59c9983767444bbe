//! How far int8 weights lead away from f32.
//!
//! The weights of the vectors are uniform noise, spread so that the gates are lively: every rounding error counts, and
//! choices are as close as noise makes them.

use partita_kernels::{Path, Precision};
use partita_models::music_vae::{MusicVae, Sequence, Teacher};

use crate::music_vae::{on, reference};

struct Distance {
    /// Largest difference of mu, in spreads: of sigma.
    mu: f32,
    /// Root of the mean square of the outputs' differences, and of the outputs themselves.
    outputs: [f64; 2],
    /// Choices that are the same, and how many there are; given the same steps before.
    same: [usize; 2],
    /// The largest margin of a choice that changed.
    margin: f32,
}

fn distance(name: &str, precision: Precision) -> Distance {
    let reference = reference(name);
    let compute = &mut on(2, Path::from_env().unwrap());
    let measure = |model: &MusicVae, compute: &mut _, targets: Option<Vec<Sequence>>| {
        let posteriors = reference.encoded(model, compute);
        let points: Vec<Vec<f32>> = posteriors.iter().map(|posterior| posterior.mu.clone()).collect();
        let targets = targets.unwrap_or_else(|| reference.decoded(model, compute, &points, 0.0));
        (posteriors, points, targets)
    };
    let exact = reference.model(Precision::F32);
    let (posteriors, points, targets) = measure(&exact, compute, None);
    let taught = |model: &MusicVae, compute: &mut _| {
        let controls = reference.controls();
        let request = Teacher { points: &points, targets: &targets, controls: controls.as_deref() };
        model.teach(compute, &request).unwrap()
    };
    let expected = taught(&exact, compute);
    // Only one of a large pair is in memory.
    drop(exact);
    let packed = reference.model(precision);
    let parameters: usize = reference.recipe().values();
    // A quarter of f32 or less, scales and biases, and the few layers that stay f32.
    assert!(packed.bytes() < parameters * 3 / 2, "{name}: {} bytes", packed.bytes());
    let (near, ..) = measure(&packed, compute, Some(targets.clone()));
    let got = taught(&packed, compute);
    let mu = near.iter().zip(&posteriors).flat_map(|(near, exact)| {
        let spreads = near.mu.iter().zip(&exact.mu).zip(&exact.sigma);
        spreads.map(|((near, exact), sigma)| (near - exact).abs() / sigma)
    });
    let mut distance = Distance { mu: mu.fold(0.0, f32::max), outputs: [0.0; 2], same: [0; 2], margin: 0.0 };
    let classes = packed.config().columns().map(|columns| columns[0]);
    let mut count = 0.0;
    for (got, expected) in got.iter().zip(&expected) {
        for (a, b) in got.outputs.iter().zip(&expected.outputs) {
            distance.outputs[0] += f64::from(a - b).powi(2);
            distance.outputs[1] += f64::from(*b).powi(2);
            count += 1.0;
        }
        let width = classes.unwrap_or(27);
        for (a, b) in got.outputs.chunks_exact(width).zip(expected.outputs.chunks_exact(width)) {
            let choices = if classes.is_some() { vec![choice(a, b)] } else { hits(a, b) };
            for (same, margin) in choices {
                distance.same[0] += usize::from(same);
                distance.same[1] += 1;
                distance.margin = if same { distance.margin } else { distance.margin.max(margin) };
            }
        }
    }
    distance.outputs = distance.outputs.map(|sum| (sum / count).sqrt());
    println!(
        "{name} {}: mu {:.4} sigma apart, outputs {:.4} of {:.3}, {} of {} choices, margin {:.4}",
        precision.name(),
        distance.mu,
        distance.outputs[0],
        distance.outputs[1],
        distance.same[0],
        distance.same[1],
        distance.margin
    );
    distance
}

/// Whether the most likely class is the same, and by how much it was the most likely.
fn choice(got: &[f32], exact: &[f32]) -> (bool, f32) {
    let best =
        |row: &[f32]| row.iter().enumerate().fold(0, |best, (at, &x)| if x > row[best] { at } else { best });
    let top = best(exact);
    let others = exact.iter().enumerate().filter(|(at, _)| *at != top);
    let second = others.fold(f32::NEG_INFINITY, |second, (_, &x)| second.max(x));
    (best(got) == top, exact[top] - second)
}

/// Whether each drum still sounds, or still does not, and how far it was from the other.
fn hits(got: &[f32], exact: &[f32]) -> Vec<(bool, f32)> {
    got.iter().zip(exact).take(9).map(|(got, exact)| ((*got > 0.0) == (*exact > 0.0), exact.abs())).collect()
}

struct Bounds {
    mu: f32,
    /// Of the outputs, relative to their own size.
    outputs: f64,
    /// Of a choice that changes, in what an output is off: two outputs that were nearly tied.
    margin: f64,
    /// Of choices that stay. Among noise, near ties are common; a trained model's choices are further apart.
    same: f64,
}

/// A weight is rounded by up to half of 1/127 of the largest of its column, a state by half of 1/127 of the largest
/// of its row: of noise with a uniform spread, about 0.4 % each, which steps and layers add up to 1.6 to 2.7 %. Mu stays
/// far within the spread that a point is drawn with anyway.
const INT8: Bounds = Bounds { mu: 0.1, outputs: 0.04, margin: 6.0, same: 0.9 };

fn check(name: &str, precision: Precision, bounds: &Bounds) {
    let distance = distance(name, precision);
    let off = distance.outputs[0];
    assert!(distance.mu < bounds.mu, "{name}: {}", distance.mu);
    assert!(off < bounds.outputs * distance.outputs[1], "{name}: {:?}", distance.outputs);
    assert!(f64::from(distance.margin) < bounds.margin * off, "{name}: {}", distance.margin);
    let [same, all] = distance.same.map(|count| count as f64);
    assert!(same >= bounds.same * all, "{name}: {:?}", distance.same);
}

#[test]
fn magenta_int8_stays_near_f32() {
    for name in ["full_cat-drums_2bar_small", "full_groovae_2bar_humanize", "full_cat-mel_2bar_big"] {
        check(name, Precision::Int8, &INT8);
    }
}

/// A weight is rounded by up to half of 1/15 of what its group of 32 spans: about twelve times as much as in int8.
const Q4: Bounds = Bounds { mu: 1.5, outputs: 0.3, margin: 6.0, same: 0.6 };

#[test]
fn magenta_q4_is_coarser_but_no_other_model() {
    for name in ["full_cat-drums_2bar_small", "full_groovae_2bar_humanize"] {
        check(name, Precision::Q4, &Q4);
    }
}
