//! Chords as lead sheets and MusicXML mean them: a root, a kind, changed degrees, a bass.
//!
//! Degrees count in the major scale of the root; a degree without an accidental has the size it has in a dominant
//! chord: a major second, third, sixth, ninth and thirteenth, a minor seventh, the others perfect.

use super::{Letter, NoteName, PitchClasses};

/// Kinds of chords: those of MusicXML 4.0's `<kind>` that can be played over any root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChordKind {
    #[default]
    Major,
    Minor,
    Augmented,
    Diminished,
    /// Major triad, minor seventh.
    Dominant,
    MajorSeventh,
    MinorSeventh,
    DiminishedSeventh,
    /// Augmented triad, minor seventh.
    AugmentedSeventh,
    HalfDiminished,
    /// Minor triad, major seventh.
    MajorMinor,
    MajorSixth,
    MinorSixth,
    DominantNinth,
    MajorNinth,
    MinorNinth,
    Dominant11th,
    Major11th,
    Minor11th,
    Dominant13th,
    Major13th,
    Minor13th,
    SuspendedSecond,
    SuspendedFourth,
    /// Root and fifth.
    Power,
}

/// A kind, its name in MusicXML, its canonical symbol, and its degrees with their alteration.
type Definition = (ChordKind, &'static str, &'static str, &'static [(u8, i8)]);

/// Symbols are those that note-seq reads too.
///
/// Source: MusicXML 4.0, `kind-value`.
const KINDS: [Definition; 25] = [
    (ChordKind::Major, "major", "", &[(1, 0), (3, 0), (5, 0)]),
    (ChordKind::Minor, "minor", "m", &[(1, 0), (3, -1), (5, 0)]),
    (ChordKind::Augmented, "augmented", "aug", &[(1, 0), (3, 0), (5, 1)]),
    (ChordKind::Diminished, "diminished", "dim", &[(1, 0), (3, -1), (5, -1)]),
    (ChordKind::Dominant, "dominant", "7", &[(1, 0), (3, 0), (5, 0), (7, 0)]),
    (ChordKind::MajorSeventh, "major-seventh", "maj7", &[(1, 0), (3, 0), (5, 0), (7, 1)]),
    (ChordKind::MinorSeventh, "minor-seventh", "m7", &[(1, 0), (3, -1), (5, 0), (7, 0)]),
    (ChordKind::DiminishedSeventh, "diminished-seventh", "dim7", &[(1, 0), (3, -1), (5, -1), (7, -1)]),
    (ChordKind::AugmentedSeventh, "augmented-seventh", "aug7", &[(1, 0), (3, 0), (5, 1), (7, 0)]),
    (ChordKind::HalfDiminished, "half-diminished", "m7b5", &[(1, 0), (3, -1), (5, -1), (7, 0)]),
    (ChordKind::MajorMinor, "major-minor", "m(maj7)", &[(1, 0), (3, -1), (5, 0), (7, 1)]),
    (ChordKind::MajorSixth, "major-sixth", "6", &[(1, 0), (3, 0), (5, 0), (6, 0)]),
    (ChordKind::MinorSixth, "minor-sixth", "m6", &[(1, 0), (3, -1), (5, 0), (6, 0)]),
    (ChordKind::DominantNinth, "dominant-ninth", "9", &[(1, 0), (3, 0), (5, 0), (7, 0), (9, 0)]),
    (ChordKind::MajorNinth, "major-ninth", "maj9", &[(1, 0), (3, 0), (5, 0), (7, 1), (9, 0)]),
    (ChordKind::MinorNinth, "minor-ninth", "m9", &[(1, 0), (3, -1), (5, 0), (7, 0), (9, 0)]),
    (ChordKind::Dominant11th, "dominant-11th", "11", &[(1, 0), (3, 0), (5, 0), (7, 0), (9, 0), (11, 0)]),
    (ChordKind::Major11th, "major-11th", "maj11", &[(1, 0), (3, 0), (5, 0), (7, 1), (9, 0), (11, 0)]),
    (ChordKind::Minor11th, "minor-11th", "m11", &[(1, 0), (3, -1), (5, 0), (7, 0), (9, 0), (11, 0)]),
    (
        ChordKind::Dominant13th,
        "dominant-13th",
        "13",
        &[(1, 0), (3, 0), (5, 0), (7, 0), (9, 0), (11, 0), (13, 0)],
    ),
    (
        ChordKind::Major13th,
        "major-13th",
        "maj13",
        &[(1, 0), (3, 0), (5, 0), (7, 1), (9, 0), (11, 0), (13, 0)],
    ),
    (ChordKind::Minor13th, "minor-13th", "m13", &[(1, 0), (3, -1), (5, 0), (7, 0), (9, 0), (11, 0), (13, 0)]),
    (ChordKind::SuspendedSecond, "suspended-second", "sus2", &[(1, 0), (2, 0), (5, 0)]),
    (ChordKind::SuspendedFourth, "suspended-fourth", "sus4", &[(1, 0), (4, 0), (5, 0)]),
    (ChordKind::Power, "power", "5", &[(1, 0), (5, 0)]),
];

impl ChordKind {
    /// In the order of the table in MusicXML, simplest first.
    pub fn all() -> impl Iterator<Item = ChordKind> {
        KINDS.iter().map(|(kind, ..)| *kind)
    }

    fn definition(self) -> &'static Definition {
        let at = KINDS.iter().position(|(kind, ..)| *kind == self);
        &KINDS[at.expect("the table has every kind")]
    }

    /// The text of MusicXML's `<kind>`: `half-diminished`.
    pub fn music_xml(self) -> &'static str {
        self.definition().1
    }

    /// `None` for kinds that name a function or a colour (`Neapolitan`, `pedal`, `other`), and for `none`.
    pub fn from_music_xml(text: &str) -> Option<ChordKind> {
        KINDS.iter().find(|(_, name, ..)| *name == text).map(|(kind, ..)| *kind)
    }

    /// What chords of this kind display behind their root: `m7b5`.
    pub fn symbol(self) -> &'static str {
        self.definition().2
    }

    /// `(degree, alteration)`, rising; see the module for what an alteration is measured from.
    pub fn degrees(self) -> &'static [(u8, i8)] {
        self.definition().3
    }

    pub(crate) fn has(self, value: u8) -> bool {
        self.degrees().iter().any(|(degree, _)| *degree == value)
    }
}

