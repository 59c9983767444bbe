//! `infill`, `vary` and `continue` for melodies: some bars anew, or more of them, the rest note for note.

use std::ops::{Range, RangeInclusive};

use partita_models::melody::{Given, Harmony, Heard, Lead, Request, read};
use partita_nn::Sampling;
use partita_score::harmony::{CHORDS_TRACK, Key, chords_track};
use partita_score::picture::piano_roll;
use partita_score::{ChordChange, Score, Tick, edit};
use partita_tokens::song::{CELLS, Hidden, Part, PieceNote};

use crate::deliver::{Files, Input, Sound};
use crate::error::{Error, Result};
use crate::leads::{self, Written};
use crate::obey::{MOST_BARS, Obeying, Pitches};
use crate::options::{self, Playing};
use crate::report::CommandLine;
use crate::session::{Clock, Session};
use crate::{model, progress};

/// Bars of what is around that the model hears.
const BEFORE: u32 = 16;
const AFTER: u32 = 4;

/// What these verbs are asked for.
pub struct Asked<'a> {
    pub input: Input,
    pub track: Option<usize>,
    pub obeying: &'a Obeying,
    pub playing: &'a Playing,
    /// Writes out what a verb has options for of `playing`; with the seed.
    pub echo: fn(&Playing, u64, &mut CommandLine),
    /// One of the model's, or `any`.
    pub style: &'a str,
    pub files: &'a Files,
    pub session: &'a Session,
    /// The command so far: its name and what it works on.
    pub command: CommandLine,
}

/// Refuses options that only drums have something for.
///
/// # Errors
/// The first of `given`, or velocities.
pub fn no_drums(playing: &Playing, given: &[(&str, bool)]) -> Result<()> {
    let velocity = ("velocity", playing.velocity.0 != (1..=127));
    match given.iter().chain([&velocity]).find(|(_, given)| *given) {
        Some((field, _)) => {
            Err(Error::usage(field, format!("{field} must be left out with a melody: it is for drums")))
        }
        None => Ok(()),
    }
}

/// Refuses demands that only melodies obey.
///
/// # Errors
/// The first that is made.
pub fn no_melody(obeying: &Obeying, given: &[(&str, bool)]) -> Result<()> {
    let given = given.iter().find(|(_, given)| *given).map(|(field, _)| *field);
    match given.or_else(|| obeying.given()) {
        Some(field) => {
            let message = format!("{field} must be left out with drums; --track names a melody");
            Err(Error::usage(field, message))
        }
        None => Ok(()),
    }
}

/// Whether a file is to be treated as a melody: a track was named, or there are no drums in it.
pub fn is_meant(input: &Input, track: Option<usize>) -> bool {
    track.is_some() || !input.score.tracks.iter().any(|track| track.is_drums() && !track.notes.is_empty())
}

/// Writes `bars` (all if `None`) of a melody anew, its notes in `pitches`.
///
/// # Errors
/// What cannot be read, demands that cannot be met.
pub fn infill(asked: Asked, bars: Option<Range<u32>>, pitches: Option<&Pitches>) -> Result<()> {
    let heard = read(&asked.input.score, asked.track)?;
    let bars = bars.unwrap_or(0..heard.piece.bars);
    if bars.end > heard.piece.bars || bars.len() as u32 > MOST_BARS - BEFORE - AFTER {
        let most = heard.piece.bars.min(MOST_BARS - BEFORE - AFTER);
        let message = format!(
            "bars must be up to {most} within 1-{}, got {}-{}",
            heard.piece.bars,
            bars.start + 1,
            bars.end
        );
        return Err(Error::usage("bars", message));
    }
    let pitches: RangeInclusive<u8> = pitches.map_or(0..=127, |pitches| pitches.0.clone());
    let seen = bars.start.saturating_sub(BEFORE)..(bars.end + AFTER).min(heard.piece.bars);
    let melody = Hidden { parts: [true, false, false], ..Hidden::default() };
    let open = seen.clone().map(|bar| if bars.contains(&bar) { melody } else { Hidden::default() }).collect();
    let piece = heard.piece.window(seen.start, seen.len() as u32);
    let given = Given::Around { piece, open, pitches: pitches.clone() };
    let anew = Some(bars.clone().map(|bar| bar + 1).collect());
    let replaced = heard.inside(bars, &pitches);
    let splice = |score: &Score, _: &Lead, new: &[PieceNote]| {
        heard.splice(score, &replaced, new, heard.velocity(score))
    };
    write(asked, &heard, Region { seen, given, ends: false, anew }, splice)
}

