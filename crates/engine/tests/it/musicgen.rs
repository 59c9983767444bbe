//! MusicGen from the store: listed, checked, played, and out of memory again. The models have a few random weights.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use partita_audio::{Pcm, WavFormat, WavWriter, read_wav};
use partita_engine::family::{self, Change, Checked, Made, Report, Sound};
use partita_engine::store::{Import, Store};
use partita_engine::{Code, Config, Fault, Note, Registry, Request};
use partita_models::musicgen::{Generate, MusicGen, Precisions};
use partita_queue::Lane;
use serde_json::{Value, json};

fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference/hf").join(name)
}

/// A place with models in its store.
struct Desk {
    _folder: tempfile::TempDir,
    config: Config,
    registry: Registry,
}

fn import(config: &Config, from: &str, name: &str) {
    let import = Import { folder: &published(from), name: Some(name), copy: true, replace: true };
    Store::of(config).import(&import, &mut |_| ControlFlow::Continue(())).expect("imported");
}

impl Desk {
    fn new(models: &[(&str, &str)]) -> Desk {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.storage.data_dir = folder.path().to_owned();
        models.iter().for_each(|(from, name)| import(&config, from, name));
        let registry = Registry::open(&config).expect("a folder");
        Desk { _folder: folder, config, registry }
    }

    #[expect(clippy::needless_pass_by_value, reason = "bodies are written where they are passed")]
    fn check(&self, verb: &str, body: Value) -> Result<Checked, Fault> {
        let request = serde_json::from_value(json!({ "verb": verb, "body": body })).expect("well formed");
        family::check(request, &self.registry, &self.config)
    }

    fn pointers(&self, body: Value) -> Vec<String> {
        let fault = self.check("generate", body).expect_err("refused");
        fault.errors.into_iter().map(|problem| problem.pointer).collect()
    }

    fn play(&self, checked: &Checked, ear: &mut Ear) -> Result<Made, Fault> {
        let model = self.registry.acquire(&checked.model).expect("there");
        family::play(&checked.request, Some(&model), &HashMap::new(), ear)
    }
}

#[derive(Default)]
struct Ear {
    stages: Vec<String>,
    fractions: Vec<f64>,
    last: (u64, u64),
    sounds: Vec<Sound>,
    stop_after: Option<usize>,
    stop_in: Option<&'static str>,
}

