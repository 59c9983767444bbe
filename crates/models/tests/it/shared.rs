//! One model for many requests at once: nobody hears of the others.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;

use partita_models::drums::{Continue, Drummer, Error, Generate, Progress, Take};
use partita_models::stage::{Counts, Shared, share, share_at_most};
use partita_nn::Precision;
use partita_score::{DrumClass, Hit};

use crate::{common, compute, drummer, generate, go, machine, request};

/// A shared drummer and the thread of its loop.
fn hall(most_live: usize) -> (Shared, JoinHandle<()>) {
    let (shared, work) = share_at_most(most_live, drummer().network(), compute());
    (shared, std::thread::spawn(move || work.run()))
}

fn close(shared: Shared, thread: JoinHandle<()>) {
    drop(shared);
    thread.join().expect("the loop ends when all handles are gone");
}

fn play(shared: &Shared, request: &Generate) -> Vec<Take> {
    drummer().generate(shared, request, &mut go).expect("generates")
}

/// Sixteen requests that differ in all that matters.
fn many() -> Vec<Generate> {
    let styles = drummer().styles().expect("styles");
    let one = |i: usize| {
        let style = &styles[i * 7 % styles.len()].name;
        let mut request = request(style, 1 + (i * 5 % 7) as u32, i as u64);
        request.variations = 1 + i % 3;
        request.fill = i.is_multiple_of(2);
        request.common.sampling.temperature = 0.7 + 0.05 * i as f64;
        request
    };
    (0..16).map(one).collect()
}

#[test]
fn shared_is_alone_byte_for_byte() {
    let requests = many();
    let expected: Vec<Vec<Take>> = requests.iter().map(generate).collect();
    // With fewer places than sequences, they take turns.
    for most_live in [64, 3, 1] {
        let (shared, thread) = hall(most_live);
        std::thread::scope(|scope| {
            let threads: Vec<_> = requests
                .iter()
                .enumerate()
                .map(|(i, request)| {
                    let shared = shared.clone();
                    scope.spawn(move || {
                        // One after the other into a loop that plays, each at a count of its own.
                        let at = i as u64 * 7 % 40 * 8;
                        let early = |now: Counts| now.tokens < at && now.live + now.waiting > 0;
                        while early(shared.counts()) {
                            std::thread::yield_now();
                        }
                        play(&shared, request)
                    })
                })
                .collect();
            for ((i, thread), expected) in threads.into_iter().enumerate().zip(&expected) {
                let got = thread.join().expect("plays");
                assert_eq!(&got, expected, "request {i} with {most_live} places");
                assert!(got.iter().zip(expected).all(|(a, b)| a.nats.to_bits() == b.nats.to_bits()));
            }
        });
        let counts = shared.counts();
        let tokens: usize = expected.iter().flatten().map(Take::tokens).sum();
        assert_eq!((counts.tokens, counts.waiting), (tokens as u64, 0));
        assert_eq!(counts.stepped, tokens as u64, "every token is fed once");
        let batch = counts.stepped as f64 / counts.steps as f64;
        assert!(batch <= most_live as f64 && (most_live < 64 || batch > 2.0), "{batch} a step");
        close(shared, thread);
    }
}

#[test]
fn a_piece_that_outgrows_the_context_shares_too() {
    let mut long = request("punk", 24, 3);
    long.common.density = Some(1.0);
    let expected = generate(&long);
    assert!(expected[0].tokens() > drummer().config.context);
    let (shared, thread) = hall(8);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| (0..6).map(|i| play(&shared, &request("soul", 2, i))).collect::<Vec<_>>());
        assert_eq!(play(&shared, &long), expected);
        let alone: Vec<_> = (0..6).map(|i| generate(&request("soul", 2, i))).collect();
        assert_eq!(other.join().expect("plays"), alone);
    });
    close(shared, thread);
}

#[test]
fn cancelling_one_leaves_the_others_unchanged() {
    let expected = generate(&request("funk", 6, 1));
    let (shared, thread) = hall(8);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| play(&shared, &request("funk", 6, 1)))).collect();
        let mut seen = 0;
        let result = drummer().generate(&shared, &request("rock", 32, 2), &mut |progress: &Progress| {
            seen = progress.tokens;
            if seen >= 40 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(result, Err(Error::Cancelled)) && seen >= 40);
        for thread in threads {
            assert_eq!(thread.join().expect("plays"), expected);
        }
    });
    // The loop is idle, or will be at its next step: nobody is left to play for.
    let again = play(&shared, &request("funk", 6, 1));
    assert_eq!(again, expected);
    assert_eq!(shared.counts().waiting, 0);
    close(shared, thread);
}

