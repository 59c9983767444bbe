//! Notation files: what is written reads back the same, real files of others are read, damaged ones are refused.

use crate::test_files;
use partita_score::harmony::{Chord, ChordKind, Degree, DegreeOp, NoteName};
use partita_score::notation::{self, Format, abc, layout, musicxml};
use partita_score::{
    ChordChange, KeyChange, Meter, MeterMap, Note, Ppq, Score, TempoMap, Text, TextKind, Tick, Track, midi,
};
use proptest::{collection::vec, prelude::*};
use std::path::PathBuf;

/// A sixteenth at 480 ticks a quarter.
const STEP: u32 = 120;

/// Voices that never overlap themselves, each on the 16th grid or in triplets of eighths, bar for bar.
fn melody() -> impl Strategy<Value = Vec<Note>> {
    let piece = (0..4u32, 1..12u32, 36..96u8, any::<bool>(), 1..=127u8);
    vec(piece, 1..24).prop_map(|pieces| {
        let (mut notes, mut now) = (Vec::new(), 0);
        for (gap, length, pitch, triplets, velocity) in pieces {
            now += gap * STEP;
            if triplets {
                // Three in the time of a beat.
                now = now.next_multiple_of(480);
                for step in 0..3 {
                    let onset = Tick(now + step * 160);
                    notes.push(Note { onset, end: Tick(onset.0 + 160), pitch: pitch + step as u8, velocity });
                }
                now += 480;
            } else {
                notes.push(Note { onset: Tick(now), end: Tick(now + length * STEP), pitch, velocity });
                now += length * STEP;
            }
        }
        notes
    })
}

fn chord() -> impl Strategy<Value = Option<Chord>> {
    let kinds: Vec<ChordKind> = ChordKind::all().collect();
    let change = (0..3u8, 2..=13u8, -1..=1i8);
    let built =
        (-6..=8i32, proptest::sample::select(kinds), vec(change, 0..2), proptest::option::of(-6..=8i32));
    proptest::option::weighted(
        0.9,
        built.prop_map(|(root, kind, changes, bass)| {
            let mut chord = Chord::new(NoteName::from_fifths(root), kind);
            chord.changes = changes
                .into_iter()
                .map(|(op, value, alter)| Degree {
                    value,
                    op: [DegreeOp::Alter, DegreeOp::Add, DegreeOp::Omit][usize::from(op)],
                    alter,
                })
                .collect();
            let chord = chord.simplified();
            bass.map_or(chord.clone(), |bass| chord.over(NoteName::from_fifths(bass)))
        }),
    )
}

fn score() -> impl Strategy<Value = Score> {
    let meters = proptest::sample::select(vec!["4/4", "3/4", "6/8", "7/8", "5/4", "2/2", "12/8"]);
    let tempos = vec((0..64u32, 30..240u32), 0..3);
    let keys = proptest::option::of((-7..=7i8, any::<bool>()));
    let chords = vec((0..64u32, chord()), 0..4);
    (meters, tempos, keys, chords, vec((melody(), "[A-Za-z ]{0,8}", 40..80u8), 1..3)).prop_map(
        |(meter, tempos, key, chords, tracks)| {
            let tempo = |(at, bpm): (u32, u32)| (Tick(at * STEP), (60e6 / f64::from(bpm)).round() as u32);
            let mut chords: Vec<ChordChange> =
                chords.into_iter().map(|(at, chord)| ChordChange { at: Tick(at * STEP), chord }).collect();
            chords.sort_by_key(|it| it.at);
            chords.dedup_by_key(|it| it.at);
            let track = |(channel, (notes, name, program)): (usize, (Vec<Note>, String, u8))| Track {
                name: name.trim().into(),
                channel: channel as u8,
                program,
                notes,
                controls: Vec::new(),
            };
            Score {
                tempos: TempoMap::new(tempos.into_iter().map(tempo).collect()),
                meters: MeterMap::constant(meter.parse::<Meter>().expect("valid")),
                keys: key
                    .map(|(sharps, minor)| KeyChange { at: Tick(0), sharps, minor })
                    .into_iter()
                    .collect(),
                chords,
                tracks: tracks.into_iter().enumerate().map(track).collect(),
                ..Score::default()
            }
        },
    )
}

