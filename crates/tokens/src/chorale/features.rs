//! What the network is told beside the token before: rows of one table, one of each of these smaller ones.
//!
//! Pitches are told relative to the last one of the voice whose turn it is; its own is told once as it is.

use super::given::Given;
use super::tracker::Tracker;
use super::{Cell, HIGHEST, LOWEST, STEPS_PER_BEAT, Step, VOICES};

/// Widest interval that is told apart.
const WIDEST: i32 = 36;
/// Values of an interval: those, a rest, and nothing known.
const INTERVALS: usize = 2 * WIDEST as usize + 3;
const A_REST: usize = INTERVALS - 2;
const UNKNOWN: usize = INTERVALS - 1;
/// The interval of a voice that stays.
const UNISON: usize = WIDEST as usize;
/// Longest duration that is told apart, in steps.
const LONGEST: usize = 16;
/// Steps in which a given change is looked for.
const AHEAD: usize = 16;
const PITCHES: usize = (HIGHEST - LOWEST) as usize + 2;
/// Kinds of repeats by length.
const REPEATS: usize = 6;

/// The tables: how many inputs each has, and rows an input.
const TABLES: [(usize, usize); 24] = [
    (1, 64),                         // voice and sixteenth of the bar
    (1, 16),                         // beat of four bars
    (1, 12),                         // sixteenth of a bar of three beats
    (1, 17),                         // beats since the beginning
    (1, VOICES * PITCHES),           // own last pitch
    (1, VOICES * 4 * (LONGEST + 1)), // held for, by sixteenth of the beat
    (3, INTERVALS),                  // own pitches before
    (2, LONGEST + 1),                // how long they were
    (3, VOICES * INTERVALS),         // other voices: chosen now, or before
    (3, VOICES * INTERVALS),         // how voices above moved
    (1, 15),                         // which of those moved
    (3, LONGEST + 1),                // how long others have been there
    (12, 7),                         // when a pitch class was last heard
    (12, 6),                         // how much of the past it has
    (12, 4),                         // whether it sounded before and sounds now
    (1, REPEATS * INTERVALS),        // what came after the same chords
    (1, REPEATS * INTERVALS),        // what came after the same notes of this voice
    (1, 50),                         // until the end
    (4, INTERVALS),                  // given now
    (4, INTERVALS),                  // given next
    (4, AHEAD + 2),                  // and when
    (4, INTERVALS),                  // given on the next beat
    (4, INTERVALS),                  // and on the one after
    (1, VOICES * 4),                 // voices that rest
];

/// The row that stands for one left out in training, so that no single one is leaned on.
pub const LEFT_OUT: u32 = FEATURES as u32 - 1;

/// Rows of all tables, and [`LEFT_OUT`].
pub const FEATURES: usize = {
    let (mut total, mut i) = (0, 0);
    while i < TABLES.len() {
        total += TABLES[i].0 * TABLES[i].1;
        i += 1;
    }
    total + 1
};

/// Rows that are named at each input.
pub const FEATURES_EACH: usize = {
    let (mut total, mut i) = (0, 0);
    while i < TABLES.len() {
        total += TABLES[i].0;
        i += 1;
    }
    total
};

/// Writes rows table by table, in order.
struct Rows<'a> {
    out: &'a mut Vec<u32>,
    /// Table, input of it, and the first row of that.
    table: usize,
    input: usize,
    first: usize,
}

impl Rows<'_> {
    fn push(&mut self, row: usize) {
        let (inputs, size) = TABLES[self.table];
        debug_assert!(row < size, "row {row} of table {}", self.table);
        self.out.push((self.first + row) as u32);
        self.first += size;
        self.input += 1;
        if self.input == inputs {
            (self.table, self.input) = (self.table + 1, 0);
        }
    }
}

/// `cell` as heard from `reference`.
fn interval(cell: Option<Cell>, reference: u8) -> usize {
    match cell {
        None => UNKNOWN,
        Some(Cell::Rest) => A_REST,
        Some(Cell::Pitch(pitch)) => {
            let interval = i32::from(pitch) - i32::from(reference);
            (interval.clamp(-WIDEST, WIDEST) + WIDEST) as usize
        }
    }
}

impl Tracker {
    /// Appends the [`FEATURES_EACH`] rows, each in `0..FEATURES - 1`, of the input that predicts the next cell.
    pub fn features(&self, given: &Given, out: &mut Vec<u32>) {
        let mut rows = Rows { out, table: 0, input: 0, first: 0 };
        self.metre(&mut rows);
        self.own(&mut rows);
        self.others(&mut rows);
        self.harmony(&mut rows);
        self.repeats(&mut rows);
        self.future(given, &mut rows);
        let resting = |cell: Option<Cell>| usize::from(cell == Some(Cell::Rest));
        let mine = resting(self.last(self.voice));
        let any = (0..VOICES).any(|u| u != self.voice && resting(self.last(u)) == 1);
        rows.push((self.voice * 2 + mine) * 2 + usize::from(any));
        debug_assert_eq!(rows.table, TABLES.len());
    }

    fn metre(&self, rows: &mut Rows) {
        let (t, beat) = (self.step(), self.step() / STEPS_PER_BEAT);
        rows.push(self.voice * 16 + t % 16);
        rows.push(beat % 16);
        rows.push(t % 12);
        rows.push(beat.min(16));
    }

