//! What stands between a root and a bass: quality, extension, changes.

use super::super::{
    Chord, ChordKind, Degree, DegreeOp, NoteName,
    name::read_accidental,
    syntax::{Cursor, SyntaxError},
};

/// `alt`: every alteration, no fifth of its own.
pub(super) const ALT: [(u8, DegreeOp, i8); 5] = [
    (5, DegreeOp::Omit, 0),
    (9, DegreeOp::Add, -1),
    (9, DegreeOp::Add, 1),
    (11, DegreeOp::Add, 1),
    (13, DegreeOp::Add, -1),
];

/// What a chord that needs no more stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Triad {
    Major,
    Minor,
    Diminished,
    HalfDiminished,
    Augmented,
}

#[derive(Clone, Copy)]
enum Quality {
    Triad(Triad),
    /// `maj`: a seventh that follows is major.
    Maj,
    /// `Δ`: a major seventh even without a number.
    Delta,
    /// Says nothing: `dom`.
    Dominant,
}

/// Longest first where one begins another.
const QUALITIES: [(&str, Quality); 32] = [
    ("major", Quality::Maj),
    ("Major", Quality::Maj),
    ("maj", Quality::Maj),
    ("Maj", Quality::Maj),
    ("MAJ", Quality::Maj),
    ("Ma", Quality::Maj),
    ("ma", Quality::Maj),
    ("Δ", Quality::Delta),
    ("∆", Quality::Delta),
    ("△", Quality::Delta),
    ("^", Quality::Delta),
    ("minor", Quality::Triad(Triad::Minor)),
    ("Minor", Quality::Triad(Triad::Minor)),
    ("min", Quality::Triad(Triad::Minor)),
    ("Min", Quality::Triad(Triad::Minor)),
    ("MIN", Quality::Triad(Triad::Minor)),
    ("mi", Quality::Triad(Triad::Minor)),
    ("Mi", Quality::Triad(Triad::Minor)),
    ("M", Quality::Maj),
    ("m", Quality::Triad(Triad::Minor)),
    ("−", Quality::Triad(Triad::Minor)),
    ("-", Quality::Triad(Triad::Minor)),
    ("dim", Quality::Triad(Triad::Diminished)),
    ("Dim", Quality::Triad(Triad::Diminished)),
    ("°", Quality::Triad(Triad::Diminished)),
    ("º", Quality::Triad(Triad::Diminished)),
    ("o", Quality::Triad(Triad::Diminished)),
    ("ø", Quality::Triad(Triad::HalfDiminished)),
    ("Ø", Quality::Triad(Triad::HalfDiminished)),
    ("aug", Quality::Triad(Triad::Augmented)),
    ("+", Quality::Triad(Triad::Augmented)),
    ("dom", Quality::Dominant),
];

/// A change as written; what it does depends on the kind it is written behind.
#[derive(Clone, Copy)]
enum Change {
    /// `b9`
    Signed { value: u8, alter: i8 },
    /// `add9`, `addb9`
    Add { value: u8, alter: i8 },
    /// `no3`
    Omit { value: u8 },
}

/// What stands between a root and a bass.
pub(crate) struct Body {
    pub triad: Triad,
    /// Whether the triad was said rather than assumed.
    pub said: bool,
    major_seventh: bool,
    /// 2, 5, 6, 7, 9, 11, 13, or 69.
    pub extension: Option<u8>,
    /// 2, 4, or 24.
    suspended: Option<u8>,
    changes: Vec<Change>,
    /// Whether `-` may be a sign: not where it separates chords.
    dash: bool,
}

/// More changes than that are no chord.
const MOST_CHANGES: usize = 16;

impl Body {
    /// Reads as far as it makes sense.
    pub fn read(cursor: &mut Cursor<'_>, triad: Triad, dash: bool) -> Result<Body, SyntaxError> {
        let mut body = Body {
            triad,
            said: false,
            major_seventh: false,
            extension: None,
            suspended: None,
            changes: Vec::new(),
            dash,
        };
        body.quality(cursor);
        body.extension(cursor);
        while body.change(cursor, false)? {
            if body.changes.len() > MOST_CHANGES {
                return Err(cursor.expected(format!("at most {MOST_CHANGES} changes in a chord")));
            }
        }
        Ok(body)
    }

    fn quality(&mut self, cursor: &mut Cursor<'_>) {
        let mut quality = self.take_quality(cursor);
        if let Some(Quality::Triad(triad)) = quality {
            (self.triad, self.said) = (triad, true);
            // As in mMaj7.
            let before = *cursor;
            quality = self.take_quality(cursor);
            if matches!(quality, Some(Quality::Triad(_) | Quality::Dominant)) {
                *cursor = before;
                quality = None;
            }
        }
        match quality {
            Some(Quality::Maj) => (self.major_seventh, self.said) = (true, true),
            Some(Quality::Delta) => {
                (self.major_seventh, self.said, self.extension) = (true, true, Some(7));
            }
            _ => {}
        }
    }

