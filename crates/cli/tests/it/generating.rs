//! What `generate` promises.

use crate::run::Place;
use partita_score::{DrumClass, Meter, midi};

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let place = Place::new();
    place.ok("generate drums --seed 7 --bars 2 -o a.mid");
    place.ok("generate drums --seed 7 --bars 2 -o b.mid");
    place.ok("generate drums --seed 8 --bars 2 -o c.mid");
    assert_eq!(place.read("a.mid"), place.read("b.mid"));
    assert_ne!(place.read("a.mid"), place.read("c.mid"));
}

#[test]
fn threads_and_kernels_change_nothing() {
    let place = Place::new();
    place.ok("generate drums --seed 7 --bars 1 -o a.mid");
    for (index, (threads, kernels)) in [("1", "generic"), ("3", "generic")].into_iter().enumerate() {
        let name = format!("b{index}.mid");
        let mut command = place.command(&["generate", "drums", "--seed", "7", "--bars", "1", "-o", &name]);
        let status = command
            .env("PARTITA_THREADS", threads)
            .env("PARTITA_KERNELS", kernels)
            .output()
            .expect("runs")
            .status;
        assert!(status.success());
        assert_eq!(place.read("a.mid"), place.read(&name));
    }
}

#[test]
fn the_command_that_is_printed_makes_it_again() {
    let place = Place::new();
    let first = place.ok("generate drums --bars 2 --style house --swing 0.6 --density 0.4 -o a.mid --json");
    let command = first.json()["command"].as_str().expect("a command").replace("a.mid", "b.mid");
    place.ok(command.strip_prefix("partita ").expect("our name"));
    assert_eq!(place.read("a.mid"), place.read("b.mid"));
    let text = place.ok("generate drums --bars 1").stdout();
    let again =
        text.lines().find_map(|line| line.strip_prefix("again  partita ")).expect("a command").to_owned();
    assert!(again.contains("--seed"), "{again}");
    assert_eq!(place.ok(&again).stdout(), text);
}

#[test]
fn demands_hold() {
    let place = Place::new();
    place.ok(
        "generate drums --seed 3 --bars 3 --time 7/8 --tempo 150 --kit kick,hihat --velocity 40-80 -o a.mid",
    );
    let pattern = place.drums("a.mid");
    assert_eq!((pattern.meter, pattern.tempo.round()), ("7/8".parse::<Meter>().expect("valid"), 150.0));
    assert!(pattern.bars <= 3 && !pattern.hits.is_empty());
    let allowed = [DrumClass::Kick, DrumClass::ClosedHat, DrumClass::OpenHat];
    assert!(pattern.hits.iter().all(|hit| allowed.contains(&hit.class) && (40..=80).contains(&hit.velocity)));
}

#[test]
fn swing_delays_the_off_beats_by_what_was_asked_for() {
    let place = Place::new();
    let mean_of_off_beats = |swing: f64| {
        let name = format!("{swing}.mid");
        place.ok(&format!("generate drums --seed 5 --bars 4 --density 0.9 --swing {swing} -o {name}"));
        let hits = place.drums(&name).hits;
        (hits.len(), hits.iter().map(partita_score::Hit::position).sum::<f64>())
    };
    let ((straight_count, straight), (swung_count, swung)) =
        (mean_of_off_beats(0.5), mean_of_off_beats(0.62));
    assert_eq!(straight_count, swung_count);
    // Every hit behind an off-beat moves by up to 0.24 sixteenths, and none moves back.
    let moved = swung - straight;
    assert!(
        moved > 0.05 * straight_count as f64 && moved < 0.24 * straight_count as f64,
        "{moved} over {straight_count}"
    );
}

#[test]
fn variations_are_numbered_and_each_is_the_same_alone() {
    let place = Place::new();
    let json =
        place.ok("generate drums -n 3 --seed 1 --bars 1 -o a.mid --wav a.wav --picture a.svg --json").json();
    let expected =
        ["a-1.mid", "a-1.svg", "a-1.wav", "a-2.mid", "a-2.svg", "a-2.wav", "a-3.mid", "a-3.svg", "a-3.wav"];
    assert_eq!(place.names(), expected);
    assert_eq!(json["files"].as_array().map(Vec::len), Some(9));
    assert_ne!(place.read("a-1.mid"), place.read("a-2.mid"));
    place.ok("generate drums --seed 1 --bars 1 -o alone.mid");
    assert_eq!(place.read("a-1.mid"), place.read("alone.mid"));
    let text = place.ok("generate drums -n 3 --seed 1 --bars 1").stdout();
    assert!(text.contains("take 3 of 3"), "{text}");
}

#[test]
fn the_object_has_hits_seed_files_and_times() {
    let place = Place::new();
    let json = place.ok("generate drums --seed 9 --bars 2 -o a.mid --json").json();
    assert_eq!(json["seed"], 9);
    assert_eq!(json["files"], serde_json::json!(["a.mid"]));
    assert!(json["timing_ms"]["total"].as_f64().is_some_and(|ms| ms > 0.0));
    let hits = json["takes"][0]["hits"].as_array().expect("hits");
    assert_eq!(hits.len(), place.drums("a.mid").hits.len());
    for hit in hits {
        assert!(
            hit["bar"].as_u64().is_some_and(|bar| bar < 2)
                && hit["step"].as_u64().is_some_and(|step| step < 16)
        );
    }
    let drawn = place.ok("generate drums --bars 1 --json").json();
    assert!(drawn["seed"].is_u64());
}

