//! Chorales are written as they are asked for, by a network that has learned nothing: so whatever holds here holds
//! because of the demands, not because the music is likely.

use std::ops::ControlFlow;
use std::sync::Arc;

use partita_kernels::{Path, Pool};
use partita_models::harmony::demands::{Cadence, Demands, RANGES};
use partita_models::harmony::{Cell, Complete, Compute, Error, Harmonizer, HarmonyConfig, VOICES, Written};
use partita_nn::{Precision, Rng};
use partita_score::{Note, Ppq, Tick};

fn harmonizer() -> Harmonizer {
    let config = HarmonyConfig::new(32, 2, 2);
    Harmonizer::random(config, Precision::F32, 3).unwrap()
}

fn compute() -> Compute {
    Compute { pool: Arc::new(Pool::new(1).unwrap()), path: Path::from_env().unwrap() }
}

fn quietly(_: Written) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A request of random length, given cells and demands.
fn random_request(rng: &mut Rng) -> Complete {
    let mut one_in = |n: u64| rng.below(n) == 0;
    let steps = 16;
    let mut request = Complete { ..Complete::new(steps) };
    request.sampling.temperature = 2.0;
    request.demands = Demands {
        ranges: RANGES.map(|range| one_in(3).then(|| range.start() + 2..=range.end() - 3)),
        crossing: one_in(4),
        scale: one_in(2).then_some(0b1010_1011_0101),
        forbidden: if one_in(2) { vec![60, 67, 50] } else { vec![] },
        leaps: [(); VOICES].map(|()| one_in(2).then_some(5)),
        cadence: one_in(2).then_some(Cadence { tonic: 7, steps: 4 }),
    };
    let kind = rng.below(4);
    for t in 0..steps {
        for v in 0..VOICES {
            let given = match kind {
                0 => false,
                1 => v == 0,
                2 => v == 3 && t < 12,
                _ => rng.below(4) == 0 && t < 12,
            };
            if given {
                // Notes of C major within the narrower ranges, that move little from step to step.
                let centre = [71, 64, 59, 48][v];
                let pitch = [centre, centre, centre + [1, 1, 1, 2][v]][rng.below(3) as usize];
                request.cells[t][v] = Some(if rng.below(20) == 0 { Cell::Rest } else { Cell::Pitch(pitch) });
            }
        }
    }
    request.seed = rng.next_u64();
    request
}

/// Fails unless `steps` obey `request`.
fn check(request: &Complete, steps: &[[Cell; VOICES]]) {
    let demands = &request.demands;
    assert_eq!(steps.len(), request.cells.len());
    for (t, (step, given)) in steps.iter().zip(&request.cells).enumerate() {
        for v in 0..VOICES {
            if let Some(given) = given[v] {
                assert_eq!(step[v], given, "a given cell is kept");
                continue;
            }
            let pitch = step[v].pitch().expect("a written cell sounds");
            let range = demands.ranges[v].clone().unwrap_or(RANGES[v].clone());
            assert!(range.contains(&pitch), "{pitch} in {range:?}");
            assert!(demands.scale.is_none_or(|scale| scale >> (pitch % 12) & 1 == 1), "{pitch} in the scale");
            assert!(!demands.forbidden.contains(&pitch), "{pitch} is forbidden");
            let before = steps[..t].iter().rev().find_map(|step| step[v].pitch());
            if let (Some(leap), Some(before)) = (demands.leaps[v], before) {
                assert!(before.abs_diff(pitch) <= leap, "{before} to {pitch}");
            }
        }
        for v in 1..VOICES {
            let above = (0..v).rev().find(|above| step[*above] != Cell::Rest);
            let free = |above: usize| given[v].is_none() || given[above].is_none();
            if let (Some(above), false) = (above.filter(|above| free(*above)), demands.crossing)
                && let (Some(high), Some(low)) = (step[above].pitch(), step[v].pitch())
            {
                assert!(high >= low, "{step:?} crosses");
            }
        }
    }
    if let Some(Cadence { tonic, steps: hold }) = demands.cadence {
        let last = &steps[steps.len() - hold..];
        for (before, now) in last.iter().zip(&last[1..]) {
            let stays = |v: usize| before[v] == now[v] || [before[v], now[v]].contains(&Cell::Rest);
            assert!((0..VOICES).all(stays), "{last:?} holds");
        }
        assert_eq!(last[0][3].pitch().map(|pitch| pitch % 12), Some(tonic));
    }
}