/// Marks behind the last note's bar are not written.
fn trimmed(score: &Score) -> Score {
    let mut score = score.clone();
    let last = score.end().max(score.chords.last().map_or(Tick(0), |it| it.at));
    let changes = score.tempos.changes().iter().copied().filter(|(at, _)| *at < last).collect();
    score.tempos = TempoMap::new(changes);
    score
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_score_on_the_grid_comes_back_from_musicxml(score in score()) {
        let score = trimmed(&score);
        for format in [Format::MusicXml, Format::Mxl] {
            let read = notation::read(&notation::write(&score, format).expect("short"), format).expect("ours");
            prop_assert_eq!(&read.tracks, &score.tracks);
            prop_assert_eq!(&read.chords, &score.chords);
            prop_assert_eq!((&read.keys, &read.meters), (&score.keys, &score.meters));
            prop_assert_eq!(&read.tempos, &score.tempos);
        }
    }

    #[test]
    fn a_score_on_the_grid_comes_back_from_abc_but_for_its_velocities(score in score()) {
        let mut score = trimmed(&score);
        for note in score.tracks.iter_mut().flat_map(|track| &mut track.notes) {
            note.velocity = 80;
        }
        let text = abc::write(&score).expect("short");
        let read = abc::read(&text).expect("ours");
        for (mine, theirs) in score.tracks.iter().zip(&read.tracks) {
            prop_assert_eq!(&theirs.notes, &mine.notes, "{}", text);
            prop_assert_eq!((theirs.channel, theirs.program, &theirs.name), (mine.channel, mine.program, &mine.name));
        }
        prop_assert_eq!(&read.chords, &score.chords, "{}", text);
        prop_assert_eq!((&read.keys, &read.meters), (&score.keys, &score.meters));
        prop_assert_eq!(&read.tempos, &score.tempos, "{}", text);
    }

    #[test]
    fn any_score_comes_back_from_json_notes(score in score()) {
        let read = notation::read(&notation::write(&score, Format::Notes).expect("short"), Format::Notes);
        prop_assert_eq!(read, Ok(score));
    }
}

#[test]
fn real_files_are_written_with_every_note_and_read_back_the_same() {
    for (name, bytes) in test_files("drummer") {
        let score = midi::read(&bytes).expect("readable");
        for format in [Format::MusicXml, Format::Abc] {
            let once =
                notation::read(&notation::write(&score, format).expect("short"), format).expect("ours");
            let count = |score: &Score| score.tracks.iter().map(|track| track.notes.len()).sum::<usize>();
            assert_eq!(count(&once), count(&score), "{name} {format}");
            let again =
                notation::read(&notation::write(&once, format).expect("short"), format).expect("ours");
            let notes = |score: &Score| {
                let ticks = |tick: Tick| f64::from(tick.0) / f64::from(score.ppq.get());
                let of = |note: &Note| (ticks(note.onset), ticks(note.end), note.pitch);
                score.tracks.iter().flat_map(|track| &track.notes).map(of).collect::<Vec<_>>()
            };
            assert_eq!(notes(&again), notes(&once), "{name} {format}");
        }
    }
}

