//! Chorales are written as they are asked for, by a network that has learned nothing: so whatever holds here holds
//! because of the demands, not because the music is likely.

use std::ops::ControlFlow;
use std::sync::Arc;

use partita_kernels::{Path, Pool};
use partita_models::harmony::demands::{Cadence, Demand, RANGES};
use partita_models::harmony::{
    Cell, Complete, Compute, Error, Harmonizer, HarmonyConfig, Written, random_request, violations,
};
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

/// As drawn, but bold: so that what nobody forbids happens.
fn bold_request(rng: &mut Rng) -> Complete {
    let mut request = random_request(rng);
    request.sampling.temperature = 2.0;
    request
}

#[test]
fn every_demand_is_obeyed() {
    let (harmonizer, compute) = (harmonizer(), compute());
    let mut rng = Rng::new(11, 0);
    let (mut written, mut refused) = (0, 0);
    for _ in 0..120 {
        let request = bold_request(&mut rng);
        match harmonizer.complete(&compute, &request, &mut quietly) {
            Ok(answers) => {
                assert_eq!(violations(&request, &answers[0].steps), [], "{request:?}");
                assert!(answers[0].cost >= 0.0);
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
fn the_verifier_sees_each_demand_that_is_broken() {
    let mut request = Complete::new(8);
    request.cells[0][0] = Some(Cell::Pitch(72));
    let good = [[72, 67, 60, 48].map(Cell::Pitch); 8];
    request.demands.cadence = Some(Cadence { tonic: 0, steps: 4 });
    request.demands.scale = Some(0b1010_1011_0101);
    request.demands.forbidden = vec![62];
    request.demands.leaps = [Some(5); 4];
    assert_eq!(violations(&request, &good), []);
    let broken = |t: usize, v: usize, pitch: u8| -> Vec<Option<Demand>> {
        let mut steps = good;
        steps[t][v] = Cell::Pitch(pitch);
        let mut found: Vec<_> = violations(&request, &steps).into_iter().map(|(demand, _)| demand).collect();
        found.dedup();
        found
    };
    assert_eq!(broken(0, 0, 74), [None]);
    assert_eq!(broken(0, 3, RANGES[3].start() - 1), [Some(Demand::Range), Some(Demand::Leap)]);
    assert_eq!(broken(3, 3, 49), [Some(Demand::Scale)]);
    assert_eq!(broken(3, 2, 62), [Some(Demand::Forbidden)]);
    assert_eq!(broken(0, 1, 74), [Some(Demand::Crossing), Some(Demand::Leap)]);
    assert_eq!(broken(6, 3, 50), [Some(Demand::Cadence)]);
}

#[test]
fn requests_together_get_what_each_gets_alone_and_a_seed_repeats_itself() {
    let (harmonizer, compute) = (harmonizer(), compute());
    let mut rng = Rng::new(5, 0);
    let mut requests: Vec<Complete> = (0..12).map(|_| bold_request(&mut rng)).collect();
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
