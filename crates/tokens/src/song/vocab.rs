//! The vocabulary: token classes laid out one after another, and the bins of their values.

/// Cells a quarter note is cut into: sixteenths are 3 of them, triplet eighths 4.
pub const CELLS: u32 = 12;
/// Cells a bar may have: 8 quarters.
pub const MAX_CELLS_PER_BAR: u32 = 96;
/// Chords change on eighths.
pub const CHORD_GRID: u32 = CELLS / 2;
/// Bars to come are told up to here; more are "many".
pub const MOST_REMAINING: u32 = 32;
/// Pitches that notes may have, A0..=C8.
pub const PITCHES: std::ops::RangeInclusive<u8> = 21..=108;
/// Kinds of chords; see [`super::ChordClass`].
pub const CHORD_KINDS: u32 = 12;
/// Durations of notes in parts that play several at once, in cells.
pub const DURATIONS: [u32; 16] = [2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 30, 36, 48, 60, 72, 96];
/// Time signatures the model is told; others are told by their nearest in length.
pub const METERS: [(u8, u8); 14] = [
    (2, 4),
    (3, 4),
    (4, 4),
    (5, 4),
    (6, 4),
    (7, 4),
    (2, 2),
    (3, 2),
    (3, 8),
    (5, 8),
    (6, 8),
    (7, 8),
    (9, 8),
    (12, 8),
];
/// Tempo bins, equal ratios over 40..=300 beats per minute.
pub const TEMPOS: u32 = 8;
/// Density bins; see [`density_bin`].
pub const DENSITIES: u32 = 8;
/// Register bins; see [`register_bin`].
pub const REGISTERS: u32 = 8;
/// Room for styles.
pub const STYLES: u32 = 16;

/// A line of notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// One note at a time.
    Melody,
    /// One note at a time.
    Bass,
    /// Any number.
    Piano,
}

impl Part {
    pub const ALL: [Part; 3] = [Part::Melody, Part::Bass, Part::Piano];

    /// `0..3`
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whether a note ends when the next begins.
    pub fn is_single(self) -> bool {
        self != Part::Piano
    }
}

/// One token. The numbers are bins, in the ranges of the constants of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    End,
    /// From here on comes what the model is asked for.
    Perform,
    /// In what is given: here something is missing.
    Hole,
    /// Write on, or fill the holes of what is given.
    Write,
    Fill,
    /// The piece begins here.
    Opening,
    /// The piece has no chord symbols.
    NoChords,
    /// Notes of this part follow.
    Part(Part),
    /// A bar, by how many come after it, `0..=MOST_REMAINING`.
    Bar(u32),
    /// Eighth of the bar at which a chord begins.
    At(u32),
    /// See [`super::ChordClass::index`].
    Chord(u32),
    /// Cell of the bar.
    Position(u32),
    Rest,
    /// MIDI pitch, in [`PITCHES`].
    Pitch(u8),
    /// Index into [`DURATIONS`].
    Duration(u32),
    /// Tonic pitch class, plus 12 for minor.
    Key(u32),
    Meter(u32),
    Tempo(u32),
    Style(u32),
    Density(u32),
    Register(u32),
}

const PART: u32 = 7;
const BAR: u32 = PART + 3;
const AT: u32 = BAR + MOST_REMAINING + 1;
const CHORD: u32 = AT + MAX_CELLS_PER_BAR / CHORD_GRID;
const POSITION: u32 = CHORD + 1 + 12 * CHORD_KINDS;
const REST: u32 = POSITION + MAX_CELLS_PER_BAR;
const PITCH: u32 = REST + 1;
const DURATION: u32 = PITCH + (*PITCHES.end() - *PITCHES.start()) as u32 + 1;
const KEY: u32 = DURATION + DURATIONS.len() as u32;
const METER: u32 = KEY + 24;
const TEMPO: u32 = METER + METERS.len() as u32;
const STYLE: u32 = TEMPO + TEMPOS;
const DENSITY: u32 = STYLE + STYLES;
const REGISTER: u32 = DENSITY + DENSITIES;
/// Number of token ids.
pub const VOCAB: u32 = REGISTER + REGISTERS;

impl Token {
    /// The id, in `0..VOCAB`.
    pub fn id(self) -> u32 {
        match self {
            Token::End => 0,
            Token::Perform => 1,
            Token::Hole => 2,
            Token::Write => 3,
            Token::Fill => 4,
            Token::Opening => 5,
            Token::NoChords => 6,
            Token::Part(part) => PART + part as u32,
            Token::Bar(remaining) => BAR + remaining,
            Token::At(eighth) => AT + eighth,
            Token::Chord(class) => CHORD + class,
            Token::Position(cell) => POSITION + cell,
            Token::Rest => REST,
            Token::Pitch(pitch) => PITCH + u32::from(pitch - PITCHES.start()),
            Token::Duration(index) => DURATION + index,
            Token::Key(key) => KEY + key,
            Token::Meter(index) => METER + index,
            Token::Tempo(bin) => TEMPO + bin,
            Token::Style(index) => STYLE + index,
            Token::Density(bin) => DENSITY + bin,
            Token::Register(bin) => REGISTER + bin,
        }
    }

