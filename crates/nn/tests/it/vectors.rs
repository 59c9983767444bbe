//! The network against the library it comes from. `PARTITA_VECTORS` names a directory with `hf/gpt2`
//! inside; without it the copy in `testdata/reference` is used.

use std::path::PathBuf;
use std::sync::Arc;

use partita_nn::{
    Decoder, Gpt, GptConfig, KvPrecision, Path, Pool, Precision, Rng, Sampler, Sampling, StyleEmbedding, Tap,
    Tensors, guide,
};

/// Relative to the largest value of a tensor. Both sides sum in f32 in different orders; the largest
/// difference seen is 6e-7.
const ACTIVATIONS: f32 = 6e-6;
/// Absolute, for probabilities; the largest difference seen is 5e-8.
const PROBABILITIES: f32 = 5e-7;

fn directory() -> PathBuf {
    let root = std::env::var_os("PARTITA_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference"),
        PathBuf::from,
    );
    root.join("hf/gpt2")
}

fn tensors(name: &str) -> Tensors {
    Tensors::read(directory().join(name)).expect("the reference is complete")
}

struct Reference {
    vectors: Tensors,
    gpt: Arc<Gpt>,
}

impl Reference {
    fn new() -> Reference {
        let json = std::fs::read_to_string(directory().join("config.json")).expect("config.json");
        let config = GptConfig::from_json(&json).expect("a GPT-2 config");
        let gpt = Gpt::load(&tensors("model.safetensors"), config, Precision::F32).expect("GPT-2 weights");
        Reference { vectors: tensors("vectors.safetensors"), gpt: Arc::new(gpt) }
    }

    fn decoder(&self) -> Decoder {
        let path = Path::from_env().expect("a path this CPU has");
        Decoder::new(&self.gpt, Arc::new(Pool::new(2).expect("two threads")), path, KvPrecision::F32)
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let shape = self.vectors.shape(name).expect("the tensor is there").to_vec();
        self.vectors.f32(name, &shape).expect("floats")
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        let ids = self.vectors.integers(name).expect("integers");
        ids.into_iter().map(|id| u32::try_from(id).expect("ids are not negative")).collect()
    }

    fn rows(&self, name: &str, count: usize) -> Vec<Vec<u32>> {
        let ids = self.ids(name);
        ids.chunks(ids.len() / count).map(<[u32]>::to_vec).collect()
    }
}

#[track_caller]
fn assert_close(name: &str, got: &[f32], expected: &[f32], scale: f32) {
    assert_eq!(got.len(), expected.len(), "{name}");
    let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= scale, "{name}: largest difference {worst}, allowed {scale}");
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |top: f32, value| top.max(value.abs()))
}

#[test]
fn every_layer_matches_the_reference() {
    let reference = Reference::new();
    let mut decoder = reference.decoder();
    let width = reference.gpt.config().width;
    for (row, ids) in reference.rows("logits.input_ids", 2).iter().enumerate() {
        let mut tap = Tap::with_attention();
        let logits = decoder.forward_tapped(None, ids, &mut tap).unwrap();
        for (layer, hidden) in tap.hidden.iter().enumerate() {
            let name = format!("logits.hidden.{layer}");
            let expected = reference.floats(&name);
            let part = &expected[row * ids.len() * width..][..ids.len() * width];
            assert_close(&name, hidden, part, ACTIVATIONS * largest(&expected));
        }
        let expected = reference.floats("logits.out");
        let part = &expected[row * logits.values().len()..][..logits.values().len()];
        assert_close("logits.out", logits.values(), part, ACTIVATIONS * largest(&expected));
        assert_eq!(decoder.forward_all(None, ids).unwrap(), logits);

        for weights in &tap.attention {
            for (index, weights) in weights.chunks_exact(ids.len()).enumerate() {
                let query = index % ids.len();
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                assert!(weights[query + 1..].iter().all(|&weight| weight == 0.0));
            }
        }
    }
}

#[test]
fn a_left_padded_row_is_the_row_without_padding() {
    let reference = Reference::new();
    let mut decoder = reference.decoder();
    let vocab = reference.gpt.config().vocab;
    let (ids, mask) = (reference.rows("logits.input_ids", 2), reference.rows("leftpad.attention_mask", 2));
    let positions = reference.rows("leftpad.position_ids", 2);
    let expected = reference.floats("leftpad.out");
    let mut padded = 0;
    for row in 0..2 {
        let first = mask[row].iter().position(|&kept| kept == 1).expect("a row is not all padding");
        assert!(mask[row][first..].iter().all(|&kept| kept == 1));
        assert!(positions[row][first..].iter().copied().eq(0..(ids[row].len() - first) as u32));
        padded += first;
        let logits = decoder.forward_all(None, &ids[row][first..]).unwrap();
        let part = &expected[(row * ids[row].len() + first) * vocab..(row + 1) * ids[row].len() * vocab];
        assert_close("leftpad.out", logits.values(), part, ACTIVATIONS * largest(&expected));
    }
    assert!(padded > 0, "the reference has padding");
}

