//! What an arranger is asked for.

use std::ops::Range;

use partita_nn::Sampling;
use partita_score::demands::{PitchSet, RhythmGrid};
use partita_score::harmony::{Chord, Key};
use partita_tokens::song::{CHORD_GRID, MAX_CELLS_PER_BAR, PITCHES, Part, PartRules, Piece, Tones};

use super::Error;
use super::rules::{BassRule, CompRule};

/// Who makes a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Make<R> {
    /// It stays as it is in the piece; there may be none.
    #[default]
    Keep,
    /// The network writes it.
    Model,
    /// A rule plays it; no model.
    Rule(R),
}

/// What the bass begins where chords do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BassAt {
    /// Anything, or nothing.
    Free,
    /// A tone of the chord.
    Tones,
    /// The bass of the chord's symbol, which is its root unless it says otherwise.
    #[default]
    Roots,
}

/// An accompaniment, new or in part new.
#[derive(Clone, Debug)]
pub struct Request {
    /// Melody, chords and what is to be kept of bass and piano.
    pub piece: Piece,
    /// The piece's chords in the words they were given in, cells and symbols; empty to name them from the piece.
    pub symbols: Vec<(u32, Option<Chord>)>,
    pub key: Option<Key>,
    /// Beats per minute.
    pub tempo: f64,
    /// A bass is made before a piano and told to it; a piano with a bass leaves the bass's notes to it.
    pub bass: Make<BassRule>,
    pub piano: Make<CompRule>,
    /// Bars to make anew; the others stay.
    pub bars: Range<u32>,
    pub bass_rules: PartRules,
    pub piano_rules: PartRules,
    pub bass_at: BassAt,
    /// Notes of a piano by the model, `[0, 1]`, from few to many ([`partita_tokens::song::Wishes::notes`]); `None` leaves
    /// them to it.
    pub density: Option<f64>,
    /// Mean pitch of a piano by the model, as far as its range goes; `None` leaves it to the model.
    pub register: Option<f64>,
    pub sampling: Sampling,
    pub seed: u64,
    /// How many, `1..=64`; variation `i` draws from stream `stream + i` of the seed.
    pub variations: usize,
    pub stream: u64,
}

impl Request {
    /// Bass and piano by the model for all bars of a lead sheet, in its key's collection and the chords' tones.
    pub fn new(piece: Piece, key: Option<Key>, tempo: f64, seed: u64) -> Request {
        let tones = key.map_or(Tones::Free, |key| Tones::CollectionOrChord(key.pitch_classes()));
        let rules = |range, polyphony, notes_per_bar| PartRules {
            range,
            forbidden: PitchSet::EMPTY,
            tones,
            grid: RhythmGrid::Mixed,
            polyphony,
            notes_per_bar,
        };
        Request {
            bars: 0..piece.bars,
            piece,
            symbols: Vec::new(),
            key,
            tempo,
            bass: Make::Model,
            piano: Make::Model,
            // E1 to G3, what a bass plays; the piano stays out of its lowest octave and its highest two.
            bass_rules: rules(28..=55, 1, 12),
            piano_rules: rules(33..=84, 6, 32),
            bass_at: BassAt::Roots,
            density: None,
            register: None,
            sampling: Sampling { temperature: 0.95, top_p: 0.95, ..Sampling::default() },
            seed,
            variations: 1,
            stream: 0,
        }
    }