/// Writes these bars of a melody anew, rising; there may be none.
///
/// # Errors
/// As [`infill`].
pub fn vary(asked: Asked, bars: &[u32]) -> Result<()> {
    let heard = read(&asked.input.score, asked.track)?;
    if heard.piece.bars > MOST_BARS {
        let (name, got) = (&asked.input.name, heard.piece.bars);
        return Err(Error::usage("input", format!("{name} must have at most {MOST_BARS} bars, got {got}")));
    }
    let seen = 0..heard.piece.bars;
    let melody = Hidden { parts: [true, false, false], ..Hidden::default() };
    let open = seen.clone().map(|bar| if bars.contains(&bar) { melody } else { Hidden::default() }).collect();
    let given = Given::Around { piece: heard.piece.clone(), open, pitches: 0..=127 };
    let length = heard.piece.cells_per_bar();
    let line = heard.piece.part(Part::Melody).iter();
    let replaced: Vec<bool> = line.map(|note| bars.contains(&(note.onset / length))).collect();
    let splice = |score: &Score, _: &Lead, new: &[PieceNote]| {
        heard.splice(score, &replaced, new, heard.velocity(score))
    };
    let anew = Some(bars.iter().map(|bar| bar + 1).collect());
    write(asked, &heard, Region { seen, given, ends: false, anew }, splice)
}

/// Writes `bars` more bars after a melody.
///
/// # Errors
/// As [`infill`].
pub fn go_on(asked: Asked, bars: u32) -> Result<()> {
    let heard = read(&asked.input.score, asked.track)?;
    let seen = heard.piece.bars.saturating_sub(BEFORE)..heard.piece.bars + bars;
    let piece = heard.piece.window(seen.start, heard.piece.bars - seen.start);
    let end = heard.piece.bars + bars;
    let first = seen.start;
    let splice = |score: &Score, lead: &Lead, new: &[PieceNote]| {
        let mut score = heard.splice(score, &vec![false; heard.sources.len()], new, heard.velocity(score));
        let ppq = score.ppq;
        let tick = |bar: u32| {
            let cells = u64::from(bar * heard.piece.cells_per_bar());
            Tick((cells * u64::from(ppq.get()) / u64::from(CELLS)) as u32)
        };
        edit::hold_meter(&mut score, heard.piece.meter, tick(end));
        if !score.chords.is_empty() {
            let moved = lead
                .changes(ppq)
                .into_iter()
                .map(|change| ChordChange { at: Tick(change.at.0 + tick(first).0), ..change });
            let fresh: Vec<ChordChange> =
                moved.filter(|change| change.at >= tick(heard.piece.bars)).collect();
            if let Some(track) = score.tracks.iter_mut().find(|track| track.name == CHORDS_TRACK) {
                track.notes.extend(chords_track(&fresh, tick(end), track.channel).notes);
            }
            score.chords.extend(fresh);
        }
        score
    };
    write(asked, &heard, Region { seen, given: Given::Before(piece), ends: true, anew: None }, splice)
}

/// What is written, and what the writer hears of the piece.
struct Region {
    seen: Range<u32>,
    given: Given,
    /// Whether the end of the piece is written.
    ends: bool,
    /// Bars to tell of, counted from 1; nothing is written if there are none.
    anew: Option<Vec<u32>>,
}

