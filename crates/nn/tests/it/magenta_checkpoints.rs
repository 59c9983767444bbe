//! Checkpoints as TensorFlow, Magenta and TensorFlow.js write them. `PARTITA_VECTORS` names a directory with `magenta`
//! inside; without it the copy in `testdata/reference` is used.

use std::fs;
use std::path::{Path, PathBuf};

use partita_nn::{Error, Tensors};
use serde_json::Value;

fn directory(part: &str) -> PathBuf {
    let root = std::env::var_os("PARTITA_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference"),
        PathBuf::from,
    );
    root.join("magenta").join(part)
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

fn floats(tensors: &Tensors, name: &str) -> Vec<f32> {
    let shape = tensors.shape(name).unwrap_or_else(|| panic!("{name} is there"));
    tensors.f32(name, shape).unwrap_or_else(|error| panic!("{error}"))
}

/// Equal bits, and errors that do not print thousands of them.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[track_caller]
fn assert_same(one: &Tensors, other: &Tensors) {
    assert_eq!(one.names().collect::<Vec<_>>(), other.names().collect::<Vec<_>>());
    for name in one.names() {
        assert_eq!(one.shape(name), other.shape(name), "{name}");
        match one.integers(name) {
            Ok(values) => assert_eq!(values, other.integers(name).expect(name), "{name}"),
            Err(_) => assert!(bits(&floats(one, name)) == bits(&floats(other, name)), "{name}"),
        }
    }
}

/// The weights that a case was made from: numbers of a splitmix64 seeded by the name (README of the vectors).
fn rebuilt(salt: &str, name: &str, a: f64, b0: f64, count: usize) -> Vec<f32> {
    let seed = format!("{salt}/{name}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let value = |i: u64| {
        let mut x = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        let u = (x >> 40) as f64 / f64::from(1 << 24);
        ((u - 0.5) * 2.0 * a + b0) as f32
    };
    (0..count as u64).map(value).collect()
}

#[track_caller]
fn assert_rebuilt(tensors: &Tensors, case: &Value) {
    let variables = case["variables"].as_array().expect("variables");
    for variable in variables {
        let name = variable["name"].as_str().expect("a name");
        let shape: Vec<usize> = variable["shape"]
            .as_array()
            .unwrap()
            .iter()
            .map(|side| side.as_u64().unwrap() as usize)
            .collect();
        let number = |key: &str| variable[key].as_f64().expect("a number");
        let salt = case["salt"].as_str().expect("a salt");
        let expected = rebuilt(salt, name, number("a"), number("b0"), shape.iter().product());
        assert!(bits(&tensors.f32(name, &shape).unwrap()) == bits(&expected), "{name}");
    }
    assert!(variables.len() > 4);
}

#[test]
fn magenta_checkpoints_of_both_versions_hold_every_type() {
    let folder = directory("ckpt_formats");
    let expected = Tensors::read(folder.join("expected.safetensors")).unwrap();
    let listed = &json(&folder.join("expected.json"))["tf_list_variables"];
    for file in ["v2_all_dtypes.ckpt", "v1_all_dtypes.ckpt"] {
        let tensors = Tensors::open(folder.join(file)).unwrap();
        let list = listed[file].as_array().expect("a list");
        assert_eq!(tensors.names().count(), list.len());
        for (name, pair) in tensors.names().zip(list) {
            assert_eq!(pair[0], name);
            assert_eq!(pair[1], serde_json::json!(tensors.shape(name).unwrap()), "{name}");
            let stored = format!("all/{name}");
            match tensors.integers(name) {
                // That of safetensors has one axis where TensorFlow's has none.
                Ok(values) => assert_eq!(values, expected.integers(&stored).unwrap(), "{name}"),
                Err(_) => {
                    assert!(bits(&floats(&tensors, name)) == bits(&floats(&expected, &stored)), "{name}");
                }
            }
        }
        assert_eq!(
            tensors
                .names()
                .filter(|name| !tensors.model_names().any(|kept| kept == *name))
                .collect::<Vec<_>>(),
            ["beta1_power", "encoder/mu/kernel/Adam", "encoder/mu/kernel/Adam_1", "global_step"]
        );
    }
}

