//! Chorales and rolls: small runs learn, and what is measured of the written model is what training measured.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use partita_kernels::Pool;
use partita_models::harmony::{Complete, Compute, Harmonizer, HarmonyConfig};
use partita_nn::{Precision, Sampling};
use partita_tokens::chorale::Given;
use partita_train::chorales::{ChoraleSource, Chorales, copies, floor, table_c, windows};
use partita_train::rolls::{RollSource, Rolls, best, table_a};
use partita_train::{Settings, Shape, Source, Split, train};

use crate::path;

/// Weights are stored in f16.
const STORED_TOLERANCE: f64 = 2e-3;

/// Pieces in which a tune walks and three voices follow, as the data sets' JSON; step and frame alike are four pitches.
fn pieces(from: u32, count: u32) -> String {
    let step = |piece: u32, t: u32| {
        let walk = [0, 2, 4, 5, 7, 5, 4, 2][(t / 4 % 8) as usize] + piece % 5;
        if piece % 3 == 2 && t < 2 {
            "[-1,-1,-1,-1]".into()
        } else {
            format!("[{},{},{},{}]", 66 + walk, 62 + walk, 57 + walk, 45 + walk)
        }
    };
    let piece = |piece: u32| {
        let steps: Vec<String> = (0..80 + piece % 7).map(|t| step(piece, t)).collect();
        format!("[{}]", steps.join(","))
    };
    let pieces: Vec<String> = (from..from + count).map(piece).collect();
    format!("[{}]", pieces.join(","))
}

fn json() -> String {
    format!(r#"{{"train": {}, "valid": {}, "test": {}}}"#, pieces(0, 9), pieces(30, 3), pieces(60, 3))
}

fn settings(shape: Shape) -> Settings {
    Settings {
        steps: 60,
        batch_tokens: 600,
        warmup: 10,
        dropout: 0.05,
        validate_every: 30,
        ..Settings::new(shape)
    }
}

/// Trains and returns the last validation, which must be the best.
fn run(source: &dyn Source, shape: Shape, folder: &Path) -> f64 {
    let state = train(source, settings(shape), folder, 2, path(), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(state.points.len(), 2);
    assert!(state.points[1].validation < state.points[0].validation, "{:?}", state.points);
    state.points[1].validation
}

#[test]
fn table_c_of_a_written_model_is_what_training_measured() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Jsb16thSeparated.json"), json()).unwrap();
    let chorales = Chorales::load(folder.path()).unwrap();
    let source = ChoraleSource::new(&chorales).unwrap();
    let validated = run(&source, Shape::chorale(32, 1, 2), folder.path());
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let (config, weights) = (read("model.json"), read("model.safetensors"));
    let harmonizer = Harmonizer::load("small", &config, &weights, Precision::F32).unwrap();
    let compute = Compute { pool: Arc::new(Pool::new(1).unwrap()), path: path() };
    let row = table_c(&chorales, &harmonizer, &compute, Split::Validation).unwrap();
    assert_eq!(
        row.tokens,
        chorales.split(Split::Validation).iter().map(|chorale| 4 * chorale.len()).sum::<usize>()
    );
    assert!((row.nats - validated).abs() < STORED_TOLERANCE, "{} {validated}", row.nats);
    assert!((row.voices.iter().sum::<f64>() / 4.0 - row.nats).abs() < 1e-9);
    let floor = floor(&chorales, Split::Validation);
    assert!(floor.above < floor.bigram && floor.bigram < floor.unigram, "{floor:?}");
    let again = copies(&chorales, chorales.split(Split::Validation));
    assert!(again.two_bars > 0.5 && again.longest_steps > 32, "the same tunes in other lengths: {again:?}");
    let mut tampered = weights.clone();
    *tampered.last_mut().unwrap() ^= 1;
    let error = Harmonizer::load("small", &config, &tampered, Precision::F32).unwrap_err().to_string();
    assert!(error.contains("must have sha256"), "{error}");
}

#[test]
fn table_a_of_a_written_model_is_what_training_measured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rolls.json");
    // Frames are ascending, and empty where all voices rest.
    let frames = json().replace("[-1,-1,-1,-1]", "[]");
    let mut value: serde_json::Value = serde_json::from_str(&frames).unwrap();
    for split in ["train", "valid", "test"] {
        for frame in value[split].as_array_mut().unwrap().iter_mut().flat_map(|p| p.as_array_mut().unwrap()) {
            frame.as_array_mut().unwrap().reverse();
        }
    }
    std::fs::write(&file, value.to_string()).unwrap();
    let rolls = Rolls::load(&file).unwrap();
    let source = RollSource::new(&rolls).unwrap();
    let validated = run(&source, Shape::roll(32, 1, 2), folder.path());
    let row = table_a(&rolls, &best(folder.path()).unwrap(), Split::Validation, 2, path());
    assert_eq!(row.frames, rolls.split(Split::Validation).iter().map(Vec::len).sum::<usize>());
    assert!((row.nats - validated).abs() < 5.0 * STORED_TOLERANCE, "{} {validated}", row.nats);
}

#[test]
fn data_of_another_form_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let said = |text: &str| {
        std::fs::write(folder.path().join("Jsb16thSeparated.json"), text).unwrap();
        Chorales::load(folder.path()).unwrap_err().to_string()
    };
    assert!(said(r#"{"train": [], "valid": []}"#).ends_with("it must have a split test"));
    let high = said(r#"{"train": [[[95, 60, 50, 40]]], "valid": [], "test": []}"#);
    assert!(high.ends_with("pitches must be -1 or in 30..=90, got 95"), "{high}");
    assert!(said(r#"{"train": [["#).contains("EOF"));
    let empty = Chorales::load(&folder.path().join("none")).unwrap_err().to_string();
    assert!(empty.starts_with("data must be a folder with Jsb16thSeparated.json"), "{empty}");
    let file = folder.path().join("rolls.json");
    std::fs::write(&file, r#"{"train": [[[60, 59]]], "valid": [], "test": []}"#).unwrap();
    let error = Rolls::load(&file).unwrap_err().to_string();
    assert!(error.ends_with("frames must be ascending pitches in 21..=108, got [60, 59]"), "{error}");
}

#[test]
fn what_is_written_is_as_likely_as_it_is_measured_to_be() {
    let config = HarmonyConfig { context: 64, ..HarmonyConfig::new(32, 2, 2) };
    let harmonizer = Harmonizer::random(config, Precision::F32, 8).unwrap();
    let compute = Compute { pool: Arc::new(Pool::new(1).unwrap()), path: path() };
    // Longer than the network's memory, so that it has to forget.
    let steps = 45;
    let mut request = Complete { sampling: Sampling::default(), ..Complete::new(steps) };
    request.demands.crossing = true;
    let answer = &harmonizer.complete(&compute, &request, &mut |_| ControlFlow::Continue(())).unwrap()[0];
    let given = Given { cells: vec![], end: Some(steps) };
    let mut nats = 0.0;
    for window in windows(&answer.steps, &given, 64 / 4) {
        let all = harmonizer.nats(&compute, &window.inputs, &window.features, &window.targets).unwrap();
        nats += all.iter().zip(&window.weights).map(|(nats, weight)| nats * f64::from(*weight)).sum::<f64>();
    }
    assert!((nats - answer.nats).abs() < 1e-9, "{nats} {}", answer.nats);
}
