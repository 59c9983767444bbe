//! From played time to a grid: drums onto sixteenths with their microtiming, any score onto any grid.

use crate::{DrumMap, DrumPattern, Error, Hit, Meter, Result, Score, Tick, pattern};

/// The most bars a quantized pattern may have: hours of music, yet small enough to draw whatever a tiny file claims.
const MAX_BARS: u32 = 8192;

/// A drum pattern and where each of its hits came from.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedDrums {
    pub pattern: DrumPattern,
    /// `(track, note)` indices into the score, parallel to `pattern.hits`.
    pub sources: Vec<(usize, usize)>,
    /// Drum notes left out because the map gives them no class.
    pub unmapped: usize,
    /// Whether the tempo changes between the first and the last drum note; the pattern keeps the first.
    pub tempo_changes: bool,
}

/// Puts every drum note (channel 9) on the nearest sixteenth and keeps the rest as offset, `[-0.5, 0.5)`.
///
/// A note half way belongs to the later step. The pattern is as many whole bars as cover the last step.
/// Several notes of one class on one step all stay. Metre changes after the last drum note are ignored.
///
/// # Errors
/// [`Error::NoDrums`], [`Error::MixedMeter`], [`Error::DrumMeter`], [`Error::TooManyBars`].
pub fn quantize_drums(score: &Score, map: DrumMap) -> Result<QuantizedDrums> {
    let ppq = f64::from(score.ppq.get());
    let mut unmapped = 0;
    let (mut first, mut last) = (Tick(u32::MAX), Tick(0));
    let mut found = Vec::new();
    for (track_index, track) in score.tracks.iter().enumerate().filter(|(_, track)| track.is_drums()) {
        for (note_index, note) in track.notes.iter().enumerate() {
            let Some(class) = map.class(note.pitch) else {
                unmapped += 1;
                continue;
            };
            (first, last) = (first.min(note.onset), last.max(note.onset));
            let (step, offset) = pattern::split_position(f64::from(note.onset.0) * 4.0 / ppq);
            let hit = Hit { step, class, velocity: note.velocity.clamp(1, 127), offset };
            found.push((hit, (track_index, note_index)));
        }
    }
    if found.is_empty() {
        return Err(Error::NoDrums { unmapped });
    }
    let meter = one_meter(score, last)?;
    found.sort_by(|left, right| pattern::order(&left.0, &right.0));
    // From the tick, because a step past u32 saturates.
    let last_step = (f64::from(last.0) * 4.0 / ppq + 0.5).floor() as u64;
    let bars = last_step / u64::from(meter.steps_per_bar()) + 1;
    if bars > u64::from(MAX_BARS) {
        return Err(Error::TooManyBars { max: MAX_BARS, got: bars });
    }
    let tempo = score.tempos.bpm_at(first);
    let later = score.tempos.changes().iter().filter(|(at, _)| (first..=last).contains(at));
    let tempo_changes = later.map(|(at, _)| score.tempos.bpm_at(*at)).any(|bpm| bpm != tempo);
    let (hits, sources) = found.into_iter().unzip();
    let pattern = DrumPattern { meter, tempo, bars: bars as u32, hits };
    Ok(QuantizedDrums { pattern, sources, unmapped, tempo_changes })
}

/// The only metre up to a tick.
fn one_meter(score: &Score, last: Tick) -> Result<Meter> {
    let meter = score.meters.at(Tick(0));
    let changes = score.meters.changes().iter();
    if let Some(&(at, to)) = changes.clone().find(|(at, to)| *at <= last && *to != meter) {
        let beats = at.beats(score.ppq).0 / meter.beats_per_bar().max(1.0 / 64.0);
        return Err(Error::MixedMeter { from: meter, to, at, bar: beats as u32 });
    }
    if meter.denominator == 1 || Meter::new(meter.numerator, meter.denominator).is_none() {
        return Err(Error::DrumMeter { got: meter });
    }
    Ok(meter)
}

/// Where [`snap`] moves onsets to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Cells in a beat, `1..=96`: 4 = sixteenths, 3 = eighth triplets.
    pub cells_per_beat: u32,
    /// How far to move, `[0, 1]`: 0 leaves everything, 1 moves onsets onto the grid.
    pub strength: f64,
}

