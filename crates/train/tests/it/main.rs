//! Training on six real performances: it learns, resumes, and agrees with the network that plays.

mod harmony;
mod vae;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use partita_kernels::{Path, Pool};
use partita_models::drums::DrumsConfig;
use partita_nn::{Decoder, Gpt, GptConfig, KvPrecision, Precision, Rng, Tensors};
use partita_tokens::drums::{Token, VOCAB};
use partita_train::checkpoint::{self, Float};
use partita_train::drums;
use partita_train::examples::{Sampler, covering};
use partita_train::{DrumSource, Error, Example, Groove, Parameters, Settings, Shape, Split, train};

fn groove() -> Groove {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/groove");
    Groove::load(&folder).expect("the small cut loads")
}

fn shape(groove: &Groove) -> Shape {
    Shape {
        vocab: VOCAB as usize,
        context: 512,
        styles: groove.styles.len() + 1,
        width: 32,
        layers: 2,
        heads: 2,
        rotary: false,
        features: 0,
    }
}

fn source(groove: &Groove) -> DrumSource<'_> {
    DrumSource::new(groove, 512).expect("every split has performances")
}

fn settings(groove: &Groove, steps: u32) -> Settings {
    Settings { steps, batch_tokens: 600, warmup: 2, validate_every: 3, ..Settings::new(shape(groove)) }
}

fn path() -> Path {
    Path::from_env().expect("a path")
}

#[test]
fn a_run_learns_and_every_parameter_moves() {
    let groove = groove();
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(&groove, 12);
    let mut losses = Vec::new();
    let state = train(&source(&groove), settings, folder.path(), 2, path(), |progress| {
        losses.push(progress.nats);
        ControlFlow::Continue(())
    })
    .expect("trains");
    assert!(losses[11] < losses[0] - 0.2, "{losses:?}");
    assert_eq!(state.points.len(), 4);
    let before = Parameters::new(settings.shape, settings.seed);
    for tensor in &before.tensors {
        let moved = tensor.range.clone().any(|i| before.values[i] != state.parameters.values[i]);
        assert!(moved, "{} never moved", tensor.name);
    }
}

#[test]
fn a_stopped_run_resumes_to_the_same_weights() {
    let groove = groove();
    let (whole, parts) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let settings = settings(&groove, 6);
    let uninterrupted =
        train(&source(&groove), settings, whole.path(), 2, path(), |_| ControlFlow::Continue(()))
            .expect("trains");
    // Stopped between checkpoints: the step after the last one is done again.
    train(&source(&groove), settings, parts.path(), 2, path(), |progress| {
        if progress.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .expect("stops");
    assert_eq!(checkpoint::load(parts.path()).expect("loads").expect("is there").step, 3);
    let resumed = train(&source(&groove), settings, parts.path(), 2, path(), |_| ControlFlow::Continue(()))
        .expect("resumes");
    assert_eq!(uninterrupted.parameters.values, resumed.parameters.values);
    assert_eq!(uninterrupted.points, resumed.points);
}

#[test]
fn other_settings_or_other_data_do_not_resume_a_run() {
    let groove = groove();
    let folder = tempfile::tempdir().expect("a folder");
    train(&source(&groove), settings(&groove, 3), folder.path(), 1, path(), |_| ControlFlow::Continue(()))
        .expect("trains");
    let other = Settings { dropout: 0.5, ..settings(&groove, 3) };
    let result = train(&source(&groove), other, folder.path(), 1, path(), |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(Error::OtherSettings(_))));
    let mut moved = groove.clone();
    moved.split_hash = "another".into();
    let result =
        train(&source(&moved), settings(&groove, 3), folder.path(), 1, path(), |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(Error::OtherData(_))));
}

