//! What goes with the drums of a style: a table of ours, no model.

use crate::arrange::{BassRule, CompRule};
use crate::drums::Style;

/// How the others usually play to drums of a style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Style of the melody, as lead sheets are tagged.
    pub melody: &'static str,
    pub bass: BassRule,
    pub chords: CompRule,
    /// General MIDI programs.
    pub bass_program: u8,
    pub chords_program: u8,
}

/// Of a style, by the learned style underneath; of one that is not in the table, those of pop.
pub fn habits(style: &Style) -> Habits {
    use BassRule as B;
    use CompRule as C;
    // Basses: 32 acoustic, 33 fingered, 34 picked, 38 synthetic. Chords: 0 piano, 4 electric piano, 16 organ,
    // 24 nylon guitar, 25 steel guitar, 27 clean guitar.
    let (melody, bass, chords, bass_program, chords_program) = match style.base.as_str() {
        "afrobeat" => ("soul", B::Syncopated, C::Stabs, 33, 27),
        "afrocuban" => ("latin", B::Tresillo, C::Bossa, 32, 0),
        "blues" => ("blues", B::Walking, C::Charleston, 33, 0),
        "country" => ("folk", B::RootsAndFifths, C::OffBeats, 33, 25),
        "dance" => ("pop", B::Octaves, C::OffBeats, 38, 4),
        "funk" => ("soul", B::Syncopated, C::Stabs, 33, 27),
        "gospel" => ("soul", B::RootsAndFifths, C::Beats, 33, 16),
        "highlife" => ("latin", B::RootsAndFifths, C::Arpeggio, 33, 27),
        "hiphop" => ("soul", B::Roots, C::Held, 33, 4),
        "jazz" => ("jazz", B::Walking, C::Charleston, 32, 0),
        "latin" => ("latin", B::Tresillo, C::Bossa, 32, 24),
        "middleeastern" => ("folk", B::Roots, C::Arpeggio, 33, 24),
        "neworleans" => ("jazz", B::RootsAndFifths, C::Charleston, 32, 0),
        "punk" => ("rock", B::Eighths, C::Beats, 34, 27),
        "reggae" => ("soul", B::RootsAndFifths, C::OffBeats, 33, 16),
        "rock" => ("rock", B::Eighths, C::Beats, 34, 27),
        "soul" => ("soul", B::Syncopated, C::Beats, 33, 4),
        _ => ("pop", B::RootsAndFifths, C::Held, 33, 0),
    };
    Habits { melody, bass, chords, bass_program, chords_program }
}
