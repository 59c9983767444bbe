//! Commands that tell things.

use crate::run::Place;
use std::io::Read;
use std::process::Stdio;

#[test]
fn inspecting_tells_file_tracks_and_drums() {
    let place = Place::new();
    place.sample("drummer10-jazz-swing-215-4-4.mid");
    let json = place.ok("inspect in.mid --picture a.svg --json").json();
    assert_eq!((json["format"].as_u64(), json["ppq"].as_u64()), (Some(0), Some(480)));
    let drums = &json["drums"];
    assert!(drums["hits_per_class"]["closed-hat"].as_u64().is_some_and(|hits| hits > 0));
    assert!(
        drums["swing"]["eighths"].as_f64().is_some_and(|swing| (0.5..=0.75).contains(&swing)),
        "{}",
        drums["swing"]
    );
    assert!(place.read("a.svg").starts_with(b"<svg"));
    let text = place.ok("inspect in.mid").stdout();
    for word in ["format 0", "480 ticks", "tempo", "4/4", "swing", "timing", "closed-hat"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn inspecting_music_without_drums_tells_why() {
    let place = Place::new();
    place.sample("edge-programs.mid");
    let ran = place.ok("inspect in.mid --json").json();
    assert!(ran["drums"].is_object() || ran["drums_error"].is_string());
    place.ok("inspect in.mid");
}

#[test]
fn styles_are_listed_and_shown() {
    let place = Place::new();
    let text = place.ok("styles list").stdout();
    for word in ["learned", "profiles", "funk", "j-dilla", "hiphop", "generate drums --style"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let shown = place.ok("styles show J-Dilla").stdout();
    assert!(shown.contains("profile") && shown.contains("hiphop") && shown.contains("swing"), "{shown}");
    let json = place.ok("styles show house --json").json();
    assert_eq!((json["kind"].as_str(), json["base"].as_str()), (Some("profile"), Some("dance")));
}

#[test]
fn models_and_doctor_find_the_weights() {
    let place = Place::new();
    let verified = place.ok("models verify --json").json();
    assert!(verified["models"].as_array().expect("models").iter().all(|model| model["ok"] == true));
    let listed = place.ok("models list").stdout();
    for name in ["drums", "melody", "chorale", "arrange", "melody-2bar", "groove-tap"] {
        assert!(listed.contains(&format!("{name}  bundled, ")), "{name}: {listed}");
    }
    let json = place.ok("doctor --json").json();
    assert!(json["bandwidth_gb_per_s"].as_f64().is_some_and(|rate| rate > 0.1));
    assert!(
        json["supported_kernels"].as_array().is_some_and(|paths| paths.iter().any(|path| path == "generic"))
    );
    assert!(place.ok("doctor").stdout().contains("weights"));
}

#[test]
fn benches_measure() {
    let place = Place::new();
    let json = place.ok("bench decode --layers 1 --width 64 --heads 2 --tokens 8 --runs 1 --json").json();
    assert!(json["tokens_per_s"].as_f64().is_some_and(|speed| speed > 0.0));
    assert_eq!(place.run("bench decode --tokens 0").code(), 2);
    assert_eq!(place.run("bench gemv --precision int3").code(), 2);
}

#[test]
fn help_version_and_completions_are_answers() {
    let place = Place::new();
    for line in ["--help", "generate drums --help", "infill -h", "--version"] {
        let ran = place.ok(line);
        assert!(!ran.stdout().is_empty() && ran.stderr().is_empty(), "{line}");
    }
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(place.ok(&format!("completions {shell}")).stdout().contains("partita"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    for line in [&["completions", "bash"][..], &["styles", "list"], &["--help"]] {
        let mut child =
            place.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        assert_eq!((child.wait().expect("ends").code(), stderr.as_str()), (Some(0), ""), "{line:?}");
    }
}
