//! Drums through the grid and back.

use std::cmp::Reverse;

use crate::test_files;
use partita_score::{
    DrumClass, DrumMap, DrumPattern, Hit, Meter, MeterMap, Note, Ppq, Score, TempoMap, Tick, Track, midi,
    picture, quantize_drums, swing,
};
use proptest::{collection::vec, prelude::*};

/// Every onset comes back within a tick (of the coarser of both resolutions), every velocity exactly; of strokes of one
/// drum on one tick the loudest.
pub fn check_round_trip(name: &str, score: &Score) {
    let quantized = match quantize_drums(score, DrumMap::Td11) {
        Ok(quantized) => quantized,
        Err(error) => panic!("{name}: {error}"),
    };
    let pattern = &quantized.pattern;
    assert_eq!(pattern.hits.len(), quantized.sources.len(), "{name}");
    let mut sorted = pattern.clone();
    sorted.sort();
    assert_eq!(&sorted, pattern, "{name}");
    assert!(
        pattern.hits.iter().all(|hit| hit.step < pattern.steps() && (-0.5..0.5).contains(&hit.offset)),
        "{name}"
    );
    let played: usize =
        score.tracks.iter().filter(|track| track.is_drums()).map(|track| track.notes.len()).sum();
    assert_eq!(pattern.hits.len() + quantized.unmapped, played, "{name}");
    let back = pattern.to_score();
    // Both sides as (seconds-free place in beats, class, velocity), sorted by place.
    let mut strokes: Vec<(u8, Tick, Reverse<u8>, f64)> = Vec::new();
    for (&(track, note), hit) in quantized.sources.iter().zip(&pattern.hits) {
        let note = score.tracks[track].notes[note];
        let class = DrumClass::from_td11(note.pitch).expect("only mapped notes are sources");
        let onset = note.onset.beats(score.ppq).0;
        strokes.push((class.gm_pitch(), hit.onset(back.ppq), Reverse(note.velocity), onset));
    }
    strokes.sort_by_key(|stroke| (stroke.0, stroke.1, stroke.2));
    strokes.dedup_by_key(|stroke| (stroke.0, stroke.1));
    let mut expected: Vec<(f64, u8, u8)> =
        strokes.into_iter().map(|(pitch, _, Reverse(velocity), onset)| (onset, pitch, velocity)).collect();
    let notes = back.tracks[0].notes.iter();
    let mut got: Vec<_> = notes.map(|n| (n.onset.beats(back.ppq).0, n.pitch, n.velocity)).collect();
    let tolerance = 1.0 / f64::from(score.ppq.get().min(back.ppq.get())) + 1e-9;
    let by_class = |list: &mut Vec<(f64, u8, u8)>| {
        list.sort_by(|a, b| a.1.cmp(&b.1).then(a.0.total_cmp(&b.0)).then(a.2.cmp(&b.2)));
    };
    by_class(&mut expected);
    by_class(&mut got);
    assert_eq!(expected.len(), got.len(), "{name}");
    let mut velocities = [[0i32; 128]; 128];
    for (want, have) in expected.iter().zip(&got) {
        assert!(want.1 == have.1 && (want.0 - have.0).abs() <= tolerance, "{name}: {want:?} became {have:?}");
        velocities[usize::from(want.1)][usize::from(want.2)] += 1;
        velocities[usize::from(have.1)][usize::from(have.2)] -= 1;
    }
    assert!(velocities.iter().flatten().all(|count| *count == 0), "{name}: velocities changed");
}

#[test]
fn real_drumming_keeps_every_onset_and_velocity() {
    for (name, bytes) in test_files("drummer") {
        check_round_trip(&name, &midi::read(&bytes).expect("readable"));
    }
}

fn pattern() -> impl Strategy<Value = DrumPattern> {
    let meter =
        (1..=32u8, 1..=4u8).prop_map(|(numerator, power)| Meter { numerator, denominator: 1 << power });
    (meter, 20.0..300.0f64, 1..5u32).prop_flat_map(|(meter, tempo, bars)| {
        let steps = bars * meter.steps_per_bar();
        let hit = (0..steps, 0..9usize, 1..128u8, -60..60i32).prop_map(|(step, class, velocity, ticks)| {
            let class = DrumClass::from_index(class).expect("below 9");
            // The first step can't be early: time starts there.
            let ticks = if step == 0 { ticks.max(0) } else { ticks };
            Hit { step, class, velocity, offset: ticks as f32 / 120.0 }
        });
        vec(hit, 1..40).prop_map(move |hits| {
            let mut pattern = DrumPattern { meter, tempo, bars, hits };
            pattern.sort();
            pattern
        })
    })
}

