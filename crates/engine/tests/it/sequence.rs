//! Bars from a MusicVAE in one call, and the description of that call.

use partita_engine::sequence::{SequenceReply, SequenceRequest, Sequences};
use partita_engine::{Code, Config, Fault};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn request(value: Value) -> Result<SequenceRequest, Fault> {
    SequenceRequest::from_json(&value)
}

/// With a runtime for its cache.
struct Calls {
    sequences: Sequences,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Calls {
    fn new() -> Calls {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.storage.data_dir = folder.path().to_owned();
        let runtime = Runtime::new().expect("a runtime");
        let sequences = runtime.block_on(Sequences::open(&config)).expect("a cache in memory");
        Calls { sequences, runtime, _folder: folder }
    }

    fn generate(&self, request: &SequenceRequest, seed: u64) -> Result<SequenceReply, Fault> {
        self.sequences.generate(request, seed, self.runtime.handle())
    }
}

#[test]
fn the_same_call_comes_from_the_cache_with_the_same_notes() {
    let calls = Calls::new();
    let asked =
        request(json!({ "model": "melody-2bar", "seed_sequence": [60, -2, 62, -2, 64, -1], "seed": 4 }))
            .expect("a good request");
    let first = calls.generate(&asked, 0).expect("bars");
    let second = calls.generate(&asked, 0).expect("bars");
    assert_eq!((first.hit, second.hit), (false, true));
    assert_eq!((&first.sequence, &first.z), (&second.sequence, &second.z));
    assert_eq!(calls.sequences.counts(), (1, 1));
    let other = SequenceRequest { seed: Some(5), ..asked };
    assert!(!calls.generate(&other, 0).expect("bars").hit);
    let told = first.to_json();
    assert!(told["notes"].is_array() && told["cache"] == "miss" && told["seed"] == 4);
}

#[test]
fn events_of_every_kind_are_taken_and_what_is_wrong_is_pointed_at() {
    let calls = Calls::new();
    // As small clients send it: pitches far below the piano are moved by octaves.
    for good in [json!({}), json!({ "seed_sequence": [0, 1, 2, 3] }), json!({ "seed_sequence": [127, -1] })] {
        let asked = request(good).expect("a good request");
        let reply = calls.generate(&asked, 7).expect("bars");
        assert_eq!(reply.seed, 7);
    }
    let mut events = vec![60; 33];
    events[0] = 72;
    for (wrong, code, expected) in [
        (json!({ "seed_sequence": events }), Code::InvalidRequest, "#/seed_sequence"),
        (json!({ "seed_sequence": [60, [36]] }), Code::InvalidRequest, "#/seed_sequence/1"),
        (json!({ "seed_sequence": { "notes": "none" } }), Code::InvalidRequest, "#/seed_sequence"),
        (json!({ "model": "melody-3bar" }), Code::UnknownModel, "#/model"),
    ] {
        let asked = request(wrong.clone()).expect("it has the right shape");
        let fault = calls.generate(&asked, 1).expect_err("it cannot be played");
        assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (code, expected), "{wrong}: {fault}");
    }
}

/// Whether a value is one the description allows, as far as ranges and types of single fields go.
fn allowed(schema: &Value, value: &Value) -> bool {
    if let Some(any) = schema["oneOf"].as_array() {
        return any.iter().any(|schema| allowed(schema, value));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let number = |limit: &str| schema[limit].as_f64();
    types.iter().any(|name| match (*name, value) {
        ("number", Value::Number(n)) | ("integer", Value::Number(n)) => {
            let n = n.as_f64().unwrap_or(f64::NAN);
            let whole = *name == "number" || n.fract() == 0.0;
            whole
                && number("minimum").is_none_or(|least| n >= least)
                && number("maximum").is_none_or(|most| n <= most)
        }
        ("array", Value::Array(items)) => {
            let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
            items.len() as u64 <= most && items.iter().all(|item| allowed(&schema["items"], item))
        }
        ("string", Value::String(_)) | ("object", Value::Object(_)) | ("null", Value::Null) => true,
        _ => false,
    })
}

#[test]
fn the_published_description_and_the_code_agree() {
    let schema: Value =
        serde_json::from_str(include_str!("../../../../api/sequence.schema.json")).expect("JSON");
    let default =
        serde_json::to_value(request(json!({})).expect("all fields may be left out")).expect("plain data");
    let fields = schema["properties"].as_object().expect("fields");
    for (name, value) in default.as_object().expect("fields") {
        assert_eq!(&fields[name]["default"], value, "{name}");
    }
    let mut seen = [0; 2];
    for (field, values) in [
        ("model", json!(["x", 1, []])),
        ("amount", json!([0, 1, 0.5, -0.1, 1.1, "1", true])),
        ("temperature", json!([0, 4, 4.5, -1, null, "x"])),
        ("tempo", json!([20, 400, 19.9, 401, null])),
        ("seed", json!([0, 18_446_744_073_709_551_615u64, -1, 1.5, null])),
        ("seed_sequence", json!([[], [60, -1, -2], [128], [-3], [[36, 42]], [[128]], [1.5], {}, "x", null])),
    ] {
        for value in values.as_array().expect("values") {
            let taken = request(json!({ field: value })).is_ok();
            // A field that may be left out may also be null.
            let described = allowed(&fields[field], value) || value.is_null();
            assert_eq!(taken, described, "{field}: {value}");
            seen[usize::from(taken)] += 1;
        }
    }
    assert!(seen[0] > 10 && seen[1] > 10);
    let unknown = request(json!({ "modell": "x" })).expect_err("no such field");
    assert_eq!(unknown.errors[0].pointer, "#/modell");
}
