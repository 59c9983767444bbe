//! `interpolate`, `vary`, `sample`, `encode`, `decode`, `drumify`, `groove-transfer` and `humanize` with the small models
//! inside the program.

use partita_score::{Meter, MeterMap, Note, Score, TempoMap, Tick, Track, midi};
use serde_json::Value;

use crate::run::Place;

/// A melody in eighths, 120 ticks a sixteenth, at 100 bpm.
fn melody(place: &Place, name: &str, bars: u32, pitches: &[u8]) {
    let eighth = 240;
    let notes = (0..bars * 8).map(|at| Note {
        onset: Tick(at * eighth),
        end: Tick((at + 1) * eighth),
        pitch: pitches[at as usize % pitches.len()],
        velocity: 90,
    });
    write(place, name, Track { notes: notes.collect(), ..Track::default() }, Meter::COMMON);
}

fn write(place: &Place, name: &str, track: Track, meter: Meter) {
    let score = Score {
        tempos: TempoMap::constant(100.0),
        meters: MeterMap::constant(meter),
        tracks: vec![track],
        ..Score::default()
    };
    place.write(name, &midi::write(&score));
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

#[test]
fn an_interpolation_goes_from_one_piece_to_the_other_and_is_drawn() {
    let place = Place::new();
    melody(&place, "a.mid", 2, &[60, 64, 67, 72]);
    melody(&place, "b.mid", 2, &[67, 65, 62, 59]);
    let line = "interpolate a.mid b.mid --steps 5 --seed 3 --json -o way.mid --picture way.svg";
    let told = place.ok(line).json();
    let pieces = told["pieces"].as_array().expect("pieces");
    assert_eq!(pieces.len(), 5);
    // The ends are where the two files lie, and all pieces have the tempo of the first.
    for (piece, end) in [(&pieces[0], &told["ends"][0]), (&pieces[4], &told["ends"][1])] {
        for (z, mu) in numbers(&piece["z"]).iter().zip(numbers(&end["mu"])) {
            assert!((z - mu).abs() < 1e-5);
        }
    }
    let way = place.score("way.mid");
    assert_eq!(way.tempos.bpm_at(Tick(0)).round(), 100.0);
    let last = way.tracks.iter().flat_map(|track| &track.notes).map(|note| note.onset).max();
    assert!(
        last.expect("notes") >= Tick(8 * 4 * u32::from(way.ppq.get())),
        "the last piece begins with bar 9"
    );
    let picture = String::from_utf8(place.read("way.svg")).expect("text");
    assert!(picture.contains(">0 %</text>") && picture.contains(">100 %</text>"));
    place.ok(&format!("{line} --force"));
    let first = place.read("way.mid");
    place.ok(&format!("{line} --force"));
    assert_eq!(place.read("way.mid"), first, "the same seed gives the same bytes");
    place.ok("interpolate a.mid b.mid --steps 3 --each --blend linear -o each.mid");
    assert!(["each-1.mid", "each-2.mid", "each-3.mid"].iter().all(|name| place.path(name).exists()));
}

#[test]
fn a_point_decodes_to_the_piece_it_came_from_or_near_it() {
    let place = Place::new();
    melody(&place, "a.mid", 2, &[60, 62, 64, 65]);
    place.ok("encode a.mid -o z.json");
    let point: Value = serde_json::from_slice(&place.read("z.json")).expect("JSON");
    assert_eq!(numbers(&point["mu"]).len(), numbers(&point["sigma"]).len());
    assert!(numbers(&point["sigma"]).iter().all(|sigma| *sigma > 0.0));
    let told = place.ok("decode z.json --json -o again.mid").json();
    assert_eq!(numbers(&told["pieces"][0]["z"]), numbers(&point["z"]));
    assert_eq!(place.score("again.mid").tempos.bpm_at(Tick(0)).round(), 100.0);
    let same = place.ok("vary a.mid --amount 0 --json -o same.mid").json();
    assert_eq!(same["pieces"][0]["sequence"]["notes"], told["pieces"][0]["sequence"]["notes"]);
    // All pieces of one call share the passes over the weights; each is what it would be alone.
    let three = place.ok("vary a.mid -n 3 --amount 0.5 --temperature 0.7 --seed 9 --json").json();
    let one = place.ok("vary a.mid -n 1 --amount 0.5 --temperature 0.7 --seed 9 --json").json();
    assert_eq!(three["pieces"][0], one["pieces"][0]);
    let toward = "vary a.mid --toward b.mid --amount 1 --json";
    melody(&place, "b.mid", 2, &[72, 71, 69, 67]);
    let moved = numbers(&place.ok(toward).json()["pieces"][0]["z"]);
    let goal = numbers(&place.ok("encode b.mid --json").json()["mu"]);
    assert!(moved.iter().zip(goal).all(|(z, mu)| (z - mu).abs() < 1e-4), "all the way is the example itself");
}

#[test]
fn new_pieces_come_from_a_seed() {
    let place = Place::new();
    let told = place.ok("sample -n 2 --seed 5 --tempo 90 --json -o new.mid").json();
    assert_eq!(told["pieces"].as_array().map(Vec::len), Some(2));
    assert_eq!(place.score("new-1.mid").tempos.bpm_at(Tick(0)).round(), 90.0);
    let alone = place.ok("sample --seed 5 --tempo 90 --json").json();
    assert_eq!(alone["pieces"][0], told["pieces"][0]);
}

#[test]
fn drums_are_sampled_and_varied_by_the_drum_model() {
    let place = Place::new();
    place.ok("sample --model drums-2bar --seed 1 -o beat.mid");
    let beat = place.drums("beat.mid");
    assert!(beat.hits.len() > 4 && beat.bars <= 2, "{beat:?}");
    let told = place.ok("vary beat.mid --amount 0.2 --seed 1 --json").json();
    assert_eq!(told["model"]["name"], "drums-2bar");
}

#[test]
fn humanizing_with_a_groove_model_keeps_every_note() {
    let place = Place::new();
    let kit = [36, 42, 38, 42];
    let notes = (0..64u32).map(|at| Note {
        onset: Tick(at * 240),
        end: Tick(at * 240 + 120),
        pitch: kit[at as usize % 4],
        velocity: 100,
    });
    let track = Track { channel: 9, notes: notes.collect(), ..Track::default() };
    write(&place, "stiff.mid", track, Meter::COMMON);
    let told = place.ok("humanize stiff.mid --model groove-humanize --seed 2 --json -o played.mid").json();
    assert_eq!(told["model"]["name"], "groove-humanize");
    assert!(told["mean_shift_ms"].as_f64().expect("a number") > 0.5);
    let (stiff, played) = (place.drums("stiff.mid"), place.drums("played.mid"));
    let places = |pattern: &partita_score::DrumPattern| -> Vec<_> {
        pattern.hits.iter().map(|hit| (hit.step, hit.class)).collect()
    };
    assert_eq!(places(&stiff), places(&played));
    place.ok("humanize stiff.mid --model groove-humanize --amount 0 --seed 2 -o same.mid");
    assert_eq!(place.read("same.mid"), place.read("stiff.mid"));

    place.ok("groove-transfer played.mid stiff.mid -o moved.mid");
    let moved = place.drums("moved.mid");
    assert_eq!(places(&moved), places(&stiff));
    assert!(moved.hits.iter().any(|hit| hit.velocity != 100));
    let refused = place.run("groove-transfer played.mid stiff.mid --model groove-humanize -o x.mid");
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr().contains("hits_control"), "{}", refused.stderr());
}

