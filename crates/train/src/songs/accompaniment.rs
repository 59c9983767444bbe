//! Training sequences of accompaniments: windows of songs with piano, every key.
//!
//! ```text
//! Write Key Meter Tempo Density Register | Bar  chords  Melody ...  Bass ...  Piano ... | Bar ...
//! weight 0 .............................................  1 ......  1 ............. 1     0
//! ```
//! Density and register are those of the piano. A part counts from its first token to the one that ends it. Where a
//! bass is told, the piano has what is above it; else it has all notes.

use partita_nn::Rng;
use partita_tokens::song::{
    CELLS, Excerpt, PITCHES, Part, Piece, PieceNote, Prompt, Token, encode_bars, encode_prompt,
};

use super::collection::{Song, Songs};
use super::examples::transpose_piece;
use crate::gpt::Example;
use crate::groove::Split;

/// Highest pitch of a bass, below middle C.
const HIGHEST_BASS: u8 = 59;
/// Bars of a window, at most: with as many, a context of 1024 is often full, so that all of its places are learned.
const BARS: u32 = 24;
/// Windows drawn until one has a piano in most of its bars.
const DRAWS: usize = 4;

/// A song whose bass is told apart.
struct Scored<'a> {
    song: &'a Song,
    /// With a bass, and the piano whole.
    piece: Piece,
}

/// Draws training sequences of accompaniments.
pub struct BandSampler<'a> {
    songs: Vec<Scored<'a>>,
    /// Bars of the songs before and with each.
    bars: Vec<u32>,
    context: usize,
}

/// What a sequence tells.
struct Told {
    chords: bool,
    parts: Vec<Part>,
}

impl<'a> BandSampler<'a> {
    /// Draws from the training songs that have a piano; sequences fit `context` tokens.
    pub fn new(songs: &'a Songs, context: usize) -> BandSampler<'a> {
        let songs: Vec<Scored> = scored(songs, Split::Train).collect();
        let mut total = 0;
        let mut add = |scored: &Scored| {
            total += scored.piece.bars;
            total
        };
        let bars = songs.iter().map(&mut add).collect();
        BandSampler { songs, bars, context }
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.songs.is_empty()
    }

    /// The next sequence of `rng`'s stream.
    ///
    /// # Panics
    /// If [`BandSampler::is_empty`].
    pub fn draw(&self, rng: &mut Rng) -> Example {
        let (mut song, mut first, mut piece) = self.window(rng);
        for _ in 0..DRAWS {
            if plays(&piece) {
                break;
            }
            (song, first, piece) = self.window(rng);
        }
        let told = told(song.has_chords, rng);
        let by = transposition(&piece, rng);
        transpose_piece(&mut piece, by);
        let key = ((i32::from(song.key.0) + by).rem_euclid(12) as u8, song.key.1);
        let mut keep = || rng.f64() < 0.75;
        let prompt = Prompt {
            key: Some(key).filter(|_| keep()),
            tempo: song.tempo.filter(|_| keep()),
            opening: first == 0 && song.opening,
            ..Prompt::default()
        };
        let (density, register) = (keep(), keep());
        loop {
            let closing = song.closing && first + piece.bars == song.piece.bars;
            let measured = measured(&piece);
            let prompt = Prompt {
                density: measured.map(|(onsets, _)| onsets).filter(|_| density),
                register: measured.map(|(_, mean)| mean).filter(|_| register),
                ..prompt.clone()
            };
            let total = if closing { piece.bars } else { (song.piece.bars - first).max(piece.bars + 1) };
            let example = encode(&piece, &prompt, total, &told);
            if example.length() <= self.context || piece.bars == 1 {
                return example.cut(self.context);
            }
            piece = piece.window(0, piece.bars - 1);
        }
    }

    fn window(&self, rng: &mut Rng) -> (&'a Song, u32, Piece) {
        let total = *self.bars.last().expect("there are songs");
        let at = rng.below(u64::from(total)) as u32;
        let scored = &self.songs[self.bars.partition_point(|sum| *sum <= at)];
        let whole = scored.piece.bars;
        let (fewest, most) = if rng.f64() < 0.3 { (4, 8) } else { (8, BARS) };
        let bars = (fewest + rng.below(u64::from(most - fewest + 1)) as u32).min(whole);
        let first = match rng.f64() {
            u if u < 0.2 => 0,
            u if u < 0.35 => whole - bars,
            _ => rng.below(u64::from(whole - bars + 1)) as u32,
        };
        (scored.song, first, scored.piece.window(first, bars))
    }
}

/// Sequences that cover every bar of a split once, in their own keys: windows of bars that fit the context, with
/// chords, melody, bass and piano; told everything but the density and the register, which come from the notes
/// themselves.
pub fn covering(songs: &Songs, split: Split, context: usize) -> Vec<Example> {
    let mut examples = Vec::new();
    for Scored { song, piece } in scored(songs, split) {
        let told = Told { chords: song.has_chords, parts: Part::ALL.to_vec() };
        let mut first = 0;
        while first < piece.bars {
            let mut bars = (piece.bars - first).min(BARS);
            let example = loop {
                let prompt = Prompt {
                    key: Some(song.key),
                    tempo: song.tempo,
                    opening: first == 0 && song.opening,
                    ..Prompt::default()
                };
                let total = piece.bars - first + u32::from(!song.closing);
                let example = encode(&piece.window(first, bars), &prompt, total, &told);
                if example.length() <= context || bars == 1 {
                    break example.cut(context);
                }
                bars -= 1;
            };
            examples.push(example);
            first += bars;
        }
    }
    examples
}

fn scored(songs: &Songs, split: Split) -> impl Iterator<Item = Scored<'_>> {
    let with_piano = songs.split(split).filter(|song| !song.piece.part(Part::Piano).is_empty());
    with_piano.map(|song| {
        let mut piece = song.piece.clone();
        piece.parts[Part::Bass.index()] = bass_line(piece.part(Part::Piano));
        Scored { song, piece }
    })
}

