//! MusicGen against the published library: text states, logits, greedy codes.

use std::path::PathBuf;
use std::sync::Arc;

use partita_kernels::{Compute, KvPrecision, Path, Pool, Precision};
use partita_models::musicgen::{Clip, Condition, Generate, MusicGen, Precisions};
use partita_nn::{Rng, Sampler, Sampling, Tensors};
use serde_json::Value;

use crate::clips::play;

/// Sums of hundreds of products in another order than the library's, relative to the largest value.
const CLOSE: f32 = 2e-4;

const EXACT: Precisions = Precisions { weights: Precision::F32, kv: KvPrecision::F32 };

struct Reference {
    model: MusicGen,
    tensors: Tensors,
    cases: Value,
}

fn reference(name: &str) -> Reference {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference");
    let root = std::env::var_os("PARTITA_VECTORS").map_or(repository, PathBuf::from);
    let folder = root.join("hf").join(name);
    let json = std::fs::read_to_string(folder.join("vectors.json")).unwrap();
    Reference {
        model: MusicGen::open(&folder, EXACT).unwrap(),
        tensors: Tensors::read(folder.join("vectors.safetensors")).unwrap(),
        cases: serde_json::from_str::<Value>(&json).unwrap()["cases"].take(),
    }
}

fn compute() -> Compute {
    Compute::new(Arc::new(Pool::new(2).unwrap()), Path::from_env().unwrap())
}

impl Reference {
    fn floats(&self, name: &str) -> Vec<f32> {
        let shape = self.tensors.shape(name).unwrap_or_else(|| panic!("{name}")).to_vec();
        self.tensors.f32(name, &shape).unwrap()
    }

    fn codes(&self, name: &str) -> Vec<u32> {
        self.tensors.integers(name).unwrap().into_iter().map(|code| code as u32).collect()
    }

    fn prompt(&self, index: usize) -> String {
        self.cases["tokenizer"][index]["text"].as_str().unwrap().to_owned()
    }

    fn condition(&self, prompt: &str, guidance: f32) -> (Condition, Option<(Condition, f32)>) {
        let mut compute = compute();
        let condition = self.model.condition(&mut compute, prompt, None).unwrap();
        let null = self.model.null_condition(&mut compute, &condition);
        (condition, (guidance > 1.0).then_some((null, guidance)))
    }
}

fn assert_close(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let top = expected.iter().fold(0.0f32, |top, value| top.max(value.abs()));
    let worst = got.iter().zip(expected).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst <= CLOSE * top, "{what}: {worst} of {top}");
}

const MODELS: [&str; 3] = ["musicgen_mono", "musicgen_stereo", "musicgen_melody"];

#[test]
fn musicgen_prompts_become_the_published_tokens() {
    for name in MODELS {
        let reference = reference(name);
        for case in reference.cases["tokenizer"].as_array().unwrap() {
            let ids: Vec<u32> = serde_json::from_value(case["input_ids"].clone()).unwrap();
            assert_eq!(
                reference.model.tokens(case["text"].as_str().unwrap()).unwrap(),
                ids,
                "{name}: {case}"
            );
        }
    }
}

#[test]
fn musicgen_text_states_equal_the_published_ones() {
    for name in MODELS {
        let reference = reference(name);
        for index in 0..reference.cases["tokenizer"].as_array().unwrap().len() {
            let ids = reference.model.tokens(&reference.prompt(index)).unwrap();
            let states = reference.model.text().unwrap().encode(&mut compute(), &ids).unwrap();
            assert_close(
                &states,
                &reference.floats(&format!("t5.{index}.hidden")),
                &format!("{name} {index}"),
            );
        }
    }
}

