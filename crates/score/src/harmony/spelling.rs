//! Names for pitches: which of C# and Db a note is.
//!
//! Notes of the key have its names, the others those of twelve neighbours on the line of fifths: in C major C# Eb F# G# Bb,
//! as music21 and most notation programs choose; in A minor D# too, for it leads to the dominant. Notation, which sees
//! what is around a note, has more to go by ([`crate::notation`]).

use super::{Key, NoteName};

impl Key {
    /// The name of a MIDI pitch or pitch class in this key.
    pub fn spell(self, pitch: u8) -> NoteName {
        let own = self.degrees().into_iter().find(|name| name.pitch_class() == pitch % 12);
        own.unwrap_or_else(|| {
            let lowest = if self.is_minor() { -2 } else { -3 };
            NoteName::in_window(pitch % 12, i32::from(self.signature()) + lowest)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().expect("tests use keys")
    }

    #[test]
    fn pitches_are_named_by_the_key() {
        let check = |of: &str, names: &str| {
            let spelled: Vec<_> = (60..72).map(|pitch| key(of).spell(pitch).to_string()).collect();
            assert_eq!(spelled.join(" "), names, "{of}");
        };
        check("C", "C C# D Eb E F F# G G# A Bb B");
        check("a", "C C# D D# E F F# G G# A Bb B");
        check("A harmonic minor", "C C# D D# E F F# G G# A Bb B");
        check("G", "C C# D D# E F F# G G# A Bb B");
        check("F", "C C# D Eb E F F# G Ab A Bb B");
        check("Eb", "C Db D Eb E F Gb G Ab A Bb B");
        check("c", "C Db D Eb E F F# G Ab A Bb B");
        check("f#", "B# C# D D# E E# F# G G# A A# B");
        check("Gb", "C Db D Eb Fb F Gb G Ab Bbb Bb Cb");
        check("C#", "B# C# C## D# E E# F# F## G# G## A# B");
        check("D dorian", "C C# D D# E F F# G G# A Bb B");
    }

    #[test]
    fn minor_raises_its_sixth_and_seventh() {
        assert_eq!(key("a").spell(66).to_string(), "F#");
        assert_eq!(key("a").spell(68).to_string(), "G#");
        assert_eq!(key("g#").spell(67).to_string(), "F##");
        assert_eq!(key("eb").spell(62).to_string(), "D");
        assert_eq!(key("bb").spell(69).to_string(), "A");
    }

    #[test]
    fn every_pitch_keeps_its_sound_in_every_key() {
        for mode in super::super::Mode::ALL {
            for place in -15..=19 {
                let key = Key { tonic: NoteName::from_fifths(place), mode };
                for pitch in 0..128 {
                    assert_eq!(key.spell(pitch).pitch_class(), pitch % 12);
                }
            }
        }
    }
}