#[test]
fn magenta_checkpoints_may_be_in_shards_in_slices_or_hold_text() {
    let folder = directory("ckpt_formats");
    let expected = Tensors::read(folder.join("expected.safetensors")).unwrap();
    let open = |name: &str| Tensors::open(folder.join(name)).unwrap();

    let shards = open("v2_two_shards.ckpt");
    assert_eq!(shards.names().collect::<Vec<_>>(), ["a/kernel", "b/kernel", "c/bias"]);
    assert_eq!(floats(&shards, "a/kernel"), floats(&expected, "all/encoder/mu/kernel"));
    assert_eq!(shards.integers("b/kernel").unwrap(), expected.integers("all/i32").unwrap());
    assert_eq!(floats(&shards, "c/bias"), floats(&expected, "all/f16"));

    let slices = open("v2_partitioned.ckpt");
    assert_eq!(slices.names().collect::<Vec<_>>(), ["part/kernel", "plain"]);
    let whole = floats(&expected, "partitioned/part/kernel");
    assert_eq!(bits(&floats(&slices, "part/kernel")), bits(&whole));
    for (from, to) in [(0, 14), (13, 15), (5, 40), (40, 40)] {
        assert_eq!(slices.rows("part/kernel", &[40, 6], from..to).unwrap(), whole[from * 6..to * 6]);
    }

    let text = open("v2_string.ckpt");
    assert_eq!(text.shape("s"), Some(&[4][..]));
    assert!(matches!(text.f32("s", &[4]), Err(Error::Dtype { got, .. }) if got == "STRING"));
    assert_eq!(floats(&text, "t"), floats(&expected, "all/encoder/mu/kernel"));
}

#[test]
fn magenta_checkpoint_of_many_blocks_has_all_of_its_names() {
    let path = directory("ckpt_formats/v2_many.ckpt");
    if std::env::var_os("PARTITA_VECTORS").is_none() && !path.with_extension("ckpt.index").exists() {
        // Too large for what it shows; `a_v2_checkpoint_is_read_from_blocks_of_every_kind` has small blocks.
        return;
    }
    let tensors = Tensors::open(path).unwrap();
    assert_eq!(tensors.names().count(), 2500);
    for i in 0..2500 {
        let scope = "a_rather_long_scope_name_to_fill_the_block";
        let name = format!("model/layer_{i:04}/{scope}/lstm_cell/kernel_{}", i % 7);
        assert_eq!(tensors.f32(&name, &[]).unwrap(), [i as f32 + 3.0], "{name}");
    }
}

#[test]
fn magenta_archives_are_the_checkpoint_inside() {
    let loose = Tensors::open(directory("musicvae/cat_mel_small")).unwrap();
    assert_rebuilt(&loose, &json(&directory("musicvae/cat_mel_small/case.json")));
    for name in ["cat_mel_small_flat.tar", "cat_mel_small_nested.tar"] {
        let path = directory("ckpt_formats").join(name);
        assert_same(&Tensors::open(&path).unwrap(), &loose);
        let bytes = fs::read(&path).unwrap();
        assert_same(&Tensors::from_bytes(bytes.clone()).unwrap(), &loose);
        // Both members end long before the archive, which is padded to 10 KiB.
        for length in [0, 100, 300, 600, 20_000, 94_000, 94_720, 96_000] {
            let error = Tensors::from_bytes(bytes[..length].to_vec()).err().expect("cut short").to_string();
            assert!(length < 300 || error.contains("cut short"), "{length}: {error}");
        }
    }
}

#[test]
fn magenta_bundles_are_the_checkpoint_that_was_put_in_them() {
    let mut compared = 0;
    for case in ["attention_rnn", "basic_rnn", "lookback_rnn", "one_drum"] {
        let folder = directory("rnn").join(case);
        let told = json(&folder.join("case.json"));
        let bundle = Tensors::open(folder.join(format!("{case}.mag"))).unwrap();
        assert_rebuilt(&bundle, &told);
        let loose = Tensors::open(folder.join("model.ckpt")).unwrap();
        for name in bundle.model_names() {
            assert!(bits(&floats(&bundle, name)) == bits(&floats(&loose, name)), "{case} {name}");
            compared += 1;
        }
    }
    assert!(compared > 20);
}

