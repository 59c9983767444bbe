//! What `generate audio` promises, with a model of a few random weights in the published layout.

use std::path::PathBuf;

use crate::run::Place;

fn model(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference/hf").join(name);
    folder.canonicalize().expect("the reference model").display().to_string()
}

fn line(rest: &str) -> String {
    format!("generate audio --model {} --seconds 1 {rest}", model("musicgen_mono"))
}

#[test]
fn the_same_seed_gives_the_same_sound_in_every_kind_of_file() {
    let place = Place::new();
    place.ok(&line("--prompt drums --seed 7 -o a.wav"));
    place.ok(&line("--prompt drums --seed 7 -o b.wav"));
    place.ok(&line("--prompt drums --seed 8 -o c.wav"));
    assert!(place.read("a.wav") == place.read("b.wav"));
    assert!(place.read("a.wav") != place.read("c.wav"));
    assert_eq!(place.read("a.wav").len(), 44 + 2 * 32_000);
    place.ok(&line("--prompt drums --seed 7 -o a.flac"));
    place.ok(&line("--prompt drums --seed 7 -o a.ogg"));
    assert_eq!(&place.read("a.flac")[..4], b"fLaC");
    assert_eq!(&place.read("a.ogg")[..4], b"OggS");
}

#[test]
fn a_pipe_gets_sound_of_the_length_of_the_file() {
    let place = Place::new();
    place.ok(&line("--prompt drums --seed 7 -o a.wav"));
    let piped = place.ok(&line("--prompt drums --seed 7 -o -"));
    let piped = piped.0.stdout;
    assert_eq!((&piped[..4], &piped[4..8]), (b"RIFF".as_slice(), [0xff; 4].as_slice()), "of unknown length");
    // The file is turned down where it would clip; a pipe cannot be, so its samples are others.
    assert_eq!(piped.len(), place.read("a.wav").len());
    assert!(piped == place.ok(&line("--prompt drums --seed 7 -o -")).0.stdout);
}

#[test]
fn variations_a_start_and_a_melody_are_played() {
    let place = Place::new();
    place.ok(&line("--prompt drums --seed 7 -n 2 -o take.wav"));
    place.ok(&line("--prompt drums --seed 7 -o alone.wav"));
    assert!(place.read("take-1.wav") == place.read("alone.wav"), "whatever is played beside it");
    assert!(place.read("take-1.wav") != place.read("take-2.wav"));
    place.ok(&line("--prompt drums --seed 7 --continue alone.wav -o longer.wav"));
    assert_eq!(place.read("longer.wav").len(), 44 + 2 * 64_000);
    let melody =
        format!("generate audio --model {} --seconds 1 --prompt drums --seed 7", model("musicgen_melody"));
    place.ok(&format!("{melody} --melody alone.wav -o with.wav"));
    place.ok(&format!("{melody} -o without.wav"));
    assert!(place.read("with.wav") != place.read("without.wav"));
    let stereo = format!("generate audio --model {} --seconds 1 --prompt drums", model("musicgen_stereo"));
    place.ok(&format!("{stereo} -o stereo.wav"));
    assert_eq!(place.read("stereo.wav").len(), 44 + 4 * 32_000);
}

#[test]
fn the_prompt_is_shown_as_the_model_reads_it() {
    let place = Place::new();
    let shown =
        place.ok("generate audio --prompt beat --style lo-fi --tempo 92 --instruments bass,piano --dry-run");
    assert_eq!(shown.stdout(), "beat. genre: lo-fi. instrument: bass, piano. bpm: 92\n");
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_written() {
    let place = Place::new();
    place.write("broken.wav", b"RIFF\x10\0\0\0WAVEfmt ");
    place.write("text.wav", b"no sound at all");
    for (rest, code, message) in [
        ("--prompt drums --seconds 0", 2, "seconds must be in 1..=300, got 0"),
        ("--prompt drums --seconds NaN", 2, "seconds must be in 1..=300, got NaN"),
        ("--prompt drums --guidance 0", 2, "guidance must be in [1, 20], got 0"),
        ("--prompt drums -o a.xyz", 2, "output must end in .wav"),
        ("--prompt drums --continue missing.wav", 3, "missing.wav"),
        ("--prompt drums --continue broken.wav", 1, "broken.wav"),
        ("--prompt drums --continue text.wav", 1, "text.wav"),
        ("--prompt drums --melody text.wav", 1, "text.wav"),
        ("--prompt drums -n 2 -o -", 2, "output must be a file"),
    ] {
        let ran = place.run(&line(rest));
        assert_eq!(ran.code(), code, "{rest}: {}", ran.stderr());
        assert!(ran.stderr().contains(message), "{rest}: {}", ran.stderr());
    }
    let long = "x".repeat(10_000);
    let arguments = ["generate", "audio", "--model", &model("musicgen_mono"), "--prompt", &long];
    let output = place.command(&arguments).output().expect("it runs");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("prompt must be in 1..=2000 characters, got 10000")
    );
    assert_eq!(place.names(), ["broken.wav", "text.wav"]);
}

#[test]
fn a_model_that_is_not_here_is_told_with_the_command_that_brings_it() {
    let place = Place::new();
    let ran = place.run("generate audio --prompt drums");
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    for part in ["musicgen-small", "partita models pull musicgen-small", "GB", "CC-BY-NC"] {
        assert!(ran.stderr().contains(part), "{part}: {}", ran.stderr());
    }
    assert!(
        place.run("generate audio --prompt drums --model musicgen-smal").stderr().contains("did you mean")
    );
}

#[test]
fn a_model_of_the_store_is_packed_once_and_sounds_the_same() {
    let place = Place::new();
    place.ok(&format!("models import {} --name tiny --copy", model("musicgen_mono")));
    let packed = place.path(".data/partita/store/packed/tiny");
    let play = |name: &str| {
        place.ok(&format!("generate audio --model tiny --seconds 1 --prompt drums --seed 7 -o {name}"));
        place.read(name)
    };
    let first = play("a.wav");
    assert_eq!(std::fs::read_dir(&packed).expect("packed").count(), 1);
    assert!(play("b.wav") == first);
    place.ok("models rm tiny");
    assert!(!packed.exists());
}

#[test]
fn a_kind_of_file_that_needs_ffmpeg_says_so_where_there_is_none() {
    let place = Place::new();
    let arguments = line("--prompt drums -o a.mp3");
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let output = place.command(&arguments).env("PATH", "").output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("needs ffmpeg") && told.contains(".flac"), "{told}");
    assert!(place.names().is_empty());
}
