//! Music theory as data: note names, keys, scales and chords.
//!
//! Names are places on the line of fifths ... Bb F C G D A E B F# ... (C = 0, a fifth up = +1), where transposing is
//! adding and a key is a run of seven neighbours; so C# and Db stay different names of one pitch.
//!
//! Rule to keep: what is read from text is strict and says where it failed ([`SyntaxError`]); what it became is total,
//! so that no function on a [`Key`] or a [`Chord`] can fail.

mod chord;
mod key;
mod name;
mod pitch_classes;
mod scale;
mod spelling;
mod symbol;
mod syntax;

pub use chord::{Chord, ChordKind, Degree, DegreeOp};
pub use key::{Key, Mode};
pub use name::{Letter, NoteName};
pub use pitch_classes::PitchClasses;
pub use scale::{Scale, ScaleKind};
pub use symbol::{NO_CHORD, parse_symbol, symbol};
pub use syntax::SyntaxError;
