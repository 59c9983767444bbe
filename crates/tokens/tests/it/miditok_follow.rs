//! The rules of MidiTok's formats: random walks give music that obeys, and MidiTok's own sequences follow them.

use partita_tokens::miditok::{
    Config, Follow, Kind, Limits, Span, TimeSignature, Token, Tokenization, Tokenizer, Tokens,
};
use proptest::prelude::*;

use crate::miditok::{midi, stems, tokenizer};

const BACH: [&str; 2] = ["jsb_00", "jsb_01"];

fn configs() -> Vec<Config> {
    let mut configs = vec![Config::remi_plus()];
    for tokenization in Tokenization::ALL {
        let base = Config::new(tokenization);
        configs.push(base.clone());
        configs.push(Config { use_velocities: false, use_time_signatures: false, ..base.clone() });
        configs.push(Config {
            use_note_duration_programs: (0..40).collect(),
            use_programs: true,
            ..base.clone()
        });
        let whole =
            Config { use_programs: true, one_token_stream_for_programs: true, use_tempos: true, ..base };
        configs.push(Config { use_rests: true, use_chords: true, ..whole.clone() });
        configs.push(Config { program_changes: true, use_chords: true, ..whole.clone() });
        configs.push(Config { program_changes: true, one_token_stream_for_programs: false, ..whole.clone() });
        configs.push(Config { use_bar_end_tokens: true, special_tokens: vec!["PAD".into()], ..whole });
    }
    configs
}

/// Walks to the end, choosing the allowed token that `choose` points at; `None` if `most` tokens were not enough.
fn walk(
    follow: &mut Follow,
    size: usize,
    most: usize,
    mut choose: impl FnMut(usize) -> usize,
) -> Option<Vec<u32>> {
    let mut mask = vec![false; size];
    let mut ids = Vec::new();
    while !follow.is_done() {
        follow.mask(&mut mask);
        let allowed: Vec<u32> = (0..size as u32).filter(|id| mask[*id as usize]).collect();
        assert!(!allowed.is_empty(), "the rules never get stuck");
        let id = allowed[choose(allowed.len())];
        follow.advance(id).expect("inside the mask");
        ids.push(id);
        if ids.len() >= most {
            return None;
        }
    }
    Some(ids)
}

/// A small generator, so that walks are the same every time.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |count| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % count
    }
}

fn count(tokenizer: &Tokenizer, ids: &[u32], kinds: &[Kind]) -> usize {
    ids.iter().filter(|id| kinds.contains(&tokenizer.vocab().kind(**id))).count()
}

