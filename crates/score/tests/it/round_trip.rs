//! `read(write(x)) = x`.

use crate::test_files;
use partita_score::{
    ChordChange, Control, ControlKind, KeyChange, Meter, MeterMap, Note, Ppq, Score, TempoMap, Text,
    TextKind, Tick, Track,
    harmony::{Chord, ChordKind, Degree, DegreeOp, NoteName, symbol},
    midi,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

fn meters() -> impl Strategy<Value = MeterMap> {
    let change = (0..100_000u32, 1..=255u8, 0..=7u8);
    vec(change, 0..4).prop_map(|changes| {
        let meter = |(at, numerator, power)| (Tick(at), Meter { numerator, denominator: 1u8 << power });
        MeterMap::new(changes.into_iter().map(meter).collect())
    })
}

fn keys() -> impl Strategy<Value = Vec<KeyChange>> {
    vec((0..100_000u32, -7..=7i8, any::<bool>()), 0..4).prop_map(|keys| {
        let key = |(at, sharps, minor)| KeyChange { at: Tick(at), sharps, minor };
        let mut keys: Vec<_> = keys.into_iter().map(key).collect();
        keys.sort_by_key(|key| key.at);
        keys
    })
}

fn control() -> impl Strategy<Value = ControlKind> {
    let byte = 0..128u8;
    prop_oneof![
        (byte.clone(), byte.clone()).prop_map(|(number, value)| ControlKind::ControlChange { number, value }),
        (-8192..=8191i16).prop_map(|value| ControlKind::PitchBend { value }),
        byte.clone().prop_map(|value| ControlKind::ChannelPressure { value }),
        (byte.clone(), byte).prop_map(|(pitch, value)| ControlKind::PolyPressure { pitch, value }),
    ]
}

/// Tracks as the reader makes them: program changes select the track's own program, notes of one pitch end in order.
fn track() -> impl Strategy<Value = Track> {
    let note = (prop_oneof![0..300u32, 0..0x1400_0000u32], 0..128u8, 0..500u32, 1..128u8);
    let controls = vec((0..100_000u32, control()), 0..9);
    let changes = vec(1..100_000u32, 0..3);
    (
        prop_oneof!["\\PC{0,12}", Just("chords".to_owned())],
        0..16u8,
        0..128u8,
        vec(note, 0..12),
        controls,
        changes,
    )
        .prop_map(|(name, channel, program, notes, controls, changes)| {
            let (mut now, mut ends) = (0, [0; 128]);
            let notes = notes.into_iter().map(|(gap, pitch, duration, velocity)| {
                now += gap;
                let end = &mut ends[usize::from(pitch)];
                *end = (now + duration).max(*end);
                Note { onset: Tick(now), end: Tick(*end), pitch, velocity }
            });
            let notes = notes.collect();
            let mut controls: Vec<_> =
                controls.into_iter().map(|(at, kind)| Control { at: Tick(at), kind }).collect();
            let change = |at| Control { at: Tick(at), kind: ControlKind::ProgramChange { program } };
            controls.extend(changes.into_iter().map(change));
            controls.sort_by_key(|control| control.at);
            Track { name, channel, program, notes, controls }
        })
}

/// Chord changes in order, some on one tick, some rests.
fn chords() -> impl Strategy<Value = Vec<ChordChange>> {
    let kinds: Vec<ChordKind> = ChordKind::all().collect();
    let name = (-15..=19).prop_map(NoteName::from_fifths);
    let change = (1..14u8, -2..=2i8).prop_map(|(value, alter)| Degree { value, op: DegreeOp::Add, alter });
    let chord = (name.clone(), select(kinds), vec(change, 0..3), option::of(name))
        .prop_map(|(root, kind, changes, bass)| Chord { root, kind, changes, bass }.simplified());
    vec((prop_oneof![0..5000u32, 0..0x3000_0000u32], option::of(chord)), 0..6).prop_map(|mut changes| {
        changes.sort_by_key(|(at, _)| *at);
        changes.into_iter().map(|(at, chord)| ChordChange { at: Tick(at), chord }).collect()
    })
}

/// Words of the piece, and of tracks by their index.
fn texts() -> impl Strategy<Value = Vec<(Text, usize)>> {
    use TextKind as K;
    let kinds = select(vec![K::Text, K::Copyright, K::Instrument, K::Lyric, K::Marker, K::CuePoint]);
    // No chord symbol begins with a dash.
    let text = (0..100_000u32, kinds, "-\\PC{0,300}", 0..6usize);
    vec(text, 0..6).prop_map(|texts| {
        let text = |(at, kind, text, track)| (Text { at: Tick(at), kind, text, track: String::new() }, track);
        texts.into_iter().map(text).collect()
    })
}

fn score() -> impl Strategy<Value = Score> {
    let ppq = (1..=32767u16).prop_map(|ppq| Ppq::new(ppq).expect("in range"));
    let tempos = vec((0..100_000u32, 1..=0xff_ffffu32), 0..5).prop_map(|changes| {
        TempoMap::new(changes.into_iter().map(|(at, tempo)| (Tick(at), tempo)).collect())
    });
    (ppq, tempos, meters(), keys(), chords(), vec(track(), 0..5), texts()).prop_map(
        |(ppq, tempos, meters, keys, chords, tracks, texts)| {
            // As the reader gives them: by time, then the piece's before those of the first track of a name.
            let place = |name: &str| tracks.iter().position(|track| !name.is_empty() && track.name == name);
            let own = |(mut text, track): (Text, usize)| {
                let is_own = matches!(text.kind, TextKind::Text | TextKind::Instrument | TextKind::Lyric);
                if let Some(track) = tracks.get(track).filter(|_| is_own) {
                    text.track.clone_from(&track.name);
                }
                text
            };
            let mut texts: Vec<Text> = texts.into_iter().map(own).collect();
            texts.sort_by_key(|text| (text.at, place(&text.track)));
            Score { ppq, tempos, meters, keys, chords, tracks, texts, ..Score::default() }
        },
    )
}

proptest! {
    #[test]
    fn a_written_score_reads_back_the_same(score in score()) {
        prop_assert_eq!(midi::read(&midi::write(&score)), Ok(score));
    }

    #[test]
    fn format_0_keeps_everything_but_the_name_of_a_single_track(mut score in score(), mut only in track()) {
        only.name.clear();
        score.tracks = vec![only];
        score.chords.clear();
        score.texts.iter_mut().for_each(|text| text.track.clear());
        score.texts.sort_by_key(|text| text.at);
        prop_assert_eq!(midi::read(&midi::write_format0(&score)), Ok(score));
    }
}

#[test]
fn only_symbols_in_a_track_named_chords_are_chords() {
    let text = |kind: u8, text: &str| [&[0, 0xff, kind, text.len() as u8][..], text.as_bytes()].concat();
    let read = |name: &str| {
        let texts = ["Cm7", "", "Verse", "N.C.", "C\u{0}", "Bb/D"];
        let mut events = text(3, name);
        events.extend(texts.iter().flat_map(|it| text(1, it)));
        events.extend([0, 0xff, 1, 2, 0xff, 0xfe, 0, 0xff, 0x2f, 0]);
        let mut bytes = b"MThd\0\0\0\x06\0\x01\0\x01\0\x60MTrk".to_vec();
        bytes.extend((events.len() as u32).to_be_bytes());
        bytes.extend(events);
        let score = midi::read(&bytes).expect("valid");
        let chords: Vec<String> = score.chords.iter().map(|change| symbol(change.chord.as_ref())).collect();
        (chords.join(" "), score.texts.iter().map(|text| text.text.clone()).collect::<Vec<_>>())
    };
    assert_eq!(
        read("Chords"),
        ("Cm7 N.C. Bb/D".into(), vec!["Verse".into(), "C\u{0}".into(), "\u{ff}\u{fe}".into()])
    );
    assert_eq!(read("Piano").0, "");
    assert_eq!(read("Piano").1.len(), 6);
}

#[test]
fn real_files_read_back_the_same() {
    for (name, bytes) in test_files("") {
        let score = midi::read(&bytes).expect("readable");
        assert_eq!(midi::read(&midi::write(&score)).as_ref(), Ok(&score), "{name}");
    }
}

#[test]
fn values_out_of_range_are_clamped() {
    let note = Note { onset: Tick(5), end: Tick(1), pitch: 255, velocity: 0 };
    let kind = ControlKind::PitchBend { value: i16::MAX };
    let controls = vec![Control { at: Tick(9), kind }];
    let track = Track { channel: 25, program: 200, notes: vec![note], controls, ..Track::default() };
    let keys = vec![KeyChange { at: Tick(0), sharps: 100, minor: true }];
    let meters = MeterMap::constant(Meter { numerator: 0, denominator: 0 });
    let written = midi::write(&Score { tracks: vec![track], keys, meters, ..Score::default() });
    let score = midi::read(&written).expect("valid");
    let track = &score.tracks[0];
    assert_eq!((track.channel, track.program), (9, 127));
    assert_eq!(track.notes, [Note { onset: Tick(5), end: Tick(5), pitch: 127, velocity: 1 }]);
    assert_eq!(track.controls[0].kind, ControlKind::PitchBend { value: 8191 });
    assert_eq!((score.keys[0].sharps, score.meters.at(Tick(0)).to_string()), (7, "1/1".into()));
}