    /// # Errors
    /// The first field out of its range.
    pub(super) fn check_fields(&self) -> Result<(), Error> {
        let piece = &self.piece;
        let length = piece.cells_per_bar();
        if !(CHORD_GRID..=MAX_CELLS_PER_BAR).contains(&length) {
            return Err(Error::range("time", "bars of 1/8 to 8/4", piece.meter));
        }
        if !(1..=Request::MOST_BARS).contains(&piece.bars) {
            return Err(Error::range("bars", format!("in 1..={}", Request::MOST_BARS), piece.bars));
        }
        if self.bars.is_empty() || self.bars.end > piece.bars {
            let got = format!("{}..{}", self.bars.start, self.bars.end);
            return Err(Error::range("bars", format!("some of 0..{}", piece.bars), got));
        }
        let end = length * piece.bars;
        for notes in &piece.parts {
            let wrong = notes
                .iter()
                .find(|note| !PITCHES.contains(&note.pitch) || note.onset >= note.end || note.onset >= end);
            if let Some(note) = wrong {
                let allowed = format!("pitches in 21..=108 at cells in 0..{end}");
                let got = format!("{} at {}..{}", note.pitch, note.onset, note.end);
                return Err(Error::range("notes", allowed, got));
            }
            if !notes.is_sorted_by_key(|note| note.onset) {
                return Err(Error::range("notes", "in order of their onsets", "others"));
            }
        }
        let rising = |cells: &mut dyn Iterator<Item = u32>| {
            let cells: Vec<u32> = cells.collect();
            cells.is_sorted_by(|a, b| a < b) && cells.last().is_none_or(|last| *last < end)
        };
        let chords = rising(&mut piece.chords.iter().map(|(at, _)| *at));
        if !(chords && rising(&mut self.symbols.iter().map(|(at, _)| *at))) {
            return Err(Error::range("chords", format!("at rising cells in 0..{end}"), "others"));
        }
        for (field, rules, most, notes) in [
            ("bass", &self.bass_rules, 1, Request::MOST_BASS_NOTES),
            ("piano", &self.piano_rules, 10, Request::MOST_PIANO_NOTES),
        ] {
            let (low, high) = (*rules.range.start(), *rules.range.end());
            if low > high || !PITCHES.contains(&low) || !PITCHES.contains(&high) {
                let allowed = format!("within 21-108 for the {field}");
                return Err(Error::range("range", allowed, format!("{low}-{high}")));
            }
            if !(1..=most).contains(&rules.polyphony) {
                let allowed = format!("in 1..={most} for the {field}");
                return Err(Error::range("polyphony", allowed, rules.polyphony));
            }
            if !(1..=notes).contains(&rules.notes_per_bar) {
                let allowed = format!("in 1..={notes} for the {field}");
                return Err(Error::range("notes_per_bar", allowed, rules.notes_per_bar));
            }
        }
        if !(10.0..=400.0).contains(&self.tempo) {
            return Err(Error::range("tempo", "in 10..=400", self.tempo));
        }
        if let Some(density) = self.density.filter(|density| !(0.0..=1.0).contains(density)) {
            return Err(Error::range("density", "in [0, 1]", density));
        }
        if let Some(register) = self.register.filter(|register| !(21.0..=108.0).contains(register)) {
            return Err(Error::range("register", "in [21, 108]", register));
        }
        if !(1..=64).contains(&self.variations) {
            return Err(Error::range("variations", "in 1..=64", self.variations));
        }
        self.sampling.check().map_err(|error| match error {
            partita_nn::Error::Sampling { field, allowed, got } => {
                Error::range(field, format!("in {allowed}"), got)
            }
            other => Error::Model { name: "arrange".into(), message: other.to_string() },
        })
    }

    /// Bars of a piece, at most.
    pub const MOST_BARS: u32 = 1024;
    /// So that a bar of all parts always fits the context: position and pitch, and a rest after it, are 4 tokens.
    pub const MOST_BASS_NOTES: u32 = 48;
    /// Position, pitch and duration are 3 tokens.
    pub const MOST_PIANO_NOTES: u32 = 96;

    /// Whether the request makes a part anew in a bar.
    pub(super) fn makes(&self, part: Part, bar: u32) -> bool {
        let made = match part {
            Part::Melody => false,
            Part::Bass => self.bass != Make::Keep,
            Part::Piano => self.piano != Make::Keep,
        };
        made && self.bars.contains(&bar)
    }
}
