//! Names for pitches: which of C# and Db a note is.
//!
//! Notes of the key have its names. For the others there are two answers: by the key alone, twelve neighbours on the
//! line of fifths (in C major C# Eb F# G# Bb, as music21 and most notation programs choose; in A minor D# too, for it
//! leads to the dominant), or by where the line goes: up by semitone a note is raised, down by semitone lowered.

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

    /// The name of a pitch in a line that goes on to `next`.
    ///
    /// A note outside the key that moves by semitone into a note of the key takes the letter before or after it (D# up
    /// to E, Eb down to D in C major); all others are spelled by the key.
    pub fn spell_towards(self, pitch: u8, next: Option<u8>) -> NoteName {
        let name = self.spell(pitch);
        let Some(next) = next.filter(|next| !self.contains(pitch) && self.contains(*next)) else {
            return name;
        };
        let steps = match i16::from(next) - i16::from(pitch) {
            1 => -1,
            -1 => 1,
            _ => return name,
        };
        let target = self.spell(next);
        let letter = target.letter.up(steps);
        // A diatonic semitone is five fifths.
        let moved = target.moved(-5 * steps);
        if moved.letter == letter { moved } else { name }
    }

    /// Names for a whole line, each note spelled towards the one after it.
    pub fn spell_line(self, pitches: &[u8]) -> Vec<NoteName> {
        let next = pitches.iter().skip(1).map(Some).chain([None]);
        pitches.iter().zip(next).map(|(&pitch, next)| self.spell_towards(pitch, next.copied())).collect()
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
    fn lines_raise_going_up_and_lower_going_down() {
        let check = |of: &str, pitches: &[u8], names: &str| {
            let spelled: Vec<_> = key(of).spell_line(pitches).iter().map(ToString::to_string).collect();
            assert_eq!(spelled.join(" "), names, "{of}");
        };
        check("C", &[60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71], "C C# D D# E F F# G G# A A# B");
        check("C", &[71, 70, 69, 68, 67, 66, 65, 64, 63, 62, 61, 60], "B Bb A Ab G Gb F E Eb D Db C");
        check("C", &[63, 60, 63], "Eb C Eb");
        check("Eb", &[66, 67, 66, 65], "F# G Gb F");
        check("c", &[71, 72], "B C");
        check("F#", &[79, 80, 79, 78], "F## G# G F#");
        check("C", &[], "");
    }

    #[test]
    fn every_pitch_keeps_its_sound_in_every_key() {
        for mode in super::super::Mode::ALL {
            for place in -15..=19 {
                let key = Key { tonic: NoteName::from_fifths(place), mode };
                for pitch in 0..128 {
                    assert_eq!(key.spell(pitch).pitch_class(), pitch % 12);
                    for next in [pitch.saturating_sub(1), pitch + 1, pitch, 0] {
                        assert_eq!(key.spell_towards(pitch, Some(next)).pitch_class(), pitch % 12);
                    }
                }
            }
        }
    }
}