/// The bass of a piano's notes: those that are the lowest of what begins and sounds with them, lie below middle C, and
/// have nothing more than a major third lower within less than a quarter note, or more than a fifth lower within a
/// quarter note. So the chords over a bass note and the upper notes of a broken chord are no bass, the steps of a
/// moving one are. Each lasts until its end or the next one.
pub fn bass_line(piano: &[PieceNote]) -> Vec<PieceNote> {
    let mut line: Vec<PieceNote> = Vec::new();
    // Nothing here reaches further than the longest note, and that is seldom more than some bars.
    let longest = piano.iter().map(|note| note.end - note.onset).max().unwrap_or(0);
    for (index, note) in piano.iter().enumerate() {
        let earlier =
            piano[..index].iter().rev().take_while(|it| it.onset + longest.max(CELLS) >= note.onset);
        let later = piano[index + 1..].iter().take_while(|it| it.onset <= note.onset + CELLS);
        let lower = earlier.chain(later).filter(|it| it.pitch < note.pitch).any(|it| {
            let apart = it.onset.abs_diff(note.onset);
            let sounds = it.onset <= note.onset && it.end > note.onset;
            let below = note.pitch - it.pitch;
            sounds || (below > 4 && apart < CELLS) || (below > 7 && apart <= CELLS)
        });
        if lower || note.pitch > HIGHEST_BASS {
            continue;
        }
        match line.last_mut() {
            Some(last) if last.onset == note.onset => last.end = last.end.max(note.end),
            Some(last) => {
                last.end = last.end.min(note.onset);
                line.push(*note);
            }
            None => line.push(*note),
        }
    }
    line
}

/// The piano without the notes a bass plays, by pitch, each pitch once a cell.
fn above_the_bass(piece: &Piece, bass: bool) -> Vec<PieceNote> {
    let played = |note: &PieceNote| {
        let line = piece.part(Part::Bass);
        let at = line.binary_search_by_key(&note.onset, |it| it.onset);
        bass && at.is_ok_and(|at| line[at].pitch == note.pitch)
    };
    let mut notes: Vec<PieceNote> =
        piece.part(Part::Piano).iter().filter(|note| !played(note)).copied().collect();
    notes.sort_by_key(|note| (note.onset, note.pitch, std::cmp::Reverse(note.end)));
    notes.dedup_by_key(|note| (note.onset, note.pitch));
    notes
}

/// Two bars in three have a note of the piano.
fn plays(piece: &Piece) -> bool {
    let length = piece.cells_per_bar();
    let mut bars: Vec<u32> = piece.part(Part::Piano).iter().map(|note| note.onset / length).collect();
    bars.dedup();
    3 * bars.len() as u32 >= 2 * piece.bars
}

