//! What `continue`, `infill`, `humanize` and `render` leave alone.

use crate::run::Place;
use partita_score::{
    Control, ControlKind, DrumClass, Meter, MeterMap, Note, Score, TempoMap, Text, TextKind, Tick, Track,
    midi,
};

const SAMPLE: &str = "drummer7-hiphop-100-4-4.mid";

fn note(onset: u32, end: u32, pitch: u8, velocity: u8) -> Note {
    Note { onset: Tick(onset), end: Tick(end), pitch, velocity }
}

fn word(at: u32, kind: TextKind, text: &str, track: &str) -> Text {
    Text { at: Tick(at), kind, text: text.into(), track: track.into() }
}

/// Four bars of a rock beat at 96 ticks a quarter with a bass, a bend and a drum no class knows, as `song.mid`.
fn song(place: &Place) -> Score {
    let mut drums = Vec::new();
    for eighth in 0..32u32 {
        let at = eighth * 48;
        drums.push(note(at, at + 20, 42, 70));
        match eighth % 4 {
            0 => drums.push(note(at, at + 30, 36, 100)),
            2 => drums.push(note(at + 1, at + 40, 38, 90)),
            _ => drums.push(note(at, at + 10, 88, 50)),
        }
    }
    let bend = Control { at: Tick(100), kind: ControlKind::PitchBend { value: 900 } };
    let bass = (0..8).map(|index| note(index * 192, index * 192 + 100, 40, 80)).collect();
    let score = Score {
        ppq: partita_score::Ppq::new(96).expect("valid"),
        tempos: TempoMap::new(vec![(Tick(0), 600_000), (Tick(768), 590_000)]),
        meters: MeterMap::constant(Meter::COMMON),
        tracks: vec![
            Track { name: "Bass".into(), channel: 1, program: 33, notes: bass, controls: vec![bend] },
            Track { name: "Kit".into(), channel: 9, program: 0, notes: drums, controls: Vec::new() },
        ],
        texts: vec![word(0, TextKind::Copyright, "nobody", ""), word(768, TextKind::Marker, "B", "")],
        ..Score::default()
    };
    place.write("song.mid", &midi::write(&score));
    assert_eq!(place.score("song.mid"), score);
    score
}

/// Everything but the notes of the drum track.
fn frame(score: &Score) -> Score {
    let mut frame = score.clone();
    frame.tracks.iter_mut().filter(|track| track.is_drums()).for_each(|track| track.notes.clear());
    frame
}

#[test]
fn continuing_keeps_the_input() {
    let place = Place::new();
    let score = song(&place);
    place.ok("continue song.mid --bars 2 --seed 4 -o more.mid");
    let more = place.score("more.mid");
    assert_eq!(frame(&more), frame(&score));
    let notes = &score.tracks[1].notes;
    assert_eq!(more.tracks[1].notes[..notes.len()], notes[..]);
    assert!(more.tracks[1].notes.len() > notes.len());
    // An early first hit may come up to half a sixteenth before the bar line.
    assert!(more.tracks[1].notes[notes.len()..].iter().all(|note| note.onset >= Tick(4 * 384 - 12)));
    place.ok("continue song.mid --bars 2 --seed 4 --only-new -o new.mid");
    let new = place.drums("new.mid");
    assert!(new.bars <= 2);
    assert_eq!(new.hits.len(), more.tracks[1].notes.len() - notes.len());
}

#[test]
fn infilling_keeps_the_rest_note_for_note() {
    let place = Place::new();
    let score = song(&place);
    place.ok("infill song.mid --bars 3-4 --lanes hihat,ride --seed 2 -o new.mid");
    let new = place.score("new.mid");
    assert_eq!(frame(&new), frame(&score));
    let open = |note: &Note| {
        let step = (f64::from(note.onset.0) / 24.0 + 0.5).floor();
        let lanes = [DrumClass::ClosedHat, DrumClass::OpenHat, DrumClass::Ride];
        step >= 32.0 && DrumClass::from_gm(note.pitch).is_some_and(|class| lanes.contains(&class))
    };
    let kept =
        |score: &Score| score.tracks[1].notes.iter().filter(|note| !open(note)).copied().collect::<Vec<_>>();
    assert_eq!(kept(&new), kept(&score));
    assert_ne!(new.tracks[1].notes, score.tracks[1].notes);
    let json = place.ok("infill song.mid --bars 3 --lanes snare --seed 2 --json").json();
    for hit in json["takes"][0]["hits"].as_array().expect("hits") {
        assert_eq!((hit["bar"].as_u64(), hit["drum"].as_str()), (Some(2), Some("snare")));
    }
}

