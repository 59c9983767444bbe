//! The melody in given music: how the writer reads it, and how what is written is put into it.
//!
//! It is the track that is called so, or the highest; of notes that sound together the highest counts, moved to the
//! nearest twelfth of a quarter note. The music itself keeps its own times.

use std::ops::{Range, RangeInclusive};

use partita_models::melody::{Error, Heard, Lead, read};
use partita_score::harmony::{CHORDS_TRACK, chords_track};
use partita_score::{ChordChange, Note, Score, Tick, edit};
use partita_tokens::song::{CELLS, Part, PieceNote};

use crate::request::problems::Problems;
use crate::{Code, Fault};

/// Given music, and the melody in it.
#[derive(Clone)]
pub(crate) struct Tune {
    pub score: Score,
    pub heard: Heard,
    /// Of new notes.
    velocity: u8,
}

impl Tune {
    /// Reads the melody of a track, or of that which is most like one. `field`: where in the request the music stands.
    ///
    /// # Errors
    /// With a pointer: `InvalidRequest` for a track without notes; `InvalidMidi` for no notes at all, a metre that
    /// changes or that the writer does not know, too many bars.
    pub fn read(score: Score, track: Option<usize>, field: &str) -> Result<Tune, Fault> {
        let heard = read(&score, track).map_err(|error| {
            let mut problems = Problems::default();
            match error {
                Error::Range { field: "track", allowed, got } => problems.add("track", &allowed, got),
                Error::Range { allowed, got, .. } => {
                    problems.say(Code::InvalidMidi, field, format!("must be {allowed}, got {got}"), None);
                }
                other => problems.say(Code::InvalidMidi, field, other, None),
            }
            problems.finish().expect_err("it holds a problem")
        })?;
        let velocity = heard.velocity(&score);
        Ok(Tune { score, heard, velocity })
    }

    /// Without the notes of the melody in `bars` that have pitches in `pitches`, and about what else begins in them.
    pub fn around(&self, bars: Range<u32>, pitches: &RangeInclusive<u8>) -> Tune {
        let replaced = self.heard.inside(bars.clone(), pitches);
        let mut score = self.heard.splice(&self.score, &replaced, &[], self.velocity);
        let ppq = u64::from(score.ppq.get());
        let tick =
            |bar: u32| u64::from(bar) * u64::from(self.heard.piece.cells_per_bar()) * ppq / u64::from(CELLS);
        // A quarter note more on both sides: what lies off the grid is told where it is played.
        let (start, end) = (tick(bars.start).saturating_sub(ppq), tick(bars.end) + ppq);
        for track in &mut score.tracks {
            track.notes.retain(|note| (start..end).contains(&u64::from(note.onset.0)));
        }
        // What is left of the melody, where it is now.
        let (given, left) =
            (&self.score.tracks[self.heard.track].notes, &score.tracks[self.heard.track].notes);
        let line = self.heard.piece.part(Part::Melody).iter().zip(&self.heard.sources).zip(&replaced);
        let kept = line.filter(|(_, replaced)| !**replaced).filter_map(|((note, source), _)| {
            Some((*note, left.iter().position(|other| *other == given[*source])?))
        });
        let (line, sources) = kept.unzip();
        let mut heard = Heard { sources, ..self.heard.clone() };
        heard.piece.parts[Part::Melody.index()] = line;
        Tune { score, heard, velocity: self.velocity }
    }
}

/// The range of a melody, an octave and a half at least: what new notes lie in when nothing is said.
pub(crate) fn usual_range(heard: &Heard) -> [u8; 2] {
    let pitches = || heard.piece.part(Part::Melody).iter().map(|note| note.pitch);
    let (low, high) = (pitches().min().unwrap_or(57), pitches().max().unwrap_or(81));
    let missing = 18u8.saturating_sub(high - low);
    [low.saturating_sub(missing / 2).max(21), (high + missing.div_ceil(2)).min(108)]
}

/// Given music with its bars `bars` as `new` has them, which holds just those; melody notes outside `pitches` stay as
/// they are. `chords`: also with its chords.
pub(crate) fn with(
    tune: &Tune,
    new: &Lead,
    bars: Range<u32>,
    pitches: &RangeInclusive<u8>,
    chords: bool,
) -> Score {
    let Tune { score, heard, velocity } = tune;
    let start = bars.start * heard.piece.cells_per_bar();
    let moved = |note: &PieceNote| PieceNote { onset: note.onset + start, end: note.end + start, ..*note };
    // Kept notes are in the score already, at their own times.
    let fresh = |note: &&PieceNote| new.kept.iter().all(|kept| kept.onset.0 != note.onset);
    let notes: Vec<PieceNote> = new.piece.part(Part::Melody).iter().filter(fresh).map(moved).collect();
    let replaced = heard.inside(bars.clone(), pitches);
    let mut score = heard.splice(score, &replaced, &notes, *velocity);
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
            let channel = score.free_channel(0);
            score.tracks.push(chords_track(&fresh, end, channel));
        }
    }
    score.chords.extend(fresh);
    score
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
        kept: lead
            .kept
            .iter()
            .filter(|note| (start..end).contains(&note.onset.0))
            .map(|note| Note { onset: Tick(note.onset.0 - start), end: Tick(note.end.0 - start), ..*note })
            .collect(),
        ..lead.clone()
    }
}
