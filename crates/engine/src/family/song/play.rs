//! Requests for a song, played.

use std::time::Instant;

use partita_models::arrange::{self, Make};
use partita_models::song::{self, Feel, Progress, Request, Step, write_song};
use partita_models::{drums, melody};

use super::Model;
use super::check::lead;
use crate::family::arrange::play::chords;
use crate::family::check::asked;
use crate::family::deliver::{Frame, PLAYED, Piece, Wanted, deliver, file_name, tell_bars};
use crate::family::drums::play::{fault as drum_fault, style_of};
use crate::family::melody::obey::{self, Words};
use crate::family::{Made, Report};
use crate::request::problems::Problems;
use crate::request::{Song, SongPart};
use crate::{Code, Fault};

/// Melody, chords, bass and drums.
///
/// # Errors
/// See [`play`](crate::family::play).
pub(crate) fn song(model: &Model, request: &Song, report: &mut dyn Report) -> Result<Made, Fault> {
    let mut request = request.clone();
    let lead = asked(|problems| lead(&mut request, problems))?;
    let style = style_of(model.drums(), model.drummer(), request.style.as_deref())?;
    let (seed, meter, bars, tempo) = (lead.seed, lead.demands.meter, lead.demands.bars, lead.demands.tempo);
    let mut asked = Request::new(style, lead);
    asked.bass = request.bass.as_deref().and_then(Make::from_name).unwrap_or(asked.bass);
    asked.chords = request.comping.as_deref().and_then(Make::from_name).unwrap_or(asked.chords);
    let without = request.without.clone().unwrap_or_default();
    if without.contains(&SongPart::Bass) {
        asked.bass = Make::Keep;
    }
    if without.contains(&SongPart::Chords) {
        asked.chords = Make::Keep;
    }
    asked.fill = request.fill == Some(true);
    if request.straight == Some(true) {
        asked.feel = Feel::Straight;
    }
    let clock = Instant::now();
    let mut watch = |it: &Progress| {
        let step = match it.step {
            Step::Melody => 0,
            Step::Band => 1,
            Step::Drums => 2,
        };
        let (done, all) = (it.total_bars * step + it.bars, it.total_bars * 3);
        let fraction = PLAYED * f64::from(done) / f64::from(all.max(1));
        report.progress("generate", fraction, u64::from(done), u64::from(all))
    };
    let songs = write_song(model.writer(), &model.band(), &asked, &mut watch);
    let songs = songs.map_err(|error| fault(error, Words::of(&request.composed())))?;
    let generate_ms = clock.elapsed().as_secs_f64() * 1000.0;
    let stays = |name: &str| without.iter().all(|part: &SongPart| part.name() != name);
    let (mut tokens, mut pieces) = (0, Vec::new());
    for mut song in songs {
        tokens += (song.lead.ids.len() + song.arrangement.ids.len()) as u64;
        song.score.tracks.retain(|track| stays(&track.name));
        tell_bars(&song.score, song.variation, bars, meter.beats_per_bar(), report);
        let made = song.made.iter().filter(|(part, _)| stays(part));
        pieces.push(Piece {
            chords: Some(chords(&song.lead)),
            made: Some(made.map(|(part, by)| ((*part).to_owned(), by.to_string())).collect()),
            nats: Some(song.lead.nats + song.arrangement.nats),
            cost: Some(song.lead.cost + song.arrangement.cost),
            score: song.score,
            ..Piece::default()
        });
    }
    let frame = Frame {
        name: file_name(&asked.style.name, tempo, bars, Some(seed)),
        seed: Some(seed),
        tempo,
        time_signature: [u32::from(meter.numerator), u32::from(meter.denominator)],
        bars,
        seconds: f64::from(bars) * meter.beats_per_bar() * 60.0 / tempo,
        generate_ms,
        tokens,
        updated: false,
    };
    let wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    let wanted = Wanted { stems: request.stems == Some(true), ..wanted };
    deliver(pieces, &frame, &wanted, PLAYED, report)
}

/// What an error of a part means to whoever asked.
fn fault(error: song::Error, words: Words) -> Fault {
    let mut problems = Problems::default();
    match error {
        song::Error::Melody(melody::Error::Cancelled)
        | song::Error::Arrange(arrange::Error::Cancelled)
        | song::Error::Drums(drums::Error::Cancelled) => return Fault::new(Code::Cancelled, "cancelled"),
        song::Error::Melody(error) => obey::tell(&error, words, "bars", &mut problems),
        song::Error::Arrange(error) => problems.say(Code::InvalidRequest, "chords", error, None),
        song::Error::Drums(error) => return drum_fault(error),
        error @ song::Error::NoArranger { .. } => return Fault::internal(error),
    }
    problems.finish().err().unwrap_or_else(|| Fault::internal("a song failed without a reason"))
}