#[test]
fn humanizing_by_nothing_changes_no_byte() {
    let place = Place::new();
    song(&place);
    place.ok("humanize song.mid --amount 0 -o same.mid");
    assert_eq!(place.read("same.mid"), place.read("song.mid"));
    place.sample("edge-running-status-after-meta.mid");
    if place.run("inspect in.mid --json").json()["drums"].is_object() {
        place.ok("humanize in.mid --amount 0 -o same2.mid");
        assert_eq!(place.read("same2.mid"), place.read("in.mid"));
    }
    place.sample(SAMPLE);
    place.ok("humanize in.mid --amount 0 -o same3.mid");
    assert_eq!(place.read("same3.mid"), place.read("in.mid"));
}

#[test]
fn humanizing_moves_time_and_velocity_only() {
    let place = Place::new();
    let score = song(&place);
    place.ok("humanize song.mid --style funk --seed 3 -o played.mid");
    let played = place.score("played.mid");
    assert_eq!(frame(&played), frame(&score));
    let notes = |score: &Score, pitch: u8| -> Vec<(u32, u32)> {
        let notes = score.tracks[1].notes.iter().filter(|note| note.pitch == pitch);
        notes.map(|note| (note.onset.0, note.end.0 - note.onset.0)).collect()
    };
    for pitch in [36, 38, 42] {
        let (before, after) = (notes(&score, pitch), notes(&played, pitch));
        assert_eq!(before.len(), after.len(), "{pitch}");
        for ((from, length), (to, new_length)) in before.into_iter().zip(after) {
            assert!(from.abs_diff(to) <= 13, "{pitch}: {from} {to}");
            assert_eq!(length, new_length, "{pitch}");
        }
    }
    assert_eq!(notes(&score, 88), notes(&played, 88));
    assert_ne!(played.tracks[1].notes, score.tracks[1].notes);
    place.ok("humanize song.mid --style funk --seed 3 -o again.mid");
    assert_eq!(place.read("again.mid"), place.read("played.mid"));
}

#[test]
fn rendering_gives_a_wav_of_the_right_length() {
    let place = Place::new();
    let score = song(&place);
    let json = place.ok("render song.mid -o a.wav --json").json();
    let pcm = partita_audio::read_wav(&place.read("a.wav")).expect("a WAV file");
    let expected = score.duration().0 + 1.5;
    assert!((pcm.duration() - expected).abs() < 0.01, "{} {expected}", pcm.duration());
    assert_eq!(pcm.channels.len(), 2);
    assert!((json["seconds"].as_f64().unwrap_or(0.0) - pcm.duration()).abs() < 0.001);
    let piped = place.ok("render song.mid -o - --wav-format float");
    assert_eq!(piped.0.stdout[..4], *b"RIFF");
    let bytes = place.read("a.wav");
    let stdin = std::fs::File::open(place.path("song.mid")).expect("written above");
    let output = place.command(&["render", "-", "-o", "b.wav"]).stdin(stdin).output().expect("runs");
    assert!(output.status.success());
    assert_eq!(place.read("b.wav"), bytes);
}

#[test]
fn continuing_holds_the_metre_under_the_new_bars() {
    let place = Place::new();
    let waltz = Meter { numerator: 3, denominator: 4 };
    let (join, end) = (4 * 384, 6 * 384);
    // After the last stroke, at the join, under the new bars, at their end and after it.
    for at in [join - 40, join, join + 100, end, end + 384] {
        let mut score = song(&place);
        score.meters = MeterMap::new(vec![(Tick(0), Meter::COMMON), (Tick(at), waltz)]);
        place.write("song.mid", &midi::write(&score));
        place.ok("continue song.mid --bars 2 --seed 4 -o more.mid -f");
        assert_eq!(place.drums("more.mid").meter, Meter::COMMON, "{at}");
        let meters = MeterMap::new(vec![(Tick(0), Meter::COMMON), (Tick(at.max(end)), waltz)]);
        assert_eq!(place.score("more.mid").meters, meters, "{at}");
        place.ok("continue more.mid --bars 1 --seed 4 -o most.mid -f");
        place.ok("inspect most.mid");
    }
}

#[test]
fn continuing_goes_on_in_the_tempo_of_the_join() {
    let place = Place::new();
    let mut score = song(&place);
    score.tempos = TempoMap::new(vec![(Tick(0), 600_000), (Tick(4 * 384), 400_000)]);
    place.write("song.mid", &midi::write(&score));
    let json = place.ok("continue song.mid --bars 1 --seed 4 --only-new -o new.mid --json").json();
    assert_eq!(json["tempo"].as_f64(), Some(150.0));
    assert_eq!(place.score("new.mid").tempos, TempoMap::constant(150.0));
    place.ok("continue song.mid --bars 1 --seed 4 -o more.mid");
    assert_eq!(place.score("more.mid").tempos, score.tempos);
}

