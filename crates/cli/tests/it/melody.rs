//! Lead sheets from outside: what was asked for is in the file, and what was given stays.

use partita_score::harmony::{Key, parse_symbol};
use partita_score::{Meter, Score, Tick, notation};

use crate::run::Place;

const ASKED: [&str; 14] = [
    "generate",
    "melody",
    "--key",
    "F# minor",
    "--time",
    "7/8",
    "--bars",
    "8",
    "--range",
    "55-79",
    "--chords",
    "F#m Bm | C#m7",
    "--seed",
    "3",
];

fn asked(place: &Place, more: &[&str]) -> crate::run::Ran {
    let ran = crate::run::Ran(place.command(&[&ASKED, more].concat()).output().expect("the program starts"));
    assert_eq!(ran.code(), 0, "{}", ran.stderr());
    ran
}

fn melody(score: &Score) -> Vec<(u32, u32, u8)> {
    let track = score.tracks.iter().find(|track| track.name == "melody").expect("a track called melody");
    track.notes.iter().map(|note| (note.onset.0, note.end.0, note.pitch)).collect()
}

#[test]
fn a_melody_keeps_key_range_metre_bars_and_harmony() {
    let place = Place::new();
    let told = asked(&place, &["-o", "t.mid", "--json"]).json();
    let score = place.score("t.mid");
    let key: Key = "F# minor".parse().expect("a key");
    let notes = melody(&score);
    assert!(!notes.is_empty());
    assert!(notes.iter().all(|(.., pitch)| key.contains(*pitch) && (55..=79).contains(pitch)), "{notes:?}");
    let bar = u32::from(score.ppq.get()) * 7 / 2;
    assert!(score.end() <= Tick(8 * bar));
    assert_eq!(score.meters.at(Tick(0)), Meter::new(7, 8).expect("valid"));
    let names: Vec<&str> = score.tracks.iter().map(|track| track.name.as_str()).collect();
    assert_eq!(names, ["melody", "chords"]);
    let first: Vec<_> = score.chords.iter().take(3).map(|change| change.chord.clone()).collect();
    assert_eq!(first, ["F#m", "Bm", "C#m7"].map(|symbol| parse_symbol(symbol).expect("a chord")));
    assert_eq!((told["bars"].as_u64(), told["time"].as_str()), (Some(8), Some("7/8")));
    assert_eq!(told["takes"][0]["notes"]["tracks"][0]["notes"].as_array().map(Vec::len), Some(notes.len()));
    // The tonic ends it.
    assert_eq!(notes.last().expect("notes").2 % 12, key.tonic.pitch_class());
}

#[test]
fn one_call_gives_aligned_files_in_several_formats_and_the_same_seed_the_same_bytes() {
    let place = Place::new();
    asked(&place, &["-o", "t.mid", "-o", "t.musicxml", "-o", "t.abc", "-o", "t.json", "--picture", "t.svg"]);
    let score = place.score("t.mid");
    let seconds = |score: &Score| -> Vec<(i64, u8)> {
        let mut notes: Vec<_> = score
            .tracks
            .iter()
            .flat_map(|track| &track.notes)
            .map(|note| (i64::from(note.onset.0) * 480 / i64::from(score.ppq.get()), note.pitch))
            .collect();
        notes.sort_unstable();
        notes
    };
    for name in ["t.musicxml", "t.abc", "t.json"] {
        let (read, _) = notation::read_any(&place.read(name)).expect(name);
        assert_eq!(seconds(&read), seconds(&score), "{name}");
    }
    asked(&place, &["-o", "again.mid"]);
    assert_eq!(place.read("t.mid"), place.read("again.mid"));
    place.ok("convert t.musicxml -o back.mid");
    assert_eq!(seconds(&place.score("back.mid")), seconds(&score));
}