#[test]
fn every_demand_is_obeyed() {
    let (harmonizer, compute) = (harmonizer(), compute());
    let mut rng = Rng::new(11, 0);
    let (mut written, mut refused) = (0, 0);
    for _ in 0..120 {
        let request = random_request(&mut rng);
        match harmonizer.complete(&compute, &request, &mut quietly) {
            Ok(answers) => {
                check(&request, &answers[0].steps);
                let free = request.cells.iter().flatten().filter(|cell| cell.is_none()).count();
                assert_eq!(answers[0].written, free);
                assert!(free == 0 || answers[0].nats > 0.0);
                written += 1;
            }
            Err(Error::Demands(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(written >= 60, "{written} written, {refused} refused");
}

#[test]
fn requests_together_get_what_each_gets_alone_and_a_seed_repeats_itself() {
    let (harmonizer, compute) = (harmonizer(), compute());
    let mut rng = Rng::new(5, 0);
    let mut requests: Vec<Complete> = (0..12).map(|_| random_request(&mut rng)).collect();
    requests.retain(|request| harmonizer.complete(&compute, request, &mut quietly).is_ok());
    assert!(requests.len() >= 4);
    requests[0].variations = 3;
    requests[1].cells.truncate(9);
    requests[1].demands.cadence = None;
    let together = harmonizer.complete_all(&compute, &requests, &mut quietly).unwrap();
    for (request, answers) in requests.iter().zip(&together) {
        let alone = harmonizer.complete(&compute, request, &mut quietly).unwrap();
        assert_eq!(&alone, answers);
    }
    let takes = &together[0];
    assert!(takes[0].steps != takes[1].steps && takes[1].steps != takes[2].steps);
    let threads = Compute { pool: Arc::new(Pool::new(3).unwrap()), ..compute };
    assert_eq!(harmonizer.complete_all(&threads, &requests, &mut quietly).unwrap(), together);
}

#[test]
fn of_the_candidates_the_likeliest_is_kept() {
    let (harmonizer, compute) = (harmonizer(), compute());
    let request = Complete { variations: 6, ..Complete::new(8) };
    let takes = harmonizer.complete(&compute, &request, &mut quietly).unwrap();
    let best = harmonizer
        .complete(&compute, &Complete { variations: 2, candidates: 3, ..request.clone() }, &mut quietly)
        .unwrap();
    for (best, takes) in best.iter().zip(takes.chunks(3)) {
        let least = takes.iter().map(|take| take.nats).fold(f64::INFINITY, f64::min);
        assert_eq!(best.nats, least);
    }
}

#[test]
fn a_melody_keeps_its_notes_and_where_they_start_anew() {
    let note = |onset: u32, end: u32, pitch| Note { onset: Tick(onset), end: Tick(end), pitch, velocity: 90 };
    // A gap that is only touch, a repeated note, a rest, all a little beside the grid.
    let melody = [
        note(3, 400, 67),
        note(478, 960, 67),
        note(961, 1200, 69),
        note(1920, 2400, 72),
        note(2400, 2880, 72),
    ];
    let mut request = Complete::new(0);
    request.give(0, &melody, Ppq::DEFAULT).unwrap();
    request.end_on(0);
    assert_eq!(request.cells.len(), 24);
    assert_eq!(request.demands.cadence, Some(Cadence { tonic: 0, steps: 4 }));
    let answer = &harmonizer().complete(&compute(), &request, &mut quietly).unwrap()[0];
    let tracks = &answer.score.tracks;
    assert_eq!(
        tracks.iter().map(|track| &*track.name).collect::<Vec<_>>(),
        ["Soprano", "Alto", "Tenor", "Bass"]
    );
    let soprano: Vec<(u32, u32, u8)> =
        tracks[0].notes.iter().map(|note| (note.onset.0, note.end.0, note.pitch)).collect();
    let expected = [(0, 480, 67), (480, 960, 67), (960, 1200, 69), (1920, 2400, 72), (2400, 2880, 72)];
    assert_eq!(soprano, expected);
    assert_eq!(answer.score.end(), Tick(2880));
    let bass = tracks[3].notes.last().unwrap();
    assert!(bass.pitch.is_multiple_of(12) && bass.onset <= Tick(2400) && bass.end == Tick(2880));
    for track in &tracks[1..] {
        for pair in track.notes.windows(2) {
            assert!(pair[0].end == pair[1].onset && pair[0].pitch != pair[1].pitch, "held notes are one");
        }
    }
    let two = [note(0, 480, 60), note(10, 480, 64)];
    let error = Complete::new(0).give(0, &two, Ppq::DEFAULT).unwrap_err();
    assert_eq!(error.to_string(), "a voice must be one note at a time, got two in step 0");
    // A triplet: its second and third note are a sixteenth apart on the grid, the last one of four too short for it.
    let quick =
        [note(0, 160, 60), note(160, 320, 62), note(320, 480, 64), note(480, 490, 65), note(490, 500, 67)];
    let mut request = Complete::new(0);
    request.give(0, &quick, Ppq::DEFAULT).unwrap();
    let pitches: Vec<_> = request.cells.iter().map(|cells| cells[0].unwrap().pitch().unwrap()).collect();
    assert_eq!(pitches, [60, 62, 62, 64, 65]);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let (harmonizer, compute) = (harmonizer(), compute());
    let said = |request: &Complete| {
        let mut heard = 0;
        let watch = &mut |_: Written| {
            heard += 1;
            ControlFlow::Continue(())
        };
        let error = harmonizer.complete(&compute, request, watch).unwrap_err().to_string();
        assert_eq!(heard, 0);
        error
    };
    let mut request = Complete::new(16);
    request.cells[8][0] = Some(Cell::Pitch(66));
    request.demands.scale = Some(0b1010_1011_0101);
    assert_eq!(said(&request), "scale and the given notes must leave a pitch, got none in step 8 (soprano)");
    assert_eq!(
        said(&Complete { variations: 65, ..Complete::new(4) }),
        "variations must be in 1..=64, got 65"
    );
    assert_eq!(
        said(&Complete { variations: 32, candidates: 3, ..Complete::new(4) }),
        "candidates must be in 1..=2, got 3"
    );
    assert_eq!(said(&Complete::new(9999)), "steps must be in 1..=650, got 651");
    let mut tokens = 0;
    let stopped = harmonizer.complete(&compute, &Complete::new(16), &mut |_| {
        tokens += 1;
        if tokens == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Cancelled)) && tokens == 5);
}
