//! Facts of the converters over arbitrary music: notes from tokens give the tokens again, and no sequence is too odd.

use partita_score::sequence::{ChordSymbol, Tempo, TimeSignature, TimedNote};
use partita_score::{NoteSequence, Second};
use partita_tokens::drum_steps::{DrumsConverter, FULL, REDUCED, REDUCED_BEFORE_2019, ROLAND};
use partita_tokens::groove::{self, GrooveConverter, GrooveInput, ROW};
use partita_tokens::melody::{MelodyConverter, PIANO, classes, top_line};
use partita_tokens::{ConvertError, melody, trio};
use proptest::{collection::vec, prelude::*};

/// Offsets go through seconds in f64 and back to f32.
const OFFSET_ERROR: f32 = 1e-5;

/// Ids of a melody that fills `bars`: notes of up to half a bar with shorter rests between them.
fn melody_ids(bars: usize) -> impl Strategy<Value = Vec<u32>> {
    vec((0usize..7, 1usize..9, 2..classes(&PIANO)), 16 * bars).prop_map(move |notes| {
        let mut ids = Vec::new();
        for (rest, length, note) in notes {
            let held = ids.len();
            // An end is said only if there is time before the next note, and something that ends.
            ids.extend((0..rest).map(|at| u32::from(at == 0 && held > 0)));
            ids.push(note);
            ids.extend(std::iter::repeat_n(0, length - 1));
        }
        ids.truncate(16 * bars);
        ids
    })
}

fn drum_sets(bars: usize, classes: u32) -> impl Strategy<Value = Vec<u64>> {
    let set = prop_oneof![2 => Just(0), 1 => 1..1u64 << classes];
    vec(set, 16 * bars).prop_map(|mut sets| {
        // Something in every bar, so that no gap ends the track.
        for bar in sets.chunks_mut(16) {
            bar[5] |= 1;
        }
        sets
    })
}

/// Times and numbers of any size that the types allow.
fn any_sequence() -> impl Strategy<Value = NoteSequence> {
    let time = || prop_oneof![8 => 0.0..40.0f64, 1 => -2.0..2000.0f64, 1 => any::<f64>()];
    let note = (time(), 0.0..4.0f64, 0u8..128, 0u8..128, 0u32..140, 0u8..128, any::<bool>()).prop_map(
        |(start, length, pitch, velocity, instrument, program, is_drum)| TimedNote {
            start: Second(start),
            end: Second(start + length),
            pitch,
            velocity,
            instrument,
            program,
            is_drum,
        },
    );
    let tempo = (time(), prop_oneof![60.0..200.0f64, any::<f64>()]);
    let tempo = tempo.prop_map(|(time, qpm)| Tempo { time: Second(time), qpm });
    let meter = (time(), 0u32..9, 0u32..9).prop_map(|(time, numerator, denominator)| TimeSignature {
        time: Second(time),
        numerator,
        denominator,
    });
    let text = prop_oneof!["[A-G][#b]?(m|7|dim|sus4)?", any::<String>()];
    let chord = (time(), text).prop_map(|(time, text)| ChordSymbol { time: Second(time), text });
    (vec(note, 0..80), vec(tempo, 0..4), vec(meter, 0..4), vec(chord, 0..4)).prop_map(
        |(notes, tempos, time_signatures, chords)| {
            let mut sequence =
                NoteSequence { notes, tempos, time_signatures, chords, ..NoteSequence::default() };
            sequence.total_time = sequence.end();
            sequence
        },
    )
}

