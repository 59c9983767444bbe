//! How good a writer of lead sheets is on songs it never saw, beside n-grams, and how much it copies.

use std::collections::HashSet;

use partita_models::melody::{Error, Request, Writer};
use partita_models::stage::{Compute, Player};
use partita_score::demands::{Demands, RhythmGrid};
use partita_tokens::song::{Part, Piece, VOCAB};
use serde::Serialize;

use super::collection::Songs;
use super::examples::covering;
use super::source::notes;
use crate::evaluate::{NGRAM_ORDER, Ngram};
use crate::groove::Split;

/// Likelihood of one split of one collection, in nats a note: all tokens count, bars, places, rests and chords too.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Likelihood {
    /// Place of the collection among those given.
    pub collection: usize,
    pub split: &'static str,
    pub notes: usize,
    pub model: f64,
    /// Token frequencies alone, learned on the training splits.
    pub unigram: f64,
    /// Interpolated n-grams up to [`NGRAM_ORDER`] tokens (Witten-Bell).
    pub ngram: f64,
}

/// Nats a note of `split`, of each collection.
///
/// # Errors
/// What the model says.
pub fn likelihood(
    songs: &Songs,
    writer: &Writer,
    compute: &Compute,
    split: Split,
) -> Result<Vec<Likelihood>, Error> {
    let context = writer.config.context;
    let collections = 0..songs.collections.len();
    let train: Vec<_> =
        collections.clone().flat_map(|at| covering(songs, at, Split::Train, context)).collect();
    let baseline = Ngram::learn(&train, NGRAM_ORDER, VOCAB);
    let one = |collection: usize| {
        let examples = covering(songs, collection, split, context);
        let count: usize = examples.iter().map(notes).sum();
        let per_note = |nats: f64| nats / count.max(1) as f64;
        let mut model = 0.0;
        for example in &examples {
            let nats = writer.nats(compute, &example.inputs, &example.targets)?;
            model += nats
                .iter()
                .zip(&example.weights)
                .map(|(nats, weight)| nats * f64::from(*weight))
                .sum::<f64>();
        }
        Ok(Likelihood {
            collection,
            split: split.name(),
            notes: count,
            model: per_note(model),
            unigram: per_note(examples.iter().map(|example| baseline.nats(example, 1, false)).sum()),
            ngram: per_note(examples.iter().map(|example| baseline.nats(example, NGRAM_ORDER, false)).sum()),
        })
    };
    collections.map(one).collect()
}

/// Notes in a row that count as a quotation: intervals and distances in time, whatever the key.
const QUOTED: usize = 12;

/// How much of what is written stands in the training songs, note for note in any key, beside real songs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Copies {
    /// Lead sheets written, of 16 bars each.
    pub pieces: usize,
    /// Share of their stretches of 12 notes that a training song has too.
    pub written: f64,
    /// The same share of the held-out songs: how much songs have in common anyway.
    pub test: f64,
    /// The longest stretch that was copied, in notes.
    pub longest: usize,
}

/// Writes `pieces` lead sheets in several metres and keys and looks for them in the training songs.
///
/// # Errors
/// What the model says.
pub fn copies(songs: &Songs, writer: &Writer, compute: &Compute, pieces: usize) -> Result<Copies, Error> {
    let known: HashSet<Vec<i32>> =
        songs.split(Split::Train).flat_map(|song| stretches(&song.piece, QUOTED)).collect();
    let share = |all: &[Vec<i32>]| {
        let found = all.iter().filter(|stretch| known.contains(*stretch)).count();
        found as f64 / all.len().max(1) as f64
    };
    let test: Vec<_> = songs.split(Split::Test).flat_map(|song| stretches(&song.piece, QUOTED)).collect();
    let written = write(writer, compute, pieces)?;
    let own: Vec<_> = written.iter().flat_map(|piece| stretches(piece, QUOTED)).collect();
    let mut longest = 0;
    // Longer and longer, as long as something is found.
    for length in QUOTED.. {
        let known: HashSet<Vec<i32>> =
            songs.split(Split::Train).flat_map(|song| stretches(&song.piece, length)).collect();
        if !written.iter().flat_map(|piece| stretches(piece, length)).any(|stretch| known.contains(&stretch))
        {
            break;
        }
        longest = length;
    }
    Ok(Copies { pieces, written: share(&own), test: share(&test), longest })
}

fn write(writer: &Writer, player: &dyn Player, pieces: usize) -> Result<Vec<Piece>, Error> {
    let meters = [(4, 4), (3, 4), (6, 8), (2, 4)];
    let mut written = Vec::new();
    for index in 0..pieces {
        let (above, below) = meters[index % meters.len()];
        let meter = partita_score::Meter::new(above, below).expect("these are metres");
        let demands = Demands { range: 55..=84, grid: RhythmGrid::Mixed, ..Demands::new(meter, 16, 110.0) };
        let request = Request::new(demands, index as u64);
        let leads = writer.write(player, &request, &mut |_| std::ops::ControlFlow::Continue(()))?;
        written.extend(leads.into_iter().map(|lead| lead.piece));
    }
    Ok(written)
}

/// Every stretch of `length` notes: intervals and distances between their onsets.
fn stretches(piece: &Piece, length: usize) -> Vec<Vec<i32>> {
    let melody = piece.part(Part::Melody);
    let step = |pair: &[partita_tokens::song::PieceNote]| {
        let interval = i32::from(pair[1].pitch) - i32::from(pair[0].pitch);
        [interval, (pair[1].onset - pair[0].onset) as i32]
    };
    melody.windows(length).map(|notes| notes.windows(2).flat_map(step).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_tokens::song::PieceNote;

    #[test]
    fn a_stretch_is_the_same_in_any_key_and_another_in_another_rhythm() {
        let piece = |by: u8, gap: u32| {
            let note =
                |i: u32| PieceNote { onset: i * gap, end: i * gap + 3, pitch: 60 + by + (i * i % 5) as u8 };
            Piece { bars: 4, parts: [(0..14).map(note).collect(), vec![], vec![]], ..Piece::default() }
        };
        assert_eq!(stretches(&piece(0, 6), 12), stretches(&piece(7, 6), 12));
        assert_ne!(stretches(&piece(0, 6), 12), stretches(&piece(0, 12), 12));
        assert_eq!(stretches(&piece(0, 6), 12).len(), 3);
    }
}
