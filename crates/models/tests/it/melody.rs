//! Lead sheets obey, whatever the weights say.

use std::ops::ControlFlow;

use partita_models::melody::{Draft, Given, Harmony, Lead, Progress, Request, Writer, read};
use partita_models::stage::share;
use partita_nn::Rng;
use partita_score::demands::{Demands, RhythmGrid, StrongBeats, random_demands, violations};
use partita_score::harmony::Key;
use partita_score::{Meter, Note, Ppq, Score, Tick, Track};
use partita_tokens::song::{Hidden, Part, Piece, PieceNote};

use crate::compute;

fn writer() -> Writer {
    Writer::untrained(32, 1, 2, 7).expect("small sizes are valid")
}

fn go(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn write(request: &Request) -> Vec<Lead> {
    writer().write(&compute(), request, &mut go).expect("writes")
}

fn broken(lead: &Lead, demands: &Demands) -> Vec<String> {
    violations(&lead.score(None, demands.tempo), 0, demands).iter().map(ToString::to_string).collect()
}

#[test]
fn no_lead_sheet_breaks_any_of_the_demands_it_was_written_under() {
    let (writer, compute) = (writer(), compute());
    let mut rng = Rng::new(11, 0);
    let (mut written, mut refused) = (0, 0);
    while written < 150 {
        let demands = random_demands(&mut || rng.f64());
        let mut request = Request::new(demands.clone(), written as u64);
        if demands.chords.is_empty() && rng.f64() < 0.3 {
            request.harmony = Harmony::None;
        }
        match writer.write(&compute, &request, &mut go) {
            Ok(leads) => {
                assert_eq!(broken(&leads[0], &demands), [""; 0], "{demands:?}");
                written += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused < 20 * written, "{refused} of {} were refused", refused + written);
}

#[test]
fn what_only_strong_beats_have_room_for_gets_chords_that_let_it_be() {
    let (writer, compute) = (writer(), compute());
    let key: Key = "E minor".parse().unwrap();
    for (grid, density, meter) in [
        (RhythmGrid::Whole, None, Meter::COMMON),
        (RhythmGrid::Half, None, Meter::COMMON),
        (RhythmGrid::Quarter, Some(4..=4), Meter::COMMON),
        (RhythmGrid::Quarter, Some(3..=3), Meter::new(3, 4).unwrap()),
    ] {
        for strong_beats in [StrongBeats::Licensed, StrongBeats::Strict] {
            let demands = Demands {
                scale: Some(key.pitch_classes()),
                range: 55..=79,
                cadence: Some(4),
                grid,
                density: density.clone(),
                strong_beats,
                ..Demands::new(meter, 8, 100.0)
            };
            let chord_tones = Some(key.pitch_classes());
            let request = Request { key: Some(key), chord_tones, ..Request::new(demands.clone(), 3) };
            let lead = writer.write(&compute, &request, &mut go).expect("writes").remove(0);
            assert_eq!(broken(&lead, &demands), [""; 0], "{grid:?} {strong_beats:?}");
            assert!(
                lead.chords.len() > 1
                    && lead.chords.iter().all(|(_, chord)| {
                        chord
                            .as_ref()
                            .is_some_and(|chord| chord.pitch_classes().is_subset(key.pitch_classes()))
                    })
            );
            let none = Request { harmony: Harmony::None, ..request };
            assert!(writer.write(&compute, &none, &mut go).expect("writes")[0].chords.is_empty());
        }
    }
}

#[test]
fn the_same_request_and_seed_give_the_same_piece_alone_and_in_company() {
    let demands = Demands { cadence: Some(6), strong_beats: StrongBeats::Strict, ..demands(8) };
    let request = Request { variations: 3, ..Request::new(demands, 5) };
    let writer = writer();
    let alone = writer.write(&compute(), &request, &mut go).expect("writes");
    assert_ne!(alone[0].ids, alone[1].ids);
    let one = Request { variations: 1, ..request.clone() };
    assert_eq!(writer.write(&compute(), &one, &mut go).expect("writes")[0], alone[0]);
    let (shared, work) = share(writer.network(), compute());
    let thread = std::thread::spawn(move || work.run());
    std::thread::scope(|scope| {
        let (writer, request) = (&writer, &request);
        let players: Vec<_> = (0..4)
            .map(|_| {
                let shared = shared.clone();
                scope.spawn(move || writer.write(&shared, request, &mut go).expect("writes"))
            })
            .collect();
        for player in players {
            assert_eq!(player.join().expect("no panic"), alone);
        }
    });
    drop(shared);
    thread.join().expect("the loop ends");
}

fn demands(bars: u32) -> Demands {
    Demands { range: 55..=79, ..Demands::new(Meter::new(7, 8).expect("valid"), bars, 100.0) }
}

#[test]
fn what_comes_before_is_kept_note_for_note() {
    let first = write(&Request::new(demands(4), 1)).remove(0).piece;
    let request = Request { given: Given::Before(first.clone()), ..Request::new(demands(9), 2) };
    let whole = write(&request).remove(0).piece;
    assert_eq!(whole.window(0, 4), first.window(0, 4));
    assert_eq!((whole.bars, whole.meter), (9, first.meter));
    assert!(whole.part(Part::Melody).iter().any(|note| note.onset >= 4 * whole.cells_per_bar()));
}

#[test]
fn what_is_around_a_region_is_kept_note_for_note() {
    let piece = write(&Request::new(demands(8), 3)).remove(0).piece;
    let length = piece.cells_per_bar();
    let melody = Hidden { parts: [true, false, false], ..Hidden::default() };
    let open: Vec<Hidden> =
        (0..8).map(|bar| if (2..5).contains(&bar) { melody } else { Hidden::default() }).collect();
    let inside = |note: &&PieceNote| (2..5).contains(&(note.onset / length));
    for pitches in [21..=108, 21..=66] {
        let given = Given::Around { piece: piece.clone(), open: open.clone(), pitches: pitches.clone() };
        let filled = write(&Request { given, ..Request::new(demands(8), 4) }).remove(0).piece;
        assert_eq!(filled.chords, piece.chords);
        let kept = |note: &&PieceNote| !inside(note) || !pitches.contains(&note.pitch);
        let before: Vec<_> = piece.part(Part::Melody).iter().filter(kept).collect();
        let after: Vec<_> = filled.part(Part::Melody).iter().filter(|note| before.contains(note)).collect();
        assert_eq!(before, after);
        assert!(
            filled.part(Part::Melody).iter().filter(|note| !before.contains(note)).all(|note| inside(&note))
        );
        assert_ne!(filled, piece);
    }
}

#[test]
fn what_a_draft_has_settled_is_in_the_finished_piece() {
    let first = write(&Request::new(demands(4), 1)).remove(0).piece;
    for seed in 0..6 {
        for before in [false, true] {
            let given = if before { Given::Before(first.clone()) } else { Given::Nothing };
            let request = Request { given, ..Request::new(demands(10), seed) };
            let lead = write(&request).remove(0);
            let mut draft = Draft::new(&request).expect("it was written");
            let mut most = 0;
            for id in &lead.ids {
                draft.read(*id);
                let settled = draft.settled(true);
                assert!(settled >= most && settled < 10);
                most = settled;
                let early = |piece: &Piece| {
                    let end = settled * piece.cells_per_bar();
                    let notes = piece.part(Part::Melody).iter().filter(|note| note.onset < end);
                    // The end of a chord is where the next one begins.
                    let chords: Vec<_> = piece.chords.iter().take_while(|(at, _)| *at < end).collect();
                    let next = piece.chords.get(chords.len()).filter(|_| !chords.is_empty());
                    (notes.copied().collect::<Vec<_>>(), format!("{chords:?} until {next:?}"))
                };
                assert_eq!(early(&draft.lead(0).piece), early(&lead.piece), "{settled} bars");
            }
            assert!(most >= 5, "{most} bars were settled before the last token");
            assert_eq!(
                Lead { nats: lead.nats, cost: lead.cost, prompt: lead.prompt.clone(), ..draft.lead(0) },
                lead
            );
        }
    }
}

#[test]
fn a_melody_gets_chords_and_stays_as_it_is() {
    let lead = write(&Request { harmony: Harmony::None, ..Request::new(demands(6), 8) }).remove(0);
    assert!(lead.chords.is_empty() && lead.score(None, 100.0).tracks.len() == 1);
    let open = vec![Hidden { chords: true, ..Hidden::default() }; 6];
    let given = Given::Around { piece: lead.piece.clone(), open, pitches: 21..=108 };
    let key: Key = "A minor".parse().expect("a key");
    let request = Request {
        given,
        key: Some(key),
        chord_tones: Some(key.pitch_classes()),
        ..Request::new(demands(6), 9)
    };
    let harmonized = write(&request).remove(0);
    assert_eq!(harmonized.piece.parts, lead.piece.parts);
    assert!(!harmonized.chords.is_empty());
    for (_, chord) in &harmonized.chords {
        let chord = chord.as_ref().expect("every bar has a chord");
        assert!(chord.pitch_classes().is_subset(key.pitch_classes()), "{chord}");
    }
    let names: Vec<String> =
        harmonized.score(Some(key), 100.0).tracks.iter().map(|it| it.name.clone()).collect();
    assert_eq!(names, ["melody", "chords"]);
}

#[test]
fn new_notes_give_way_to_kept_ones_that_ring_past_their_cell() {
    let note = |onset, end, pitch| Note { onset: Tick(onset), end: Tick(end), pitch, velocity: 70 };
    // Played: the last note of the first bar rings 15 ticks into the second, the third bar begins 10 early.
    let notes = vec![note(0, 1440, 60), note(1440, 1935, 67), note(1920, 2880, 64), note(3830, 5760, 62)];
    let track = Track { name: "melody".into(), notes, ..Track::default() };
    let score = Score { ppq: Ppq::DEFAULT, tracks: vec![track], ..Score::default() };
    let heard = read(&score, None).expect("a melody");
    let replaced = heard.inside(1..2, &(0..=127));
    assert_eq!(replaced, [false, false, true, false]);
    let new = [(48, 72, 67), (72, 96, 65)].map(|(onset, end, pitch)| PieceNote { onset, end, pitch });
    let spliced = heard.splice(&score, &replaced, &new, 90).tracks.remove(0).notes;
    let sounding: Vec<_> = spliced.iter().map(|note| (note.onset.0, note.end.0, note.pitch)).collect();
    assert_eq!(
        sounding,
        [(0, 1440, 60), (1440, 1935, 67), (1935, 2880, 67), (2880, 3830, 65), (3830, 5760, 62)]
    );
}

#[test]
fn contradictions_and_wrong_values_are_told_before_anything_is_written() {
    let refuse =
        |request: &Request| writer().write(&compute(), request, &mut go).expect_err("refused").to_string();
    let wide = Request::new(Demands { range: 10..=60, ..demands(4) }, 0);
    assert_eq!(refuse(&wide), "range must be within 21-108, got 10-60");
    let low = Note { onset: Tick(0), end: Tick(12), pitch: 11, velocity: 80 };
    let kept = Request::new(Demands { locked: vec![low], open: vec![24..36, 48..96], ..demands(4) }, 0);
    assert_eq!(refuse(&kept), "locked must be of pitches in 21-108, got 11");
    let style = Request { style: Some("polka".into()), ..Request::new(demands(4), 0) };
    assert_eq!(refuse(&style), "style must be one of pop, got \"polka\"");
    let many = Request { variations: 65, ..Request::new(demands(4), 0) };
    assert_eq!(refuse(&many), "variations must be in 1..=64, got 65");
    let cadence =
        Demands { cadence: Some(1), scale: Some("C".parse::<Key>().unwrap().pitch_classes()), ..demands(4) };
    assert!(refuse(&Request::new(cadence, 0)).contains("scale"));
}

#[test]
fn a_watch_that_breaks_stops_the_work() {
    let mut calls = 0;
    let result = writer().write(&compute(), &Request::new(demands(8), 0), &mut |_| {
        calls += 1;
        if calls == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((result.expect_err("cancelled").to_string().as_str(), calls), ("cancelled", 5));
}