    fn own(&self, rows: &mut Rows) {
        let voice = &self.voices[self.voice];
        let pitch = match voice.last {
            Some(Cell::Pitch(pitch)) => usize::from(pitch - LOWEST),
            _ => PITCHES - 1,
        };
        rows.push(self.voice * PITCHES + pitch);
        let place = self.voice * 4 + self.step() % 4;
        rows.push(place * (LONGEST + 1) + voice.held.min(LONGEST));
        for cell in voice.before {
            rows.push(interval(cell, voice.reference));
        }
        for length in voice.lengths {
            rows.push(length.min(LONGEST));
        }
    }

    fn others(&self, rows: &mut Rows) {
        let (mine, reference) = (self.voice, self.reference());
        let others = || (0..VOICES).filter(move |u| *u != mine);
        for u in others() {
            rows.push(mine * INTERVALS + interval(self.last(u), reference));
        }
        let mut moved = 0;
        for u in others() {
            let motion = (u < mine).then(|| self.motion(u));
            if motion.is_some_and(|motion| motion != UNISON) {
                moved |= 1 << u;
            }
            rows.push(mine * INTERVALS + motion.unwrap_or(UNKNOWN));
        }
        // One row for each way in which the voices above moved: 1 + 2 + 4 + 8.
        rows.push((1 << mine) - 1 + moved);
        for u in others() {
            rows.push(self.voices[u].held.min(LONGEST));
        }
    }

    /// How a voice above moved into this step; a rest on either side is told as one.
    fn motion(&self, u: usize) -> usize {
        let now = self.filling[u];
        let Some(before) = self.steps.last().map(|step| step[u]) else { return UNKNOWN };
        match (before, now) {
            (Cell::Pitch(before), _) => interval(Some(now), before),
            (Cell::Rest, Cell::Rest) => UNISON,
            (Cell::Rest, Cell::Pitch(_)) => A_REST,
        }
    }

    fn harmony(&self, rows: &mut Rows) {
        let (t, reference) = (self.step(), usize::from(self.reference()));
        let absolute = |class: usize| (class + reference) % 12;
        for class in 0..12 {
            rows.push(match self.heard[absolute(class)].map(|step| t - step) {
                None => 0,
                Some(0..=1) => 1,
                Some(2..=4) => 2,
                Some(5..=8) => 3,
                Some(9..=16) => 4,
                Some(17..=64) => 5,
                Some(_) => 6,
            });
        }
        let cells = self.counted().max(1);
        for class in 0..12 {
            // Per thousand.
            rows.push(match 1000 * self.counts[absolute(class)] / cells {
                0 => 0,
                1..=19 => 1,
                20..=49 => 2,
                50..=99 => 3,
                100..=179 => 4,
                _ => 5,
            });
        }
        let classes = |cells: &[Cell]| {
            cells.iter().filter_map(|cell| cell.pitch()).fold(0u16, |set, pitch| set | 1 << (pitch % 12))
        };
        let before = self.steps.last().map_or(0, |step| classes(step));
        let now = classes(self.above());
        for class in 0..12 {
            let has = |set: u16| usize::from(set >> absolute(class) & 1);
            rows.push(has(before) + 2 * has(now));
        }
    }

    fn repeats(&self, rows: &mut Rows) {
        let (mine, reference) = (self.voice, self.reference());
        let kind = |length: u16| match length {
            0 => 0,
            1..=3 => 1,
            4..=7 => 2,
            8..=15 => 3,
            16..=31 => 4,
            _ => 5,
        };
        let row = |predicted: Option<(Cell, u16)>| match predicted {
            Some((cell, length)) => kind(length) * INTERVALS + interval(Some(cell), reference),
            None => UNKNOWN,
        };
        let agrees = |step: &Step| step[..mine] == *self.above();
        let together = self.together.predicted().filter(|(step, _)| agrees(step));
        rows.push(row(together.map(|(step, length)| (step[mine], length))));
        rows.push(row(self.alone[mine].predicted()));
    }

    fn future(&self, given: &Given, rows: &mut Rows) {
        let (t, mine, reference) = (self.step(), self.voice, self.reference());
        rows.push(match given.end.map(|end| end.saturating_sub(t)) {
            None => 49,
            Some(steps) if steps <= 16 => steps,
            Some(steps) => 16 + ((steps - 16) / STEPS_PER_BEAT).min(32),
        });
        for u in 0..VOICES {
            let now = if u > mine { given.cell(t, u) } else { None };
            rows.push(interval(now, reference));
        }
        let changes: [_; VOICES] = std::array::from_fn(|u| self.change(given, u));
        for (cell, _) in changes {
            rows.push(interval(cell, reference));
        }
        for (_, steps) in changes {
            rows.push(steps);
        }
        let beat = (t / STEPS_PER_BEAT + 1) * STEPS_PER_BEAT;
        for at in [beat, beat + STEPS_PER_BEAT] {
            for u in 0..VOICES {
                rows.push(interval(given.cell(at, u), reference));
            }
        }
    }

    /// The next given cell of a voice after this step that differs from where it is, and in how many steps; 0 steps
    /// for a voice that stays, `AHEAD + 1` where nothing is given.
    fn change(&self, given: &Given, u: usize) -> (Option<Cell>, usize) {
        let t = self.step();
        let here = match u.cmp(&self.voice) {
            std::cmp::Ordering::Less => Some(self.filling[u]),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => given.cell(t, u).or(self.last(u)),
        };
        let mut stays = false;
        for steps in 1..=AHEAD {
            match given.cell(t + steps, u) {
                None => {}
                cell if cell == here => stays = true,
                cell => return (cell, steps),
            }
        }
        (None, if stays { 0 } else { AHEAD + 1 })
    }
}