#[test]
fn magenta_bundles_tell_the_length_of_their_attention() {
    for (case, file) in [
        ("attention_rnn", "attention_rnn"),
        ("legacy_attention_rnn_outer_tf0.12.1", "attention_rnn_outer_tf0.12.1"),
        ("legacy_attention_rnn_outer_tf1.0.0", "attention_rnn_outer_tf1.0.0"),
        ("basic_rnn", "basic_rnn"),
        ("lookback_rnn", "lookback_rnn"),
    ] {
        let folder = directory("rnn").join(case);
        let told = json(&folder.join("case.json"));
        let tensors = Tensors::open(folder.join(format!("{file}.mag"))).unwrap();
        let bundle = tensors.bundle().expect("a bundle");
        let expected = told["attn_length"].as_u64().filter(|&slots| slots > 0).map(|slots| slots as usize);
        assert_eq!(bundle.attention_length, expected, "{case}");
        let id = if case.contains("attention") { "attention_rnn" } else { case };
        assert_eq!(bundle.id, id);
        assert!(!bundle.description.is_empty());
        if case.starts_with("legacy") {
            assert_rebuilt(&tensors, &told);
        }
    }
}

#[test]
fn magenta_js_weights_are_those_of_the_manifest() {
    let exact = Tensors::open(directory("tfjs/mel_f32")).unwrap();
    assert_rebuilt(&exact, &json(&directory("tfjs/mel_f32/case.json")));
    for kind in ["f32", "uint8", "uint16", "float16"] {
        let folder = directory("tfjs").join(format!("mel_{kind}"));
        let tensors = Tensors::open(&folder).unwrap();
        assert!(tensors.names().eq(exact.names()));
        let config: Value = serde_json::from_str(tensors.config().expect("config.json")).unwrap();
        assert_eq!(config["type"], "MusicVAE");
        let expected = Tensors::read(folder.join("expected.safetensors")).unwrap();
        let mut told = 0;
        for name in exact.names() {
            assert_eq!(tensors.shape(name), exact.shape(name), "{name}");
            let got = floats(&tensors, name);
            let stored = format!("w/{name}");
            if expected.contains(&stored) {
                assert!(bits(&got) == bits(&floats(&expected, &stored)), "{kind} {name}");
                told += 1;
            }
            let exact = floats(&exact, name);
            let largest = exact.iter().fold(0f32, |top, value| top.max(value.abs()));
            // Half a step of 256 or 65536 over the range, or of a half's 11 bits.
            let step = match kind {
                "uint8" => largest / 128.0,
                "uint16" => largest / 32_768.0,
                "float16" => largest / 2048.0,
                _ => 0.0,
            };
            let worst = got.iter().zip(&exact).map(|(got, exact)| (got - exact).abs()).fold(0.0, f32::max);
            assert!(worst <= step, "{kind} {name}: {worst} is more than {step}");
        }
        assert!(told == 16 || !["uint8", "float16"].contains(&kind), "{kind}: {told}");
    }
}

#[test]
fn magenta_files_that_are_damaged_are_an_error_or_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (prefix, data) in [("v2_string.ckpt", 1), ("v2_partitioned.ckpt", 1), ("v2_two_shards.ckpt", 2)] {
        let from = directory("ckpt_formats");
        for shard in 0..data {
            let name = format!("{prefix}.data-{shard:05}-of-{data:05}");
            fs::copy(from.join(&name), folder.path().join(&name)).unwrap();
        }
        let whole = Tensors::open(from.join(prefix)).unwrap();
        let name = format!("{prefix}.index");
        let index = fs::read(from.join(&name)).unwrap();
        let path = folder.path().join(&name);
        let open = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Tensors::open(folder.path().join(prefix))
        };
        assert!(open(&index).unwrap().names().eq(whole.names()));
        for at in 0..index.len() {
            assert!(open(&index[..at]).is_err(), "{prefix} {at}");
            let mut damaged = index.clone();
            damaged[at] ^= 0x11;
            if let Ok(tensors) = open(&damaged) {
                assert!(at >= index.len() - 48, "{prefix} {at}");
                assert!(tensors.names().eq(whole.names()));
            }
        }
    }
    let bundle = fs::read(directory("rnn/basic_rnn/basic_rnn.mag")).unwrap();
    for length in (0..bundle.len()).step_by(997) {
        match Tensors::from_bytes(bundle[..length].to_vec()) {
            Ok(tensors) => assert!(length > 26_000, "{length}: {}", tensors.names().count()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// What a checkpoint looks like that was trained on a GPU and saved without conversion.
#[test]
fn magenta_missing_kernel_names_the_opaque_one_in_its_place() {
    let header = r#"{"lstm/opaque_kernel":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat();
    let tensors = Tensors::from_bytes(bytes).unwrap();
    assert_eq!(tensors.model_names().count(), 0);
    let error = tensors.f32("lstm/lstm_cell/kernel", &[1]).unwrap_err().to_string();
    assert!(error.contains("lstm/lstm_cell/kernel") && error.contains("lstm/opaque_kernel"), "{error}");
}
