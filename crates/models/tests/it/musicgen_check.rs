//! What packing costs, told of a model of a few random weights in the published layout.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use partita_kernels::{Compute, KvPrecision, Path, Pool, Precision};
use partita_models::musicgen::check::{Options, Report, Share, check};
use partita_models::musicgen::{Clip, Error, MusicGen, Pattern, Precisions};
use partita_nn::{Rng, Sampler, Sampling};

use crate::clips::play;

const EXACT: Precisions = Precisions { weights: Precision::F32, kv: KvPrecision::F32 };
const INT8: Precisions = Precisions { weights: Precision::Int8, kv: KvPrecision::Int8 };
const Q4: Precisions = Precisions { weights: Precision::Q4, kv: KvPrecision::Int8 };

fn folder(name: &str) -> PathBuf {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference");
    std::env::var_os("PARTITA_VECTORS").map_or(repository, PathBuf::from).join("hf").join(name)
}

fn options() -> Options {
    Options { prompt: "drums".into(), steps: 60, ..Options::default() }
}

fn machine() -> (Arc<Pool>, Path) {
    (Arc::new(Pool::new(2).unwrap()), Path::from_env().unwrap())
}

fn report(name: &str, precisions: Precisions, options: &Options) -> Report {
    let (pool, path) = machine();
    check(&folder(name), precisions, (&pool, path), options, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Every error of a report: of weights, and of what comes out. What a clip reads once has eight bits in q4 too.
fn errors(report: &Report) -> (Vec<f64>, Vec<f64>) {
    let weights = report.layers.iter().flat_map(|layer| {
        let once = ["text keys", "text values"];
        let matrices = layer.matrices.iter().filter(move |matrix| !once.contains(&matrix.name));
        [layer.weights].into_iter().chain(matrices.map(|matrix| matrix.weights))
    });
    let outputs = report.layers.iter().map(|layer| layer.output);
    (weights.chain([report.heads.weights]).collect(), outputs.chain([report.heads.logits]).collect())
}

#[test]
fn musicgen_in_f32_agrees_with_itself_without_any_error() {
    for name in ["musicgen_mono", "musicgen_stereo", "musicgen_melody"] {
        let report = report(name, EXACT, &options());
        let (weights, outputs) = errors(&report);
        assert!(weights.iter().chain(&outputs).all(|error| error.to_bits() == 0), "{name}: {report:?}");
        assert_eq!((report.heads.cosine.to_bits(), report.heads.least_cosine.to_bits()), {
            let one = 1f64.to_bits();
            (one, one)
        });
        assert_eq!(report.choices.equal, report.choices.of, "{name}");
        assert_eq!((report.same_columns, report.bytes_per_step), (60, report.f32_bytes_per_step), "{name}");
    }
}

#[test]
fn musicgen_checks_count_every_choice_of_the_pattern() {
    // Codebook k starts k columns later; in stereo, two of them together.
    for (name, codebooks) in [
        ("musicgen_mono", [60, 59, 58, 57].as_slice()),
        ("musicgen_stereo", &[60, 60, 59, 59, 58, 58, 57, 57]),
    ] {
        let report = report(name, EXACT, &options());
        assert_eq!(report.codebooks.iter().map(|share| share.of).collect::<Vec<_>>(), codebooks, "{name}");
        assert_eq!(report.choices.of, codebooks.iter().sum::<usize>(), "{name}");
    }
}

#[test]
fn musicgen_errors_of_int8_are_small_and_those_of_q4_larger() {
    for name in ["musicgen_mono", "musicgen_melody"] {
        let (int8, q4) = (report(name, INT8, &options()), report(name, Q4, &options()));
        let (fine, coarse) = (errors(&int8), errors(&q4));
        // Half a step of 1/127 of the largest weight of a row, and of 1/7 of the largest of a group.
        assert!(fine.0.iter().all(|error| (1e-4..0.02).contains(error)), "{name}: {int8:?}");
        assert!(coarse.0.iter().all(|error| (0.02..0.3).contains(error)), "{name}: {q4:?}");
        assert!(fine.1.iter().all(|error| (1e-5..0.05).contains(error)), "{name}: {int8:?}");
        for (fine, coarse) in fine.0.iter().zip(&coarse.0).chain(fine.1.iter().zip(&coarse.1)) {
            assert!(fine < coarse, "{name}: {fine} {coarse}");
        }
        assert!(int8.heads.cosine > 0.999, "{name}: {:?}", int8.heads);
        assert!(q4.heads.cosine < int8.heads.cosine && q4.heads.least_cosine <= q4.heads.cosine, "{name}");
        assert!(int8.choices.part() > q4.choices.part() && q4.choices.part() < 1.0, "{name}: {q4:?}");
        assert!(q4.bytes_per_step < int8.bytes_per_step, "{name}");
        assert!(int8.bytes_per_step < int8.f32_bytes_per_step, "{name}");
    }
}

#[test]
fn musicgen_memory_in_int8_alone_leaves_the_weights_exact() {
    let kv = Precisions { weights: Precision::F32, kv: KvPrecision::Int8 };
    let (weights, outputs) = errors(&report("musicgen_mono", kv, &options()));
    assert!(weights.iter().all(|error| error.to_bits() == 0), "{weights:?}");
    assert!(outputs.iter().all(|error| (1e-7..0.02).contains(error)), "{outputs:?}");
}

/// Greedy codes `[K][frames]` of a model that plays alone.
fn codes(precisions: Precisions, options: &Options) -> Vec<Vec<u32>> {
    let model = MusicGen::open(&folder("musicgen_mono"), precisions).unwrap();
    let (pool, path) = machine();
    let mut compute = Compute::new(pool, path);
    let condition = model.condition(&mut compute, &options.prompt, None).unwrap();
    let null = model.null_condition(&mut compute, &condition);
    let clip = Clip {
        condition,
        guidance: Some((null, options.guidance)),
        sampler: Sampler::new(Sampling::greedy()).unwrap(),
        rng: Rng::new(0, 0),
        prompt: Vec::new(),
        frames: options.steps,
    };
    play(&model, compute, vec![clip]).remove(0)
}

#[test]
fn musicgen_same_columns_are_those_of_two_models_that_play_alone() {
    let mut shortest = usize::MAX;
    for prompt in ["drums", "piano", "a long prompt of many words"] {
        let options = Options { prompt: prompt.into(), ..options() };
        let exact = codes(EXACT, &options);
        for precisions in [INT8, Q4] {
            let packed = codes(precisions, &options);
            let pattern = Pattern { codebooks: exact.len(), channels: 1, frames: options.steps };
            let same = |column: &usize| {
                (0..exact.len()).all(|k| {
                    pattern.frame(k, *column).is_none_or(|frame| exact[k][frame] == packed[k][frame])
                })
            };
            let expected = (1..=options.steps).take_while(same).count();
            let report = report("musicgen_mono", precisions, &options);
            assert_eq!(report.same_columns, expected, "{prompt}, {}", report.precision);
            shortest = shortest.min(expected);
        }
    }
    assert!(shortest < 60, "they part somewhere");
}

#[test]
fn musicgen_checks_are_the_same_each_time_and_serialize() {
    let (first, second) = (report("musicgen_mono", Q4, &options()), report("musicgen_mono", Q4, &options()));
    assert_eq!(first, second);
    let json = serde_json::to_value(&first).unwrap();
    assert_eq!(json["layers"][1]["layer"], 1);
    assert_eq!(json["layers"][0]["matrices"].as_array().unwrap().len(), 8);
    assert_eq!(json["choices"]["of"], 234);
    let text: Vec<_> = first.layers[0].matrices.iter().filter(|matrix| matrix.name == "text keys").collect();
    assert!(text.len() == 1 && text[0].weights > 0.0, "what is read once a clip is compared too: {text:?}");
    assert!((Share { equal: 1, of: 4 }.part() - 0.25).abs() < f64::EPSILON);
}

#[test]
fn musicgen_checks_tell_how_far_they_are_and_can_be_broken_off() {
    let (pool, path) = machine();
    let mut seen = Vec::new();
    let folder = folder("musicgen_mono");
    check(&folder, INT8, (&pool, path), &options(), &mut |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].done < pair[1].done && pair[0].of == pair[1].of));
    assert!(seen.last().is_some_and(|last| last.done < last.of + 1 && last.done + 2 > last.of), "{seen:?}");
    let mut left = 70;
    let broken = check(&folder, INT8, (&pool, path), &options(), &mut |_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(broken, Err(Error::Cancelled)));
    assert_eq!(left, 0, "nothing goes on after it");
}

#[test]
fn musicgen_checks_refuse_what_cannot_be_played() {
    let (pool, path) = machine();
    let folder = folder("musicgen_mono");
    for (options, message) in [
        (Options { steps: 9, ..options() }, "steps must be in 10..=1500, got 9"),
        (Options { steps: 1501, ..options() }, "steps must be in 10..=1500, got 1501"),
        (Options { prompt: " ".into(), ..options() }, "prompt must be in 1..=2000 characters"),
        (Options { guidance: f32::NAN, ..options() }, "guidance must be in [1, 20], got NaN"),
    ] {
        let error = check(&folder, INT8, (&pool, path), &options, &mut |_| ControlFlow::Continue(()));
        assert!(error.unwrap_err().to_string().contains(message), "{message}");
    }
    let nowhere = folder.join("nowhere");
    let mut go = |_| ControlFlow::Continue(());
    let error = check(&nowhere, INT8, (&pool, path), &options(), &mut go).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");
}