impl Report for Ear {
    fn progress(&mut self, stage: &str, fraction: f64, step: u64, steps: u64) -> ControlFlow<()> {
        if self.stages.last().is_none_or(|last| last != stage) {
            self.stages.push(stage.to_owned());
        }
        if stage == "generate" {
            self.last = (step, steps);
        }
        self.fractions.push(fraction);
        let late = self.stop_after.is_some_and(|calls| self.fractions.len() > calls);
        if late || self.stop_in == Some(stage) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn notes(&mut self, _: Option<usize>, _: usize, _: u32, _: f64, _: Vec<Note>) {
        panic!("it makes no notes");
    }

    fn sound(&mut self, sound: Sound) {
        self.sounds.push(sound);
    }

    fn sampling(&mut self) -> Option<Change> {
        None
    }
}

#[test]
fn a_model_of_the_store_is_listed_loaded_unloaded_and_removed() {
    let desk = Desk::new(&[("musicgen_mono", "tiny")]);
    let info = desk.registry.info("tiny").expect("there");
    assert_eq!((info.place.as_str(), info.family.as_str()), ("store", "musicgen"));
    assert_eq!((info.verbs, info.sha256.len(), info.error), (vec!["generate".to_owned()], 64, None));
    assert!(info.bytes > 100_000 && !info.loaded);
    let loaded = desk.registry.load("tiny").expect("loads");
    assert!(loaded.loaded && loaded.memory_bytes.is_some_and(|bytes| bytes > 100_000), "{loaded:?}");
    assert_eq!(desk.registry.remove("tiny").expect_err("in memory").code, Code::InvalidRequest);
    assert!(!desk.registry.unload("tiny").expect("unloads").loaded);
    desk.registry.remove("tiny").expect("removed");
    assert_eq!(desk.registry.info("tiny").expect_err("gone").code, Code::UnknownModel);
    assert!(Store::of(&desk.config).list().expect("readable").is_empty());
}

#[test]
fn a_model_that_comes_while_the_registry_is_open_is_found_and_another_under_its_name_is_loaded_anew() {
    let desk = Desk::new(&[]);
    import(&desk.config, "musicgen_mono", "tiny");
    let first = desk.registry.load("tiny").expect("found").sha256;
    import(&desk.config, "musicgen_stereo", "tiny");
    let checked = desk.check("generate", json!({ "prompt": "x", "seconds": 1 })).expect("fine");
    let made = desk.play(&checked, &mut Ear::default()).expect("plays");
    assert_eq!(read_wav(&made.files[0].bytes).expect("a WAV file").channels.len(), 2);
    assert_ne!(desk.registry.info("tiny").expect("there").sha256, first);
}

#[test]
fn memory_is_counted_before_a_model_is_loaded() {
    let mut desk = Desk::new(&[("musicgen_mono", "tiny")]);
    desk.config.models.memory_mb = 1;
    desk.registry.reconfigure(&desk.config);
    let fault = desk.registry.load("tiny").expect_err("too large");
    assert_eq!((fault.code, fault.retry_after), (Code::ModelsFull, None), "{fault}");
}

#[test]
fn a_model_that_is_not_installed_says_what_to_run() {
    let desk = Desk::new(&[]);
    for (body, pointer) in [
        (json!({ "prompt": "rain" }), "#/prompt"),
        (json!({ "seconds": 5 }), "#/seconds"),
        (json!({ "model": "musicgen-small", "prompt": "rain" }), "#/model"),
    ] {
        let fault = desk.check("generate", body.clone()).expect_err("not there");
        assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::UnknownModel, pointer), "{body}");
        for part in ["`partita models pull musicgen-small`", "2.4 GB", "CC-BY-NC-4.0"] {
            assert!(fault.message.contains(part), "{part}: {fault}");
        }
    }
    let near = desk.check("generate", json!({ "model": "musicgen-smal" })).expect_err("misspelt");
    assert!(near.message.contains("did you mean musicgen-small"), "{near}");
}