/// A piece with what notation has: a pickup, two hands, triplets, ties, chords, drums, changes of key and metre.
fn song() -> Score {
    let note = |beat: f64, length: f64, pitch| Note {
        onset: Tick((beat * 480.0) as u32),
        end: Tick(((beat + length) * 480.0).round() as u32),
        pitch,
        velocity: 90,
    };
    let third = 1.0 / 3.0;
    let melody = vec![
        note(0.0, 1.0, 67),
        note(1.0, 1.5, 70),
        note(2.5, 0.5, 69),
        note(3.0, third, 67),
        note(3.0 + third, third, 66),
        note(3.0 + 2.0 * third, third, 67),
        note(4.0, 2.0, 74),
        note(6.0, 0.25, 73),
        note(6.25, 0.75, 74),
        note(7.0, 1.5, 75),
        note(8.5, 2.5, 74),
    ];
    let hands = vec![
        note(1.0, 4.0, 43),
        note(1.0, 4.0, 62),
        note(1.0, 2.0, 70),
        note(5.0, 3.0, 36),
        note(5.0, 3.0, 67),
    ];
    let drums = (4..20).map(|step| note(f64::from(step) / 2.0, 0.25, if step % 4 == 0 { 36 } else { 42 }));
    let quarter = Meter { numerator: 4, denominator: 4 };
    let change = |beat: f64, symbol: &str| ChordChange {
        at: Tick((beat * 480.0) as u32),
        chord: partita_score::harmony::parse_symbol(symbol).expect("valid"),
    };
    Score {
        tempos: TempoMap::new(vec![(Tick(0), 500_000), (Tick(480 * 5), 600_000)]),
        meters: MeterMap::new(vec![
            (Tick(0), quarter),
            (Tick(480), quarter),
            (Tick(480 * 9), "3/4".parse().expect("valid")),
        ]),
        keys: vec![
            KeyChange { at: Tick(0), sharps: -2, minor: true },
            KeyChange { at: Tick(480 * 9), sharps: 2, minor: false },
        ],
        chords: vec![
            change(1.0, "Gm7"),
            change(3.0, "D7(b9)/F#"),
            change(5.0, "Cm6"),
            change(6.5, "N.C."),
            change(9.0, "Dmaj7"),
        ],
        tracks: vec![
            Track { name: "Voice".into(), program: 52, notes: melody, ..Track::default() },
            Track { name: "Piano".into(), channel: 1, notes: hands, ..Track::default() },
            Track { name: "Drums".into(), channel: 9, notes: drums.collect(), ..Track::default() },
        ],
        ..Score::default()
    }
}

#[test]
fn a_song_is_written_as_it_was_when_other_programs_checked_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/notation");
    for (name, format) in
        [("song.musicxml", Format::MusicXml), ("song.abc", Format::Abc), ("song.json", Format::Notes)]
    {
        let written = notation::write(&song(), format).expect("short");
        let path = folder.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &written).expect("writable");
        }
        let kept = std::fs::read(&path).expect("testdata/notation is in the repository");
        assert!(written == kept, "{name} differs: read the difference after UPDATE_GOLDEN=1");
    }
}

#[test]
fn repeats_transposition_percussion_and_grace_notes_are_heard() {
    let note = |inside: &str| format!("<note>{inside}<duration>2</duration></note>");
    let pitch =
        |step: &str, octave: u8| format!("<pitch><step>{step}</step><octave>{octave}</octave></pitch>");
    let text = format!(
        "<score-partwise><part-list><score-part id='P1'><part-name>Clarinet</part-name></score-part></part-list>\
         <part id='P1'><measure><attributes><divisions>2</divisions><key><fifths>2</fifths></key>\
         <time><beats>2</beats><beat-type>4</beat-type></time><transpose><chromatic>-2</chromatic></transpose></attributes>\
         <barline><repeat direction='forward'/></barline><note><grace/>{}</note>{}{}</measure>\
         <measure><barline><ending number='1' type='start'/></barline>{}{}<barline><ending number='1' type='stop'/>\
         <repeat direction='backward'/></barline></measure>\
         <measure><barline><ending number='2' type='start'/></barline>{}{}</measure></part></score-partwise>",
        pitch("D", 5),
        note(&pitch("D", 4)),
        note(&pitch("E", 4)),
        note(&pitch("F", 4)),
        note(&pitch("G", 4)),
        note(&pitch("A", 4)),
        note(&format!("<chord/>{}", pitch("C", 5))),
    );
    let score = musicxml::read(&text).expect("valid");
    let pitches: Vec<u8> = score.tracks[0].notes.iter().map(|note| note.pitch).collect();
    assert_eq!(pitches, [60, 62, 63, 65, 60, 62, 67, 70]);
    assert_eq!(score.keys, [KeyChange { at: Tick(0), sharps: 0, minor: false }]);
    assert_eq!(
        (score.tracks[0].notes[6].onset, score.tracks[0].notes[7].onset),
        (Tick(480 * 6), Tick(480 * 6))
    );
    let timewise = "<score-timewise><measure><part id='P1'><note><unpitched><display-step>C</display-step>\
                    <display-octave>5</display-octave></unpitched><duration>1</duration></note></part></measure></score-timewise>";
    let drums = musicxml::read(timewise).expect("valid");
    assert_eq!((drums.tracks[0].channel, drums.tracks[0].notes[0].pitch), (9, 38));
}

