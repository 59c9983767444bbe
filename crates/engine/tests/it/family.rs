//! Requests played from end to end with the bundled drummer.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use partita_engine::family::{
    Change, Checked, Made, Model, ModelSource, Report, Sampling, check, compute, play,
};
use partita_engine::{Code, Config, Fault, Note, Outcome, Registry, Request};
use partita_models::drums::{self, Common, Drummer};
use partita_score::swing::{self, SwingUnit};
use partita_score::{DrumMap, Hit, Tick, edit, midi, quantize_drums};
use serde_json::{Value, json};

const PRECISION: partita_nn::Precision = partita_nn::Precision::Int8;
const INPUTS: [&str; 4] = [
    "drummer5-hiphop-87-4-4.mid",
    "drummer6-rock-80-6-8.mid",
    "drummer8-pop-138-4-4.mid",
    "drummer10-jazz-swing-215-4-4.mid",
];

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| Model::load("drums", ModelSource::Bundled, PRECISION).expect("bundled"))
}

fn checked(verb: &str, body: &Value) -> Checked {
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
    check(request, registry, config).expect("fine")
}

/// `(item, variation, bar, from_beat, notes)`
type Bar = (Option<usize>, usize, u32, f64, Vec<Note>);

/// Keeps what it is told; breaks off after so many calls.
#[derive(Default)]
struct Ear {
    fractions: Vec<f64>,
    stages: Vec<String>,
    bars: Vec<Bar>,
    stop_after: Option<usize>,
    change: Option<Change>,
}

impl Report for Ear {
    fn progress(&mut self, stage: &str, fraction: f64, _: u64, _: u64) -> ControlFlow<()> {
        self.fractions.push(fraction);
        if self.stages.last().is_none_or(|last| last != stage) {
            self.stages.push(stage.to_owned());
        }
        if self.stop_after.is_some_and(|calls| self.fractions.len() > calls) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn notes(&mut self, item: Option<usize>, variation: usize, bar: u32, from: f64, notes: Vec<Note>) {
        self.bars.push((item, variation, bar, from, notes));
    }

    fn sampling(&mut self) -> Option<Change> {
        self.change.take()
    }
}

fn try_play(verb: &str, body: &Value, ear: &mut Ear) -> Result<Made, Fault> {
    play(&checked(verb, body).request, Some(model()), &HashMap::new(), ear)
}

/// Plays with a listener; what took time is taken out of the answer.
fn heard(verb: &str, body: &Value) -> (Made, Ear) {
    let mut ear = Ear::default();
    let mut made = try_play(verb, body, &mut ear).expect("plays");
    timeless(&mut made.outcome);
    (made, ear)
}

fn made(verb: &str, body: &Value) -> Made {
    heard(verb, body).0
}

fn timeless(outcome: &mut Outcome) {
    outcome.metrics.generate_ms = 0.0;
    outcome.metrics.realtime_factor = None;
    for result in outcome.items.iter_mut().filter_map(|item| item.result.as_deref_mut()) {
        timeless(result);
    }
}

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/midi");
    std::fs::read(folder.join(name)).expect("a test file")
}

fn input(name: &str) -> Value {
    json!({ "midi": STANDARD.encode(file(name)) })
}

fn sorted(mut notes: Vec<Note>) -> Vec<Note> {
    notes.sort_by(|a, b| {
        a.start.total_cmp(&b.start).then(a.pitch.cmp(&b.pitch)).then(a.velocity.cmp(&b.velocity))
    });
    notes
}

fn common(drummer: &Drummer, style: &str, seed: u64) -> Common {
    let style = if style == "any" { drummer.any_style() } else { drummer.style(style).expect("known") };
    Common {
        style,
        seed,
        sampling: Sampling::default(),
        density: None,
        lanes: drums::ALL_LANES,
        velocities: 1..=127,
    }
}

/// What the command line plays alone, on the same functions.
fn alone(request: &drums::Generate) -> Vec<drums::Take> {
    let drummer = Drummer::bundled(PRECISION).expect("bundled");
    let mut watch = |_: &drums::Progress| ControlFlow::Continue(());
    drummer.generate(&compute().expect("cores"), request, &mut watch).expect("plays")
}

