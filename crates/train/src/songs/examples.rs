//! Training sequences from songs: windows of bars, several tasks, every key.

use partita_nn::Rng;
use partita_tokens::song::{
    CELLS, Excerpt, Hidden, PITCHES, Part, Piece, Prompt, Token, encode_bars, encode_filling, encode_prompt,
};

use super::collection::{Song, Songs};
use crate::gpt::Example;
use crate::groove::Split;

/// Lowest and highest pitch of a melody after transposing: what voices and horns play.
const MELODY: std::ops::RangeInclusive<i32> = 41..=88;

/// Windows drawn until one has a melody in most of its bars.
const DRAWS: usize = 4;

/// Draws training sequences of lead sheets.
pub struct Sampler<'a> {
    /// One list a collection, and how likely it is drawn from.
    collections: Vec<(Vec<&'a Song>, f64)>,
    context: usize,
}

/// A song cut to a window, moved to a key.
struct Window {
    piece: Piece,
    key: (u8, bool),
    tempo: Option<f64>,
    style: Option<u32>,
    has_chords: bool,
    opening: bool,
    /// Bars of the whole, counted from the window's start.
    total: u32,
    /// Whether the piece ends with the window.
    closing: bool,
}

impl<'a> Sampler<'a> {
    /// Draws from the training split; sequences fit `context` tokens. Each collection is drawn from by the square root
    /// of its bars, so that a small one is heard.
    pub fn new(songs: &'a Songs, context: usize) -> Sampler<'a> {
        let train = |collection: &'a Vec<Song>| -> (Vec<&'a Song>, f64) {
            let songs: Vec<&Song> = collection.iter().filter(|song| song.split == Split::Train).collect();
            let bars: u32 = songs.iter().map(|song| song.piece.bars).sum();
            (songs, f64::from(bars).sqrt())
        };
        let collections =
            songs.collections.iter().map(train).filter(|(songs, _)| !songs.is_empty()).collect();
        Sampler { collections, context }
    }

    /// The next sequence of `rng`'s stream.
    pub fn draw(&self, rng: &mut Rng) -> Example {
        let mut window = window(self.song(rng), rng);
        // Voices rest while the piano plays on; a few windows may be silent, most should not.
        for _ in 0..DRAWS {
            if sings(&window.piece) {
                break;
            }
            window = self::window(self.song(rng), rng);
        }
        transpose(&mut window, rng);
        loop {
            let example = encode(&window, rng);
            if example.length() <= self.context {
                return example;
            }
            if window.piece.bars == 1 {
                return example.cut(self.context);
            }
            let bars = window.piece.bars / 2;
            window.piece = window.piece.window(0, bars);
            window.closing = false;
        }
    }

    fn song(&self, rng: &mut Rng) -> &'a Song {
        let total: f64 = self.collections.iter().map(|(_, weight)| weight).sum();
        let mut left = rng.f64() * total;
        let mut chosen = &self.collections[0].0;
        for (songs, weight) in &self.collections {
            chosen = songs;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        // Long songs have more windows.
        let bars: u32 = chosen.iter().map(|song| song.piece.bars.min(128)).sum();
        let mut left = (rng.f64() * f64::from(bars)) as u32;
        for song in chosen {
            let own = song.piece.bars.min(128);
            if left < own {
                return song;
            }
            left -= own;
        }
        chosen[chosen.len() - 1]
    }
}

fn window(song: &Song, rng: &mut Rng) -> Window {
    let whole = song.piece.bars;
    let bars = match rng.f64() {
        u if u < 0.10 => 4,
        u if u < 0.30 => 8,
        u if u < 0.65 => 16,
        _ => 32,
    }
    .min(whole);
    let first = match rng.f64() {
        u if u < 0.3 => 0,
        u if u < 0.6 => whole - bars,
        _ => (rng.f64() * f64::from(whole - bars + 1)) as u32,
    };
    let piece = song.piece.window(first, bars);
    let at_end = first + bars == whole && song.closing;
    // A window that ends like a phrase stands for a short piece, so that short pieces end too.
    let phrase = !at_end && ends_like_a_phrase(&piece) && rng.f64() < 0.5;
    Window {
        key: song.key,
        tempo: song.tempo,
        style: song.style,
        has_chords: song.has_chords,
        opening: first == 0 && song.opening,
        total: if phrase || at_end { bars } else { (whole - first).max(bars + 1) },
        closing: phrase || at_end,
        piece,
    }
}

/// Two bars in three have a note of the melody.
fn sings(piece: &Piece) -> bool {
    let length = piece.cells_per_bar();
    let mut bars: Vec<u32> = piece.part(Part::Melody).iter().map(|note| note.onset / length).collect();
    bars.dedup();
    3 * bars.len() as u32 >= 2 * piece.bars
}

/// The last bar has one note or two, the last of them long or followed by a rest.
fn ends_like_a_phrase(piece: &Piece) -> bool {
    let length = piece.cells_per_bar();
    let last_bar = (piece.bars - 1) * length;
    let last: Vec<_> = piece.part(Part::Melody).iter().filter(|note| note.onset >= last_bar).collect();
    let Some(note) = last.last() else { return false };
    last.len() <= 2 && (piece.bars * length - note.onset) * 2 >= length
}

/// To any key, within what melodies play.
fn transpose(window: &mut Window, rng: &mut Rng) {
    let pitches = || window.piece.part(Part::Melody).iter().map(|note| i32::from(note.pitch));
    let (low, high) = (pitches().min().unwrap_or(60), pitches().max().unwrap_or(60));
    let fits = |by: &i32| MELODY.contains(&(low + by)) && MELODY.contains(&(high + by));
    let allowed: Vec<i32> = (-6..=6).filter(fits).collect();
    if allowed.is_empty() {
        return;
    }
    let by = allowed[(rng.f64() * allowed.len() as f64) as usize];
    window.key.0 = (i32::from(window.key.0) + by).rem_euclid(12) as u8;
    transpose_piece(&mut window.piece, by);
}

