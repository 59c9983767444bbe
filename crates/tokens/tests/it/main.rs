//! The drum format from outside: round trips, and grammars under random walks.

mod converters;
mod magenta;
mod miditok;
mod miditok_follow;
mod miditok_hostile;

use partita_score::{DrumClass, Hit};
use partita_tokens::drums::{
    Constraints, Excerpt, Grammar, OFFSETS, VOCAB, decode_hits, encode_hits, offset_value, velocity_value,
};
use proptest::prelude::*;

const BARS: u32 = 4;

/// Hits on bin centres, so that they survive the trip unchanged.
fn hits(steps: u32) -> impl Strategy<Value = Vec<Hit>> {
    let cell =
        (0..BARS * steps, 0usize..9, 0u32..32, 0..OFFSETS).prop_map(|(step, drum, velocity, offset)| Hit {
            step,
            class: DrumClass::from_index(drum).expect("below nine"),
            velocity: velocity_value(velocity),
            offset: offset_value(offset),
        });
    prop::collection::vec(cell, 0..60).prop_map(|mut hits| {
        hits.sort_by(|a, b| (a.step, a.class).cmp(&(b.step, b.class)).then(a.offset.total_cmp(&b.offset)));
        hits
    })
}

fn excerpt(steps_per_bar: u32, fills: Vec<bool>) -> Excerpt {
    Excerpt { first_bar: 2, steps_per_bar, fills }
}

fn free(steps_per_bar: u32) -> Constraints {
    Constraints {
        excerpt: excerpt(steps_per_bar, vec![false; BARS as usize]),
        open: vec![true; BARS as usize],
        lanes: [true; 9],
        velocities: 1..=127,
        hits_per_bar: 120,
        sounding: false,
    }
}

/// Follows the grammar to its end, choosing the allowed token that `choices` points at.
fn walk(constraints: Constraints, choices: &mut impl FnMut(usize) -> usize) -> Vec<u32> {
    let mut grammar = Grammar::new(constraints).expect("possible demands");
    let mut ids = Vec::new();
    let mut mask = vec![false; VOCAB as usize];
    while !grammar.is_done() {
        grammar.mask(&mut mask);
        let allowed: Vec<u32> = (0..VOCAB).filter(|id| mask[*id as usize]).collect();
        assert!(!allowed.is_empty(), "a grammar never gets stuck");
        let id = allowed[choices(allowed.len())];
        grammar.advance(id).expect("inside the mask");
        ids.push(id);
    }
    ids
}

/// A walk whose choices come from a list of numbers, then always the last (which ends soonest or latest).
fn random_walk(constraints: Constraints, numbers: &[u32]) -> Vec<u32> {
    let mut numbers = numbers.iter();
    walk(constraints, &mut |count| numbers.next().map_or(0, |n| *n as usize % count))
}

proptest! {
    #[test]
    fn round_trip_keeps_every_hit(hits in hits(16)) {
        let ids = encode_hits(&excerpt(16, vec![false; BARS as usize]), &hits);
        prop_assert_eq!(decode_hits(16, &ids), hits);
    }

    #[test]
    fn any_ids_decode_without_panic(ids in prop::collection::vec(0u32..400, 0..200)) {
        decode_hits(16, &ids);
    }

    #[test]
    fn what_follows_the_grammar_obeys_every_demand(
        steps in 1u32..=32,
        lanes in prop::array::uniform9(any::<bool>()),
        low in 1u8..=127,
        width in 0u8..=60,
        open in prop::collection::vec(any::<bool>(), BARS as usize),
        numbers in prop::collection::vec(any::<u32>(), 0..300),
    ) {
        prop_assume!(lanes.contains(&true) && open.contains(&true));
        let high = low.saturating_add(width).min(127);
        let demands = Constraints { lanes, velocities: low..=high, open: open.clone(), sounding: true, ..free(steps) };
        let ids = random_walk(demands, &numbers);
        let hits = decode_hits(steps, &ids);
        let bars = ids.iter().filter(|id| matches!(partita_tokens::drums::Token::from_id(**id), Some(partita_tokens::drums::Token::Bar(_)))).count();
        prop_assert_eq!(bars, BARS as usize);
        prop_assert!(!hits.is_empty());
        let bin = |v: u8| partita_tokens::drums::velocity_bin(v);
        for hit in &hits {
            prop_assert!(hit.step < BARS * steps && lanes[hit.class.index()] && open[(hit.step / steps) as usize]);
            prop_assert!((bin(low)..=bin(high)).contains(&bin(hit.velocity)));
        }
        let mut sorted = hits.clone();
        sorted.sort_by(|a, b| (a.step, a.class).cmp(&(b.step, b.class)).then(a.offset.total_cmp(&b.offset)));
        prop_assert_eq!(sorted, hits, "hits come in order");
    }
}

#[test]
fn a_walk_that_never_wants_to_end_still_ends() {
    // Always the last allowed token but one keeps adding strokes as long as the grammar lets it.
    let ids = walk(free(32), &mut |count| usize::from(count > 1 && count < 40));
    assert!(ids.len() < 4 * 1000);
}

#[test]
fn contradictions_are_errors() {
    let message = |constraints| Grammar::new(constraints).expect_err("a contradiction").to_string();
    assert_eq!(
        message(Constraints { lanes: [false; 9], ..free(16) }),
        "kit must name at least one drum, got none"
    );
    assert_eq!(message(free(33)), "a bar must have 1..=32 sixteenths, got 33");
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = Constraints { velocities: 90..=20, ..free(16) };
    assert_eq!(message(reversed), "velocity range must lie in 1..=127, got 90..=20");
    assert_eq!(
        message(Constraints { open: vec![false; BARS as usize], ..free(16) }),
        "at least one bar must be open for new hits, got none"
    );
}

#[test]
fn a_token_outside_the_mask_is_refused_and_changes_nothing() {
    let mut grammar = Grammar::new(free(16)).expect("possible");
    let before = grammar.forced();
    assert!(grammar.advance(0).is_err());
    assert!(grammar.advance(VOCAB + 7).is_err());
    assert_eq!(grammar.forced(), before);
}
