//! Songs: all tracks of one length, one time and one seed.

use std::ops::ControlFlow;

use partita_models::arrange::{Arranger, Made, Make};
use partita_models::drums::Style;
use partita_models::melody::{self, Harmony, Writer};
use partita_models::song::{Band, Error, Feel, Progress, Request, Song, stems, write_song};
use partita_score::demands::{Demands, violations};
use partita_score::{DrumPattern, Score, Tick, midi};

use crate::{compute, drummer};

fn writer() -> Writer {
    Writer::untrained(32, 1, 2, 7).expect("small sizes are valid")
}

fn go(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn style(name: &str) -> Style {
    drummer().style(name).expect(name)
}

fn request(name: &str, meter: &str, bars: u32) -> Request {
    let demands = Demands { range: 55..=79, ..Demands::new(meter.parse().expect(meter), bars, 96.0) };
    let key = Some("F major".parse().expect("a key"));
    Request::new(style(name), melody::Request { key, ..melody::Request::new(demands, 3) })
}

fn write(request: &Request) -> Vec<Song> {
    let (compute, arranger) = (compute(), Arranger::untrained(32, 1, 2, 7).expect("small"));
    let band = Band { arranger: Some((&arranger, &compute)), drummer: (drummer(), &compute) };
    write_song((&writer(), &compute), &band, request, &mut go).expect("plays")
}

fn names(score: &Score) -> Vec<&str> {
    score.tracks.iter().map(|track| track.name.as_str()).collect()
}

#[test]
fn all_tracks_have_the_same_bars_and_channels_of_their_own() {
    for (name, meter, bars) in
        [("funk", "4/4", 16), ("jazz", "3/4", 5), ("j-dilla", "4/4", 4), ("rock", "7/8", 3)]
    {
        let mut request = request(name, meter, bars);
        for by_model in [false, true] {
            if by_model {
                (request.bass, request.chords) = (Make::Model, Make::Model);
            }
            let song = write(&request).remove(0);
            assert_eq!(names(&song.score), ["melody", "chords", "bass", "drums"]);
            let end = Tick(bars * song.lead.piece.cells_per_bar() * 40);
            for track in &song.score.tracks {
                assert!(!track.notes.is_empty() && track.end() <= end, "{name}: {}", track.name);
                let in_order = track.notes.is_sorted_by_key(|note| note.onset);
                assert!(in_order && track.notes.iter().all(|note| note.onset < note.end), "{}", track.name);
            }
            assert_eq!((song.drums.bars, song.arrangement.piece.bars), (bars, bars));
            assert_eq!((song.drums.tempo, song.drums.meter), (96.0, song.lead.piece.meter));
            let mut channels: Vec<u8> = song.score.tracks.iter().map(|track| track.channel).collect();
            channels.dedup();
            assert_eq!(channels, [0, 1, 2, 9]);
            let rules = song.made.iter().filter(|(_, made)| matches!(made, Made::Rule(_))).count();
            assert_eq!(rules, if by_model { 0 } else { 2 });
            if song.swing.is_none() {
                let demands = &request.lead.demands;
                let broken: Vec<String> =
                    violations(&song.score, 0, demands).iter().map(ToString::to_string).collect();
                assert_eq!(broken, [""; 0]);
            }
        }
    }
}

#[test]
fn songs_longer_than_the_drummer_plays_at_once_go_on() {
    let mut request = request("punk", "2/4", 40);
    request.fill = true;
    let song = write(&request).remove(0);
    let last = |pattern: &DrumPattern| pattern.hits.iter().map(|hit| hit.step / 8).max();
    assert_eq!((song.drums.bars, last(&song.drums)), (40, Some(39)));
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_else_is_asked_for() {
    let two = Request { bass: Make::Model, ..request("reggae", "4/4", 4) };
    let with = |variations| {
        let lead = melody::Request { variations, ..two.lead.clone() };
        write(&Request { lead, ..two.clone() })
    };
    let (two, three) = (with(2), with(3));
    let bytes = |song: &Song| midi::write(&song.score);
    assert_eq!(two.iter().map(bytes).collect::<Vec<_>>(), three[..2].iter().map(bytes).collect::<Vec<_>>());
    assert_ne!(bytes(&two[0]), bytes(&two[1]));
    assert_ne!(two[0].drums, two[1].drums);
}

#[test]
fn all_tracks_swing_or_none() {
    let swung = write(&request("j-dilla", "4/4", 4)).remove(0);
    let swing = swung.swing.expect("its profile swings");
    assert_eq!(swing.place, 0.59);
    let request = Request { feel: Feel::Straight, ..request("j-dilla", "4/4", 4) };
    let straight = write(&request).remove(0);
    assert_eq!((straight.swing, &straight.lead.piece), (None, &swung.lead.piece));
    assert_eq!(straight.score.tracks[0].notes.len(), swung.score.tracks[0].notes.len());
    assert_ne!(straight.drums, swung.drums);
    let grid =
        |song: &Song| song.score.tracks[..3].iter().flat_map(|it| &it.notes).all(|it| it.onset.0 % 40 == 0);
    assert!(grid(&straight) && !grid(&swung));
}

#[test]
fn stems_are_the_tracks_one_by_one() {
    let song = write(&request("latin", "4/4", 2)).remove(0);
    let stems = stems(&song.score);
    assert_eq!(stems.len(), 4);
    for (stem, track) in stems.iter().zip(&song.score.tracks) {
        assert_eq!((&stem.tracks[..], &stem.tempos), (std::slice::from_ref(track), &song.score.tempos));
        assert_eq!(stem.chords.is_empty(), track.name != "chords");
        assert_eq!(midi::read(&midi::write(stem)).expect("reads").tracks.len(), 1);
    }
}

#[test]
fn parts_may_be_left_out_and_a_missing_model_is_named() {
    let mut request = request("pop", "4/4", 2);
    request.bass = Make::Keep;
    request.lead.harmony = Harmony::None;
    assert_eq!(names(&write(&request).remove(0).score), ["melody", "chords", "drums"]);
    request.chords = Make::Model;
    let compute = compute();
    let band = Band { arranger: None, drummer: (drummer(), &compute) };
    let error = write_song((&writer(), &compute), &band, &request, &mut go).expect_err("there is no model");
    assert!(matches!(error, Error::NoArranger { part: "chords" }));
    assert_eq!(error.to_string(), "chords must be made by rule where there is no arranger, got a model");
}
