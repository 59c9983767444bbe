//! Contradictions are named with the smallest set of demands.

use super::random;
use partita_score::demands::{
    Contradiction, Demand, Demands, PitchSet, Plan, Required, RhythmGrid, StrongBeats, random_demands,
};
use partita_score::harmony::{Chord, ChordKind, NoteName};
use partita_score::{Meter, Note, Tick};

fn contradiction(change: impl FnOnce(&mut Demands)) -> Contradiction {
    let mut demands = Demands::new(Meter::COMMON, 4, 100.0);
    change(&mut demands);
    Plan::new(&demands).expect_err("these demands conflict")
}

fn check(message: &str, change: impl FnOnce(&mut Demands)) {
    assert_eq!(contradiction(change).to_string(), message);
}

fn note(onset: u32, end: u32, pitch: u8) -> Note {
    Note { onset: Tick(onset), end: Tick(end), pitch, velocity: 80 }
}

#[test]
fn values_no_piece_can_have_are_named_with_what_is_allowed() {
    check("bars must be in 1..=64, got 0", |it| it.bars = 0);
    check("bars must be in 1..=64, got 65", |it| it.bars = 65);
    check("tempo must be in 10..=400, got NaN", |it| it.tempo = f64::NAN);
    check("range must be two pitches in 0..=127, low first, got 60-128", |it| it.range = 60..=128);
    #[allow(clippy::reversed_empty_ranges, reason = "an empty range is what is tested")]
    let reversed = 61..=60;
    check("range must be two pitches in 0..=127, low first, got 61-60", |it| it.range = reversed);
    check("require must be at most 5 pitches, got 6", |it| it.required = vec![Required::Class(0); 6]);
    check("require must be pitch classes in 0..=11, got 12", |it| it.required = vec![Required::Class(12)]);
    check("max_leap must be in 0..=127 semitones, got 128", |it| it.max_leap = Some(128));
    check("cadence must be a pitch class in 0..=11, got 60", |it| it.cadence = Some(60));
    check("chords must be at rising cells below 192, got cell 192", |it| it.chords = vec![(192, None)]);
    check("locked must be notes one after another, got D4 at cells 11..20", |it| {
        it.locked = vec![note(11, 20, 62), note(0, 12, 60)];
    });
    check("locked must be notes within 0..192, got C4 at cells 180..193", |it| {
        it.locked = vec![note(180, 193, 60)];
    });
    check("open must be stretches in 0..192, got 0..193", |it| it.open = vec![0..193]);
    let odd = Meter { numerator: 4, denominator: 3 };
    check("meter must be 1..=32 over 1, 2, 4, 8 or 16, got 4/3", |it| it.meter = odd);
}

#[test]
fn the_smallest_pair_is_named_whatever_else_is_asked() {
    let c_major = Some([0, 2, 4, 5, 7, 9, 11].into_iter().collect());
    check("required F#4 and scale C D E F G A B conflict: F#4 is not in the scale", |it| {
        it.scale = c_major;
        it.range = 55..=79;
        it.max_leap = Some(7);
        it.required = vec![Required::Pitch(60), Required::Pitch(66)];
    });
    check("required C6 and range 60-64 (C4-E4) conflict: C6 is outside the range", |it| {
        it.range = 60..=64;
        it.required = vec![Required::Pitch(84)];
    });
    check("required G4 and forbidden G4 conflict: G4 is forbidden", |it| {
        it.forbidden = PitchSet::of(67);
        it.required = vec![Required::Pitch(67)];
    });
    check("cadence on F# and scale C D E F G A B conflict: F# is not in the scale", |it| {
        it.scale = c_major;
        it.cadence = Some(6);
    });
    check("notes_per_bar 5-8 and grid quarter conflict: a bar of 4/4 has 4 places on this grid", |it| {
        it.density = Some(5..=8);
        it.grid = RhythmGrid::Quarter;
    });
    check("notes_per_bar 49-60 can't be met: a bar of 4/4 has 48 places for a note", |it| {
        it.density = Some(49..=60);
    });
    check("locked C#4 at bar 2, beat 1 and scale C D E F G A B conflict: C#4 is not in the scale", |it| {
        it.scale = c_major;
        it.locked = vec![note(0, 12, 60), note(48, 60, 61)];
    });
    check("locked C4 at bar 1, beat 1.5 and grid quarter conflict: it does not begin on the grid", |it| {
        it.grid = RhythmGrid::Quarter;
        it.locked = vec![note(0, 6, 60), note(6, 12, 60)];
    });
    check(
        "required C4, required C7 and max_leap 0 conflict: no piece can meet these together; widen one",
        |it| {
            it.max_leap = Some(0);
            it.required = vec![Required::Pitch(60), Required::Pitch(96)];
        },
    );
    check("2 locked notes and max_leap 4 conflict: no piece can meet both; widen one", |it| {
        it.max_leap = Some(4);
        it.locked = vec![note(0, 12, 60), note(12, 24, 72)];
    });
    check(
        "required C7, locked C4 at bar 1, beat 1 and max_leap 1 conflict: no piece can meet these together; widen one",
        |it| {
            it.max_leap = Some(1);
            it.required = vec![Required::Pitch(96)];
            it.locked = vec![note(0, 190, 60)];
            it.open = vec![190..192];
        },
    );
}

