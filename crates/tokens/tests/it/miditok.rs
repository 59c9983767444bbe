//! Tokenizers against MidiTok. `PARTITA_VECTORS` names a directory with `miditok/`; without it, the repository's own
//! selection of the files is used.

use std::fs;
use std::path::{Path, PathBuf};

use partita_tokens::miditok::{DecodedScore, Tokenizer, Tokens};
use serde_json::{Value, json};

pub(crate) fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference");
    std::env::var_os("PARTITA_VECTORS").map_or(own, PathBuf::from).join("miditok")
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the configurations of MidiTok 3.1.0.
pub(crate) fn configs() -> Vec<String> {
    let entries = fs::read_dir(root().join("configs")).expect("configurations");
    let names = entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter(|name| !name.ends_with("_v306") && !name.ends_with("_v218")).collect();
    names.sort();
    assert!(names.len() >= 11, "{names:?}");
    names
}

/// Stems of the files a configuration has answers for.
pub(crate) fn stems(config: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join("expected").join(config)).expect("answers");
    let mut stems: Vec<String> = entries
        .map(|entry| {
            entry.expect("readable").path().file_stem().expect("a name").to_string_lossy().into_owned()
        })
        .collect();
    stems.sort();
    assert!(stems.len() >= 10, "{config}: {stems:?}");
    stems
}

pub(crate) fn midi(stem: &str) -> Vec<u8> {
    fs::read(root().join("midi").join(format!("{stem}.mid"))).expect("its MIDI file")
}

pub(crate) fn tokenizer(config: &str) -> Tokenizer {
    Tokenizer::open(root().join("configs").join(config)).unwrap_or_else(|error| panic!("{config}: {error}"))
}

/// A list of ids, or a list of lists.
fn lists(value: &Value) -> Vec<Vec<u32>> {
    let list = value.as_array().expect("ids");
    let ids = |list: &Vec<Value>| list.iter().map(|id| id.as_u64().expect("an id") as u32).collect();
    if list.first().is_some_and(Value::is_array) {
        return list.iter().map(|list| ids(list.as_array().expect("ids"))).collect();
    }
    vec![ids(list)]
}

fn score(score: &DecodedScore) -> Value {
    let signature =
        |&(at, it): &(u32, partita_tokens::miditok::TimeSignature)| json!([at, it.numerator, it.denominator]);
    let tracks: Vec<Value> = score
        .tracks
        .iter()
        .map(|track| {
            let notes = track.notes.iter().map(|it| json!([it.time, it.duration, it.pitch, it.velocity]));
            let notes: Vec<Value> = notes.collect();
            json!({"program": track.program, "is_drum": track.is_drum, "name": track.name, "notes": notes})
        })
        .collect();
    json!({
        "tpq": score.ticks_per_quarter,
        "tempos": score.tempos.iter().map(|&(at, tempo)| json!([at, tempo])).collect::<Vec<_>>(),
        "time_signatures": score.time_signatures.iter().map(signature).collect::<Vec<_>>(),
        "tracks": tracks,
    })
}

/// The first place where two lists of ids part.
fn parting(got: &[Vec<u32>], want: &[Vec<u32>]) -> String {
    if got.len() != want.len() {
        return format!("{} sequences instead of {}", got.len(), want.len());
    }
    let pairs = got.iter().zip(want).enumerate();
    for (index, (got, want)) in pairs {
        let at = got.iter().zip(want).position(|(a, b)| a != b).unwrap_or(got.len().min(want.len()));
        if got != want {
            let around = |ids: &[u32]| ids[at.saturating_sub(6)..(at + 6).min(ids.len())].to_vec();
            return format!("sequence {index} at {at}: {:?} instead of {:?}", around(got), around(want));
        }
    }
    "no difference".into()
}

