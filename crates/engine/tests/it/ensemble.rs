//! Several writers that decide together: as one library call does it, kept under all that played.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use partita_engine::family::check;
use partita_engine::{Code, Config, Engine, Fault, Live, Order, Outcome, Registry, Request};
use partita_models::melody::{Request as Asked, Writer};
use partita_models::stage::Compute;
use partita_nn::Precision;
use partita_queue::State;
use partita_score::Meter;
use partita_score::demands::Demands;
use partita_score::harmony::Key;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Long enough for a machine under load, short enough to see a test that hangs.
const LONG: Duration = Duration::from_secs(60);

const CONFIG: &str = include_str!("../../../../weights/melody/model.json");
const WEIGHTS: &[u8] = include_bytes!("../../../../weights/melody/model.safetensors");

/// The bundled writer with noise in its weights. `bit`: of the mantissa of every weight, which are half precision.
fn noisy(bit: u8) -> (Value, Vec<u8>) {
    let header = u64::from_le_bytes(WEIGHTS[..8].try_into().expect("eight bytes")) as usize;
    let mut weights = WEIGHTS.to_vec();
    weights[8 + header..].iter_mut().step_by(2).for_each(|low| *low ^= bit);
    let mut config: Value = serde_json::from_str(CONFIG).expect("JSON");
    let sum: String = Sha256::digest(&weights).iter().map(|byte| format!("{byte:02x}")).collect();
    config["sha256"] = json!(sum);
    (config, weights)
}

fn write(folder: &Path, (config, weights): &(Value, Vec<u8>)) {
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("model.safetensors"), weights).expect("written");
    std::fs::write(folder.join("model.json"), config.to_string()).expect("written");
}

/// With the models `mine`, and `polka` of other styles.
fn config(dir: &Path) -> Config {
    let mut config = Config::default();
    config.storage.data_dir = dir.join("data");
    config.storage.min_free_mb = 0;
    config.models.dir = dir.join("models");
    config.models.warm = vec![];
    config.cache.store = "memory".into();
    let mine = noisy(64);
    write(&config.models.dir.join("mine"), &mine);
    let mut other = mine;
    other.0["styles"] = json!(["polka"]);
    write(&config.models.dir.join("polka"), &other);
    config
}

fn body(mix: &Value) -> Value {
    json!({ "model": "melody", "seed": 9, "bars": 3, "mix": mix, "output_format": "tokens", "files": [] })
}

async fn play(engine: &Engine, body: Value) -> Outcome {
    let request: Request =
        serde_json::from_value(json!({ "verb": "generate", "body": body })).expect("well formed");
    let job = engine.submit(request, Order::default()).await.expect("accepted").job;
    let job = engine.finished(&job.new.id, LONG).await.expect("a job");
    assert_eq!(job.state, State::Complete, "{:?}", job.error);
    serde_json::from_value(job.result.expect("a result")).expect("an outcome")
}

fn tokens(outcome: &Outcome) -> &[u32] {
    outcome.takes[0].tokens.as_ref().expect("tokens")
}

