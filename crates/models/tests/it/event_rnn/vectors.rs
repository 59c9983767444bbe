//! Equal to Magenta's own code on its own weights.

use std::fmt::Debug;

use partita_models::event_rnn::{Continue, EventRnn};
use partita_nn::Sampling;
use partita_tokens::events::{
    Codec, DrumSet, MelodyEvent, Plain, end_step, set_drum_length, set_melody_length, squash, start_step,
    timed_notes,
};
use serde_json::Value;

use super::case::{
    Case, DRUMS, DYNAMICS, LEGACY, LEGACY_DRUMS, MELODIES, PERFORMANCE, compute, drums, go, melody,
    performance, probabilities,
};

/// Probabilities of an f32 network against an f32 network with sums in another order; published differences of
/// independent ones are 7e-7.
const CLOSE: f32 = 5e-6;
/// Times in the vectors are decimal; a step is 0.01 and more.
const SAME_TIME: f64 = 1e-9;

/// Every `stride`-th row of the probabilities after `events`, against the case's.
fn check_probabilities<E>(
    case: &Case,
    rnn: &EventRnn,
    codec: &dyn Codec<Event = E>,
    events: &[E],
    tensor: &str,
    stride: usize,
) where
    E: Copy + PartialEq + Debug,
{
    let got = probabilities(rnn.net(), &codec.all_inputs(events));
    let expected = case.floats(tensor);
    let rows = got.chunks_exact(codec.classes()).step_by(stride);
    let mut worst = 0.0f32;
    assert_eq!(rows.len() * codec.classes(), expected.len(), "{} {tensor}", case.name);
    for (got, expected) in rows.flatten().zip(&expected) {
        worst = worst.max((got - expected).abs());
    }
    println!("{} {tensor}: worst difference {worst:e}", case.name);
    assert!(worst < CLOSE, "{} {tensor}: {worst:e}", case.name);
}

fn check_labels<E>(case: &Case, codec: &dyn Codec<Event = E>, events: &[E], tensor: &str)
where
    E: Copy + PartialEq + Debug,
{
    let labels: Vec<usize> = (0..events.len()).map(|at| codec.label(events, at)).collect();
    assert_eq!(labels, case.integers(tensor), "{} {tensor}", case.name);
    for (at, &label) in labels.iter().enumerate() {
        assert_eq!(codec.event(label, &events[..at]), events[at], "{} {tensor} {at}", case.name);
    }
}

/// One-hots as their place, and what follows them.
fn check_thin_inputs<E>(case: &Case, codec: &dyn Codec<Event = E>, events: &[E], which: &str, classes: usize)
where
    E: Copy + PartialEq + Debug,
{
    let inputs = codec.all_inputs(events);
    let mut tails = Vec::new();
    for (row, hot) in inputs.chunks_exact(codec.inputs()).zip(case.integers(&format!("input_argmax{which}")))
    {
        let (one_hot, tail) = row.split_at(classes);
        assert_eq!(one_hot.iter().position(|&x| x == 1.0), Some(hot), "{} {which}", case.name);
        assert_eq!(one_hot.iter().sum::<f32>(), 1.0);
        tails.extend_from_slice(tail);
    }
    if classes < codec.inputs() {
        assert_eq!(tails, case.floats(&format!("input_tail{which}")), "{} {which}", case.name);
    }
}

fn greedy<E>(primer: Vec<E>, length: usize, temperature: f32) -> Continue<E> {
    let sampling = Sampling { temperature, ..Sampling::default() };
    Continue { sampling, ..Continue::new(primer, length, 7) }
}

#[test]
fn magenta_melodies_are_moved_into_key_and_range_as_published() {
    for name in MELODIES {
        let case = Case::open(name);
        let range = if name == "mono_rnn" { (0, 128, None) } else { (48, 84, Some(0)) };
        for primer in case.primers() {
            let mut events = melody(&primer["primer_events"]);
            let (low, high, key) = range;
            let moved = squash(&mut events, partita_tokens::events::MelodyRange { low, high }, key);
            assert_eq!(i64::from(moved), primer["transpose_amount"].as_i64().unwrap(), "{name}");
            assert_eq!(events, melody(&primer["squashed_primer"]), "{name}");
        }
    }
}

#[test]
fn magenta_melody_features_labels_and_probabilities_equal_the_published_ones() {
    for name in MELODIES {
        let case = Case::open(name);
        let (rnn, codec) = (case.rnn(), case.melody_codec());
        let mut dense = 0;
        for (index, primer) in case.primers().iter().enumerate() {
            let events = melody(&primer["greedy_events_squashed"]);
            let inputs = format!("inputs_{index}");
            if case.expected.contains(&inputs) {
                assert_eq!(codec.all_inputs(&events), case.floats(&inputs), "{name} {inputs}");
                dense += 1;
            }
            check_labels(&case, &*codec, &events, &format!("labels_{index}"));
            check_probabilities(&case, &rnn, &*codec, &events, &format!("softmax_{index}"), 1);
        }
        assert!(dense > 0 || name == "basic_rnn" || name == "mono_rnn", "{name} has no features");
    }
}

