//! Accompaniments from end to end, with the bundled arranger.

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use partita_engine::family::{Made, Model, ModelSource, play};
use partita_engine::{Code, Fault};
use partita_score::{Note, Score, midi};
use serde_json::{Value, json};

use super::melody::{Ear, file, pointers, try_check};

fn heard(body: &Value, ear: &mut Ear) -> Result<Made, Fault> {
    static MODEL: OnceLock<Model> = OnceLock::new();
    let load = || Model::load("arrange", ModelSource::Bundled, partita_nn::Precision::Int8).expect("bundled");
    let checked = try_check("arrange", body)?;
    assert_eq!(checked.model, "arrange@1");
    play(&checked.request, Some(MODEL.get_or_init(load)), &HashMap::new(), ear)
}

fn made(body: &Value) -> Made {
    heard(body, &mut Ear::default()).expect("plays")
}

fn notes<'a>(score: &'a Score, track: &str) -> &'a [Note] {
    let track = score.tracks.iter().find(|it| it.name.eq_ignore_ascii_case(track));
    track.map_or(&[], |track| &track.notes)
}

/// Four bars of quarters.
fn tune() -> Value {
    let tune = [67, 69, 71, 72, 74, 72, 71, 69, 67, 71, 74, 79, 78, 76, 74, 67];
    let note = |(beat, pitch): (u32, u8)| json!({ "pitch": pitch, "start": beat, "duration": 1, "velocity": 77, "channel": 0 });
    json!({ "notes": (0..).zip(tune).map(note).collect::<Vec<_>>(), "tempo": 72.5 })
}

fn body(more: &Value) -> Value {
    let mut body = json!({ "input": tune(), "chords": "G D | Em C | G D | C G", "seed": 3 });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

#[test]
fn a_melody_keeps_its_notes_over_a_bass_and_a_piano() {
    let asked = body(&json!({ "variations": 2, "piano_range": [48, 72], "stems": true }));
    let mut ear = Ear::default();
    let whole = heard(&asked, &mut ear).expect("plays");
    assert_eq!(made(&asked).files, whole.files);
    let score = midi::read(file(&whole, "v1.mid")).expect("MIDI");
    let melody: Vec<u8> = notes(&score, "melody").iter().map(|note| note.pitch).collect();
    assert_eq!(melody, [67, 69, 71, 72, 74, 72, 71, 69, 67, 71, 74, 79, 78, 76, 74, 67]);
    let (bass, piano) = (notes(&score, "bass"), notes(&score, "piano"));
    assert!(bass.len() > 4 && bass.iter().all(|note| (28..=55).contains(&note.pitch)), "{bass:?}");
    assert!(piano.len() > 4 && piano.iter().all(|note| (48..=72).contains(&note.pitch)), "{piano:?}");
    let half = 2 * u32::from(score.ppq.get());
    for (index, root) in [7, 2, 4, 0, 7, 2, 0, 7].into_iter().enumerate() {
        let at = index as u32 * half;
        let first = bass.iter().find(|note| note.onset.0 == at).expect("a note where a chord begins");
        assert_eq!(first.pitch % 12, root, "chord {index}");
    }
    let take = &whole.outcome.takes[0];
    let by = take.made.as_ref().expect("who made it");
    assert_eq!([&by["bass"], &by["piano"], &by["chords"]], ["model", "model", "given"]);
    assert_eq!(take.chords.as_ref().expect("chords").len(), 8);
    assert_eq!((whole.outcome.tempo, whole.outcome.bars), (Some(72.5), Some(4)));
    assert!(whole.outcome.metrics.tokens > 50 && take.nats > Some(0.0));
    let told: usize = ear.bars.iter().filter(|(take, ..)| *take == 0).map(|(_, _, notes)| notes.len()).sum();
    assert_eq!(told, take.notes.as_ref().expect("notes").len());
    // A file of each track, all of one length.
    let stems = |take: &str| {
        let named = whole.files.iter().filter(|file| file.name.contains(take) && file.name.ends_with(".wav"));
        named
            .map(|file| (file.name.rsplit('-').next().expect("a name"), file.bytes.len()))
            .collect::<Vec<_>>()
    };
    let lengths: Vec<usize> = stems("-v1-").iter().map(|(_, length)| *length).collect();
    let names: Vec<&str> = stems("-v2-").iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["melody.wav", "piano.wav", "bass.wav"]);
    assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]) && lengths[0] > 1_000_000, "{lengths:?}");
}

