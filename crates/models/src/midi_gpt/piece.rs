//! What came of a request.

use partita_score::{Note, Score, Tick, Track};
use partita_tokens::miditok::DecodedScore;

/// A finished piece.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// All of it, as the tokens say it: what was given lies on the tokenizer's grid, in its velocities.
    pub score: Score,
    /// The new notes alone, in the time of `score`.
    pub new: Score,
    /// Tokens that were given, with the start token.
    pub prompt: Vec<u32>,
    /// New tokens, the end left out.
    pub ids: Vec<u32>,
    /// Which of the variations this is; also the stream of the seed.
    pub variation: usize,
    /// Bars of `score`; 0 in formats without bars.
    pub bars: u32,
    /// Whether the piece was brought to its end for its length.
    pub is_cut: bool,
    /// Negative log-likelihood of the new tokens under the unconstrained model, in nats.
    pub nats: f64,
    /// What the masks took away: minus the logarithm of the probability that they left, in nats.
    pub cost: f64,
}

impl Piece {
    /// The given file with the new notes after it: its own notes, tempi, and all else stay as they are. New notes go to
    /// the tracks that play their program.
    pub fn after(&self, given: &Score) -> Score {
        let mut score = given.clone();
        let (from, to) = (u64::from(self.new.ppq.get()), u64::from(given.ppq.get()));
        let tick =
            |tick: Tick| Tick(u32::try_from((u64::from(tick.0) * to + from / 2) / from).unwrap_or(u32::MAX));
        for track in &self.new.tracks {
            let moved = |note: &Note| Note { onset: tick(note.onset), end: tick(note.end), ..*note };
            let notes = track.notes.iter().map(moved);
            let same = |other: &&mut Track| {
                other.is_drums() == track.is_drums() && (track.is_drums() || other.program == track.program)
            };
            match score.tracks.iter_mut().find(|other| !other.notes.is_empty() && same(other)) {
                Some(other) => {
                    other.notes.extend(notes);
                    other.notes.sort_by_key(|note| note.onset);
                }
                None => score.tracks.push(Track { notes: notes.collect(), ..track.clone() }),
            }
        }
        score
    }
}

/// `whole` without the notes of `given`, from whose tokens it goes on. Tracks and their notes come in the order of their
/// tokens, so that what was given lies in front.
pub(super) fn without(whole: &DecodedScore, given: &DecodedScore) -> DecodedScore {
    let mut new = whole.clone();
    for (track, given) in new.tracks.iter_mut().zip(&given.tracks) {
        track.notes.drain(..given.notes.len().min(track.notes.len()));
    }
    new.tracks.retain(|track| !track.notes.is_empty());
    new
}