/// Onsets a quarter note and mean pitch of the piano.
fn measured(piece: &Piece) -> Option<(f64, f64)> {
    let notes = piece.part(Part::Piano);
    let mut onsets: Vec<u32> = notes.iter().map(|note| note.onset).collect();
    onsets.dedup();
    let quarters = f64::from(piece.bars * piece.cells_per_bar()) / f64::from(CELLS);
    let mean = notes.iter().map(|note| f64::from(note.pitch)).sum::<f64>() / notes.len() as f64;
    (!notes.is_empty()).then_some((onsets.len() as f64 / quarters, mean))
}

fn told(has_chords: bool, rng: &mut Rng) -> Told {
    let parts = match rng.f64() {
        u if u < 0.50 => vec![Part::Melody, Part::Bass, Part::Piano],
        u if u < 0.75 => vec![Part::Melody, Part::Piano],
        u if u < 0.85 => vec![Part::Melody, Part::Bass],
        u if u < 0.95 => vec![Part::Bass, Part::Piano],
        _ => vec![Part::Piano],
    };
    Told { chords: has_chords && rng.f64() < 0.9, parts }
}

/// Semitones to any key in which everything stays on the keyboard, the bass below middle C.
fn transposition(piece: &Piece, rng: &mut Rng) -> i32 {
    let pitches = || piece.parts.iter().flatten().map(|note| i32::from(note.pitch));
    let (low, high) = (pitches().min().unwrap_or(60), pitches().max().unwrap_or(60));
    let keyboard = i32::from(*PITCHES.start())..=i32::from(*PITCHES.end());
    let fits = |by: &i32| keyboard.contains(&(low + by)) && keyboard.contains(&(high + by));
    let allowed: Vec<i32> = (-5..=6).filter(fits).collect();
    if allowed.is_empty() { 0 } else { allowed[rng.below(allowed.len() as u64) as usize] }
}