#[test]
fn rules_play_as_told_and_bars_are_made_anew_alone() {
    let by_rule = made(&body(&json!({ "bass": "walking", "piano": "held" })));
    let by = by_rule.outcome.takes[0].made.clone().expect("who made it");
    assert_eq!([&by["bass"], &by["piano"]], ["rule walking", "rule held"]);
    assert_eq!(by_rule.outcome.metrics.tokens, 0);
    let before = midi::read(file(&by_rule, ".mid")).expect("MIDI");
    assert_eq!(notes(&before, "bass").len(), 16, "a note a beat");
    // What it wrote is what it reads: chords and parts are there now.
    let input = json!({ "midi": STANDARD.encode(file(&by_rule, ".mid")) });
    let again = made(&json!({ "input": input, "bars": [2, 2], "bass": "keep", "seed": 8 }));
    let after = midi::read(file(&again, ".mid")).expect("MIDI");
    let by = again.outcome.takes[0].made.clone().expect("who made it");
    assert_eq!([&by["bass"], &by["piano"]], ["given", "model"]);
    assert_eq!(notes(&after, "bass"), notes(&before, "bass"));
    let length = 4 * u32::from(before.ppq.get());
    let outside = |score: &Score| -> Vec<Note> {
        notes(score, "piano").iter().filter(|note| note.onset.0 / length != 1).copied().collect()
    };
    assert_eq!(outside(&after), outside(&before));
    assert_ne!(notes(&after, "piano"), notes(&before, "piano"));
    let gone = made(&json!({ "input": input, "bass": "none", "piano": "keep" }));
    assert!(notes(&midi::read(file(&gone, ".mid")).expect("MIDI"), "bass").is_empty());
}

#[test]
fn a_written_bass_is_played_also_outside_the_key_and_chords_change_in_their_bars_alone() {
    let line = "Am | Am/G# | Am/G | Am/F#";
    for player in ["roots", "walking", "model"] {
        let played =
            made(&body(&json!({ "key": "A minor", "chords": line, "bass": player, "piano": "held" })));
        let score = midi::read(file(&played, ".mid")).expect("MIDI");
        let bar = 4 * u32::from(score.ppq.get());
        for (index, class) in [9, 8, 7, 6].into_iter().enumerate() {
            let first = notes(&score, "bass").iter().find(|note| note.onset.0 == index as u32 * bar);
            assert_eq!(first.expect("a bass").pitch % 12, class, "{player}, bar {index}");
        }
    }
    let before = made(&body(&json!({ "bass": "roots", "piano": "held", "chords": "G | Em | C | D" })));
    let input = json!({ "midi": STANDARD.encode(file(&before, ".mid")) });
    let after = made(
        &json!({ "input": input, "bars": [2, 2], "chords": "Cm", "bass": "roots", "key": "any", "seed": 1 }),
    );
    let told = |made: &Made| -> Vec<(f64, String)> {
        let chords = made.outcome.chords.as_ref().expect("chords").iter();
        chords.map(|it| (it.start, it.chord.clone())).collect()
    };
    let expected = [(0.0, "G"), (4.0, "Cm"), (8.0, "C"), (12.0, "D")];
    assert_eq!(told(&after), expected.map(|(at, chord)| (at, chord.to_owned())));
    let [before, after] = [&before, &after].map(|made| midi::read(file(made, ".mid")).expect("MIDI"));
    let changes = |score: &Score| {
        score.chords.iter().map(|it| it.chord.as_ref().map(ToString::to_string)).collect::<Vec<_>>()
    };
    assert_eq!(changes(&after)[2..], changes(&before)[2..]);
    assert_eq!(changes(&after)[1].as_deref(), Some("Cm"));
}

#[test]
fn what_cannot_be_accompanied_is_refused_at_its_fields() {
    let asked = |more: Value| pointers("arrange", body(&more));
    assert_eq!(asked(json!({ "bass": "tuba", "piano": "drums" })), ["#/bass", "#/piano"]);
    assert_eq!(asked(json!({ "bass": "keep", "piano": "keep" })), ["#/piano"]);
    assert_eq!(
        asked(json!({ "bass_range": [60, 40], "density": 2, "style": "pop" })),
        ["#/style", "#/bass_range", "#/density"]
    );
    assert_eq!(
        asked(json!({ "piano": "held", "density": 0.5, "register": 60 })),
        ["#/density", "#/register"]
    );
    assert_eq!(
        asked(json!({ "piano": "none", "bass": "roots", "piano_range": [40, 60] })),
        ["#/piano_range"]
    );
    assert_eq!(asked(json!({ "piano_range": [33, 60], "register": 100 })), ["#/register"]);
    assert_eq!(asked(json!({ "chords": "G H" })), ["#/chords"]);
    assert_eq!(asked(json!({ "progression": "ii-V-I" })), ["#/progression"]);
    assert_eq!(asked(json!({ "bars": [2, 9] })), ["#/bars"]);
    assert_eq!(asked(json!({ "model": "melody" })), ["#/model"]);
    assert_eq!(asked(json!({ "sound": "acoustic" })), ["#/sound"]);
    // No D within reach of a bass of one note.
    assert_eq!(asked(json!({ "bass_range": [31, 31] })), ["#/bass_range"]);
    let fault = try_check("arrange", &json!({ "input": tune() })).expect_err("a line alone");
    assert_eq!(fault.errors[0].pointer, "#/input/notes");
    assert!(fault.errors[0].detail.contains("/api/v1/harmonize"), "{fault:?}");
    let mut ear = Ear { stop_after: Some(2), ..Ear::default() };
    assert_eq!(heard(&body(&json!({})), &mut ear).expect_err("stopped").code, Code::Cancelled);
}