/// Moves every note's onset towards its nearest cell; durations and everything else stay.
///
/// Cells count from the start of the score; half way belongs to the later cell.
///
/// # Errors
/// [`Error::OutOfRange`] for a grid outside its ranges.
pub fn snap(score: &Score, grid: Grid) -> Result<Score> {
    let range = |name, min, max, got: f64| {
        if (min..=max).contains(&got) { Ok(()) } else { Err(Error::OutOfRange { name, min, max, got }) }
    };
    range("cells_per_beat", 1.0, 96.0, f64::from(grid.cells_per_beat))?;
    range("strength", 0.0, 1.0, grid.strength)?;
    let cell = f64::from(score.ppq.get()) / f64::from(grid.cells_per_beat);
    let mut snapped = score.clone();
    for track in &mut snapped.tracks {
        for note in &mut track.notes {
            let onset = f64::from(note.onset.0);
            let goal = (onset / cell + 0.5).floor() * cell;
            let duration = note.end.0.saturating_sub(note.onset.0);
            note.onset = Tick((onset + (goal - onset) * grid.strength).round() as u32);
            note.end = Tick(note.onset.0.saturating_add(duration));
        }
        track.notes.sort_by_key(|note| note.onset);
    }
    Ok(snapped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DrumClass, MeterMap, Note, TempoMap, Track};

    fn drums(onsets: &[(u32, u8)]) -> Score {
        let note = |&(onset, pitch)| Note { onset: Tick(onset), end: Tick(onset + 10), pitch, velocity: 77 };
        let track = Track { channel: 9, notes: onsets.iter().map(note).collect(), ..Track::default() };
        Score { tracks: vec![Track::default(), track], ..Score::default() }
    }

    fn meter(numerator: u8, denominator: u8) -> Meter {
        Meter { numerator, denominator }
    }

    #[test]
    fn offsets_keep_the_played_time_and_sources_point_back() {
        let score = drums(&[(0, 36), (59, 42), (60, 42), (61, 99), (1800, 38)]);
        let result = quantize_drums(&score, DrumMap::Gm).expect("has drums");
        let places: Vec<_> =
            result.pattern.hits.iter().map(|h| (h.step, h.class, h.offset * 120.0)).collect();
        let expected = [
            (0, DrumClass::Kick, 0.0),
            (0, DrumClass::ClosedHat, 59.0),
            (1, DrumClass::ClosedHat, -60.0),
            (15, DrumClass::Snare, 0.0),
        ];
        assert_eq!(places, expected);
        assert_eq!(result.sources, [(1, 0), (1, 1), (1, 2), (1, 4)]);
        assert_eq!((result.pattern.bars, result.unmapped, result.tempo_changes), (1, 1, false));
    }

    #[test]
    fn maps_differ_where_the_kits_do() {
        let class = |map| quantize_drums(&drums(&[(0, 58)]), map).expect("has drums").pattern.hits[0].class;
        assert_eq!((class(DrumMap::Gm), class(DrumMap::Td11)), (DrumClass::Crash, DrumClass::LowTom));
    }

    #[test]
    fn a_meter_change_is_an_error_only_under_the_drums() {
        let mut score = drums(&[(0, 36), (4000, 36)]);
        score.meters =
            MeterMap::new(vec![(Tick(0), meter(7, 8)), (Tick(1680), meter(7, 8)), (Tick(4001), meter(3, 4))]);
        let result = quantize_drums(&score, DrumMap::Gm).expect("changes after the last note");
        assert_eq!((result.pattern.meter, result.pattern.bars), (meter(7, 8), 3));
        score.meters = MeterMap::new(vec![(Tick(3840), meter(3, 4))]);
        let error = quantize_drums(&score, DrumMap::Gm).expect_err("changes before the last note");
        assert_eq!(error, Error::MixedMeter { from: Meter::COMMON, to: meter(3, 4), at: Tick(3840), bar: 2 });
        for bad in [meter(4, 1), meter(4, 32), meter(33, 4), meter(0, 4)] {
            score.meters = MeterMap::constant(bad);
            assert_eq!(quantize_drums(&score, DrumMap::Gm), Err(Error::DrumMeter { got: bad }));
        }
    }

    #[test]
    fn no_drums_and_endless_drums_are_errors() {
        assert_eq!(quantize_drums(&Score::default(), DrumMap::Gm), Err(Error::NoDrums { unmapped: 0 }));
        assert_eq!(quantize_drums(&drums(&[(0, 1)]), DrumMap::Gm), Err(Error::NoDrums { unmapped: 1 }));
        let endless = quantize_drums(&drums(&[(u32::MAX - 10, 36)]), DrumMap::Gm);
        assert!(matches!(endless, Err(Error::TooManyBars { .. })), "{endless:?}");
    }

    #[test]
    fn tempo_is_that_of_the_first_note_and_changes_are_told() {
        let mut score = drums(&[(480, 36), (960, 36)]);
        score.tempos = TempoMap::new(vec![(Tick(0), 1_000_000), (Tick(480), 600_000), (Tick(960), 500_000)]);
        let result = quantize_drums(&score, DrumMap::Gm).expect("has drums");
        assert_eq!((result.pattern.tempo, result.tempo_changes), (100.0, true));
    }

    #[test]
    fn snapping_half_way_moves_half_the_distance_and_keeps_durations() {
        let score = drums(&[(20, 36), (100, 36)]);
        let at = |strength| {
            let snapped = snap(&score, Grid { cells_per_beat: 4, strength }).expect("valid grid");
            snapped.tracks[1].notes.iter().map(|n| (n.onset.0, n.end.0)).collect::<Vec<_>>()
        };
        assert_eq!(at(0.0), [(20, 30), (100, 110)]);
        assert_eq!(at(0.5), [(10, 20), (110, 120)]);
        assert_eq!(at(1.0), [(0, 10), (120, 130)]);
        assert!(snap(&score, Grid { cells_per_beat: 4, strength: 1.5 }).is_err());
        assert!(snap(&score, Grid { cells_per_beat: 0, strength: 1.0 }).is_err());
    }
}
