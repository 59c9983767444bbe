//! What a harmonizer is asked for.

use partita_nn::Sampling;
use partita_score::{Meter, Note, Ppq};
use partita_tokens::chorale::demands::{Cadence, Choices, Demands, MAX_STEPS};
use partita_tokens::chorale::{Cell, STEPS_PER_BEAT, VOICES};

use super::Error;

/// A chorale, some of whose cells are given.
#[derive(Clone, Debug)]
pub struct Complete {
    /// `[steps]` of sixteenths: what is given of each voice, soprano first. All of it is kept.
    pub cells: Vec<[Option<Cell>; VOICES]>,
    /// `[steps]`: where a given note starts anew although the voice stays on its pitch. May be shorter.
    pub onsets: Vec<[bool; VOICES]>,
    pub demands: Demands,
    pub seed: u64,
    pub sampling: Sampling,
    /// How many different answers, `1..=64`.
    pub variations: usize,
    /// For each answer, so many are written and the likeliest is kept; with the variations at most 64.
    pub candidates: usize,
    /// Beats per minute, `20..=400`.
    pub tempo: f64,
    pub meter: Meter,
}

/// Sequences of a request, at most.
pub const MOST_SEQUENCES: usize = 64;
/// Shorter gaps between the notes of a melody are how it is played, not rests.
const SHORTEST_REST: usize = STEPS_PER_BEAT;
/// Steps of a last chord: what it lasts if the given notes allow, and where none are given.
const LONGEST_CADENCE: usize = 8;
const CADENCE: usize = 4;

impl Complete {
    /// `steps` steps of four free voices.
    pub fn new(steps: usize) -> Complete {
        Complete {
            // A length that `check` refuses is not made.
            cells: vec![[None; VOICES]; steps.min(MAX_STEPS + 1)],
            onsets: vec![],
            demands: Demands::default(),
            seed: 0,
            sampling: Sampling { temperature: 0.8, top_p: 0.95, ..Sampling::default() },
            variations: 1,
            candidates: 1,
            tempo: 80.0,
            meter: Meter::COMMON,
        }
    }

    /// Gives a voice the notes of a melody, each on its nearest sixteenth. Of notes that fall on the same one the first
    /// has it, and the next comes a sixteenth later if it lasts. The chorale becomes as long as the melody if it was
    /// shorter; beyond the melody the voice rests.
    ///
    /// # Errors
    /// [`Error::TwoNotes`] for two notes that sound together from the same sixteenth on, [`Error::Range`] for a melody too long.
    ///
    /// # Panics
    /// If there is no such voice.
    pub fn give(&mut self, voice: usize, notes: &[Note], ppq: Ppq) -> Result<(), Error> {
        let step = |tick: u32| (tick as f64 * STEPS_PER_BEAT as f64 / f64::from(ppq.get())).round() as usize;
        let mut notes = notes.to_vec();
        notes.sort_by_key(|note| (note.onset, note.end));
        let together =
            |pair: &&[Note]| step(pair[0].onset.0) == step(pair[1].onset.0) && pair[1].onset < pair[0].end;
        if let Some(pair) = notes.windows(2).find(together) {
            return Err(Error::TwoNotes { step: step(pair[0].onset.0) });
        }
        let mut spans: Vec<(usize, usize, u8)> = Vec::with_capacity(notes.len());
        for note in &notes {
            let (first, last) = (step(note.onset.0), step(note.end.0).max(step(note.onset.0) + 1));
            let first = spans.last().map_or(first, |before| first.max(before.0 + 1));
            if first < last {
                spans.push((first, last, note.pitch));
            }
        }
        let end = spans.iter().map(|span| span.1).max().unwrap_or(0);
        if end > MAX_STEPS {
            return Err(Error::range("melody", format!("at most {MAX_STEPS} sixteenths long"), end));
        }
        let steps = self.cells.len().max(end);
        self.cells.resize(steps, [None; VOICES]);
        self.onsets.resize(steps, [false; VOICES]);
        self.cells.iter_mut().for_each(|cells| cells[voice] = Some(Cell::Rest));
        for (i, &(first, last, pitch)) in spans.iter().enumerate() {
            let next = spans.get(i + 1).map(|span| span.0);
            let last = match next {
                Some(next) if next < last + SHORTEST_REST => next,
                _ => last,
            };
            self.onsets[first][voice] = true;
            self.cells[first..last].iter_mut().for_each(|cells| cells[voice] = Some(Cell::Pitch(pitch)));
        }
        Ok(())
    }

    /// Demands that the chorale ends on `tonic`, for as long as the given notes stay at the end.
    pub fn end_on(&mut self, tonic: u8) {
        let steps = self.cells.len();
        let stays = |t: &usize| {
            let same = (0..VOICES).all(|v| self.cells[*t][v] == self.cells[*t - 1][v]);
            same && !self.onsets.get(*t).is_some_and(|onsets| onsets.contains(&true))
        };
        let given = self.cells.iter().flatten().any(Option::is_some);
        let longest = if given { LONGEST_CADENCE } else { CADENCE }.min(steps.max(1));
        let held = 1 + (1..steps).rev().take_while(stays).count();
        self.demands.cadence = Some(Cadence { tonic, steps: held.min(longest) });
    }

    /// Whether it can be written at all.
    ///
    /// # Errors
    /// A value out of range or a contradiction.
    pub fn check(&self) -> Result<(), Error> {
        self.bounded()?;
        Choices::new(&self.cells, &self.demands)?;
        Ok(())
    }

    /// Checks what the demands do not.
    pub(super) fn bounded(&self) -> Result<(), Error> {
        if !(1..=MOST_SEQUENCES).contains(&self.variations) {
            return Err(Error::range("variations", format!("in 1..={MOST_SEQUENCES}"), self.variations));
        }
        let most = MOST_SEQUENCES / self.variations;
        if !(1..=most).contains(&self.candidates) {
            return Err(Error::range("candidates", format!("in 1..={most}"), self.candidates));
        }
        if !(20.0..=400.0).contains(&self.tempo) {
            return Err(Error::range("tempo", "in [20, 400]", self.tempo));
        }
        Ok(())
    }
}
