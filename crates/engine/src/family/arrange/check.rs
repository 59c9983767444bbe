//! What an arranger may be asked for: every field, its range, and what holds when it is left out.

use std::ops::RangeInclusive;

use partita_models::arrange::{Make, Who};

use super::ask::{Ask, players};
use crate::family::check::{Check, Chosen, modelled};
use crate::family::limits::Size;
use crate::family::melody::check::sampled;
use crate::request::fields::{self, Offer};
use crate::request::groups::Delivered;
use crate::request::input::{MOST_TRACKS, Music};
use crate::request::{Arrange, FileFormat, OutputFormat};

const SAMPLE_RATE: u32 = 44_100;
/// Pitches of a part.
const PITCHES: RangeInclusive<u8> = partita_tokens::song::PITCHES;
/// Notes of a bass and a piano that begin in a bar.
const NOTES_A_BAR: usize = 48;

pub(crate) fn arrange(request: &mut Arrange, music: Option<&Music>, chosen: &Chosen, check: &mut Check) {
    let found = check.problems.count();
    modelled(&mut request.modelled(), chosen);
    let (name, problems) = (&chosen.name, &mut check.problems);
    let why = format_args!("{name} has one style; rules are chosen with bass and piano");
    problems.useless("style", request.style.is_some(), why);
    for player in [&mut request.bass, &mut request.piano] {
        player.get_or_insert_with(|| "model".to_owned());
    }
    problems.whole("track", 1..=MOST_TRACKS, request.track);
    for (field, range) in [("bass_range", request.bass_range), ("piano_range", request.piano_range)] {
        let fits = |[low, high]: &[u8; 2]| low <= high && PITCHES.contains(low) && PITCHES.contains(high);
        if let Some([low, high]) = range.filter(|range| !fits(range)) {
            let allowed =
                format!("lowest and highest in {}..={}, lowest first", PITCHES.start(), PITCHES.end());
            problems.add(field, &allowed, format_args!("[{low}, {high}]"));
        }
    }
    problems.real("density", "[0, 1]", |density| (0.0..=1.0).contains(&density), request.density);
    problems.whole("register", PITCHES, request.register);
    if let Some(players) = players(request, problems) {
        let is_played = [players.bass.makes(), players.piano.makes()];
        for (field, range, is_played, part) in [
            ("bass_range", request.bass_range, is_played[0], "bass"),
            ("piano_range", request.piano_range, is_played[1], "piano"),
        ] {
            problems.useless(field, range.is_some() && !is_played, format_args!("nobody plays a new {part}"));
        }
        if players.piano != Who::Make(Make::Model) {
            for (field, is_given) in
                [("density", request.density.is_some()), ("register", request.register.is_some())]
            {
                problems.useless(field, is_given, "no model plays the piano");
            }
        }
    }
    if let (Some(register), Some([low, high])) = (request.register, request.piano_range)
        && !(low..=high).contains(&register)
    {
        problems.add("register", &format!("within piano_range, {low}..={high}"), register);
    }
    sampled(&mut request.sampled(), check);
    let has_stems = *request.stems.get_or_insert(false);
    delivered(&mut request.delivered(), "acoustic", has_stems, check);
    let Some(music) = music.filter(|_| check.problems.count() == found) else { return };
    if let Some(ask) = Ask::read(request, music, &mut check.problems) {
        tally(&ask, request, check);
    }
}

/// Adds the files of a request to what the task makes.
pub(super) fn tally(ask: &Ask, request: &Arrange, check: &mut Check) {
    let size = Size::of(&ask.tune.score);
    let new = (ask.bars.end - ask.bars.start) as usize * NOTES_A_BAR;
    let size = Size { notes: size.notes + new, ..size };
    let files = request.files.as_deref().unwrap_or_default();
    let (takes, problems) = (ask.requests.len(), &mut check.problems);
    check.tally.add(&size, files, takes, SAMPLE_RATE, problems);
    if request.stems == Some(true) {
        let tracks = ask.tune.score.tracks.len() + ask.players.parts().len();
        check.tally.add(
            &Size { notes: 0, ..size },
            &[FileFormat::Wav],
            takes * tracks,
            SAMPLE_RATE,
            problems,
        );
    }
}

pub(crate) fn delivered(fields: &mut Delivered, sound: &str, has_stems: bool, check: &mut Check) {
    let offer = Offer {
        format: Some(OutputFormat::Notes),
        files: &[FileFormat::Mid],
        sound,
        has_tokens: false,
        has_research: false,
        has_stems,
    };
    fields::delivered(fields, &offer, &mut check.problems);
}