fn encode(piece: &Piece, prompt: &Prompt, total: u32, told: &Told) -> Example {
    let mut piece = piece.clone();
    let has_bass = told.parts.contains(&Part::Bass);
    piece.parts[Part::Piano.index()] = above_the_bass(&piece, has_bass);
    let prompt = Prompt { meter: Some(piece.meter), no_chords: !told.chords, ..prompt.clone() };
    let mut ids = encode_prompt(&prompt);
    let excerpt = Excerpt { bars: 0..piece.bars, total, chords: told.chords, parts: told.parts.clone() };
    ids.extend(encode_bars(&piece, &excerpt, &[]));
    // The last part ends with the bar after it, or the piece; a window inside a piece says how many bars are to come.
    let next = if total > piece.bars { excerpt.bar_token(piece.bars) } else { Token::End };
    ids.push(next.id());
    let mut inside = false;
    let weights = ids.iter().map(|id| {
        let weight = if inside { 1.0 } else { 0.0 };
        match Token::from_id(*id) {
            Some(Token::Part(part)) => inside = part != Part::Melody,
            Some(Token::Bar(_)) => inside = false,
            _ => {}
        }
        weight
    });
    let weights = weights.skip(1).collect();
    Example::next_tokens(&ids, weights, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_score::Meter;
    use partita_tokens::song::Reader;

    fn note(onset: u32, end: u32, pitch: u8) -> PieceNote {
        PieceNote { onset, end, pitch }
    }

    fn bass(piano: &[PieceNote]) -> Vec<(u32, u8)> {
        bass_line(piano).iter().map(|note| (note.onset, note.pitch)).collect()
    }

    #[test]
    fn chords_after_a_bass_note_are_no_bass_and_steps_are() {
        let waltz = [note(0, 12, 36), note(12, 24, 52), note(12, 24, 55), note(24, 36, 52), note(36, 48, 43)];
        assert_eq!(bass(&waltz), [(0, 36), (36, 43)]);
        let broken = [note(0, 6, 48), note(6, 12, 55), note(12, 18, 52), note(18, 24, 55), note(24, 30, 47)];
        assert_eq!(bass(&broken), [(0, 48), (12, 52), (24, 47)]);
        let walking = [note(0, 12, 48), note(12, 24, 52), note(24, 36, 55), note(36, 48, 57)];
        assert_eq!(bass(&walking), [(0, 48), (12, 52), (24, 55), (36, 57)]);
        let held = [note(0, 48, 40), note(12, 24, 43), note(60, 72, 64)];
        assert_eq!(bass(&held), [(0, 40)]);
    }

    #[test]
    fn what_counts_is_bass_and_piano_up_to_the_token_that_ends_them() {
        let piece = Piece {
            meter: Meter::COMMON,
            bars: 2,
            chords: vec![],
            parts: [
                vec![note(0, 12, 72), note(48, 60, 74)],
                vec![note(0, 48, 40)],
                vec![note(0, 48, 40), note(0, 48, 64), note(12, 24, 60)],
            ],
        };
        let told = Told { chords: false, parts: Part::ALL.to_vec() };
        let example = encode(&piece, &Prompt::default(), 5, &told);
        let counted: Vec<Token> = (example.targets.iter().zip(&example.weights))
            .filter(|(_, weight)| **weight > 0.0)
            .map(|(id, _)| Token::from_id(*id).unwrap())
            .collect();
        let expected = [
            Token::Position(0),
            Token::Pitch(40),
            Token::Part(Part::Piano),
            Token::Position(0),
            Token::Pitch(64),
            Token::Duration(12),
            Token::Position(12),
            Token::Pitch(60),
            Token::Duration(6),
            Token::Bar(3),
            Token::Position(0),
            Token::Rest,
            Token::Part(Part::Piano),
            Token::Bar(2),
        ];
        assert_eq!(counted, expected);
        let mut reader = Reader::new(48, 0..2);
        example.targets.iter().for_each(|id| reader.read(*id));
        assert_eq!(reader.finish().parts[Part::Bass.index()], [note(0, 48, 40)]);
    }

    /// A song of many bars: chords, a melody, and a piano of a bass note and two chords a bar.
    fn song(split: Split) -> Song {
        let class = |index| partita_tokens::song::ChordClass::from_index(index).unwrap();
        let bars = 0..24u32;
        let piano = bars.clone().flat_map(|bar| {
            let (at, low) = (48 * bar, 36 + (bar % 5) as u8);
            let chord = [low + 28, low + 31, low + 36].map(|pitch| [(12, pitch), (36, pitch)]);
            let chord =
                chord.concat().into_iter().map(move |(from, pitch)| note(at + from, at + from + 12, pitch));
            std::iter::once(note(at, at + 12, low)).chain(chord)
        });
        let mut piano: Vec<PieceNote> = piano.collect();
        piano.sort();
        let melody = bars.clone().map(|bar| note(48 * bar, 48 * bar + 24, 70)).collect();
        Song {
            name: split.name().into(),
            split,
            piece: Piece {
                meter: Meter::COMMON,
                bars: 24,
                chords: bars.map(|bar| (48 * bar, class(1 + bar % 5))).collect(),
                parts: [melody, vec![], piano],
            },
            key: (0, false),
            tempo: Some(90.0),
            style: None,
            has_chords: true,
            opening: true,
            closing: true,
        }
    }

    #[test]
    fn every_sequence_fits_and_moves_all_it_tells_to_one_key() {
        let songs = [Split::Train, Split::Validation].map(song).to_vec();
        let songs = Songs { collections: vec![songs], split_hash: String::new() };
        let sampler = BandSampler::new(&songs, 256);
        let (mut rng, mut moved) = (Rng::new(1, 0), [0; 12]);
        for _ in 0..300 {
            let example = sampler.draw(&mut rng);
            assert!(example.length() <= 256 && example.weights.iter().any(|weight| *weight > 0.0));
            let mut reader = Reader::new(48, 0..24);
            example.inputs.iter().for_each(|id| reader.read(*id));
            let reader = reader.finish();
            let bass = &reader.parts[Part::Bass.index()];
            for note in bass {
                let before = reader.chords.partition_point(|(at, _)| *at <= note.onset);
                let root =
                    before.checked_sub(1).and_then(|at| reader.chords[at].1.parts()).map(|(root, _)| root);
                assert!(root.is_none_or(|root| root == note.pitch % 12), "{note:?} under {root:?}");
            }
            let piano = &reader.parts[Part::Piano.index()];
            let low = piano.iter().filter(|note| bass.iter().any(|it| it.onset == note.onset)).count();
            assert!(bass.is_empty() || low == 0, "the piano plays the bass");
            if let Some(melody) = reader.parts[0].first() {
                moved[usize::from(melody.pitch % 12)] += 1;
            }
        }
        assert!(moved.iter().all(|count| *count > 5), "{moved:?}");
        let notes: usize =
            covering(&songs, Split::Validation, 256).iter().map(super::super::source::notes).sum();
        assert_eq!(notes, 24 * 7);
    }
}
