//! How long plans take, and how many random demands contradict themselves: `cargo run --release --example plan_speed`.

use partita_score::demands::{Demands, Plan, RhythmGrid, StrongBeats, Walk, random_demands};
use partita_score::harmony::{Chord, ChordKind, NoteName};
use std::{sync::Arc, time::Instant};

fn main() {
    let meter = "4/4".parse().expect("a metre");
    let mut common = Demands::new(meter, 16, 120.0);
    common.scale = Some([0, 2, 4, 5, 7, 9, 11].into_iter().collect());
    common.range = 55..=79;
    common.grid = RhythmGrid::Sixteenth;
    common.max_leap = Some(9);
    common.cadence = Some(0);
    common.strong_beats = StrongBeats::Licensed;
    let chord = |root: i32| Some(Chord::new(NoteName::from_fifths(root), ChordKind::Major));
    common.chords = (0..16).map(|bar| (48 * bar, chord([0, -1, 1, 0][bar as usize % 4]))).collect();
    time("16 bars of sixteenths", &common);
    common.density = Some(2..=8);
    time("the same with density 2-8", &common);
    common.grid = RhythmGrid::Mixed;
    common.bars = 64;
    time("64 bars of sixteenths and triplets", &common);

    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let (start, mut slowest, mut refused) = (Instant::now(), 0.0f64, 0);
    for _ in 0..10_000 {
        let demands = random_demands(&mut next);
        let one = Instant::now();
        refused += usize::from(Plan::new(&demands).is_err());
        slowest = slowest.max(one.elapsed().as_secs_f64());
    }
    let all = start.elapsed().as_secs_f64();
    println!("10000 random demands: {all:.2} s, slowest {:.1} ms, {refused} refused", slowest * 1e3);
}

fn time(what: &str, demands: &Demands) {
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        let plan = Plan::new(demands);
        times.push(start.elapsed().as_secs_f64() * 1e6);
        std::hint::black_box(&plan);
    }
    times.sort_by(f64::total_cmp);
    let plan = Arc::new(Plan::new(demands).expect("these demands can be met"));
    let walk = Walk::start(&plan);
    let start = Instant::now();
    for _ in 0..1000 {
        std::hint::black_box(walk.onset_cells(0));
    }
    let nanos = start.elapsed().as_secs_f64() * 1e9 / 1000.0 / f64::from(plan.cells_per_bar());
    println!(
        "{what}: plan {:.0} us, {} KiB; {nanos:.0} ns a cell of a bar's onsets",
        times[25],
        plan.bytes() >> 10
    );
}