#[test]
fn generated_files_are_those_of_the_command_line() {
    let drummer = Drummer::bundled(PRECISION).expect("bundled");
    for (style, place, meter) in
        [("funk", None, "4/4"), ("j-dilla", Some(0.62), "4/4"), ("house", None, "7/8")]
    {
        let time: partita_score::Meter = meter.parse().expect("a metre");
        let request = drums::Generate {
            common: common(&drummer, style, 77),
            bars: 3,
            tempo: None,
            meter: time,
            fill: true,
            variations: 2,
        };
        let time = [u32::from(time.numerator), u32::from(time.denominator)];
        let body = json!({
            "style": style, "seed": 77, "bars": 3, "fill": true, "variations": 2, "swing": place,
            "time_signature": time, "files": ["mid"], "output_format": "full",
        });
        let (made, _) = heard("generate", &body);
        let takes = alone(&request);
        assert_eq!(made.files.len(), 2);
        for ((mut take, file), told) in takes.into_iter().zip(&made.files).zip(&made.outcome.takes) {
            if let Some(place) = place {
                swing::apply(&mut take.pattern, SwingUnit::Sixteenth, place).expect("in range");
            }
            let score = take.pattern.to_score();
            let bytes = midi::write(&score);
            assert!(file.bytes == bytes, "{style}");
            assert_eq!(STANDARD.decode(told.midi.as_ref().expect("asked for")).expect("base64"), bytes);
            assert_eq!((told.tokens.as_ref(), told.nats), (Some(&take.ids), Some(take.nats)));
            assert_eq!(told.notes.as_ref().expect("asked for").len(), score.tracks[0].notes.len());
        }
        let outcome = &made.outcome;
        assert_eq!(outcome.notes, outcome.takes[0].notes);
        assert_eq!((outcome.seed, outcome.bars, outcome.time_signature), (Some(77), Some(3), Some(time)));
        let bpm = outcome.tempo.expect("told");
        let name = format!("{style}-{bpm}bpm-3bars-s77-v2.mid");
        assert_eq!((made.files[1].name.as_str(), made.files[1].take), (name.as_str(), Some(1)));
    }
}

#[test]
fn playing_twice_gives_the_same_bytes_and_notes_agree_with_the_file() {
    let body =
        json!({ "style": "rock", "seed": 5, "bars": 2, "files": ["mid", "json", "svg", "png", "wav"] });
    let (first, ear) = heard("generate", &body);
    assert!(first == made("generate", &body));
    let endings: Vec<_> = first.files.iter().map(|file| file.name.rsplit('.').next().expect("one")).collect();
    assert_eq!(endings, ["mid", "json", "svg", "png", "wav"]);
    assert_eq!((&first.files[3].bytes[1..4], &first.files[4].bytes[..4]), (&b"PNG"[..], &b"RIFF"[..]));
    let json: Value = serde_json::from_slice(&first.files[1].bytes).expect("JSON");
    let notes = first.outcome.notes.as_ref().expect("notes");
    assert_eq!(json["notes"], json!(notes));
    let score = midi::read(&first.files[0].bytes).expect("MIDI");
    let beats = |ticks: u32| Tick(ticks).beats(score.ppq).0;
    let read: Vec<(f64, f64, u8, u8)> = score.tracks[0]
        .notes
        .iter()
        .map(|n| (beats(n.onset.0), beats(n.end.0 - n.onset.0), n.pitch, n.velocity))
        .collect();
    let told: Vec<_> = notes.iter().map(|n| (n.start, n.duration, n.pitch, n.velocity)).collect();
    assert_eq!(read.len(), told.len());
    assert!(told.iter().all(|note| read.contains(note)));
    assert_eq!(ear.stages, ["generate", "export", "render", "export"]);
    assert_eq!(
        first.outcome.duration_seconds,
        Some(round3(2.0 * 4.0 * 60.0 / first.outcome.tempo.expect("told")))
    );
}

