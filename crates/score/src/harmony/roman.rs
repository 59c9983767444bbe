//! Roman numerals: `ii7`, `V7/ii`, `bVII`, `viio7`.
//!
//! A numeral is a root by degree, its case the third of its triad, and what follows is read as behind the root of a
//! chord symbol (`Imaj7`, `V7sus4`, `IV6` with an added sixth). What a key does to it:
//! - A numeral without a sign is a degree of the key's own scale: VI in A minor is F.
//! - A flat counts from the major scale, so that bVII in A minor is G, the same chord as VII; a sharp raises the key's
//!   degree, or names the major scale's where that is higher: #vi in A minor is F#.
//! - Where the scale's triad is diminished a small numeral means that one: vii in C and ii in A minor are diminished,
//!   with a seventh half-diminished. `iim7` says minor and stays so.
//! - In minor a diminished chord on the seventh degree stands on the leading note: viio7 in A minor is G#dim7.
//! - `V7/ii` is V7 of the key on ii, minor for small numerals. `I/3` has the third in the bass; of figured basses only
//!   64, 65, 43 and 42 are read.

use super::{
    Chord, Key, Letter, Mode, NoteName,
    harte::read_degree,
    name::{accidental, read_accidental},
    symbol::{Body, Triad},
    syntax::{Cursor, SyntaxError},
};

pub(crate) const AFTER_NUMERAL: &str =
    "a quality (o, ø, +), an extension (7), a change (sus4, b9), a target (/V), a bass (/3) or the end";
/// Longest first where one begins another.
const NUMERALS: [(&str, usize, bool); 14] = [
    ("VII", 6, false),
    ("III", 2, false),
    ("VI", 5, false),
    ("IV", 3, false),
    ("II", 1, false),
    ("V", 4, false),
    ("I", 0, false),
    ("vii", 6, true),
    ("iii", 2, true),
    ("vi", 5, true),
    ("iv", 3, true),
    ("ii", 1, true),
    ("v", 4, true),
    ("i", 0, true),
];
/// V/V/V/V leads far enough.
const MOST_TARGETS: usize = 4;

/// The chord of a Roman numeral in a key.
///
/// # Errors
/// [`SyntaxError`] at the character from which on the text is no numeral.
pub fn parse_roman(text: &str, key: Key) -> Result<Chord, SyntaxError> {
    let mut cursor = Cursor::new("roman numeral", text.trim_end());
    cursor.skip_blanks();
    let chord = read_roman(&mut cursor, key)?;
    cursor.end(AFTER_NUMERAL)?;
    Ok(chord)
}

/// Whether a Roman numeral seems to come next rather than a chord symbol.
pub(crate) fn is_roman(text: &str) -> bool {
    text.trim_start_matches(['b', '#', '♭', '♯']).starts_with(['I', 'V', 'i', 'v'])
}

/// Reads the numeral that comes next, with its targets.
pub(crate) fn read_roman(cursor: &mut Cursor<'_>, key: Key) -> Result<Chord, SyntaxError> {
    let first = Numeral::read(cursor)?;
    let mut body = Body::read(cursor, first.triad(), false)?;
    let inversion = body.figures(cursor);
    let mut bass = None;
    let mut targets = Vec::new();
    while cursor.take("/") {
        if bass.is_none() && targets.is_empty() && cursor.peek().is_some_and(|it| it.is_ascii_digit()) {
            bass = Some(read_degree(cursor)?);
            continue;
        }
        let signed = cursor.rest().trim_start_matches(['b', '#', '♭', '♯']);
        if bass.is_none() && targets.is_empty() && signed.starts_with(|it: char| it.is_ascii_digit()) {
            bass = Some(read_degree(cursor)?);
            continue;
        }
        if targets.len() == MOST_TARGETS {
            return Err(cursor.expected(format!("at most {MOST_TARGETS} targets")));
        }
        targets.push(Numeral::read(cursor)?);
    }
    let mut key = key;
    for target in targets.into_iter().rev() {
        let minor = target.minor;
        let root = target.root(key, false);
        key = Key::new(root, if minor { Mode::Minor } else { Mode::Major });
    }
    let chord = first.chord(key, &mut body);
    let tones = chord.tones();
    Ok(match (inversion, bass) {
        (Some(tone), _) => match tones.get(tone) {
            Some(bass) => chord.clone().over(*bass),
            None => chord,
        },
        (None, Some((value, alter))) => {
            let own = chord.degrees().iter().position(|(degree, _)| *degree == value);
            let letter = Letter::ALL[usize::from(value - 1) % 7];
            let by_scale = chord.root.moved(letter.fifths() + 7 * i32::from(alter));
            let bass = own.filter(|_| alter == 0).map_or(by_scale, |at| tones[at]);
            chord.over(bass)
        }
        _ => chord,
    })
}

/// A root: `bVII`.
struct Numeral {
    /// `0..7`
    degree: usize,
    alter: i8,
    minor: bool,
}

