//! Accompaniments from outside: the melody stays, ranges and roots hold, and who played what is told.

use std::fs;

use partita_nn::Rng;
use partita_score::harmony::{Chord, parse_symbol};
use partita_score::{ChordChange, Note, Ppq, Score, TempoMap, Tick, Track, midi};
use partita_tokens::song::{FORMAT, VOCAB};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::run::{Place, Ran};

const PPQ: u16 = 96;
const BAR: u32 = 4 * PPQ as u32;
const CHORDS: [&str; 4] = ["C", "Am7", "F", "G/B"];

/// `lead.mid`: eight bars of a melody played a little late, at 83 beats a minute and then slower, a chord a bar if wanted.
fn lead(place: &Place, has_chords: bool) -> Score {
    let notes = (0..32u32).map(|beat| Note {
        onset: Tick(beat * 96 + beat % 3),
        end: Tick(beat * 96 + 80),
        pitch: [72, 76, 79, 77, 74][beat as usize % 5],
        velocity: 70 + beat as u8,
    });
    let chord = |bar: u32| parse_symbol(CHORDS[bar as usize % 4]).expect("a chord");
    let changes = (0..8).map(|bar| ChordChange { at: Tick(bar * BAR), chord: chord(bar) });
    let score = Score {
        ppq: Ppq::new(PPQ).expect("valid"),
        tempos: TempoMap::new(vec![(Tick(0), 722_892), (Tick(6 * BAR), 800_000)]),
        chords: if has_chords { changes.collect() } else { Vec::new() },
        tracks: vec![Track { name: "tune".into(), notes: notes.collect(), program: 40, ..Track::default() }],
        ..Score::default()
    };
    place.write("lead.mid", &midi::write(&score));
    place.score("lead.mid")
}

/// `arranger`: weights of an accompaniment that has learned nothing.
fn arranger(place: &Place) {
    let (width, mut rng) = (16, Rng::new(9, 0));
    let mut shapes = vec![
        ("wte.weight".to_owned(), vec![VOCAB as usize, width]),
        ("ln_f.weight".into(), vec![width]),
        ("ln_f.bias".into(), vec![width]),
    ];
    for norm in ["ln_1", "ln_2"] {
        shapes.push((format!("h.0.{norm}.weight"), vec![width]));
        shapes.push((format!("h.0.{norm}.bias"), vec![width]));
    }
    for (name, inputs, outputs) in [
        ("attn.c_attn", width, 3 * width),
        ("attn.c_proj", width, width),
        ("mlp.c_fc", width, 4 * width),
        ("mlp.c_proj", 4 * width, width),
    ] {
        shapes.push((format!("h.0.{name}.weight"), vec![inputs, outputs]));
        shapes.push((format!("h.0.{name}.bias"), vec![outputs]));
    }
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in shapes {
        let start = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            let middle = if name.contains("ln_") && name.ends_with("weight") { 1.0 } else { 0.0 };
            data.extend_from_slice(&(middle + (rng.f32() - 0.5) * 0.2).to_le_bytes());
        }
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] }));
    }
    let header = Value::Object(header).to_string();
    let weights = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    let sum: String = Sha256::digest(&weights).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = json!({
        "family": "arrange", "tokens": FORMAT, "vocab": VOCAB, "context": 1024, "width": width,
        "layers": 1, "heads": 2, "rotary": true, "sha256": sum,
    });
    fs::create_dir(place.path("arranger")).expect("made");
    place.write("arranger/model.json", config.to_string().as_bytes());
    place.write("arranger/model.safetensors", &weights);
}

fn track<'a>(score: &'a Score, name: &str) -> &'a Track {
    let found = score.tracks.iter().find(|track| track.name == name);
    found.unwrap_or_else(|| panic!("a track called {name}"))
}

fn in_bars(track: &Track, bars: std::ops::Range<u32>) -> Vec<Note> {
    track.notes.iter().filter(|note| bars.contains(&(note.onset.0 / BAR))).copied().collect()
}

/// Every chord begins with its bass in the bass.
fn check_roots(score: &Score, bars: std::ops::Range<u32>) {
    for change in score.chords.iter().filter(|change| bars.contains(&(change.at.0 / BAR))) {
        let chord: &Chord = change.chord.as_ref().expect("a chord");
        let bass = track(score, "bass").notes.iter().find(|note| note.onset == change.at);
        let bass = bass.unwrap_or_else(|| panic!("a bass at {:?}", change.at));
        assert_eq!(bass.pitch % 12, chord.bass().pitch_class(), "at {:?}", change.at);
    }
}