#[test]
fn miditok_walks_lose_no_note_and_encode_again() {
    for (index, config) in configs().into_iter().enumerate() {
        let tokenizer = Tokenizer::new(config.clone()).expect("a good configuration");
        let size = tokenizer.vocab_size();
        for seed in 0..12 {
            let mut follow = Follow::new(&tokenizer, &Limits::default()).expect("no limits");
            let mut next = numbers(seed + 100 * index as u64);
            let mut mask = vec![false; size];
            let mut ids = Vec::new();
            // Until the music may stop after a good while.
            while !follow.is_done() && (ids.len() < 300 || !follow.may_stop()) && ids.len() < 6000 {
                follow.mask(&mut mask);
                let allowed = |id: &u32| mask[*id as usize] && tokenizer.vocab().kind(*id) != Kind::Special;
                let open: Vec<u32> = (0..size as u32).filter(allowed).collect();
                // Ends are taken soon, so that MIDI-Like comes to one.
                let off = |id: &&u32| matches!(tokenizer.vocab().kind(**id), Kind::NoteOff | Kind::DrumOff);
                let ends: Vec<u32> = open.iter().filter(off).copied().collect();
                let from = if ids.len() > 250 && !ends.is_empty() { &ends } else { &open };
                let id = from[next(from.len())];
                follow.advance(id).expect("inside the mask");
                ids.push(id);
            }
            if !follow.may_stop() {
                continue;
            }
            let notes = count(&tokenizer, &ids, &[Kind::Pitch, Kind::PitchDrum, Kind::NoteOn, Kind::DrumOn]);
            let decoded = tokenizer.decode(&Tokens::new(vec![ids])).expect("well formed");
            let sounding: usize = decoded.tracks.iter().map(|track| track.notes.len()).sum();
            assert_eq!(sounding, notes, "{config:?} seed {seed}");
            tokenizer.encode_decoded(&decoded).expect("on the grid");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn miditok_walks_obey_every_limit(
        seed in any::<u64>(),
        bars in 1u32..9,
        low in 40u8..70,
        width in 12u8..40,
        classes in prop::array::uniform12(any::<bool>()),
        meter in prop::sample::select(vec![(4u32, 4u32), (3, 4), (6, 8), (5, 4), (12, 8)]),
        programs in prop::sample::subsequence(vec![-1i16, 0, 33, 48, 73], 1..=5),
        ends in any::<bool>(),
    ) {
        prop_assume!(classes.contains(&true));
        let mut config = Config::remi_plus();
        if !ends {
            config.special_tokens = vec!["PAD_None".into()];
        }
        let tokenizer = Tokenizer::new(config).expect("a good configuration");
        let signature = TimeSignature { numerator: meter.0, denominator: meter.1 };
        let limits = Limits {
            pitches: low..=low + width,
            pitch_classes: classes,
            bars: Some(bars),
            signature: Some(signature),
            programs: Some(programs.clone()),
        };
        let mut follow = Follow::new(&tokenizer, &limits).expect("possible limits");
        let ids = walk(&mut follow, tokenizer.vocab_size(), 60_000, numbers(seed));
        let mut ids = ids.expect("bars come to an end");
        let last = ids.pop().expect("an end");
        let kind = tokenizer.vocab().kind(last);
        prop_assert!(kind == Kind::Bar || (ends && kind == Kind::Special), "{:?}", kind);
        prop_assert_eq!(count(&tokenizer, &ids, &[Kind::Bar]), bars as usize);
        let decoded = tokenizer.decode(&Tokens::new(vec![ids])).expect("well formed");
        prop_assert!(decoded.time_signatures.iter().all(|(_, it)| *it == signature));
        let bar = decoded.ticks_per_quarter * 4 * meter.0 / meter.1;
        for track in &decoded.tracks {
            let program = if track.is_drum { -1 } else { i16::from(track.program) };
            prop_assert!(programs.contains(&program));
            for note in &track.notes {
                prop_assert!(note.time < bars * bar);
                let fits = (low..=low + width).contains(&note.pitch) && classes[usize::from(note.pitch % 12)];
                prop_assert!(track.is_drum || fits, "{note:?}");
            }
        }
    }
}

/// Whether two voices of one track meet: rules let a pitch begin once at a time.
fn has_unison(tokenizer: &Tokenizer, ids: &[u32]) -> bool {
    let decoded = tokenizer.decode(&Tokens::new(vec![ids.to_vec()])).expect("its own ids");
    decoded.tracks.iter().any(|track| {
        let mut notes: Vec<_> =
            track.notes.iter().map(|note| (note.pitch, note.time, note.duration)).collect();
        notes.sort_unstable();
        notes.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].1 + pair[0].2 > pair[1].1)
    })
}

#[test]
fn miditok_s_own_sequences_follow_the_rules() {
    for config in
        ["remi_default", "remi_plus", "tsd", "structured", "structured_multi", "midilike", "tsd_multi"]
    {
        let tokenizer = tokenizer(config);
        let known = stems(config);
        let mut walked = 0;
        for stem in BACH.iter().filter(|stem| known.iter().any(|known| known == *stem)) {
            for ids in tokenizer.encode(&midi(stem)).expect("a good file").ids {
                if has_unison(&tokenizer, &ids) {
                    continue;
                }
                walked += 1;
                let mut follow = Follow::new(&tokenizer, &Limits::default()).expect("no limits");
                for (at, &id) in ids.iter().enumerate() {
                    let name = &tokenizer.vocab().names()[id as usize];
                    assert!(follow.advance(id).is_ok(), "{config} {stem}: {name} at {at}");
                }
                assert!(follow.may_stop(), "{config} {stem}");
            }
        }
        assert!(walked > 0, "{config}");
    }
}