impl Numeral {
    fn read(cursor: &mut Cursor<'_>) -> Result<Numeral, SyntaxError> {
        let before = *cursor;
        let alter = read_accidental(cursor);
        let found = NUMERALS.into_iter().find(|(text, ..)| cursor.take(text));
        let (_, degree, minor) =
            found.ok_or_else(|| before.expected("a roman numeral (I to VII or i to vii)"))?;
        Ok(Numeral { degree, alter, minor })
    }

    fn triad(&self) -> Triad {
        if self.minor { Triad::Minor } else { Triad::Major }
    }

    /// `leading`: whether the seventh of a minor key is raised.
    fn root(&self, key: Key, leading: bool) -> NoteName {
        let own = key.degrees()[self.degree];
        let major = key.tonic.moved(Letter::ALL[self.degree].fifths());
        match self.alter {
            0 if leading && self.degree == 6 => major,
            0 => own,
            ..0 => major.moved(7 * i32::from(self.alter)),
            // A degree that is raised already (the fourth in lydian) is what a sharp means.
            1 if own.fifths() > major.fifths() => own,
            _ => own.moved(7 * i32::from(self.alter)),
        }
    }

    fn chord(&self, key: Key, body: &mut Body) -> Chord {
        let diminished = |triad| matches!(triad, Triad::Diminished | Triad::HalfDiminished);
        let root = self.root(key, key.is_minor() && diminished(body.triad));
        if self.minor && !body.said && body.triad == Triad::Minor && self.is_diminished(key) {
            // With a seventh half-diminished: dim7 has to be said.
            let seventh = body.extension.is_some_and(|it| matches!(it, 7 | 9 | 11 | 13));
            body.triad = if seventh { Triad::HalfDiminished } else { Triad::Diminished };
        }
        body.chord(root)
    }

    /// Whether the scale's own triad here is diminished.
    fn is_diminished(&self, key: Key) -> bool {
        let degrees = key.degrees();
        let root = degrees[self.degree];
        let fifth = degrees[(self.degree + 4) % 7];
        root == self.root(key, false) && fifth.fifths() - root.fifths() == -6
    }
}

impl Body {
    /// Figured basses of inversions, which chord symbols don't have: which tone is lowest.
    fn figures(&mut self, cursor: &mut Cursor<'_>) -> Option<usize> {
        const FIGURES: [(&str, Option<u8>, usize); 4] =
            [("64", None, 2), ("65", Some(7), 1), ("43", Some(7), 2), ("42", Some(7), 3)];
        // The extension has been read: of 64 and 65 the 6.
        let rest = match self.extension {
            Some(6) if cursor.rest().starts_with(['4', '5']) => {
                cursor.at -= 1;
                cursor.rest()
            }
            None => cursor.rest(),
            _ => return None,
        };
        let (text, extension, tone) = FIGURES.into_iter().find(|(text, ..)| rest.starts_with(text))?;
        cursor.at += text.len();
        self.extension = extension;
        Some(tone)
    }
}

/// The numeral of a chord over a tonic, by the major scale: [`parse_roman`] in the major key on `tonic` reads it back.
///
/// `bVII`, `ii7`, `iiø7`, `V7/3`; roots that would need three signs are respelled.
pub fn roman(chord: &Chord, tonic: NoteName) -> String {
    let (degree, alter) = interval(tonic, chord.root);
    let mut symbol = Chord { root: NoteName::C, bass: None, ..chord.clone() }.to_string();
    symbol.remove(0);
    let minor = chord.kind.degrees().contains(&(3, -1));
    let numeral = NUMERALS.into_iter().find(|it| it.1 == degree && it.2 == minor).map_or("I", |it| it.0);
    let mut text = format!("{}{numeral}", accidental(alter));
    for (from, to) in [("m7b5", "ø7"), ("dim", "o"), ("m(maj7)", "maj7")] {
        if let Some(rest) = symbol.strip_prefix(from) {
            symbol = format!("{to}{rest}");
            break;
        }
    }
    // A small seventh alone is the scale's diminished triad.
    let plain = symbol.strip_prefix('m').filter(|rest| !rest.starts_with("aj") && (degree, alter) != (6, 0));
    text += plain.unwrap_or(&symbol);
    if let Some(bass) = chord.bass.filter(|bass| *bass != chord.root) {
        let (mut value, mut alter) = interval(chord.root, bass);
        let own = chord.degrees().iter().position(|(degree, _)| usize::from(*degree) == value + 1);
        // Without a sign the chord's own tone would be meant.
        if alter == 0 && own.is_some_and(|at| chord.tones()[at] != bass) {
            let letter = Letter::ALL[(value + 1) % 7];
            value = (value + 1) % 7;
            alter = (i32::from(bass.pitch_class())
                - i32::from(chord.root.moved(letter.fifths()).pitch_class()))
            .clamp(-2, 2) as i8;
        }
        text += &format!("/{}{}", accidental(alter), value + 1);
    }
    text
}