#[test]
fn durations_that_nothing_lasts_are_refused_with_their_measure() {
    let read = |element: &str, duration: &str| {
        let pitch = "<pitch><step>C</step><octave>4</octave></pitch>";
        let inside = if element == "note" { pitch } else { "" };
        musicxml::read(&format!(
            "<score-partwise><part id='P1'><measure number='1'><attributes><divisions>4</divisions></attributes>\
             </measure><measure number='1a'><{element}>{inside}<duration>{duration}</duration></{element}></measure>\
             </part></score-partwise>"
        ))
    };
    for element in ["note", "backup", "forward"] {
        for duration in ["-1", "1e308", "2147483647", "nan", "four", ""] {
            let message = read(element, duration).expect_err(duration).to_string();
            assert!(message.contains("measure 1a: a duration must be in 0..=40000"), "{message}");
        }
        assert!(read(element, "0").is_ok() && read(element, " 1.5 ").is_ok());
    }
}

#[test]
fn abc_tunes_are_read_as_the_standard_says() {
    let check = |music: &str, expected: &[(u32, u32, u8)]| {
        let text = format!("X:1\nT:test\nM:4/4\nL:1/8\nK:G\n{music}\n");
        let score = abc::read(&text).expect("valid");
        let notes = &score.tracks[0].notes;
        let unit = u32::from(score.ppq.get()) / 12;
        // In 12ths of a quarter.
        let seen: Vec<_> =
            notes.iter().map(|it| (it.onset.0 / unit, (it.end.0 - it.onset.0) / unit, it.pitch)).collect();
        assert_eq!(seen, expected, "{music}");
    };
    check("F2 =F F|F2", &[(0, 12, 66), (12, 6, 65), (18, 6, 65), (24, 12, 66)]);
    check("c,>d' e<f", &[(0, 9, 60), (9, 3, 86), (12, 3, 76), (15, 9, 78)]);
    check("(3cde (3:2:2c2d", &[(0, 4, 72), (4, 4, 74), (8, 4, 76), (12, 8, 72), (20, 4, 74)]);
    check("[CEG]4- [CEG]2", &[(0, 36, 60), (0, 36, 64), (0, 36, 67)]);
    check("c2 & E4 | d2", &[(0, 12, 72), (0, 24, 64), (24, 12, 74)]);
    check("|:c8|[1d8:|[2e8|]", &[(0, 48, 72), (48, 48, 74), (96, 48, 72), (144, 48, 76)]);
    check("^c4 c4-|c8|c8", &[(0, 24, 73), (24, 72, 73), (96, 48, 72)]);
    check(
        "{ab}.c2!trill!d2 \"^note\"\"Am\"e2 z2 | C/ D// E3/2",
        &[(0, 12, 72), (12, 12, 74), (24, 12, 76), (48, 3, 60), (51, 1, 62), (52, 9, 64)],
    );
    // What is no decoration is an old sign for the end of a line.
    check("c2!|d2!trill!e2|c2 !", &[(0, 12, 72), (12, 12, 74), (24, 12, 76), (36, 12, 72)]);
    check("[c!e]2|d2", &[(0, 12, 72), (0, 12, 76), (12, 12, 74)]);
    // An invisible bar line hides no repeat.
    let twice = [(0, 48, 72), (48, 48, 74), (96, 48, 72), (144, 48, 74)];
    check("|:c8|d8 [|]:|", &twice);
    check("|:c8|[1d8[|]:|", &twice[..3]);
    check("[K:C]F2 [M:3/4][L:1/4]F2|[V:1]F", &[(0, 12, 65), (12, 24, 65), (36, 12, 65)]);
}

/// The clefs of a track that begins a note every quarter, each `length` ticks long.
fn staves(program: u8, pitches: &[u8], length: u32) -> Vec<layout::Clef> {
    let note = |(index, &pitch): (usize, &u8)| {
        let onset = Tick(index as u32 * 480);
        Note { onset, end: Tick(onset.0 + length), pitch, velocity: 80 }
    };
    let notes = pitches.iter().enumerate().map(note).collect();
    let score = Score { tracks: vec![Track { program, notes, ..Track::default() }], ..Score::default() };
    let sheet = layout::Sheet::new(&score).expect("short");
    sheet.parts[0].staves.iter().map(|staff| staff.clef).collect()
}

