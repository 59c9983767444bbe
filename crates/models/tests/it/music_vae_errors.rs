//! What MusicVAE says of checkpoints and requests that are wrong.

use std::ops::ControlFlow;

use partita_kernels::{Path, Precision};
use partita_models::music_vae::{Config, Decode, Error, Head, Input, MusicVae, Segments, Sequence, Teacher};
use partita_nn::{Rng, TensorSource};

use crate::music_vae::{on, reference};
use crate::recipe::Recipe;

fn refused(recipe: &Recipe) -> String {
    MusicVae::load(recipe, Precision::Int8).err().expect("refused").to_string()
}

fn changed(case: &str, change: impl Fn(&mut Recipe)) -> String {
    let mut recipe = reference(case).recipe();
    change(&mut recipe);
    refused(&recipe)
}

#[test]
fn magenta_every_missing_or_misshapen_tensor_names_itself() {
    for case in ["cat_mel_chords_small", "nade_drums_small", "hierdec_trio_small", "hier_mel_small"] {
        for name in reference(case).recipe().names() {
            let error = changed(case, |recipe| recipe.remove(&name));
            assert_eq!(error, format!("tensor {name:?} is missing"), "{case}");
            let error = changed(case, |recipe| recipe.reshape(&name, &[3, 5, 7]));
            assert!(error.starts_with(&format!("tensor {name:?} must have ")), "{case}, {name}: {error}");
        }
    }
}

#[test]
fn magenta_weights_in_cudnns_packing_are_refused_by_name() {
    let scope = "encoder/cell_0/bidirectional_rnn/fw/multi_rnn_cell/cell_0/lstm_cell";
    let error = changed("cat_mel_small", |recipe| {
        recipe.remove(&format!("{scope}/kernel"));
        recipe.remove(&format!("{scope}/bias"));
        recipe.reshape("encoder/cudnn_lstm/opaque_kernel", &[1000]);
    });
    let start = format!(
        "tensor \"{scope}/bias\" is missing; \"encoder/cudnn_lstm/opaque_kernel\" holds the weights in cuDNN's own packing"
    );
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn magenta_more_than_is_understood_is_refused() {
    for (case, name, message) in [
        (
            "hierdec_mel_small",
            "decoder/hierarchical_level_1/cell_0/lstm_cell/bias",
            "checkpoint must be one level of a conductor, got tensors under \"decoder/hierarchical_level_1\"",
        ),
        (
            "hier_mel_small",
            "encoder/hierarchical_level_2/cell_0/bias",
            "checkpoint must be two levels of an encoder, got tensors under \"encoder/hierarchical_level_2\"",
        ),
    ] {
        assert_eq!(changed(case, |recipe| recipe.reshape(name, &[4])), message);
    }
    let mut recipe = reference("cat_mel_small").recipe();
    for other in ["global_step", "beta1_power", "decoder/multi_rnn_cell/cell_0/lstm_cell/kernel/Adam"] {
        recipe.reshape(other, &[1]);
    }
    MusicVae::load(&recipe, Precision::Int8).expect("what training leaves behind is not looked at");
}

#[test]
fn magenta_sizes_that_contradict_each_other_are_refused() {
    for (case, name, shape, message) in [
        (
            "cat_mel_small",
            "decoder/multi_rnn_cell/cell_0/lstm_cell/kernel",
            vec![109, 48],
            "must have 110 rows and more, got shape [109, 48]",
        ),
        (
            "cat_mel_small",
            "decoder/multi_rnn_cell/cell_1/lstm_cell/bias",
            vec![41],
            "must have four gates, got shape [41]",
        ),
        (
            "cat_mel_small",
            "encoder/mu/bias",
            vec![0],
            "must have one axis of 1 value and more, got shape [0]",
        ),
        (
            "nade_drums_small",
            "decoder/nade/w_enc",
            vec![61, 1, 9],
            "must have [D, 1, hidden] with D + hidden = 69, got shape [61, 1, 9]",
        ),
    ] {
        let error = changed(case, |recipe| recipe.reshape(name, &shape));
        assert_eq!(error, format!("tensor {name:?} {message}"));
    }
    // A control of the decoder that the encoder has no room for.
    let error = changed("cat_mel_small", |recipe| {
        recipe.reshape("decoder/multi_rnn_cell/cell_0/lstm_cell/kernel", &[300, 48]);
    });
    assert!(error.contains("cell_0/lstm_cell/kernel\" must have 206 rows and more"), "{error}");
}

#[test]
fn magenta_a_head_that_does_not_fit_is_refused() {
    let recipe = reference("cat_mel_small").recipe();
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = Config::derive(&recipe).unwrap();
        change(&mut config);
        MusicVae::with_config(&recipe, config, Precision::F32).err().map(|error| error.to_string())
    };
    assert_eq!(with(&|config| config.head = Head::Categorical(vec![40, 50])), None);
    assert_eq!(with(&|config| config.head = Head::Groove), None);
    let error = with(&|config| config.head = Head::Categorical(vec![40, 40]));
    assert_eq!(error.as_deref(), Some("classes of the head must be 90 in all, got [40, 40]"));
    let error = with(&|config| config.head = Head::Nade { hidden: 8 });
    assert_eq!(error.as_deref(), Some("hidden units of NADE must be 0, got 8"));
    let nade = reference("nade_drums_small").recipe();
    let mut config = Config::derive(&nade).unwrap();
    config.head = Head::Groove;
    let error = MusicVae::with_config(&nade, config, Precision::F32).err().expect("refused").to_string();
    assert_eq!(error, "head must be NADE with 8 hidden units, got another");
    let trio = reference("hierdec_trio_small").recipe();
    let mut config = Config::derive(&trio).unwrap();
    config.head = Head::Nade { hidden: 8 };
    assert!(MusicVae::with_config(&trio, config, Precision::F32).is_err());
    let error = with(&|config| config.segments = Some(Segments { count: 0, steps: 16 }));
    assert_eq!(error.as_deref(), Some("segments must be 1..=1024 of 1..=1024 steps, got 0 of 16"));
}