#[test]
fn everything_is_filled_in_and_a_checked_request_stays_as_it_is() {
    let desk = Desk::new(&[("musicgen_stereo", "wide"), ("musicgen_mono", "musicgen-small")]);
    let checked = desk.check("generate", json!({ "prompt": "rain", "profile": "creative" })).expect("fine");
    assert_eq!((checked.model.as_str(), checked.lane), ("musicgen-small@1", Lane::Audio));
    let body = serde_json::to_value(&checked.request).expect("JSON")["body"].clone();
    assert!(body["seed"].is_u64());
    for (field, value) in [
        ("seconds", json!(10.0)),
        ("guidance", json!(3.0)),
        ("temperature", json!(1.1)),
        ("top_k", json!(0)),
        ("variations", json!(1)),
        ("files", json!(["wav"])),
        ("stream", json!(false)),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    assert_eq!(desk.check("generate", body).expect("fine").request, checked.request);
    let short = desk.check("generate", json!({ "prompt": "rain", "duration": 3, "format": "opus" }));
    let Request::Generate(short) = short.expect("fine").request else { panic!("another verb") };
    assert_eq!((short.seconds, short.top_k, short.format), (Some(3.0), Some(250), None));
    assert_eq!(serde_json::to_value(short.files).expect("JSON"), json!(["ogg"]));
    // Without a prompt too, where something else says what it should sound like.
    assert!(desk.check("generate", json!({ "model": "wide", "style": "rock", "tempo": 120 })).is_ok());
}

#[test]
fn what_is_out_of_range_or_means_nothing_here_is_told_with_its_pointer() {
    let desk = Desk::new(&[("musicgen_mono", "tiny")]);
    let long = "x".repeat(2001);
    for (more, pointer) in [
        (json!({ "seconds": 0.5 }), "#/seconds"),
        (json!({ "seconds": 300.1 }), "#/seconds"),
        (json!({ "seconds": 300, "variations": 3 }), "#/seconds"),
        (json!({ "guidance": 0.9 }), "#/guidance"),
        (json!({ "guidance": 1, "negative": "noise" }), "#/guidance"),
        (json!({ "variations": 17 }), "#/variations"),
        (json!({ "temperature": 0 }), "#/temperature"),
        (json!({ "profile": "none" }), "#/profile"),
        (json!({ "prompt": "" }), "#/prompt"),
        (json!({ "prompt": " \n" }), "#/prompt"),
        (json!({ "prompt": "a\0b" }), "#/prompt"),
        (json!({ "prompt": long }), "#/prompt"),
        (json!({ "prompt": "x".repeat(1990), "mood": "melancholic" }), "#/prompt"),
        (json!({ "prompt": null }), "#/prompt"),
        (json!({ "negative": "" }), "#/negative"),
        (json!({ "mood": "x".repeat(101) }), "#/mood"),
        (json!({ "instruments": ["piano", ""] }), "#/instruments/1"),
        (json!({ "instruments": vec!["a"; 17] }), "#/instruments"),
        (json!({ "tempo": 20 }), "#/tempo"),
        (json!({ "files": [] }), "#/files"),
        (json!({ "files": ["mid"] }), "#/files/0"),
        (json!({ "files": ["wav", "wav"] }), "#/files/1"),
        (json!({ "format": "flac", "files": ["wav"] }), "#/format"),
        (json!({ "format": "png" }), "#/files/0"),
        (json!({ "bars": 4 }), "#/bars"),
        (json!({ "fill": false }), "#/fill"),
        (json!({ "swing": 0.6 }), "#/swing"),
        (json!({ "humanize": true }), "#/humanize"),
        (json!({ "time_signature": [4, 4] }), "#/time_signature"),
        (json!({ "kit": ["kick"] }), "#/kit"),
        (json!({ "density": 0.5 }), "#/density"),
        (json!({ "velocity": [1, 2] }), "#/velocity"),
        (json!({ "output_format": "notes" }), "#/output_format"),
        (json!({ "sound": "acoustic" }), "#/sound"),
        (json!({ "seed_notes": [] }), "#/seed_notes"),
    ] {
        let mut body = json!({ "model": "tiny", "prompt": "rain" });
        let fields = body.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        assert_eq!(desk.pointers(body), [pointer], "{more}");
    }
    let verb = desk.check("humanize", json!({ "model": "tiny", "input": { "notes": [] } }));
    assert!(verb.expect_err("it cannot").errors.iter().any(|problem| problem.pointer == "#/model"));
}

/// The WAV file of samples `[C][N]` that go beyond full scale nowhere, and as a pipe gets it.
fn wav(samples: &[Vec<f32>], rate: u32) -> (Vec<u8>, Vec<u8>) {
    let mut pcm = Pcm { sample_rate: rate, channels: samples.to_vec() };
    let mut pipe = WavWriter::new(Vec::new(), rate, samples.len(), WavFormat::Int16, None).expect("a header");
    pipe.write(&samples.iter().map(Vec::as_slice).collect::<Vec<_>>()).expect("written");
    pcm.fit();
    (partita_audio::wav::wav_bytes(&pcm, WavFormat::Int16).expect("encoded"), pipe.finish().expect("written"))
}

#[test]
fn a_request_gives_the_bytes_of_the_model_alone_and_tells_them_as_they_come() {
    for name in ["musicgen_mono", "musicgen_stereo", "musicgen_melody"] {
        let desk = Desk::new(&[(name, "tiny")]);
        let body = json!({
            "prompt": "drums", "tempo": 92, "seconds": 1.5, "seed": 7, "variations": 2, "negative": "noise",
            "files": ["wav", "flac", "ogg"], "stream": true,
        });
        let mut ear = Ear::default();
        let made = desk.play(&desk.check("generate", body).expect("fine"), &mut ear).expect("plays");
        let model = MusicGen::open(&published(name), Precisions::default()).expect("opens");
        let request = Generate {
            prompt: "drums. bpm: 92".into(),
            negative: Some("noise".into()),
            seconds: 1.5,
            seed: 7,
            variations: 2,
            ..Generate::default()
        };
        let compute = family::compute().expect("a pool");
        let expected = model.generate(&compute.pool, compute.path, &request).expect("plays");
        let names: Vec<&str> = made.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "tiny-1.5s-s7-v1.wav",
                "tiny-1.5s-s7-v1.flac",
                "tiny-1.5s-s7-v1.ogg",
                "tiny-1.5s-s7-v2.wav",
                "tiny-1.5s-s7-v2.flac",
                "tiny-1.5s-s7-v2.ogg"
            ]
        );
        for (variation, samples) in expected.iter().enumerate() {
            let (file, pipe) = wav(samples, model.sample_rate());
            assert!(made.files[3 * variation].bytes == file, "{name} {variation}");
            let told = ear.sounds.iter().filter(|sound| sound.variation == variation);
            let numbers: Vec<u64> = told.clone().map(|sound| sound.sequence).collect();
            assert_eq!(numbers, [0, 1, 2], "{name}");
            let told: Vec<u8> = told.flat_map(|sound| sound.samples.clone()).collect();
            assert!(told == pipe[44..], "{name} {variation}");
        }
        assert_eq!((&made.files[1].bytes[..4], &made.files[2].bytes[..4]), (&b"fLaC"[..], &b"OggS"[..]));
        assert_eq!((made.outcome.seed, made.outcome.duration_seconds), (Some(7), Some(1.5)));
        assert_eq!((made.outcome.takes.len(), made.outcome.notes), (2, None));
        assert_eq!(ear.stages, ["prompt", "generate", "export"]);
        assert_eq!(ear.last, (1, 2), "seconds");
        assert!(ear.fractions.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}

#[test]
fn a_task_that_is_told_to_stop_stops_whatever_it_does() {
    let desk = Desk::new(&[("musicgen_mono", "tiny")]);
    let checked = desk.check("generate", json!({ "prompt": "drums", "seconds": 300 })).expect("fine");
    for calls in [0, 1, 40] {
        let mut ear = Ear { stop_after: Some(calls), ..Ear::default() };
        let fault = desk.play(&checked, &mut ear).map(|made| made.files.len()).expect_err("stopped");
        assert_eq!((fault.code, ear.fractions.len()), (Code::Cancelled, calls + 1));
    }
    let checked = desk.check("generate", json!({ "prompt": "drums", "seconds": 1 })).expect("fine");
    let mut ear = Ear::default();
    desk.play(&checked, &mut ear).expect("plays");
    assert!(ear.sounds.is_empty(), "nobody listens");
    for stage in ["prompt", "generate", "export"] {
        let mut ear = Ear { stop_in: Some(stage), ..Ear::default() };
        let code = desk.play(&checked, &mut ear).map(|made| made.files.len()).expect_err("stopped").code;
        assert_eq!(code, Code::Cancelled, "{stage}");
    }
}

#[test]
fn a_prompt_of_too_many_tokens_is_told_as_the_callers_mistake() {
    let desk = Desk::new(&[("musicgen_mono", "tiny")]);
    let prompt: String =
        (0..1000).map(|index| char::from(b'a' + (index * 7 % 26) as u8)).flat_map(|c| [c, ' ']).collect();
    let checked = desk.check("generate", json!({ "prompt": prompt, "seconds": 1 })).expect("fine");
    let fault = desk.play(&checked, &mut Ear::default()).map(|made| made.files.len()).expect_err("too long");
    assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::InvalidRequest, "#/prompt"), "{fault}");
}

