//! Metrics against what MusPy and mgeval say of the same files: `testdata/metrics`.

use std::collections::BTreeMap;
use std::{fs, path::PathBuf};

use partita_score::metrics::{
    Density, Feature, Metric, compare, distance, kl_divergence, overlapping_area, pitch_in_scale_rate,
    polyphony_rate,
};
use partita_score::{KeyChange, Note, Score, Tick, Track, midi};
use serde_json::Value;

/// Sums in another order.
const ROUNDING: f64 = 1e-9;
/// mgeval integrates adaptively and stumbles where two densities cross: 3e-6 beside 65536 intervals of Simpson's rule
/// over scipy's own densities, from which we are 2e-8 away.
const QUADRATURE: f64 = 1e-5;

fn testdata(path: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn score(path: &str) -> Score {
    midi::read(&testdata(path)).expect("a valid file")
}

fn golden(name: &str) -> BTreeMap<String, Value> {
    serde_json::from_slice(&testdata(&format!("metrics/{name}"))).expect("an object")
}

fn close(got: Option<f64>, expected: &Value, tolerance: f64, what: &str) {
    let same = match (got, expected.as_f64()) {
        (Some(got), Some(expected)) => (got - expected).abs() <= tolerance * expected.abs().max(1.0),
        (None, None) => true,
        _ => false,
    };
    assert!(same, "{what}: {got:?}, not {expected}");
}

#[test]
fn every_metric_is_that_of_muspy() {
    let files = golden("muspy.json");
    assert!(files.len() >= 12);
    for (file, expected) in files {
        let mut score = score(&file);
        for metric in Metric::ALL.into_iter().filter(|metric| *metric != Metric::PitchInScaleRate) {
            let name = metric.name();
            close(metric.of(&score), &expected[name], ROUNDING, &format!("{file} {name}"));
        }
        close(polyphony_rate(&score, 1), &expected["polyphony_rate_1"], ROUNDING, &file);
        for (mode, minor) in [false, true].into_iter().enumerate() {
            for root in 0..12 {
                let rate = &expected["pitch_in_scale_rate"][mode][usize::from(root)];
                close(pitch_in_scale_rate(&score, root, minor), rate, ROUNDING, &format!("{file} {root}"));
            }
        }
        // The scale is that of the key signature: three sharps are A major.
        score.keys = vec![KeyChange { at: Tick(0), sharps: 3, minor: false }];
        let rate = &expected["pitch_in_scale_rate"][0][9];
        close(Metric::PitchInScaleRate.of(&score), rate, ROUNDING, &file);
    }
}

#[test]
fn every_feature_is_that_of_mgeval() {
    let files = golden("mgeval.json");
    assert!(files.len() >= 12);
    for (file, expected) in files {
        let score = score(&file);
        for feature in Feature::ALL {
            let (name, got) = (feature.name(), feature.of(&score).expect("files with notes"));
            let expected = expected[name].as_array().expect("a list");
            assert_eq!(got.len(), expected.len(), "{file} {name}");
            for (place, (got, expected)) in got.iter().zip(expected).enumerate() {
                close(Some(*got), expected, ROUNDING, &format!("{file} {name} {place}"));
            }
        }
    }
}

#[test]
fn overlaps_and_divergences_are_those_of_mgeval() {
    let sets = golden("distances.json");
    let pieces = |name: &str| -> Vec<Score> {
        let files = sets[name].as_array().expect("a list");
        files.iter().map(|file| score(file.as_str().expect("a name"))).collect()
    };
    let (real, generated) = (pieces("real"), pieces("generated"));
    let mut steps = Vec::new();
    let comparison = compare(&real, &generated, &mut |done, of| steps.push((done, of)));
    assert_eq!(steps, (0..=9).map(|done| (done, 9)).collect::<Vec<_>>());
    assert_eq!((comparison.real, comparison.generated), (real.len(), generated.len()));
    for row in comparison.features {
        let expected = &sets["features"][row.name];
        close(row.overlapping_area, &expected["overlapping_area"], QUADRATURE, row.name);
        close(row.kl_divergence, &expected["kl_divergence"], ROUNDING, row.name);
    }
    for row in sets["densities"].as_array().expect("a list") {
        let density = |name: &str| {
            let samples = row[name].as_array().expect("a list").iter();
            Density::new(samples.map(|x| x.as_f64().expect("a number")).collect()).expect("they differ")
        };
        let (one, other) = (density("one"), density("other"));
        close(Some(overlapping_area(&one, &other)), &row["overlapping_area"], QUADRATURE, "overlap");
        close(kl_divergence(&one, &other), &row["kl_divergence"], ROUNDING, "divergence");
    }
}

/// Tunes that wander without a pattern, each with steps up to `leap` semitones.
fn tunes(count: u64, leap: u64) -> Vec<Score> {
    let tune = |seed: u64| {
        let mut state = seed;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        let (mut at, mut pitch, mut notes) = (0, 64, Vec::new());
        for _ in 0..32 + below(32) {
            let length = 120 * (1 + below(6) as u32);
            pitch = (pitch + below(2 * leap + 1) as i32 - leap as i32).clamp(40, 90);
            let (onset, end) = (Tick(at), Tick(at + length));
            notes.push(Note { onset, end, pitch: pitch as u8, velocity: 80 });
            at += length;
        }
        Score { tracks: vec![Track { notes, ..Track::default() }], ..Score::default() }
    };
    (1..=count).map(tune).collect()
}

#[test]
fn tunes_of_one_kind_are_as_far_from_each_other_as_among_themselves() {
    let all = tunes(64, 4);
    let (one, other) = all.split_at(32);
    for row in &compare(one, other, &mut |_, _| {}).features {
        let (overlap, nats) = (row.overlapping_area.expect("enough"), row.kl_divergence.expect("finite"));
        assert!(overlap > 0.8 && overlap <= 1.0, "{}: {overlap}", row.name);
        assert!(nats >= 0.0, "{}: {nats}", row.name);
    }
}

#[test]
fn a_set_beside_itself_differs_only_by_pieces_that_meet_themselves() {
    let tunes = tunes(32, 4);
    let comparison = compare(&tunes, &tunes, &mut |_, _| {});
    for row in &comparison.features {
        let (overlap, nats) = (row.overlapping_area.expect("enough"), row.kl_divergence.expect("finite"));
        // A distance in 32 is 0, which makes the kernels wider.
        assert!(overlap > 0.6 && overlap <= 1.0, "{}: {overlap}", row.name);
        assert!(nats >= 0.0, "{}: {nats}", row.name);
    }
    assert!(comparison.metrics.iter().all(|row| row.real == row.generated));
}

#[test]
fn other_tunes_are_farther_in_what_is_other_and_not_in_the_rest() {
    let real = tunes(32, 4);
    let overlap = |leap: u64, feature: Feature| {
        let generated: Vec<Score> = tunes(64, leap).split_off(32);
        let rows = compare(&real, &generated, &mut |_, _| {}).features;
        let row = rows.into_iter().find(|row| row.name == feature.name());
        row.and_then(|row| row.overlapping_area).expect("enough")
    };
    assert!(overlap(4, Feature::PitchShift) > 0.8);
    assert!(overlap(9, Feature::PitchShift) < 0.2);
    assert!(overlap(9, Feature::NoteLengthHistogram) > 0.8);
}

#[test]
fn nothing_has_no_numbers() {
    let empty = Score::default();
    for metric in Metric::ALL {
        assert_eq!(metric.of(&empty), None, "{}", metric.name());
    }
    let none = compare(&[], &[empty], &mut |_, _| {});
    assert!(none.metrics.iter().all(|row| row.real.is_none() && row.generated.is_none()));
    assert!(none.features.iter().all(|row| row.overlapping_area.is_none() && row.kl_divergence.is_none()));
    // A single piece has no distances among itself.
    let one = [score("reference/magenta/midi/mono_grid.mid")];
    assert!(compare(&one, &one, &mut |_, _| {}).features.iter().all(|row| row.overlapping_area.is_none()));
}

#[test]
fn a_distance_is_euclidean() {
    assert_eq!(distance(&[0.0, 0.0], &[3.0, 4.0]), 5.0);
}