#[test]
fn one_voice_has_one_staff_and_two_hands_two() {
    use layout::Clef::*;
    let tenor = [48, 55, 57, 59, 60, 60, 62, 64, 67];
    assert_eq!(staves(0, &tenor, 480), [TrebleBelow]);
    assert_eq!(staves(0, &tenor, 960), [Treble, Bass]);
    assert_eq!(staves(0, &[40, 43, 48, 50, 52, 55, 65], 480), [Bass]);
    assert_eq!(staves(0, &[53, 60, 64, 67, 72], 480), [Treble]);
    assert_eq!(staves(40, &tenor, 480), [Treble]);
}

#[test]
fn drums_that_ring_over_the_last_bar_line_ask_for_no_bar() {
    let note = |onset, end, pitch| Note { onset: Tick(onset), end: Tick(end), pitch, velocity: 80 };
    let track = |channel, notes| Track { channel, notes, ..Track::default() };
    let bars = |tracks: &[Track]| {
        let score = Score { tracks: tracks.to_vec(), ..Score::default() };
        layout::Sheet::new(&score).expect("short").bars.len()
    };
    let drums = track(9, vec![note(0, 480, 36), note(1800, 2040, 49)]);
    assert_eq!(bars(std::slice::from_ref(&drums)), 1);
    let bass = track(0, vec![note(1800, 2040, 40)]);
    assert_eq!(bars(&[drums, bass]), 2);
}

#[test]
fn abc_writes_a_rest_in_parts_where_a_chord_begins_in_it() {
    let change = |at, symbol: &str| ChordChange {
        at: Tick(at),
        chord: partita_score::harmony::parse_symbol(symbol).expect("valid"),
    };
    let notes = vec![Note { onset: Tick(1920), end: Tick(2400), pitch: 60, velocity: 80 }];
    let score = Score {
        meters: MeterMap::constant("4/4".parse().expect("valid")),
        chords: vec![change(480, "A"), change(720, "D7"), change(2880, "G")],
        tracks: vec![Track { notes, ..Track::default() }],
        ..Score::default()
    };
    let text = abc::write(&score).expect("short");
    assert!(text.contains("z2 \"A\"z \"D7\"z5 | C2 z2 \"G\"z4 |]"), "{text}");
    assert_eq!(abc::read(&text).expect("ours").chords, score.chords);
}

#[test]
fn all_tunes_of_a_file_are_read_and_texts_without_one_refused() {
    let text = "M:3/4\n\nX:1\nK:C\nc3|\n\nX:2\nM:4/4\nK:F\nB4|\n";
    let all = abc::read_all(text).expect("valid");
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].meters.at(Tick(0)).to_string(), all[1].tracks[0].notes[0].pitch), ("3/4".into(), 70));
    for bad in ["", "hello", "X:1\nM:4/4\n"] {
        assert!(abc::read(bad).is_err(), "{bad}");
    }
    let lines = ["X:1", "K:C^f", "c4 f4|", "X:2", "K:C", "c8|"];
    let all = ["\n", "\r\n", "\r"].map(|end| abc::read_all(&lines.join(end)));
    let pitches = |score: &Score| score.tracks[0].notes.iter().map(|note| note.pitch).collect::<Vec<_>>();
    let first = all[0].as_ref().map(|tunes| tunes.iter().map(pitches).collect::<Vec<_>>());
    assert_eq!(first, Ok(vec![vec![72, 78], vec![72]]));
    assert!(all[1] == all[0] && all[2] == all[0], "{all:?}");
    let error = abc::read("X:1\nK:C\n[ceg\nc99999999999\n]").expect_err("a long note").to_string();
    assert!(error.contains("line 4"), "{error}");
}