#[test]
fn a_panic_of_one_watch_is_its_own() {
    let expected = generate(&request("funk", 6, 1));
    let (shared, thread) = hall(8);
    std::thread::scope(|scope| {
        let bad = scope.spawn(|| {
            drummer().generate(&shared, &request("rock", 32, 2), &mut |progress: &Progress| {
                assert!(progress.tokens < 30, "the watch falls over");
                ControlFlow::Continue(())
            })
        });
        assert_eq!(play(&shared, &request("funk", 6, 1)), expected);
        assert!(bad.join().is_err());
    });
    assert_eq!(play(&shared, &request("funk", 6, 1)), expected);
    close(shared, thread);
}

#[test]
fn an_error_of_one_is_its_own() {
    let expected = generate(&request("funk", 6, 1));
    let (shared, thread) = hall(8);
    // More strokes in the last bar than a context holds, so the sequence is refused when it joins.
    let mut full = machine();
    for (at, class) in (48..64).flat_map(|step| DrumClass::ALL.map(|class| (step, class))) {
        full.hits.extend([-0.4, 0.0, 0.4].map(|offset| Hit { step: at, class, velocity: 90, offset }));
    }
    full.sort();
    let crowded = Continue { common: common("funk", 1), before: full, bars: 1, fill: false, variations: 2 };
    std::thread::scope(|scope| {
        let good = scope.spawn(|| play(&shared, &request("funk", 6, 1)));
        let mut wide = request("trap", 2, 1);
        wide.common.lanes = partita_models::drums::lanes_of(&[DrumClass::Ride]);
        let error = drummer().generate(&shared, &wide, &mut go).expect_err("not in the kit");
        assert!(matches!(error, Error::Range { field: "kit", .. }), "{error}");
        let error = drummer().continue_pattern(&shared, &crowded, &mut go).expect_err("does not fit");
        assert!(matches!(error, Error::Crowded { .. }), "{error}");
        assert_eq!(good.join().expect("plays"), expected);
    });
    close(shared, thread);
}

#[test]
fn a_loop_that_never_runs_or_has_ended_is_an_error_and_no_wait() {
    let (shared, work) = share(drummer().network(), compute());
    drop(work);
    let error = drummer().generate(&shared, &request("funk", 1, 1), &mut go).expect_err("nobody plays");
    assert!(matches!(error, Error::Stopped), "{error}");
    // Gone while somebody waits in line.
    let (shared, work) = share(drummer().network(), compute());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| drummer().generate(&shared, &request("funk", 1, 1), &mut go));
        while shared.counts().waiting == 0 {
            std::thread::yield_now();
        }
        drop(work);
        assert!(matches!(waiting.join().expect("no panic"), Err(Error::Stopped)));
    });
}

#[test]
fn a_request_that_waits_in_line_can_be_cancelled() {
    let (shared, work) = share(drummer().network(), compute());
    let result =
        drummer().generate(&shared, &request("funk", 1, 1), &mut |_: &Progress| ControlFlow::Break(()));
    assert!(matches!(result, Err(Error::Cancelled)));
    let thread = std::thread::spawn(move || work.run());
    assert_eq!(play(&shared, &request("funk", 1, 1)), generate(&request("funk", 1, 1)));
    close(shared, thread);
}

#[test]
fn a_single_bar_does_not_wait_for_a_request_of_many_variations() {
    let (shared, thread) = hall(4);
    std::thread::scope(|scope| {
        let big = scope.spawn(|| play(&shared, &Generate { variations: 40, ..request("rock", 2, 9) }));
        while shared.counts().live < 4 {
            std::thread::yield_now();
        }
        play(&shared, &request("funk", 1, 1));
        let counts = shared.counts();
        assert!(counts.waiting > 10, "the small one came before the big one's end: {counts:?}");
        let expected = generate(&Generate { variations: 40, ..request("rock", 2, 9) });
        assert_eq!(big.join().expect("plays"), expected);
    });
    close(shared, thread);
}

#[test]
fn a_player_refuses_the_sequences_of_another_model() {
    let (shared, _work) = share(drummer().network(), compute());
    let other: Arc<Drummer> = Arc::new(Drummer::bundled(Precision::Int8).expect("loads"));
    let error = other.generate(&shared, &request("funk", 1, 1), &mut go).expect_err("another model");
    assert!(matches!(error, Error::Model { .. }), "{error}");
}

#[test]
fn the_sizes_told_are_those_of_the_bundled_model() {
    let config = &drummer().config;
    // Eight bits a weight: 12 width^2 a layer and the head, and f32 embeddings.
    let matrices = 12 * config.width * config.width * config.layers + config.vocab * config.width;
    let embeddings = 4 * config.width * (config.vocab + config.context + config.styles.len() + 1);
    let bytes = drummer().memory_bytes();
    let least = matrices + embeddings;
    assert!((least..least + least / 10).contains(&bytes), "{bytes}, at least {least}");
    // Eight bits a key and a value, and a scale for each head.
    let position = 2 * (config.width + 4 * config.heads);
    assert_eq!(drummer().sequence_bytes(), config.layers * config.context * position);
}
