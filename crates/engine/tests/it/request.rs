//! What is refused, with which pointer, and what is filled in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use partita_engine::config::Profile;
use partita_engine::family::{Checked, Given, check, check_given};
use partita_engine::{Code, Config, Fault, Registry, Request};
use partita_queue::Lane;
use serde_json::{Value, json};

struct Desk {
    _folder: tempfile::TempDir,
    config: Config,
    registry: Registry,
}

#[expect(clippy::needless_pass_by_value, reason = "bodies are written where they are passed")]
impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.models.dir = folder.path().to_owned();
        config.storage.data_dir = folder.path().join("data");
        config.limits.max_batch = 20;
        config
            .profiles
            .insert("careful".into(), Profile { temperature: Some(0.5), top_k: Some(12), top_p: None });
        let registry = Registry::open(&config).expect("a folder");
        Desk { _folder: folder, config, registry }
    }

    fn check(&self, verb: &str, body: Value) -> Result<Checked, Fault> {
        let request: Request =
            serde_json::from_value(json!({ "verb": verb, "body": body })).expect("well formed");
        check(request, &self.registry, &self.config)
    }

    fn body(&self, verb: &str, body: Value) -> Value {
        let checked = self.check(verb, body).expect("fine");
        serde_json::to_value(checked.request).expect("JSON")["body"].clone()
    }

    /// `pointer allowed` of everything wrong.
    #[track_caller]
    fn wrong(&self, verb: &str, body: Value) -> Vec<(String, String)> {
        let fault = self.check(verb, body).expect_err("refused");
        assert!(!fault.message.is_empty() && fault.message.len() < 2000, "{}", fault.message.len());
        fault.errors.into_iter().map(|p| (p.pointer, p.allowed.unwrap_or_default())).collect()
    }

    #[track_caller]
    fn pointers(&self, verb: &str, body: Value) -> Vec<String> {
        self.wrong(verb, body).into_iter().map(|(pointer, _)| pointer).collect()
    }
}

fn beat(start: f64) -> Value {
    json!({ "pitch": 36, "start": start, "duration": 0.25, "velocity": 90, "channel": 9 })
}

fn midi(name: &str) -> String {
    let path = format!("{}/../../testdata/midi/{name}", env!("CARGO_MANIFEST_DIR"));
    STANDARD.encode(std::fs::read(path).expect("a test file"))
}