#[test]
fn requests_of_a_batch_play_together() {
    let desk = Desk::new(&[("musicgen_mono", "tiny")]);
    let item = |seed: u64| json!({ "prompt": "drums", "seconds": 1, "seed": seed });
    let checked = desk.check("batch", json!({ "requests": [item(1), item(2), item(1)] })).expect("fine");
    assert_eq!((checked.model.as_str(), checked.lane), ("tiny@1", Lane::Audio));
    let made = desk.play(&checked, &mut Ear::default()).expect("plays");
    assert_eq!(made.outcome.request_counts.expect("counted").completed, 3);
    assert!(made.files[0].bytes == made.files[2].bytes && made.files[0].bytes != made.files[1].bytes);
    for (requests, pointer) in [
        (json!([item(1), { "bars": 1 }]), "#/requests/1/model"),
        (
            json!([{ "prompt": "x", "seconds": 300 }, { "prompt": "x", "seconds": 301 }]),
            "#/requests/1/seconds",
        ),
        (json!(vec![json!({ "prompt": "x", "seconds": 300 }); 3]), "#/requests/2/seconds"),
        (json!([{ "prompt": "x", "stream": true }]), "#/requests/0/stream"),
    ] {
        let fault = desk.check("batch", json!({ "requests": requests })).expect_err("refused");
        assert_eq!(fault.errors[0].pointer, pointer, "{fault}");
    }
}
