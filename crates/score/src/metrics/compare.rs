//! Two sets of pieces, side by side.

use serde::Serialize;

use super::density::{Density, kl_divergence, overlapping_area};
use super::feature::{Feature, distance};
use super::metric::Metric;
use crate::Score;

/// What the numbers say of pieces made by a machine, beside real ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Pieces of each set.
    pub real: usize,
    pub generated: usize,
    /// By [`Metric::ALL`].
    pub metrics: Vec<Means>,
    /// By [`Feature::ALL`].
    pub features: Vec<Distance>,
}

/// Means of one of MusPy's metrics over the pieces that have it; `None` where none does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Means {
    pub name: &'static str,
    pub real: Option<f64>,
    pub generated: Option<f64>,
}

/// How the distances between generated and real pieces differ from those among the real ones, by one of mgeval's
/// features. `None` where there are too few pieces for a distribution, or all are equally far apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Distance {
    pub name: &'static str,
    /// OA, `[0, 1]`: 1 if generated pieces are as far from real ones as these from each other.
    pub overlapping_area: Option<f64>,
    /// KLD, in nats, from the distances among real pieces.
    pub kl_divergence: Option<f64>,
}

/// Compares pieces made by a machine with real ones. `watch` hears how many of how many steps are done.
///
/// Distances among the real pieces are those of every piece to all others (leave-one-out), those between the sets of
/// every generated piece to every real one; both are smoothed with Gaussian kernels (Yang and Lerch 2020, section 4.2).
/// The time grows with the product of the sets, and with the square of the real one.
pub fn compare(real: &[Score], generated: &[Score], watch: &mut dyn FnMut(usize, usize)) -> Comparison {
    let of = Feature::ALL.len();
    let metrics = Metric::ALL.map(|metric| {
        let mean = |set: &[Score]| {
            let values: Vec<f64> = set.iter().filter_map(|score| metric.of(score)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Means { name: metric.name(), real: mean(real), generated: mean(generated) }
    });
    watch(0, of);
    let mut features = Vec::new();
    for feature in Feature::ALL {
        let values =
            |set: &[Score]| set.iter().filter_map(|score| feature.of(score)).collect::<Vec<Vec<f64>>>();
        features.push(distances(feature, &values(real), &values(generated)));
        watch(features.len(), of);
    }
    Comparison { real: real.len(), generated: generated.len(), metrics: metrics.into(), features }
}

fn distances(feature: Feature, real: &[Vec<f64>], generated: &[Vec<f64>]) -> Distance {
    let others = |index: usize| real.iter().enumerate().filter(move |(other, _)| *other != index);
    let among = real.iter().enumerate();
    let among = among.flat_map(|(index, one)| others(index).map(|(_, other)| distance(one, other)));
    let between = generated.iter().flat_map(|one| real.iter().map(|other| distance(one, other)));
    let densities = Density::new(among.collect()).zip(Density::new(between.collect()));
    Distance {
        name: feature.name(),
        overlapping_area: densities.as_ref().map(|(among, between)| overlapping_area(among, between)),
        kl_divergence: densities.as_ref().and_then(|(among, between)| kl_divergence(among, between)),
    }
}
