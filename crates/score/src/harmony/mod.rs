//! Music theory as data: note names, keys, scales and chords.
//!
//! Names are places on the line of fifths ... Bb F C G D A E B F# ... (C = 0, a fifth up = +1), where transposing is
//! adding and a key is a run of seven neighbours; so C# and Db stay different names of one pitch.
//!
//! From text: keys and scales ([`Key`], [`Scale`]), chord symbols ([`parse_symbol`]), Harte's syntax ([`parse_harte`]),
//! Roman numerals ([`parse_roman`]), whole lines of chords ([`Progression`]). From nothing: [`progressions`]. From notes:
//! [`find_key`], [`recognize`]. To notes: [`Voicing`], [`chords_track`].
//!
//! Rule to keep: what is read from text is strict and says where it failed ([`SyntaxError`]); what it became is total,
//! so that no function on a [`Key`] or a [`Chord`] can fail.

mod chord;
mod find_key;
mod harte;
mod key;
mod name;
mod pitch_classes;
mod progression;
pub mod progressions;
mod recognize;
mod roman;
mod scale;
mod spelling;
mod symbol;
mod syntax;
mod voicing;

pub use chord::{Chord, ChordKind, Degree, DegreeOp};
pub use find_key::{FoundKey, find_key, find_key_of};
pub use harte::parse_harte;
pub use key::{Key, Mode};
pub use name::{Letter, NoteName};
pub use pitch_classes::PitchClasses;
pub use progression::{MOST_SPANS, Progression, Span};
pub use recognize::{Pulse, Unit, pulses, recognize, recognize_notes};
pub use roman::{parse_roman, roman};
pub use scale::{Scale, ScaleKind};
pub use symbol::{NO_CHORD, parse_symbol, symbol};
pub use syntax::SyntaxError;
pub use voicing::{CHORDS_TRACK, Voicing, chords_track, voice};
