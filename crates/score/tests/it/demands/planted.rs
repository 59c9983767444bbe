//! The verifier finds what was planted, and only that.

use super::score;
use partita_score::demands::{Demand, Demands, Required, RhythmGrid, StrongBeats, violations};
use partita_score::harmony::{Chord, ChordKind};
use partita_score::{Meter, MeterMap, Note, Score, TempoMap, Tick};

fn note(onset: u32, end: u32, pitch: u8) -> Note {
    Note { onset: Tick(onset), end: Tick(end), pitch, velocity: 80 }
}

fn major(root: &str) -> Option<Chord> {
    Some(Chord::new(root.parse().expect(root), ChordKind::Major))
}

/// Four bars of 4/4 with every demand made, and a melody that meets them.
fn strict() -> (Demands, Vec<Note>) {
    let mut demands = Demands::new(Meter::COMMON, 4, 100.0);
    demands.scale = Some([0, 2, 4, 5, 7, 9, 11].into_iter().collect());
    demands.range = 60..=72;
    demands.forbidden = [71].into_iter().collect();
    demands.required = vec![Required::Pitch(69), Required::Class(5)];
    demands.chords = vec![(0, major("C")), (48, major("F")), (96, None), (144, major("C"))];
    demands.strong_beats = StrongBeats::Licensed;
    demands.max_leap = Some(5);
    demands.grid = RhythmGrid::Eighth;
    demands.density = Some(1..=4);
    demands.cadence = Some(0);
    demands.locked = vec![note(48, 60, 69)];
    let notes = vec![
        note(0, 12, 64),
        note(12, 24, 67),
        // A passing tone on a strong beat.
        note(24, 36, 65),
        note(36, 42, 64),
        note(48, 60, 69),
        note(60, 72, 67),
        note(72, 96, 65),
        note(96, 144, 62),
        note(144, 168, 64),
        note(168, 186, 60),
    ];
    (demands, notes)
}

fn found(score: &Score, demands: &Demands) -> Vec<Demand> {
    let mut found: Vec<_> = violations(score, 0, demands).iter().map(|it| it.demand).collect();
    found.dedup();
    found
}

/// What is found after `change`, at two sizes of tick.
fn check(expected: &[Demand], change: impl Fn(&mut Demands, &mut Vec<Note>)) {
    let (mut demands, mut notes) = strict();
    change(&mut demands, &mut notes);
    notes.sort_by_key(|note| note.onset);
    let given = strict().0.chords;
    for ppq in [12, 480] {
        let found = found(&score(&demands, &notes, &given, ppq), &demands);
        assert_eq!(found, expected, "{ppq} ticks a quarter");
    }
}

#[test]
fn a_melody_that_obeys_has_no_violations() {
    check(&[], |_, _| {});
}

#[test]
fn each_kind_of_violation_is_found() {
    check(&[Demand::Scale], |_, notes| notes[3].pitch = 66);
    check(&[Demand::Range], |demands, _| demands.range = 61..=72);
    check(&[Demand::Forbidden, Demand::MaxLeap], |_, notes| notes[1].pitch = 71);
    check(&[Demand::Forbidden], |demands, _| demands.forbidden = [62].into_iter().collect());
    check(&[Demand::Required], |demands, _| demands.required.push(Required::Class(11)));
    check(&[Demand::Required], |demands, _| demands.required = vec![Required::Pitch(57)]);
    check(&[Demand::Chords], |demands, _| demands.chords[1].1 = major("D"));
    check(&[Demand::Chords], |demands, _| demands.chords[2].0 = 90);
    check(&[Demand::StrongBeats], |demands, _| demands.strong_beats = StrongBeats::Strict);
    check(&[Demand::StrongBeats], |_, notes| notes[8].pitch = 65);
    check(&[Demand::MaxLeap], |demands, _| demands.max_leap = Some(4));
    check(&[Demand::Grid], |_, notes| notes[1].onset = Tick(15));
    check(&[Demand::Density], |demands, _| demands.density = Some(2..=4));
    check(&[Demand::Density], |demands, _| demands.density = Some(1..=3));
    check(&[Demand::Cadence], |demands, _| demands.cadence = Some(7));
    check(&[Demand::Density, Demand::Cadence], |_, notes| notes.truncate(8));
    check(&[Demand::Polyphony], |_, notes| notes[8].end = Tick(171));
    check(&[Demand::Polyphony, Demand::Locked], |_, notes| notes[4].end = Tick(63));
    check(&[Demand::Locked], |_, notes| notes[4].velocity = 81);
    check(&[Demand::Locked], |_, notes| notes[4].end = Tick(57));
    check(&[Demand::Bars], |_, notes| notes[9].end = Tick(193));
    check(&[Demand::Open], |demands, _| demands.open = vec![0..54, 72..192]);
    check(&[], |demands, _| demands.open = vec![0..54, 54..192]);
}