#[test]
fn every_field_out_of_range_is_told_with_its_pointer_and_range() {
    let desk = Desk::new();
    let cases = [
        (json!({ "bars": 0 }), "#/bars", "1..=32"),
        (json!({ "bars": 33 }), "#/bars", "1..=32"),
        (json!({ "tempo": 39.9 }), "#/tempo", "40..=300"),
        (json!({ "tempo": 300.1 }), "#/tempo", "40..=300"),
        (json!({ "tempo": 1e308 }), "#/tempo", "40..=300"),
        (json!({ "tempo": -1e308 }), "#/tempo", "40..=300"),
        (json!({ "density": -0.1 }), "#/density", "[0, 1]"),
        (json!({ "density": 1.1 }), "#/density", "[0, 1]"),
        (json!({ "swing": 0.49 }), "#/swing", "[0.5, 0.75]"),
        (json!({ "swing": 0.76 }), "#/swing", "[0.5, 0.75]"),
        (json!({ "temperature": 0.0 }), "#/temperature", "(0, 4]"),
        (json!({ "temperature": 4.01 }), "#/temperature", "(0, 4]"),
        (json!({ "top_p": 0.0 }), "#/top_p", "(0, 1]"),
        (json!({ "top_p": 1.01 }), "#/top_p", "(0, 1]"),
        (json!({ "top_k": 100_001 }), "#/top_k", "0..=100000"),
        (json!({ "variations": 0 }), "#/variations", "1..=64"),
        (json!({ "variations": 65 }), "#/variations", "1..=64"),
        (json!({ "priority": 10 }), "#/priority", "0..=9"),
        (json!({ "timeout": 0.0 }), "#/timeout", "(0, 86400]"),
        (json!({ "timeout": 86_401.0 }), "#/timeout", "(0, 86400]"),
    ];
    for (body, pointer, allowed) in cases {
        let wrong = desk.wrong("generate", body.clone());
        assert_eq!(wrong, [(pointer.to_owned(), allowed.to_owned())], "{body}");
    }
    let cases = [
        (json!({ "time_signature": [4, 3] }), "#/time_signature"),
        (json!({ "time_signature": [0, 4] }), "#/time_signature"),
        (json!({ "time_signature": [33, 16] }), "#/time_signature"),
        (json!({ "time_signature": [9, 2] }), "#/time_signature"),
        (json!({ "time_signature": [4_000_000_000u32, 260] }), "#/time_signature"),
        (json!({ "velocity": [0, 127] }), "#/velocity"),
        (json!({ "velocity": [90, 80] }), "#/velocity"),
        (json!({ "velocity": [1, 128] }), "#/velocity"),
        (json!({ "custom_id": "x".repeat(65) }), "#/custom_id"),
        (json!({ "kit": [] }), "#/kit"),
        (json!({ "kit": ["kick", "snair"] }), "#/kit/1"),
        (json!({ "kit": vec!["kick"; 1000] }), "#/kit"),
        (json!({ "profile": "wild" }), "#/profile"),
        (json!({ "files": ["wav"], "sound": "tr707" }), "#/sound"),
        (json!({ "sound": "acoustic" }), "#/sound"),
        (json!({ "files": ["mid", "mid"] }), "#/files/1"),
        (json!({ "prompt": "a calm beat", "model": "drums" }), "#/prompt"),
        (json!({ "seconds": 3.0, "model": "drums" }), "#/seconds"),
        (json!({ "key": "F minor" }), "#/key"),
        (json!({ "stream": false }), "#/stream"),
        (json!({ "format": "wav", "files": ["mid"] }), "#/format"),
        (json!({ "prompt": "a calm beat" }), "#/prompt"),
        (json!({ "duration": 3.0 }), "#/seconds"),
        (json!({ "model": "drumms" }), "#/model"),
        (json!({ "model": "x".repeat(100_000) }), "#/model"),
        (json!({ "seed_notes": [] }), "#/seed_notes"),
        (json!({ "webhook": { "url": "ftp://x" } }), "#/webhook/url"),
        (json!({ "webhook": { "url": "https://x", "events": [] } }), "#/webhook/events"),
        (json!({ "webhook": { "url": "https://x", "secret": "whsec_AAAA" } }), "#/webhook/secret"),
    ];
    for (body, pointer) in cases {
        assert_eq!(desk.pointers("generate", body.clone()), [pointer], "{body}");
    }
    let at_the_edge = json!({
        "bars": 32, "tempo": 300, "density": 1, "swing": 0.75, "temperature": 4, "top_p": 1, "top_k": 100_000,
        "variations": 64, "priority": 9, "timeout": 86_400, "time_signature": [32, 16], "velocity": [1, 127],
        "custom_id": "x".repeat(64), "seed": u64::MAX, "kit": ["all"],
    });
    desk.check("generate", at_the_edge).expect("all inside");
}

#[test]
fn all_problems_are_told_at_once() {
    let desk = Desk::new();
    let body = json!({
        "bars": 99, "tempo": 5, "style": "nothing-like-it-9", "kit": ["cowbell"], "priority": 77, "top_p": 2,
    });
    let mut pointers = desk.pointers("generate", body);
    pointers.sort();
    assert_eq!(pointers, ["#/bars", "#/kit/0", "#/priority", "#/style", "#/tempo", "#/top_p"]);
}