#[test]
fn a_cut_checkpoint_is_an_error_that_names_it() {
    let groove = groove();
    let folder = tempfile::tempdir().expect("a folder");
    train(&source(&groove), settings(&groove, 3), folder.path(), 1, path(), |_| ControlFlow::Continue(()))
        .expect("trains");
    let file = folder.path().join("checkpoint.safetensors");
    let bytes = std::fs::read(&file).expect("reads");
    for length in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..length]).expect("writes");
        let Err(error) = checkpoint::load(folder.path()) else { panic!("{length} bytes must not load") };
        assert!(error.to_string().contains("checkpoint.safetensors"), "{error}");
    }
}

/// f32 sums in another order over 64 inputs and two layers: a few ulps of logits near 1.
const LOGITS_TOLERANCE: f32 = 2e-5;

#[test]
fn the_trained_network_and_the_playing_one_agree_on_the_same_weights() {
    let groove = groove();
    let shape = shape(&groove);
    let mut parameters = Parameters::new(shape, 3);
    for tensor in parameters.tensors.iter().filter(|t| t.decays) {
        parameters.values[tensor.range.clone()].iter_mut().for_each(|x| *x *= 4.0);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = drums::drums_config(&parameters, &groove);
    let described = |sha256| DrumsConfig { sha256, ..config };
    checkpoint::write_model(folder.path(), &parameters, described, Float::F32).expect("writes");
    let tensors = Tensors::read(folder.path().join("model.safetensors")).expect("reads");
    let config = GptConfig::new(shape.vocab, shape.context, shape.width, shape.layers, shape.heads);
    let gpt = Arc::new(Gpt::load(&tensors, config, Precision::F32).expect("loads"));
    let styles = tensors.f32("style_embeddings.weight", &[shape.styles, shape.width]).expect("is there");

    let example = &covering(&groove, Split::Test, shape.context)[0];
    let mut net = partita_train::Gpt::new(shape, path());
    let expected = net.logits(&parameters, std::slice::from_ref(example)).to_vec();
    let added = &styles[example.style as usize * shape.width..][..shape.width];
    let mut decoder =
        Decoder::new(&gpt, Arc::new(Pool::new(2).expect("two threads")), path(), KvPrecision::F32);
    let got = decoder.forward_all(Some(added), &example.inputs).expect("runs");
    assert_eq!(expected.len(), got.values().len());
    let worst = expected.iter().zip(got.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let scale = expected.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    assert!(worst <= LOGITS_TOLERANCE * scale.max(1.0), "{worst} of {scale}");
}

#[test]
fn drawn_examples_fit_the_context_and_weigh_only_what_is_asked() {
    let groove = groove();
    let sampler = Sampler::new(&groove, Split::Train, 256);
    let mut rng = Rng::new(1, 1);
    let mut tasks = std::collections::HashSet::new();
    for _ in 0..300 {
        let Example { inputs, targets, weights, style, .. } = sampler.draw(&mut rng);
        tasks.insert(inputs[0]);
        assert!(inputs.len() <= 256 && weights.len() == inputs.len() && targets.len() == inputs.len());
        assert!(style as usize <= groove.styles.len());
        let start = inputs.iter().position(|id| *id == Token::Perform.id()).unwrap_or(3);
        if inputs[0] == Token::Humanize.id() {
            let played =
                |id: &u32| matches!(Token::from_id(*id), Some(Token::Velocity(_) | Token::Offset(_)));
            assert!(!inputs.iter().any(played), "a score shows no performance");
        }
        assert!(weights[..start].iter().all(|w| *w == 0.0), "nothing is asked before the performance");
        assert!(weights.iter().any(|w| *w > 0.0));
    }
    assert_eq!(tasks.len(), 3, "all tasks come up");
}

#[test]
fn covering_examples_hold_every_hit_of_the_split_once() {
    let groove = groove();
    for split in Split::ALL {
        let hits: usize = groove.split(split).map(|clip| clip.hits.len()).sum();
        let covered: usize = covering(&groove, split, 768).iter().map(drums::hits).sum();
        assert_eq!(hits, covered);
    }
}

#[test]
fn a_folder_without_the_data_set_is_an_error_that_says_what_belongs_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Groove::load(folder.path()).expect_err("nothing there").to_string();
    assert!(error.contains("info.csv"), "{error}");
}