#[test]
fn chords_take_part_with_the_strong_beats() {
    let chord = Chord::new(NoteName::C, ChordKind::Major);
    let told = contradiction(|it| {
        it.chords = vec![(0, Some(chord))];
        it.strong_beats = StrongBeats::Strict;
        it.grid = RhythmGrid::Half;
        it.required = vec![Required::Class(2)];
    });
    let message = "required D, strong_beats strict over C and grid half conflict: no piece can meet these together; widen one";
    assert_eq!(told.to_string(), message);
    assert_eq!(told.demands(), [Demand::Required, Demand::StrongBeats, Demand::Grid]);
    let unknown = contradiction(|it| {
        it.strong_beats = StrongBeats::Licensed;
        it.grid = RhythmGrid::Half;
        it.density = Some(1..=2);
    });
    let message = "notes_per_bar 1-2, strong_beats licensed and grid half conflict: \
                   no note can be promised for a strong beat before its chord is known";
    assert_eq!(unknown.to_string(), message);
}

#[test]
fn what_is_kept_helps_and_the_open_region_is_named() {
    let mut demands = Demands::new(Meter::COMMON, 2, 100.0);
    demands.range = 60..=64;
    demands.required = vec![Required::Pitch(84)];
    demands.locked = vec![note(0, 12, 84)];
    demands.open = vec![48..96];
    assert!(Plan::new(&demands).is_ok());
    demands.grid = RhythmGrid::Quarter;
    demands.density = Some(4..=4);
    demands.open = vec![60..96];
    let told = Plan::new(&demands).expect_err("three quarters are open");
    let message = "notes_per_bar 4-4, grid quarter and open from bar 2, beat 2 up to bar 3, beat 1 conflict: \
                   no piece can meet these together; widen one";
    assert_eq!(told.to_string(), message);
}

#[test]
fn too_large_a_plan_is_refused_before_it_is_made() {
    let mut demands = Demands::new("12/8".parse().expect("a metre"), 64, 100.0);
    demands.grid = RhythmGrid::Mixed;
    demands.required = (0..5).map(Required::Class).collect();
    demands.density = Some(1..=30);
    demands.strong_beats = StrongBeats::Licensed;
    let message = "a plan for these demands takes 69 MiB, at most 64 are allowed: ask for fewer required pitches than 5, \
                   or no notes_per_bar or fewer than 1-30, or a coarser grid than mixed, or fewer bars than 64";
    assert_eq!(Plan::new(&demands).expect_err("too large").to_string(), message);
    demands.required.pop();
    assert!(Plan::new(&demands).is_ok_and(|plan| plan.bytes() <= Plan::MOST_BYTES));
}

/// What is named conflicts by itself, and nothing of it can be left out.
#[test]
fn what_is_named_is_a_smallest_conflict() {
    let mut pairs = 0;
    for seed in 0..1500 {
        let mut demands = random_demands(&mut random(seed + 9000));
        // With kept notes and open regions leaving out is no longer widening.
        demands.locked.clear();
        demands.open.clear();
        let Err(told) = Plan::new(&demands) else { continue };
        let named = told.demands();
        let keep = |without: Option<Demand>| {
            let mut some = Demands::new(demands.meter, demands.bars, demands.tempo);
            for demand in named.iter().filter(|it| Some(**it) != without) {
                match demand {
                    Demand::Scale => some.scale = demands.scale,
                    Demand::Range => some.range = demands.range.clone(),
                    Demand::Forbidden => some.forbidden = demands.forbidden,
                    Demand::Required => some.required.clone_from(&demands.required),
                    Demand::MaxLeap => some.max_leap = demands.max_leap,
                    Demand::Grid => some.grid = demands.grid,
                    Demand::Density => some.density.clone_from(&demands.density),
                    Demand::Cadence => some.cadence = demands.cadence,
                    Demand::StrongBeats => {
                        some.strong_beats = demands.strong_beats;
                        some.chords.clone_from(&demands.chords);
                    }
                    other => panic!("{other} named in {told}"),
                }
            }
            Plan::new(&some)
        };
        assert!(keep(None).is_err(), "{told}");
        // Of several required items only some may be named; they come together here.
        for demand in named.iter().filter(|it| **it != Demand::Required) {
            let many = named.contains(&Demand::Required) && demands.required.len() > 1;
            assert!(many || keep(Some(*demand)).is_ok(), "{told}: not because of {demand}");
        }
        pairs += usize::from(named.len() <= 2);
    }
    assert!(pairs > 50, "{pairs}");
}
