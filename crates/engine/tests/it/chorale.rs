//! Four voices from end to end, with the bundled harmonizer.

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use partita_engine::family::{Made, Model, ModelSource, play};
use partita_engine::{Code, Fault};
use partita_score::{Note, Score, midi};
use serde_json::{Value, json};

use super::melody::{Ear, file, pointers, try_check};

fn heard(verb: &str, body: &Value, ear: &mut Ear) -> Result<Made, Fault> {
    static MODEL: OnceLock<Model> = OnceLock::new();
    let load = || Model::load("chorale", ModelSource::Bundled, partita_nn::Precision::Int8).expect("bundled");
    let checked = try_check(verb, body)?;
    assert_eq!(checked.model, "chorale@1");
    play(&checked.request, Some(MODEL.get_or_init(load)), &HashMap::new(), ear)
}

fn made(verb: &str, body: &Value) -> Made {
    heard(verb, body, &mut Ear::default()).expect("sings")
}

fn score(made: &Made) -> Score {
    midi::read(file(made, ".mid")).expect("MIDI")
}

/// Notes of a track that begin in a bar of four quarters, or in any.
fn notes(score: &Score, track: &str, bar: Option<u32>) -> Vec<Note> {
    let length = 4 * u32::from(score.ppq.get());
    let track = score.tracks.iter().find(|it| it.name.eq_ignore_ascii_case(track)).expect("a track");
    track.notes.iter().filter(|note| bar.is_none_or(|bar| note.onset.0 / length == bar)).copied().collect()
}

const VOICES: [&str; 4] = ["soprano", "alto", "tenor", "bass"];

#[test]
fn four_new_voices_obey_and_are_the_same_each_time() {
    let body = json!({ "model": "chorale", "key": "G minor", "time_signature": [3, 4], "bars": 4, "max_leap": 7,
        "forbid": ["Eb"], "variations": 2, "seed": 5 });
    let mut ear = Ear::default();
    let first = heard("generate", &body, &mut ear).expect("sings");
    assert_eq!(made("generate", &body).files, first.files);
    let score = score(&first);
    let length = 12 * u32::from(score.ppq.get());
    for voice in VOICES {
        let notes = notes(&score, voice, None);
        assert!(
            notes.iter().all(|note| [7, 9, 10, 0, 2, 5].contains(&(note.pitch % 12))),
            "{voice}: {notes:?}"
        );
        assert!(
            notes.windows(2).all(|pair| pair[0].pitch.abs_diff(pair[1].pitch) <= 7),
            "{voice}: {notes:?}"
        );
        assert_eq!(notes.last().expect("notes").end.0, length, "{voice} is four bars long");
    }
    assert_eq!(notes(&score, "bass", None).last().expect("notes").pitch % 12, 7, "it ends on the tonic");
    let told: Vec<_> =
        ear.bars.iter().filter(|(take, ..)| *take == 0).flat_map(|(_, _, notes)| notes).collect();
    assert_eq!(told.len(), first.outcome.notes.as_ref().expect("notes").len());
    assert!(first.outcome.chords.expect("what is heard").len() > 4);
    assert_eq!(first.outcome.takes.len(), 2);
    assert!(first.outcome.metrics.tokens == 2 * 48 * 4 && first.outcome.takes[0].nats > Some(0.0));
}

#[test]
fn a_melody_keeps_its_notes_under_new_voices_and_bars_are_sung_anew_alone() {
    let tune = [67, 69, 71, 72, 74, 72, 71, 69, 67, 71, 74, 79, 78, 76, 74, 67];
    let tune: Vec<Value> = (0..)
        .zip(tune)
        .map(|(beat, pitch)| {
            json!({ "pitch": pitch, "start": beat, "duration": 1,
        "velocity": 77, "channel": 0 })
        })
        .collect();
    let body =
        json!({ "model": "chorale", "key": "G", "seed": 3, "input": { "notes": tune, "tempo": 72.5 } });
    let whole = made("harmonize", &body);
    let all = whole.outcome.notes.as_ref().expect("notes");
    for note in &tune {
        let kept = all.iter().filter(|other| {
            [json!(other.pitch), json!(other.start)] == [note["pitch"].clone(), json!(note["start"].as_f64())]
                && other.velocity == 77
        });
        assert_eq!(kept.count(), 1, "{note}");
    }
    assert_eq!((whole.outcome.tempo, whole.outcome.bars), (Some(72.5), Some(4)));
    let before = score(&whole);
    assert_eq!(before.tracks.len(), 4);
    // The given voice has no name: as a soprano it is one of four.
    let mut named = before.clone();
    named.tracks[0].name = "Soprano".into();
    let input = json!({ "midi": STANDARD.encode(midi::write(&named)) });
    let body = json!({ "model": "chorale", "bars": [2, 2], "seed": 8, "input": input });
    let after = score(&made("infill", &body));
    let mut changed = false;
    for voice in VOICES {
        for bar in [0, 2, 3] {
            assert_eq!(
                notes(&after, voice, Some(bar)),
                notes(&named, voice, Some(bar)),
                "{voice} in bar {bar}"
            );
        }
        changed |= notes(&after, voice, Some(1)) != notes(&named, voice, Some(1));
    }
    assert!(changed);
    // Of one voice alone.
    let alto = 1 + named.tracks.iter().position(|track| track.name == "Alto").expect("an alto");
    let mut one = body;
    one["track"] = json!(alto);
    let after = score(&made("infill", &one));
    for voice in VOICES.into_iter().filter(|voice| *voice != "alto") {
        assert_eq!(notes(&after, voice, None), notes(&named, voice, None), "{voice}");
    }
}

#[test]
fn what_four_voices_cannot_sing_is_refused_at_its_fields() {
    let asked = |more: Value| {
        let mut body = json!({ "model": "chorale" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        pointers("generate", body)
    };
    assert_eq!(
        asked(json!({ "chords": "C F", "style": "pop", "swing": 0.6 })),
        ["#/swing", "#/style", "#/chords"]
    );
    assert_eq!(asked(json!({ "time_signature": [8, 4], "bars": 32 })), ["#/bars"]);
    assert_eq!(asked(json!({ "key": "H", "max_leap": 0 })), ["#/key", "#/max_leap"]);
    // No bass without its tonic.
    assert_eq!(asked(json!({ "key": "G", "forbid": ["G"] })), ["#/forbid", "#/cadence"]);
    let notes = json!([{ "pitch": 60, "start": 0, "duration": 4, "velocity": 80, "channel": 0 }]);
    let body = json!({ "model": "chorale", "input": { "notes": notes }, "chords_per_bar": 2 });
    assert_eq!(pointers("harmonize", body), ["#/chords_per_bar"]);
    let fault = try_check("infill", &json!({ "model": "chorale", "input": { "notes": notes } }))
        .expect_err("one voice");
    assert_eq!(fault.errors[0].pointer, "#/input/notes");
    assert!(fault.errors[0].detail.contains("soprano, alto, tenor, bass"), "{fault:?}");
    assert_eq!(pointers("continue", json!({ "model": "chorale", "input": { "notes": notes } })), ["#/model"]);
    let mut ear = Ear { stop_after: Some(3), ..Ear::default() };
    let fault = heard("generate", &json!({ "model": "chorale", "bars": 16 }), &mut ear).expect_err("stopped");
    assert_eq!(fault.code, Code::Cancelled);
}
