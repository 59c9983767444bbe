//! A chorale as far as it is written, and what its voices were doing.

use super::repeats::Repeats;
use super::{BEGIN, Cell, Step, VOICES, token};

/// Steps over which pitch classes are counted: eight bars.
const COUNTED: usize = 128;
/// Where a voice is thought to be before its first note.
const CENTRES: [u8; VOICES] = [70, 65, 58, 50];

/// What one voice did lately.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    /// Its last pitch, or where such voices usually are.
    pub reference: u8,
    /// Its last cell; none before the first.
    pub last: Option<Cell>,
    /// Steps for which it has been there.
    pub held: usize,
    /// What it did before that, latest first.
    pub before: [Option<Cell>; 3],
    /// For how many steps, latest first.
    pub lengths: [usize; 2],
}

/// A chorale while it is read or written, cell by cell.
///
/// **Rule:** all it tells of the future is what [`super::Given`] holds.
#[derive(Clone, Debug)]
pub struct Tracker {
    pub(super) steps: Vec<Step>,
    /// The step being filled, and how many of its voices are.
    pub(super) filling: Step,
    pub(super) voice: usize,
    pub(super) voices: [Voice; VOICES],
    /// Step in which a pitch class last sounded.
    pub(super) heard: [Option<usize>; 12],
    /// Cells of each pitch class in the last [`COUNTED`] steps.
    pub(super) counts: [u32; 12],
    pub(super) together: Repeats<Step>,
    pub(super) alone: [Repeats<Cell>; VOICES],
    last_token: u32,
}

impl Default for Tracker {
    fn default() -> Self {
        Tracker::new()
    }
}

impl Tracker {
    /// Before the first cell.
    pub fn new() -> Tracker {
        let voice = |reference| Voice { reference, last: None, held: 0, before: [None; 3], lengths: [0; 2] };
        Tracker {
            steps: vec![],
            filling: [Cell::Rest; VOICES],
            voice: 0,
            voices: CENTRES.map(voice),
            heard: [None; 12],
            counts: [0; 12],
            together: Repeats::default(),
            alone: Default::default(),
            last_token: BEGIN,
        }
    }

    /// The step to be filled, from 0.
    pub fn step(&self) -> usize {
        self.steps.len()
    }

    /// The voice whose turn it is.
    pub fn voice(&self) -> usize {
        self.voice
    }

    /// Steps that are complete.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Voices above in the step being filled, from the top.
    pub fn above(&self) -> &[Cell] {
        &self.filling[..self.voice]
    }

    /// The last pitch of the voice whose turn it is: what its token counts from.
    pub fn reference(&self) -> u8 {
        self.voices[self.voice].reference
    }

    /// The last cell of a voice.
    pub fn last(&self, voice: usize) -> Option<Cell> {
        self.voices[voice].last
    }

    /// The token before: what the network reads.
    pub fn last_token(&self) -> u32 {
        self.last_token
    }

    /// The id of `cell` for the voice whose turn it is.
    pub fn token(&self, cell: Cell) -> u32 {
        token(cell, self.reference())
    }

    /// Writes the next cell.
    pub fn push(&mut self, cell: Cell) {
        self.last_token = self.token(cell);
        let (now, index) = (self.step(), self.voice);
        self.filling[index] = cell;
        let voice = &mut self.voices[index];
        if voice.last == Some(cell) {
            voice.held += 1;
        } else {
            if voice.last.is_some() {
                voice.before = [voice.last, voice.before[0], voice.before[1]];
                voice.lengths = [voice.held, voice.lengths[0]];
            }
            (voice.last, voice.held) = (Some(cell), 1);
        }
        if let Cell::Pitch(pitch) = cell {
            voice.reference = pitch;
            self.heard[usize::from(pitch % 12)] = Some(now);
            self.counts[usize::from(pitch % 12)] += 1;
        }
        self.alone[index].push(cell);
        self.voice += 1;
        if self.voice == VOICES {
            self.voice = 0;
            self.complete();
        }
    }

    fn complete(&mut self) {
        self.steps.push(self.filling);
        self.together.push(self.filling);
        if let Some(old) = self.step().checked_sub(COUNTED + 1) {
            for pitch in self.steps[old].iter().filter_map(|cell| cell.pitch()) {
                self.counts[usize::from(pitch % 12)] -= 1;
            }
        }
    }

    /// Cells that [`Self::counts`] counts.
    pub(super) fn counted(&self) -> u32 {
        (self.step().min(COUNTED) * VOICES + self.voice) as u32
    }
}
