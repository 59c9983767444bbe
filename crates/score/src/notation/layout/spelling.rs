//! Which of C# and Db a written note is.
//!
//! Notes of the key have its names. Of the names of any other note the one is taken for which most speaks: where the
//! line goes and where it comes from, the chord in force, the names around it, few signs. The weights are the small
//! whole numbers that give the fewest names other than printed in lead sheets (OpenEWLD), Bach's chorales and string
//! quartets.

use super::quantize::Placed;
use super::voices::Chord as Sound;
use crate::harmony::{Key, NoteName};

/// How many sounds before and behind a note are looked at.
const NEAR: usize = 4;

/// Names the notes of a voice, sound by sound.
pub(super) struct Speller<'a> {
    line: &'a [Sound],
    /// Of the sounds so far.
    pub names: Vec<Vec<NoteName>>,
    /// By pitch class: the last name of a note outside the key.
    last: [Option<NoteName>; 12],
}

impl<'a> Speller<'a> {
    pub fn new(line: &'a [Sound]) -> Speller<'a> {
        Speller { line, names: Vec::with_capacity(line.len()), last: [None; 12] }
    }

    /// Names the next sound; `tones` are those of the chord in force.
    pub fn next(&mut self, key: Key, tones: &[NoteName]) {
        let middle = self.middle(key);
        let sound = &self.line[self.names.len()];
        let mut names = Vec::with_capacity(sound.notes.len());
        for note in &sound.notes {
            let mut name = key.spell(note.pitch);
            if !key.contains(note.pitch) {
                name = self.choose(note.pitch, name, key, tones, middle);
                self.last[usize::from(note.pitch % 12)] = Some(name);
            }
            // No format writes octaves below 0 where it need not: C0, not B#-1.
            let below = note.pitch >= 12 && name.octave(note.pitch) < 0;
            names.push(if below { name.simplified() } else { name });
        }
        self.names.push(names);
    }

    /// `usual` or one of its equals, for a note outside the key.
    fn choose(&self, pitch: u8, usual: NoteName, key: Key, tones: &[NoteName], middle: Middle) -> NoteName {
        let index = self.names.len();
        let before = steps(pitch, key, self.line[..index].iter().rev());
        let behind = steps(pitch, key, self.line[index + 1..].iter());
        let last = self.last[usize::from(pitch % 12)];
        let weight = |name: &NoteName| {
            3 * i32::from(behind.contains(name))
                + 2 * i32::from(tones.contains(name))
                + i32::from(before.contains(name))
                + i32::from(last == Some(*name))
                + i32::from(middle.is_near(*name))
                - i32::from(name.alter.abs())
        };
        // Of equals the last one.
        let names = [12, -12, 0].map(|fifths| usual.moved(fifths));
        names.into_iter().max_by_key(weight).unwrap_or(usual)
    }

    /// Of what is known around the next sound: the names so far, and the notes of the key that come.
    fn middle(&self, key: Key) -> Middle {
        let index = self.names.len();
        let before = self.names[index.saturating_sub(NEAR)..].iter().flatten().copied();
        let behind = self.line[index + 1..].iter().take(NEAR).flat_map(|sound| &sound.notes);
        let behind = behind.filter(|note| key.contains(note.pitch)).map(|note| key.spell(note.pitch));
        before.chain(behind).fold(Middle { sum: 0, count: 0 }, |middle, name| Middle {
            sum: middle.sum + name.fifths(),
            count: middle.count + 1,
        })
    }
}

/// The middle of some names on the line of fifths.
#[derive(Clone, Copy)]
struct Middle {
    sum: i32,
    count: i32,
}

impl Middle {
    /// Within a tritone.
    fn is_near(self, name: NoteName) -> bool {
        (name.fifths() * self.count - self.sum).abs() <= 6 * self.count
    }
}

/// The names of a pitch that are a step from notes of the key a semitone beside it, in the first of `sounds` that does
/// not repeat it: D# under E, Eb over D.
fn steps<'a>(pitch: u8, key: Key, sounds: impl Iterator<Item = &'a Sound>) -> Vec<NoteName> {
    let other = sounds.take(NEAR).find(|sound| sound.notes.iter().all(|note| note.pitch != pitch));
    let beside = |note: &&Placed| note.pitch.abs_diff(pitch) == 1 && key.contains(note.pitch);
    let notes = other.iter().flat_map(|sound| &sound.notes).filter(beside);
    // A diatonic semitone is five fifths.
    notes.map(|note| key.spell(note.pitch).moved(if note.pitch > pitch { 5 } else { -5 })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tick;

    fn check(key: &str, chord: &str, pitches: &[u8], expected: &str) {
        let key: Key = key.parse().expect("tests use keys");
        let tones =
            crate::harmony::parse_symbol(chord).expect("a symbol").map_or(Vec::new(), |it| it.tones());
        let sound = |(onset, &pitch): (u32, &u8)| Sound {
            onset,
            end: onset + 1,
            notes: vec![Placed { onset, end: onset + 1, pitch, velocity: 80, tick: Tick(onset) }],
        };
        let line: Vec<Sound> = (0..).zip(pitches).map(sound).collect();
        let mut speller = Speller::new(&line);
        line.iter().for_each(|_| speller.next(key, &tones));
        let names: Vec<_> = speller.names.iter().flatten().map(ToString::to_string).collect();
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn lines_raise_going_up_and_lower_going_down() {
        check("C", "N.C.", &[60, 61, 62, 63, 64], "C C# D D# E");
        check("C", "N.C.", &[64, 63, 62, 61, 60], "E Eb D Db C");
        check("F", "N.C.", &[65, 61, 62], "F C# D");
        // Over repeated notes too.
        check("C", "N.C.", &[64, 63, 63, 63, 64], "E D# D# D# E");
        check("C", "N.C.", &[62, 63, 63, 63, 62], "D Eb Eb Eb D");
    }

    #[test]
    fn white_keys_keep_their_names() {
        check("Bb", "N.C.", &[65, 65, 65, 65, 64, 63], "F F F F E Eb");
        check("F", "N.C.", &[72, 71, 70, 69], "C B Bb A");
        check("Eb", "N.C.", &[70, 69, 68], "Bb A Ab");
        check("F#", "N.C.", &[66, 67, 68], "F# F## G#");
    }

    #[test]
    fn chords_have_their_names() {
        check("C", "Ab", &[67, 68, 75, 72], "G Ab Eb C");
        check("C", "E", &[67, 68, 71], "G G# B");
        check("C", "F#m", &[61, 67, 61], "C# G C#");
    }
}