#[test]
fn the_speed_of_a_published_size_is_measured() {
    let place = Place::new();
    let told = place.ok("bench vae --size groovae_2bar_humanize --runs 1 --json").json();
    assert!(told["decode_ms"].as_f64().expect("a number") > 0.0);
    assert_eq!(place.run("bench vae --size nothing").code(), 2);
}

#[test]
fn a_part_gets_drums_that_follow_it() {
    let place = Place::new();
    melody(&place, "bass.mid", 4, &[40, 40, 43, 45]);
    place.ok("drumify bass.mid --seed 4 -o band.mid");
    let band = place.score("band.mid");
    assert_eq!(band.tracks[0], place.score("bass.mid").tracks[0], "the part is as it was");
    let drums = place.drums("band.mid");
    assert!(drums.hits.len() >= 8, "{} hits", drums.hits.len());
    place.ok("drumify bass.mid --seed 4 --only-new -o drums.mid");
    assert_eq!(place.score("drums.mid").tracks.len(), 1);
}

#[test]
fn what_a_model_cannot_read_is_told_with_the_rule_and_the_way_out() {
    let place = Place::new();
    melody(&place, "short.mid", 1, &[60]);
    melody(&place, "long.mid", 6, &[60, 62, 67]);
    let chord =
        |at: u32, pitch| Note { onset: Tick(at * 960), end: Tick(at * 960 + 960), pitch, velocity: 80 };
    let notes = (0..8).flat_map(|at| [chord(at, 60), chord(at, 64), chord(at, 67)]).collect();
    write(&place, "chords.mid", Track { notes, ..Track::default() }, Meter::COMMON);
    let waltz = (0..12).map(|at| chord(at, 60)).collect();
    let three = Meter { numerator: 3, denominator: 4 };
    write(&place, "waltz.mid", Track { notes: waltz, ..Track::default() }, three);
    write(&place, "empty.mid", Track::default(), Meter::COMMON);
    for (line, code, expected) in [
        ("encode short.mid", 1, "must be at least 2 bars long, got 1"),
        ("encode chords.mid", 1, "--extract-melody"),
        ("encode waltz.mid", 1, "3/4"),
        ("encode empty.mid", 1, "must have notes"),
        ("encode long.mid --from-bar 9", 2, "from-bar must be a bar where an example begins: 1, 2"),
        ("encode long.mid --model melody-2bars", 3, "melody-2bar"),
        ("interpolate long.mid long.mid --steps 1", 2, "steps must be in 2..=64, got 1"),
        ("vary long.mid --amount 2", 2, "amount must be in [0, 1], got 2"),
        ("drumify empty.mid", 1, "notes"),
        ("humanize long.mid --model melody-2bar", 1, "drums"),
    ] {
        let ran = place.run(line);
        assert_eq!(ran.code(), code, "{line}: {}", ran.stderr());
        assert!(ran.stderr().contains(expected), "{line}: {}", ran.stderr());
    }
    place.ok("encode chords.mid --extract-melody");
    assert_eq!(place.ok("encode long.mid --from-bar 3 --json").json()["bar"], 3);
    for (z, expected) in [("[1, 2]", "values, got 2"), ("{}", "z must be"), ("[1e999]", "z must be")] {
        place.write("z.json", z.as_bytes());
        let ran = place.run("decode z.json");
        assert_ne!(ran.code(), 0);
        assert!(ran.stderr().contains(expected), "{z}: {}", ran.stderr());
    }
}

