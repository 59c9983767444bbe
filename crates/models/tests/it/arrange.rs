//! Accompaniments obey, whatever the weights say, and rules play what their request allows.

use std::ops::ControlFlow;

use partita_models::arrange::{
    Arrangement, Arranger, BassAt, BassRule, CompRule, Error, Made, Make, Manner, Request, Rule,
    arrange_by_rule, random_piece, random_request, violations,
};
use partita_models::melody::Progress;
use partita_models::stage::share;
use partita_nn::{Precision, Rng};
use partita_score::harmony::PitchClasses;
use partita_tokens::song::{ChordClass, Part, Piece, PieceNote, Tones};

use crate::compute;

const METERS: [&str; 9] = ["4/4", "3/4", "2/4", "6/8", "5/4", "7/8", "12/8", "2/2", "3/8"];

fn arranger() -> Arranger {
    Arranger::untrained(32, 1, 2, 7).expect("small sizes are valid")
}

fn go(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn no_accompaniment_breaks_any_rule_it_was_made_under() {
    let (arranger, compute) = (arranger(), compute());
    let mut rng = Rng::new(5, 0);
    let (mut made, mut refused, mut notes) = (0, 0, 0);
    while made < 250 {
        let request = random_request(&mut rng, made);
        match arranger.arrange(&compute, &request, &mut go) {
            Ok(found) => {
                assert_eq!(violations(&request, &found[0]), [""; 0], "{request:?}");
                assert_eq!(found[0].score(request.key, 100.0).end().0 % 40, 0);
                notes += found[0].piece.parts.iter().map(Vec::len).sum::<usize>();
                made += 1;
            }
            Err(Error::NoAnchor { .. }) => refused += 1,
            Err(error) => panic!("{error}: {request:?}"),
        }
    }
    assert!(refused < 4 * made && notes > 3000, "{refused} refused, {notes} notes");
}

fn plain(bars: u32, seed: u64) -> Request {
    let piece = random_piece(&mut Rng::new(seed, 9), "4/4", bars);
    let piece = Piece { parts: [piece.parts[0].clone(), vec![], vec![]], ..piece };
    Request::new(piece, Some("G major".parse().expect("a key")), 100.0, seed)
}

/// The bundled arranger's piano under the same wishes for three pieces: of each its notes and their mean pitch.
fn pianos(wish: impl Fn(Request) -> Request) -> Vec<(usize, f64)> {
    let arranger = Arranger::bundled(Precision::Int8).expect("it is whole");
    let piece = |(seed, meter)| {
        let piece = random_piece(&mut Rng::new(seed, 9), meter, 12);
        let piece = Piece { parts: [piece.parts[0].clone(), vec![], vec![]], ..piece };
        wish(Request::new(piece, Some("G major".parse().expect("a key")), 100.0, seed))
    };
    let requests = [(1, "4/4"), (2, "3/4"), (3, "6/8")].map(piece);
    let found = arranger.arrange_all(&compute(), &requests, &mut go).expect("plays");
    let measured = found.iter().zip(&requests).map(|(found, request)| {
        assert_eq!(violations(request, &found[0]), [""; 0]);
        let notes = found[0].piece.part(Part::Piano);
        let sum: f64 = notes.iter().map(|note| f64::from(note.pitch)).sum();
        (notes.len(), sum / notes.len() as f64)
    });
    measured.collect()
}

#[test]
fn a_denser_piano_has_more_notes_and_a_register_is_its_mean_pitch() {
    let counts = [0.0, 0.25, 0.5, 0.75, 1.0]
        .map(|density| pianos(|request| Request { density: Some(density), ..request }));
    for piece in 0..3 {
        let counts = counts.each_ref().map(|pianos| pianos[piece].0);
        assert!(counts.windows(2).all(|pair| 6 * pair[0] < 5 * pair[1]), "{counts:?} notes");
    }
    for register in [48.0, 56.0, 64.0, 72.0] {
        for (_, mean) in pianos(|request| Request { register: Some(register), ..request }) {
            assert!((mean - register).abs() < 2.0, "{mean} instead of {register}");
        }
    }
}

#[test]
fn a_request_becomes_the_same_alone_and_in_company() {
    let (arranger, compute) = (arranger(), compute());
    let requests = [Request { variations: 3, ..plain(6, 1) }, plain(3, 2), plain(8, 3)];
    let alone: Vec<_> =
        requests.iter().map(|it| arranger.arrange(&compute, it, &mut go).expect("plays")).collect();
    assert_ne!(alone[0][0].ids, alone[0][1].ids);
    let mut second = requests[0].clone();
    (second.stream, second.variations) = (1, 1);
    let second = arranger.arrange(&compute, &second, &mut go).expect("plays").remove(0);
    assert_eq!(Arrangement { variation: 1, ..second }, alone[0][1]);
    assert_eq!(arranger.arrange_all(&compute, &requests, &mut go).expect("plays"), alone);
    let (shared, work) = share(arranger.network(), compute.clone());
    let thread = std::thread::spawn(move || work.run());
    std::thread::scope(|scope| {
        let players: Vec<_> = (requests.iter())
            .map(|request| {
                let (shared, arranger) = (shared.clone(), &arranger);
                scope.spawn(move || arranger.arrange(&shared, request, &mut go).expect("plays"))
            })
            .collect();
        for (player, alone) in players.into_iter().zip(&alone) {
            assert_eq!(&player.join().expect("no panic"), alone);
        }
    });
    drop(shared);
    thread.join().expect("the loop ends");
}

#[test]
fn pieces_longer_than_the_context_are_written_to_their_ends() {
    let request = Request { bass_at: BassAt::Free, ..plain(48, 4) };
    let found = arranger().arrange(&compute(), &request, &mut go).expect("plays").remove(0);
    assert!(found.ids.len() > 1500, "{} tokens are not long", found.ids.len());
    assert_eq!(violations(&request, &found), [""; 0]);
    assert!(found.nats > 0.0 && found.cost >= 0.0 && found.cost < found.nats);
}

#[test]
fn what_is_given_counts_in_no_likelihood() {
    // Of what is written, nothing but the one place the rules leave: silence.
    let mut request = plain(4, 4);
    request.bass = Make::Keep;
    request.piano_rules.tones = Tones::Collection(PitchClasses::EMPTY);
    let found = arranger().arrange(&compute(), &request, &mut go).expect("plays").remove(0);
    // Four bars of nothing: the ends of four pianos, at about the logarithm of the vocabulary each.
    assert!(found.piece.part(Part::Piano).is_empty() && found.ids.len() > 40);
    assert!(found.nats < 4.0 * 12.0 && (found.nats - found.cost).abs() < 1e-6, "{} nats", found.nats);
}

#[test]
fn every_rule_plays_in_every_metre() {
    for meter in METERS {
        for index in 0..7 {
            let mut rng = Rng::new(3, index as u64);
            let mut piece = random_piece(&mut rng, meter, 4);
            piece.parts = [piece.parts[0].clone(), vec![], vec![]];
            piece.chords = (0..4)
                .map(|bar| (bar * piece.cells_per_bar(), 1 + 5 * bar))
                .map(|(at, class)| (at, ChordClass::from_index(class).expect("in range")))
                .collect();
            let (bass, comp) = (BassRule::ALL[index], CompRule::ALL[index]);
            let mut request = Request::new(piece, Some("C major".parse().expect("a key")), 100.0, 1);
            (request.bass, request.piano) = (Make::Rule(bass), Make::Rule(comp));
            let found = arrange_by_rule(&request).expect("plays").remove(0);
            assert_eq!(violations(&request, &found), [""; 0], "{bass:?} {comp:?} in {meter}");
            assert_eq!(found.made, [Made::Given, Made::Rule(Rule::Bass(bass)), Made::Rule(Rule::Comp(comp))]);
            for part in [Part::Bass, Part::Piano] {
                let bars = (0..4).filter(|bar| {
                    let inside = |note: &&PieceNote| note.onset / found.piece.cells_per_bar() == *bar;
                    found.piece.part(part).iter().any(|note| inside(&note))
                });
                assert_eq!(bars.count(), 4, "{bass:?} {comp:?} in {meter}: {:?}", found.piece.part(part));
            }
            assert_eq!(arrange_by_rule(&request).expect("plays").remove(0), found);
        }
    }
}

#[test]
fn mistakes_are_named() {
    let said = |request: Request| match arrange_by_rule(&request) {
        Ok(_) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    };
    let mut by_rule = plain(2, 1);
    by_rule.piece.chords = vec![(0, ChordClass::from_index(2).expect("in range"))];
    (by_rule.bass, by_rule.piano) = (Make::Rule(BassRule::Walking), Make::Keep);
    assert_eq!(said(by_rule.clone()), "nothing");
    let check = |change: &dyn Fn(&mut Request), expected: &str| {
        let mut request = by_rule.clone();
        change(&mut request);
        assert_eq!(said(request), expected);
    };
    check(
        &|it| it.piano = Make::Model,
        "parts must be kept or made by rule where there is no model, got a part by model",
    );
    check(
        &|it| it.bass_rules.range = 38..=44,
        "bar 1 must begin C# on its bass in the bass, which has no such pitch within its rules",
    );
    check(&|it| it.bass_rules.range = 12..=40, "range must be within 21-108 for the bass, got 12-40");
    check(&|it| it.piano_rules.polyphony = 11, "polyphony must be in 1..=10 for the piano, got 11");
    check(&|it| it.bars = 1..5, "bars must be some of 0..2, got 1..5");
    check(
        &|it| it.piece.parts[0] = vec![PieceNote { onset: 0, end: 3, pitch: 12 }],
        "notes must be pitches in 21..=108 at cells in 0..96, got 12 at 0..3",
    );
    check(&|it| it.variations = 0, "variations must be in 1..=64, got 0");
}