fn round3(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[test]
fn progress_only_grows_and_ends_at_one() {
    let requests = [
        ("generate", json!({ "seed": 1, "bars": 4, "variations": 3, "files": ["mid", "wav"] })),
        ("humanize", json!({ "seed": 1, "input": input(INPUTS[2]) })),
        ("render", json!({ "input": input("drummer7-hiphop-100-4-4.mid") })),
        ("analyze", json!({ "input": input(INPUTS[0]) })),
        ("batch", json!({ "requests": [{ "seed": 1 }, { "seed": 2, "bars": 1 }] })),
    ];
    for (verb, body) in requests {
        let (_, ear) = heard(verb, &body);
        assert!(ear.fractions.windows(2).all(|pair| pair[0] <= pair[1]), "{verb} {:?}", ear.fractions);
        assert_eq!(ear.fractions.last(), Some(&1.0), "{verb}");
    }
}

#[test]
fn streamed_bars_are_the_notes_of_the_answer() {
    let requests = [
        json!({ "style": "funk", "bars": 6, "seed": 3, "variations": 3 }),
        json!({ "style": "jazz", "bars": 4, "seed": 4, "swing": 0.7 }),
        json!({ "style": "trap", "bars": 4, "seed": 5 }),
        json!({ "style": "house", "bars": 3, "seed": 6, "humanize": false }),
        json!({ "style": "j-dilla", "bars": 5, "seed": 7, "swing": 0.75, "time_signature": [7, 8] }),
    ];
    for body in requests {
        let (made, ear) = heard("generate", &body);
        for take in &made.outcome.takes {
            let own = ear.bars.iter().filter(|bar| bar.1 == take.variation);
            let bars: Vec<u32> = own.clone().map(|bar| bar.2).collect();
            assert_eq!(bars, (0..body["bars"].as_u64().expect("told") as u32).collect::<Vec<_>>(), "{body}");
            let streamed: Vec<Note> = own.flat_map(|bar| bar.4.clone()).collect();
            assert_eq!(sorted(streamed), sorted(take.notes.clone().expect("notes")), "{body}");
        }
        let beats =
            made.outcome.time_signature.map(|[a, b]| f64::from(a) * 4.0 / f64::from(b)).expect("told");
        assert!(ear.bars.iter().all(|bar| bar.3 == f64::from(bar.2) * beats));
    }
}

#[test]
fn without_humanizing_every_note_is_on_the_grid() {
    let made = made("generate", &json!({ "humanize": false, "seed": 9, "style": "j-dilla" }));
    for note in made.outcome.notes.expect("notes") {
        assert_eq!((note.start * 4.0).fract(), 0.0, "{note:?}");
    }
}

#[test]
fn seed_notes_are_played_on_from() {
    let note = |start: f64, pitch: u8| json!({ "pitch": pitch, "start": start, "duration": 0.25, "velocity": 100, "channel": 9 });
    let notes: Vec<Value> =
        (0..16).flat_map(|i| [note(f64::from(i) / 2.0, 42), note(f64::from(i), 36)]).collect();
    let body = json!({ "seed_notes": notes, "style": "rock", "bars": 2, "seed": 11, "tempo": 100 });
    let first = made("generate", &body);
    assert_eq!(first.outcome.bars, Some(2));
    let music = first.outcome.notes.as_ref().expect("notes");
    assert!(!music.is_empty() && music.iter().all(|note| note.start < 8.0));
    assert!(first == made("generate", &body));
    let without = made("generate", &json!({ "style": "rock", "bars": 2, "seed": 11, "tempo": 100 }));
    assert_ne!(first.outcome.notes, without.outcome.notes);
}

#[test]
fn continuing_keeps_the_piece_and_adds_what_the_command_line_adds() {
    let drummer = Drummer::bundled(PRECISION).expect("bundled");
    for name in INPUTS {
        let score = midi::read(&file(name)).expect("MIDI");
        let mut before = quantize_drums(&score, DrumMap::Gm).expect("drums").pattern;
        let tick = |step: u32| Tick((f64::from(step) * f64::from(score.ppq.get()) / 4.0).round() as u32);
        before.tempo = score.tempos.bpm_at(tick(before.steps()));
        let (meter, start) = (before.meter, before.steps());
        let request = drums::Continue {
            common: common(&drummer, "any", 21),
            before: before.clone(),
            bars: 2,
            fill: false,
            variations: 1,
        };
        let mut watch = |_: &drums::Progress| ControlFlow::Continue(());
        let takes =
            drummer.continue_pattern(&compute().expect("cores"), &request, &mut watch).expect("plays");
        let hits: Vec<Hit> =
            takes[0].pattern.hits.iter().map(|hit| Hit { step: hit.step + start, ..*hit }).collect();
        let mut expected = edit::replace_hits(&score, &[], &hits);
        edit::hold_meter(&mut expected, meter, tick(start + takes[0].pattern.steps()));

        let body = json!({ "input": input(name), "seed": 21, "bars": 2 });
        let (made, ear) = heard("continue", &body);
        assert!(made.files[0].bytes == midi::write(&expected), "{name}");
        assert_eq!(made.outcome.bars, Some(before.bars + 2));
        let bars: Vec<u32> = ear.bars.iter().map(|bar| bar.2).collect();
        assert_eq!(bars, [before.bars, before.bars + 1], "{name}");
        // All old notes are there, and every streamed one.
        let notes = made.outcome.notes.as_ref().expect("notes");
        let old = score.tracks.iter().map(|track| track.notes.len()).sum::<usize>();
        let new: Vec<&Note> = ear.bars.iter().flat_map(|bar| &bar.4).collect();
        assert_eq!(notes.len(), old + new.len(), "{name}");
        let same = |a: &Note, b: &Note| (a.start, a.pitch, a.velocity) == (b.start, b.pitch, b.velocity);
        assert!(new.iter().all(|new| notes.iter().any(|note| same(new, note))), "{name}");

        let only = json!({ "input": input(name), "seed": 21, "bars": 2, "only_new": true });
        let (made, _) = heard("continue", &only);
        assert!(made.files[0].bytes == midi::write(&takes[0].pattern.to_score()), "{name}");
        assert_eq!(made.outcome.bars, Some(2));
    }
}

#[test]
fn infilling_changes_the_bars_and_drums_asked_for_and_nothing_else() {
    for name in INPUTS {
        let score = midi::read(&file(name)).expect("MIDI");
        let before = quantize_drums(&score, DrumMap::Gm).expect("drums").pattern;
        if before.bars < 2 {
            continue;
        }
        let body = json!({ "input": input(name), "bars": [2, 2], "kit": ["hihat", "ride"], "seed": 8 });
        let first = made("infill", &body);
        assert!(first == made("infill", &body));
        let after = midi::read(&first.files[0].bytes).expect("MIDI");
        let after = quantize_drums(&after, DrumMap::Gm).expect("drums").pattern;
        let steps = before.meter.steps_per_bar();
        let open = |hit: &&Hit| {
            let name = hit.class.name();
            hit.step / steps == 1 && ["closed-hat", "open-hat", "ride"].contains(&name)
        };
        let kept = |hits: &[Hit]| hits.iter().filter(|hit| !open(hit)).copied().collect::<Vec<_>>();
        assert_eq!(kept(&before.hits), kept(&after.hits), "{name}");
        let opened = |hits: &[Hit]| hits.iter().filter(open).copied().collect::<Vec<_>>();
        assert_ne!(opened(&before.hits), opened(&after.hits), "{name}");
    }
}

#[test]
fn humanizing_keeps_every_note_and_nothing_moves_at_amount_zero() {
    for name in INPUTS {
        let still = made("humanize", &json!({ "input": input(name), "amount": 0.0, "seed": 1 }));
        assert!(still.files[0].bytes == file(name), "{name}");
        let moved = made("humanize", &json!({ "input": input(name), "seed": 1, "output_format": "full" }));
        let pitches = |made: &Made| {
            let notes = made.outcome.notes.as_ref().expect("notes").iter();
            let mut pitches: Vec<u8> = notes.map(|note| note.pitch).collect();
            pitches.sort_unstable();
            pitches
        };
        assert_eq!(pitches(&still), pitches(&moved), "{name}");
        assert_ne!(still.outcome.notes, moved.outcome.notes, "{name}");
        assert!(moved.outcome.takes[0].midi.is_some() && moved.outcome.takes[0].tokens.is_none());
    }
    let straight: Vec<Value> = (0..16)
        .map(|i| json!({ "pitch": 42, "start": f64::from(i) / 4.0, "duration": 0.1, "velocity": 80, "channel": 9 }))
        .collect();
    let body = json!({ "input": { "notes": straight }, "amount": 0.0, "swing": 0.6, "seed": 1 });
    let notes = made("humanize", &body).outcome.notes.expect("notes");
    // The off-beat of a pair of sixteenths (half a beat) is at 0.6 of it.
    assert!((notes[1].start - 0.3).abs() < 1.0 / 480.0 && notes[2].start == 0.5, "{:?}", &notes[..3]);
}

#[test]
fn rendering_gives_the_sound_and_the_file_as_it_came() {
    let name = "drummer7-hiphop-100-4-4.mid";
    let body =
        json!({ "input": input(name), "files": ["wav", "mid"], "sound": "808", "sample_rate": 22_050 });
    let made = made("render", &body);
    assert!(made.files[1].bytes == file(name));
    let score = midi::read(&file(name)).expect("MIDI");
    let options = partita_audio::RenderOptions {
        sample_rate: 22_050,
        voice: partita_audio::Voice::Kit(partita_audio::Kit::Analog808),
        ..partita_audio::RenderOptions::default()
    };
    let pcm = partita_audio::render(&score, &options).expect("sounds");
    let wav = partita_audio::wav::wav_bytes(&pcm, partita_audio::WavFormat::Int16).expect("fits");
    assert!(made.files[0].bytes == wav);
    assert!(made.outcome.notes.is_none() && made.outcome.seed.is_none());
}

#[test]
fn an_analysis_tells_what_is_in_the_file() {
    let made = made("analyze", &json!({ "input": input("drummer6-rock-80-6-8.mid") }));
    let analysis = made.outcome.analysis.expect("asked for");
    assert_eq!((analysis.time_signature, analysis.tempo.round()), ([6, 8], 80.0));
    let score = midi::read(&file("drummer6-rock-80-6-8.mid")).expect("MIDI");
    assert_eq!(analysis.tracks.len(), score.tracks.len());
    assert_eq!(analysis.tracks[0].notes, score.tracks[0].notes.len());
    assert!(analysis.density.is_some() && analysis.grid.expect("drums").contains("kick"));
    assert!(made.files.is_empty() && analysis.bars > 0 && analysis.duration_seconds > 0.0);
}

#[test]
fn a_batch_gives_what_its_requests_give_alone() {
    let requests: Vec<Value> = ["funk", "trap", "jazz", "rock", "house"]
        .iter()
        .enumerate()
        .map(|(i, style)| {
            json!({ "style": style, "seed": 40 + i, "bars": 1 + i % 3, "custom_id": format!("n{i}"), "variations": 1 + i % 2 })
        })
        .collect();
    let (batch, ear) = heard("batch", &json!({ "requests": requests, "jsonl": true }));
    let outcome = &batch.outcome;
    let counts = outcome.request_counts.expect("a batch");
    assert_eq!((counts.total, counts.completed, counts.failed), (5, 5, 0));
    for (index, request) in requests.iter().enumerate() {
        let single = made("generate", request);
        let item = &outcome.items[index];
        assert_eq!((item.index, item.custom_id.as_deref()), (index, request["custom_id"].as_str()));
        assert!(item.result.as_deref() == Some(&single.outcome), "{request}");
        let files: Vec<_> = batch.files.iter().filter(|file| file.item == Some(index)).collect();
        assert_eq!(files.len(), single.files.len());
        assert!(
            files
                .iter()
                .zip(&single.files)
                .all(|(a, b)| (&a.name, &a.bytes, a.take) == (&b.name, &b.bytes, b.take))
        );
        let streamed: Vec<Note> =
            ear.bars.iter().filter(|b| b.0 == Some(index) && b.1 == 0).flat_map(|b| b.4.clone()).collect();
        assert_eq!(sorted(streamed), sorted(single.outcome.notes.expect("notes")));
    }
    let lines = &batch.files.last().expect("JSONL").bytes;
    let lines = std::str::from_utf8(lines).expect("UTF-8").lines();
    let read: Vec<partita_engine::Item> =
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(read.len(), 5);
    assert_eq!(read[2].custom_id.as_deref(), Some("n2"));
}

#[test]
fn one_request_that_fails_does_not_stop_the_batch() {
    let mut request =
        checked("batch", &json!({ "requests": [{ "seed": 1, "bars": 1 }, { "seed": 2, "bars": 1 }] }))
            .request;
    let Request::Batch(batch) = &mut request else { panic!("a batch") };
    // As from a server of another version.
    batch.requests[0].style = Some("forgotten".into());
    let made = play(&request, Some(model()), &HashMap::new(), &mut Ear::default()).expect("plays");
    let items = &made.outcome.items;
    assert_eq!((items[0].status.as_str(), items[1].status.as_str()), ("failed", "complete"));
    assert_eq!(items[0].error.as_ref().map(|fault| fault.code), Some(Code::UnknownStyle));
}

#[test]
fn whoever_breaks_off_gets_cancelled_from_every_verb() {
    let requests = [
        ("generate", json!({ "seed": 1, "bars": 32 })),
        ("continue", json!({ "seed": 1, "bars": 32, "input": input(INPUTS[0]) })),
        ("infill", json!({ "seed": 1, "input": input(INPUTS[0]) })),
        ("humanize", json!({ "seed": 1, "input": input(INPUTS[0]) })),
        ("render", json!({ "input": input("drummer7-hiphop-100-4-4.mid") })),
        ("analyze", json!({ "input": input(INPUTS[0]) })),
        ("batch", json!({ "requests": vec![json!({ "bars": 32 }); 8] })),
    ];
    for (verb, body) in requests {
        let mut ear = Ear { stop_after: Some(1), ..Ear::default() };
        let fault = try_play(verb, &body, &mut ear).expect_err("broken off");
        assert_eq!(fault.code, Code::Cancelled, "{verb}");
    }
}

#[test]
fn changed_sampling_changes_the_notes_and_is_told() {
    let body = json!({ "style": "funk", "seed": 31, "bars": 4 });
    let mut ear =
        Ear { change: Some(Change { temperature: Some(3.0), ..Change::default() }), ..Ear::default() };
    let changed = try_play("generate", &body, &mut ear).expect("plays");
    assert!(changed.outcome.updated);
    let plain = made("generate", &body);
    assert!(!plain.outcome.updated);
    assert_ne!(plain.outcome.notes, changed.outcome.notes);
}

#[test]
fn files_elsewhere_are_read_when_they_are_played() {
    let id = "fil_0123456789abcdefghij012345";
    let request = checked("continue", &json!({ "input": { "file_id": id }, "seed": 2, "bars": 1 })).request;
    let fault = play(&request, Some(model()), &HashMap::new(), &mut Ear::default()).expect_err("not there");
    assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::NotFound, "#/input/file_id"));
    let inputs = HashMap::from([(id.to_owned(), file(INPUTS[0]))]);
    let made = play(&request, Some(model()), &inputs, &mut Ear::default()).expect("plays");
    let other = self::made("continue", &json!({ "input": input(INPUTS[0]), "seed": 2, "bars": 1 }));
    assert!(made.files == other.files);
    for hostile in
        [&b"RIFF"[..], b"MThd\0\0\0\x06\0\x01\0\x01\0\x60MTrk\0\0\0\x04\0\xff\x2f\0", &[0; 100_000]]
    {
        let inputs = HashMap::from([(id.to_owned(), hostile.to_vec())]);
        let fault = play(&request, Some(model()), &inputs, &mut Ear::default()).expect_err("no drums");
        assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::InvalidMidi, "#/input/file_id"));
    }
}