#[test]
fn each_verb_checks_its_own_fields() {
    let desk = Desk::new();
    let file = midi("drummer5-hiphop-87-4-4.mid");
    let input = json!({ "midi": file });
    let cases = [
        ("continue", json!({ "bars": 33 }), "#/bars"),
        ("infill", json!({ "bars": [0, 1] }), "#/bars"),
        ("infill", json!({ "bars": [3, 2] }), "#/bars"),
        ("infill", json!({ "bars": [1, 4000] }), "#/bars"),
        ("humanize", json!({ "amount": 1.5 }), "#/amount"),
        ("humanize", json!({ "swing": 0.9 }), "#/swing"),
        ("humanize", json!({ "output_format": "tokens" }), "#/output_format"),
        ("render", json!({ "loudness": -50.0 }), "#/loudness"),
        ("render", json!({ "loudness": 0.0 }), "#/loudness"),
        ("render", json!({ "sample_rate": 7999 }), "#/sample_rate"),
        ("render", json!({ "sample_rate": 192_001 }), "#/sample_rate"),
        ("render", json!({ "files": [] }), "#/files"),
        ("render", json!({ "output_format": "tokens" }), "#/output_format"),
        ("analyze", json!({ "priority": 10 }), "#/priority"),
    ];
    for (verb, mut body, pointer) in cases {
        body["input"] = input.clone();
        assert_eq!(desk.pointers(verb, body.clone()), [pointer], "{verb} {}", body["bars"]);
    }
}

#[test]
fn an_input_is_exactly_one_thing_and_can_be_read() {
    let desk = Desk::new();
    let bomb = |bytes: &[u8]| json!({ "midi": STANDARD.encode(bytes) });
    let note = |field: &str, value: Value| {
        let mut note = beat(1.0);
        note[field] = value;
        json!({ "notes": [beat(0.0), note] })
    };
    let id = "fil_0123456789abcdefghij012345";
    let cases = [
        (json!({}), "#/input"),
        (json!({ "midi": "", "notes": [] }), "#/input"),
        (json!({ "midi": "?????" }), "#/input/midi"),
        (json!({ "midi": "" }), "#/input/midi"),
        (bomb(b"MThd"), "#/input/midi"),
        (bomb(b"MThd\0\0\0\x06\0\x01\xff\xff\0\x60"), "#/input/midi"),
        (json!({ "midi": "A".repeat(15 << 20) }), "#/input/midi"),
        (json!({ "notes": [] }), "#/input/notes"),
        (json!({ "notes": vec![beat(0.0); 100_001] }), "#/input/notes"),
        (note("pitch", json!(128)), "#/input/notes/1/pitch"),
        (note("velocity", json!(0)), "#/input/notes/1/velocity"),
        (note("velocity", json!(128)), "#/input/notes/1/velocity"),
        (note("channel", json!(16)), "#/input/notes/1/channel"),
        (note("start", json!(-0.1)), "#/input/notes/1/start"),
        (note("start", json!(1e308)), "#/input/notes/1/start"),
        (note("duration", json!(0.0)), "#/input/notes/1/duration"),
        (note("duration", json!(1e308)), "#/input/notes/1/duration"),
        (json!({ "notes": [beat(0.0)], "tempo": 10 }), "#/input/tempo"),
        (json!({ "notes": [beat(0.0)], "time_signature": [1, 1] }), "#/input/time_signature"),
        (json!({ "file_id": "../../etc/passwd" }), "#/input/file_id"),
        (json!({ "file_id": id, "tempo": 100 }), "#/input/tempo"),
    ];
    for verb in ["continue", "infill", "humanize", "render", "analyze"] {
        for (input, pointer) in &cases {
            let pointers = desk.pointers(verb, json!({ "input": input }));
            assert_eq!(
                pointers,
                [*pointer],
                "{verb} {}",
                &input.to_string()[..input.to_string().len().min(200)]
            );
        }
    }
    let checked =
        desk.check("continue", json!({ "input": { "file_id": id } })).expect("only its form is known");
    assert_eq!((checked.inputs, checked.lane), (vec![id.to_owned()], Lane::Generation));
}