#[test]
fn dash_writes_the_bytes_and_nothing_else() {
    let place = Place::new();
    let ran = place.ok("generate drums --seed 7 --bars 2 -o -");
    place.ok("generate drums --seed 7 --bars 2 -o a.mid");
    assert_eq!(ran.0.stdout, place.read("a.mid"));
    assert!(midi::read(&ran.0.stdout).is_ok());
    assert!(ran.stderr().contains("snare") || ran.stderr().contains("kick"), "{}", ran.stderr());
    let quiet = place.ok("generate drums --seed 7 --bars 2 -o - -q");
    assert_eq!((quiet.0.stdout, quiet.0.stderr.len()), (ran.0.stdout, 0));
    for line in ["generate drums -o - --json", "generate drums -o - --wav -", "generate drums -o - -n 2"] {
        assert_eq!(place.run(line).code(), 2, "{line}");
    }
}

#[test]
fn the_grid_is_shown_without_colours_or_files() {
    let place = Place::new();
    let ran = place.ok("generate drums --seed 7 --bars 2 --kit kick,snare");
    let text = ran.stdout();
    assert!(text.contains("kick") && text.contains("seed   7"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert_eq!(ran.stderr(), "");
    assert_eq!(place.names(), Vec::<String>::new());
    let mut command = place.command(&["generate", "drums", "--seed", "7", "--bars", "1"]);
    let output = command.env("LC_ALL", "C").output().expect("runs");
    assert!(output.stdout.is_ascii());
}

#[test]
fn existing_files_are_replaced_only_with_f() {
    let place = Place::new();
    place.write("a.mid", b"mine");
    assert_eq!(place.run("generate drums --seed 1 --bars 1 -o a.mid").code(), 1);
    assert_eq!(place.read("a.mid"), b"mine");
    place.ok("generate drums --seed 1 --bars 1 -o a.mid -f");
    assert!(midi::read(&place.read("a.mid")).is_ok());
    assert_eq!(place.names(), ["a.mid"]);
}

#[test]
fn sound_and_picture_are_what_they_say() {
    let place = Place::new();
    place.ok("generate drums --seed 7 --bars 2 --tempo 120 --wav a.wav --picture a.png --wav-format 24 --sample-rate 22050");
    assert_eq!(place.names(), ["a.png", "a.wav"]);
    assert_eq!(place.read("a.png")[..8], *b"\x89PNG\r\n\x1a\n");
    let pcm = partita_audio::read_wav(&place.read("a.wav")).expect("a WAV file");
    assert_eq!(pcm.sample_rate, 22_050);
    assert!(pcm.peak() > 0.1);
    // Two bars of 2 s each, give or take where the last hit falls, and the tail.
    assert!((2.0..=6.0).contains(&pcm.duration()), "{}", pcm.duration());
    place.ok("generate drums --seed 7 --bars 1 --wav 808.wav --sound 808");
    place.ok("generate drums --seed 7 --bars 1 --wav 909.wav --sound 909");
    assert_ne!(place.read("808.wav"), place.read("909.wav"));
}

#[test]
fn every_style_plays() {
    let place = Place::new();
    let styles = place.ok("styles list --json").json();
    for style in styles["styles"].as_array().expect("styles") {
        let name = style["name"].as_str().expect("a name");
        let played = place.ok(&format!("generate drums --seed 2 --bars 1 --style {name} --json")).json();
        assert_eq!(played["style"], name);
        assert!(played["takes"][0]["hits"].as_array().is_some_and(|hits| !hits.is_empty()), "{name}");
    }
    place.ok("generate drums --seed 2 --bars 1 --style any");
}

#[test]
fn a_profile_from_a_file_is_a_style() {
    let place = Place::new();
    place.write("mine.yaml", b"base: funk\ntempo: [100, 110]\nkit: [kick, snare]\n");
    let json = place.ok("generate drums --style mine.yaml --seed 1 --bars 1 --json").json();
    assert_eq!((json["style"].as_str(), json["tempo"].as_f64()), (Some("mine"), Some(105.0)));
    place.write("bad.yaml", b"base: polka\n");
    let ran = place.run("generate drums --style bad.yaml");
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("base must be one of"), "{}", ran.stderr());
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_cleanly_and_leaves_nothing() {
    let place = Place::new();
    let line = ["generate", "drums", "--bars", "32", "-n", "64", "-o", "big.mid"];
    let mut child = place.command(&line).stderr(std::process::Stdio::piped()).spawn().expect("starts");
    // Once its files are staged the program listens.
    while place.names().len() < 64 && child.try_wait().expect("ours").is_none() {
        std::thread::yield_now();
    }
    let sent =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("runs");
    assert!(sent.success());
    let output = child.wait_with_output().expect("ends");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), message.as_str()),
        (Some(130), "error: interrupted; nothing was written\n")
    );
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn a_reader_that_goes_away_takes_no_file_with_it() {
    let place = Place::new();
    let line = "generate drums --seed 7 --bars 2 -o - --wav pipe.wav -q";
    let mut command = place.command(&line.split(' ').collect::<Vec<_>>());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    assert_eq!(place.names(), ["pipe.wav"]);
    assert!(partita_audio::read_wav(&place.read("pipe.wav")).is_ok());
}
