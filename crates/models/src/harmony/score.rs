//! Cells as tracks of notes.

use partita_score::harmony::CHORDS_TRACK;
use partita_score::{MeterMap, Note, Ppq, Score, TempoMap, Tick, Track};
use partita_tokens::chorale::{Cell, STEPS_PER_BEAT, Step, VOICES};

use super::{Complete, Harmony};

/// Names of the voices' tracks.
pub const NAMES: [&str; VOICES] = ["Soprano", "Alto", "Tenor", "Bass"];
/// General MIDI's choir.
const PROGRAM: u8 = 52;
const VELOCITY: u8 = 80;

impl Complete {
    /// Cells as four tracks, in the metre and tempo of this request. A note goes on while its voice stays, unless a
    /// given one starts anew.
    pub fn score(&self, steps: &[Step]) -> Score {
        let ppq = Ppq::DEFAULT;
        let ticks = u32::from(ppq.get()) / STEPS_PER_BEAT as u32;
        let track = |v: usize| {
            let mut notes: Vec<Note> = Vec::new();
            for (t, step) in steps.iter().enumerate() {
                let Cell::Pitch(pitch) = step[v] else { continue };
                let (onset, end) = (Tick(t as u32 * ticks), Tick((t as u32 + 1) * ticks));
                let anew = self.onsets.get(t).is_some_and(|onsets| onsets[v]);
                match notes.last_mut() {
                    Some(last) if last.pitch == pitch && last.end == onset && !anew => last.end = end,
                    _ => notes.push(Note { onset, end, pitch, velocity: VELOCITY }),
                }
            }
            Track { name: NAMES[v].into(), channel: v as u8, program: PROGRAM, notes, controls: vec![] }
        };
        Score {
            ppq,
            tempos: TempoMap::constant(self.tempo),
            meters: MeterMap::constant(self.meter),
            chords: Vec::new(),
            keys: vec![],
            tracks: (0..VOICES).map(track).collect(),
            ..Score::default()
        }
        .until(Tick(steps.len() as u32 * ticks))
    }
}

impl Harmony {
    /// `given` with the voices written around its notes. `kept[v]`: the track of voice v, if it has one, and the notes
    /// in it that were given; the others of that track are replaced. Kept notes stay tick for tick, and so does all else
    /// of the score, but that a voice's track is called by its voice, so that it is found again, and that no track
    /// [`CHORDS_TRACK`] sounds beside voices that were missing: these have chords of their own. A new voice follows the
    /// one above it.
    ///
    /// # Panics
    /// If there is no such track.
    pub fn around(
        &self,
        request: &Complete,
        given: &Score,
        kept: &[Option<(usize, Vec<Note>)>; VOICES],
    ) -> Score {
        let ppq = u64::from(given.ppq.get());
        let tick = |t: usize| Tick((t as u64 * ppq / STEPS_PER_BEAT as u64) as u32);
        let mut score = given.clone();
        let mut own: [Option<usize>; VOICES] =
            kept.each_ref().map(|kept| kept.as_ref().map(|(track, _)| *track));
        if own.contains(&None) {
            let stays = |index: usize| own.contains(&Some(index)) || given.tracks[index].name != CHORDS_TRACK;
            let moved: Vec<usize> = (0..given.tracks.len()).filter(|index| stays(*index)).collect();
            score.tracks = moved.iter().map(|index| given.tracks[*index].clone()).collect();
            own = own.map(|own| moved.iter().position(|index| Some(*index) == own));
        }
        for (v, kept) in kept.iter().enumerate() {
            let mut notes: Vec<Note> = Vec::new();
            for (t, step) in self.steps.iter().enumerate().filter(|(t, _)| request.cells[*t][v].is_none()) {
                let Cell::Pitch(pitch) = step[v] else { continue };
                match notes.last_mut() {
                    Some(last) if last.pitch == pitch && last.end == tick(t) => last.end = tick(t + 1),
                    _ => notes.push(Note { onset: tick(t), end: tick(t + 1), pitch, velocity: VELOCITY }),
                }
            }
            let index = match (own[v], kept) {
                (Some(index), Some((_, kept))) => {
                    notes.extend(kept);
                    notes.sort_by_key(|note| (note.onset, note.pitch));
                    index
                }
                _ => {
                    let above = own[..v].last().copied().flatten().map(|above| above + 1);
                    let below = || own[v..].iter().flatten().min().copied();
                    let index = above.or_else(below).unwrap_or(score.tracks.len());
                    own.iter_mut().flatten().filter(|own| **own >= index).for_each(|own| *own += 1);
                    let channel = score.free_channel(v as u8);
                    score.tracks.insert(index, Track { channel, program: PROGRAM, ..Track::default() });
                    own[v] = Some(index);
                    index
                }
            };
            let track = &mut score.tracks[index];
            if !track.name.trim().eq_ignore_ascii_case(NAMES[v]) {
                track.name = NAMES[v].into();
            }
            track.notes = notes;
        }
        score
    }
}