#[test]
fn rules_add_a_piano_and_a_bass_in_range_and_are_told_as_rules() {
    let place = Place::new();
    let before = lead(&place, true);
    let line = "arrange lead.mid --key C --piano held --bass-range 30-50 --piano-range C3-79";
    let told = place.ok(&format!("{line} --bass walking -n 2 --json -o a.mid")).json();
    for name in ["a-1.mid", "a-2.mid"] {
        let score = place.score(name);
        assert_eq!(score.tracks[0], before.tracks[0]);
        assert_eq!((score.ppq, &score.tempos, &score.meters), (before.ppq, &before.tempos, &before.meters));
        assert_eq!(score.chords, before.chords);
        let names: Vec<&str> = score.tracks.iter().map(|track| track.name.as_str()).collect();
        assert_eq!(names, ["tune", "piano", "bass"]);
        let (piano, bass) = (&score.tracks[1].notes, &score.tracks[2].notes);
        assert!(bass.len() >= 32 && bass.iter().all(|note| (30..=50).contains(&note.pitch)), "{bass:?}");
        assert!(piano.len() >= 24 && piano.iter().all(|note| (48..=79).contains(&note.pitch)), "{piano:?}");
        let white = |note: &Note| [0, 2, 4, 5, 7, 9, 11].contains(&(note.pitch % 12));
        assert!(bass.iter().chain(piano).all(white));
        check_roots(&score, 0..8);
    }
    let made = json!({ "chords": "given", "bass": "rule walking", "piano": "rule held" });
    assert_eq!(told["takes"][1]["made"], made);
    assert_eq!(told["models"], json!([]));
    assert!(place.makes_again(&told, "a-2.mid"));
    let text = place.ok(&format!("{line} --bass roots-and-fifths --seed 3 --stems wavs -o b.mid")).stdout();
    assert!(text.contains("\nbass    rule roots-and-fifths\npiano   rule held\n"), "{text}");
    for name in ["tune", "piano", "bass"] {
        assert!(place.read(&format!("wavs/{name}.wav")).starts_with(b"RIFF"));
    }
}

