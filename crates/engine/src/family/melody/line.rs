//! The melody in given music: how the writer reads it, and how what is written is put into it.
//!
//! It is the track that is called so, or the highest; of notes that sound together the highest counts, moved to the
//! nearest twelfth of a quarter note. The music itself keeps its own times.

use std::ops::Range;

use partita_models::melody::{Error, Heard, Lead, read};
use partita_score::harmony::{CHORDS_TRACK, chords_track};
use partita_score::{ChordChange, Score, Tick, Track, edit};
use partita_tokens::song::{CELLS, Part, PieceNote};

use crate::request::input::Music;
use crate::request::problems::Problems;
use crate::{Code, Fault};

/// Reads a melody. `field`: where in the request the music stands.
///
/// # Errors
/// `InvalidMidi` with a pointer: no notes, a metre that changes or that the writer does not know, too many bars.
pub(crate) fn heard(score: &Score, field: &str) -> Result<Heard, Fault> {
    read(score, None).map_err(|error| {
        let detail = match error {
            Error::Range { allowed, got, .. } => format!("must be {allowed}, got {got}"),
            other => other.to_string(),
        };
        let mut problems = Problems::default();
        problems.say(Code::InvalidMidi, field, detail, None);
        problems.finish().expect_err("it holds a problem")
    })
}

/// The range of a melody, an octave and a half at least: what new notes lie in when nothing is said.
pub(crate) fn usual_range(heard: &Heard) -> [u8; 2] {
    let pitches = || heard.piece.part(Part::Melody).iter().map(|note| note.pitch);
    let (low, high) = (pitches().min().unwrap_or(57), pitches().max().unwrap_or(81));
    let missing = 18u8.saturating_sub(high - low);
    [low.saturating_sub(missing / 2).max(21), (high + missing.div_ceil(2)).min(108)]
}

/// The score in which a melody was heard, with its bars `bars` as `new` has them, which holds just those. `chords`: also
/// with its chords.
pub(crate) fn with(score: &Score, heard: &Heard, new: &Lead, bars: Range<u32>, chords: bool) -> Score {
    let start = bars.start * heard.piece.cells_per_bar();
    let moved = |note: &PieceNote| PieceNote { onset: note.onset + start, end: note.end + start, ..*note };
    let notes: Vec<PieceNote> = new.piece.part(Part::Melody).iter().map(moved).collect();
    let replaced = heard.inside(bars.clone(), &(0..=127));
    let mut score = heard.splice(score, &replaced, &notes, heard.velocity(score));
    let ppq = score.ppq;
    let tick = |cell: u32| Tick((u64::from(cell) * u64::from(ppq.get()) / u64::from(CELLS)) as u32);
    let end = tick(bars.end * heard.piece.cells_per_bar());
    edit::hold_meter(&mut score, heard.piece.meter, end);
    if !chords || new.chords.is_empty() {
        return score;
    }
    let changes = new.changes(ppq).into_iter();
    let fresh: Vec<ChordChange> =
        changes.map(|change| ChordChange { at: Tick(change.at.0 + tick(start).0), ..change }).collect();
    match score.tracks.iter_mut().find(|track| track.name == CHORDS_TRACK && !track.is_drums()) {
        Some(track) => track.notes.extend(chords_track(&fresh, end, track.channel).notes),
        None => {
            let channel = free_channel(&score);
            score.tracks.push(chords_track(&fresh, end, channel));
        }
    }
    score.chords.extend(fresh);
    score
}

/// A score with the chords of `lead` in place of its own.
pub(crate) fn harmonized(score: &Score, lead: &Lead) -> Score {
    let mut score = score.clone();
    let end = score.end();
    score.chords = lead.changes(score.ppq);
    let own = score.tracks.iter().position(|track| track.name == CHORDS_TRACK && !track.is_drums());
    let channel = own.map_or_else(|| free_channel(&score), |at| score.tracks[at].channel);
    let track = chords_track(&score.chords, end, channel);
    match own {
        Some(at) => score.tracks[at] = track,
        None => score.tracks.push(track),
    }
    score
}

/// The first channel nobody plays on, drums' aside; the last where there is none.
fn free_channel(score: &Score) -> u8 {
    let taken = |channel: u8| score.tracks.iter().any(|track| track.channel == channel);
    (0..16).find(|channel| *channel != 9 && !taken(*channel)).unwrap_or(15)
}

/// Bars `bars` of a lead sheet by themselves.
pub(crate) fn cut(lead: &Lead, bars: Range<u32>) -> Lead {
    let start = bars.start * lead.piece.cells_per_bar();
    let end = bars.end * lead.piece.cells_per_bar();
    let after = lead.chords.partition_point(|(at, _)| *at <= start);
    let sounding = after.checked_sub(1).map(|at| (0, lead.chords[at].1.clone()));
    let later = lead.chords[after..].iter().filter(|(at, _)| *at < end);
    Lead {
        piece: lead.piece.window(bars.start, bars.end - bars.start),
        chords: sounding.into_iter().chain(later.map(|(at, chord)| (at - start, chord.clone()))).collect(),
        kept: vec![],
        ..lead.clone()
    }
}

/// Notes in JSON whose channel is left out come as drums; a melody hears them.
pub(crate) fn pitched(music: &Music) -> Score {
    let mut score = music.score.clone();
    if music.bytes.is_none() && score.tracks.iter().all(Track::is_drums) {
        for track in &mut score.tracks {
            track.channel = 0;
            track.name = "melody".into();
        }
    }
    score
}
