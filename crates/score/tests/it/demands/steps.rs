//! What a walk allows, event by event.

use partita_score::demands::{Demands, PitchSet, Plan, RhythmGrid, Step, StrongBeats, Walk};
use partita_score::harmony::{Chord, ChordKind, NoteName};
use partita_score::{Meter, Note, Tick};
use std::sync::Arc;

fn walk(bars: u32, change: impl FnOnce(&mut Demands)) -> Walk {
    let mut demands = Demands::new(Meter::COMMON, bars, 100.0);
    demands.range = 60..=72;
    demands.grid = RhythmGrid::Quarter;
    change(&mut demands);
    Walk::start(&Arc::new(Plan::new(&demands).expect("these demands can be met")))
}

fn pitches(set: PitchSet) -> Vec<u8> {
    set.iter().collect()
}

#[test]
fn leaps_bound_the_next_note_and_lead_to_the_cadence() {
    let mut walk = walk(1, |it| {
        it.max_leap = Some(2);
        it.cadence = Some(0);
    });
    // Four notes, three leaps: at most six away from a tonic.
    assert_eq!(walk.onsets(0), PitchSet::range(60..=72));
    assert_eq!(walk.onsets(12), PitchSet::range(60..=64) | PitchSet::range(68..=72));
    assert_eq!(pitches(walk.onsets(36)), [60, 72]);
    assert_eq!(walk.onsets(6), PitchSet::EMPTY);
    walk.onset(0, 66).expect("allowed");
    assert_eq!(pitches(walk.onsets(12)), [64, 68]);
    assert_eq!(pitches(walk.onsets(24)), [] as [u8; 0]);
    assert!(!walk.may_end_bar() && !walk.may_rest(12) && walk.may_rest(11));
    let before = format!("{walk:?}");
    let misstep = walk.onset(12, 65).expect_err("a tonic can't be reached from there");
    assert_eq!(misstep.to_string(), "F4 may not begin at bar 1, beat 2");
    assert!(walk.rest(12).is_err() && walk.next_bar().is_err() && walk.set_chords(1, &[]).is_err());
    assert_eq!(format!("{walk:?}"), before);
}

#[test]
fn kept_notes_are_events_that_must_come() {
    let kept = Note { onset: Tick(18), end: Tick(54), pitch: 90, velocity: 7 };
    let mut walk = walk(2, |it| {
        it.locked = vec![kept];
        it.open = vec![0..12, 72..96];
    });
    assert_eq!((walk.onset_cells(0), walk.onset_cells(1)), (vec![0, 18], vec![]));
    walk.onset(0, 60).expect("allowed");
    assert_eq!((walk.hold_limit(), walk.onsets(18)), (Some(12), PitchSet::EMPTY));
    assert!(walk.may_hold_until(12) && !walk.may_hold_until(13) && !walk.may_end_bar());
    walk.rest(12).expect("allowed");
    assert_eq!(walk.forced(), Some(Step::Onset { cell: 18, pitch: 90 }));
    walk.onset(18, 90).expect("forced");
    assert_eq!((walk.forced(), walk.hold_limit()), (Some(Step::NextBar), Some(54)));
    walk.next_bar().expect("forced");
    assert_eq!(walk.forced(), Some(Step::Rest { cell: 54 }));
    assert!(walk.onsets(72).is_empty());
    walk.rest(54).expect("forced");
    assert_eq!(walk.onset_cells(1), [72, 84]);
    assert!(walk.may_end_bar() && !walk.may_rest(60));
    walk.onset(84, 61).expect("allowed");
    walk.next_bar().expect("allowed");
    assert!(walk.is_done() && walk.steps().next().is_none() && walk.next_bar().is_err());
}