/// What a [`Degree`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DegreeOp {
    /// A degree the kind has is raised or lowered.
    Alter,
    /// A degree the kind has is left out; MusicXML says `subtract`.
    Omit,
    /// A tone more.
    Add,
}

/// A change to a chord's kind: `b9`, `add13`, `no3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Degree {
    /// `1..=13`
    pub value: u8,
    pub op: DegreeOp,
    /// `-2..=2` semitones: for [`DegreeOp::Alter`] from what the kind has, for [`DegreeOp::Add`] from what a dominant
    /// chord has (so that adding a major seventh is 7, +1), as in MusicXML. 0 for [`DegreeOp::Omit`].
    pub alter: i8,
}

/// A chord. That none is played is `None` in an `Option<Chord>`.
///
/// Displays as a symbol that parses back to an equal chord, as long as it is [`Chord::simplified`], which parsed chords
/// are. The order of changes means nothing.
///
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chord {
    pub root: NoteName,
    pub kind: ChordKind,
    pub changes: Vec<Degree>,
    /// The lowest note where it is not the root: `Am7/G`.
    pub bass: Option<NoteName>,
}

impl Chord {
    pub fn new(root: NoteName, kind: ChordKind) -> Chord {
        Chord { root, kind, changes: Vec::new(), bass: None }
    }

