//! What holds for any network: batches, paths, seeds, beams, likelihoods, cancelling, bounds.

use std::ops::ControlFlow;
use std::sync::Arc;

use partita_kernels::{Compute, Path, Pool};
use partita_models::event_rnn::{Beam, Continue, Error, EventRnn, Options, Perform, Progress};
use partita_nn::{Precision, Sampling, log_probability};
use partita_tokens::events::{Codec, Controls, DrumSet, MelodyEvent, PerformanceEvent, Plain, shifted_steps};

use super::case::{Case, DYNAMICS, LEGACY, LEGACY_DRUMS, PERFORMANCE, compute, drums, go, melody};
use crate::recipe::Recipe;

/// Forty-seven logarithms of probabilities that differ by 1e-7 from those published, of a thousandth and more.
const SAME_LIKELIHOOD: f64 = 1e-2;

fn primer() -> Vec<MelodyEvent> {
    melody(&serde_json::json!([60, -2, 62, -1, 64, -2, -2, 67]))
}

fn melody_events(
    rnn: &EventRnn,
    compute: &mut Compute,
    request: &Continue<MelodyEvent>,
) -> Vec<Vec<MelodyEvent>> {
    let done = rnn.continue_melody(compute, request, &mut go).unwrap();
    done.into_iter().map(|done| done.events).collect()
}

#[test]
fn magenta_single_steps_give_the_bits_of_one_pass_and_a_batch_those_of_each_alone() {
    for name in ["lookback_rnn", "attention_rnn", LEGACY[0]] {
        let case = Case::open(name);
        let (rnn, codec) = (case.rnn(), case.melody_codec());
        let net = rnn.net();
        let mut compute = compute();
        let sequences: Vec<Vec<MelodyEvent>> = (0..3)
            .map(|shift| {
                let code = |at: i64| {
                    [60 + shift, -2, 62, 64, -1, -2, 55 + 2 * shift][(at * (shift + 2) % 7) as usize]
                };
                (0..50).map(|at| MelodyEvent::from_code(code(at)).unwrap()).collect()
            })
            .collect();
        let alone: Vec<Vec<f32>> = sequences
            .iter()
            .map(|events| net.prefill(&mut compute, &mut net.start(1), &codec.all_inputs(events)))
            .collect();
        let mut state = net.start(3);
        for at in 0..50 {
            let mut x = vec![0.0; 3 * codec.inputs()];
            for (x, events) in x.chunks_exact_mut(codec.inputs()).zip(&sequences) {
                codec.input(events, at, x);
            }
            let logits = net.step(&mut compute, &mut state, &x);
            for (logits, alone) in logits.chunks_exact(net.classes()).zip(&alone) {
                assert_eq!(logits, &alone[at * net.classes()..][..net.classes()], "{name} {at}");
            }
            if at == 20 {
                // Rows may be taken out and put back in any order.
                state = state.pick(&[2, 0, 1]).pick(&[1, 2, 0]);
            }
        }
    }
}

#[test]
fn magenta_continuations_are_the_same_on_every_path_and_any_threads_and_differ_by_seed() {
    for name in ["basic_rnn", "attention_rnn"] {
        let rnn = Case::open(name).rnn();
        let request = Continue { variations: 3, ..Continue::new(primer(), 40, 5) };
        let expected = melody_events(&rnn, &mut compute(), &request);
        for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
            for threads in [1, 2] {
                let mut compute = Compute::new(Arc::new(Pool::new(threads).unwrap()), path);
                assert_eq!(melody_events(&rnn, &mut compute, &request), expected, "{name} {}", path.name());
            }
        }
        let fewer = Continue { variations: 2, ..request.clone() };
        assert_eq!(melody_events(&rnn, &mut compute(), &fewer), expected[..2]);
        let other = Continue { seed: 6, ..request };
        assert_ne!(melody_events(&rnn, &mut compute(), &other), expected);
        assert_ne!(expected[0], expected[1]);
        assert!(expected.iter().all(|events| events[..8] == primer()[..]));
    }
}

#[test]
fn magenta_networks_play_in_int8() {
    for name in ["basic_rnn", "attention_rnn", "drum_kit"] {
        let case = Case::open(name);
        let options = Options { precision: Precision::Int8, attention: None };
        let rnn = EventRnn::load(case.bundle(), &case.weights(), options).unwrap();
        assert!(rnn.net().bytes() < case.rnn().net().bytes() / 2, "{name}");
        if name != "drum_kit" {
            let (mut exact, mut compute) = (case.rnn(), compute());
            let likelihood = |rnn: &mut EventRnn, compute: &mut Compute| {
                rnn.melody_log_likelihood(compute, &primer()).unwrap()
            };
            let exact = likelihood(&mut exact, &mut compute);
            let mut rnn = rnn;
            assert!((likelihood(&mut rnn, &mut compute) - exact).abs() < 0.05 * exact.abs(), "{name}");
        }
    }
}