#[test]
fn bombs_are_refused() {
    let refused = |text: &str, why: &str| {
        let message = musicxml::read(text).expect_err("refused").to_string();
        assert!(message.contains(why), "{message}");
    };
    refused("<!DOCTYPE a [<!ENTITY b 'c'>]><score-partwise>&b;</score-partwise>", "entities");
    refused(
        &format!("<score-partwise {}/>", (0..9999).map(|it| format!("a{it}='' ")).collect::<String>()),
        "attributes",
    );
    refused(&"<a xmlns='b'>".repeat(999), "namespaces");
    refused("<score-partwise/>", "parts");
    refused("<html/>", "score-partwise");
    refused("music", "well formed");
    let deep =
        format!("<score-partwise>{}{}</score-partwise>", "<a>".repeat(200_000), "</a>".repeat(200_000));
    assert!(musicxml::read(&deep).is_err());
    // 80 MiB of blanks make a small archive.
    let archive = musicxml::compress(&" ".repeat(80 << 20));
    assert!(archive.len() < 200_000);
    let message = musicxml::decompress(&archive).expect_err("refused").to_string();
    assert!(message.contains("67108864"), "{message}");
    // A long bar, repeated a hundred times, and a hundred times again.
    let long = format!("X:1\nK:C\n{}", format!("|:{}:::::::::|", "c".repeat(4000)).repeat(400));
    assert!(abc::read(&long).is_err());
    assert!(abc::read(&format!("X:1\nK:C\n{}", "Z99999|".repeat(99))).is_err());
    let many = Score {
        meters: MeterMap::constant(Meter { numerator: 1, denominator: 128 }),
        ppq: Ppq::new(1).expect("valid"),
        tracks: vec![Track {
            notes: vec![Note { onset: Tick(u32::MAX - 1), end: Tick(u32::MAX), pitch: 1, velocity: 1 }],
            ..Track::default()
        }],
        ..Score::default()
    };
    assert!(musicxml::write(&many).expect_err("too long").to_string().contains("8192"));
}

/// Damages texts by bytes and by words that mean something to the reader.
fn damage(bytes: &mut Vec<u8>, seed: u64) {
    let mut state = seed;
    let mut next = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % limit.max(1)
    };
    const WORDS: [&str; 16] = [
        "<chord/>",
        "<backup><duration>9</duration></backup>",
        "</note>",
        "<duration>1e308</duration>",
        "-1",
        "99999999999",
        "<divisions>0</divisions>",
        "|:",
        ":|",
        "[",
        "(9:0:99",
        "&",
        "/",
        "[M:1/128]",
        "\"Cm7b5",
        "tie type='start'",
    ];
    for _ in 0..1 + next(5) {
        let at = next(bytes.len());
        match next(6) {
            0 => drop(bytes.drain(at..(at + next(40)).min(bytes.len()))),
            1 => bytes.extend_from_within(at..(at + 200).min(bytes.len())),
            2 if !bytes.is_empty() => bytes[at] = next(256) as u8,
            3 if !bytes.is_empty() => bytes[at] ^= 1 << next(8),
            _ => drop(bytes.splice(at..at, WORDS[next(WORDS.len())].bytes())),
        }
    }
}

#[test]
fn damaged_files_are_read_or_refused_and_what_is_read_can_be_written() {
    for format in [Format::MusicXml, Format::Mxl, Format::Abc, Format::Notes] {
        let original = notation::write(&song(), format).expect("short");
        let (mut good, mut bad) = (0, 0);
        for case in 0..600 {
            let mut bytes = original.clone();
            damage(&mut bytes, case);
            match notation::read(&bytes, format) {
                Ok(score) => {
                    good += 1;
                    for other in Format::ALL {
                        // Too long is an answer too.
                        let _ = notation::write(&score, other);
                    }
                }
                Err(_) => bad += 1,
            }
        }
        // A checksum, or the first stray sign, refuses most of the others.
        let lenient = matches!(format, Format::MusicXml | Format::Abc);
        assert!(bad > 10 && (good > 10 || !lenient), "{format}: {good} good, {bad} bad");
    }
}

fn words(score: &Score) -> Vec<(u32, &str, &str)> {
    score.texts.iter().map(|text| (text.at.0, text.text.as_str(), text.track.as_str())).collect()
}

fn lyric(at: u32, text: &str, track: &str) -> Text {
    Text { at: Tick(at), kind: TextKind::Lyric, text: text.into(), track: track.into() }
}

