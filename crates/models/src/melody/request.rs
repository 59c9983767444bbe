//! What a writer is asked for.

use partita_nn::Sampling;
use partita_score::demands::Demands;
use partita_score::harmony::{Key, PitchClasses};
use partita_tokens::song::{Hidden, Piece};

/// Where chords come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Harmony {
    /// The model writes them.
    #[default]
    Written,
    /// They are those of the demands.
    Given,
    /// There are none.
    None,
}

/// A lead sheet, new or in part new.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the melody must obey, metre, bars and tempo among it. Kept notes and open stretches are set by
    /// [`Request::given`], not here.
    pub demands: Demands,
    /// Told to the model, and how notes are named; that nothing outside its scale sounds is a demand.
    pub key: Option<Key>,
    /// One of the model's styles; `None` for any.
    pub style: Option<String>,
    /// `[0, 1]`, from few notes to many; `None` leaves it to the model.
    pub density: Option<f64>,
    pub harmony: Harmony,
    /// Written chords have no other tones; `None` for any.
    pub chord_tones: Option<PitchClasses>,
    /// Chords that may begin in a bar, `1..=8`.
    pub chords_per_bar: u32,
    pub given: Given,
    pub sampling: Sampling,
    pub seed: u64,
    /// How many, `1..=64`; variation `i` draws from stream `i` of the seed.
    pub variations: usize,
}

/// What is there already.
#[derive(Clone, Debug, Default)]
pub enum Given {
    /// Nothing.
    #[default]
    Nothing,
    /// The first bars; the demands' bars count them too.
    Before(Piece),
    /// A piece as long as the demands say, in which something is to be written anew.
    Around {
        piece: Piece,
        /// What to write anew, one a bar.
        open: Vec<Hidden>,
        /// Pitches to write anew; notes of the melody outside stay.
        pitches: std::ops::RangeInclusive<u8>,
    },
}

impl Request {
    /// A new lead sheet under these demands, everything else left to the model.
    pub fn new(demands: Demands, seed: u64) -> Request {
        Request {
            harmony: if demands.chords.is_empty() { Harmony::Written } else { Harmony::Given },
            demands,
            key: None,
            style: None,
            density: None,
            chord_tones: None,
            chords_per_bar: 4,
            given: Given::Nothing,
            sampling: Sampling { temperature: 0.95, top_p: 0.95, ..Sampling::default() },
            seed,
            variations: 1,
        }
    }
}