#[test]
fn music_without_drums_can_be_rendered_but_not_continued() {
    let desk = Desk::new();
    let mut note = beat(0.0);
    note["channel"] = json!(0);
    let body = json!({ "input": { "notes": [note] } });
    for verb in ["continue", "infill", "humanize"] {
        let fault = desk.check(verb, body.clone()).expect_err("no drums");
        assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::InvalidMidi, "#/input/notes"));
        assert!(fault.message.contains("channel 9"), "{}", fault.message);
    }
    for verb in ["render", "analyze"] {
        assert_eq!(desk.check(verb, body.clone()).expect("fine").lane, Lane::Midi);
    }
    let seeds = json!({ "seed_notes": body["input"]["notes"] });
    assert_eq!(desk.pointers("generate", seeds), ["#/seed_notes"]);
}

#[test]
fn a_file_that_is_at_hand_is_checked_like_music_that_came_along() {
    let desk = Desk::new();
    let silence = b"MThd\0\0\0\x06\0\x01\xff\xff\0\x60MTrk\xff\xff\xff\xff";
    let body = json!({ "input": { "file_id": "fil_0123456789abcdefghij012345" } });
    let checked = |verb: &str, bytes: &[u8], field: &'static str| {
        let request = serde_json::from_value(json!({ "verb": verb, "body": body })).expect("well formed");
        check_given(request, Given { bytes, field }, &desk.registry, &desk.config)
    };
    for verb in ["continue", "infill", "humanize", "render", "analyze"] {
        for field in ["file", "input/file_id"] {
            let fault = checked(verb, b"MThd", field).expect_err("no MIDI file");
            let pointer = format!("#/{field}");
            assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::InvalidMidi, pointer.as_str()));
            if verb != "analyze" {
                let fault = checked(verb, silence, field).expect_err("no notes");
                assert_eq!(fault.errors[0].pointer, pointer, "{verb}");
            }
        }
        let path = format!("{}/../../testdata/midi/drummer6-rock-80-6-8.mid", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).expect("a test file");
        assert_eq!(checked(verb, &bytes, "file").expect("fine").inputs.len(), 1, "{verb}");
    }
}

#[test]
fn a_note_without_a_channel_is_a_drum() {
    let desk = Desk::new();
    let mut note = beat(0.0);
    note.as_object_mut().expect("a note").remove("channel");
    let body = desk.body("generate", json!({ "seed_notes": [note] }));
    assert_eq!(body["seed_notes"][0]["channel"], 9);
}

#[test]
fn silence_can_be_analysed_and_nothing_else() {
    let desk = Desk::new();
    let silence = b"MThd\0\0\0\x06\0\x01\xff\xff\0\x60MTrk\xff\xff\xff\xff";
    let body = json!({ "input": { "midi": STANDARD.encode(silence) } });
    for verb in ["continue", "infill", "humanize", "render"] {
        assert_eq!(desk.pointers(verb, body.clone()), ["#/input/midi"], "{verb}");
    }
    desk.check("analyze", body).expect("fine");
}

#[test]
fn an_unknown_style_or_model_is_told_with_the_nearest_names() {
    let desk = Desk::new();
    let fault = desk.check("generate", json!({ "style": "fnuk" })).expect_err("unknown");
    assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::UnknownStyle, "#/style"));
    assert!(fault.errors[0].allowed.as_deref().is_some_and(|names| names.contains("funk")), "{fault:?}");
    let fault = desk.check("generate", json!({ "style": "\u{202e}qqqqqqqqqqqqq" })).expect_err("unknown");
    assert!(fault.errors[0].allowed.as_deref().is_some_and(|names| names.contains("rock")), "{fault:?}");
    let fault = desk.check("generate", json!({ "model": "drumms" })).expect_err("unknown");
    assert_eq!(fault.code, Code::UnknownModel);
    let huge = desk.check("generate", json!({ "style": "x".repeat(1 << 20) })).expect_err("unknown");
    assert!(huge.message.len() < 500);
}

