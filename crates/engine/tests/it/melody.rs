//! Lead sheets from end to end, with the bundled writer.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use partita_engine::family::{Change, Checked, Made, Model, ModelSource, Report, check, play};
use partita_engine::{Code, Config, Fault, Note, Outcome, Registry, Request};
use partita_score::{Score, midi, notation};
use serde_json::{Value, json};

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    let load = || Model::load("melody", ModelSource::Bundled, partita_nn::Precision::Int8).expect("bundled");
    MODEL.get_or_init(load)
}

pub(super) fn try_check(verb: &str, body: &Value) -> Result<Checked, Fault> {
    static REGISTRY: OnceLock<(tempfile::TempDir, Registry, Config)> = OnceLock::new();
    let (_, registry, config) = REGISTRY.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.models.dir = folder.path().to_owned();
        config.storage.data_dir = folder.path().join("data");
        (folder, Registry::open(&config).expect("a folder"), config)
    });
    let request: Request =
        serde_json::from_value(json!({ "verb": verb, "body": body })).expect("well formed");
    check(request, registry, config)
}

/// Bars by variation; stops after so many calls, and changes the sampling once.
#[derive(Default)]
pub(super) struct Ear {
    pub(super) bars: Vec<(usize, u32, Vec<Note>)>,
    /// Calls before each bar.
    pub(super) when: Vec<usize>,
    pub(super) calls: usize,
    pub(super) stop_after: Option<usize>,
    pub(super) change: Option<Change>,
}

impl Report for Ear {
    fn progress(&mut self, _: &str, fraction: f64, _: u64, _: u64) -> ControlFlow<()> {
        assert!((0.0..=1.0).contains(&fraction));
        self.calls += 1;
        if self.stop_after.is_some_and(|calls| self.calls > calls) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn notes(&mut self, _: Option<usize>, variation: usize, bar: u32, _: f64, notes: Vec<Note>) {
        self.bars.push((variation, bar, notes));
        self.when.push(self.calls);
    }

    fn sampling(&mut self) -> Option<Change> {
        self.change.take()
    }
}

fn heard(verb: &str, body: &Value, ear: &mut Ear) -> Result<Made, Fault> {
    play(&try_check(verb, body)?.request, Some(model()), &HashMap::new(), ear)
}

fn made(verb: &str, body: &Value) -> Made {
    heard(verb, body, &mut Ear::default()).expect("plays")
}

pub(super) fn file<'a>(made: &'a Made, ending: &str) -> &'a [u8] {
    &made.files.iter().find(|file| file.name.ends_with(ending)).expect(ending).bytes
}

/// `(onset in beats, pitch)` of a track.
fn line(score: &Score, track: &str) -> Vec<(f64, u8)> {
    let track = score.tracks.iter().find(|it| it.name == track).expect("is there");
    track.notes.iter().map(|note| (note.onset.beats(score.ppq).0, note.pitch)).collect()
}

fn melody(outcome: &Outcome) -> Vec<(f64, u8)> {
    let notes = outcome.notes.as_ref().expect("notes").iter().filter(|note| note.channel == 0);
    notes.map(|note| (note.start, note.pitch)).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "bodies are written where they are asked")]
pub(super) fn pointers(verb: &str, body: Value) -> Vec<String> {
    let fault = try_check(verb, &body).expect_err("refused");
    fault.errors.into_iter().map(|problem| problem.pointer).collect()
}

/// Four bars of a scale, as a file.
fn given() -> (Score, String) {
    let pitches = [60, 62, 64, 65, 67, 65, 64, 62, 60, 64, 67, 72, 71, 67, 65, 62];
    let notes = pitches
        .iter()
        .enumerate()
        .map(|(beat, pitch)| json!({ "pitch": pitch, "start": beat, "duration": 0.9, "velocity": 77 }));
    let text = json!({ "tempo": 92.0, "time_signature": [4, 4],
        "tracks": [{ "name": "tune", "channel": 0, "program": 73, "notes": notes.collect::<Vec<_>>() }] });
    let score = notation::read(text.to_string().as_bytes(), notation::Format::Notes).expect("notes");
    let bytes = midi::write(&score);
    (midi::read(&bytes).expect("its own"), STANDARD.encode(bytes))
}

