//! Every wrong input is one line that names the field, what is allowed and what came, and leaves nothing behind.

use crate::run::Place;
use partita_score::{Note, Score, Tick, Track, midi};

/// Runs `line`, expects the code and all the words, and that the folder is as it was.
#[track_caller]
fn check(place: &Place, line: &str, code: i32, words: &[&str]) {
    let before = place.names();
    let ran = place.run(line);
    let message = ran.stderr();
    assert_eq!(ran.code(), code, "{line}: {message}");
    assert_eq!(message.lines().count(), 1, "{line}: {message}");
    assert!(message.starts_with("error: "), "{line}: {message}");
    for word in words {
        assert!(message.contains(word), "{line}: {word:?} is not in {message}");
    }
    assert_eq!(ran.stdout(), "", "{line}");
    assert_eq!(place.names(), before, "{line}");
    // With --json the same error is one object.
    let json = place.run(&format!("{line} --json"));
    assert_eq!(json.code(), code, "{line} --json");
    let told = json.json()["error"]["message"].as_str().expect("a message").to_owned();
    assert_eq!(format!("error: {told}\n"), message, "{line} --json");
    assert_eq!(place.names(), before, "{line} --json");
}

#[test]
fn values_outside_their_range() {
    let place = Place::new();
    let generate = |rest: &str| format!("generate drums -o x.mid {rest}");
    let cases: [(&str, &[&str]); 22] = [
        ("--bars 0", &["bars must be in 1..=32, got 0"]),
        ("--bars 33", &["bars must be in 1..=32, got 33"]),
        ("--bars -1", &["bars must be in 1..=32, got -1"]),
        ("--bars four", &["bars must be a whole number in 1..=32, got \"four\""]),
        ("--tempo NaN", &["tempo must be in 40..=300, got NaN"]),
        ("--tempo 39.9", &["tempo must be in 40..=300, got 39.9"]),
        ("--tempo inf", &["tempo must be in 40..=300, got inf"]),
        ("--time 5/3", &["time must be", "1..=32", "got 5/3"]),
        ("--time 17/8", &["time must be", "32 sixteenths", "got 17/8"]),
        ("--style funck", &["style \"funck\"", "did you mean funk"]),
        ("--style xyzzy", &["style \"xyzzy\" is not known"]),
        ("--kit kick,snair", &["kit must be", "got \"snair\"; did you mean snare?"]),
        (
            "--sound acustic",
            &["sound must be one of acoustic, 808, 909", "got \"acustic\"", "did you mean acoustic?"],
        ),
        ("--velocity 0-10", &["velocity must be", "1..=127", "got \"0-10\""]),
        ("--velocity 90-20", &["velocity must be", "low first"]),
        ("--density 1.5", &["density must be in [0, 1], got 1.5"]),
        ("--temperature 0", &["temperature must be in (0, 4], got 0"]),
        ("--top-p 0", &["top-p must be in (0, 1], got 0"]),
        ("--swing 0.8", &["swing must be in [0.5, 0.75], got 0.8"]),
        ("--variations 65", &["variations must be in 1..=64, got 65"]),
        ("--seed -1", &["seed must be in 0..=18446744073709551615, got -1"]),
        ("--wav x.wav --sample-rate 7999", &["sample-rate must be in 8000..=192000, got 7999"]),
    ];
    for (rest, words) in cases {
        check(&place, &generate(rest), 2, words);
    }
}

#[test]
fn words_nobody_knows() {
    let place = Place::new();
    check(&place, "generate drums --stile funk", 2, &["--stile", "did you mean --style?"]);
    check(&place, "generate drumz", 2, &["\"drumz\"", "did you mean drums?"]);
    check(&place, "generat drums", 2, &["\"generat\"", "did you mean generate?"]);
    check(&place, "", 2, &["a command must be given, one of generate, continue"]);
    check(&place, "generate", 2, &["a command must be given, one of drums"]);
    check(&place, "render in.mid", 2, &["--output <OUT.wav> must be given"]);
    check(&place, "generate drums --picture x.jpg", 2, &["picture must end in .svg or .png, got x.jpg"]);
    check(&place, "generate drums -o x.mid --wav ./x.mid", 2, &["wav must be a file of its own"]);
    check(&place, "styles show disco-polka", 2, &["style \"disco-polka\" is not known"]);
}

#[test]
fn files_that_are_not_there() {
    let place = Place::new();
    for line in ["continue", "infill", "humanize", "inspect", "render -o x.wav"] {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        check(&place, &format!("{command} gone.mid {rest}"), 3, &["cannot read gone.mid"]);
    }
    check(&place, "generate drums --style gone.yaml", 3, &["cannot read gone.yaml"]);
    check(&place, "generate drums --wav x.wav --soundfont gone.sf2", 3, &["gone.sf2"]);
    check(&place, "--model gone generate drums", 3, &["cannot read", "model.json"]);
    check(&place, "train drums --data gone --out out", 3, &["info.csv", "gone"]);
}