#[test]
fn defaults_are_complete_and_checking_again_changes_nothing() {
    let desk = Desk::new();
    let notes = json!({ "notes": [beat(0.0), beat(1.0)] });
    let cases = [
        ("generate", json!({})),
        ("generate", json!({ "style": "J Dilla", "files": ["wav", "mid"], "kit": ["hihat", "bd"] })),
        ("generate", json!({ "profile": "careful", "seed_notes": [beat(0.0)] })),
        ("generate", json!({ "model": "melody", "key": "D minor" })),
        ("generate", json!({ "seed_notes": [beat(0.0)], "mood": "sad", "model": "melody" })),
        ("continue", json!({ "input": notes, "model": "melody", "profile": "careful" })),
        ("continue", json!({ "input": notes })),
        ("infill", json!({ "input": { "midi": midi("drummer6-rock-80-6-8.mid") } })),
        ("humanize", json!({ "input": notes })),
        ("render", json!({ "input": notes })),
        ("analyze", json!({ "input": notes })),
        ("batch", json!({ "requests": [{}, { "style": "rock", "model": "drums" }] })),
    ];
    for (verb, body) in cases {
        let once = desk.check(verb, body).expect("fine");
        let twice = check(once.request.clone(), &desk.registry, &desk.config).expect("fine");
        assert_eq!(once, twice, "{verb}");
        // Whatever the configuration says later.
        let later = check(once.request.clone(), &desk.registry, &Config::default()).expect("fine");
        assert_eq!(once, later, "{verb}");
    }
    let body = desk.body("generate", json!({}));
    let seed = body["seed"].as_u64().expect("drawn");
    assert!(seed < 1 << 53);
    let expected = json!({
        "model": "drums@1", "style": "funk", "seed": seed, "velocity": [1, 127], "variations": 1,
        "temperature": 0.9, "top_k": 0, "top_p": 0.95, "output_format": "notes", "files": ["mid"],
        "bars": 4, "tempo": 100.0, "time_signature": [4, 4], "fill": false, "humanize": true,
    });
    assert_eq!(body, expected);
    let body = desk.body("generate", json!({ "style": "J Dilla", "files": ["wav"], "kit": ["hihat", "bd"] }));
    assert_eq!(
        (&body["style"], &body["kit"]),
        (&json!("j-dilla"), &json!(["kick", "closed-hat", "open-hat"]))
    );
    assert!(body["sound"].is_string());
}

#[test]
fn explicit_sampling_wins_over_a_profile_and_the_profile_over_defaults() {
    let desk = Desk::new();
    let body = desk.body("generate", json!({ "profile": "careful", "temperature": 1.5 }));
    assert_eq!(
        (&body["temperature"], &body["top_k"], &body["top_p"]),
        (&json!(1.5), &json!(12), &json!(0.95))
    );
    assert!(body.get("profile").is_none());
    let wrong = desk.wrong("generate", json!({ "profile": "wild" }));
    assert!(wrong.len() == 1 && wrong[0].0 == "#/profile" && wrong[0].1.contains("careful"), "{wrong:?}");
}

#[test]
fn a_kit_the_style_does_not_have_is_refused() {
    let desk = Desk::new();
    let with_kit =
        ["trap", "house", "boom-bap", "metro-boomin", "lo-fi", "j-dilla", "questlove", "drum-and-bass"]
            .into_iter()
            .find(|style| desk.check("generate", json!({ "style": style, "kit": ["low-tom"] })).is_err());
    let style = with_kit.expect("a bundled profile without a low tom");
    let wrong = desk.wrong("generate", json!({ "style": style, "kit": ["low-tom"] }));
    assert!(wrong[0].0 == "#/kit" && wrong[0].1.contains("kick"), "{wrong:?}");
}