#[test]
fn stems_sound_as_asked_and_are_as_long_as_the_whole() {
    let place = Place::new();
    lead(&place, true);
    let sound = "--sample-rate 22050 --loudness -20 --wav-format 24 --sound 808";
    // The charleston leaves the end of the last bar silent.
    let line = format!("arrange lead.mid --bass roots --piano charleston --seed 3 {sound} --json");
    let told = place.ok(&format!("{line} --stems a")).json();
    assert!(place.makes_again(&told, "a/bass.wav"));
    let told = told["command"].as_str().expect("a command").to_owned();
    for option in ["--sample-rate 22050", "--loudness -20", "--wav-format 24", "--sound 808"] {
        assert!(told.contains(option), "{told}");
    }
    place.ok(&format!("{line} --stems b --wav whole.wav"));
    let length = place.read("whole.wav").len();
    let lengths = ["tune", "piano", "bass"].map(|name| place.read(&format!("b/{name}.wav")).len());
    assert_eq!(lengths, [length; 3]);
    let line = "generate song --bars 2 --time 3/4 --seed 4 --sample-rate 8000 --json";
    let told = place.ok(&format!("{line} --stems song --wav song.wav")).json();
    let length = place.read("song.wav").len();
    let lengths =
        ["melody", "chords", "bass", "drums"].map(|name| place.read(&format!("song/{name}.wav")).len());
    assert_eq!(lengths, [length; 4]);
    assert!(place.makes_again(&told, "song/drums.wav"));
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_no_folder_for_stems() {
    let place = Place::new();
    // Long sounds, so that the first is still being made when the folder is there.
    let words = ["generate", "song", "--bars", "32", "--sample-rate", "192000", "--stems", "in/wavs", "-q"];
    let mut child = place.command(&words).stderr(std::process::Stdio::piped()).spawn().expect("starts");
    while !place.path("in/wavs").exists() && child.try_wait().expect("ours").is_none() {
        std::thread::yield_now();
    }
    let sent =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("runs");
    assert!(sent.success());
    assert_eq!(child.wait_with_output().expect("ends").status.code(), Some(130));
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn parts_that_are_left_out_are_not_told_and_one_has_to_stay() {
    let place = Place::new();
    let ran = place.ok("generate song --bars 2 --seed 1 --without drums,melody -o a.mid");
    let told = ran.stdout();
    assert!(
        told.contains("\nbass    rule ") && !told.contains("drums   ") && !told.contains("melody  "),
        "{told}"
    );
    let told = place.ok("generate song --bars 2 --seed 1 --without drums --json -o b.mid").json();
    let made = told["takes"][0]["made"].as_object().expect("parts");
    assert_eq!(made.keys().map(String::as_str).collect::<Vec<_>>(), ["melody", "chords", "bass"]);
    let ran = place.run("generate song --bars 2 --without melody,chords,bass,drums -o c.mid");
    let message = "without must leave one of melody, chords, bass, drums, got melody,chords,bass,drums";
    assert!(ran.code() == 2 && ran.stderr().contains(message), "{}", ran.stderr());
}

#[test]
fn the_bass_plays_each_chord_where_it_begins_in_odd_metres() {
    let place = Place::new();
    for (time, chords, changes) in [
        ("7/8", "C F G | Am Dm G7", vec![0, 720, 1200, 1680, 2400, 2880]),
        ("15/16", "C F | G Am", vec![0, 1080, 1800, 2880]),
    ] {
        let mut words: Vec<&str> =
            "generate song --key C --bars 2 --bass roots --seed 3 --without drums".split(' ').collect();
        words.extend(["--straight", "--time", time, "--chords", chords, "-f", "-o", "a.mid"]);
        let ran = Ran(place.command(&words).output().expect("the program starts"));
        assert_eq!(ran.code(), 0, "{}", ran.stderr());
        let score = place.score("a.mid");
        assert_eq!(score.chords.iter().map(|change| change.at.0).collect::<Vec<_>>(), changes, "{time}");
        for change in &score.chords {
            let root = change.chord.as_ref().expect("a chord").root.pitch_class();
            let note = track(&score, "bass").notes.iter().find(|note| note.onset == change.at);
            assert!(note.is_some_and(|note| note.pitch % 12 == root), "{time}: {note:?} begins {change:?}");
        }
    }
}

#[test]
fn a_model_plays_where_one_is_named_and_leaves_other_bars_note_for_note() {
    let place = Place::new();
    lead(&place, true);
    arranger(&place);
    let line = "arrange lead.mid --model arranger --key C --seed 4 --density 0.5 --register E4";
    let told = place.ok(&format!("{line} -n 2 --bass-range 28-47 --json -o a.mid")).json();
    assert_eq!(told["takes"][0]["made"], json!({ "chords": "given", "bass": "model", "piano": "model" }));
    assert_eq!(told["models"][0]["family"], "arrange");
    assert!(place.makes_again(&told, "a-2.mid"));
    let first = place.score("a-1.mid");
    check_roots(&first, 0..8);
    assert!(track(&first, "bass").notes.iter().all(|note| (28..=47).contains(&note.pitch)));
    place.ok(&format!("{line} --bass-range 28-47 -o one.mid"));
    assert_eq!(place.score("one.mid"), first, "a variation is what it is alone");
    assert_ne!(place.score("a-2.mid"), first);

    let told =
        place.ok("arrange a-1.mid --model arranger --track 1 --bars 3-4 --seed 8 --json -o b.mid").json();
    assert_eq!(told["anew"], json!([3, 4]));
    let second = place.score("b.mid");
    assert_eq!(second.tracks[0], first.tracks[0]);
    for name in ["bass", "piano"] {
        let (before, after) = (track(&first, name), track(&second, name));
        assert_eq!(in_bars(before, 0..2), in_bars(after, 0..2), "{name}");
        assert_eq!(in_bars(before, 4..8), in_bars(after, 4..8), "{name}");
        assert_ne!(in_bars(before, 2..4), in_bars(after, 2..4), "{name}");
    }
    check_roots(&second, 2..4);
    assert!(place.makes_again(&told, "b.mid"));
}

#[test]
fn the_model_inside_the_program_plays_if_nothing_else_is_asked_for() {
    let place = Place::new();
    let before = lead(&place, true);
    let told = place.ok("arrange lead.mid --key C --seed 6 --json -o a.mid").json();
    assert_eq!(told["takes"][0]["made"], json!({ "chords": "given", "bass": "model", "piano": "model" }));
    let score = place.score("a.mid");
    assert_eq!(score.tracks[0], before.tracks[0]);
    check_roots(&score, 0..8);
    assert!(!track(&score, "piano").notes.is_empty());
    assert!(place.makes_again(&told, "a.mid"));
}

#[test]
fn a_part_is_kept_or_left_out_as_asked() {
    let place = Place::new();
    lead(&place, true);
    place.ok("arrange lead.mid --seed 1 -o a.mid");
    let before = place.score("a.mid");
    let told =
        place.ok("arrange a.mid --track 1 --bass keep --piano arpeggio --seed 1 --json -o b.mid").json();
    let made = json!({ "chords": "given", "bass": "given", "piano": "rule arpeggio" });
    assert_eq!(told["takes"][0]["made"], made);
    let after = place.score("b.mid");
    assert_eq!(track(&after, "bass"), track(&before, "bass"));
    assert_ne!(track(&after, "piano"), track(&before, "piano"));
    let told = place.ok("arrange a.mid --track 1 --bass none --piano keep --json -o c.mid").json();
    assert_eq!(told["takes"][0]["made"]["bass"], "nobody");
    let names: Vec<String> = place.score("c.mid").tracks.into_iter().map(|track| track.name).collect();
    assert_eq!(names, ["tune", "piano"]);
}

#[test]
fn chords_are_asked_for_or_written_where_the_input_has_none() {
    let place = Place::new();
    let before = lead(&place, false);
    let ran = place.ok("arrange lead.mid --seed 2 -o a.mid");
    assert!(ran.stdout().contains("\nchords  model, as the input has none\n"), "{}", ran.stdout());
    let score = place.score("a.mid");
    assert_eq!(score.tracks[0], before.tracks[0]);
    assert!(score.chords.iter().any(|change| change.chord.is_some()));
    place.ok("harmonize lead.mid --seed 2 -o h.mid");
    assert_eq!(score.chords, place.score("h.mid").chords, "they are those of harmonize");

    let words = ["arrange", "lead.mid", "--chords", "Dm7 G7 | Cmaj7", "--seed", "2", "--json", "-o", "b.mid"];
    let ran = Ran(place.command(&words).output().expect("the program starts"));
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    let score = place.score("b.mid");
    let first: Vec<_> =
        score.chords.iter().take(3).map(|change| (change.at.0, change.chord.clone())).collect();
    let chord = |symbol: &str| parse_symbol(symbol).expect("a chord");
    assert_eq!(first, [(0, chord("Dm7")), (BAR / 2, chord("G7")), (BAR, chord("Cmaj7"))]);
    check_roots(&score, 0..8);
    assert_eq!(ran.json()["takes"][0]["made"]["chords"], "given");
    assert!(place.makes_again(&ran.json(), "b.mid"));
    // What other tracks play are chords, too.
    let mut full = place.score("b.mid");
    full.chords.clear();
    place.write("full.mid", &midi::write(&full));
    let told = place.ok("arrange full.mid --track 1 --seed 2 --json -o c.mid").json();
    assert_eq!(told["takes"][0]["made"]["chords"], "rule recognized");
}

#[test]
fn what_cannot_be_arranged_is_refused_with_the_field() {
    let place = Place::new();
    lead(&place, true);
    arranger(&place);
    for (line, field, message) in [
        ("--piano loud", "piano", "piano must be model, keep, none or one of held, beats"),
        ("--bass keep --piano keep", "piano", "nothing to do"),
        ("--bass-range 50-40", "bass-range", "bass-range must be low-high"),
        ("--piano-range 10-60", "piano-range", "piano-range must be within 21-108, got 10-60"),
        ("--bass roots --bass-range 37-38 --key C", "bass-range", "bar 1 must begin C on its bass"),
        ("--bars 8-9", "bars", "bars must be in 1-8, got 8-9"),
        ("--piano held --density 0.5", "density", "density must be left out where no model plays the piano"),
        ("--model arranger --register 120", "register", "register must be a pitch in 21..=108"),
        ("--key H", "key", "H"),
        ("--track 2", "track", "track must be"),
        ("--no-chords", "no-chords", "an accompaniment needs chords"),
        ("--mood gloomyish", "mood", "sad"),
        ("-n 65", "variations", "variations must be in 1..=64, got 65"),
    ] {
        let ran = place.run(&format!("arrange lead.mid {line} --json -o x.mid"));
        assert_eq!(ran.code(), 2, "{line}: {}", ran.stderr());
        let said = if ran.stdout().is_empty() { ran.stderr() } else { ran.stdout() };
        let told: Value = serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{line}: {said}"));
        assert_eq!(told["error"]["field"], field, "{line}: {said}");
        assert!(told["error"]["message"].as_str().is_some_and(|it| it.contains(message)), "{line}: {said}");
    }
    assert!(place.names().iter().all(|name| !name.starts_with('x')));
}

#[test]
fn a_song_has_its_bass_and_chords_by_the_model_if_asked() {
    let place = Place::new();
    arranger(&place);
    let line = "generate song --bars 4 --seed 2 --bass model";
    let told = place.ok(&format!("{line} --comping held --model arranger --json -o s.mid")).json();
    assert_eq!(told["takes"][0]["made"]["bass"], "model");
    assert_eq!(told["takes"][0]["made"]["chords"], "rule held");
    assert!(place.makes_again(&told, "s.mid"));
    let told = place.ok(&format!("{line} --comping model --json -o t.mid")).json();
    assert_eq!(told["takes"][0]["made"]["chords"], "model");
    assert!(place.makes_again(&told, "t.mid"));
}