#[test]
fn magenta_requests_say_what_is_wrong_with_them() {
    let compute = &mut on(1, Path::Generic);
    let model = |name: &str| reference(name).model(Precision::F32);
    let (melody, drums) = (model("cat_mel_small"), model("cat_drums_small"));
    let (chords, bars) = (model("cat_mel_chords_small"), model("hier_mel_small"));
    let mut encode = |model: &MusicVae, steps: Sequence, controls: Option<&[f32]>| {
        model.encode(compute, &[Input { steps: &steps, controls }]).unwrap_err().to_string()
    };
    for (got, expected) in [
        (encode(&melody, Sequence::tokens(vec![3, 90]), None), "token must be in 0..90, got 90"),
        (encode(&melody, Sequence::tokens(Vec::new()), None), "length must be 1..=4096 steps, got 0"),
        (
            encode(&melody, Sequence::Tokens { columns: 3, ids: vec![0; 6] }, None),
            "steps must be 1 ids each, got 6 ids in 3 columns",
        ),
        (
            encode(&melody, Sequence::Tokens { columns: 0, ids: Vec::new() }, None),
            "steps must be 1 ids each, got 0 ids in 0 columns",
        ),
        (encode(&drums, Sequence::tokens(vec![1]), None), "steps must be rows of 10 values, got token ids"),
        (
            encode(&drums, Sequence::rows(9, vec![0.0; 9]), None),
            "steps must be 10 values each, got 9 values in rows of 9",
        ),
        (
            encode(&drums, Sequence::rows(10, vec![0.0; 15]), None),
            "steps must be 10 values each, got 15 values in rows of 10",
        ),
        (
            encode(&drums, Sequence::rows(10, vec![f32::NAN; 10]), None),
            "value of a step must be finite, got NaN",
        ),
        (encode(&chords, Sequence::tokens(vec![1]), None), "controls must be 49 values a step, got none"),
        (
            encode(&chords, Sequence::tokens(vec![1]), Some(&[0.0; 48])),
            "controls must be 49 values a step, 49 in all, got 48",
        ),
        (
            encode(&melody, Sequence::tokens(vec![1]), Some(&[0.0])),
            "controls must be left out: the model has none, got some",
        ),
        (encode(&bars, Sequence::tokens(vec![1; 32]), None), "length must be 256 steps, got 32"),
    ] {
        assert_eq!(got, expected);
    }
    assert_eq!(melody.encode(compute, &[]).unwrap_err().to_string(), "pieces must be 1..=256, got 0");
    let mut decode = |model: &MusicVae, point: Vec<f32>, temperature: f32, length: Option<usize>| {
        let request = Decode { points: &[point], temperature, length, controls: None };
        let go = &mut |_| ControlFlow::Continue(());
        model.decode(compute, &request, &mut [Rng::new(0, 0)], go).unwrap_err().to_string()
    };
    for (got, expected) in [
        (decode(&melody, vec![0.0; 7], 1.0, Some(32)), "z must be 8 values, got 7"),
        (decode(&melody, vec![f32::INFINITY; 8], 1.0, Some(32)), "value of z must be finite, got inf"),
        (decode(&melody, vec![0.0; 8], -1.0, Some(32)), "temperature must be in [0, 100], got -1"),
        (decode(&melody, vec![0.0; 8], f32::NAN, Some(32)), "temperature must be in [0, 100], got NaN"),
        (decode(&melody, vec![0.0; 8], 1.0, None), "length must be 1..=4096 steps, got none"),
        (
            decode(&melody, vec![0.0; 8], 1.0, Some(usize::MAX)),
            "length must be 1..=4096 steps, got 18446744073709551615",
        ),
        (decode(&bars, vec![0.0; 6], 1.0, Some(32)), "length must be 256 steps, got 32"),
        (decode(&chords, vec![0.0; 8], 1.0, Some(32)), "controls must be 49 values a step, got none"),
    ] {
        assert_eq!(got, expected);
    }
    let mut teach = |targets: &[Sequence], points: usize| {
        let request = Teacher { points: &vec![vec![0.0; 8]; points], targets, controls: None };
        melody.teach(compute, &request).unwrap_err().to_string()
    };
    let piece = |length: usize| Sequence::tokens(vec![1; length]);
    assert_eq!(teach(&[piece(3)], 2), "targets must be 2, got 1");
    assert_eq!(teach(&[piece(3), piece(4)], 2), "length of a target must be 3, got 4");
    assert_eq!(teach(&[Sequence::tokens(vec![99])], 1), "token must be in 0..90, got 99");
}

#[test]
fn magenta_decoding_tells_its_steps_and_can_be_broken_off() {
    for (case, of) in [("cat_mel_small", 32), ("hierdec_trio_small", 3 * 256)] {
        let model = reference(case).model(Precision::Int8);
        let points = [vec![0.1; model.config().z_size], vec![-0.3; model.config().z_size]];
        let length = model.config().segments.is_none().then_some(32);
        let request = Decode { points: &points, temperature: 1.0, length, controls: None };
        let play = |last: usize| {
            let mut told = Vec::new();
            let mut rngs = [Rng::new(1, 0), Rng::new(1, 1)];
            let decoded = model.decode(&mut on(1, Path::Generic), &request, &mut rngs, &mut |progress| {
                told.push((progress.steps, progress.of));
                if progress.steps == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            (decoded, told)
        };
        let (decoded, told) = play(usize::MAX);
        assert_eq!(decoded.unwrap().len(), 2);
        assert_eq!(told, (1..=of).map(|step| (step, of)).collect::<Vec<_>>(), "{case}");
        let (decoded, told) = play(5);
        assert!(matches!(decoded, Err(Error::Cancelled)), "{case}");
        assert_eq!(told.len(), 5);
    }
}