proptest! {
    #[test]
    fn notes_of_a_melody_give_its_ids_again(ids in melody_ids(2), qpm in 20.0..400.0f64) {
        let converter = MelodyConverter::two_bars();
        let sequence = converter.to_sequence(&ids, qpm).expect("ids of the vocabulary");
        // Rests before the first note may be a bar long: then a melody begins behind them.
        prop_assume!(ids[..16].iter().any(|id| *id > 1) && sequence.total_time.0 > 60.0 / qpm * 4.1);
        let excerpt = converter.one(&sequence).expect("two bars of one melody");
        prop_assert_eq!(excerpt.value, ids);
        prop_assert_eq!((excerpt.start, excerpt.qpm), (Second(0.0), qpm));
        prop_assert_eq!(melody::check_monophonic(&sequence, &converter), Ok(()));
    }

    #[test]
    fn notes_of_drum_sets_give_the_sets_again(sets in drum_sets(2, 9), full in drum_sets(2, 61), qpm in 20.0..400.0f64) {
        for (map, sets) in [(REDUCED, &sets), (REDUCED_BEFORE_2019, &sets), (ROLAND, &sets), (FULL, &full)] {
            let converter = DrumsConverter { map, ..DrumsConverter::two_bars() };
            let excerpt = converter.one(&converter.to_sequence(sets, qpm)).expect("two bars of drums");
            prop_assert_eq!(&excerpt.value, sets);
        }
    }

    #[test]
    fn notes_of_a_groove_give_its_rows_again(
        hits in vec(prop::option::of((1u8..128, -0.99..0.99f32)), 32 * 9),
        qpm in 20.0..400.0f64,
    ) {
        let mut rows = vec![0f32; 32 * ROW];
        for (index, hit) in hits.iter().enumerate() {
            if let Some((velocity, offset)) = *hit {
                let at = index / 9 * ROW + index % 9;
                (rows[at], rows[at + 9], rows[at + 18]) = (1.0, f32::from(velocity) / 127.0, offset);
            }
        }
        // Something in the last bar, so that there are two.
        (rows[31 * ROW], rows[31 * ROW + 9]) = (1.0, 1.0);
        let sequence = groove::rows_to_sequence(&rows, REDUCED, qpm).expect("whole rows");
        let excerpt = GrooveConverter::two_bars(GrooveInput::Performance).one(&sequence).expect("two bars");
        for (ours, was) in excerpt.value.target.iter().zip(&rows) {
            prop_assert!((ours - was).abs() < OFFSET_ERROR, "{} {}", ours, was);
        }
        prop_assert_eq!(&excerpt.value.input, &excerpt.value.target);
    }

    #[test]
    fn notes_of_a_trio_give_its_steps_again(
        melody in melody_ids(16),
        bass in melody_ids(16),
        drums in drum_sets(16, 9),
        qpm in 20.0..400.0f64,
    ) {
        let steps: Vec<[u32; 3]> = (0..256).map(|at| [melody[at], bass[at], drums[at] as u32]).collect();
        let sequence = trio::to_sequence(&steps, qpm).expect("ids of the vocabularies");
        prop_assert_eq!(trio::one(&sequence).expect("sixteen bars").value, steps);
    }

    #[test]
    fn no_sequence_is_too_odd_for_a_converter(sequence in any_sequence()) {
        for converter in [MelodyConverter::two_bars(), MelodyConverter::sixteen_bars()] {
            for excerpt in converter.all(&sequence) {
                prop_assert_eq!(excerpt.value.len(), converter.steps());
                prop_assert!(excerpt.value.iter().all(|id| *id < classes(&PIANO)));
                // A slice begins with rest or a note, never with an end.
                prop_assert!(excerpt.value.iter().find(|id| **id > 0).is_none_or(|id| *id > 1));
            }
            let _ = (converter.one(&sequence), converter.one_with_chords(&sequence));
            for excerpt in converter.all_with_chords(&sequence) {
                prop_assert_eq!(excerpt.value.chords.len(), converter.steps());
            }
            let _ = melody::check_monophonic(&sequence, &converter);
            let line = top_line(&sequence, &converter);
            prop_assert!(line.notes.len() <= sequence.notes.len());
        }
        for converter in [DrumsConverter::two_bars(), DrumsConverter::two_bars_full()] {
            for excerpt in converter.all(&sequence) {
                prop_assert_eq!(excerpt.value.len(), 32);
                prop_assert!(excerpt.value.iter().all(|set| set >> converter.map.classes() == 0));
            }
            let _ = converter.one(&sequence);
        }
        for excerpt in trio::all(&sequence) {
            prop_assert!(excerpt.value.iter().all(|step| step.iter().zip(trio::CLASSES).all(|(id, most)| *id < most)));
        }
        let _ = trio::one(&sequence);
        let drums = groove::drums_only(&sequence, REDUCED);
        let converter = GrooveConverter::two_bars_hits_control();
        let whole = converter.all(&drums).expect("known drums").len();
        if let Ok(all) = converter.all_padded(&drums) {
            prop_assert!(all.len() == whole || all.len() == whole + 1);
            for excerpt in all {
                let rows = excerpt.value;
                prop_assert_eq!((rows.input.len(), rows.target.len(), rows.controls.len()), (32 * 27, 32 * 27, 32 * 9));
                prop_assert!(rows.target.iter().all(|it| it.is_finite()));
            }
        }
        let _ = converter.one(&sequence);
    }
}

#[test]
fn held_notes_without_number_do_not_make_work_without_number() {
    // A note on every step, each held to the end of the longest sequence; and as many instruments with one note each.
    let notes = |instrument: fn(u32) -> u32| {
        let note = move |at: u32| TimedNote {
            start: Second(f64::from(at) * 0.125),
            end: Second(32_000.0),
            pitch: 60,
            velocity: 90,
            instrument: instrument(at),
            ..TimedNote::default()
        };
        (0..200_000).map(note).collect::<Vec<_>>()
    };
    for notes in [notes(|_| 0), notes(|at| at)] {
        let sequence = NoteSequence { notes, total_time: Second(32_000.0), ..NoteSequence::default() };
        assert!(MelodyConverter::two_bars().all(&sequence).len() < 1 << 16);
        assert!(trio::all(&sequence).is_empty());
    }
}

#[test]
fn every_step_of_a_slice_knows_its_chord() {
    let converter = MelodyConverter::two_bars_any_program();
    let mut ids = vec![0; 32];
    (ids[0], ids[20]) = (41, 43);
    let mut sequence = converter.to_sequence(&ids, 120.0).expect("ids of the vocabulary");
    assert_eq!(converter.one_with_chords(&sequence), Err(ConvertError::NoChords));
    // N.C. up to step 4, then C, and A minor from the second bar on.
    let chord = |time, text: &str| ChordSymbol { time: Second(time), text: text.into() };
    sequence.chords = vec![chord(2.0, "Am7/G"), chord(0.5, "C")];
    let chorded = converter.one_with_chords(&sequence).expect("two bars").value;
    assert_eq!(chorded.ids, ids);
    assert_eq!(chorded.chords, [vec![0; 4], vec![1; 12], vec![22; 16]].concat());
    sequence.chords.push(chord(3.0, "Csus4"));
    assert_eq!(converter.one_with_chords(&sequence), Err(ConvertError::Chord { got: "Csus4".into() }));
}
