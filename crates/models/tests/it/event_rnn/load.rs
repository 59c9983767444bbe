//! What a bundle must hold.

use partita_models::event_rnn::{BUNDLES, Bundle, Error, EventRnn, Net, Options};
use partita_nn::{Precision, TensorSource};

use super::case::{Case, LEGACY, LEGACY_DRUMS, compute, melody};

fn refusal(bundle: &'static Bundle, source: &dyn TensorSource) -> String {
    match EventRnn::load(bundle, source, Options::default()) {
        Ok(_) => panic!("{} must be refused", bundle.id),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_magenta_bundle_without_a_tensor_says_which() {
    for name in ["basic_rnn", "attention_rnn", LEGACY[0], LEGACY[1], LEGACY_DRUMS] {
        let case = Case::open(name);
        for missing in case.weights().names() {
            let mut weights = case.weights();
            weights.remove(&missing);
            let expected = format!("tensor {missing:?} is missing");
            assert_eq!(refusal(case.bundle(), &weights), expected, "{name}");
        }
    }
}

#[test]
fn a_magenta_tensor_of_another_shape_names_itself() {
    for name in ["basic_rnn", "attention_rnn", LEGACY[0]] {
        let case = Case::open(name);
        for wrong in case.weights().names() {
            for shape in [&[3, 5][..], &[7], &[2, 2, 2], &[0, 4], &[]] {
                let mut weights = case.weights();
                weights.reshape(&wrong, shape);
                let message = refusal(case.bundle(), &weights);
                // A kernel also tells sizes of its neighbours, which are then the ones that do not fit.
                let tells_sizes =
                    wrong.contains("ernel") || wrong.contains("eights") || wrong.ends_with("Matrix");
                assert!(
                    message.starts_with("tensor ") && message.contains("must have"),
                    "{wrong}: {message}"
                );
                assert!(message.contains(&wrong) || tells_sizes, "{wrong}: {message}");
            }
        }
    }
}

#[test]
fn magenta_tensors_of_training_are_not_looked_at() {
    let case = Case::open("attention_rnn");
    let mut weights = case.weights();
    for name in case.weights().names() {
        weights.reshape(&format!("{name}/Adam"), &[1]);
        weights.reshape(&format!("{name}/Adam_1"), &[1]);
    }
    weights.reshape("beta1_power", &[]);
    weights.reshape("global_step", &[]);
    let rnn = EventRnn::load(case.bundle(), &weights, Options::default()).unwrap();
    let primer = &case.primers()[1];
    let events = melody(&primer["squashed_primer"]);
    let mut compute = compute();
    assert_eq!(
        rnn.melody_log_likelihood(&mut compute, &events).unwrap(),
        case.rnn().melody_log_likelihood(&mut compute, &events).unwrap(),
    );
}

#[test]
fn a_network_of_another_bundle_is_refused_with_the_size_that_differs() {
    let basic = Case::open("basic_rnn");
    let refused = |id: &str| refusal(Bundle::find(id).unwrap(), &basic.weights());
    assert_eq!(refused("mono_rnn"), "the network has inputs 38, but mono_rnn has 130");
    assert_eq!(refused("lookback_rnn"), "the network has inputs 38, but lookback_rnn has 121");
}

#[test]
fn magenta_attention_must_have_a_length() {
    let case = Case::open("attention_rnn");
    let load = |attention| Net::load(&case.weights(), attention, Precision::F32).map(|_| ());
    assert!(matches!(load(None), Err(Error::AttentionLength)));
    for length in [0, 4097] {
        let error = load(Some(length)).unwrap_err().to_string();
        assert_eq!(error, format!("attention must be in 1..=4096, got {length}"));
    }
    load(Some(4096)).unwrap();
    // Where there is none, a length changes nothing.
    Net::load(&Case::open("basic_rnn").weights(), Some(0), Precision::F32).unwrap();
}

#[test]
fn a_magenta_layer_missing_between_others_is_noticed() {
    let case = Case::open("drum_kit");
    let mut weights = case.weights();
    for part in ["kernel", "bias"] {
        weights.remove(&format!("rnn/multi_rnn_cell/cell_1/basic_lstm_cell/{part}"));
    }
    let expected = "tensor \"rnn/multi_rnn_cell/cell_1/basic_lstm_cell/kernel\" is missing";
    assert_eq!(refusal(case.bundle(), &weights), expected);
}

#[test]
fn every_bundle_has_a_name_of_its_own() {
    let mut names: Vec<&str> = BUNDLES.iter().flat_map(|bundle| bundle.aliases).copied().collect();
    names.extend(BUNDLES.iter().map(|bundle| bundle.id));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