/// What the library writes for the same request, `bit` being that of the model `mine`.
fn library(weight: f32, bit: u8) -> Vec<u32> {
    let (config, weights) = noisy(bit);
    let mine = Writer::load("mine", config.to_string().as_bytes(), &weights, Precision::Int8);
    let own = Writer::bundled(Precision::Int8).expect("bundled");
    let writer = own.mixed(1.0, &[(mine.expect("loads"), weight)]).expect("same styles");
    let key = Key::default();
    let demands = Demands {
        scale: Some(key.pitch_classes()),
        range: 57..=81,
        cadence: Some(key.tonic.pitch_class()),
        strong_beats: partita_score::demands::StrongBeats::Licensed,
        grid: partita_score::demands::RhythmGrid::Mixed,
        ..Demands::new(Meter::COMMON, 3, 110.0)
    };
    let asked = Asked { key: Some(key), chord_tones: Some(key.pitch_classes()), ..Asked::new(demands, 9) };
    let profile = Config::default().profiles["balanced"].clone();
    let usual = partita_nn::Sampling::default();
    let sampling = partita_nn::Sampling {
        temperature: profile.temperature.map_or(1.0, |value| value as f32),
        top_k: profile.top_k.unwrap_or(0),
        top_p: profile.top_p.map_or(1.0, |value| value as f32),
        ..usual
    };
    let compute: Compute = partita_engine::family::compute().expect("cores");
    let leads =
        writer.write(&compute, &Asked { sampling, ..asked }, &mut |_| std::ops::ControlFlow::Continue(()));
    leads.expect("writes").remove(0).ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_decide_together_as_they_do_in_the_library() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = config(dir.path());
    let models = config.models.dir.clone();
    let engine = Engine::start(Arc::new(Live::fixed(config))).await.expect("an engine");
    let mixed = play(&engine, body(&json!([{ "model": "mine", "weight": 3 }]))).await;
    assert_eq!(tokens(&mixed), library(3.0, 64));
    assert_eq!(mixed.cache, "miss");
    let mut alone = body(&json!([]));
    alone.as_object_mut().expect("an object").remove("mix");
    assert_ne!(tokens(&play(&engine, alone).await), tokens(&mixed));
    let again = play(&engine, body(&json!([{ "model": "mine@1", "weight": 3.0 }]))).await;
    assert_eq!((again.cache.as_str(), tokens(&again)), ("hit", tokens(&mixed)));
    // Another weight is another request, and other weights under the same name are another result.
    assert_eq!(play(&engine, body(&json!([{ "model": "mine", "weight": 2.5 }]))).await.cache, "miss");
    write(&models.join("mine"), &noisy(96));
    let registry = engine.registry().clone();
    let changed = tokio::task::spawn_blocking(move || {
        registry.unload("mine")?;
        registry.load("mine")
    });
    changed.await.expect("no panic").expect("loads");
    let other = play(&engine, body(&json!([{ "model": "mine", "weight": 3 }]))).await;
    assert_eq!((other.cache.as_str(), tokens(&other)), ("miss", &library(3.0, 96)[..]));
}

#[test]
fn a_mix_that_cannot_be_is_told_where() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = config(dir.path());
    let registry = Registry::open(&config).expect("a folder");
    let refused = |verb: &str, body: &Value| -> Fault {
        let request = serde_json::from_value(json!({ "verb": verb, "body": body })).expect("well formed");
        check(request, &registry, &config).expect_err("refused")
    };
    let mine = || json!({ "model": "mine", "weight": 1 });
    let cases = [
        (json!([{ "model": "yours", "weight": 1 }]), "#/mix/0/model", Code::UnknownModel),
        (json!([mine(), { "model": "drums", "weight": 1 }]), "#/mix/1/model", Code::InvalidRequest),
        (json!([{ "model": "polka", "weight": 1 }]), "#/mix/0/model", Code::InvalidRequest),
        (json!([{ "model": "m".repeat(201), "weight": 1 }]), "#/mix/0/model", Code::InvalidRequest),
        (json!([{ "model": "mine", "weight": 0 }]), "#/mix/0/weight", Code::InvalidRequest),
        (json!([{ "model": "mine", "weight": 1e-60 }]), "#/mix/0/weight", Code::InvalidRequest),
        (json!([{ "model": "mine", "weight": 100.5 }]), "#/mix/0/weight", Code::InvalidRequest),
        (json!([]), "#/mix", Code::InvalidRequest),
        (json!([mine(), mine(), mine(), mine(), mine()]), "#/mix", Code::InvalidRequest),
    ];
    for (mix, pointer, code) in cases {
        let fault = refused("generate", &body(&mix));
        let pointers: Vec<&str> = fault.errors.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!((pointers, fault.code), (vec![pointer], code), "{mix}");
    }
    let drums = refused("generate", &json!({ "model": "drums", "mix": [mine()] }));
    assert_eq!(drums.errors[0].pointer, "#/mix");
    let batch = refused("batch", &json!({ "requests": [body(&json!([mine()]))] }));
    assert_eq!(batch.errors[0].pointer, "#/requests/0/mix");
    // Whoever mixes asks for a melody.
    let request = json!({ "verb": "generate", "body": { "mix": [mine()] } });
    let fine = check(serde_json::from_value(request).expect("well formed"), &registry, &config);
    let fine = fine.expect("fine");
    assert_eq!((fine.model.as_str(), fine.request.mix()[0].model.as_str()), ("melody@1", "mine@1"));
}
