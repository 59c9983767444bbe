//! Songs from end to end: three models that play together, each shared with others.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use partita_engine::{Config, Engine, Live, Order, Outcome, Request};
use partita_queue::State;
use partita_score::{Score, midi};
use serde_json::{Value, json};

use super::melody::{pointers, try_check};

/// Long enough for a machine under load, short enough to see a test that hangs.
const LONG: Duration = Duration::from_secs(60);

async fn engine(dir: &Path) -> Engine {
    let mut config = Config::default();
    config.storage.data_dir = dir.join("data");
    config.storage.min_free_mb = 0;
    config.models.dir = dir.join("models");
    config.models.warm = vec![];
    Engine::start(Arc::new(Live::fixed(config))).await.expect("an engine")
}

async fn play(engine: &Engine, verb: &str, body: &Value) -> Outcome {
    let request: Request =
        serde_json::from_value(json!({ "verb": verb, "body": body })).expect("well formed");
    let job = engine.submit(request, Order::default()).await.expect("accepted").job;
    let job = engine.finished(&job.new.id, LONG).await.expect("a job");
    assert_eq!(job.state, State::Complete, "{:?}", job.error);
    serde_json::from_value(job.result.expect("a result")).expect("an outcome")
}

async fn score(engine: &Engine, outcome: &Outcome) -> Score {
    let file = outcome.files.iter().find(|file| file.name.ends_with(".mid")).expect("a MIDI file");
    let bytes = engine.artifacts().read(&file.file_id, 0..file.bytes).await.expect("bytes");
    midi::read(&bytes).expect("MIDI")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_song_has_aligned_parts_in_its_key_and_the_same_bytes_beside_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = engine(dir.path()).await;
    let body = json!({ "style": "jazz", "key": "G minor", "bars": 4, "tempo": 120, "seed": 11, "stems": true,
        "chords": "Gm7 C7/Bb | Fmaj7 | Eb7/Db D7 | Gm", "bass": "model", "cadence": true });
    let alone = play(&engine, "song", &body).await;
    let whole = score(&engine, &alone).await;
    let names: Vec<&str> = whole.tracks.iter().map(|track| track.name.as_str()).collect();
    assert_eq!(names, ["melody", "chords", "bass", "drums"]);
    let bar = 4 * u32::from(whole.ppq.get());
    for track in &whole.tracks {
        assert!(!track.notes.is_empty(), "{}", track.name);
        let inside = track.notes.iter().all(|note| note.onset.0 < 4 * bar && note.end.0 <= 4 * bar);
        assert!(inside, "{} stays in four bars", track.name);
    }
    let melody = &whole.tracks[0].notes;
    assert!(melody.iter().all(|note| [7, 9, 10, 0, 2, 3, 5].contains(&(note.pitch % 12))), "{melody:?}");
    assert_eq!(melody.last().expect("notes").pitch % 12, 7, "the cadence");
    let by = alone.takes[0].made.as_ref().expect("who made it");
    assert_eq!([&by["melody"], &by["bass"], &by["drums"]], ["model", "model", "model"]);
    assert_eq!(by["chords"], "rule charleston");
    assert_eq!(alone.takes[0].chords.as_ref().expect("chords")[0].chord, "Gm7");
    assert_eq!(alone.files.iter().filter(|file| file.name.ends_with(".wav")).count(), 4);
    // Again, not out of the cache, while others play on the same models.
    let mut other = body.clone();
    other["variations"] = json!(2);
    let melody = json!({ "model": "melody", "bars": 8, "seed": 1 });
    let drums = json!({ "style": "funk", "bars": 8, "seed": 1 });
    let (beside, ..) = tokio::join!(
        play(&engine, "song", &other),
        play(&engine, "generate", &melody),
        play(&engine, "generate", &drums),
    );
    assert_eq!(beside.takes[0].notes, alone.takes[0].notes);
    assert_ne!(beside.takes[1].notes, alone.takes[0].notes);
}

#[test]
fn a_song_is_complete_before_it_is_played_and_refused_at_its_fields() {
    let checked = try_check("song", &json!({ "seed": 4, "comping": "model" })).expect("a song");
    let Request::Song(song) = &checked.request else { panic!("{checked:?}") };
    assert_eq!(checked.model, "melody@1");
    assert_eq!((song.drummer.as_deref(), song.arranger.as_deref()), (Some("drums@1"), Some("arrange@1")));
    assert_eq!((song.style.as_deref(), song.bars, song.key.as_deref()), (Some("pop"), Some(16), Some("C")));
    assert_eq!(checked.request.others(), ["drums@1", "arrange@1"]);
    let asked = |body: Value| pointers("song", body);
    assert_eq!(
        asked(json!({ "style": "polka", "bass": "tuba", "no_chords": true })),
        ["#/no_chords", "#/bass", "#/style"]
    );
    assert_eq!(asked(json!({ "drummer": "melody", "arranger": "arrange" })), ["#/drummer", "#/arranger"]);
    assert_eq!(asked(json!({ "drummer": "nobody" })), ["#/drummer"]);
    assert_eq!(asked(json!({ "model": "drums" })), ["#/model"]);
    assert_eq!(asked(json!({ "without": ["melody", "chords", "bass", "drums"] })), ["#/without"]);
    assert_eq!(asked(json!({ "without": ["drums", "drums"] })), ["#/without/1"]);
    assert_eq!(
        asked(json!({ "without": ["bass", "drums"], "bass": "roots", "fill": true })),
        ["#/bass", "#/fill"]
    );
    assert_eq!(asked(json!({ "require": ["C2"], "range": [60, 72] })), ["#/range", "#/require"]);
    assert_eq!(asked(json!({ "time_signature": [4, 3], "tempo": 20 })), ["#/tempo", "#/time_signature"]);
    assert_eq!(asked(json!({ "variations": 64, "bars": 32, "tempo": 40, "stems": true })), ["#/files"]);
}