#[test]
fn magenta_greedy_melodies_equal_the_published_ones() {
    for name in MELODIES {
        let case = Case::open(name);
        let rnn = case.rnn();
        let length = case.json["num_steps"].as_u64().unwrap() as usize;
        for primer in case.primers() {
            for temperature in [1e-6, 0.0] {
                let request = greedy(melody(&primer["primer_events"]), length, temperature);
                let got = rnn.continue_melody(&mut compute(), &request, &mut go).unwrap().remove(0);
                assert_eq!(got.events, melody(&primer["greedy_events"]), "{name}");
                assert!(got.log_likelihood.abs() < 1e-6, "{name}: {}", got.log_likelihood);
            }
        }
    }
}

#[test]
fn magenta_attention_around_all_layers_gives_the_published_probabilities_under_the_names_of_its_time() {
    for name in LEGACY {
        let case = Case::open(name);
        let (rnn, codec) = (case.rnn(), case.melody_codec());
        for (index, events) in case.json["events"].as_array().unwrap().iter().enumerate() {
            let events = melody(events);
            let inputs = case.floats(&format!("inputs_{index}"));
            assert_eq!(codec.all_inputs(&events), inputs, "{name} {index}");
            check_probabilities(&case, &rnn, &*codec, &events, &format!("softmax_{index}"), 1);
        }
    }
    let case = Case::open(LEGACY_DRUMS);
    let (rnn, codec) = (case.rnn(), case.drum_codec());
    let events = drums(&case.json["events"][0]);
    check_thin_inputs(&case, &*codec, &events, "_0", 512);
    check_probabilities(&case, &rnn, &*codec, &events, "softmax_0", 4);
}

#[test]
fn magenta_drum_features_labels_probabilities_and_greedy_events_equal_the_published_ones() {
    for name in DRUMS {
        let case = Case::open(name);
        let (rnn, codec) = (case.rnn(), case.drum_codec());
        let length = case.json["num_steps"].as_u64().unwrap() as usize;
        for (index, primer) in case.primers().iter().enumerate() {
            let events = drums(&primer["greedy_events"]);
            let one_hot = if name == "drum_kit" { 512 } else { 2 };
            let stride = primer["softmax_stride"].as_u64().unwrap() as usize;
            let classes = case.integers(&format!("labels_{index}"));
            let labels: Vec<usize> = (0..events.len()).map(|at| codec.label(&events, at)).collect();
            assert_eq!(labels, classes, "{name} {index}");
            if name == "drum_kit" {
                check_thin_inputs(&case, &*codec, &events, &format!("_{index}"), one_hot);
            } else {
                // There the whole input is its tail.
                let tail = case.floats(&format!("input_tail_{index}"));
                assert_eq!(codec.all_inputs(&events), tail, "{name} {index}");
            }
            check_probabilities(&case, &rnn, &*codec, &events, &format!("softmax_{index}"), stride);
            for temperature in [1e-6, 0.0] {
                let request = greedy(drums(&primer["primer_events"]), length, temperature);
                let got = rnn.continue_drums(&mut compute(), &request, &mut go).unwrap().remove(0);
                assert_eq!(got.events, events, "{name} {index}");
            }
        }
    }
}

#[test]
fn magenta_performance_classes_probabilities_and_notes_equal_the_published_ones() {
    let case = Case::open(PERFORMANCE);
    let (rnn, codec) = (case.rnn(), Plain(DYNAMICS));
    let events = performance(&case.json["greedy_events"]);
    check_thin_inputs(&case, &codec, &events, "", 388);
    check_labels(&case, &codec, &events, "labels");
    let stride = case.json["softmax_stride"].as_u64().unwrap() as usize;
    check_probabilities(&case, &rnn, &codec, &events, "softmax", stride);
    let notes: Vec<Value> = timed_notes(DYNAMICS, &events, 0, 5.0)
        .into_iter()
        .map(|note| serde_json::json!([note.start, note.end, note.pitch, note.velocity]))
        .collect();
    check_notes(&case.json["to_sequence"], &notes, "performance");
}

/// `[start, end, pitch, velocity]` each, in any order.
fn check_notes(sequence: &Value, got: &[Value], what: &str) {
    let rows = |notes: &[Value]| {
        let mut rows: Vec<[f64; 4]> =
            notes.iter().map(|note| std::array::from_fn(|at| note[at].as_f64().unwrap())).collect();
        rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
        rows
    };
    let (got, expected) = (rows(got), rows(sequence["notes"].as_array().unwrap()));
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(&expected) {
        assert!(
            got.iter().zip(expected).all(|(a, b)| (a - b).abs() < SAME_TIME),
            "{what}: {got:?}, {expected:?}"
        );
    }
}

