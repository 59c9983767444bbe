//! Sampling that changes while a request is played.

use std::ops::ControlFlow;

use partita_models::drums::{Error, Generate, Progress, Sampling, Take, Watch};
use partita_models::stage::{Player, share};

use crate::{compute, drummer, go, request};

/// Asks for other settings once so many tokens are there.
struct Turn {
    after: usize,
    to: Sampling,
    tokens: usize,
    /// Tokens at the moment of the change.
    turned: Option<usize>,
}

impl Watch for Turn {
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()> {
        self.tokens = progress.tokens;
        ControlFlow::Continue(())
    }

    fn sampling(&mut self) -> Option<Sampling> {
        if self.turned.is_some() || self.tokens < self.after {
            return None;
        }
        self.turned = Some(self.tokens);
        Some(self.to)
    }
}

fn turn(after: usize, temperature: f64) -> Turn {
    Turn { after, to: Sampling { temperature, ..Sampling::default() }, tokens: 0, turned: None }
}

fn play(player: &dyn Player, request: &Generate, watch: &mut dyn Watch) -> Vec<Take> {
    drummer().generate(player, request, watch).expect("generates")
}

fn same_until(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[test]
fn new_settings_hold_from_the_next_token_and_never_before() {
    let request = request("jazz", 8, 21);
    let plain = play(&compute(), &request, &mut go).remove(0);
    for after in [1, 40, 150] {
        let mut watch = turn(after, 4.0);
        let wild = play(&compute(), &request, &mut watch).remove(0);
        assert_eq!(watch.turned, Some(after));
        let same = same_until(&plain.ids, &wild.ids);
        assert!((after..after + 60).contains(&same), "changed at {after}, first seen at {same}");
    }
    // With nearly no temperature the seed no longer matters: from the very next token on.
    let cold = Sampling { temperature: 1e-4, ..Sampling::default() };
    let mut calm = request.clone();
    calm.common.sampling = cold;
    let expected = play(&compute(), &calm, &mut go).remove(0);
    let mut watch = Turn { to: cold, ..turn(1, 1.0) };
    let turned = play(&compute(), &request, &mut watch).remove(0);
    assert_eq!(turned.ids, expected.ids, "the first token of all is the bar");
}

#[test]
fn new_settings_reach_a_shared_request_and_nobody_else() {
    let (shared, work) = share(drummer().network(), compute());
    let thread = std::thread::spawn(move || work.run());
    let plain = play(&compute(), &request("jazz", 8, 21), &mut go);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| play(&shared, &request("jazz", 8, 21), &mut go));
        let mut watch = turn(30, 4.0);
        let wild = play(&shared, &request("jazz", 8, 21), &mut watch).remove(0);
        let turned = watch.turned.expect("it turned");
        let same = same_until(&plain[0].ids, &wild.ids);
        assert!(same >= turned && same < plain[0].tokens(), "changed at {turned}, first seen at {same}");
        assert_eq!(other.join().expect("plays"), plain);
    });
    drop(shared);
    thread.join().expect("the loop ends");
}

#[test]
fn new_settings_stay_for_the_gaps_to_come() {
    // An anchored profile is played in several gaps; the change comes in the first.
    let cold = Sampling { temperature: 1e-4, ..Sampling::default() };
    let mut calm = request("house", 12, 5);
    calm.common.sampling = cold;
    let expected = play(&compute(), &calm, &mut go).remove(0);
    let mut watch = Turn { to: cold, ..turn(1, 1.0) };
    let turned = play(&compute(), &request("house", 12, 5), &mut watch).remove(0);
    assert_eq!(turned.ids, expected.ids);
}

#[test]
fn settings_out_of_range_are_refused() {
    let result = drummer().generate(&compute(), &request("jazz", 2, 1), &mut turn(5, 4.5));
    let error = result.expect_err("must be refused");
    assert!(matches!(error, Error::Range { field: "temperature", .. }), "{error}");
    assert_eq!(error.to_string(), "temperature must be in (0, 4], got 4.5");
}

#[test]
fn the_smallest_settings_that_are_allowed_play() {
    let mut request = request("funk", 1, 3);
    request.common.sampling = Sampling { temperature: f64::MIN_POSITIVE, top_k: 0, top_p: f64::MIN_POSITIVE };
    assert!(play(&compute(), &request, &mut go)[0].tokens() > 0);
}
