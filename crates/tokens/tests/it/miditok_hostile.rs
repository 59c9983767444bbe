//! Whatever comes from outside gives a result or an error: ids, token files, configurations, MIDI files.

use std::fs;

use partita_tokens::miditok::{Config, Error, Tokenization, Tokenizer, Tokens};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::miditok::{configs, midi, root, tokenizer};

fn text(config: &str) -> String {
    fs::read_to_string(root().join("configs").join(config).join("tokenizer.json")).expect("readable")
}

/// What a mutated value may become.
fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3i64..300).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,6}".prop_map(Value::from),
        prop::collection::vec(-200i64..200, 0..5).prop_map(|list| json!(list)),
        prop::collection::vec(("[0-9]{1,3}_[0-9]{1,3}", -1i64..2000), 0..4).prop_map(|pairs| Value::Object(
            pairs.into_iter().map(|(key, value)| (key, json!(value))).collect()
        )),
    ]
}

fn slots(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(slots).sum(),
        Value::Object(map) => map.values().map(slots).sum(),
        _ => 0,
    }
}

/// Puts `new` into the slot with this number, counted depth first.
fn put(value: &mut Value, at: &mut usize, new: &Value) {
    if *at == 0 {
        *value = new.clone();
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    let each: Vec<&mut Value> = match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(map) => map.values_mut().collect(),
        _ => Vec::new(),
    };
    for value in each {
        if *at == usize::MAX {
            return;
        }
        put(value, at, new);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn miditok_mutated_configurations_work_or_are_refused(
        which in 0usize..20,
        changes in prop::collection::vec((any::<prop::sample::Index>(), junk()), 1..4),
        options in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let names: Vec<String> = configs().into_iter().filter(|name| name != "remi_bpe").collect();
        let mut file: Value = serde_json::from_str(&text(&names[which % names.len()])).expect("JSON");
        // Options turned over reach combinations that no file has.
        for option in options {
            let config = file["config"].as_object_mut().expect("keys");
            let flags: Vec<String> = config.iter().filter(|(_, it)| it.is_boolean()).map(|(key, _)| key.clone()).collect();
            let key = &flags[option.index(flags.len())];
            config[key] = json!(config[key] != true);
        }
        for (at, new) in changes {
            let mut at = at.index(slots(&file));
            put(&mut file, &mut at, &new);
        }
        if let Ok(tokenizer) = Tokenizer::from_json(&file.to_string(), None) {
            for stem in ["07_timesigs", "05_multitrack", "18_controls"] {
                if let Ok(tokens) = tokenizer.encode(&midi(stem)) {
                    let decoded = tokenizer.decode(&tokens).expect("its own ids");
                    let _ = tokenizer.encode_decoded(&decoded);
                }
            }
            let again = Tokenizer::from_json(&tokenizer.to_json(), Some(&tokenizer.vocab_json()));
            let again = again.expect("what was opened can be written");
            prop_assert_eq!(again.vocab().names(), tokenizer.vocab().names());
        }
    }

    #[test]
    fn miditok_any_ids_decode_or_are_refused(
        which in 0usize..20,
        lists in prop::collection::vec(prop::collection::vec(0u32..700, 0..200), 0..4),
        encoded in any::<bool>(),
        programs in prop::collection::vec((-3i16..140, any::<bool>()), 0..4),
    ) {
        let names = configs();
        let tokenizer = tokenizer(&names[which % names.len()]);
        let size = tokenizer.vocab_size() as u32;
        let mut tokens = Tokens::new(lists);
        tokens.encoded = encoded;
        tokens.programs = programs;
        let _ = tokenizer.decode(&tokens);
        tokens.ids.iter_mut().flatten().for_each(|id| *id %= size);
        if let Ok(decoded) = tokenizer.decode(&tokens) {
            decoded.to_score().expect("ticks that MIDI can say");
            let _ = tokenizer.encode_decoded(&decoded);
        }
        let _ = tokenizer.merge(&tokens);
    }

    #[test]
    fn miditok_damaged_midi_files_encode_or_are_refused(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = midi("07_timesigs");
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()).max(20));
        for config in ["remi_plus", "tsd_multi", "midilike"] {
            let _ = tokenizer(config).encode(&bytes);
        }
    }

    #[test]
    fn miditok_damaged_merges_work_or_are_refused(at in any::<prop::sample::Index>(), new in "[a-z0-9{}\\[\\],:\" ]{0,3}") {
        let mut file: Value = serde_json::from_str(&text("remi_bpe")).expect("JSON");
        let model = file["_model"].as_str().expect("a model").to_owned();
        let mut from = at.index(model.len());
        while !model.is_char_boundary(from) {
            from -= 1;
        }
        let rest = model[from..].chars().skip(1).collect::<String>();
        file["_model"] = json!(format!("{}{new}{rest}", &model[..from]));
        if let Ok(tokenizer) = Tokenizer::from_json(&file.to_string(), None) {
            let tokens = tokenizer.encode(&midi("01_scale")).expect("a good file");
            if let Ok(merged) = tokenizer.merge(&tokens) {
                let _ = tokenizer.split(&merged);
            }
        }
    }
}