#[test]
fn contradictions_and_unreadable_chords_are_told_before_anything_is_written() {
    let place = Place::new();
    let ran = place.run("generate melody --key C --require F#4 -o t.mid");
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("F#4") && ran.stderr().contains("scale"), "{}", ran.stderr());
    let arguments = ["generate", "melody", "--chords", "Cm7 Hq7", "-o", "t.mid"];
    let ran = crate::run::Ran(place.command(&arguments).output().expect("the program starts"));
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("column 5"), "{}", ran.stderr());
    let ran = place.run("generate melody --mood gloomyish -o t.mid");
    assert!(ran.code() == 2 && ran.stderr().contains("sad"), "{}", ran.stderr());
    assert!(place.names().iter().all(|name| name != "t.mid"));
}

#[test]
fn infill_and_continue_keep_every_other_note() {
    let place = Place::new();
    asked(&place, &["-o", "t.mid"]);
    let before = melody(&place.score("t.mid"));
    place.ok("infill t.mid --bars 3-4 --seed 5 -o i.mid");
    let bar = u32::from(place.score("t.mid").ppq.get()) * 7 / 2;
    let outside = |notes: Vec<(u32, u32, u8)>| -> Vec<_> {
        notes.into_iter().filter(|(onset, ..)| !(2 * bar..4 * bar).contains(onset)).collect()
    };
    let filled = melody(&place.score("i.mid"));
    assert_ne!(filled, before);
    assert_eq!(outside(filled), outside(before.clone()));
    place.ok("continue t.mid --bars 4 --seed 5 -o c.mid");
    let longer = melody(&place.score("c.mid"));
    assert_eq!(longer[..before.len()], before);
    assert!(longer.iter().any(|(onset, ..)| *onset >= 8 * bar), "nothing was written");
    assert!(longer.iter().all(|(_, end, _)| *end <= 12 * bar));
}

#[test]
fn a_melody_is_harmonized_and_a_piece_reduced_without_losing_a_note() {
    let place = Place::new();
    place.ok("generate melody --no-chords --bars 6 --seed 2 -o m.mid");
    let score = place.score("m.mid");
    assert!(score.chords.is_empty());
    place.ok("harmonize m.mid --seed 1 -o h.mid");
    let harmonized = place.score("h.mid");
    assert_eq!(melody(&harmonized), melody(&score));
    assert!(!harmonized.chords.is_empty());
    place.ok("reduce h.mid -o r.mid");
    let reduced = place.score("r.mid");
    assert_eq!(melody(&reduced), melody(&score));
    assert_eq!(reduced.chords, harmonized.chords);
}

#[test]
fn a_longer_melody_is_varied_by_a_share_of_its_bars() {
    let place = Place::new();
    asked(&place, &["-o", "t.mid"]);
    let before = place.score("t.mid");
    let bar = u32::from(before.ppq.get()) * 7 / 2;
    let told = place.ok("vary t.mid --amount 0.5 --seed 5 -n 2 --range 58-74 --json -o v.mid").json();
    let anew: Vec<u64> =
        told["anew"].as_array().expect("bars").iter().filter_map(serde_json::Value::as_u64).collect();
    assert_eq!(anew.len(), 4, "{anew:?}");
    let key: Key = "F# minor".parse().expect("a key");
    for name in ["v-1.mid", "v-2.mid"] {
        let after = place.score(name);
        assert_eq!(after.tracks[1..], before.tracks[1..]);
        assert_eq!((&after.chords, &after.tempos), (&before.chords, &before.tempos));
        let (new, kept): (Vec<_>, Vec<_>) =
            melody(&after).into_iter().partition(|(onset, ..)| anew.contains(&u64::from(onset / bar + 1)));
        let mut stays = melody(&before);
        stays.retain(|(onset, ..)| !anew.contains(&u64::from(onset / bar + 1)));
        assert_eq!(kept, stays);
        assert!(!new.is_empty());
        assert!(new.iter().all(|(.., pitch)| key.contains(*pitch) && (58..=74).contains(pitch)), "{new:?}");
    }
    assert_ne!(melody(&place.score("v-1.mid")), melody(&place.score("v-2.mid")));
    assert!(place.makes_again(&told, "v-2.mid"));

    let none = place.ok("vary t.mid --amount 0 --seed 5 --json -o none.mid").json();
    assert_eq!((&none["anew"], place.score("none.mid")), (&serde_json::json!([]), before.clone()));
    let all = place.ok("vary t.mid --amount 1 --seed 5 --json -o all.mid").json();
    assert_eq!(all["anew"].as_array().map(Vec::len), Some(8));
    let text = place.ok("vary t.mid --amount 0.2 --seed 5 -o some.mid").stdout();
    assert!(text.contains("\nanew   bars "), "{text}");
}