#[test]
fn miditok_merged_tokens_follow_the_rules_piece_by_piece() {
    let tokenizer = tokenizer("remi_bpe");
    let tokens = tokenizer.encode(&midi(BACH[0])).expect("a good file");
    let merged = tokenizer.merge(&tokens).expect("a trained tokenizer");
    let mut follow = Follow::new(&tokenizer, &Limits::default()).expect("no limits");
    let mut mask = vec![false; tokenizer.vocab_size()];
    for &id in &merged.ids[0] {
        follow.mask(&mut mask);
        let empty = tokenizer.base_ids(id).is_some_and(|ids| ids.is_empty());
        assert!(empty || mask[id as usize], "{id}");
        if !empty {
            follow.advance(id).expect("inside the mask");
        }
    }
    let limits = Limits { bars: Some(2), ..Limits::default() };
    let mut follow = Follow::new(&tokenizer, &limits).expect("possible limits");
    let mut ids = walk(&mut follow, tokenizer.vocab_size(), 60_000, numbers(7)).expect("an end");
    ids.pop();
    let mut merged = Tokens::new(vec![ids]);
    merged.encoded = true;
    let whole = tokenizer.split(&merged).expect("its own ids");
    assert_eq!(count(&tokenizer, &whole.ids[0], &[Kind::Bar]), 2);
}

#[test]
fn miditok_limits_that_contradict_are_errors() {
    let remi = Tokenizer::new(Config::remi_plus()).expect("a good configuration");
    let message = |tokenizer: &Tokenizer, limits: Limits| {
        Follow::new(tokenizer, &limits).expect_err("a contradiction").to_string()
    };
    let none = Limits { pitch_classes: [false; 12], programs: Some(vec![0, 5]), ..Limits::default() };
    assert!(message(&remi, none).starts_with("no pitch is left"));
    assert_eq!(
        message(&remi, Limits { bars: Some(0), ..Limits::default() }),
        "bars must be at least 1, got 0"
    );
    let odd = Some(TimeSignature { numerator: 7, denominator: 8 });
    assert_eq!(
        message(&remi, Limits { signature: odd, ..Limits::default() }),
        "signature must be one of 3/8, 12/8, 6/8, 5/4, 6/4, 3/4, 2/4, 1/4, 4/4, got 7/8"
    );
    let programs = Limits { programs: Some(vec![200]), ..Limits::default() };
    assert_eq!(message(&remi, programs), "programs must be in the vocabulary, got 200");
    let tsd = Tokenizer::new(Config::new(Tokenization::Tsd)).expect("a good configuration");
    assert_eq!(
        message(&tsd, Limits { bars: Some(4), ..Limits::default() }),
        "bars are counted in REMI only, got TSD"
    );
}