#[test]
fn miditok_a_model_that_is_no_json_is_refused_wherever_it_breaks() {
    let file: Value = serde_json::from_str(&text("remi_bpe")).expect("JSON");
    let model = file["_model"].as_str().expect("a model");
    let place = model.find("\"decoder\":").expect("a decoder") + "\"decoder\":".len();
    let deep = format!("{}{}", "[".repeat(400), "]".repeat(400));
    for new in ["}", "x", "1e999", "\"", &deep] {
        let mut file = file.clone();
        file["_model"] = json!(format!("{}{new}{}", &model[..place], &model[place + 1..]));
        let error = Tokenizer::from_json(&file.to_string(), None).err().expect("no JSON");
        assert!(matches!(error, Error::Model(_)), "{new}: {error}");
    }
}

#[test]
fn miditok_an_id_outside_the_vocabulary_is_named() {
    let tokenizer = Tokenizer::new(Config::new(Tokenization::Remi)).expect("the default");
    let error = tokenizer.decode(&Tokens::new(vec![vec![4], vec![4, 357]])).expect_err("an id too large");
    assert_eq!(error.to_string(), "token ids must be in 0..357, got 357 at 1 of sequence 1");
}

#[test]
fn miditok_a_silence_of_years_is_refused_before_it_fills_the_memory() {
    let mut file = b"MThd\0\0\0\x06\0\0\0\x01\0\x01MTrk\0\0\0\x20\0\x90\x3c\x40\x01\x80\x3c\x40".to_vec();
    for _ in 0..15 {
        file.extend(b"\xff\xff\xff\x7f\xff\x01\0");
    }
    file.extend(b"\0\x90\x3c\x40\x01\x80\x3c\x40\0\xff\x2f\0");
    for config in ["remi_default", "tsd", "midilike"] {
        let error = tokenizer(config).encode(&file).expect_err("too long");
        assert!(matches!(error, Error::TooLong { .. }), "{config}: {error}");
    }
    tokenizer("structured").encode(&file).expect("its silences are cut short");
}

#[test]
fn miditok_files_that_would_change_ids_in_silence_are_refused() {
    let message = |file: Value| {
        let error = Tokenizer::from_json(&file.to_string(), None).err().expect("a bad file");
        error.to_string()
    };
    let file = |version: &str, config: Value| json!({"config": config, "tokenization": "REMI", "miditok_version": version});
    assert_eq!(
        message(file("3.0.6", json!({}))),
        "tokenizer.json: pitch_range is missing, and files of MidiTok 3.0.6 always say it"
    );
    let mut old: Value = serde_json::from_str(&text("remi_default")).expect("JSON");
    old["miditok_version"] = json!("3.0.6");
    old["config"].as_object_mut().expect("keys").remove("use_time_signatures");
    assert_eq!(
        message(old.clone()),
        "tokenizer.json: use_time_signatures is missing, and files of MidiTok 3.0.6 always say it"
    );
    // A version that did not know a key says what it does by being that version.
    old["config"]["use_time_signatures"] = json!(false);
    old["config"].as_object_mut().expect("keys").remove("use_key_signatures");
    assert_eq!(Tokenizer::from_json(&old.to_string(), None).expect("complete").vocab().len(), 284);
    // The same version's own defaults are no guess.
    let short = Tokenizer::from_json(&file("3.1.0", json!({})).to_string(), None).expect("defaults");
    assert_eq!(short.vocab().len(), 357);
    assert_eq!(
        message(file("2.1.8", json!({"nb_velocities": 32}))),
        "tokenizer.json: MidiTok 2.1.8 is not supported, only 3.x: its rules were others"
    );
    assert_eq!(
        message(file("3.1.0", json!({"use_tempo": true}))),
        "tokenizer.json: config must be an object of MidiTok's keys, got the unknown key use_tempo"
    );
    assert_eq!(
        message(file("3.1.0", json!({"num_velocities": "32"}))),
        "tokenizer.json: config.num_velocities must be a number, got \"32\""
    );
    assert_eq!(
        message(file("3.1.0", json!({"use_pitch_bends": true}))),
        "tokenizer.json: config.use_pitch_bends must be false, others are not supported"
    );
    assert!(message(json!({"config": {}, "tokenization": "REMI"})).contains("miditok_version"));
    let other = json!({"config": {}, "tokenization": "Octuple", "miditok_version": "3.1.0"});
    assert_eq!(
        message(other),
        "tokenizer.json: tokenization must be REMI, TSD, Structured, MIDILike, got Octuple"
    );
}

#[test]
fn miditok_a_vocabulary_of_another_configuration_is_refused() {
    let text = text("remi_default");
    let vocab = fs::read_to_string(root().join("configs/remi_plus/vocab.json")).expect("readable");
    let error = Tokenizer::from_json(&text, Some(&vocab)).err().expect("another vocabulary");
    assert_eq!(error.to_string(), "vocabulary: must have the 357 tokens of its configuration, got 518");
}