#[test]
fn a_magenta_likelihood_is_the_sum_of_what_each_event_had() {
    // The one that moves no melody, so that what is measured is what was published.
    let case = Case::open("mono_rnn");
    let (rnn, codec) = (case.rnn(), case.melody_codec());
    for (index, primer) in case.primers().iter().enumerate() {
        let events = melody(&primer["greedy_events"]);
        let softmax = case.floats(&format!("softmax_{index}"));
        let terms = (1..events.len()).map(|at| softmax[(at - 1) * 130 + codec.label(&events, at)]);
        let expected: f64 = terms.map(|probability| f64::from(probability).ln()).sum();
        let got = rnn.melody_log_likelihood(&mut compute(), &events).unwrap();
        assert!((got - expected).abs() < SAME_LIKELIHOOD, "{got} is not {expected}");
    }

    let drum_case = Case::open("one_drum");
    let events = drums(&drum_case.primers()[0]["greedy_events"]);
    assert!(drum_case.rnn().drums_log_likelihood(&mut compute(), &events).unwrap() < 0.0);
}

#[test]
fn a_magenta_continuation_tells_its_likelihood_at_its_temperature() {
    let case = Case::open("mono_rnn");
    let rnn = case.rnn();
    let mut compute = compute();
    for temperature in [1.0, 0.7] {
        let sampling = Sampling { temperature, ..Sampling::default() };
        let request = Continue { sampling, ..Continue::new(primer(), 30, 3) };
        let done = rnn.continue_melody(&mut compute, &request, &mut go).unwrap().remove(0);
        let codec = case.melody_codec();
        let net = rnn.net();
        let logits = net.prefill(&mut compute, &mut net.start(1), &codec.all_inputs(&done.events));
        let expected: f64 = (8..30)
            .map(|at| {
                let row: Vec<f32> =
                    logits[(at - 1) * 130..at * 130].iter().map(|logit| logit / temperature).collect();
                log_probability(&row, codec.label(&done.events, at) as u32)
            })
            .sum();
        assert!((done.log_likelihood - expected).abs() < 1e-4, "{} {expected}", done.log_likelihood);
    }
}

#[test]
fn a_magenta_beam_finds_more_likely_sequences_than_single_draws() {
    let rnn = Case::open("basic_rnn").rnn();
    let play = |beam, seed| {
        let request = Continue { beam, ..Continue::new(primer(), 29, seed) };
        rnn.continue_melody(&mut compute(), &request, &mut go).unwrap().remove(0)
    };
    let single = Beam::default();
    let mean = |beam| (0..8).map(|seed| play(beam, seed).log_likelihood).sum::<f64>() / 8.0;
    let plain = mean(single);
    for beam in [
        Beam { size: 4, branches: 4, steps: 1 },
        Beam { size: 2, branches: 3, steps: 5 },
        Beam { size: 1, branches: 8, steps: 4 },
    ] {
        assert!(mean(beam) > plain + 2.0, "{beam:?}: {} and {plain}", mean(beam));
        assert_eq!(play(beam, 1), play(beam, 1));
        assert_eq!(play(beam, 1).events.len(), 29);
    }
    // Rounds longer than what is asked for are one round, and nothing is chosen before its end.
    let whole = Beam { size: 3, branches: 1, steps: 100 };
    let copies = play(whole, 1);
    assert!(copies.log_likelihood >= play(single, 1).log_likelihood - 60.0);
}

#[test]
fn magenta_variations_with_beams_do_not_depend_on_each_other() {
    let rnn = Case::open("attention_rnn").rnn();
    let beam = Beam { size: 2, branches: 2, steps: 3 };
    let request = Continue { beam, variations: 3, ..Continue::new(primer(), 24, 11) };
    let many = rnn.continue_melody(&mut compute(), &request, &mut go).unwrap();
    let one = Continue { variations: 1, ..request };
    assert_eq!(rnn.continue_melody(&mut compute(), &one, &mut go).unwrap(), many[..1]);
    assert_ne!(many[0].events, many[1].events);
}

