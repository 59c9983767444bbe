//! Four voices from outside: what is given stays, what is new obeys.

use partita_score::harmony::Key;
use partita_score::{Meter, Note, Score, Tick, Track, midi};

use crate::run::Place;

const VOICES: [&str; 4] = ["Soprano", "Alto", "Tenor", "Bass"];

fn voice<'a>(score: &'a Score, name: &str) -> &'a [Note] {
    &score.tracks.iter().find(|track| track.name == name).expect("a track of the voice").notes
}

/// Pitches that sound in each sixteenth, soprano first.
fn cells(score: &Score) -> Vec<[Option<u8>; 4]> {
    let ticks = u32::from(score.ppq.get()) / 4;
    let sounds = |name: &str, t: u32| {
        let note = voice(score, name).iter().find(|note| (note.onset.0..note.end.0).contains(&(t * ticks)));
        note.map(|note| note.pitch)
    };
    (0..score.end().0 / ticks).map(|t| VOICES.map(|name| sounds(name, t))).collect()
}

#[test]
fn a_new_chorale_keeps_key_ranges_metre_and_the_order_of_voices() {
    let place = Place::new();
    let line = "generate chorale --bars 6 --time 3/4 --tempo 72 --key Eb --bass 41-58 --forbid C --max-leap 9 \
                --seed 11 -n 2 --candidates 2";
    let told = place.ok(&format!("{line} -o t.mid --json")).json();
    for name in ["t-1.mid", "t-2.mid"] {
        let score = place.score(name);
        assert_eq!(score.tracks.iter().map(|track| track.name.as_str()).collect::<Vec<_>>(), VOICES);
        assert_eq!(score.meters.at(Tick(0)), Meter::new(3, 4).expect("valid"));
        assert_eq!(score.end().0, 6 * 3 * u32::from(score.ppq.get()));
        let key: Key = "Eb".parse().expect("a key");
        let cells = cells(&score);
        assert_eq!(cells.len(), 6 * 12);
        for step in &cells {
            let pitches = step.map(|pitch| pitch.expect("no voice rests"));
            assert!(pitches.is_sorted_by(|above, below| above >= below), "{pitches:?}");
            assert!(pitches.iter().all(|pitch| key.contains(*pitch) && pitch % 12 != 0), "{pitches:?}");
            assert!((41..=58).contains(&pitches[3]), "{pitches:?}");
        }
        for name in VOICES {
            let leaps = voice(&score, name).windows(2).map(|pair| pair[0].pitch.abs_diff(pair[1].pitch));
            assert!(leaps.max().unwrap_or(0) <= 9, "{name}");
        }
        assert_eq!(cells.last().expect("steps")[3].expect("a bass") % 12, 3, "it ends on E flat");
    }
    assert_ne!(place.read("t-1.mid"), place.read("t-2.mid"));
    assert_eq!(told["takes"][1]["cells"], 6 * 12 * 4);
    let again =
        told["command"].as_str().expect("a command").replace("'Eb major'", "Eb").replace("t.mid", "u.mid");
    place.ok(again.trim_start_matches("partita "));
    assert_eq!(place.read("t-1.mid"), place.read("u-1.mid"));
}

#[test]
fn a_melody_gets_three_voices_and_stays_tick_for_tick() {
    let place = Place::new();
    place.ok("generate melody --key D --bars 4 --seed 2 -o m.mid");
    let told = place.ok("generate chorale m.mid --voice alto --seed 5 --key D -o c.mid --json").json();
    assert_eq!(told["given"], serde_json::json!(["Alto"]));
    let (given, whole) = (place.score("m.mid"), place.score("c.mid"));
    let names: Vec<&str> = whole.tracks.iter().map(|track| track.name.as_str()).collect();
    assert_eq!(names, VOICES, "in their order, and no block chords beside them");
    let melody = given.tracks.iter().find(|track| track.name == "melody").expect("a melody");
    let alto = Track { name: "Alto".into(), ..melody.clone() };
    assert_eq!(whole.tracks[1], alto, "the melody's own track sings alto");
    assert_eq!((whole.ppq, &whole.tempos, &whole.chords), (given.ppq, &given.tempos, &given.chords));
    let key: Key = "D".parse().expect("a key");
    for name in ["Soprano", "Tenor", "Bass"] {
        assert!(!voice(&whole, name).is_empty());
        assert!(voice(&whole, name).iter().all(|note| key.contains(note.pitch)), "{name}");
    }
}