    /// The token of an id, or `None` from `VOCAB` on.
    pub fn from_id(id: u32) -> Option<Token> {
        Some(match id {
            0 => Token::End,
            1 => Token::Perform,
            2 => Token::Hole,
            3 => Token::Write,
            4 => Token::Fill,
            5 => Token::Opening,
            6 => Token::NoChords,
            PART..BAR => Token::Part(Part::ALL[(id - PART) as usize]),
            BAR..AT => Token::Bar(id - BAR),
            AT..CHORD => Token::At(id - AT),
            CHORD..POSITION => Token::Chord(id - CHORD),
            POSITION..REST => Token::Position(id - POSITION),
            REST => Token::Rest,
            PITCH..DURATION => Token::Pitch((id - PITCH) as u8 + PITCHES.start()),
            DURATION..KEY => Token::Duration(id - DURATION),
            KEY..METER => Token::Key(id - KEY),
            METER..TEMPO => Token::Meter(id - METER),
            TEMPO..STYLE => Token::Tempo(id - TEMPO),
            STYLE..DENSITY => Token::Style(id - STYLE),
            DENSITY..REGISTER => Token::Density(id - DENSITY),
            REGISTER..VOCAB => Token::Register(id - REGISTER),
            _ => return None,
        })
    }
}

/// Bin of a tempo in beats per minute.
pub fn tempo_bin(bpm: f64) -> u32 {
    // The edges 40 * 7.5^(i / 8): compared, not computed, so that no logarithm decides.
    const EDGES: [f64; 7] = [51.456, 66.195, 85.154, 109.545, 140.921, 181.285, 233.209];
    EDGES.iter().filter(|edge| bpm >= **edge).count() as u32
}

/// Bin of a density in onsets a quarter note.
pub fn density_bin(onsets: f64) -> u32 {
    const EDGES: [f64; 7] = [0.35, 0.55, 0.75, 0.95, 1.2, 1.5, 2.0];
    EDGES.iter().filter(|edge| onsets >= **edge).count() as u32
}

/// Onsets a quarter note in the middle of a bin.
pub fn density_value(bin: u32) -> f64 {
    const MIDDLES: [f64; 8] = [0.25, 0.45, 0.65, 0.85, 1.08, 1.35, 1.75, 2.5];
    MIDDLES[bin.min(DENSITIES - 1) as usize]
}

/// Bin of a mean pitch.
pub fn register_bin(pitch: f64) -> u32 {
    const EDGES: [f64; 7] = [50.0, 55.0, 60.0, 64.0, 68.0, 72.0, 77.0];
    EDGES.iter().filter(|edge| pitch >= **edge).count() as u32
}

/// Index of the duration nearest to `cells`, the shorter of two.
pub fn duration_index(cells: u32) -> u32 {
    let nearest = (0..DURATIONS.len()).min_by_key(|&i| DURATIONS[i].abs_diff(cells));
    nearest.expect("there are durations") as u32
}

/// Index of a metre, or of the one nearest in length.
pub fn meter_index(numerator: u8, denominator: u8) -> u32 {
    let cells = |(n, d): (u8, u8)| u32::from(n) * 4 * CELLS / u32::from(d.max(1));
    let same = METERS.iter().position(|meter| *meter == (numerator, denominator));
    let nearest =
        || (0..METERS.len()).min_by_key(|&i| cells(METERS[i]).abs_diff(cells((numerator, denominator))));
    same.or_else(nearest).expect("there are metres") as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_one_token_and_back() {
        for id in 0..VOCAB {
            assert_eq!(Token::from_id(id).unwrap().id(), id);
        }
        assert_eq!(Token::from_id(VOCAB), None);
    }

    #[test]
    fn bins_follow_their_values() {
        assert_eq!((tempo_bin(30.0), tempo_bin(120.0), tempo_bin(400.0)), (0, 4, 7));
        (0..DENSITIES).for_each(|bin| assert_eq!(density_bin(density_value(bin)), bin));
        assert_eq!((DURATIONS[duration_index(5) as usize], DURATIONS[duration_index(500) as usize]), (4, 96));
        assert_eq!(METERS[meter_index(4, 8) as usize], (2, 4));
        assert_eq!(METERS[meter_index(7, 8) as usize], (7, 8));
    }
}
