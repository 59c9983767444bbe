//! The demands themselves.

use super::{Contradiction, PitchSet, RhythmGrid, cells_per_bar, names};
use crate::harmony::{Chord, PitchClasses};
use crate::{Meter, Note, Ppq};
use std::fmt;
use std::ops::{Range, RangeInclusive};

/// What a melody must obey. [`Demands::new`] demands nothing but metre, bars and tempo.
///
/// Times are cells: ticks at [`Demands::PPQ`] from the start of the piece; a bar of 4/4 has 48. Pitches are MIDI
/// pitches. What is *open* is for the generator, see [`Demands::open`]; by default everything is.
///
/// Scale, range, forbidden pitches, rhythm grid and strong beats hold for every note that begins where it is open, kept
/// ones among them: a kept note outside the scale contradicts the scale. Notes that begin elsewhere are exempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Demands {
    /// The time signature of every bar.
    pub meter: Meter,
    /// How many bars the piece has, `1..=64`; no note goes beyond the last.
    pub bars: u32,
    /// Quarter notes a minute, `10..=400`, the same throughout.
    pub tempo: f64,
    /// Only these pitch classes may sound.
    pub scale: Option<PitchClasses>,
    /// The lowest and the highest pitch that may sound.
    pub range: RangeInclusive<u8>,
    /// Pitches that may not sound.
    pub forbidden: PitchSet,
    /// Each must sound at least once in the piece, kept notes count; at most [`Demands::MOST_REQUIRED`].
    pub required: Vec<Required>,
    /// The harmony: from this cell on this chord, or none (`N.C.`); rising cells. Before the first there is none.
    /// Empty: the harmony is not given, and is made bar by bar with the melody ([`super::Walk::set_chords`]).
    pub chords: Vec<(u32, Option<Chord>)>,
    /// What may begin on the strong beats ([`super::strong_cells`]).
    pub strong_beats: StrongBeats,
    /// The most semitones from one note to the next, rests between them or not. Between two kept notes that are not
    /// open it counts only if something between them is.
    pub max_leap: Option<u8>,
    /// Where notes may begin.
    pub grid: RhythmGrid,
    /// The fewest and the most notes that begin in each bar, kept ones included; bars with nothing open are exempt.
    pub density: Option<RangeInclusive<u32>>,
    /// The pitch class of the tonic: the last note of the piece is a tonic and begins in the last bar. It may be held to
    /// the end or be followed by a rest.
    pub cadence: Option<u8>,
    /// The most notes that sound at once, at least 1. Plans make one voice whatever this is; the verifier counts.
    pub polyphony: u8,
    /// Notes kept as they are, in cells: they begin, end and sound as given, and nothing else sounds meanwhile. They
    /// must not overlap.
    pub locked: Vec<Note>,
    /// Where new notes may sound, from first cell to one past the last; a new note lies wholly inside one (those that
    /// touch are one). Outside, only what is locked sounds. No stretches: everything is open; to open nothing, give one
    /// without cells, `0..0`.
    pub open: Vec<Range<u32>>,
}

/// What may begin on a strong beat while a chord is in force; without a chord, anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StrongBeats {
    /// Anything.
    #[default]
    Free,
    /// Tones of the chord, and others that are reached or left by step (one or two semitones from the note before or to
    /// the note after): passing and neighbouring tones, suspensions, appoggiaturas.
    Licensed,
    /// Tones of the chord only.
    Strict,
}

impl StrongBeats {
    pub fn name(self) -> &'static str {
        match self {
            StrongBeats::Free => "free",
            StrongBeats::Licensed => "licensed",
            StrongBeats::Strict => "strict",
        }
    }
}

/// Something that must sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Required {
    /// This pitch, `0..128`.
    Pitch(u8),
    /// This pitch class in any octave, `0..12`, C = 0.
    Class(u8),
}

impl Required {
    /// The pitches that meet it.
    pub fn pitches(self) -> PitchSet {
        match self {
            Required::Pitch(pitch) => PitchSet::of(pitch),
            Required::Class(class) => PitchSet::of_classes(PitchClasses::EMPTY.with(class)),
        }
    }
}

impl fmt::Display for Required {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Required::Pitch(pitch) => out.write_str(&names::pitch(*pitch)),
            Required::Class(class) => out.write_str(&names::class(*class)),
        }
    }
}

/// The kinds of demands; one field of [`Demands`] each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Demand {
    Meter,
    Bars,
    Tempo,
    Scale,
    Range,
    Forbidden,
    Required,
    Chords,
    StrongBeats,
    MaxLeap,
    Grid,
    Density,
    Cadence,
    Polyphony,
    Locked,
    Open,
}

impl Demand {
    /// What requests call it.
    pub fn field(self) -> &'static str {
        match self {
            Demand::Meter => "meter",
            Demand::Bars => "bars",
            Demand::Tempo => "tempo",
            Demand::Scale => "scale",
            Demand::Range => "range",
            Demand::Forbidden => "forbid",
            Demand::Required => "require",
            Demand::Chords => "chords",
            Demand::StrongBeats => "strong_beats",
            Demand::MaxLeap => "max_leap",
            Demand::Grid => "grid",
            Demand::Density => "notes_per_bar",
            Demand::Cadence => "cadence",
            Demand::Polyphony => "polyphony",
            Demand::Locked => "locked",
            Demand::Open => "open",
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.field())
    }
}

impl Demands {
    /// Cells in a quarter note: sixteenths are 3, eighth triplets 4.
    pub const PPQ: Ppq = Ppq::new(12).expect("12 is in 1..=32767");
    pub const MOST_BARS: u32 = 64;
    pub const MOST_REQUIRED: usize = 5;