#[test]
fn one_call_gives_a_melody_with_chords_in_every_format_and_they_agree() {
    let body = json!({
        "model": "melody", "seed": 7, "bars": 4, "time_signature": [3, 4], "key": "D minor", "range": [60, 79],
        "progression": "i-iv-V-i", "notes_per_bar": [1, 6], "forbid": ["G#"], "require": ["A4"],
        "output_format": "research", "files": ["mid", "musicxml", "abc", "json", "svg"],
    });
    let made = made("generate", &body);
    let take = &made.outcome.takes[0];
    let scale = [2, 4, 5, 7, 9, 10, 0];
    let tune = melody(&made.outcome);
    assert!(tune.len() >= 4 && tune.iter().all(|(_, pitch)| (60..=79).contains(pitch)), "{tune:?}");
    assert!(tune.iter().all(|(_, pitch)| scale.contains(&(pitch % 12))), "{tune:?}");
    assert!(tune.iter().any(|(_, pitch)| *pitch == 69) && tune.last().expect("notes").1 % 12 == 2);
    let chords = take.chords.as_ref().expect("chords");
    assert_eq!((chords[0].start, chords[0].chord.as_str(), chords.len()), (0.0, "Dm", 4));
    let tokens = take.tokens.as_ref().expect("tokens");
    assert!(tokens.len() > tune.len() && take.prompt.is_some() && take.cost_nats.is_some());
    let whole = midi::read(file(&made, ".mid")).expect("MIDI");
    let inline = STANDARD.decode(take.midi.as_ref().expect("midi")).expect("base64");
    assert_eq!(midi::read(&inline).expect("MIDI"), whole);
    assert_eq!(line(&whole, "melody"), tune);
    assert!(!line(&whole, "chords").is_empty());
    for (ending, format) in [(".musicxml", notation::Format::MusicXml), (".abc", notation::Format::Abc)] {
        let read = notation::read(file(&made, ending), format).expect(ending);
        let first = read.tracks.first().expect("a track");
        let onsets: Vec<u8> = first.notes.iter().map(|note| note.pitch).collect();
        assert_eq!(onsets, tune.iter().map(|(_, pitch)| *pitch).collect::<Vec<_>>(), "{ending}");
    }
    // What the model looked at, a row for each token it wrote.
    let attention =
        partita_nn::Tensors::from_bytes(file(&made, "attention.safetensors").to_vec()).expect("tensors");
    let shape = attention.shape("attention.0").expect("a layer");
    assert_eq!(shape[1..], [tokens.len(), tokens.len() + take.prompt.as_ref().expect("told").len()]);
    assert!(file(&made, "attention.svg").starts_with(b"<svg"));
    let object: Value = serde_json::from_slice(file(&made, ".json")).expect("JSON");
    assert_eq!(object["chords"][0]["chord"], "Dm");
}

