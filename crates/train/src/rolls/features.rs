//! Tokens of a roll, and what is told beside them.

use partita_tokens::chorale::Repeats;

use super::data::{Frame, HIGHEST, LOWEST};

/// Ids: an interval from -87 to 87 semitones, the end of a frame, and what comes before the first.
const UNISON: i32 = (HIGHEST - LOWEST) as i32;
const END: u32 = 2 * UNISON as u32 + 1;
const BEGIN: u32 = END + 1;
pub const VOCAB: u32 = BEGIN + 1;

/// Keys around the reference that other frames are shown on: from 12 below to 36 above.
const BELOW: usize = 12;
const SHOWN: usize = 49;
/// Keys below the reference on which this frame is shown.
const CHOSEN: usize = 24;
/// Frames over which pitch classes are counted.
const COUNTED: usize = 64;
/// The tables: how many inputs each has, and rows an input.
const TABLES: [(usize, usize); 13] = [
    (1, 8),  // pitches chosen
    (1, 88), // the reference
    (1, 16), // metre
    (1, 12),
    (1, 8),
    (1, 17),    // frames since the beginning
    (SHOWN, 6), // how long keys of the frame before have sounded
    (SHOWN, 2), // keys of the frame before that
    (SHOWN, 2), // keys of the frame that came after the same frames
    (1, 6),     // how many were the same
    (12, 7),    // when a pitch class was last heard
    (12, 6),    // how much of the past it has
    (CHOSEN, 2),
];
pub const FEATURES: usize = {
    let (mut total, mut i) = (0, 0);
    while i < TABLES.len() {
        total += TABLES[i].0 * TABLES[i].1;
        i += 1;
    }
    total
};

/// A roll as far as it is read.
pub struct Reader {
    frames: Vec<Frame>,
    chosen: Frame,
    /// Frames for which each key has sounded up to the last.
    held: [usize; 128],
    heard: [Option<usize>; 12],
    repeats: Repeats<u128>,
    /// The lowest pitch of the last frame that had one.
    lowest: u8,
    pub last_token: u32,
}

impl Reader {
    pub fn new() -> Reader {
        Reader {
            frames: vec![],
            chosen: vec![],
            held: [0; 128],
            heard: [None; 12],
            repeats: Repeats::default(),
            lowest: 48,
            last_token: BEGIN,
        }
    }

    fn reference(&self) -> u8 {
        self.chosen.last().copied().unwrap_or(self.lowest)
    }

    /// The id of a pitch, or of the end.
    pub fn token(&self, pitch: Option<u8>) -> u32 {
        pitch.map_or(END, |pitch| (i32::from(pitch) - i32::from(self.reference()) + UNISON) as u32)
    }

    /// Reads the next pitch of the frame, or its end.
    pub fn push(&mut self, pitch: Option<u8>) {
        self.last_token = self.token(pitch);
        if let Some(pitch) = pitch {
            self.chosen.push(pitch);
            return;
        }
        let frame = std::mem::take(&mut self.chosen);
        for (pitch, held) in self.held.iter_mut().enumerate() {
            *held = if frame.contains(&(pitch as u8)) { *held + 1 } else { 0 };
        }
        for pitch in &frame {
            self.heard[usize::from(pitch % 12)] = Some(self.frames.len());
        }
        self.lowest = frame.first().copied().unwrap_or(self.lowest);
        self.repeats.push(frame.iter().fold(0, |set, pitch| set | 1 << pitch));
        self.frames.push(frame);
    }

    /// Appends the rows of the input that predicts the next token.
    pub fn features(&self, out: &mut Vec<u32>) {
        let mut rows = Rows { out, table: 0, input: 0, first: 0 };
        let (t, reference) = (self.frames.len(), usize::from(self.reference()));
        rows.push(self.chosen.len().min(7));
        rows.push(reference - usize::from(LOWEST));
        rows.push(t % 16);
        rows.push(t % 12);
        rows.push(t / 16 % 8);
        rows.push(t.min(16));
        let shown = || (0..SHOWN).map(|i| (reference + i).checked_sub(BELOW).filter(|pitch| *pitch < 128));
        for pitch in shown() {
            rows.push(match pitch.map_or(0, |pitch| self.held[pitch]) {
                held @ 0..=3 => held,
                4..=7 => 4,
                _ => 5,
            });
        }
        let before = t.checked_sub(2).map(|t| &self.frames[t]);
        for pitch in shown() {
            let has = |frame: &Frame| pitch.is_some_and(|pitch| frame.contains(&(pitch as u8)));
            rows.push(usize::from(before.is_some_and(has)));
        }
        let (predicted, length) = self.repeats.predicted().unwrap_or((0, 0));
        for pitch in shown() {
            rows.push(pitch.map_or(0, |pitch| (predicted >> pitch & 1) as usize));
        }
        rows.push(match length {
            0 => 0,
            1 => 1,
            2..=3 => 2,
            4..=7 => 3,
            8..=15 => 4,
            _ => 5,
        });
        self.classes(reference, &mut rows);
        for below in 1..=CHOSEN {
            rows.push(usize::from(reference >= below && self.chosen.contains(&((reference - below) as u8))));
        }
    }

    fn classes(&self, reference: usize, rows: &mut Rows) {
        let t = self.frames.len();
        for class in 0..12 {
            rows.push(match self.heard[(class + reference) % 12].map(|frame| t - frame) {
                None => 0,
                Some(steps @ 1..=4) => steps,
                Some(0 | 5..=16) => 5,
                Some(_) => 6,
            });
        }
        let past = &self.frames[t.saturating_sub(COUNTED)..];
        for class in 0..12 {
            let count =
                past.iter().flatten().filter(|pitch| (usize::from(**pitch) + 144 - reference) % 12 == class);
            // Per cent of the frames.
            rows.push(match 100 * count.count() / past.len().max(1) {
                0 => 0,
                1..=9 => 1,
                10..=24 => 2,
                25..=44 => 3,
                45..=69 => 4,
                _ => 5,
            });
        }
    }
}

/// Writes rows table by table, in order.
struct Rows<'a> {
    out: &'a mut Vec<u32>,
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