#[test]
fn miditok_a_token_outside_the_mask_is_refused_and_changes_nothing() {
    let tokenizer = Tokenizer::new(Config::remi_plus()).expect("a good configuration");
    let id = |token| tokenizer.vocab().id_of(token).expect("in the vocabulary");
    let mut follow = Follow::new(&tokenizer, &Limits::default()).expect("no limits");
    assert!(follow.advance(id(Token::Pitch(60))).is_err());
    assert!(follow.advance(u32::MAX).is_err());
    follow.advance(id(Token::Bar)).expect("a bar comes first");
    assert!(follow.advance(id(Token::Position(0))).is_err(), "a time signature is due");
    follow.advance(id(Token::TimeSig(TimeSignature::COMMON))).expect("due");
    assert!(follow.advance(id(Token::Position(32))).is_err(), "beyond the bar");
    follow.advance(id(Token::Position(16))).expect("inside the bar");
    assert!(follow.advance(id(Token::Position(15))).is_err(), "back in time");
    assert!(follow.advance(id(Token::Pitch(60))).is_err(), "a program is due");
    follow.advance(id(Token::Program(-1))).expect("drums");
    assert!(follow.advance(id(Token::Pitch(60))).is_err(), "drums have pitches of their own");
    follow.advance(id(Token::PitchDrum(36))).expect("a kick");
    assert!(!follow.may_stop(), "half a note");
    follow.advance(id(Token::Velocity(127))).expect("due");
    follow.advance(id(Token::Duration(Span { beats: 0, position: 1, resolution: 8 }))).expect("due");
    assert!(follow.may_stop());
}

#[test]
fn miditok_a_closing_walk_ends_soon_with_every_note_whole() {
    for (index, config) in configs().into_iter().enumerate() {
        let tokenizer = Tokenizer::new(config.clone()).expect("a good configuration");
        let size = tokenizer.vocab_size();
        for seed in 0..12 {
            let bars = (config.tokenization == Tokenization::Remi).then_some(3);
            let limits = Limits { bars, ..Limits::default() };
            let mut follow = Follow::new(&tokenizer, &limits).expect("possible limits");
            let mut next = numbers(seed + 100 * index as u64);
            let mut mask = vec![false; size];
            let (mut ids, mut late) = (Vec::new(), 0);
            while !follow.is_done() && (ids.len() < 40 + seed as usize || !follow.may_stop()) {
                if ids.len() >= 40 + seed as usize {
                    follow.close();
                    late += 1;
                }
                assert!(late < 160, "{config:?} seed {seed}");
                follow.mask(&mut mask);
                let allowed = |id: &u32| mask[*id as usize] && tokenizer.vocab().kind(*id) != Kind::Special;
                let open: Vec<u32> = (0..size as u32).filter(allowed).collect();
                assert!(!open.is_empty(), "{config:?} seed {seed}: stuck");
                let id = open[next(open.len())];
                follow.advance(id).expect("inside the mask");
                if !follow.is_done() {
                    ids.push(id);
                }
            }
            let notes = count(&tokenizer, &ids, &[Kind::Pitch, Kind::PitchDrum, Kind::NoteOn, Kind::DrumOn]);
            let decoded = tokenizer.decode(&Tokens::new(vec![ids.clone()])).expect("well formed");
            let sounding: usize = decoded.tracks.iter().map(|track| track.notes.len()).sum();
            assert_eq!(sounding, notes, "{config:?} seed {seed}");
            assert!(bars.is_none_or(|bars| count(&tokenizer, &ids, &[Kind::Bar]) == bars as usize));
        }
    }
}

#[test]
fn miditok_pitches_of_drums_are_free_without_tokens_of_their_own() {
    let config = Config { use_pitchdrum_tokens: false, ..Config::remi_plus() };
    let tokenizer = Tokenizer::new(config).expect("a good configuration");
    let mut pitch_classes = [false; 12];
    pitch_classes[1] = true;
    let limits = Limits { pitch_classes, bars: Some(1), ..Limits::default() };
    let mut follow = Follow::new(&tokenizer, &limits).expect("possible limits");
    let id = |token| tokenizer.vocab().id_of(token).expect("in the vocabulary");
    follow.read(&[Token::Bar, Token::TimeSig(TimeSignature::COMMON), Token::Position(0)].map(id));
    let mut piano = follow.clone();
    piano.advance(id(Token::Program(0))).expect("a piano");
    assert!(piano.advance(id(Token::Pitch(36))).is_err(), "no C sharp");
    follow.advance(id(Token::Program(-1))).expect("drums");
    follow.advance(id(Token::Pitch(36))).expect("a kick");
}