#[test]
fn the_same_request_gives_the_same_lead_sheet_and_every_bar_is_told() {
    let body =
        json!({ "model": "melody", "seed": 3, "bars": 3, "variations": 2, "mood": "sad", "key": "A minor" });
    let mut ear = Ear::default();
    let first = heard("generate", &body, &mut ear).expect("plays");
    let again = made("generate", &body);
    assert_eq!((&first.files, &first.outcome.takes), (&again.files, &again.outcome.takes));
    assert_ne!(first.outcome.takes[0].notes, first.outcome.takes[1].notes);
    // Variations are written side by side.
    ear.bars.sort_by_key(|(variation, ..)| *variation);
    let told: Vec<(usize, u32)> = ear.bars.iter().map(|(variation, bar, _)| (*variation, *bar)).collect();
    assert_eq!(told, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
    let notes =
        ear.bars.iter().filter(|(variation, ..)| *variation == 1).flat_map(|(.., notes)| notes.clone());
    assert_eq!(Some(notes.collect::<Vec<_>>()), first.outcome.takes[1].notes);
}

#[test]
fn what_no_melody_can_meet_is_refused_at_the_fields_that_conflict() {
    let cases = [
        (json!({ "key": "C", "require": ["F#4"] }), vec!["#/key", "#/require"]),
        (json!({ "scale": "E blues", "range": [61, 61], "cadence": false }), vec!["#/range", "#/scale"]),
        (json!({ "forbid": ["60"], "require": ["C4"] }), vec!["#/forbid", "#/require"]),
        (json!({ "grid": "whole", "notes_per_bar": [2, 2] }), vec!["#/grid", "#/notes_per_bar"]),
    ];
    for (mut body, expected) in cases {
        body["model"] = json!("melody");
        let mut pointers = pointers("generate", body.clone());
        pointers.sort();
        assert_eq!(pointers, expected, "{body}");
    }
}

#[test]
fn a_field_that_cannot_be_read_or_used_is_told_where_it_is() {
    let cases = [
        (json!({ "key": "H minor" }), "#/key"),
        (json!({ "scale": "C of course" }), "#/scale"),
        (json!({ "range": [70, 60] }), "#/range"),
        (json!({ "range": [0, 127] }), "#/range"),
        (json!({ "grid": "swung" }), "#/grid"),
        (json!({ "notes_per_bar": [4, 2] }), "#/notes_per_bar"),
        (json!({ "strong_beats": "always" }), "#/strong_beats"),
        (json!({ "forbid": ["C4", "X"] }), "#/forbid/1"),
        (json!({ "require": ["A", "B", "C", "D", "E", "F"] }), "#/require"),
        (json!({ "chords": "Cm7 Qx" }), "#/chords"),
        (json!({ "progression": "ii-V", "chords": "C" }), "#/progression"),
        (json!({ "mood": "hungry" }), "#/mood"),
        (json!({ "repetition_penalty": 3 }), "#/repetition_penalty"),
        (json!({ "style": "polka" }), "#/style"),
        (json!({ "bars": 33 }), "#/bars"),
        (json!({ "kit": ["kick"] }), "#/kit"),
        (json!({ "prompt": "a song" }), "#/prompt"),
        (json!({ "swing": 0.6 }), "#/swing"),
        (json!({ "files": ["mid", "mid"] }), "#/files/1"),
    ];
    for (mut body, pointer) in cases {
        body["model"] = json!("melody");
        assert_eq!(pointers("generate", body.clone()), [pointer], "{body}");
    }
    let drums = json!({ "model": "drums", "chords": "C F", "max_leap": 4, "output_format": "research" });
    assert_eq!(pointers("generate", drums), ["#/max_leap", "#/chords", "#/output_format"]);
}

#[test]
fn what_only_a_melody_can_obey_chooses_the_writer() {
    let model = |verb: &str, body: Value| try_check(verb, &body).expect("fine").model;
    assert_eq!(model("generate", json!({ "chords": "C | F | G" })), "melody@1");
    assert_eq!(model("generate", json!({ "style": "funk" })), "drums@1");
    assert_eq!(
        model("batch", json!({ "requests": [{ "range": [60, 72] }, { "no_chords": true }] })),
        "melody@1"
    );
}

#[test]
fn seed_notes_stay_and_the_piece_goes_on_after_them() {
    let seeds = [(0.0, 62), (1.0, 65), (2.0, 69), (4.0, 67)];
    let notes: Vec<Value> = seeds
        .iter()
        .map(|(start, pitch)| json!({ "pitch": pitch, "start": start, "duration": 1, "velocity": 80 }))
        .collect();
    let body = json!({ "model": "melody", "seed": 5, "bars": 2, "key": "D minor", "seed_notes": notes });
    let mut ear = Ear::default();
    let made = heard("generate", &body, &mut ear).expect("plays");
    assert_eq!(made.outcome.bars, Some(4));
    let tune = melody(&made.outcome);
    assert_eq!(tune[..4], seeds);
    assert!(tune.len() > 4 && tune[4..].iter().all(|(start, _)| (8.0..16.0).contains(start)), "{tune:?}");
    assert_eq!(ear.bars.iter().map(|(_, bar, _)| *bar).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_file_goes_on_in_its_own_metre_tempo_and_key() {
    let (score, midi) = given();
    let body =
        json!({ "model": "melody", "seed": 2, "bars": 2, "input": { "midi": midi }, "files": ["mid"] });
    let made = made("continue", &body);
    assert_eq!((made.outcome.bars, made.outcome.tempo), (Some(6), Some(92.0)));
    let whole = midi::read(file(&made, ".mid")).expect("MIDI");
    let notes = &whole.tracks[0].notes;
    assert_eq!(notes[..16], score.tracks[0].notes);
    let end = score.ppq.get() * 4 * 4;
    assert!(notes.len() > 16 && notes[16..].iter().all(|note| note.onset.0 >= u32::from(end)), "{notes:?}");
    let mut only = body;
    only["only_new"] = json!(true);
    let only = self::made("continue", &only);
    assert_eq!((only.outcome.bars, melody(&only.outcome).len()), (Some(2), notes.len() - 16));
}

#[test]
fn bars_are_written_anew_and_all_else_stays() {
    let (score, midi) = given();
    let body =
        json!({ "model": "melody", "seed": 4, "bars": [2, 3], "input": { "midi": midi }, "chords": "C G" });
    let made = made("infill", &body);
    let whole = midi::read(file(&made, ".mid")).expect("MIDI");
    let inside = |note: &&partita_score::Note| (4.0..12.0).contains(&note.onset.beats(score.ppq).0);
    let split = |score: &Score| -> (Vec<_>, Vec<_>) {
        score.tracks[0].notes.clone().into_iter().partition(|it| inside(&it))
    };
    let ((new, kept), (old, rest)) = (split(&whole), split(&score));
    assert_eq!(kept, rest);
    assert_ne!(new, old);
    assert!(!new.is_empty());
    assert_eq!(
        pointers("infill", json!({ "model": "melody", "bars": [2, 5], "input": { "midi": given().1 } })),
        ["#/bars"]
    );
}

#[test]
fn only_notes_of_the_pitches_asked_for_are_written_anew() {
    let (score, midi) = given();
    let infill = |more: Value| {
        let mut body = json!({ "model": "melody", "seed": 8, "bars": [1, 4], "input": { "midi": midi } });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let made = made("infill", &infill(json!({ "pitches": [64, 72] })));
    let whole = midi::read(file(&made, ".mid")).expect("MIDI");
    let split = |score: &Score| -> (Vec<_>, Vec<_>) {
        score.tracks[0].notes.clone().into_iter().partition(|note| (64..=72).contains(&note.pitch))
    };
    let ((new, kept), (old, rest)) = (split(&whole), split(&score));
    assert_eq!(kept, rest);
    assert_ne!(new, old);
    assert!(!new.is_empty());
    for (more, pointer) in [
        (json!({ "pitches": [72, 64] }), "#/pitches"),
        (json!({ "pitches": [100, 108] }), "#/pitches"),
        (json!({ "pitches": [60, 64], "range": [66, 72] }), "#/pitches"),
        (json!({ "pitches": [70, 72], "require": ["D#4"], "key": "any" }), "#/pitches"),
        (json!({ "track": 2 }), "#/track"),
    ] {
        let pointers = pointers("infill", infill(more.clone()));
        assert!(pointers.iter().any(|it| it == pointer), "{more}: {pointers:?}");
    }
    let drums = json!({ "model": "drums", "input": { "midi": midi }, "track": 1, "pitches": [60, 61] });
    assert_eq!(pointers("infill", drums)[..2], ["#/track", "#/pitches"]);
    let body = json!({ "input": { "midi": midi }, "pitches": [60, 72] });
    assert_eq!(try_check("infill", &body).expect("fine").model, "melody@1");
}

#[test]
fn the_melody_is_in_the_track_that_was_named() {
    let mut score = given().0;
    let mut low = score.tracks[0].clone();
    low.name = "second".into();
    low.channel = 1;
    low.notes.iter_mut().for_each(|note| note.pitch -= 5);
    score.tracks.push(low);
    let midi = STANDARD.encode(midi::write(&score));
    let infill = |track: usize| {
        let body = json!({ "model": "melody", "seed": 8, "bars": [2, 3], "track": track, "input": { "midi": midi } });
        midi::read(file(&made("infill", &body), ".mid")).expect("MIDI")
    };
    for (track, other) in [(0, 1), (1, 0)] {
        let whole = infill(track + 1);
        assert_ne!(whole.tracks[track].notes, score.tracks[track].notes);
        assert_eq!(whole.tracks[other].notes, score.tracks[other].notes);
    }
}

/// What is told of new bars is what is in the answer. Whether some were told before the last was written.
fn streams(verb: &str, body: &Value, bars: std::ops::Range<u32>) -> bool {
    let mut ear = Ear::default();
    let made = heard(verb, body, &mut ear).expect("plays");
    let [numerator, denominator] = made.outcome.time_signature.expect("a metre");
    let length = f64::from(numerator) * 4.0 / f64::from(denominator);
    let inside =
        |note: &&Note| (f64::from(bars.start) * length..f64::from(bars.end) * length).contains(&note.start);
    for (variation, take) in made.outcome.takes.iter().enumerate() {
        let told: Vec<_> = ear.bars.iter().filter(|(told, ..)| *told == variation).collect();
        assert_eq!(told.iter().map(|(_, bar, _)| *bar).collect::<Vec<_>>(), bars.clone().collect::<Vec<_>>());
        let notes: Vec<Note> = told.iter().flat_map(|(.., notes)| notes.clone()).collect();
        let whole = take.notes.as_ref().expect("notes");
        assert_eq!(notes, whole.iter().filter(inside).cloned().collect::<Vec<_>>(), "{verb} {variation}");
    }
    ear.when[0] < ear.when[ear.when.len() - 1]
}

#[test]
fn bars_are_told_while_later_ones_are_written_and_never_change() {
    let midi = given().1;
    let input = json!({ "midi": midi });
    let mut early = vec![];
    for seed in [1, 2] {
        let body = json!({ "model": "melody", "seed": seed, "bars": 8, "variations": 2 });
        early.push(streams("generate", &body, 0..8));
        let body = json!({ "model": "melody", "seed": seed, "bars": 8, "time_signature": [7, 8],
            "no_chords": true, "grid": "free" });
        early.push(streams("generate", &body, 0..8));
        let body = json!({ "model": "melody", "seed": seed, "bars": 8, "chords": "C Am | F | G7" });
        early.push(streams("generate", &body, 0..8));
        let mut body =
            json!({ "model": "melody", "seed": seed, "bars": 8, "input": input, "progression": "I-IV" });
        early.push(streams("continue", &body, 4..12));
        body["only_new"] = json!(true);
        early.push(streams("continue", &body, 0..8));
        let body = json!({ "model": "melody", "seed": seed, "bars": 8, "input": input });
        early.push(streams("continue", &body, 4..12));
        let body = json!({ "model": "melody", "seed": seed, "input": input, "pitches": [60, 67] });
        early.push(streams("infill", &body, 0..4));
        let body = json!({ "seed": seed, "input": input, "chords_per_bar": 2 });
        early.push(streams("harmonize", &body, 0..4));
    }
    // A machine under load may tell all of a short piece at once.
    assert!(early.contains(&true), "nothing was told before its end");
}

#[test]
fn a_melody_gets_chords_and_stays_as_it_is() {
    let (score, midi) = given();
    let body = json!({ "seed": 6, "input": { "midi": midi }, "key": "C", "chords_per_bar": 1 });
    assert_eq!(try_check("harmonize", &body).expect("fine").model, "melody@1");
    let made = made("harmonize", &body);
    let whole = midi::read(file(&made, ".mid")).expect("MIDI");
    assert_eq!(whole.tracks[0].notes, score.tracks[0].notes);
    let chords = made.outcome.chords.as_ref().expect("chords");
    assert!(
        (1..=4).contains(&chords.len()) && chords.iter().all(|chord| chord.start % 4.0 == 0.0),
        "{chords:?}"
    );
    let scale = [0, 2, 4, 5, 7, 9, 11];
    assert!(line(&whole, "chords").iter().all(|(_, pitch)| scale.contains(&(pitch % 12))));
    assert_eq!(pointers("harmonize", json!({ "input": { "midi": given().1 }, "key": "X" })), ["#/key"]);
    assert_eq!(
        pointers("harmonize", json!({ "input": { "midi": given().1 }, "model": "drums" })),
        ["#/model"]
    );
}

#[test]
fn requests_of_a_batch_share_their_steps() {
    let item = |seed: u64| json!({ "model": "melody", "seed": seed, "bars": 4 });
    let alone: Vec<Outcome> = (0..4).map(|seed| made("generate", &item(seed)).outcome).collect();
    let before = model().counts();
    let batch = made("batch", &json!({ "requests": (0..4).map(item).collect::<Vec<_>>() }));
    let after = model().counts();
    // Other tests play on the same model; meanwhile they share these steps too.
    let (steps, stepped) = (after.steps - before.steps, after.stepped - before.stepped);
    assert!(3 * steps < 2 * stepped, "{steps} steps for {stepped} tokens");
    for (item, alone) in batch.outcome.items.iter().zip(&alone) {
        let result = item.result.as_ref().expect("made");
        assert_eq!((&result.notes, &result.chords), (&alone.notes, &alone.chords));
    }
}

#[test]
fn a_melody_can_be_stopped_and_its_sampling_changed() {
    let body = json!({ "model": "melody", "seed": 1, "bars": 8 });
    let mut ear = Ear { stop_after: Some(1), ..Ear::default() };
    assert_eq!(heard("generate", &body, &mut ear).expect_err("stopped").code, Code::Cancelled);
    let mut ear =
        Ear { change: Some(Change { temperature: Some(3.0), ..Change::default() }), ..Ear::default() };
    let changed = heard("generate", &body, &mut ear).expect("plays");
    assert!(changed.outcome.updated && changed.outcome.notes != made("generate", &body).outcome.notes);
}