/// Generates greedily until the sequence is as long as the reference.
fn greedy(
    decoder: &mut Decoder,
    prompt: &[u32],
    len: usize,
    penalty: f32,
    added: Option<&[f32]>,
) -> Vec<u32> {
    let sampling = Sampling { repetition_penalty: penalty, ..Sampling::greedy() };
    let (mut sampler, mut rng) = (Sampler::new(sampling).unwrap(), Rng::new(0, 0));
    let sequence = decoder.join(added);
    decoder.prefill(sequence, prompt).unwrap();
    let mut ids = prompt.to_vec();
    while ids.len() < len {
        let logits = decoder.last_logits(sequence).unwrap().expect("a token was taken");
        let token = sampler.sample(logits, &ids, None, &mut rng).unwrap();
        ids.push(token);
        decoder.step(&[(sequence, token)]).unwrap();
    }
    ids
}

#[test]
fn greedy_decoding_gives_the_reference_tokens() {
    let reference = Reference::new();
    let prompt = reference.ids("greedy.prompt");
    for (name, penalty) in [("greedy.sequence", 1.0), ("greedy_reppen1.3.sequence", 1.3)] {
        let expected = reference.ids(name);
        assert_eq!(
            greedy(&mut reference.decoder(), &prompt, expected.len(), penalty, None),
            expected,
            "{name}"
        );
    }
}

#[test]
fn a_style_is_added_to_every_embedding() {
    let reference = Reference::new();
    let mut decoder = reference.decoder();
    let styles = StyleEmbedding::load(&tensors("style.safetensors")).unwrap();
    assert_eq!(styles.styles(), 5);
    let expected = reference.floats("style.out");
    let rows = reference.rows("logits.input_ids", 2);
    for (row, (ids, style)) in rows.iter().zip(reference.ids("style.style_ids")).enumerate() {
        let logits = decoder.forward_all(Some(styles.added(style as usize).unwrap()), ids).unwrap();
        let part = &expected[row * logits.values().len()..][..logits.values().len()];
        assert_close("style.out", logits.values(), part, ACTIVATIONS * largest(&expected));
    }
    let style = reference.ids("style.greedy.style")[0] as usize;
    let expected = reference.ids("style.greedy.sequence");
    let prompt = reference.ids("style.greedy.prompt");
    let added = styles.added(style).unwrap();
    assert_eq!(greedy(&mut decoder, &prompt, expected.len(), 1.0, Some(added)), expected);
    assert_eq!(styles.added(5).unwrap_err().to_string(), "style must be in 0..5, got 5");
}

#[test]
fn the_sampling_chain_gives_the_reference_probabilities() {
    let reference = Reference::new();
    let json = std::fs::read_to_string(directory().join("vectors.json")).expect("vectors.json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let vocab = reference.gpt.config().vocab;
    let logits = reference.floats("sampling.logits");
    let cases = json["cases"]["sampling"].as_array().expect("cases");
    assert_eq!(cases.len(), 6);
    for (index, case) in cases.iter().enumerate() {
        let number = |key: &str| case[key].as_f64().expect("a number");
        let sampling = Sampling {
            temperature: number("temperature") as f32,
            top_k: number("top_k") as usize,
            top_p: number("top_p") as f32,
            repetition_penalty: 1.0,
        };
        let mut sampler = Sampler::new(sampling).unwrap();
        let name = format!("sampling.{index}.probs");
        let expected = reference.floats(&name);
        for (logits, expected) in logits.chunks_exact(vocab).zip(expected.chunks_exact(vocab)) {
            let got = sampler.probabilities(logits, &[], None).unwrap();
            assert_close(&name, &got, expected, PROBABILITIES);
            let kept = |values: &[f32]| values.iter().map(|&value| value > 0.0).collect::<Vec<_>>();
            assert_eq!(kept(&got), kept(expected), "{name}: tokens kept");
        }
    }
}

#[test]
fn guidance_gives_the_reference_scores() {
    let reference = Reference::new();
    let both = reference.floats("sampling.cfg_logits");
    let (cond, uncond) = both.split_at(both.len() / 2);
    let expected = reference.floats("sampling.cfg3");
    assert_close("sampling.cfg3", &guide(cond, uncond, 3.0), &expected, ACTIVATIONS * largest(&expected));
}
