//! Cells as tracks of notes.

use partita_score::{MeterMap, Note, Ppq, Score, TempoMap, Tick, Track};
use partita_tokens::chorale::{Cell, STEPS_PER_BEAT, Step, VOICES};

use super::Complete;

const NAMES: [&str; VOICES] = ["Soprano", "Alto", "Tenor", "Bass"];
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
        }
    }
}