/// A file of the reference checkpoints.
fn reference(name: &str) -> String {
    format!("{}/../../testdata/reference/magenta/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn published_magenta_checkpoints_play_from_their_files() {
    let place = Place::new();
    melody(&place, "a.mid", 2, &[60, 64, 67, 72]);
    let archive = reference("ckpt_formats/cat_mel_small_nested.tar");
    let told = place.ok(&format!("encode a.mid --model {archive} --json")).json();
    assert_eq!(told["model"]["tokens"], "melody-90");
    assert_eq!(numbers(&told["z"]).len() as u64, told["model"]["z"].as_u64().expect("a size"));
    let js = reference("tfjs/mel_f32");
    place.ok(&format!("sample --model {js} --seed 1 --json"));
    let bundle = reference("rnn/attention_rnn/attention_rnn.mag");
    let line = format!("continue a.mid --model {bundle} --bars 2 --seed 3 --temperature 1 --json");
    let told = place.ok(&format!("{line} -o more.mid")).json();
    assert_eq!(told["model"]["name"], "attention_rnn");
    let (before, after) = (place.score("a.mid"), place.score("more.mid"));
    let notes = &before.tracks[0].notes;
    assert_eq!(&after.tracks[0].notes[..notes.len()], &notes[..], "what was there stays");
    let bar = 4 * u32::from(before.ppq.get());
    assert!(
        after.tracks[0].notes[notes.len()..].iter().all(|note| (2 * bar..4 * bar).contains(&note.onset.0))
    );
    let again = place.ok(&line).json();
    assert_eq!(again["takes"], told["takes"]);
    let refused = place.run(&format!("continue a.mid --model {bundle} --style funk -o x.mid"));
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr().contains("style"), "{}", refused.stderr());
    place.write("cut.tar", &std::fs::read(&archive).expect("the archive")[..3000]);
    let broken = place.run("encode a.mid --model cut.tar");
    assert_eq!(broken.code(), 1);
    assert!(broken.stderr().contains("cut.tar"), "{}", broken.stderr());
}