#[test]
fn magenta_greedy_performance_equals_the_published_one() {
    let case = Case::open(PERFORMANCE);
    let rnn = case.rnn();
    let events = performance(&case.json["greedy_events"]);
    let primer = performance(&case.json["primer_events"]);
    // The length is told in time: as much as the published events take, and not one event more.
    let net = rnn.net();
    let mut state = net.start(1);
    let codec = Plain(DYNAMICS);
    let mut compute = compute();
    let mut got = primer.clone();
    let logits = net.prefill(&mut compute, &mut state, &codec.all_inputs(&primer));
    let mut logits = logits[logits.len() - 388..].to_vec();
    while got.len() < events.len() {
        let class = (0..388).fold(0, |best, class| if logits[class] > logits[best] { class } else { best });
        got.push(codec.event(class, &got));
        let mut x = vec![0.0; 388];
        codec.input(&got, got.len() - 1, &mut x);
        logits = net.step(&mut compute, &mut state, &x);
    }
    assert_eq!(got, events);
}

/// The events of a primer as they come out of its notes: no note-off where nothing sounds, nothing after the last note.
fn from_notes(mut events: Vec<MelodyEvent>) -> Vec<MelodyEvent> {
    let mut sounds = false;
    for event in &mut events {
        match event {
            MelodyEvent::NoteOff if !sounds => *event = MelodyEvent::NoEvent,
            MelodyEvent::NoteOff => sounds = false,
            MelodyEvent::NoteOn(_) => sounds = true,
            MelodyEvent::NoEvent => {}
        }
    }
    let last = events.iter().rposition(|event| event.pitch().is_some()).unwrap();
    if let Some(off) = events[last..].iter().position(|&event| event == MelodyEvent::NoteOff) {
        events.truncate(last + off);
    }
    events
}

fn section(primer: &Value, steps_per_second: f64) -> (usize, usize) {
    let seconds = |at: usize| primer["generate_section"][at].as_f64().unwrap();
    (start_step(seconds(0), steps_per_second), end_step(seconds(1), steps_per_second))
}

#[test]
fn magenta_sections_of_melodies_become_the_published_notes() {
    const PER_SECOND: f64 = 8.0;
    for name in MELODIES {
        let case = Case::open(name);
        let rnn = case.rnn();
        for (index, primer) in case.primers().iter().enumerate() {
            let (start, end) = section(primer, PER_SECOND);
            let mut events = from_notes(melody(&primer["primer_events"]));
            set_melody_length(&mut events, start);
            let request = greedy(events, end, 1e-6);
            let got = rnn.continue_melody(&mut compute(), &request, &mut go).unwrap().remove(0);
            let mut notes: Vec<(usize, usize, u8)> = Vec::new();
            let mut sounding: Option<(usize, u8)> = None;
            for (step, &event) in got.events.iter().chain([&MelodyEvent::NoteOff]).enumerate() {
                if event != MelodyEvent::NoEvent {
                    notes.extend(sounding.take().map(|(start, pitch)| (start, step, pitch)));
                }
                sounding = event.pitch().map(|pitch| (step, pitch)).or(sounding);
            }
            let notes: Vec<Value> = notes
                .into_iter()
                .map(|(start, end, pitch)| {
                    serde_json::json!([start as f64 / PER_SECOND, end as f64 / PER_SECOND, pitch, 100])
                })
                .collect();
            check_notes(&primer["generated_sequence"], &notes, &format!("{name} {index}"));
        }
    }
}

#[test]
fn magenta_sections_of_drums_become_the_published_notes() {
    for name in DRUMS {
        let case = Case::open(name);
        let rnn = case.rnn();
        let per_second = 2.0 * case.json["steps_per_quarter"].as_f64().unwrap();
        for (index, primer) in case.primers().iter().enumerate() {
            let (start, end) = section(primer, per_second);
            // The primer's notes are sixteenths at 120; steps of the network may be longer.
            let mut events: Vec<Vec<u8>> = Vec::new();
            for (sixteenth, set) in drums(&primer["primer_events"]).into_iter().enumerate() {
                let step = (sixteenth as f64 / 8.0 * per_second + 0.5) as usize;
                events.resize(events.len().max(step + 1), Vec::new());
                events[step].extend(set.pitches());
            }
            let mut events: Vec<DrumSet> = events.into_iter().map(|set| set.into_iter().collect()).collect();
            set_drum_length(&mut events, start);
            let request = greedy(events, end, 1e-6);
            let got = rnn.continue_drums(&mut compute(), &request, &mut go).unwrap().remove(0);
            let notes: Vec<Value> = got
                .events
                .iter()
                .enumerate()
                .flat_map(|(step, set)| set.pitches().map(move |pitch| (step as f64, pitch)))
                .map(|(step, pitch)| {
                    serde_json::json!([step / per_second, (step + 1.0) / per_second, pitch, 100])
                })
                .collect();
            check_notes(&primer["generated_sequence"], &notes, &format!("{name} {index}"));
        }
    }
}