fn write(
    asked: Asked,
    heard: &Heard,
    region: Region,
    splice: impl Fn(&Score, &Lead, &[PieceNote]) -> Score,
) -> Result<()> {
    let Asked { input, obeying, playing, echo, style, files, session, mut command, track } = asked;
    let Region { seen, given, ends, anew } = region;
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let writer = model::writer(session)?;
    clock.lap("load");
    let mut delivery = files.plan(playing.variations, Sound::Acoustic, session.json)?;
    let seed = playing.seed.unwrap_or_else(options::random_seed);
    let key = obeying.key(heard.key)?;
    let length = heard.piece.cells_per_bar();
    let bars = seen.len() as u32;
    let mut demands = obeying.demands(key, usual_range(heard), heard.piece.meter, bars, heard.tempo)?;
    if !ends {
        demands.cadence = None;
    }
    let start = seen.start * length;
    if matches!(given, Given::Around { .. }) {
        let first = heard.chords.iter().rfind(|(at, _)| *at <= start).map(|(_, chord)| (0, chord.clone()));
        let later = heard.chords.iter().filter(|(at, _)| (start + 1..seen.end * length).contains(at));
        let later = later.map(|(at, chord)| (at - start, chord.clone()));
        demands.chords = first.into_iter().chain(later).collect();
    }
    let request = Request {
        key,
        style: Some(style.to_owned()).filter(|style| style != "any"),
        density: playing.density,
        chord_tones: key.map(Key::pitch_classes),
        harmony: if matches!(given, Given::Around { .. }) { Harmony::Given } else { Harmony::Written },
        given,
        sampling: Sampling {
            temperature: playing.temperature as f32,
            top_k: playing.top_k,
            top_p: playing.top_p as f32,
            ..Sampling::default()
        },
        variations: playing.variations,
        ..Request::new(demands, seed)
    };
    let leads = if anew.as_ref().is_some_and(Vec::is_empty) {
        let same = |variation| Lead { variation, ..Lead::from(heard.clone()) };
        (0..playing.variations).map(same).collect()
    } else {
        progress::lead(session, |watch| writer.write(&compute, &request, watch))?
    };
    clock.lap("generate");
    let new = |lead: &Lead| -> Vec<PieceNote> {
        let kept = |note: &&PieceNote| lead.kept.iter().any(|kept| kept.onset.0 == note.onset);
        let notes = lead.piece.part(Part::Melody).iter().filter(|note| !kept(note));
        notes.map(|note| PieceNote { onset: note.onset + start, end: note.end + start, ..*note }).collect()
    };
    let written = |lead: &Lead| if lead.ids.is_empty() { vec![] } else { new(lead) };
    let scores: Vec<Score> = leads.iter().map(|lead| splice(&input.score, lead, &written(lead))).collect();
    for (index, score) in scores.iter().enumerate() {
        delivery.write(index, score, || piano_roll(score), None)?;
    }
    clock.lap("render");
    command.session(session);
    command.maybe("track", track.map(|track| track + 1));
    obeying.echo(key, &request.demands, &mut command);
    echo(playing, seed, &mut command);
    files.echo(Sound::Acoustic, &mut command);
    leads::finish(Written {
        session,
        writer: &writer,
        seed,
        key,
        leads: &leads,
        first: seen.start,
        bars: heard.piece.bars.max(seen.end),
        scores: &scores,
        anew,
        command,
        delivery,
        clock,
    })
}

/// The range of the melody, an octave and a half at least.
fn usual_range(heard: &Heard) -> Pitches {
    let pitches = || heard.piece.part(Part::Melody).iter().map(|note| note.pitch);
    let (low, high) = (pitches().min().unwrap_or(57), pitches().max().unwrap_or(81));
    let missing = 18u8.saturating_sub(high - low);
    Pitches(low.saturating_sub(missing / 2).max(21)..=(high + missing.div_ceil(2)).min(108))
}
