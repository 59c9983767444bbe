//! The autoencoders: equal to Magenta's on its weights, and runs that learn, stop and go on.

use std::ops::ControlFlow;
use std::path::{Path as FilePath, PathBuf};

use partita_nn::Tensors;
use partita_train::Split;
use partita_train::vae::checkpoint::{load, load_model};
use partita_train::vae::drums::{DrumLoops, Grooves};
use partita_train::vae::evaluate::{humanizing, invented, reconstruction};
use partita_train::vae::melodies::Melodies;
use partita_train::vae::{
    Head, Heard, Pass, Source, Sparse, Target, VaeNet, VaeSettings, VaeShape, VaeWeights, Window, train_vae,
};
use serde_json::Value;

use crate::{groove, path};

/// Magenta's numbers have about 1e-6 of rounding of their own (f32, TensorFlow 2.9).
const CODES_TOLERANCE: f32 = 5e-6;
const LOGITS_TOLERANCE: f32 = 5e-5;
/// Sums of 32 or 64 steps of logits that are off by up to the above.
const NATS_TOLERANCE: f32 = 1e-3;

/// A case of Magenta's own code: weights, inputs, and what came out.
struct Case {
    weights: VaeWeights,
    tensors: Tensors,
}

impl Case {
    fn open(name: &str) -> Case {
        let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference");
        let root = std::env::var_os("PARTITA_VECTORS").map_or(repository, PathBuf::from);
        let folder = root.join("magenta/musicvae").join(name);
        let text = std::fs::read_to_string(folder.join("case.json")).expect("the case is there");
        let case: Value = serde_json::from_str(&text).expect("JSON");
        let number = |value: &Value| value.as_u64().expect("a number") as usize;
        let sizes = &case["hparams"];
        let shape = VaeShape {
            head: if case["kind"] == "groove" { Head::Groove } else { Head::Categorical },
            heard: Heard::Hits,
            steps: number(&sizes["max_seq_len"]),
            input: number(&case["input_depth"]),
            output: number(&case["output_depth"]),
            encoder: number(&sizes["enc_rnn_size"][0]),
            decoder: number(&sizes["dec_rnn_size"][0]),
            latent: number(&sizes["z_size"]),
        };
        let mut weights = VaeWeights::zeros(shape);
        for variable in case["variables"].as_array().expect("a list") {
            let name = variable["name"].as_str().expect("a name");
            if name == "global_step" {
                continue;
            }
            let tensor = weights.tensors.iter().find(|tensor| tensor.name == name);
            let tensor = tensor.unwrap_or_else(|| panic!("{name} is no tensor of ours")).clone();
            let dims: Vec<usize> = variable["shape"].as_array().expect("a list").iter().map(number).collect();
            assert_eq!(tensor.shape, dims, "{name}");
            let salt = case["salt"].as_str().expect("a salt");
            let (a, b0) = (variable["a"].as_f64().expect("a"), variable["b0"].as_f64().expect("b0"));
            fill(&mut weights.values[tensor.range], &format!("{salt}/{name}"), a, b0);
        }
        Case { weights, tensors: Tensors::read(folder.join("expected.safetensors")).expect("reads") }
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let shape = self.tensors.shape(name).unwrap_or_else(|| panic!("{name}")).to_vec();
        self.tensors.f32(name, &shape).expect("floats")
    }

    fn integers(&self, name: &str) -> Vec<usize> {
        self.tensors.integers(name).expect("integers").into_iter().map(|value| value as usize).collect()
    }

    /// `enc_input` with `teacher_target`; zeros are no entries.
    fn windows(&self) -> Vec<Window> {
        let shape = self.weights.shape;
        let (input, depth) = (self.floats("enc_input"), shape.input);
        let targets: Vec<Target> = match shape.head {
            Head::Groove => {
                let all = self.floats("teacher_target");
                all.chunks_exact(shape.steps * shape.output).map(|t| Target::Groove(t.to_vec())).collect()
            }
            Head::Categorical => {
                let all: Vec<u32> = self.integers("teacher_target").iter().map(|id| *id as u32).collect();
                all.chunks_exact(shape.steps).map(|t| Target::Classes(t.to_vec())).collect()
            }
        };
        let windows = input.chunks_exact(shape.steps * depth).zip(targets);
        windows
            .map(|(rows, target)| {
                let mut input = Sparse::default();
                for row in rows.chunks_exact(depth) {
                    let entries = row.iter().enumerate().filter(|(_, value)| **value != 0.0);
                    input.push(entries.map(|(index, value)| (index as u32, *value)));
                }
                Window { input, target }
            })
            .collect()
    }

    /// Outputs `[T, N, out]` at the steps that the reference kept: `[N, steps, out]`.
    fn kept(&self, outputs: &[f32], rows: usize) -> Vec<f32> {
        let width = self.weights.shape.output;
        let mut kept = Vec::new();
        for row in 0..rows {
            for step in self.integers("logit_steps") {
                kept.extend_from_slice(&outputs[(step * rows + row) * width..][..width]);
            }
        }
        kept
    }
}