/// The clips of a case of `generate`.
fn clips(reference: &Reference, case: &Value) -> Vec<Clip> {
    let decoder = &reference.model.config().decoder;
    let (codebooks, width) = (decoder.num_codebooks, decoder.hidden_size);
    let lag = codebooks / decoder.audio_channels;
    let scale = case["guidance"].as_f64().unwrap() as f32;
    let melody = case["chroma"].as_u64().map(|which| reference.floats(&format!("chroma.{which}.features")));
    let prompts: Vec<Option<usize>> = match case["prompts"].as_array().unwrap().as_slice() {
        [] => vec![None],
        indices => indices.iter().map(|index| index.as_u64().map(|index| index as usize)).collect(),
    };
    let condition = |prompt: Option<usize>| match prompt {
        Some(index) => {
            reference.model.condition(&mut compute(), &reference.prompt(index), melody.as_deref()).unwrap()
        }
        None => Condition::default(),
    };
    let mut conditions: Vec<Condition> = prompts.into_iter().map(condition).collect();
    // The library fills the texts of a batch up with zeros, and a melody model sees them.
    let longest = conditions.iter().map(|condition| condition.prefix.len()).max().unwrap_or(0);
    conditions.iter_mut().for_each(|condition| condition.prefix.resize(longest, 0.0));
    assert!(longest.is_multiple_of(width));
    let name = format!("gen.{}.prompt_codes", case["tag"].as_str().unwrap());
    let prompt: Vec<Vec<u32>> = match reference.tensors.shape(&name).map(<[usize]>::to_vec) {
        Some(shape) => reference.codes(&name).chunks_exact(shape[2]).map(<[u32]>::to_vec).collect(),
        None => Vec::new(),
    };
    let new = case["max_new_tokens"].as_u64().unwrap() as usize;
    let frames = prompt.first().map_or(0, Vec::len) + new + 1 - lag;
    conditions
        .into_iter()
        .map(|condition| Clip {
            guidance: (scale > 1.0)
                .then(|| (reference.model.null_condition(&mut compute(), &condition), scale)),
            condition,
            sampler: Sampler::new(Sampling::greedy()).unwrap(),
            rng: Rng::new(0, 0),
            prompt: prompt.clone(),
            frames,
        })
        .collect()
}

#[test]
fn musicgen_greedy_codes_equal_the_published_ones() {
    for name in MODELS {
        let reference = reference(name);
        for case in reference.cases["generate"].as_array().unwrap() {
            let tag = case["tag"].as_str().unwrap();
            // Its prompt is given as audio only.
            if tag == "cont2" {
                continue;
            }
            let codes = play(&reference.model, compute(), clips(&reference, case));
            assert_eq!(codes.concat().concat(), reference.codes(&format!("gen.{tag}.codes")), "{name} {tag}");
        }
    }
}

#[test]
fn musicgen_clips_played_together_are_those_played_alone() {
    let reference = reference("musicgen_mono");
    let sampled = |seed: u64, prompt: &str| {
        let (condition, guidance) = reference.condition(prompt, 3.0);
        let sampler = Sampler::new(Sampling { top_k: 20, ..Sampling::default() }).unwrap();
        Clip {
            condition,
            guidance,
            sampler,
            rng: Rng::new(seed, 0),
            prompt: Vec::new(),
            frames: 30 + seed as usize,
        }
    };
    let all = || vec![sampled(1, "drums"), sampled(2, "a long prompt of many words"), sampled(3, "")];
    let together = play(&reference.model, compute(), all());
    let alone: Vec<_> =
        all().into_iter().map(|clip| play(&reference.model, compute(), vec![clip]).remove(0)).collect();
    assert_eq!(together, alone);
    assert_ne!(together[0][0][..30], together[1][0][..30]);
}

#[test]
fn musicgen_long_clips_go_on_where_a_window_ends() {
    let reference = reference("musicgen_mono");
    let clip = |frames: usize, prompt: Vec<Vec<u32>>| {
        let (condition, guidance) = reference.condition("drums", 3.0);
        let sampler = Sampler::new(Sampling::greedy()).unwrap();
        Clip { condition, guidance, sampler, rng: Rng::new(1, 0), prompt, frames }
    };
    let long = play(&reference.model, compute(), vec![clip(1600, Vec::new())]).remove(0);
    assert!(long.iter().all(|codes| codes.len() == 1600));
    let first = play(&reference.model, compute(), vec![clip(1500, Vec::new())]).remove(0);
    assert!(long.iter().zip(&first).all(|(long, first)| long[..1500] == first[..]));
    let kept: Vec<Vec<u32>> = first.iter().map(|codes| codes[900..].to_vec()).collect();
    let second = play(&reference.model, compute(), vec![clip(700, kept)]).remove(0);
    assert!(long.iter().zip(&second).all(|(long, second)| long[900..] == second[..]));
}