#[test]
fn midi_files_that_are_none() {
    let place = Place::new();
    place.write("empty.mid", b"");
    place.write("text.mid", b"This is not music, only words about it.");
    place.write("cut.mid", b"MThd\0\0\0\x06\0\x01\0\x02\x01\xe0MTrk\0\0\0\x20\x00\x90");
    for command in ["continue", "infill", "humanize", "render", "inspect"] {
        let output = if command == "inspect" { "" } else { "-o x.out" };
        check(
            &place,
            &format!("{command} empty.mid {output}"),
            1,
            &["empty.mid must be a MIDI file, got 0 bytes"],
        );
        check(&place, &format!("{command} text.mid {output}"), 1, &["text.mid: not a MIDI file"]);
        check(&place, &format!("{command} cut.mid {output}"), 1, &["cut.mid: "]);
    }
}

#[test]
fn empty_files_are_refused_as_what_their_names_promise() {
    let place = Place::new();
    for (name, kind) in
        [("e.abc", "an ABC file"), ("e.musicxml", "a MusicXML file"), ("e.json", "a file of JSON notes")]
    {
        place.write(name, b"");
        let expected = format!("{name} must be {kind}, got 0 bytes");
        check(&place, &format!("inspect {name}"), 1, &[&expected]);
    }
    place.write("blank.abc", b"\n");
    check(&place, "inspect blank.abc", 1, &["blank.abc: abc, line 1: a tune needs a key field"]);
}

#[test]
fn midi_files_without_drums() {
    let place = Place::new();
    let note = Note { onset: Tick(0), end: Tick(480), pitch: 60, velocity: 90 };
    let score = Score { tracks: vec![Track { notes: vec![note], ..Track::default() }], ..Score::default() };
    place.write("piano.mid", &midi::write(&score));
    check(&place, "humanize piano.mid -o x.mid", 1, &["piano.mid: score has no drum notes", "channel 9"]);
    place.write("silent.mid", &midi::write(&Score::default()));
    for command in ["continue", "infill", "harmonize", "reduce"] {
        check(
            &place,
            &format!("{command} silent.mid -o x.mid"),
            2,
            &["input must be a file with a melody, got none"],
        );
    }
    check(&place, "render silent.mid -o x.wav", 1, &["at least one note"]);
}

#[test]
fn bars_the_file_does_not_have() {
    let place = Place::new();
    place.sample("drummer7-hiphop-100-4-4.mid");
    let bars = place.drums("in.mid").bars;
    let line = format!("infill in.mid --bars {}-{} -o x.mid", bars, bars + 1);
    check(&place, &line, 2, &[&format!("bars must be in 1-{bars}, got {}-{}", bars, bars + 1)]);
    check(&place, "infill in.mid --bars 0 -o x.mid", 2, &["bars must be first-last counted from 1"]);
    check(&place, "infill in.mid --lanes hithat -o x.mid", 2, &["lanes must be", "did you mean"]);
    check(&place, "humanize in.mid --amount 1.1 -o x.mid", 2, &["amount must be in [0, 1], got 1.1"]);
}

#[test]
fn places_that_cannot_be_written() {
    let place = Place::new();
    place.write("there.mid", b"mine");
    std::fs::create_dir(place.path("folder.mid")).expect("made");
    check(&place, "generate drums -o there.mid", 1, &["there.mid is already there", "-f"]);
    check(&place, "generate drums -o new.mid --wav there.mid", 1, &["there.mid is already there"]);
    check(&place, "generate drums -n 2 -o folder.mid/x/y.mid", 1, &["cannot write"]);
    check(&place, "generate drums -o folder.mid", 1, &["it is a folder"]);
    check(&place, "generate drums -o gone/x.mid", 1, &["cannot write gone/x.mid"]);
    assert_eq!(place.read("there.mid"), b"mine");
}

#[test]
fn weights_that_were_changed_or_cut() {
    let place = Place::new();
    let weights = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/drums");
    let source = std::env::var_os("PARTITA_MODEL").map_or(weights, Into::into);
    for (name, damage) in [("tampered", 0usize), ("cut", 100)] {
        std::fs::create_dir(place.path(name)).expect("made");
        let config = std::fs::read(source.join("model.json")).expect("weights");
        let mut bytes = std::fs::read(source.join("model.safetensors")).expect("weights");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes.truncate(bytes.len() - damage);
        place.write(&format!("{name}/model.json"), &config);
        place.write(&format!("{name}/model.safetensors"), &bytes);
        let file = format!("{name}/model.safetensors");
        let words = [file.as_str(), "sha256", "cut short or changed"];
        check(&place, &format!("--model {name} generate drums -o x.mid"), 1, &words);
        check(&place, &format!("--model {name} models verify"), 1, &["sha256"]);
    }
    std::fs::create_dir(place.path("odd")).expect("made");
    place.write("odd/model.json", b"{}");
    place.write("odd/model.safetensors", b"");
    check(&place, "--model odd generate drums", 1, &["model odd", "model.json"]);
}

#[test]
fn variables_of_the_environment() {
    let place = Place::new();
    for (variable, value, words) in [
        ("PARTITA_KERNELS", "mmx", "PARTITA_KERNELS must be one of"),
        ("PARTITA_THREADS", "0", "PARTITA_THREADS must be a whole number in 1..=32, got \"0\""),
        ("PARTITA_THREADS", "many", "PARTITA_THREADS must be a whole number in 1..=32, got \"many\""),
    ] {
        let output =
            place.command(&["generate", "drums", "-o", "x.mid"]).env(variable, value).output().expect("runs");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(words), "{message}");
        assert_eq!(place.names(), Vec::<String>::new());
    }
}