/// Notes that leave the keyboard are dropped.
pub(super) fn transpose_piece(piece: &mut Piece, by: i32) {
    for chord in &mut piece.chords {
        chord.1 = chord.1.transposed(by);
    }
    for notes in &mut piece.parts {
        notes.retain(|note| PITCHES.contains(&((i32::from(note.pitch) + by).clamp(0, 127) as u8)));
        notes.iter_mut().for_each(|note| note.pitch = (i32::from(note.pitch) + by) as u8);
    }
}

fn prompt(window: &Window, fill: bool) -> Prompt {
    let notes = window.piece.part(Part::Melody);
    let quarters = f64::from(window.piece.bars * window.piece.cells_per_bar()) / f64::from(CELLS);
    let mean = notes.iter().map(|note| f64::from(note.pitch)).sum::<f64>() / notes.len() as f64;
    Prompt {
        fill,
        key: Some(window.key),
        meter: Some(window.piece.meter),
        tempo: window.tempo,
        style: window.style,
        density: (!notes.is_empty()).then_some(notes.len() as f64 / quarters),
        register: (!notes.is_empty()).then_some(mean),
        opening: window.opening,
        no_chords: !window.has_chords,
    }
}

/// Each thing is told three times in four, the metre always.
fn told(prompt: &Prompt, rng: &mut Rng) -> Prompt {
    let mut keep = || rng.f64() < 0.75;
    Prompt {
        key: prompt.key.filter(|_| keep()),
        tempo: prompt.tempo.filter(|_| keep()),
        style: prompt.style.filter(|_| keep()),
        density: prompt.density.filter(|_| keep()),
        register: prompt.register.filter(|_| keep()),
        ..prompt.clone()
    }
}

fn excerpt(window: &Window) -> Excerpt {
    let chords = window.has_chords;
    Excerpt { bars: 0..window.piece.bars, total: window.total, chords, parts: vec![Part::Melody] }
}

fn encode(window: &Window, rng: &mut Rng) -> Example {
    let excerpt = excerpt(window);
    let hidden = if rng.f64() < 0.3 { holes(window, rng) } else { Vec::new() };
    let mut ids = encode_prompt(&told(&prompt(window, !hidden.is_empty()), rng));
    if hidden.is_empty() {
        let start = ids.len();
        ids.extend(encode_bars(&window.piece, &excerpt, &[]));
        if window.closing {
            ids.push(Token::End.id());
        }
        return asked_from(&ids, start);
    }
    ids.extend(encode_bars(&window.piece, &excerpt, &hidden));
    ids.push(Token::Perform.id());
    let start = ids.len();
    ids.extend(encode_filling(&window.piece, &excerpt, &hidden));
    ids.push(Token::End.id());
    asked_from(&ids, start)
}

/// What a request may leave open: all chords, all of the melody, or some bars of either or both.
fn holes(window: &Window, rng: &mut Rng) -> Vec<Hidden> {
    let bars = window.piece.bars;
    let (chords, melody) = match rng.f64() {
        u if u < 0.45 && window.has_chords => (true, false),
        u if u < 0.75 => (false, true),
        _ => (window.has_chords, true),
    };
    let all = (chords != melody) && rng.f64() < 0.5;
    let first = if all { 0 } else { (rng.f64() * f64::from(bars)) as u32 };
    let length = if all { bars } else { 1 + (rng.f64() * f64::from(bars - first).min(8.0)) as u32 };
    let open = Hidden { chords, parts: [melody, false, false] };
    let inside = |bar: &u32| (first..first + length).contains(bar);
    (0..bars).map(|bar| if inside(&bar) { open } else { Hidden::default() }).collect()
}

fn asked_from(ids: &[u32], start: usize) -> Example {
    let weights = (1..ids.len()).map(|i| if i >= start { 1.0 } else { 0.0 }).collect();
    Example::next_tokens(ids, weights, 0)
}

/// Sequences that cover every bar of a split once: windows of up to 32 bars that fit the context, in their own keys,
/// told everything but the register and the density, which come from the notes themselves.
pub fn covering(songs: &Songs, collection: usize, split: Split, context: usize) -> Vec<Example> {
    let mut examples = Vec::new();
    for song in songs.collections[collection].iter().filter(|song| song.split == split) {
        let mut first = 0;
        while first < song.piece.bars {
            let mut bars = (song.piece.bars - first).min(32);
            loop {
                let example = plain(song, first, bars);
                if example.length() <= context || bars == 1 {
                    examples.push(example.cut(context));
                    break;
                }
                bars -= 1;
            }
            first += bars;
        }
    }
    examples
}

fn plain(song: &Song, first: u32, bars: u32) -> Example {
    let closing = song.closing && first + bars == song.piece.bars;
    let window = Window {
        piece: song.piece.window(first, bars),
        key: song.key,
        tempo: song.tempo,
        style: song.style,
        has_chords: song.has_chords,
        opening: first == 0 && song.opening,
        total: song.piece.bars - first + u32::from(!song.closing),
        closing,
    };
    let prompt = Prompt { density: None, register: None, ..prompt(&window, false) };
    let mut ids = encode_prompt(&prompt);
    let start = ids.len();
    ids.extend(encode_bars(&window.piece, &excerpt(&window), &[]));
    if closing {
        ids.push(Token::End.id());
    }
    asked_from(&ids, start)
}