    /// Nothing but metre, bars and tempo is demanded.
    pub fn new(meter: Meter, bars: u32, tempo: f64) -> Demands {
        Demands {
            meter,
            bars,
            tempo,
            scale: None,
            range: 0..=127,
            forbidden: PitchSet::EMPTY,
            required: Vec::new(),
            chords: Vec::new(),
            strong_beats: StrongBeats::Free,
            max_leap: None,
            grid: RhythmGrid::Free,
            density: None,
            cadence: None,
            polyphony: 1,
            locked: Vec::new(),
            open: Vec::new(),
        }
    }

    pub fn cells_per_bar(&self) -> u32 {
        cells_per_bar(self.meter)
    }

    /// Cells of the whole piece.
    pub fn cells(&self) -> u32 {
        self.cells_per_bar().saturating_mul(self.bars)
    }

    /// Scale, range and forbidden pitches together.
    pub fn pitches(&self) -> PitchSet {
        let scale = self.scale.map_or(PitchSet::ALL, PitchSet::of_classes);
        scale & PitchSet::range(self.range.clone()) & !self.forbidden
    }

    /// Whether a note that begins at this cell is for the generator.
    pub fn is_open(&self, cell: u32) -> bool {
        self.open.is_empty() || self.open.iter().any(|open| open.contains(&cell))
    }

    /// The given chord in force at a cell; `None` too where none is given.
    pub fn chord_at(&self, cell: u32) -> Option<&Chord> {
        let after = self.chords.partition_point(|(at, _)| *at <= cell);
        self.chords.get(after.checked_sub(1)?)?.1.as_ref()
    }

    /// Whether every value is one that a piece can have by itself.
    ///
    /// # Errors
    /// [`Contradiction::OutOfRange`] naming the field, what is allowed and what came.
    pub fn check(&self) -> Result<(), Contradiction> {
        let fail = |demand, allowed: &str, got: String| {
            Err(Contradiction::OutOfRange { demand, allowed: allowed.to_owned(), got })
        };
        if Meter::new(self.meter.numerator, self.meter.denominator).is_none() {
            return fail(Demand::Meter, "1..=32 over 1, 2, 4, 8 or 16", self.meter.to_string());
        }
        if !(1..=Demands::MOST_BARS).contains(&self.bars) {
            return fail(Demand::Bars, "in 1..=64", self.bars.to_string());
        }
        if !(10.0..=400.0).contains(&self.tempo) {
            return fail(Demand::Tempo, "in 10..=400", self.tempo.to_string());
        }
        if self.scale.is_some_and(PitchClasses::is_empty) {
            return fail(Demand::Scale, "at least one pitch class", "none".to_owned());
        }
        let (low, high) = (*self.range.start(), *self.range.end());
        if low > high || high > 127 || self.range.is_empty() {
            return fail(Demand::Range, "two pitches in 0..=127, low first", format!("{low}-{high}"));
        }
        if self.required.len() > Demands::MOST_REQUIRED {
            return fail(Demand::Required, "at most 5 pitches", self.required.len().to_string());
        }
        for required in &self.required {
            let (allowed, got) = match *required {
                Required::Pitch(pitch) => ((pitch > 127).then_some("pitches in 0..=127"), pitch),
                Required::Class(class) => ((class > 11).then_some("pitch classes in 0..=11"), class),
            };
            if let Some(allowed) = allowed {
                return fail(Demand::Required, allowed, got.to_string());
            }
        }
        if let Some(leap) = self.max_leap.filter(|leap| *leap > 127) {
            return fail(Demand::MaxLeap, "in 0..=127 semitones", leap.to_string());
        }
        if let Some(density) = self.density.as_ref().filter(|density| density.is_empty()) {
            let got = format!("{}-{}", density.start(), density.end());
            return fail(Demand::Density, "two numbers, low first", got);
        }
        if let Some(tonic) = self.cadence.filter(|tonic| *tonic > 11) {
            return fail(Demand::Cadence, "a pitch class in 0..=11", tonic.to_string());
        }
        if self.polyphony == 0 {
            return fail(Demand::Polyphony, "at least 1", "0".to_owned());
        }
        let cells = self.cells();
        for (at, (cell, _)) in self.chords.iter().enumerate() {
            if *cell >= cells || at > 0 && self.chords[at - 1].0 >= *cell {
                return fail(
                    Demand::Chords,
                    &format!("at rising cells below {cells}"),
                    format!("cell {cell}"),
                );
            }
        }
        for open in &self.open {
            if open.start > open.end || open.end > cells {
                let allowed = format!("stretches in 0..{cells}");
                return fail(Demand::Open, &allowed, format!("{}..{}", open.start, open.end));
            }
        }
        let locked = self.locked_in_order();
        for (at, note) in locked.iter().enumerate() {
            let got = format!("{} at cells {}..{}", names::pitch(note.pitch), note.onset.0, note.end.0);
            if note.pitch > 127 || note.onset >= note.end || note.end.0 > cells {
                return fail(Demand::Locked, &format!("notes within 0..{cells}"), got);
            }
            if at > 0 && locked[at - 1].end > note.onset {
                return fail(Demand::Locked, "notes one after another", got);
            }
        }
        Ok(())
    }

    /// [`Demands::locked`] by onset.
    pub(super) fn locked_in_order(&self) -> Vec<Note> {
        let mut locked = self.locked.clone();
        locked.sort_by_key(|note| (note.onset, note.end));
        locked
    }
}