#[test]
fn humanizing_bears_a_metre_change_behind_the_last_stroke() {
    let place = Place::new();
    let mut score = song(&place);
    let last = score.tracks[1].notes.iter().map(|note| note.onset.0).max().expect("has drums");
    let waltz = Meter { numerator: 3, denominator: 4 };
    score.meters = MeterMap::new(vec![(Tick(0), Meter::COMMON), (Tick(last + 1), waltz)]);
    // The unknown drum would hide that the last stroke moves.
    score.tracks[1].notes.retain(|note| note.pitch != 88);
    place.write("song.mid", &midi::write(&score));
    let mut late = 0;
    for seed in 1..=8 {
        let json = place.ok(&format!("humanize song.mid --seed {seed} -o played.mid -f --json")).json();
        assert_eq!(json["hits"].as_array().map(Vec::len), Some(score.tracks[1].notes.len()));
        let played = place.score("played.mid");
        late += u32::from(played.tracks[1].notes.iter().any(|note| note.onset.0 > last));
    }
    assert!(late > 0, "no seed plays the last stroke late");
}

#[test]
fn infilling_keeps_the_drums_a_profile_cannot_play() {
    let place = Place::new();
    let score = song(&place);
    place.write("mine.yaml", b"base: funk\nkit: [kick, snare]\n");
    place.ok("infill song.mid --style mine.yaml --seed 2 -o new.mid");
    let hats = |score: &Score| {
        let notes = score.tracks[1].notes.iter().filter(|note| ![36, 38].contains(&note.pitch));
        notes.copied().collect::<Vec<_>>()
    };
    let new = place.score("new.mid");
    assert_eq!(hats(&new), hats(&score));
    assert_ne!(new.tracks[1].notes, score.tracks[1].notes);
    let ran = place.run("infill song.mid --style mine.yaml --lanes hihat,ride -o none.mid");
    assert_eq!(ran.code(), 2);
    let message = "error: lanes must name drums of style mine (kick, snare), got hihat,ride\n";
    assert_eq!(ran.stderr(), message);
}

#[test]
fn any_tempo_of_a_file_can_be_worked_on() {
    let place = Place::new();
    for bpm in [30.0, 400.0] {
        let mut score = song(&place);
        score.tempos = TempoMap::constant(bpm);
        place.write("song.mid", &midi::write(&score));
        for line in ["humanize song.mid", "continue song.mid --bars 1", "infill song.mid --bars 4"] {
            place.ok(&format!("{line} --seed 1 -o new.mid -f"));
            assert_eq!(place.score("new.mid").tempos, score.tempos, "{line}");
        }
    }
}

#[test]
fn words_stay_with_a_melody_whatever_is_made_of_it() {
    let place = Place::new();
    let notes = [60, 62, 64, 65, 67, 65, 64, 62, 60, 64, 67, 72, 71, 67, 62, 60];
    let notes = (0..).zip(notes).map(|(beat, pitch)| note(beat * 480, beat * 480 + 480, pitch, 80)).collect();
    let texts = vec![
        word(0, TextKind::Marker, "Verse", ""),
        word(0, TextKind::Lyric, "Hal-", "Tune"),
        word(480, TextKind::Lyric, "lo", "Tune"),
        word(7200, TextKind::Lyric, "end", "Tune"),
    ];
    let tune = Track { name: "Tune".into(), notes, ..Track::default() };
    let score = Score { tracks: vec![tune], texts: texts.clone(), ..Score::default() };
    place.write("tune.mid", &midi::write(&score));
    for line in [
        "infill tune.mid --bars 2-2 --seed 1 -o a.mid",
        "continue tune.mid --bars 2 --seed 1 -o a.mid",
        "harmonize tune.mid --seed 1 -o a.mid",
        "vary tune.mid --seed 1 -o a.mid",
        "arrange tune.mid --chords C --bass roots --piano held -o a.mid",
        "convert tune.mid -o a.mid",
    ] {
        place.ok(&format!("{line} -f"));
        assert_eq!(place.score("a.mid").texts, texts, "{line}");
    }
    place.ok("reduce tune.mid -o a.mid -f");
    let mut reduced = texts.clone();
    reduced.iter_mut().filter(|text| !text.track.is_empty()).for_each(|text| text.track = "melody".into());
    assert_eq!(place.score("a.mid").texts, reduced);
    for notation in ["a.musicxml", "a.abc"] {
        place.ok(&format!("convert tune.mid -o {notation}"));
        place.ok(&format!("convert {notation} -o b.mid -f"));
        let read = place.score("b.mid").texts;
        assert_eq!(read, texts[1..], "{notation}");
    }
}
