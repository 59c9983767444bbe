//! Work on notes that needs no model: sound from them, and what is in them.

use partita_score::swing::{self, SwingUnit};
use partita_score::{Score, Tick, Track, text_grid};

use super::check::sounds;
use super::deliver::{Frame, Piece, Wanted, deliver, file_name, round};
use super::limits::{Size, bars};
use super::{Made, Report};
use crate::request::input::Music;
use crate::request::problems::Problems;
use crate::request::{Analyze, Render};
use crate::result::AnalysedTrack;
use crate::{Analysis, Code, Fault, Outcome};

/// Bars of the grid in an analysis.
const BARS_SHOWN: u32 = 32;
/// Characters of a track's name.
const LONGEST_NAME: usize = 64;

/// Sound, or other files, from notes.
///
/// # Errors
/// `InvalidRequest` for music that is too long, `Cancelled`.
pub(crate) fn render(request: &Render, music: &Music, report: &mut dyn Report) -> Result<Made, Fault> {
    let score = &music.score;
    let mut wanted = Wanted::new(request.output_format, request.files.as_ref(), request.sound.as_deref());
    wanted.sample_rate = request.sample_rate.unwrap_or(wanted.sample_rate);
    wanted.loudness = request.loudness.unwrap_or(wanted.loudness);
    let mut problems = Problems::default();
    let size = Size::of(score);
    sounds(music, &wanted.files, wanted.sample_rate, &mut problems);
    problems.finish()?;
    let facts = Facts::of(score);
    let frame = Frame {
        name: file_name("render", facts.tempo, size.bars, None),
        tempo: facts.tempo,
        time_signature: facts.time_signature,
        bars: size.bars,
        seconds: size.seconds,
        ..Frame::default()
    };
    let drums = music.drums().ok().filter(|_| score.tracks.iter().all(Track::is_drums));
    let piece = Piece {
        score: score.clone(),
        drums: drums.map(|drums| drums.pattern),
        midi: music.bytes.clone(),
        ..Piece::default()
    };
    deliver(vec![piece], &frame, &wanted, 0.0, report)
}

/// What is in the music.
///
/// # Errors
/// `Cancelled`.
pub(crate) fn analyze(_: &Analyze, music: &Music, report: &mut dyn Report) -> Result<Made, Fault> {
    let score = &music.score;
    if report.progress("analyze", 0.0, 0, 1).is_break() {
        return Err(Fault::new(Code::Cancelled, "cancelled"));
    }
    let facts = Facts::of(score);
    let drums = music.drums().ok();
    let pattern = drums.as_ref().map(|drums| &drums.pattern);
    let grid = pattern.map(|pattern| {
        let shown = pattern.slice_bars(0..pattern.bars.min(BARS_SHOWN));
        text_grid::render(shown.as_ref().unwrap_or(pattern), text_grid::Style::default())
    });
    let tracks = score.tracks.iter().map(|track| {
        let pitches = || track.notes.iter().map(|note| note.pitch);
        AnalysedTrack {
            name: track.name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect(),
            channel: track.channel,
            program: track.program,
            notes: track.notes.len(),
            lowest: pitches().min(),
            highest: pitches().max(),
        }
    });
    let analysis = Analysis {
        tempo: round(facts.tempo, 3),
        time_signature: facts.time_signature,
        bars: bars(score),
        duration_seconds: round(score.duration().0, 3),
        tracks: tracks.collect(),
        swing: pattern
            .and_then(|pattern| swing::measure(pattern, SwingUnit::Sixteenth))
            .map(|place| round(place, 3)),
        density: pattern
            .map(|pattern| round(pattern.hits.len() as f64 / f64::from(pattern.steps().max(1)), 3)),
        grid,
    };
    let outcome = Outcome {
        tempo: Some(analysis.tempo),
        time_signature: Some(analysis.time_signature),
        bars: Some(analysis.bars),
        duration_seconds: Some(analysis.duration_seconds),
        analysis: Some(analysis),
        ..Outcome::default()
    };
    if report.progress("analyze", 1.0, 1, 1).is_break() {
        return Err(Fault::new(Code::Cancelled, "cancelled"));
    }
    Ok(Made { outcome, files: vec![] })
}

/// What holds at the first note.
struct Facts {
    tempo: f64,
    time_signature: [u32; 2],
}

impl Facts {
    fn of(score: &Score) -> Facts {
        let onsets = score.tracks.iter().flat_map(|track| &track.notes).map(|note| note.onset);
        let first = onsets.min().unwrap_or(Tick(0));
        let meter = score.meters.at(first);
        let time_signature = [u32::from(meter.numerator), u32::from(meter.denominator)];
        Facts { tempo: score.tempos.bpm_at(first), time_signature }
    }
}