#[test]
fn the_problems_of_a_batch_point_into_its_requests() {
    let desk = Desk::new();
    let requests = json!([
        { "custom_id": "a" },
        { "custom_id": "a", "tempo": 5 },
        { "priority": 5, "timeout": 4.0, "webhook": { "url": "https://x" } },
        { "model": "other", "style": "rock" },
        { "prompt": "words" },
        { "style": "fnuk", "bars": 64 },
    ]);
    let mut pointers = desk.pointers("batch", json!({ "requests": requests, "priority": 11 }));
    pointers.sort();
    let expected = [
        "#/priority",
        "#/requests/1/custom_id",
        "#/requests/1/tempo",
        "#/requests/2/priority",
        "#/requests/2/timeout",
        "#/requests/2/webhook",
        "#/requests/3/model",
        "#/requests/4/model",
        "#/requests/5/bars",
        "#/requests/5/style",
    ];
    assert_eq!(pointers, expected);
    assert_eq!(desk.pointers("batch", json!({ "requests": [] })), ["#/requests"]);
    assert_eq!(desk.pointers("batch", json!({ "requests": vec![json!({}); 21] })), ["#/requests"]);
    let many = json!({ "requests": vec![json!({ "bars": 32, "variations": 64 }); 9] });
    assert_eq!(desk.pointers("batch", many), ["#/requests"]);
    let lane = |count| desk.check("batch", json!({ "requests": vec![json!({}); count] })).expect("fine").lane;
    assert_eq!((lane(16), lane(17)), (Lane::Generation, Lane::Heavy));
}

#[test]
fn more_than_fits_into_memory_is_refused_before_it_is_made() {
    let desk = Desk::new();
    let long = json!({ "bars": 32, "tempo": 40, "variations": 64, "files": ["wav"] });
    assert_eq!(desk.pointers("generate", long), ["#/files"]);
    let far = json!({ "input": { "notes": [beat(0.0), beat(99_999.0)] } });
    assert_eq!(desk.pointers("render", far.clone()), ["#/files"]);
    desk.check("analyze", far).expect("needs no sound");
    let crowd = json!({ "input": { "notes": vec![beat(0.5); 50_000] } });
    assert_eq!(desk.pointers("humanize", crowd), ["#/input/notes"]);
    let spread: Vec<Value> = (0..20_000).map(|i| beat(f64::from(i) / 20.0)).collect();
    let wide = json!({ "input": { "notes": spread }, "variations": 64 });
    assert_eq!(desk.pointers("continue", wide), ["#/variations"]);
    let picture = json!({ "input": { "notes": [beat(0.0), beat(4000.0)] }, "files": ["png"] });
    assert_eq!(desk.pointers("render", picture), ["#/files"]);
}

#[test]
fn hostile_music_is_refused_quickly() {
    let desk = Desk::new();
    let started = std::time::Instant::now();
    // A file of nothing but tempo changes, and one of nothing but notes.
    let mut tempos = b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk\xff\xff\xff\xff".to_vec();
    (0..200_000).for_each(|i: u32| tempos.extend([1, 0xff, 0x51, 3, 1, (i >> 8) as u8, i as u8]));
    let mut notes = b"MThd\0\0\0\x06\0\0\0\x01\0\x60MTrk\xff\xff\xff\xff".to_vec();
    (0..300_000).for_each(|_| notes.extend([0, 0x99, 36, 90, 1, 0x89, 36, 0]));
    for bytes in [tempos, notes] {
        let input = json!({ "midi": STANDARD.encode(bytes) });
        for verb in ["render", "analyze", "continue"] {
            assert_eq!(desk.pointers(verb, json!({ "input": input })), ["#/input/midi"], "{verb}");
        }
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