#[test]
fn two_voices_are_allowed_where_they_are_demanded() {
    check(&[Demand::Locked], |demands, notes| {
        demands.polyphony = 2;
        notes[5].onset = Tick(54);
    });
    check(&[], |demands, notes| {
        demands.polyphony = 2;
        notes[8].end = Tick(171);
    });
}

#[test]
fn metre_and_tempo_are_those_of_the_score() {
    let (demands, notes) = strict();
    let right = score(&demands, &notes, &demands.chords, 480);
    let three = "3/4".parse().expect("a metre");
    let with = |change: &dyn Fn(&mut Score)| {
        let mut score = right.clone();
        change(&mut score);
        found(&score, &demands)
    };
    let changing = MeterMap::new(vec![(Tick(0), Meter::COMMON), (Tick(1920), three)]);
    let shifted = MeterMap::new(vec![(Tick(0), Meter::COMMON), (Tick(480), Meter::COMMON)]);
    assert_eq!(with(&|score| score.meters = MeterMap::constant(three)), [Demand::Meter]);
    assert_eq!(with(&|score| score.meters = changing.clone()), [Demand::Meter]);
    assert_eq!(with(&|score| score.meters = shifted.clone()), [Demand::Meter]);
    assert_eq!(with(&|score| score.tempos = TempoMap::constant(101.0)), [Demand::Tempo]);
    let rushing = TempoMap::new(vec![(Tick(0), 600_000), (Tick(960), 500_000)]);
    assert_eq!(with(&|score| score.tempos = rushing.clone()), [Demand::Tempo]);
    assert_eq!(violations(&right, 1, &demands)[0].found, "no track 1 in a score of 1 tracks");
}

#[test]
fn what_is_kept_outside_the_open_region_is_exempt() {
    let mut demands = Demands::new(Meter::COMMON, 3, 100.0);
    demands.scale = Some([0, 2, 4].into_iter().collect());
    demands.range = 60..=64;
    demands.max_leap = Some(3);
    demands.density = Some(1..=2);
    demands.grid = RhythmGrid::Quarter;
    demands.locked = vec![note(0, 6, 90), note(7, 12, 61), note(100, 144, 66)];
    demands.open = vec![48..96];
    let mut notes = demands.locked.clone();
    notes.insert(2, note(48, 96, 64));
    assert_eq!(found(&score(&demands, &notes, &[], 24), &demands), []);
    notes[2].pitch = 62;
    assert_eq!(found(&score(&demands, &notes, &[], 24), &demands), [Demand::MaxLeap]);
}

#[test]
fn places_are_told_in_bars_and_beats() {
    let mut demands = Demands::new("7/8".parse().expect("a metre"), 2, 100.0);
    demands.scale = Some([0].into_iter().collect());
    let violations = violations(&score(&demands, &[note(60, 66, 66)], &[], 960), 0, &demands);
    assert_eq!(violations[0].to_string(), "scale: bar 2, beat 2.5: F#4 is not in the scale C");
    assert_eq!((violations[0].bar, violations[0].beat), (1, 1.5));
}
