//! What users type about keys and chords: any text gives a value or a place in the text, and a lead sheet goes through a
//! file.

use partita_score::{
    Beat, Meter, Ppq, Score, Tick,
    harmony::{
        Key, NoteName, Progression, Scale, SyntaxError, Unit, find_key, parse_harte, parse_roman,
        parse_symbol,
        progressions::{self, Source},
        recognize,
    },
    midi,
};
use proptest::prelude::*;
use std::time::Instant;

/// Reads a text as everything it could be and says where each failed.
fn faults(text: &str) -> Vec<SyntaxError> {
    let found = [
        text.parse::<Key>().err(),
        text.parse::<NoteName>().err(),
        text.parse::<Scale>().err(),
        parse_symbol(text).err(),
        parse_harte(text).err(),
        parse_roman(text, Key::default()).err(),
        Progression::parse_any(text, Key::default(), Meter::COMMON).err(),
    ];
    let _ = text.parse::<Source>();
    found.into_iter().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(
        text in prop_oneof!["[A-Ha-hmNXiv0-9#b♭♯𝄪:/()*,.|% -]{0,20}", "\\PC{0,12}", ".{0,12}"]
    ) {
        for error in faults(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.column), "{}", error);
            prop_assert_eq!(error.caret().lines().count().max(1), error.caret().split('\n').count());
            prop_assert!(!error.expected.is_empty() && !error.got.is_empty());
        }
    }
}

#[test]
fn long_texts_are_refused_in_linear_time() {
    let start = Instant::now();
    for part in ["C ", "C7b9", "(", "V/", "C|", "b", "C D E F G A B ", "%", "é", "9"] {
        faults(&part.repeat(200_000 / part.len()));
    }
    let took = start.elapsed();
    assert!(took.as_secs() < 20, "{took:?}");
}

#[test]
fn a_progression_comes_back_from_a_file_and_from_its_notes() {
    let key: Key = "Eb".parse().expect("a key");
    let progression = Progression::parse_any("I vi7 | ii7 V7 | I", key, Meter::COMMON).expect("numerals");
    let score = Score {
        keys: vec![key.change(Tick(0))],
        chords: progression.changes(Ppq::DEFAULT),
        tracks: vec![progression.track(Ppq::DEFAULT, 0)],
        ..Score::default()
    };
    let read = midi::read(&midi::write(&score)).expect("written by us");
    assert_eq!(read, score);
    assert_eq!(Progression::from_changes(&read.chords, read.ppq, read.end()), progression);
    assert_eq!(find_key(&read).map(|found| found.key), Some(key));
    assert_eq!(recognize(&read, Unit::HalfBar), score.chords);
    assert_eq!(Key::from(read.keys[0]), key);
}

#[test]
fn drawn_progressions_go_through_a_file() {
    let mut number = 0.0;
    let mut random = || {
        number = (number + 0.618_033_988_749_895) % 1.0;
        number
    };
    for name in ["C", "f#", "Gb", "bb", "A mixolydian"] {
        let key: Key = name.parse().expect("a key");
        for source in progressions::moods().chain(["charts"]) {
            let source: Source = source.parse().expect("listed");
            let drawn = progressions::generate(key, source, 8, Meter::COMMON, &mut random).expect("in range");
            assert_eq!(drawn.length(), Beat(32.0));
            let score = Score { chords: drawn.changes(Ppq::DEFAULT), ..Score::default() };
            assert_eq!(midi::read(&midi::write(&score)).as_ref(), Ok(&score), "{name} {source}");
            let again = Progression::parse(&drawn.text(), Meter::COMMON).expect("our own text");
            assert_eq!(again, drawn);
        }
    }
}