#[test]
fn miditok_ids_are_the_library_s_for_every_configuration_and_file() {
    let mut wrong = Vec::new();
    for config in configs() {
        let tokenizer = tokenizer(&config);
        for stem in stems(&config) {
            let expected = json(&root().join("expected").join(&config).join(format!("{stem}.json")));
            let want = lists(&expected["ids"]);
            match tokenizer.encode(&midi(&stem)) {
                Ok(tokens) if tokens.ids == want => {}
                Ok(tokens) => wrong.push(format!("{config}/{stem}: {}", parting(&tokens.ids, &want))),
                Err(error) => wrong.push(format!("{config}/{stem}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

fn programs(expected: &Value) -> Vec<(i16, bool)> {
    let Some(list) = expected["programs"].as_array() else { return Vec::new() };
    list.iter()
        .map(|pair| (pair[0].as_i64().expect("a program") as i16, pair[1].as_bool().expect("whether drums")))
        .collect()
}

#[test]
fn miditok_scores_are_the_library_s_for_every_configuration_and_file() {
    let mut wrong = Vec::new();
    for config in configs() {
        let tokenizer = tokenizer(&config);
        for stem in stems(&config) {
            let expected = json(&root().join("expected").join(&config).join(format!("{stem}.json")));
            let mut tokens = Tokens::new(lists(&expected["ids"]));
            tokens.programs = programs(&expected);
            match tokenizer.decode(&tokens) {
                Ok(decoded) if score(&decoded) == expected["decoded"] => {}
                Ok(decoded) => {
                    let (got, want) = (score(&decoded).to_string(), expected["decoded"].to_string());
                    let at = got
                        .bytes()
                        .zip(want.bytes())
                        .position(|(a, b)| a != b)
                        .unwrap_or(0)
                        .saturating_sub(40);
                    let part = |text: &str| text.chars().skip(at).take(90).collect::<String>();
                    wrong.push(format!("{config}/{stem}:\n  {}\n  {}", part(&got), part(&want)));
                }
                Err(error) => wrong.push(format!("{config}/{stem}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn miditok_scores_encode_again_as_in_the_library() {
    let mut wrong = Vec::new();
    for config in configs() {
        let tokenizer = tokenizer(&config);
        for stem in stems(&config) {
            let expected = json(&root().join("expected").join(&config).join(format!("{stem}.json")));
            let mut tokens = Tokens::new(lists(&expected["ids"]));
            tokens.programs = programs(&expected);
            let same = expected["reencoded_equal"] == true;
            let want = if same { tokens.ids.clone() } else { lists(&expected["reencoded_ids"]) };
            let again = tokenizer.decode(&tokens).and_then(|score| tokenizer.encode_decoded(&score));
            match again {
                Ok(again) if again.ids == want => {}
                Ok(again) => wrong.push(format!("{config}/{stem}: {}", parting(&again.ids, &want))),
                Err(error) => wrong.push(format!("{config}/{stem}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn miditok_ill_formed_ids_decode_as_in_the_library() {
    let entries = fs::read_dir(root().join("decode_fuzz")).expect("ill-formed ids");
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in entries {
        let path = entry.expect("readable").path();
        let config = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let tokenizer = tokenizer(&config);
        for (index, case) in json(&path).as_array().expect("cases").iter().enumerate() {
            let tokens = Tokens::new(lists(&case["ids"]));
            match tokenizer.decode(&tokens) {
                Ok(decoded) if score(&decoded) == case["decoded"] => {}
                Ok(decoded) => {
                    wrong.push(format!("{config} {index}\n  {}\n  {}", score(&decoded), case["decoded"]));
                }
                Err(error) => wrong.push(format!("{config} {index}: {error}")),
            }
            cases += 1;
        }
    }
    assert!(cases >= 40, "{cases} cases");
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn miditok_trained_ids_are_the_library_s_and_split_again() {
    let tokenizer = tokenizer("remi_bpe");
    assert_eq!((tokenizer.vocab().len(), tokenizer.vocab_size()), (518, 918));
    let mut wrong = Vec::new();
    for stem in stems("remi_bpe") {
        let expected = json(&root().join("expected/remi_bpe").join(format!("{stem}.json")));
        let tokens = tokenizer.encode(&midi(&stem)).expect("a good file");
        let merged = tokenizer.merge(&tokens).expect("a trained tokenizer");
        let want = lists(&expected["ids_encoded"]);
        if merged.ids != want {
            wrong.push(format!("{stem}: {}", parting(&merged.ids, &want)));
        }
        assert_eq!(tokenizer.split(&merged).expect("its own ids").ids, tokens.ids, "{stem}");
        // Without times, words begin at bar tokens.
        assert_eq!(
            tokenizer.merge(&Tokens::new(tokens.ids.clone())).expect("bars").ids,
            merged.ids,
            "{stem}"
        );
        let decoded = tokenizer.decode(&merged).expect("its own ids");
        assert_eq!(score(&decoded), expected["decoded"], "{stem}");
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn miditok_vocabularies_are_the_library_s_also_without_a_stored_one() {
    for config in configs() {
        let folder = root().join("configs").join(&config);
        let stored = json(&folder.join("vocab.json"));
        let stored = stored.as_object().expect("names");
        let opened = tokenizer(&config);
        assert_eq!(opened.vocab().len(), stored.len(), "{config}");
        for (name, id) in stored {
            assert_eq!(opened.vocab().id(name).map(u64::from), id.as_u64(), "{config} {name}");
        }
        let text = fs::read_to_string(folder.join("tokenizer.json")).expect("readable");
        let alone = Tokenizer::from_json(&text, None).expect("a good file");
        let info = json(&folder.join("info.json"));
        let same = alone.vocab().names() == opened.vocab().names();
        assert_eq!(same, info["reload_vocab_equal"] == true, "{config}");
    }
}

#[test]
fn miditok_files_survive_being_written_and_read() {
    for config in configs() {
        let opened = tokenizer(&config);
        let folder = tempfile::tempdir().expect("a folder");
        opened.save(folder.path()).expect("room");
        let again = Tokenizer::open(folder.path()).expect("our own files");
        assert_eq!(again.config(), opened.config(), "{config}");
        assert_eq!(again.vocab().names(), opened.vocab().names(), "{config}");
        assert_eq!(again.to_json(), opened.to_json(), "{config}");
        let theirs = json(&root().join("configs").join(&config).join("tokenizer.json"));
        let ours: Value = serde_json::from_str(&opened.to_json()).expect("our own file");
        for (key, value) in theirs["config"].as_object().expect("keys") {
            assert_eq!(&ours["config"][key], value, "{config} {key}");
        }
        for key in ["tokenization", "miditok_version", "_vocab_base", "_model", "_vocab_base_byte_to_token"] {
            assert_eq!(ours[key], theirs[key], "{config} {key}");
        }
    }
}

#[test]
fn miditok_3_0_6_vocabularies_and_most_ids_are_that_version_s() {
    for (config, size) in [("remi_default_v306", 284), ("remi_plus_v306", 518)] {
        let tokenizer = tokenizer(config);
        assert_eq!(tokenizer.vocab().len(), size);
        let mut wrong = Vec::new();
        for stem in stems(config) {
            let expected = json(&root().join("expected").join(config).join(format!("{stem}.json")));
            let got = tokenizer.encode(&midi(&stem)).expect("a good file").ids;
            if got != lists(&expected["ids"]) {
                wrong.push(stem + " " + &parting(&got, &lists(&expected["ids"])));
            }
        }
        // Files with program changes in the middle, which symusic 0.5 groups otherwise, and with mixed denominators.
        wrong.retain(|stem| !stem.starts_with('f') && !stem.starts_with("r03"));
        assert!(wrong.is_empty(), "{config}: {}", wrong.join("\n"));
    }
}

#[test]
fn miditok_a_denominator_that_is_replaced_at_once_still_sets_the_ticks() {
    use partita_tokens::miditok::{Config, Tokenization};
    // 4/4, then in one bar 4/16 and 6/8: the first of the two goes when both wait for the bar line. The piece counts
    // in sixteenths all the same, so its quarters have a grid of four ticks.
    let config = Config {
        beat_res: vec![partita_tokens::miditok::Resolution { from: 0, to: 4, resolution: 4 }],
        time_signature_range: vec![(16, vec![4]), (8, vec![6]), (4, vec![4])],
        ..Config::new(Tokenization::Remi)
    };
    let signature = |delta: u8, numerator: u8, power: u8| vec![delta, 0xff, 0x58, 4, numerator, power, 24, 8];
    let mut events = signature(0, 4, 2);
    // At 24 ticks a quarter, these notes are at 2.25 and 3 sixteenths.
    events.extend(b"\x0e\x90\x3c\x40\x04\x90\x3e\x40\x06\x80\x3c\x40\0\x80\x3e\x40");
    events.extend(signature(8, 4, 4));
    events.extend(signature(8, 6, 3));
    events.extend(b"\0\xff\x2f\0");
    let mut file = b"MThd\0\0\0\x06\0\0\0\x01\0\x18MTrk\0\0\0".to_vec();
    file.push(events.len() as u8);
    file.extend(events);
    let tokenizer = Tokenizer::new(config).expect("a good configuration");
    let tokens = tokenizer.encode(&file).expect("a good file");
    let names: Vec<&str> =
        tokens.ids[0].iter().map(|&id| tokenizer.vocab().names()[id as usize].as_str()).collect();
    let want = [
        "Bar_None",
        "TimeSig_4/4",
        "Position_2",
        "Pitch_60",
        "Velocity_63",
        "Duration_0.2.4",
        "Position_3",
        "Pitch_62",
        "Velocity_63",
        "Duration_0.1.4",
        "Bar_None",
        "TimeSig_6/8",
    ];
    assert_eq!(names, want);
}
