//! Parts played by rule: patterns of popular music, no model.
//!
//! A rule is a pattern of places in the bar and what is played there of the chord; a seed decides where it has a choice.
//! What a request's rules for a part leave out (range, tones, grid, polyphony, notes a bar) is not played. In metres a
//! pattern is not made for, it falls back to a plainer one, which its documentation names.

mod bass;
mod comp;
mod meter;

use partita_nn::Rng;
use partita_score::harmony::Chord;
use partita_tokens::song::{PartRules, Piece};

pub(super) use bass::play as play_bass;
pub(super) use comp::play as play_comp;

/// How a bass is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BassRule {
    /// The root at every chord and every strong beat, held.
    Roots,
    /// Root and fifth in turn on the strong beats, or beat for beat in bars with one strong beat.
    RootsAndFifths,
    /// The root on every eighth.
    Eighths,
    /// The root on the beat, its octave between the beats.
    Octaves,
    /// A note a beat: the root, chord tones, and a step into the next root.
    Walking,
    /// Root, fifth and octave on 3+3+2 eighths; in bars that are not of eight eighths, [`BassRule::RootsAndFifths`].
    Tresillo,
    /// Root on the beat, octave and fifth on sixteenths before and after it; in bars not of 4/4, [`BassRule::Octaves`].
    Syncopated,
}

/// How chords are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompRule {
    /// Held until the next chord or bar.
    Held,
    /// On every beat.
    Beats,
    /// Short, half a beat after every beat.
    OffBeats,
    /// Broken, a tone an eighth, up and down.
    Arpeggio,
    /// The off-beats of a bossa over two bars; in bars not of 4/4, [`CompRule::Beats`].
    Bossa,
    /// On one and before three, or other places a swing pianist plays; in bars not of 4/4, [`CompRule::OffBeats`].
    Charleston,
    /// Short, on sixteenths between the beats; in bars not of 4/4, [`CompRule::OffBeats`].
    Stabs,
}

/// Ways to play a part, each with a name.
pub trait Manner: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];

    fn name(self) -> &'static str;

    /// The one called so.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }

    /// All names, for people.
    fn names() -> String {
        Self::ALL.iter().map(|rule| rule.name()).collect::<Vec<_>>().join(", ")
    }
}

/// A rule that made a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    Bass(BassRule),
    Comp(CompRule),
}

impl Manner for BassRule {
    const ALL: &'static [BassRule] = &[
        BassRule::Roots,
        BassRule::RootsAndFifths,
        BassRule::Eighths,
        BassRule::Octaves,
        BassRule::Walking,
        BassRule::Tresillo,
        BassRule::Syncopated,
    ];

    fn name(self) -> &'static str {
        match self {
            BassRule::Roots => "roots",
            BassRule::RootsAndFifths => "roots-and-fifths",
            BassRule::Eighths => "eighths",
            BassRule::Octaves => "octaves",
            BassRule::Walking => "walking",
            BassRule::Tresillo => "tresillo",
            BassRule::Syncopated => "syncopated",
        }
    }
}

impl Manner for CompRule {
    const ALL: &'static [CompRule] = &[
        CompRule::Held,
        CompRule::Beats,
        CompRule::OffBeats,
        CompRule::Arpeggio,
        CompRule::Bossa,
        CompRule::Charleston,
        CompRule::Stabs,
    ];

    fn name(self) -> &'static str {
        match self {
            CompRule::Held => "held",
            CompRule::Beats => "beats",
            CompRule::OffBeats => "off-beats",
            CompRule::Arpeggio => "arpeggio",
            CompRule::Bossa => "bossa",
            CompRule::Charleston => "charleston",
            CompRule::Stabs => "stabs",
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Rule::Bass(rule) => write!(out, "rule {}", rule.name()),
            Rule::Comp(rule) => write!(out, "rule {}", rule.name()),
        }
    }
}

/// What a rule plays from.
pub(super) struct Sheet<'a> {
    /// For the metre, the bars and the chords as the rules of a part see them.
    pub piece: &'a Piece,
    /// Cells and chords, rising.
    pub symbols: &'a [(u32, Option<Chord>)],
    pub rules: &'a PartRules,
    /// Bars to play.
    pub bars: std::ops::Range<u32>,
}

impl Sheet<'_> {
    /// Index of the chord in force at a cell.
    fn index_at(&self, cell: u32) -> Option<usize> {
        self.symbols.partition_point(|(at, _)| *at <= cell).checked_sub(1)
    }

    fn chord_at(&self, cell: u32) -> Option<&Chord> {
        self.symbols[self.index_at(cell)?].1.as_ref()
    }

    /// Where chords begin in `start..end`, silence left out.
    fn changes(&self, start: u32, end: u32) -> impl Iterator<Item = u32> {
        let inside =
            self.symbols.iter().filter(move |(at, chord)| (start..end).contains(at) && chord.is_some());
        inside.map(|(at, _)| *at)
    }

    /// Where the next silence of the harmony begins after a cell, or the piece ends.
    fn silence(&self, cell: u32) -> u32 {
        let end = self.piece.bars * self.piece.cells_per_bar();
        let none = self.symbols.iter().find(|(at, chord)| *at > cell && chord.is_none());
        none.map_or(end, |(at, _)| *at)
    }

    /// Where the chord in force at a cell ends: the next one, or the piece.
    fn chord_end(&self, cell: u32) -> u32 {
        let after = self.symbols.partition_point(|(at, _)| *at <= cell);
        let end = self.piece.bars * self.piece.cells_per_bar();
        self.symbols.get(after).map_or(end, |(at, _)| *at)
    }
}

/// An index below `count`.
fn choose(rng: &mut Rng, count: usize) -> usize {
    rng.below(count as u64) as usize
}