#[test]
fn a_harmonized_melody_can_be_written_anew_in_part() {
    let place = Place::new();
    place.ok("generate melody --key D --bars 4 --seed 2 -o m.mid");
    // Names that no voice has, and a track that is no voice's.
    let mut score = place.score("m.mid");
    for (name, tune) in [("melody", "melody"), ("nameless", ""), ("piano", "Piano")] {
        score.tracks[0].name = tune.into();
        if name == "piano" {
            score
                .tracks
                .insert(0, Track { name: "hand claps".into(), channel: 9, ..score.tracks[0].clone() });
        }
        place.write(&format!("{name}.mid"), &midi::write(&score));
        place.ok(&format!("generate chorale {name}.mid --seed 1 -f -o choir.mid"));
        place.ok("generate chorale choir.mid --rewrite-bars 3-4 --rewrite-voices alto,tenor -f -o inner.mid");
        let (choir, inner) = (place.score("choir.mid"), place.score("inner.mid"));
        let names =
            |score: &Score| -> Vec<String> { score.tracks.iter().map(|it| it.name.clone()).collect() };
        assert_eq!(names(&choir), names(&inner), "{name}");
        assert_eq!(choir.tracks.iter().filter(|track| !track.is_drums()).count(), 4, "{name}");
        for voice in ["Soprano", "Bass"] {
            assert_eq!(self::voice(&choir, voice), self::voice(&inner, voice), "{name}");
        }
        assert_ne!(cells(&choir), cells(&inner), "{name}");
    }
}

#[test]
fn a_region_is_written_anew_and_all_else_stays() {
    let place = Place::new();
    place.ok("generate chorale --bars 4 --key G --seed 3 -o a.mid");
    place
        .ok("generate chorale a.mid --rewrite-bars 2-3 --rewrite-voices alto,bass --seed 9 --key G -o b.mid");
    let (before, after) = (place.score("a.mid"), place.score("b.mid"));
    let bar = 4 * u32::from(before.ppq.get());
    for name in ["Soprano", "Tenor"] {
        assert_eq!(voice(&before, name), voice(&after, name));
    }
    for name in ["Alto", "Bass"] {
        let outside = |score: &Score| -> Vec<Note> {
            let notes = voice(score, name).iter();
            notes.filter(|note| !(bar..3 * bar).contains(&note.onset.0)).copied().collect()
        };
        assert_eq!(outside(&before), outside(&after), "{name}");
    }
    assert_ne!(cells(&before), cells(&after));
    assert!(cells(&after).iter().flatten().all(Option::is_some), "no hole is left");
}

#[test]
fn what_four_voices_cannot_sing_is_refused_and_leaves_nothing() {
    let place = Place::new();
    place.ok("generate chorale --bars 2 --seed 1 -o full.mid");
    let refused = |line: &str, part: &str| {
        let ran = place.run(line);
        assert!(ran.code() == 2 && ran.stderr().contains(part), "{line}: {} {}", ran.code(), ran.stderr());
    };
    refused("generate chorale --bass 80-84 -o no.mid", "range and no crossing of voices");
    refused("generate chorale --bass 10-20 -o no.mid", "range of the bass must be");
    refused("generate chorale --key C --scale F# -o no.mid", "scale");
    refused("generate chorale full.mid -o no.mid", "rewrite-voices or rewrite-bars");
    refused(
        "generate chorale full.mid --rewrite-bars 9-10 -o no.mid",
        "rewrite-bars must be in 1-2, got 9-10",
    );
    refused("generate chorale full.mid --rewrite-bars 2-9 -o no.mid", "rewrite-bars must be in 1-2, got 2-9");
    refused("generate chorale full.mid --rewrite-voices tuba -o no.mid", "soprano, alto, tenor, bass");
    refused("generate chorale --voice alto -o no.mid", "IN");
    refused("generate chorale --candidates 60 -n 2 -o no.mid", "candidates must be in 1..=32");
    assert_eq!(place.names(), ["full.mid"]);
}
