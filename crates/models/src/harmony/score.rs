//! Cells as tracks of notes.

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
    /// of the score.
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
        for (v, kept) in kept.iter().enumerate() {
            let mut notes: Vec<Note> = Vec::new();
            for (t, step) in self.steps.iter().enumerate().filter(|(t, _)| request.cells[*t][v].is_none()) {
                let Cell::Pitch(pitch) = step[v] else { continue };
                match notes.last_mut() {
                    Some(last) if last.pitch == pitch && last.end == tick(t) => last.end = tick(t + 1),
                    _ => notes.push(Note { onset: tick(t), end: tick(t + 1), pitch, velocity: VELOCITY }),
                }
            }
            let own = match kept {
                Some((own, kept)) => {
                    notes.extend(kept);
                    notes.sort_by_key(|note| (note.onset, note.pitch));
                    *own
                }
                None => {
                    let channel = score.free_channel(v as u8);
                    let name = NAMES[v].into();
                    score.tracks.push(Track { name, channel, program: PROGRAM, ..Track::default() });
                    score.tracks.len() - 1
                }
            };
            score.tracks[own].notes = notes;
        }
        score
    }
}