    /// Over another bass.
    #[must_use]
    pub fn over(mut self, bass: NoteName) -> Chord {
        self.bass = Some(bass).filter(|bass| *bass != self.root);
        self
    }

    /// The note to play lowest.
    pub fn bass(&self) -> NoteName {
        self.bass.unwrap_or(self.root)
    }

    /// `(degree, semitones above the root)` of every tone, root first; a bass from outside the chord is none.
    ///
    /// Changes that make no sense (altering what is not there) do nothing; what is altered below the root is an octave
    /// higher.
    pub fn degrees(&self) -> Vec<(u8, u8)> {
        let of = |value: u8, op| self.changes.iter().filter(move |it| it.value == value && it.op == op);
        let mut tones: Vec<(u8, i32)> = Vec::new();
        for &(value, alter) in self.kind.degrees() {
            if of(value, DegreeOp::Omit).next().is_none() {
                let changed: i32 = of(value, DegreeOp::Alter).map(|it| i32::from(it.alter)).sum();
                tones.push((value, above(value) + i32::from(alter) + changed));
            }
        }
        let added = self.changes.iter().filter(|it| it.op == DegreeOp::Add && (1..=13).contains(&it.value));
        tones.extend(added.map(|it| (it.value, above(it.value) + i32::from(it.alter))));
        tones.sort_unstable();
        tones.dedup();
        let fold = |semitones: i32| if semitones < 0 { semitones.rem_euclid(12) } else { semitones % 36 };
        tones.into_iter().map(|(value, semitones)| (value, fold(semitones) as u8)).collect()
    }

    /// The names of all tones, spelled from the root by degree: C E G Bb Db for C7b9. A bass from outside is none.
    pub fn tones(&self) -> Vec<NoteName> {
        self.degrees().into_iter().map(|(value, semitones)| self.spell(value, semitones)).collect()
    }

    fn spell(&self, value: u8, semitones: u8) -> NoteName {
        let letter = Letter::ALL[usize::from(value.saturating_sub(1)) % 7];
        // From C: how far the tone is from the white key of its degree.
        let alter = (i32::from(semitones) - i32::from(letter.pitch_class()) + 6).rem_euclid(12) - 6;
        self.root.moved(letter.fifths() + 7 * alter)
    }

    /// Of all tones; a bass from outside the chord is not among them.
    pub fn pitch_classes(&self) -> PitchClasses {
        let root = self.root.pitch_class();
        self.degrees().into_iter().map(|(_, semitones)| root + semitones).collect()
    }

    /// Whether a MIDI pitch or pitch class is a tone of the chord.
    pub fn contains(&self, pitch: u8) -> bool {
        self.pitch_classes().contains(pitch)
    }

    /// Root and bass moved along the line of fifths: +7 is a chromatic semitone up, -5 a diatonic one.
    #[must_use]
    pub fn moved(&self, fifths: i32) -> Chord {
        let mut chord = self.clone();
        chord.root = self.root.moved(fifths);
        chord.bass = self.bass.map(|bass| bass.moved(fifths));
        chord
    }

    /// As many semitones higher, root and bass named with few accidentals; see [`Chord::moved`] for exact spelling.
    #[must_use]
    pub fn transposed(&self, semitones: i32) -> Chord {
        let fifths = (semitones.rem_euclid(12) * 7 + 5).rem_euclid(12) - 5;
        let root = self.root.moved(fifths);
        self.moved(fifths + root.simplified().fifths() - root.fifths())
    }