#[test]
fn words_are_sung_on_the_notes_they_were_sung_on() {
    let note = |onset, end, pitch| Note { onset: Tick(onset), end: Tick(end), pitch, velocity: 80 };
    // The third note is tied over the bar line, the fourth a chord.
    let notes = vec![
        note(0, 480, 60),
        note(480, 960, 62),
        note(1440, 2400, 64),
        note(2400, 2880, 60),
        note(2400, 2880, 64),
    ];
    let voice = Track { name: "Voice".into(), notes, ..Track::default() };
    let piano = Track {
        name: "Piano".into(),
        channel: 1,
        notes: vec![note(0, 1920, 48), note(1920, 3840, 48)],
        ..Track::default()
    };
    let texts = vec![
        lyric(0, "Hal-", "Voice"),
        lyric(480, "lo,", "Voice"),
        lyric(1440, "big & <small>", "Voice"),
        lyric(2400, "world", "Voice"),
    ];
    let score = Score { tracks: vec![piano, voice], texts: texts.clone(), ..Score::default() };
    let text = musicxml::write(&score).expect("written");
    for part in
        ["<syllabic>begin</syllabic>", "<syllabic>end</syllabic>", "<text>big &amp; &lt;small&gt;</text>"]
    {
        assert_eq!(text.matches(part).count(), 1, "{part}");
    }
    assert_eq!(text.matches("<lyric").count(), 4);
    let again = musicxml::read(&text).expect("read");
    assert_eq!(
        again.texts.iter().map(|it| &it.text).collect::<Vec<_>>(),
        texts.iter().map(|it| &it.text).collect::<Vec<_>>()
    );
    assert_eq!(again.texts[2].at.0 * 480, score.texts[2].at.0 * u32::from(again.ppq.get()));
    assert!(again.texts.iter().all(|text| text.track == "Voice"));
    let text = abc::write(&score).expect("written");
    assert!(text.contains("\nw: Hal-lo, big~&~<small> | * world\n"), "{text}");
    let again = abc::read(&text).expect("read");
    assert_eq!(words(&again), words(&score));
    // Words that go with no track, a little beside their notes, belong to who sings there.
    let mut loose = score.clone();
    loose.texts.iter_mut().for_each(|text| (text.track, text.at) = (String::new(), Tick(text.at.0 + 3)));
    loose.texts[0].at = Tick(0);
    loose.texts[1].at = Tick(480);
    let again = musicxml::read(&musicxml::write(&loose).expect("written")).expect("read");
    assert!(
        again.texts.len() == 4 && again.texts.iter().all(|text| text.track == "Voice"),
        "{:?}",
        again.texts
    );
}

#[test]
fn each_time_through_a_repeat_has_its_verse() {
    let note = |verses: &[(u8, &str, &str)]| {
        let lyric = |(number, syllabic, text): &(u8, &str, &str)| {
            format!("<lyric number=\"{number}\"><syllabic>{syllabic}</syllabic><text>{text}</text></lyric>")
        };
        let lyrics: String = verses.iter().map(lyric).collect();
        format!("<note><pitch><step>C</step><octave>4</octave></pitch><duration>2</duration>{lyrics}</note>")
    };
    let text = format!(
        "<score-partwise><part-list><score-part id=\"P1\"><part-name>V</part-name></score-part></part-list>\
         <part id=\"P1\"><measure number=\"1\"><attributes><divisions>1</divisions></attributes>{}{}\
         <barline><repeat direction=\"backward\"/></barline></measure><measure number=\"2\">{}{}</measure></part></score-partwise>",
        note(&[(1, "begin", "O"), (2, "single", "A")]),
        note(&[(1, "end", "ne"), (2, "single", "B")]),
        note(&[(1, "single", "last")]),
        note(&[]),
    );
    let score = musicxml::read(&text).expect("read");
    let (ppq, name) = (u32::from(score.ppq.get()), "V");
    let expected = [
        (0, "O-", name),
        (2 * ppq, "ne", name),
        (4 * ppq, "A", name),
        (6 * ppq, "B", name),
        (8 * ppq, "last", name),
    ];
    assert_eq!(words(&score), expected);
    let tune = "X:1\nM:2/4\nL:1/4\nV:1 name=\"V\"\nK:C\n|: C D :| E z |\nw: O-ne | last\nw: A B\n[CE] F |]\nw: * end\n";
    let score = abc::read(tune).expect("read");
    let expected = [(0, "O-"), (480, "ne"), (960, "A"), (1440, "B"), (1920, "last"), (3360, "end")];
    assert_eq!(words(&score), expected.map(|(at, text)| (at, text, "V")));
}
