//! A GPT-2 with MidiTok's tokenizer: imported, generating, playing on.

use std::fs;
use std::path::{Path, PathBuf};

use partita_score::harmony::Key;
use partita_score::{Note, Score};
use serde_json::json;

use crate::run::Place;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference").join(name)
}

/// A folder `tiny` with the published GPT-2 of random weights and a tokenizer of as many tokens.
fn place() -> Place {
    let place = Place::new();
    let folder = place.path("tiny");
    fs::create_dir(&folder).expect("made");
    for name in ["hf/gpt2/config.json", "hf/gpt2/model.safetensors"] {
        let file = Path::new(name).file_name().expect("a name");
        fs::copy(reference(name), folder.join(file)).expect("copied");
    }
    let tokenizer = reference("miditok/configs/remi_default_v306/tokenizer.json");
    fs::copy(tokenizer, folder.join("tokenizer.json")).expect("copied");
    place
}

fn notes(score: &Score) -> Vec<Note> {
    score.tracks.iter().flat_map(|track| track.notes.iter().copied()).collect()
}

#[test]
fn miditok_an_imported_checkpoint_is_listed_and_obeys() {
    let place = place();
    place.ok("models import tiny --copy");
    let listed = place.ok("models list --json").json();
    let model = listed["models"].as_array().expect("models").iter().find(|model| model["name"] == "tiny");
    assert_eq!(model.expect("listed")["family"], "midi-gpt");
    assert!(place.ok("models list").stdout().contains("tiny  store, midi-gpt, "));

    let key: Key = "Bb".parse().expect("a key");
    let line = "generate midi --model tiny --bars 3 --key Bb --range 55-79 -n 2 --seed 5 --tempo 90 -o a.mid";
    let told = place.ok(&format!("{line} --json")).json();
    assert_eq!((&told["model"]["family"], &told["model"]["tokens"]), (&json!("midi-gpt"), &json!("REMI")));
    for (index, name) in ["a-1.mid", "a-2.mid"].into_iter().enumerate() {
        assert_eq!(told["takes"][index]["bars"], 3);
        let score = place.score(name);
        let bar = u32::from(score.ppq.get()) * 4;
        assert!((score.tempos.bpm_at(partita_score::Tick(0)) - 90.0).abs() < 0.01);
        assert!(!notes(&score).is_empty());
        for note in notes(&score) {
            assert!((55..=79).contains(&note.pitch) && key.contains(note.pitch), "{note:?}");
            assert!(note.onset.0 < 3 * bar, "{note:?}");
        }
    }
    assert_ne!(place.read("a-1.mid"), place.read("a-2.mid"));
    // From the folder, by the command that was told: the same bytes.
    let again = place.ok(&line.replace("--model tiny", "--model ./tiny").replace("a.mid", "b.mid"));
    assert!(
        again.stdout().contains("again  partita generate midi --model ./tiny --bars 3"),
        "{}",
        again.stdout()
    );
    assert_eq!(place.read("a-1.mid"), place.read("b-1.mid"));
}

#[test]
fn miditok_a_checkpoint_plays_on_after_every_given_note() {
    let place = place();
    fs::copy(reference("miditok/midi/01_scale.mid"), place.path("in.mid")).expect("copied");
    let line = "continue in.mid --model tiny --bars 2 --key C --range 60-84 --seed 1 --force";
    place.ok(&format!("{line} -o out.mid"));
    let (given, whole) = (place.score("in.mid"), place.score("out.mid"));
    let (before, after) = (notes(&given), notes(&whole));
    assert!(after.len() > before.len());
    assert_eq!(after[..before.len()], before[..], "the given notes come first, as they were");
    assert_eq!((whole.ppq, &whole.tempos), (given.ppq, &given.tempos));
    let bar = u32::from(given.ppq.get()) * 4;
    let last = before.iter().map(|note| note.onset.0 / bar).max().expect("notes");
    for note in &after[before.len()..] {
        let bars = note.onset.0 / bar;
        assert!((last + 1..=last + 2).contains(&bars) && (60..=84).contains(&note.pitch), "{note:?}");
        assert!([0, 2, 4, 5, 7, 9, 11].contains(&(note.pitch % 12)), "{note:?}");
    }
    place.ok(&format!("{line} --only-new -o new.mid"));
    assert_eq!(notes(&place.score("new.mid")).len(), after.len() - before.len());
    let ran = place.run(&format!("{line} --style funk -o no.mid"));
    assert!(ran.code() == 2 && ran.stderr().contains("style"), "{}", ran.stderr());
}

#[test]
fn miditok_folders_that_are_no_such_model_are_refused_and_leave_nothing() {
    let place = place();
    let error = |line: &str, code: i32, part: &str| {
        let ran = place.run(line);
        assert!(ran.code() == code && ran.stderr().contains(part), "{line}: {} {}", ran.code(), ran.stderr());
    };
    error("generate midi -o a.mid", 2, "model must be a GPT-2 with MidiTok's tokenizer.json");
    error("generate midi --model nobody -o a.mid", 3, "nobody");
    error("generate midi --model tiny --bars 0 -o a.mid", 2, "bars must be in 1..=512, got 0");
    error("generate midi --model tiny --range 60-60 --key D -o a.mid", 2, "no pitch is left");
    error("generate midi --model tiny --time 7/8 -o a.mid", 2, "signature must be");
    fs::write(place.path("tiny/tokenizer.json"), r#"{"version": "1.0"}"#).expect("written");
    error(
        "models import tiny",
        1,
        "must hold a GPT-2 with MidiTok's tokenizer.json: tokenizer.json: miditok_version",
    );
    error("generate midi --model tiny -o a.mid", 1, "miditok_version");
    let larger = reference("miditok/configs/remi_plus/tokenizer.json");
    fs::copy(larger, place.path("tiny/tokenizer.json")).expect("copied");
    error("models import tiny", 1, "vocab_size must be at least the 518 tokens of its tokenizer, got 284");
    fs::remove_file(place.path("tiny/tokenizer.json")).expect("removed");
    error("models import tiny", 1, "must hold a tokenizer.json");
    let listed = place.ok("models list --json").json();
    assert!(listed["models"].as_array().expect("models").iter().all(|model| model["place"] == "bundled"));
    assert_eq!(place.names(), ["tiny"], "nothing was written");
}