    fn take_quality(&self, cursor: &mut Cursor<'_>) -> Option<Quality> {
        let rest = cursor.rest();
        let (word, quality) = QUALITIES.into_iter().find(|(word, _)| rest.starts_with(word))?;
        let after = &rest[word.len()..];
        let taken = match word {
            // madd9 is minor; the rest of the word decides.
            "ma" | "Ma" if after.starts_with("dd") => ("m", Quality::Triad(Triad::Minor)),
            "o" if rest.starts_with("omit") => return None,
            // C+5 and C-5 have an altered fifth.
            "+" | "-" | "−" if after.starts_with('5') => return None,
            "-" if !self.dash => return None,
            _ => (word, quality),
        };
        cursor.at += taken.0.len();
        Some(taken.1)
    }

    fn extension(&mut self, cursor: &mut Cursor<'_>) {
        const NUMBERS: [(&str, u8); 8] =
            [("6/9", 69), ("69", 69), ("13", 13), ("11", 11), ("9", 9), ("7", 7), ("6", 6), ("2", 2)];
        if let Some((_, number)) = NUMBERS.into_iter().find(|(text, _)| cursor.take(text)) {
            self.extension = Some(number);
        } else if !self.said && cursor.take("5") {
            self.extension = Some(5);
        }
        // C7M, as in Brazil.
        if self.extension == Some(7) && !self.said {
            let said = ["maj", "Maj", "M"].into_iter().any(|word| cursor.take(word));
            self.major_seventh |= said;
        }
    }

    /// Reads one change, or a group of them in parentheses; `false` where none comes next.
    fn change(&mut self, cursor: &mut Cursor<'_>, inside: bool) -> Result<bool, SyntaxError> {
        if !inside && cursor.peek() == Some('(') {
            return self.group(cursor).map(|()| true);
        }
        if let Some((_, number)) =
            [("sus24", 24), ("sus42", 24), ("sus2", 2), ("sus4", 4)].into_iter().find(|it| cursor.take(it.0))
        {
            self.suspended = Some(number);
        } else if cursor.take("sus") {
            self.suspended = Some(4);
            if self.extension.is_none() {
                self.extension(cursor);
            }
        } else if cursor.take("alt") {
            self.extension = self.extension.or(Some(7));
            self.changes.extend(ALT.map(|(value, op, alter)| match op {
                DegreeOp::Add => Change::Add { value, alter },
                _ => Change::Omit { value },
            }));
        } else if cursor.take("add") {
            let alter = if cursor.take("maj") { 1 } else { self.sign(cursor) };
            self.changes.push(Change::Add { value: degree(cursor)?, alter });
        } else if cursor.take("no") || cursor.take("omit") {
            self.changes.push(Change::Omit { value: degree(cursor)? });
        } else if inside && self.major_seventh_inside(cursor) {
            return Ok(true);
        } else if inside && cursor.peek().is_some_and(|it| it.is_ascii_digit()) {
            self.changes.push(Change::Add { value: degree(cursor)?, alter: 0 });
        } else {
            return self.signed(cursor, inside);
        }
        Ok(true)
    }

    /// `b9`, `#11`, `+5`, and these or a bare number behind a slash (`C7/13`).
    fn signed(&mut self, cursor: &mut Cursor<'_>, inside: bool) -> Result<bool, SyntaxError> {
        let before = *cursor;
        let slash = !inside && cursor.take("/");
        let plus = cursor.peek() == Some('+');
        let alter = self.sign(cursor);
        let digit = cursor.peek().is_some_and(|it| it.is_ascii_digit());
        if slash && !digit || alter == 0 && !slash {
            *cursor = before;
            return Ok(false);
        }
        if plus && !digit {
            // C7+
            self.changes.push(Change::Signed { value: 5, alter });
            return Ok(true);
        }
        let value = degree(cursor)?;
        self.changes.push(match alter {
            0 => Change::Add { value, alter },
            _ => Change::Signed { value, alter },
        });
        Ok(true)
    }

    fn sign(&self, cursor: &mut Cursor<'_>) -> i8 {
        if cursor.take("+") {
            return 1;
        }
        if self.dash && (cursor.take("-") || cursor.take("−")) {
            return -1;
        }
        read_accidental(cursor)
    }