    /// The same chord written in the one way that symbols parse to: C7#5 is an augmented seventh, changes are sorted,
    /// those without effect are gone. Alterations are held in `-2..=2`.
    #[must_use]
    pub fn simplified(&self) -> Chord {
        let mut chord = self.clone();
        chord.bass = self.bass.filter(|bass| *bass != self.root);
        let mut changes: Vec<Degree> = Vec::new();
        for (value, _) in self.kind.degrees() {
            let of = |op| self.changes.iter().filter(move |it| it.value == *value && it.op == op);
            if of(DegreeOp::Omit).next().is_some() {
                changes.push(Degree { value: *value, op: DegreeOp::Omit, alter: 0 });
                continue;
            }
            let alter: i32 = of(DegreeOp::Alter).map(|it| i32::from(it.alter)).sum();
            if alter != 0 {
                changes.push(Degree { value: *value, op: DegreeOp::Alter, alter: alter.clamp(-2, 2) as i8 });
            }
        }
        for change in &self.changes {
            if change.op == DegreeOp::Add && (1..=13).contains(&change.value) {
                // A seventh flattened thrice has no symbol.
                let lowest = if change.value == 7 { -1 } else { -2 };
                changes.push(Degree { alter: change.alter.clamp(lowest, 2), ..*change });
            }
        }
        changes.sort_unstable();
        changes.dedup();
        chord.changes = changes;
        while chord.simplify_kind() {}
        chord
    }

    /// One change taken into the kind, if there is a kind for it.
    fn simplify_kind(&mut self) -> bool {
        use ChordKind as K;
        let raised = |value| Degree { value, op: DegreeOp::Alter, alter: 1 };
        let lowered = |value| Degree { value, op: DegreeOp::Alter, alter: -1 };
        let added = |value, alter| Degree { value, op: DegreeOp::Add, alter };
        let rules = [
            (K::Major, raised(5), K::Augmented),
            (K::Major, lowered(3), K::Minor),
            (K::Major, added(6, 0), K::MajorSixth),
            (K::Major, added(7, 0), K::Dominant),
            (K::Major, added(7, 1), K::MajorSeventh),
            (K::Minor, lowered(5), K::Diminished),
            (K::Minor, added(6, 0), K::MinorSixth),
            (K::Minor, added(7, 0), K::MinorSeventh),
            (K::Minor, added(7, 1), K::MajorMinor),
            (K::Augmented, added(7, 0), K::AugmentedSeventh),
            (K::Diminished, added(7, -1), K::DiminishedSeventh),
            (K::Diminished, added(7, 0), K::HalfDiminished),
            (K::Dominant, raised(5), K::AugmentedSeventh),
            (K::Dominant, added(9, 0), K::DominantNinth),
            (K::MajorSeventh, lowered(3), K::MajorMinor),
            (K::MajorSeventh, added(9, 0), K::MajorNinth),
            (K::MinorSeventh, lowered(5), K::HalfDiminished),
            (K::MinorSeventh, added(9, 0), K::MinorNinth),
            (K::HalfDiminished, lowered(7), K::DiminishedSeventh),
            (K::DominantNinth, added(11, 0), K::Dominant11th),
            (K::MajorNinth, added(11, 0), K::Major11th),
            (K::MinorNinth, added(11, 0), K::Minor11th),
            (K::Dominant11th, added(13, 0), K::Dominant13th),
            (K::Major11th, added(13, 0), K::Major13th),
            (K::Minor11th, added(13, 0), K::Minor13th),
        ];
        let found = rules.into_iter().find_map(|(from, change, to)| {
            let at = self.changes.iter().position(|it| *it == change)?;
            // What else is said about this degree would mean something else in the new kind.
            let alone = self.changes.iter().filter(|it| it.value == change.value).count() == 1;
            (from == self.kind && alone).then_some((at, to))
        });
        if let Some((at, kind)) = found {
            self.changes.remove(at);
            self.kind = kind;
            return true;
        }
        // An augmented triad with a major seventh is written maj7#5.
        let seventh = self.changes.iter().position(|it| *it == added(7, 1));
        let alone = self.changes.iter().filter(|it| matches!(it.value, 5 | 7)).count() == 1;
        match seventh {
            Some(at) if self.kind == K::Augmented && alone => {
                self.kind = K::MajorSeventh;
                self.changes[at] = raised(5);
                self.changes.sort_unstable();
                true
            }
            _ => false,
        }
    }
}