/// The reference's pseudo-random weights; see `README.md` beside them.
fn fill(values: &mut [f32], name: &str, a: f64, b0: f64) {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    for (i, value) in values.iter_mut().enumerate() {
        let mut x = seed.wrapping_add((i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        let u = (x >> 40) as f64 / f64::from(1 << 24);
        *value = ((u - 0.5) * 2.0 * a + b0) as f32;
    }
}

fn close(got: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: {worst}");
}

#[test]
fn the_network_that_learns_computes_what_magenta_does() {
    for name in ["cat_drums_small", "groovae_4bar_small", "full_groovae_2bar_humanize"] {
        let case = Case::open(name);
        let (shape, windows) = (case.weights.shape, case.windows());
        let rows = windows.len();
        let mut net = VaeNet::new(shape, path());
        net.losses(&case.weights, &windows, 0, &Pass::TEACHER);
        let (mu, sigma) = net.posterior();
        close(mu, &case.floats("mu"), CODES_TOLERANCE, &format!("{name} mu"));
        close(sigma, &case.floats("sigma"), CODES_TOLERANCE, &format!("{name} sigma"));

        let codes = case.floats("z");
        let nats = net.decode_codes(&case.weights, &codes, &windows, 0, &Pass::TEACHER);
        close(&nats, &case.floats("teacher_nll"), NATS_TOLERANCE, &format!("{name} nats"));
        let told = case.kept(net.outputs(), rows);
        close(&told, &case.floats("teacher_logits"), LOGITS_TOLERANCE, &format!("{name} told"));

        let outputs = net.play(&case.weights, &codes, 0, &Pass::ALONE).to_vec();
        let alone = case.kept(&outputs, rows);
        close(&alone, &case.floats("greedy_logits"), LOGITS_TOLERANCE, &format!("{name} alone"));
        if shape.head == Head::Categorical {
            let best = |row: usize, step: usize| {
                let logits = &outputs[(step * rows + row) * shape.output..][..shape.output];
                (0..shape.output).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
            };
            let steps = |row| (0..shape.steps).map(move |step| (row, step));
            let greedy: Vec<usize> = (0..rows).flat_map(steps).map(|(row, step)| best(row, step)).collect();
            assert_eq!(greedy, case.integers("greedy"), "{name}");
        }
    }
}

fn small(shape: VaeShape) -> VaeSettings {
    VaeSettings {
        steps: 6,
        batch: 8,
        warmup: 2,
        dropout: 0.1,
        skip: 0.1,
        own: 0.5,
        own_after: 2.0,
        validate_every: 3,
        ..VaeSettings::new(VaeShape { encoder: 24, decoder: 16, latent: 8, ..shape })
    }
}

fn run(source: &dyn Source, settings: VaeSettings, folder: &FilePath, stop: u32) -> Vec<f32> {
    let trained = train_vae(source, settings, folder, 2, path(), |progress| {
        if progress.step == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    trained.expect("trains").weights.values
}

#[test]
fn a_run_of_an_autoencoder_moves_every_parameter_and_resumes_to_the_same_weights() {
    let groove = groove();
    let (loops, grooves) = (DrumLoops::new(&groove), Grooves::new(&groove, Heard::Hits));
    let sources: [(&dyn Source, VaeShape); 2] =
        [(&loops, VaeShape::drum_loops()), (&grooves, VaeShape::grooves())];
    for (source, shape) in sources {
        let (whole, parts) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let settings = small(shape);
        let uninterrupted = run(source, settings, whole.path(), u32::MAX);
        let before = VaeWeights::new(settings.shape, settings.seed);
        for tensor in &before.tensors {
            // The last rows of an embedding may never be read; a tensor as a whole always is.
            let moved = tensor.range.clone().any(|i| before.values[i] != uninterrupted[i]);
            assert!(moved, "{} never moved", tensor.name);
        }
        // Stopped between checkpoints: the step after the last one is done again.
        run(source, settings, parts.path(), 4);
        assert_eq!(load(parts.path()).expect("loads").expect("is there").step, 3);
        assert_eq!(run(source, settings, parts.path(), u32::MAX), uninterrupted);

        let other = VaeSettings { beta: 0.3, ..settings };
        let result = train_vae(source, other, parts.path(), 1, path(), |_| ControlFlow::Continue(()));
        assert!(matches!(result, Err(partita_train::Error::OtherSettings(_))));
    }
}

#[test]
fn an_autoencoder_learns_its_windows_by_heart() {
    let groove = groove();
    let loops = DrumLoops::new(&groove);
    let folder = tempfile::tempdir().expect("a folder");
    let settings = VaeSettings {
        steps: 60,
        batch: 16,
        learning_rate: 1e-2,
        dropout: 0.0,
        skip: 0.0,
        own: 0.0,
        validate_every: 60,
        ..small(VaeShape::drum_loops())
    };
    let mut costs = Vec::new();
    train_vae(&loops, settings, folder.path(), 1, path(), |progress| {
        costs.push(progress.cost);
        ControlFlow::Continue(())
    })
    .expect("trains");
    assert!(costs[59] < 0.7 * costs[0], "{costs:?}");
}

#[test]
fn a_model_that_was_written_is_measured_and_a_changed_one_is_refused() {
    let groove = groove();
    let (loops, grooves) = (DrumLoops::new(&groove), Grooves::new(&groove, Heard::Hits));
    let folder = tempfile::tempdir().expect("a folder");
    run(&grooves, small(VaeShape::grooves()), folder.path(), u32::MAX);
    let (config, weights) = load_model(folder.path()).expect("loads");
    assert_eq!((config.family.as_str(), config.tokens.as_str()), ("music_vae", "groove-27-hits"));
    let rows = humanizing(&grooves, &weights, Split::Test, &[1.0, 2.0], 2, path());
    let hits: usize = grooves.played(Split::Test).iter().map(|window| window.hits.len()).sum();
    assert!(rows.iter().all(|row| row.distances.hits == hits && row.distances.mae_ms.is_finite()));
    let table = reconstruction(&grooves, &weights, Split::Test, 2, path());
    assert!((0.0..=1.0).contains(&table.told) && table.commonest > 0.5, "{table:?}");
    assert_eq!(table, reconstruction(&grooves, &weights, Split::Test, 1, path()), "threads change nothing");

    let folder = tempfile::tempdir().expect("a folder");
    run(&loops, small(VaeShape::drum_loops()), folder.path(), u32::MAX);
    let (_, weights) = load_model(folder.path()).expect("loads");
    let table = reconstruction(&loops, &weights, Split::Test, 2, path());
    assert!(table.bound_per_step > 0.0 && table.followers_per_step.is_some());
    assert_eq!(invented(&loops, &weights, 70, None, path()).windows, 70);

    let file = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&file).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("writes");
    let Err(error) = load_model(folder.path()) else { panic!("changed weights must not load") };
    assert!(error.to_string().contains("sha256"), "{error}");
}

#[test]
fn melodies_come_from_bars_of_common_time_and_are_transposed_inside_the_range() {
    let folder = tempfile::tempdir().expect("a folder");
    let sheets = folder.path().join("openewld");
    std::fs::create_dir(&sheets).expect("makes");
    let tune = |src: &str, pitch: u8| {
        let notes: Vec<String> =
            (0..16u32).map(|i| format!("[{}, 48, {}]", i * 48, u32::from(pitch) + i % 3)).collect();
        format!(
            "{{\"src\": \"{src}\", \"time\": [[0, \"4/4\"]], \"bars\": [0, 192, 384, 576], \"end\": 768, \
             \"notes\": [{}]}}\n",
            notes.join(", ")
        )
    };
    let lines = [tune("low", 21), tune("high", 106), tune("held", 60)].concat();
    std::fs::write(sheets.join("leadsheets.jsonl"), lines).expect("writes");
    let splits = "src,group,split\nlow,1,train\nhigh,2,train\nheld,3,validation\n";
    std::fs::write(sheets.join("splits.csv"), splits).expect("writes");
    let melodies = Melodies::load(folder.path()).expect("loads");
    assert_eq!(Split::ALL.map(|split| melodies.windows(split).len()), [6, 3, 0]);
    let mut rng = partita_nn::Rng::new(1, 1);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let Target::Classes(steps) = melodies.draw(&mut rng).target else { panic!("melodies are classes") };
        assert!(steps.iter().all(|id| *id < 90));
        assert_eq!(steps.iter().filter(|id| **id >= 2).count(), 8, "no note is lost");
        seen.insert(steps);
    }
    assert!(seen.len() > 30, "{} different windows", seen.len());

    std::fs::write(sheets.join("splits.csv"), "src,split\nlow,train\n").expect("writes");
    let error = Melodies::load(folder.path()).expect_err("a piece without a split").to_string();
    assert!(error.contains("high"), "{error}");
    let empty = tempfile::tempdir().expect("a folder");
    let error = Melodies::load(empty.path()).expect_err("nothing there").to_string();
    assert!(error.contains("leadsheets.jsonl"), "{error}");
}

/// What may ship in one model.
const MOST_BYTES: u64 = 8_000_000;

#[test]
fn every_autoencoder_that_ships_loads_and_is_what_the_manifest_says() {
    let weights = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../weights");
    let text = std::fs::read_to_string(weights.join("MANIFEST.json")).expect("reads");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    let shipped = manifest.as_object().expect("a table").iter();
    let autoencoders: Vec<_> = shipped.filter(|(_, entry)| entry["family"] == "music_vae").collect();
    assert_eq!(autoencoders.len(), 4);
    for (name, entry) in autoencoders {
        let folder = weights.join(name);
        let (config, loaded) = load_model(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(entry["sha256"], config.sha256.as_str(), "{name}");
        let bytes = std::fs::metadata(folder.join("model.safetensors")).expect("is there").len();
        assert_eq!(entry["bytes"], bytes, "{name}");
        assert!(bytes <= MOST_BYTES, "{name} has {bytes} bytes");
        assert!(loaded.values.iter().all(|value| value.is_finite()), "{name}");
        for file in entry["files"].as_array().expect("a list") {
            assert!(weights.join(file.as_str().expect("a path")).is_file(), "{file}");
        }
    }
}