/// Any microtiming, its very ends often.
fn offset() -> impl Strategy<Value = f32> {
    prop_oneof![-0.5..0.5f32, 0.49..0.5f32, Just(0.5f32.next_down()), Just(-0.5f32)]
}

proptest! {
    #[test]
    fn a_pattern_comes_back_from_its_score(pattern in pattern()) {
        let back = quantize_drums(&pattern.to_score(), DrumMap::Gm).expect("has drums").pattern;
        prop_assert!(back.bars <= pattern.bars && (back.tempo - pattern.tempo).abs() < 0.01);
        // Of strokes on the very same place the loudest sounds.
        let key = |hit: &Hit| (hit.step, hit.class, (hit.offset * 120.0).round() as i32, Reverse(hit.velocity));
        let keys = |pattern: &DrumPattern| {
            let mut keys: Vec<_> = pattern.hits.iter().map(key).collect();
            keys.sort_unstable();
            keys.dedup_by_key(|key| (key.0, key.1, key.2));
            keys
        };
        prop_assert_eq!(keys(&back), keys(&pattern));
    }

    #[test]
    fn every_hit_reads_back_in_its_step(mut pattern in pattern(), offsets in vec(offset(), 40)) {
        for (hit, offset) in pattern.hits.iter_mut().zip(offsets) {
            // The first step can't be early: time starts there.
            hit.offset = if hit.step == 0 { offset.abs().min(0.5f32.next_down()) } else { offset };
        }
        let back = quantize_drums(&pattern.to_score(), DrumMap::Gm).expect("has drums").pattern;
        prop_assert!(back.bars <= pattern.bars);
        let steps = |pattern: &DrumPattern| {
            let place = |hit: &Hit| (hit.step, hit.class, hit.onset(DrumPattern::PPQ), Reverse(hit.velocity));
            let mut steps: Vec<_> = pattern.hits.iter().map(place).collect();
            steps.sort_unstable();
            steps.dedup_by_key(|place| (place.0, place.1, place.2));
            steps
        };
        prop_assert_eq!(steps(&back), steps(&pattern));
    }

    #[test]
    fn any_resolution_keeps_onsets_within_a_tick(
        ppq in 1..=32767u16,
        onsets in vec((0..10_000u32, 36..60u8, 1..128u8), 1..30),
    ) {
        let note = |(onset, pitch, velocity)| Note { onset: Tick(onset), end: Tick(onset + 1), pitch, velocity };
        let mut notes: Vec<_> = onsets.into_iter().map(note).collect();
        notes.push(Note { onset: Tick(0), end: Tick(1), pitch: 36, velocity: 1 });
        notes.sort_by_key(|note| note.onset);
        let tracks = vec![Track { channel: 9, notes, ..Track::default() }];
        let ppq = Ppq::new(ppq).expect("in range");
        let (tempos, meters) = (TempoMap::constant(100.0), MeterMap::default());
        check_round_trip("generated", &Score { ppq, tempos, meters, tracks, ..Score::default() });
    }

    #[test]
    fn swing_keeps_patterns_canonical(mut pattern in pattern(), place in 0.5..=0.75f64, eighths in any::<bool>()) {
        let before = pattern.hits.len();
        let unit = if eighths { swing::SwingUnit::Eighth } else { swing::SwingUnit::Sixteenth };
        swing::apply(&mut pattern, unit, place).expect("in range");
        prop_assert_eq!(pattern.hits.len(), before);
        prop_assert!(pattern.hits.iter().all(|hit| hit.step < pattern.steps()));
        prop_assert!(pattern.hits.iter().all(|hit| (-0.5..0.5).contains(&hit.offset)));
    }
}

#[test]
fn pictures_of_real_files_are_the_same_from_svg_and_direct() {
    for (name, bytes) in test_files("") {
        let score = midi::read(&bytes).expect("readable");
        let png = picture::svg_to_png(&picture::piano_roll_svg(&score), 1.0);
        assert!(png.is_ok_and(|png| png.starts_with(b"\x89PNG")), "{name}");
        if let Ok(drums) = quantize_drums(&score, DrumMap::Td11) {
            let svg = picture::drum_grid_svg(&drums.pattern);
            assert_eq!(
                svg.matches("<rect").count() - svg.matches("height=\"22\"").count() - 1,
                drums.pattern.hits.len() * 2
            );
            assert!(picture::svg_to_png(&svg, 1.5).is_ok(), "{name}");
        }
    }
}