#[test]
fn breaking_the_watch_cancels_a_magenta_continuation_between_steps() {
    let rnn = Case::open("basic_rnn").rnn();
    for at in [0, 1, 7] {
        let mut told = Vec::new();
        let result = rnn.continue_melody(&mut compute(), &Continue::new(primer(), 40, 1), &mut |progress| {
            told.push(progress);
            if progress.events >= at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        let expected: Vec<Progress> = (0..=at).map(|events| Progress { events, of: 32 }).collect();
        assert_eq!(told, expected);
    }
}

#[test]
fn requests_out_of_range_are_named() {
    let rnn = Case::open("basic_rnn").rnn();
    let error = |request: Continue<MelodyEvent>| {
        rnn.continue_melody(&mut compute(), &request, &mut go).unwrap_err().to_string()
    };
    let plain = Continue::new(primer(), 40, 1);
    let with = |beam: Beam| Continue { beam, ..plain.clone() };
    assert_eq!(
        error(Continue { primer: vec![], ..plain.clone() }),
        "events of the primer must be in 1..65536, got 0"
    );
    assert_eq!(error(Continue { length: 8, ..plain.clone() }), "length must be in 9..=65536 events, got 8");
    assert_eq!(
        error(Continue { length: 65_537, ..plain.clone() }),
        "length must be in 9..=65536 events, got 65537"
    );
    assert_eq!(
        error(Continue { variations: 0, ..plain.clone() }),
        "variations must be in 1..=1024 with this beam, got 0"
    );
    assert_eq!(error(with(Beam { size: 0, ..Beam::default() })), "beam size must be in 1..=64, got 0");
    assert_eq!(error(with(Beam { steps: 0, ..Beam::default() })), "beam steps must be in 1..=65536, got 0");
    assert_eq!(
        error(with(Beam { size: 64, branches: 64, steps: 1 })),
        "beam size times branches must be in 1..=1024, got 4096"
    );
    let sampling = Sampling { temperature: -1.0, ..Sampling::default() };
    assert_eq!(error(Continue { sampling, ..plain.clone() }), "temperature must be in [0, 100], got -1");
    let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
    assert_eq!(error(Continue { sampling, ..plain.clone() }), "repetition_penalty must be in [1, 1], got 2");
    let wild = Continue { primer: vec![MelodyEvent::NoteOn(200)], ..plain };
    assert_eq!(error(wild), "event 0: pitch must be in 0..128, got 200");
    assert_eq!(
        rnn.melody_log_likelihood(&mut compute(), &primer()[..1]).unwrap_err().to_string(),
        "events must be in 2..=65536, got 1"
    );
}

#[test]
fn a_magenta_network_plays_only_what_it_was_trained_for() {
    let melodies = Case::open("basic_rnn").rnn();
    let drum_kit = Case::open(LEGACY_DRUMS).rnn();
    let drums = Continue::new(vec![DrumSet::default()], 4, 1);
    let error = melodies.continue_drums(&mut compute(), &drums, &mut go).unwrap_err();
    assert_eq!(error.to_string(), "basic_rnn continues melodies, not drums");
    let error =
        drum_kit.continue_melody(&mut compute(), &Continue::new(primer(), 40, 1), &mut go).unwrap_err();
    assert_eq!(error.to_string(), "drum_kit continues drums, not melodies");
    let error =
        drum_kit.continue_performance(&mut compute(), &Perform::new(vec![], 9, 1), &mut go).unwrap_err();
    assert_eq!(error.to_string(), "drum_kit continues drums, not performances");
}

/// A small network with the sizes of `id`; two layers of 8.
fn small(id: &str) -> EventRnn {
    let bundle = partita_models::event_rnn::Bundle::find(id).unwrap();
    let (inputs, classes) = bundle.sizes();
    let variable =
        |name: &str, shape: &[usize]| serde_json::json!({"name": name, "shape": shape, "a": 0.8, "b0": 0.0});
    let layer = |at: usize, part: &str| format!("rnn/multi_rnn_cell/cell_{at}/basic_lstm_cell/{part}");
    let case = serde_json::json!({"salt": id, "variables": [
        variable(&layer(0, "kernel"), &[inputs + 8, 32]), variable(&layer(0, "bias"), &[32]),
        variable(&layer(1, "kernel"), &[16, 32]), variable(&layer(1, "bias"), &[32]),
        variable("fully_connected/weights", &[8, classes]), variable("fully_connected/biases", &[classes]),
    ]});
    EventRnn::load(bundle, &Recipe::new(&case), Options::default()).unwrap()
}

#[test]
fn magenta_performances_last_as_long_as_was_asked_for() {
    let rnn = Case::open(PERFORMANCE).rnn();
    let primer = vec![PerformanceEvent::NoteOn(60), PerformanceEvent::TimeShift(50)];
    for (primer, steps, fill) in [(primer, 300, false), (vec![], 250, true), (vec![], 60, false)] {
        let request = Perform { fill, variations: 2, ..Perform::new(primer.clone(), steps, 4) };
        let done = rnn.continue_performance(&mut compute(), &request, &mut go).unwrap();
        assert_eq!(done.len(), 2);
        for done in &done {
            assert_eq!(shifted_steps(&done.events), steps);
            assert_eq!(done.events[..primer.len()], primer);
            Plain(DYNAMICS).check(&done.events).unwrap();
        }
        let again = Perform { variations: 1, ..request };
        assert_eq!(rnn.continue_performance(&mut compute(), &again, &mut go).unwrap(), done[..1]);
    }
}

#[test]
fn magenta_performances_that_are_to_be_filled_are_played_to_their_end() {
    // Four events are asked for a second, and those of this network take less than that.
    let rnn = small("density_conditioned_performance_with_dynamics");
    let controls = Some(Controls { density: vec![1.0], ..Controls::default() });
    let request = Perform { controls, ..Perform::new(vec![], 3000, 4) };
    let filled = Perform { fill: true, ..request.clone() };
    let silent_end = |request: &Perform| {
        let events = rnn.continue_performance(&mut compute(), request, &mut go).unwrap().remove(0).events;
        let played = events.iter().rposition(|event| !matches!(event, PerformanceEvent::TimeShift(_)));
        shifted_steps(&events[played.unwrap()..])
    };
    let (left, filled) = (silent_end(&request), silent_end(&filled));
    assert!(left > 1000 && filled < 300, "{left} steps are silent, and filled {filled}");
}

#[test]
fn a_magenta_performance_follows_its_controls() {
    let id = "optional_multiconditioned_performance_with_dynamics";
    let rnn = small(id);
    let play = |controls: Option<Controls>| {
        let request = Perform { controls, ..Perform::new(vec![], 400, 2) };
        rnn.continue_performance(&mut compute(), &request, &mut go).unwrap().remove(0).events
    };
    let plain = Controls::default();
    assert_eq!(play(None), play(Some(plain.clone())));
    let mut pitches = [0.0; 12];
    pitches[0] = 1.0;
    let free = play(Some(Controls { free: vec![true], ..plain.clone() }));
    assert_ne!(play(Some(Controls { pitch_classes: vec![pitches], ..plain.clone() })), play(None));
    assert_ne!(free, play(None));
    assert_eq!(
        free,
        play(Some(Controls { free: vec![true], pitch_classes: vec![pitches], ..plain.clone() }))
    );
    for (density, events) in [(1.0, 12), (15.0, 180), (0.1, 12), (31.5, 378)] {
        // Three seconds are missing after the first of silence, with four events a note.
        let controls = Some(Controls { density: vec![density], ..plain.clone() });
        let request = Perform { controls, ..Perform::new(vec![], 400, 2) };
        let mut asked = 0;
        let mut watch = |progress: Progress| {
            asked = progress.of;
            ControlFlow::Continue(())
        };
        rnn.continue_performance(&mut compute(), &request, &mut watch).unwrap();
        assert_eq!(asked, events, "{density} notes a second");
    }

    let request = Perform { controls: Some(plain), ..Perform::new(vec![], 400, 2) };
    let error = small("performance").continue_performance(&mut compute(), &request, &mut go).unwrap_err();
    assert!(error.to_string().starts_with("performance was not trained to follow density or pitch classes"));
    let request =
        Perform { controls: Some(Controls { density: vec![f64::NAN], ..Controls::default() }), ..request };
    let error = rnn.continue_performance(&mut compute(), &request, &mut go).unwrap_err();
    assert_eq!(error.to_string(), "density must be in [0, 1000000], got NaN");
}

#[test]
fn magenta_performances_out_of_range_are_named() {
    let rnn = small("performance_with_dynamics_and_modulo_encoding");
    let error = |primer: Vec<PerformanceEvent>, steps| {
        rnn.continue_performance(&mut compute(), &Perform::new(primer, steps, 1), &mut go)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(error(vec![], 0), "steps must be in 1..=60000, got 0");
    assert_eq!(error(vec![PerformanceEvent::TimeShift(9)], 9), "steps must be in 10..=60000, got 9");
    assert_eq!(error(vec![], usize::MAX), "steps must be in 1..=60000, got 18446744073709551615");
    assert_eq!(
        error(vec![PerformanceEvent::Velocity(33)], 9),
        "event 0: velocity bin must be in 1..=32, got 33"
    );
    let likelihood = rnn.performance_log_likelihood(
        &mut compute(),
        &[PerformanceEvent::NoteOn(60), PerformanceEvent::TimeShift(3), PerformanceEvent::NoteOff(60)],
        None,
    );
    assert!(likelihood.unwrap() < 0.0);
}