#[test]
fn musicgen_audio_equals_the_published_one() {
    for name in MODELS {
        let reference = reference(name);
        let channels = reference.model.config().decoder.audio_channels;
        for case in reference.cases["generate"].as_array().unwrap() {
            let tag = case["tag"].as_str().unwrap();
            let shape = reference.tensors.shape(&format!("gen.{tag}.codes")).unwrap().to_vec();
            let codes = reference.codes(&format!("gen.{tag}.codes"));
            let mut audio = Vec::new();
            for clip in codes.chunks_exact(shape[1] * shape[2]) {
                let books: Vec<&[u32]> = clip.chunks_exact(shape[2]).collect();
                for side in 0..channels {
                    let side: Vec<&[u32]> = books.iter().copied().skip(side).step_by(channels).collect();
                    audio.extend(reference.model.codec().unwrap().decode(&mut compute(), &side).unwrap());
                }
            }
            assert_close(&audio, &reference.floats(&format!("gen.{tag}.audio")), &format!("{name} {tag}"));
        }
    }
}

fn request(prompt: &str) -> Generate {
    Generate { prompt: prompt.into(), seconds: 1.3, seed: 5, ..Generate::default() }
}

#[test]
fn musicgen_a_request_gives_its_length_its_start_and_the_same_samples_again() {
    for name in ["musicgen_mono", "musicgen_stereo"] {
        let reference = reference(name);
        let channels = reference.model.config().decoder.audio_channels;
        let pool = |threads| Arc::new(Pool::new(threads).unwrap());
        let path = Path::from_env().unwrap();
        let clips = reference.model.generate(&pool(2), path, &request("drums")).unwrap();
        assert_eq!((clips.len(), clips[0].len(), clips[0][0].len()), (1, channels, 41_600));
        let again = Generate { variations: 2, ..request("drums") };
        let again = reference.model.generate(&pool(1), Path::Generic, &again).unwrap();
        assert_eq!(again[0], clips[0], "whatever the threads, the kernels and the company");
        assert_ne!(again[1], clips[0]);
        let start = vec![clips[0][0][..6400].to_vec(); channels];
        let request = Generate { start: Some(start), ..request("drums") };
        let longer = reference.model.generate(&pool(2), path, &request).unwrap();
        assert_eq!(longer[0][0].len(), 6400 + 41_600);
    }
}

#[test]
fn musicgen_guidance_leads_away_from_a_negative_prompt() {
    for name in MODELS {
        let reference = reference(name);
        let pool = Arc::new(Pool::new(1).unwrap());
        let play = |negative: Option<&str>| {
            let request = Generate { negative: negative.map(Into::into), ..request("drums") };
            reference.model.generate(&pool, Path::from_env().unwrap(), &request).unwrap()
        };
        assert!(play(Some("a long text of other words")) != play(None), "{name}");
        // Away from itself there is nowhere to go: the same as without guidance.
        let plain = Generate { guidance: 1.0, ..request("drums") };
        let plain = reference.model.generate(&pool, Path::from_env().unwrap(), &plain).unwrap();
        assert!(play(Some("drums")) == plain, "{name}");
    }
}

#[test]
fn musicgen_says_what_is_wrong_with_a_request() {
    let reference = reference("musicgen_mono");
    let refused = |request: Generate| {
        let pool = Arc::new(Pool::new(1).unwrap());
        reference.model.generate(&pool, Path::Generic, &request).unwrap_err().to_string()
    };
    for (request, message) in [
        (request(""), "prompt must be in 1..=2000 characters, got none"),
        (request(" \n"), "prompt must be in 1..=2000 characters, got only spaces"),
        (request(&"x".repeat(10_000)), "prompt must be in 1..=2000 characters, got 10000"),
        (request("a\u{0}b"), "prompt must be in printable characters, got '\\0'"),
        (Generate { seconds: 0.0, ..request("a") }, "seconds must be in [1, 300], got 0"),
        (Generate { seconds: f64::NAN, ..request("a") }, "seconds must be in [1, 300], got NaN"),
        (Generate { guidance: 0.5, ..request("a") }, "guidance must be in [1, 20], got 0.5"),
        (
            Generate { negative: Some("b".into()), guidance: 1.0, ..request("a") },
            "guidance must be in (1, 20] with a negative prompt, got 1",
        ),
        (
            Generate { negative: Some(String::new()), ..request("a") },
            "negative must be in 1..=2000 characters, got none",
        ),
        (Generate { variations: 0, ..request("a") }, "variations must be in 1..=16, got 0"),
        (
            Generate { melody: Some(vec![0.0; 12]), ..request("a") },
            "the model reads no melody; musicgen-melody does",
        ),
        (
            Generate { start: Some(vec![vec![0.0; 9]; 2]), ..request("a") },
            "channels of the start must be in 1, got 2",
        ),
    ] {
        assert_eq!(refused(request), message);
    }
}