/// From a root up: letters (`0..7`) and how far from the major scale, `-2..=2`.
fn interval(from: NoteName, to: NoteName) -> (usize, i8) {
    let between = |fifths: i32| {
        let place = Letter::ALL.into_iter().find(|it| (fifths - it.fifths()).rem_euclid(7) == 0);
        let letter = place.expect("seven letters, seven remainders");
        (letter.index(), (fifths - letter.fifths()) / 7)
    };
    let fifths = to.fifths() - from.fifths();
    let (degree, alter) = match between(fifths) {
        (_, ..-2 | 3..) => between((fifths + 5).rem_euclid(12) - 5),
        near => near,
    };
    (degree, alter as i8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, romans: &str, symbols: &str) {
        let key: Key = key.parse().expect("a key");
        let chords = romans
            .split(' ')
            .map(|text| parse_roman(text, key).unwrap_or_else(|error| panic!("{text}: {error}")).to_string());
        assert_eq!(chords.collect::<Vec<_>>().join(" "), symbols, "{key}");
    }

    #[test]
    fn numerals_in_major() {
        check("C", "I ii iii IV V vi vii", "C Dm Em F G Am Bdim");
        check("Eb", "I ii iii IV V vi viio", "Eb Fm Gm Ab Bb Cm Ddim");
        check("C", "Imaj7 ii7 V7 vi7 vii7 viiø7 viio7", "Cmaj7 Dm7 G7 Am7 Bm7b5 Bm7b5 Bdim7");
        check("C", "bVII bIII bVI bII #IVo iv i", "Bb Eb Ab Db F#dim Fm Cm");
        check("C", "V7sus4 IV6 Iadd9 V7b9 I+ II7 iim7b5 viim", "G7sus4 F6 Cadd9 G7b9 Caug D7 Dm7b5 Bm");
        check("F#", "I V/V bVI", "F# G# D");
    }

    #[test]
    fn numerals_in_minor_and_modes() {
        check("a", "i ii III iv v VI VII", "Am Bdim C Dm Em F G");
        check("a", "ii7 iiø7 iim7 V7 viio7 viio VII7", "Bm7b5 Bm7b5 Bm7 E7 G#dim7 G#dim G7");
        check("a", "bVII bVI bIII bII #vio #viio imaj7", "G F C Bb F#dim G#dim Am(maj7)");
        check("D dorian", "i IV vi bVII ii", "Dm G Bdim C Em");
        check("C lydian", "I II #IVo #ivo", "C D F#dim F#dim");
        check("E phrygian", "i bII II v", "Em F F Bdim");
        check("A harmonic minor", "V7 viio7 VII", "E7 G#dim7 G#");
    }

    #[test]
    fn targets_and_basses() {
        check("C", "V7/ii V/V viio7/V V7/vi IV/IV V7/V/V", "A7 D F#dim7 E7 Bb A7");
        check("C", "I/3 I/5 i/3 V7/7 I/b7 ii/b3 IV6/9", "C/E C/G Cm/Eb G7/F C/Bb Dm/F F6/9");
        check("C", "I64 V65 V43 V42 ii65 I6", "C/G G7/B G7/D G7/F Dm7/F C6");
        check("a", "V7/iv V7/VII", "A7 D7");
    }

    #[test]
    fn chords_get_their_numeral_back() {
        let check = |tonic: &str, symbol: &str, numeral: &str| {
            let (tonic, chord): (NoteName, Chord) =
                (tonic.parse().expect("a name"), symbol.parse().expect("a chord"));
            assert_eq!(roman(&chord, tonic), numeral);
            assert_eq!(parse_roman(numeral, Key::new(tonic, Mode::Major)), Ok(chord), "{numeral}");
        };
        check("C", "Bb7", "bVII7");
        check("C", "Dm7", "ii7");
        check("C", "Bm7b5", "viiø7");
        check("C", "Bm7", "viim7");
        check("C", "Bdim7", "viio7");
        check("C", "Am", "vi");
        check("A", "Am(maj7)", "imaj7");
        check("A", "G#dim7", "viio7");
        check("A", "F", "bVI");
        check("Eb", "Abmaj7", "IVmaj7");
        check("Eb", "Bb7/D", "V7/3");
        check("C", "Cm/Eb", "i/b3");
        check("C", "C7/Bb", "I7/b7");
        check("C", "F#m7b5", "#ivø7");
        check("C", "G7(b9,#11)", "V7b9#11");
        check("C", "C(b5)", "I(b5)");
        check("C", "Csus4", "Isus4");
        check("F", "C9sus4", "V9sus4");
        let e = Chord::new(NoteName::C, super::super::ChordKind::Minor).over("E".parse().expect("a name"));
        assert_eq!(roman(&e, NoteName::C), "i/b4");
    }

    #[test]
    fn errors_point_at_the_character() {
        let check = |text: &str, column, start: &str| {
            let error = parse_roman(text, Key::default()).expect_err(text);
            assert!(error.column == column && error.expected.starts_with(start), "{text}: {error}");
        };
        check("", 1, "a roman numeral");
        check("X", 1, "a roman numeral");
        check("bb", 1, "a roman numeral");
        check("Iv", 2, "a quality");
        check("V7/", 4, "a roman numeral");
        check("V7/x", 4, "a roman numeral");
        check("V/V/V/V/V/V", 11, "at most 4");
        check("ii-V", 3, "a quality");
        check("V7b", 4, "a degree");
    }
}