#[test]
fn a_note_may_be_held_up_to_the_next_kept_one() {
    let kept = Note { onset: Tick(30), end: Tick(48), pitch: 60, velocity: 7 };
    let mut walk = walk(1, |it| {
        it.grid = RhythmGrid::Eighth;
        it.locked = vec![kept];
    });
    walk.onset(6, 62).expect("allowed");
    assert_eq!((walk.hold_limit(), walk.onset_cells(0)), (Some(30), vec![12, 18, 24, 30]));
    assert!(walk.may_rest(29) && !walk.may_rest(30) && walk.may_hold_until(30) && !walk.may_hold_until(31));
}

#[test]
fn leaps_count_where_new_meets_kept_but_not_within_what_is_kept() {
    let kept = |at, pitch| Note { onset: Tick(at), end: Tick(at + 12), pitch, velocity: 7 };
    let mut walk = walk(3, |it| {
        it.max_leap = Some(2);
        it.locked = vec![kept(0, 90), kept(36, 64), kept(96, 70), kept(108, 90), kept(132, 60)];
        it.open = vec![48..96];
    });
    walk.onset(0, 90).expect("kept");
    walk.rest(12).expect("its end");
    walk.onset(36, 64).expect("kept");
    walk.next_bar().expect("it ends on the bar line");
    // From E4 up to Bb4 in steps of two at most.
    assert_eq!(pitches(walk.onsets(48)), [62, 63, 64, 65, 66]);
    assert_eq!(walk.onset_cells(1), [48]);
    walk.rest(48).expect("there is time left");
    assert_eq!(walk.onset_cells(1), [60, 72]);
    assert!(!walk.may_end_bar());
}

#[test]
fn density_says_when_a_bar_may_end() {
    let mut walk = walk(2, |it| it.density = Some(2..=3));
    assert_eq!(walk.onset_cells(0), [0, 12, 24]);
    assert!(walk.onsets(48).is_empty() && !walk.may_end_bar());
    for cell in [12, 24, 36] {
        assert_eq!(walk.may_end_bar(), cell == 36);
        walk.onset(cell, 60).expect("allowed");
    }
    assert_eq!((walk.onsets_in_bar(), walk.onset_cells(0)), (3, vec![]));
    // Over the bar line, where the new bar has room.
    assert_eq!(walk.onset_cells(1), [48, 60, 72]);
    walk.onset(60, 61).expect("allowed");
    assert_eq!((walk.bar(), walk.onsets_in_bar()), (1, 1));
}

#[test]
fn strong_beats_open_when_their_chords_are_told() {
    let c = || Some(Chord::new(NoteName::C, ChordKind::Major));
    let mut strict = walk(2, |it| it.strong_beats = StrongBeats::Strict);
    assert_eq!(strict.onset_cells(0), [12, 36]);
    strict.set_chords(0, &[(0, c()), (24, None)]).expect("in time");
    assert_eq!(pitches(strict.onsets(0)), [60, 64, 67, 72]);
    assert_eq!(strict.onsets(24), PitchSet::range(60..=72));
    assert!(strict.set_chords(0, &[]).is_err(), "told already");
    assert!(
        strict.set_chords(1, &[(47, None)]).is_err()
            && strict.set_chords(1, &[(60, None), (60, c())]).is_err()
    );
    strict.next_bar().expect("allowed");
    strict.set_chords(1, &[]).expect("nothing changes");
    assert_eq!(strict.onsets(48), PitchSet::range(60..=72));

    let mut licensed = walk(1, |it| it.strong_beats = StrongBeats::Licensed);
    licensed.set_chords(0, &[(0, c())]).expect("in time");
    licensed.onset(0, 65).expect("can be left by step");
    assert!(licensed.is_pending() && !licensed.may_end_bar());
    assert_eq!(pitches(licensed.onsets(12)), [63, 64, 66, 67]);
    licensed.onset(12, 66).expect("a step");
    // A tone of the chord, or reached by step; the last beat could still resolve any other.
    assert_eq!(licensed.onsets(24), PitchSet::range(60..=72));
    licensed.onset(24, 62).expect("can be left by step");
    assert_eq!(pitches(licensed.onsets(36)), [60, 61, 63, 64]);
}