#[test]
fn options_of_the_writer_and_of_a_musicvae_do_not_mix() {
    let place = Place::new();
    asked(&place, &["-o", "t.mid"]);
    for (line, expected) in [
        ("vary t.mid --range 55-79 --toward t.mid", "range must be left out with a MusicVAE"),
        ("vary t.mid --model melody-2bar --key C", "key must be left out with a MusicVAE"),
        ("vary t.mid --track 9", "track must be one of 2 with notes, got 9"),
        ("vary t.mid --amount 1.5", "amount must be in [0, 1], got 1.5"),
    ] {
        let ran = place.run(line);
        assert_eq!(ran.code(), 2, "{line}: {}", ran.stderr());
        assert!(ran.stderr().contains(expected), "{line}: {}", ran.stderr());
    }
    // Two bars go to the MusicVAE, or to the writer if they are to obey.
    place.ok("generate melody --bars 2 --no-chords --seed 1 -o two.mid");
    assert_eq!(place.ok("vary two.mid --json").json()["model"]["family"], "music_vae");
    let obeys = place.ok("vary two.mid --key C --amount 1 --json").json();
    assert_eq!(obeys["model"]["family"], "melody");
}

#[test]
fn attention_and_its_picture_are_written_for_all_tokens() {
    let place = Place::new();
    let told = asked(&place, &["--attention", "a.safetensors", "--heat-map", "a.png", "--json"]).json();
    let bytes = place.read("a.safetensors");
    let header =
        usize::try_from(u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))).expect("small");
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).expect("a header");
    let written = told["takes"][0]["tokens"].as_u64();
    let shape = &header["attention.0"]["shape"];
    assert_eq!(shape[1].as_u64(), written);
    assert_eq!(header["tokens"]["shape"][0], shape[2]);
    assert!(place.read("a.png").starts_with(b"\x89PNG"));
}

#[test]
fn obedience_is_measured_and_found() {
    let place = Place::new();
    let told = place.ok("bench obedience -n 60 --json").json();
    assert_eq!(told["violations"], 0);
    assert!(told["melody"]["written"].as_u64() > Some(5));
    assert!(told["melody"]["cost_nats_per_token"].as_f64() > Some(0.0));
}

#[test]
fn settings_come_from_a_profile_of_ones_own() {
    let place = Place::new();
    std::fs::write(place.path("calm.yaml"), "temperature: 0.3\ntop_k: 5\n").expect("written");
    place.ok("generate melody --bars 4 --seed 2 --profile calm.yaml -o a.mid");
    place.ok("generate melody --bars 4 --seed 2 --temperature 0.3 --top-k 5 --top-p 1 -o b.mid");
    assert_eq!(place.read("a.mid"), place.read("b.mid"));
    for (yaml, part) in [("temperature: 9", "temperature must be in (0, 4], got 9"), ("warmth: 1", "warmth")]
    {
        std::fs::write(place.path("bad.yaml"), yaml).expect("written");
        let ran = place.run("generate melody --profile bad.yaml");
        assert!(ran.code() == 2 && ran.stderr().contains(part), "{}", ran.stderr());
    }
    let ran = place.run("generate melody --profile wild");
    assert!(ran.code() == 2 && ran.stderr().contains("balanced, conservative, creative"), "{}", ran.stderr());
}