#[test]
fn the_thread_of_a_model_ends_with_it() {
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim() == "partita-shortly").count()
    };
    let model = Model::load("shortly-there", ModelSource::Bundled, PRECISION).expect("bundled");
    // A thread names itself when it begins to run: let it answer once.
    let request = checked("generate", &json!({ "bars": 1, "seed": 1 })).request;
    play(&request, Some(&model), &HashMap::new(), &mut Ear::default()).expect("plays");
    if cfg!(target_os = "linux") {
        // Names of threads are cut to 15 bytes.
        assert_eq!(threads(), 1);
    }
    assert_eq!((model.family(), model.verbs().len()), ("drums", 4));
    assert!(model.memory_bytes() > 1 << 20 && model.sha256().len() == 64);
    drop(model);
    if cfg!(target_os = "linux") {
        assert_eq!(threads(), 0);
    }
}

#[test]
fn a_damaged_model_is_told_without_a_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let load = || Model::load("broken", ModelSource::Folder(folder.path()), PRECISION).err().expect("broken");
    let safe = |fault: Fault| {
        assert_eq!(fault.code, Code::ModelBroken);
        assert!(!fault.message.contains(&folder.path().display().to_string()), "{}", fault.message);
        fault.message
    };
    assert!(safe(load()).contains("model.json"));
    std::fs::write(folder.path().join("model.json"), "{\"family\": \"piano\"}").expect("written");
    assert!(safe(load()).contains("piano"));
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/drums");
    std::fs::copy(weights.join("model.json"), folder.path().join("model.json")).expect("copied");
    assert!(safe(load()).contains("model.safetensors"));
    std::fs::write(folder.path().join("model.safetensors"), "short").expect("written");
    assert!(safe(load()).contains("sha256"));
}

#[test]
fn concurrent_requests_share_steps_and_change_nothing() {
    let body = |seed: u64| json!({ "style": "funk", "seed": seed, "bars": 2 });
    let expected: Vec<Made> = (0..6).map(|seed| made("generate", &body(seed))).collect();
    let before = model().counts();
    let together: Vec<Made> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|seed| scope.spawn(move || made("generate", &body(seed)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("plays")).collect()
    });
    assert!(expected == together);
    let after = model().counts();
    assert!(after.tokens > before.tokens && after.steps > before.steps);
}
