//! Chords as the model knows them: a root and one of twelve kinds, or none.

use partita_score::harmony::{Chord, ChordKind, NoteName, PitchClasses};

use super::vocab::CHORD_KINDS;

/// In the order of their indices.
const KINDS: [ChordKind; CHORD_KINDS as usize] = [
    ChordKind::Major,
    ChordKind::Minor,
    ChordKind::Dominant,
    ChordKind::MajorSeventh,
    ChordKind::MinorSeventh,
    ChordKind::MajorSixth,
    ChordKind::MinorSixth,
    ChordKind::Diminished,
    ChordKind::DiminishedSeventh,
    ChordKind::HalfDiminished,
    ChordKind::Augmented,
    ChordKind::SuspendedFourth,
];

/// A chord without bass and extensions, or that none is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChordClass(u32);

impl ChordClass {
    /// No chord is played.
    pub const NONE: ChordClass = ChordClass(0);
    /// How many there are.
    pub const COUNT: u32 = 1 + 12 * CHORD_KINDS;

    /// 0 for none, then the kinds, each with the roots from C up.
    pub fn index(self) -> u32 {
        self.0
    }

    /// `None` from [`ChordClass::COUNT`] on.
    pub fn from_index(index: u32) -> Option<ChordClass> {
        (index < ChordClass::COUNT).then_some(ChordClass(index))
    }

    /// The class nearest to a chord: of the kinds over its root, the one that shares most tones and has fewest others.
    pub fn of(chord: Option<&Chord>) -> ChordClass {
        let Some(chord) = chord else { return ChordClass::NONE };
        let root = chord.root.pitch_class();
        let tones = chord.pitch_classes();
        let distance = |kind: &ChordKind| {
            let own = kind_tones(*kind, root);
            let shared = own.iter().filter(|tone| tones.contains(*tone)).count();
            // What is missing of the chord weighs more than a tone too many.
            own.len() - shared + 2 * (tones.len() - shared)
        };
        let same = KINDS.iter().position(|kind| *kind == chord.kind && chord.changes.is_empty());
        let nearest = || (0..KINDS.len()).min_by_key(|&i| distance(&KINDS[i]));
        let kind = same.or_else(nearest).expect("there are kinds") as u32;
        ChordClass(1 + kind * 12 + u32::from(root))
    }

    /// Pitch class of the root and the kind; `None` without a chord.
    pub fn parts(self) -> Option<(u8, ChordKind)> {
        let index = self.0.checked_sub(1)?;
        Some(((index % 12) as u8, KINDS[(index / 12) as usize]))
    }

    /// All tones; none without a chord.
    pub fn pitch_classes(self) -> PitchClasses {
        self.parts().map(|(root, kind)| kind_tones(kind, root)).unwrap_or_default()
    }

    /// As a chord symbol, its root named as `name` says for a pitch class.
    pub fn chord(self, name: impl Fn(u8) -> NoteName) -> Option<Chord> {
        self.parts().map(|(root, kind)| Chord::new(name(root), kind))
    }

    /// As many semitones higher.
    #[must_use]
    pub fn transposed(self, semitones: i32) -> ChordClass {
        let Some(index) = self.0.checked_sub(1) else { return self };
        let root = (index as i32 % 12 + semitones).rem_euclid(12) as u32;
        ChordClass(1 + index / 12 * 12 + root)
    }
}

fn kind_tones(kind: ChordKind, root: u8) -> PitchClasses {
    Chord::new(NoteName::in_window(root, -1), kind).pitch_classes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_score::harmony::{Degree, DegreeOp, Letter};

    fn name(letter: Letter, alter: i8) -> NoteName {
        NoteName::new(letter, alter).unwrap()
    }

    #[test]
    fn every_class_is_the_class_of_its_chord() {
        for index in 0..ChordClass::COUNT {
            let class = ChordClass::from_index(index).unwrap();
            let chord = class.chord(|root| NoteName::in_window(root, -1));
            assert_eq!(ChordClass::of(chord.as_ref()), class);
            assert_eq!(class.transposed(5).transposed(-5), class);
        }
        assert_eq!(ChordClass::from_index(ChordClass::COUNT), None);
    }

    #[test]
    fn extensions_fall_back_to_the_seventh_chord_and_basses_are_left_out() {
        let class = |chord: &Chord| ChordClass::of(Some(chord)).parts().unwrap();
        assert_eq!(class(&Chord::new(name(Letter::F, 1), ChordKind::Dominant13th)), (6, ChordKind::Dominant));
        assert_eq!(
            class(&Chord::new(name(Letter::C, 0), ChordKind::MinorNinth)),
            (0, ChordKind::MinorSeventh)
        );
        let over = Chord::new(name(Letter::D, 0), ChordKind::Minor).over(name(Letter::A, 0));
        assert_eq!(class(&over), (2, ChordKind::Minor));
        let mut altered = Chord::new(name(Letter::G, 0), ChordKind::Dominant);
        altered.changes.push(Degree { value: 9, op: DegreeOp::Add, alter: -1 });
        assert_eq!(class(&altered), (7, ChordKind::Dominant));
    }
}