    /// `maj7` and `maj9` in parentheses.
    fn major_seventh_inside(&mut self, cursor: &mut Cursor<'_>) -> bool {
        let before = *cursor;
        let word = ["maj", "Maj", "ma", "M", "Δ", "∆", "△", "^"].into_iter().any(|word| cursor.take(word));
        let number = [("7", 7), ("9", 9), ("11", 11), ("13", 13)].into_iter().find(|it| cursor.take(it.0));
        match number {
            Some((_, number)) if word => (self.major_seventh, self.extension) = (true, Some(number)),
            _ => {
                *cursor = before;
                return false;
            }
        }
        true
    }

    fn group(&mut self, cursor: &mut Cursor<'_>) -> Result<(), SyntaxError> {
        let _ = cursor.take("(");
        loop {
            while cursor.take(" ") || cursor.take(",") {}
            if self.changes.len() > MOST_CHANGES {
                return Err(cursor.expected(format!("at most {MOST_CHANGES} changes in a chord")));
            }
            if !self.change(cursor, true)? {
                return Err(cursor.expected("a change (b9, #11, add9, no3, maj7, sus4)"));
            }
            while cursor.take(" ") {}
            if cursor.take(")") {
                return Ok(());
            }
            if cursor.is_done() {
                return Err(cursor.expected("a closing parenthesis"));
            }
        }
    }

    /// The chord on a root.
    pub fn chord(&self, root: NoteName) -> Chord {
        let add = |value, alter| Degree { value, op: DegreeOp::Add, alter };
        let mut chord = Chord::new(root, ChordKind::Major);
        let fifth = match self.triad {
            Triad::Diminished | Triad::HalfDiminished => -1,
            Triad::Augmented => 1,
            Triad::Major | Triad::Minor => 0,
        };
        chord.kind = match (self.suspended, self.triad) {
            (Some(2), _) => ChordKind::SuspendedSecond,
            (Some(_), _) => ChordKind::SuspendedFourth,
            _ if self.extension == Some(5) => ChordKind::Power,
            (None, Triad::Major) => ChordKind::Major,
            (None, Triad::Minor) => ChordKind::Minor,
            (None, Triad::Diminished) => ChordKind::Diminished,
            (None, Triad::HalfDiminished) => ChordKind::HalfDiminished,
            (None, Triad::Augmented) => ChordKind::Augmented,
        };
        if self.suspended.is_some() && fifth != 0 {
            chord.changes.push(Degree { value: 5, op: DegreeOp::Alter, alter: fifth });
        }
        if self.suspended == Some(24) {
            chord.changes.push(add(2, 0));
        }
        let extension = self.extension.unwrap_or(0);
        if matches!(extension, 6 | 69) {
            chord.changes.push(add(6, 0));
        }
        if matches!(extension, 7 | 9 | 11 | 13) && chord.kind != ChordKind::HalfDiminished {
            let alter = match (self.major_seventh, self.triad) {
                (true, _) => 1,
                (false, Triad::Diminished) => -1,
                _ => 0,
            };
            chord.changes.push(add(7, alter));
        }
        if matches!(extension, 2 | 9 | 11 | 13 | 69) {
            chord.changes.push(add(9, 0));
        }
        // The eleventh of a suspended chord is its fourth.
        if matches!(extension, 11 | 13) && self.suspended.is_none() {
            chord.changes.push(add(11, 0));
        }
        if extension == 13 {
            chord.changes.push(add(13, 0));
        }
        let mut chord = chord.simplified();
        for change in &self.changes {
            let degree = match *change {
                Change::Signed { value, alter } => {
                    let taken = chord.changes.iter().any(|it| it.value == value && it.op != DegreeOp::Add);
                    if chord.kind.has(value) && !taken {
                        Degree { value, op: DegreeOp::Alter, alter }
                    } else {
                        add(value, seventh(value, alter))
                    }
                }
                Change::Add { value, alter } => add(value, seventh(value, alter)),
                Change::Omit { value } => Degree { value, op: DegreeOp::Omit, alter: 0 },
            };
            chord.changes.push(degree);
        }
        chord.simplified()
    }
}

/// From how an added degree is written to how far it is from a dominant chord's: b7 is the seventh it has already.
fn seventh(value: u8, alter: i8) -> i8 {
    if value == 7 && alter < 0 { alter + 1 } else { alter }
}

fn degree(cursor: &mut Cursor<'_>) -> Result<u8, SyntaxError> {
    let before = *cursor;
    let digits = cursor.rest().bytes().take_while(u8::is_ascii_digit).count();
    let number = cursor.rest()[..digits].parse().ok().filter(|number| (1..=13).contains(number));
    cursor.at += digits;
    number.ok_or_else(|| before.expected("a degree (1 to 13)"))
}