/// Semitones above the root of a degree without an accidental.
fn above(value: u8) -> i32 {
    let octaves = i32::from(value.saturating_sub(1)) / 7;
    12 * octaves + [0, 2, 4, 5, 7, 9, 10][usize::from(value.saturating_sub(1)) % 7]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NoteName {
        text.parse().expect("tests use names")
    }

    #[test]
    fn kinds_have_their_tones() {
        let check = |root: &str, kind, tones: &str| {
            let chord = Chord::new(name(root), kind);
            let names: Vec<_> = chord.tones().iter().map(ToString::to_string).collect();
            assert_eq!(names.join(" "), tones, "{kind:?}");
            let named = chord.tones().into_iter().map(NoteName::pitch_class);
            assert_eq!(chord.pitch_classes(), named.collect::<PitchClasses>());
        };
        check("C", ChordKind::Major, "C E G");
        check("F#", ChordKind::Minor, "F# A C#");
        check("Ab", ChordKind::Augmented, "Ab C E");
        check("B", ChordKind::Diminished, "B D F");
        check("G", ChordKind::Dominant, "G B D F");
        check("Db", ChordKind::MajorSeventh, "Db F Ab C");
        check("Bb", ChordKind::MinorSeventh, "Bb Db F Ab");
        check("C", ChordKind::DiminishedSeventh, "C Eb Gb Bbb");
        check("G", ChordKind::AugmentedSeventh, "G B D# F");
        check("F#", ChordKind::HalfDiminished, "F# A C E");
        check("C", ChordKind::MajorMinor, "C Eb G B");
        check("C", ChordKind::MajorSixth, "C E G A");
        check("C", ChordKind::MinorSixth, "C Eb G A");
        check("C", ChordKind::DominantNinth, "C E G Bb D");
        check("C", ChordKind::MajorNinth, "C E G B D");
        check("C", ChordKind::MinorNinth, "C Eb G Bb D");
        check("C", ChordKind::Dominant11th, "C E G Bb D F");
        check("C", ChordKind::Major11th, "C E G B D F");
        check("C", ChordKind::Minor11th, "C Eb G Bb D F");
        check("C", ChordKind::Dominant13th, "C E G Bb D F A");
        check("C", ChordKind::Major13th, "C E G B D F A");
        check("C", ChordKind::Minor13th, "C Eb G Bb D F A");
        check("D", ChordKind::SuspendedSecond, "D E A");
        check("D", ChordKind::SuspendedFourth, "D G A");
        check("E", ChordKind::Power, "E B");
    }

    #[test]
    fn kinds_have_one_name_each() {
        assert_eq!(ChordKind::all().count(), 25);
        for kind in ChordKind::all() {
            assert_eq!(ChordKind::from_music_xml(kind.music_xml()), Some(kind));
        }
        assert_eq!(ChordKind::from_music_xml("Neapolitan"), None);
    }

    fn changed(kind: ChordKind, changes: &[(u8, DegreeOp, i8)]) -> Chord {
        let changes = changes.iter().map(|&(value, op, alter)| Degree { value, op, alter }).collect();
        Chord { changes, ..Chord::new(NoteName::C, kind) }
    }

    #[test]
    fn changes_alter_add_and_omit() {
        use DegreeOp::{Add, Alter, Omit};
        let check = |kind, changes: &[_], tones: &str| {
            let names: Vec<_> = changed(kind, changes).tones().iter().map(ToString::to_string).collect();
            assert_eq!(names.join(" "), tones, "{kind:?} {changes:?}");
        };
        check(ChordKind::Dominant, &[(9, Add, -1), (11, Add, 1)], "C E G Bb Db F#");
        check(ChordKind::Dominant, &[(9, Add, -1), (9, Add, 1), (5, Omit, 0)], "C E Bb Db D#");
        check(ChordKind::Dominant, &[(5, Omit, 0), (5, Add, 1), (5, Alter, -1)], "C E G# Bb");
        check(ChordKind::Dominant, &[(5, Alter, 1), (5, Alter, -1)], "C E G Bb");
        check(ChordKind::Dominant, &[(5, Alter, -1), (13, Add, -1)], "C E Gb Bb Ab");
        check(ChordKind::MajorSeventh, &[(5, Alter, 1)], "C E G# B");
        check(ChordKind::SuspendedFourth, &[(7, Add, 0), (9, Add, 0)], "C F G Bb D");
        check(ChordKind::Diminished, &[(7, Add, 1)], "C Eb Gb B");
        check(ChordKind::Major, &[(3, Omit, 0)], "C G");
        check(ChordKind::Major, &[(9, Alter, 1), (0, Add, 0), (200, Add, 3)], "C E G");
        check(ChordKind::Major, &[(9, Add, 0), (9, Add, 0)], "C E G D");
        check(ChordKind::Major, &[(1, Alter, -1), (1, Add, i8::MIN)], "E Cb E G");
    }

    #[test]
    fn simplified_chords_sound_the_same() {
        use DegreeOp::{Add, Alter, Omit};
        let check = |kind, changes: &[_], to, left: &[_]| {
            let chord = changed(kind, changes);
            assert_eq!(chord.simplified(), changed(to, left), "{kind:?} {changes:?}");
            assert_eq!(chord.simplified().pitch_classes(), chord.pitch_classes());
            assert_eq!(chord.simplified().simplified(), chord.simplified());
        };
        check(ChordKind::Dominant, &[(5, Alter, 1)], ChordKind::AugmentedSeventh, &[]);
        check(ChordKind::MinorSeventh, &[(5, Alter, -1)], ChordKind::HalfDiminished, &[]);
        check(ChordKind::Major, &[(9, Add, 0), (7, Add, 0)], ChordKind::DominantNinth, &[]);
        check(ChordKind::Major, &[(7, Add, -1)], ChordKind::Major, &[(7, Add, -1)]);
        check(
            ChordKind::Dominant,
            &[(9, Add, 1), (5, Alter, 1), (9, Add, -1)],
            ChordKind::AugmentedSeventh,
            &[(9, Add, -1), (9, Add, 1)],
        );
        check(
            ChordKind::Dominant,
            &[(5, Alter, -1), (5, Add, 1)],
            ChordKind::Dominant,
            &[(5, Alter, -1), (5, Add, 1)],
        );
        check(ChordKind::Major, &[(9, Omit, 0), (9, Alter, 1)], ChordKind::Major, &[]);
        check(ChordKind::Augmented, &[(7, Add, 1)], ChordKind::MajorSeventh, &[(5, Alter, 1)]);
        check(ChordKind::Dominant, &[(9, Add, 0), (11, Add, 0), (13, Add, 0)], ChordKind::Dominant13th, &[]);
        check(ChordKind::Minor, &[(5, Alter, -1), (7, Add, -1)], ChordKind::DiminishedSeventh, &[]);
        check(ChordKind::Major, &[(3, Omit, 4)], ChordKind::Major, &[(3, Omit, 0)]);
    }

    #[test]
    fn transposing_keeps_the_kind_and_names_simply() {
        let chord = Chord::new(NoteName::A, ChordKind::MinorSeventh).over(name("G"));
        for by in -13..=13 {
            assert_eq!(chord.transposed(by).pitch_classes(), chord.pitch_classes().transposed(by));
        }
        let named = |chord: &Chord| (chord.root.to_string(), chord.bass().to_string());
        assert_eq!(named(&chord.transposed(1)), ("Bb".into(), "Ab".into()));
        assert_eq!(named(&chord.transposed(12)), ("A".into(), "G".into()));
        assert_eq!(named(&chord.moved(7)), ("A#".into(), "G#".into()));
        assert_eq!(chord.clone().over(NoteName::A).bass, None);
    }
}
