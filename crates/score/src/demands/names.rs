//! How pitches, chords and places are written in messages.

use super::PitchSet;
use crate::harmony::{NoteName, PitchClasses};

/// Black keys as C# Eb F# G# Bb.
const LOWEST: i32 = -3;

/// `F#4`; numbers that are no pitch as they are.
pub(super) fn pitch(pitch: u8) -> String {
    if pitch > 127 {
        return pitch.to_string();
    }
    let name = NoteName::in_window(pitch % 12, LOWEST);
    format!("{name}{}", name.octave(pitch))
}

/// `F#`
pub(super) fn class(class: u8) -> String {
    NoteName::in_window(class % 12, LOWEST).to_string()
}

/// `C D E`
pub(super) fn classes(classes: PitchClasses) -> String {
    classes.iter().map(class).collect::<Vec<_>>().join(" ")
}

/// `D E4 F4`: notes in all octaves by their names alone, then others, at most eight.
pub(super) fn pitches(set: PitchSet) -> String {
    let all = |class: u8| PitchSet::of_classes(PitchClasses::EMPTY.with(class));
    let whole: PitchClasses = (0..12).filter(|class| (all(*class) & !set).is_empty()).collect();
    let rest = set & !PitchSet::of_classes(whole);
    let names = whole.iter().map(class).chain(rest.iter().take(8).map(pitch));
    let mut text = names.collect::<Vec<_>>().join(" ");
    if rest.len() > 8 {
        text += &format!(" and {} more", rest.len() - 8);
    }
    text
}

/// `bar 3, beat 2.5` of a cell, both counted from 1, beats in quarters.
pub(super) fn place(cell: u32, cells_per_bar: u32) -> String {
    let (bar, in_bar) = (cell / cells_per_bar.max(1), cell % cells_per_bar.max(1));
    let beat = (f64::from(in_bar) / 12.0 * 100.0).round() / 100.0 + 1.0;
    format!("bar {}, beat {beat}", bar + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_page() {
        assert_eq!([0, 60, 66, 127].map(pitch).join(" "), "C-1 C4 F#4 G9");
        assert_eq!(classes([0, 3, 10].into_iter().collect()), "C Eb Bb");
        assert_eq!(pitches(PitchSet::range(60..=69)), "C4 C#4 D4 Eb4 E4 F4 F#4 G4 and 2 more");
        let d = PitchSet::of_classes([2].into_iter().collect());
        assert_eq!(pitches(d | PitchSet::range(60..=63)), "D C4 C#4 Eb4");
        assert_eq!(place(48 + 18, 48), "bar 2, beat 2.5");
    }
}
