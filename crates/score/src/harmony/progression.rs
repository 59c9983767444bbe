//! Lines of chords with their lengths: `Cm7 F7 | Bbmaj7`, `ii-V-I`, `| Am / F G | % |`.

use super::{
    Chord, Key, roman, symbol,
    syntax::{Cursor, SyntaxError},
};
use crate::{Beat, ChordChange, Meter, Ppq, Tick};

/// Chords one after another, from beat 0 without gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progression {
    pub spans: Vec<Span>,
}

/// A chord, or none, for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub start: Beat,
    /// Greater than 0, quarter notes.
    pub length: Beat,
    pub chord: Option<Chord>,
}

/// Most chords of a progression; repeats count.
pub const MOST_SPANS: usize = 4096;
/// Longest chord, quarter notes.
const LONGEST: f64 = 256.0;
/// Two positions nearer than this are one, quarter notes.
const NEAR: f64 = 1e-6;

impl Progression {
    /// Reads chord symbols.
    ///
    /// Blanks, commas and lone dashes part the chords, `|` bars of `meter`. Chords of one bar share it evenly, as far as
    /// that is in eighths, else in beats, the first ones more: three take 3, 2 and 2 eighths of 7/8, and 2, 1 and 1 beats
    /// of 4/4. What those with a length of their own take is theirs: `Cm7:1.5` is one and a half beats (quarter notes).
    /// `/` and `.` hold the
    /// chord for a share more, `%` repeats the bar before, `N.C.` is a rest. Without any bar line each chord without a
    /// length has a bar, and `%` is the chord before for a bar.
    ///
    /// ```
    /// use partita_score::{Meter, harmony::Progression};
    /// let progression = Progression::parse("Dm7 G7 | Cmaj7", Meter::COMMON).unwrap();
    /// let lengths: Vec<f64> = progression.spans.iter().map(|span| span.length.0).collect();
    /// assert_eq!(lengths, [2.0, 2.0, 4.0]);
    /// ```
    ///
    /// # Errors
    /// [`SyntaxError`] at the character at fault; a bar that is too full or not full is reported at its end.
    pub fn parse(text: &str, meter: Meter) -> Result<Progression, SyntaxError> {
        read(Cursor::new("chords", text), meter, &mut symbol::read_symbol, symbol::AFTER_ROOT)
    }

    /// Reads Roman numerals in a key, which dashes part too: `ii-V-I`; otherwise like [`Progression::parse`].
    ///
    /// # Errors
    /// As [`Progression::parse`].
    pub fn parse_roman(text: &str, key: Key, meter: Meter) -> Result<Progression, SyntaxError> {
        let mut chord = |cursor: &mut Cursor<'_>| match symbol::take_no_chord(cursor) {
            true => Ok(None),
            false => roman::read_roman(cursor, key).map(Some),
        };
        read(Cursor::new("progression", text), meter, &mut chord, roman::AFTER_NUMERAL)
    }

    /// Reads either: Roman numerals where the text begins with one.
    ///
    /// # Errors
    /// As [`Progression::parse`].
    pub fn parse_any(text: &str, key: Key, meter: Meter) -> Result<Progression, SyntaxError> {
        let start = text.trim_start_matches(|it: char| it.is_whitespace() || it == '|');
        if roman::is_roman(start) {
            Progression::parse_roman(text, key, meter)
        } else {
            Progression::parse(text, meter)
        }
    }

    /// Chords of equal length, one after another.
    pub fn even(chords: impl IntoIterator<Item = Option<Chord>>, each: Beat) -> Progression {
        let spans = chords.into_iter().enumerate().map(|(index, chord)| Span {
            start: Beat(index as f64 * each.0),
            length: each,
            chord,
        });
        Progression { spans: spans.collect() }
    }

    pub fn length(&self) -> Beat {
        self.spans.last().map_or(Beat(0.0), |span| Beat(span.start.0 + span.length.0))
    }

    /// The chord at a beat; none before, after and in rests.
    pub fn at(&self, at: Beat) -> Option<&Chord> {
        let span = self.spans.iter().rev().find(|span| span.start.0 <= at.0 + NEAR)?;
        span.chord.as_ref().filter(|_| at.0 + NEAR < span.start.0 + span.length.0)
    }

    /// From the start over and over until `length` is filled, the last chord cut off there.
    ///
    /// Empty if this is, or if `length` is none; at most [`MOST_SPANS`] chords.
    #[must_use]
    pub fn fitted(&self, length: Beat) -> Progression {
        let own = self.length().0;
        let mut spans = Vec::new();
        if own < NEAR || length.0.is_nan() {
            return Progression::default();
        }
        'all: for round in 0.. {
            for span in &self.spans {
                let start = span.start.0 + f64::from(round) * own;
                if start + NEAR >= length.0 || spans.len() == MOST_SPANS {
                    break 'all;
                }
                let to = span.length.0.min(length.0 - start);
                spans.push(Span { start: Beat(start), length: Beat(to), chord: span.chord.clone() });
            }
        }
        Progression { spans }
    }

    /// Every chord `semitones` higher.
    #[must_use]
    pub fn transposed(&self, semitones: i32) -> Progression {
        let moved = |span: &Span| Span {
            chord: span.chord.as_ref().map(|chord| chord.transposed(semitones)),
            ..span.clone()
        };
        Progression { spans: self.spans.iter().map(moved).collect() }
    }

    /// For a score that starts with this progression; a chord that goes on is no change.
    pub fn changes(&self, ppq: Ppq) -> Vec<ChordChange> {
        let mut changes: Vec<ChordChange> = Vec::new();
        for span in &self.spans {
            if changes.last().is_none_or(|last| last.chord != span.chord) {
                changes.push(ChordChange { at: span.start.ticks(ppq), chord: span.chord.clone() });
            }
        }
        changes
    }

    /// The chords of a score up to `end`, from its first change on; what comes before that is none.
    pub fn from_changes(changes: &[ChordChange], ppq: Ppq, end: Tick) -> Progression {
        let mut starts: Vec<(Tick, Option<Chord>)> =
            changes.iter().map(|change| (change.at, change.chord.clone())).collect();
        if starts.first().is_some_and(|(at, _)| at.0 > 0) {
            starts.insert(0, (Tick(0), None));
        }
        let ends: Vec<Tick> = starts.iter().skip(1).map(|(at, _)| *at).chain([end]).collect();
        let spans = starts.into_iter().zip(ends).filter(|((from, _), to)| from < to);
        let spans = spans.map(|((from, chord), to)| Span {
            start: from.beats(ppq),
            length: Tick(to.0 - from.0).beats(ppq),
            chord,
        });
        Progression { spans: spans.collect() }
    }

    /// As text that [`Progression::parse`] reads back: every chord with its length in beats.
    pub fn text(&self) -> String {
        let spans = self.spans.iter();
        let texts = spans.map(|span| format!("{}:{}", symbol::symbol(span.chord.as_ref()), span.length.0));
        texts.collect::<Vec<_>>().join(" ")
    }
}

type ReadChord<'r> = &'r mut dyn FnMut(&mut Cursor<'_>) -> Result<Option<Chord>, SyntaxError>;

/// A chord of a bar being read; without a length it takes a share.
#[derive(Clone)]
struct Slot {
    chord: Option<Chord>,
    length: Option<f64>,
}

fn read(
    mut cursor: Cursor<'_>,
    meter: Meter,
    chord: ReadChord<'_>,
    expected: &str,
) -> Result<Progression, SyntaxError> {
    let bars = cursor.text.contains('|');
    let mut all = Spans { progression: Progression::default(), meter, bar: meter.beats_per_bar(), now: 0.0 };
    let (mut slots, mut before): (Vec<Slot>, Vec<Slot>) = Default::default();
    let mut opened = false;
    loop {
        skip_separators(&mut cursor);
        if cursor.is_done() || cursor.peek() == Some('|') {
            if !slots.is_empty() {
                if bars {
                    all.bar(&slots, cursor)?;
                }
                before = std::mem::take(&mut slots);
            } else if opened && !cursor.is_done() {
                return Err(cursor.expected("a chord or %"));
            }
            if cursor.is_done() {
                break;
            }
            while cursor.take("|") || cursor.take("]") {}
            opened = true;
            skip_separators(&mut cursor);
            // The last bar line.
            opened &= !cursor.is_done();
            continue;
        }
        let start = cursor;
        let mut slot = if cursor.take("%") {
            if bars {
                if !slots.is_empty() || before.is_empty() {
                    return Err(start.expected("a chord: % repeats the bar before and stands alone"));
                }
                slots.clone_from(&before);
                skip_separators(&mut cursor);
                if !cursor.is_done() && cursor.peek() != Some('|') {
                    return Err(cursor.expected("a bar line: % stands alone"));
                }
                continue;
            }
            let last = slots.last().ok_or_else(|| start.expected("a chord: % repeats the one before"))?;
            Slot { chord: last.chord.clone(), length: None }
        } else if let Some(sign) = ["/", "."].into_iter().find(|sign| cursor.take(sign)) {
            let last = slots.last().filter(|last| bars && last.length.is_none());
            let last =
                last.ok_or_else(|| start.expected(format!("a chord: {sign} holds one inside a bar")))?;
            Slot { chord: last.chord.clone(), length: None }
        } else {
            Slot { chord: chord(&mut cursor)?, length: None }
        };
        if cursor.take(":") {
            slot.length = Some(beats(&mut cursor)?);
        }
        if !at_end_of_word(&cursor) {
            return Err(cursor.expected(if slot.length.is_some() { "a blank" } else { expected }));
        }
        let waiting = if bars { slots.len() } else { 0 };
        if waiting + all.progression.spans.len() >= MOST_SPANS {
            return Err(start.expected(format!("at most {MOST_SPANS} chords")));
        }
        if !bars {
            all.push(slot.chord.clone(), slot.length.unwrap_or(all.bar));
        }
        slots.push(slot);
    }
    if all.progression.spans.is_empty() {
        return Err(cursor.expected("a chord"));
    }
    Ok(all.progression)
}

/// What has been read, in time.
struct Spans {
    progression: Progression,
    meter: Meter,
    /// Quarter notes in a bar.
    bar: f64,
    now: f64,
}

impl Spans {
    fn push(&mut self, chord: Option<Chord>, length: f64) {
        self.progression.spans.push(Span { start: Beat(self.now), length: Beat(length), chord });
        self.now += length;
    }

    fn bar(&mut self, slots: &[Slot], end: Cursor<'_>) -> Result<(), SyntaxError> {
        let said: f64 = slots.iter().filter_map(|slot| slot.length).sum();
        let shares = slots.iter().filter(|slot| slot.length.is_none()).count();
        let rest = self.bar - said;
        if rest < -NEAR || shares > 0 && rest < NEAR || shares == 0 && rest > NEAR {
            let more = if shares > 0 { " and more" } else { "" };
            return Err(end.expected(format!("{} beats in this bar, {said}{more} are taken", self.bar)));
        }
        if self.progression.spans.len() + slots.len() > MOST_SPANS {
            return Err(end.expected(format!("at most {MOST_SPANS} chords")));
        }
        let start = self.now;
        let mut shared = shared(rest, shares, self.meter).into_iter();
        for slot in slots {
            let length = slot.length.or_else(|| shared.next()).expect("a share for each");
            self.push(slot.chord.clone(), length);
        }
        // Shares of a third don't add up to the last bit.
        self.now = start + self.bar;
        Ok(())
    }
}

/// How chords share `rest` quarter notes: evenly where that is in eighths, in sixteenths under metres of sixteenths; else
/// in the longest of beats, their halves and quarters that there are enough of, the first chords one more than the last.
fn shared(rest: f64, shares: usize, meter: Meter) -> Vec<f64> {
    let whole = |count: f64| (count - count.round()).abs() < NEAR;
    let even = rest / shares.max(1) as f64;
    let written = 4.0 / f64::from(meter.denominator);
    if whole(even / written.min(0.5)) {
        return vec![even; shares];
    }
    let compound = meter.denominator >= 8 && meter.numerator > 3 && meter.numerator.is_multiple_of(3);
    let beat = compound.then_some(3.0 * written);
    let units = beat.into_iter().chain([written, written / 2.0, written / 4.0]);
    let fits = |unit: &f64| whole(rest / unit) && rest / unit + NEAR > shares as f64;
    let Some(unit) = units.into_iter().find(fits) else { return vec![even; shares] };
    let units = (rest / unit).round() as usize;
    (0..shares).map(|index| (units / shares + usize::from(index < units % shares)) as f64 * unit).collect()
}

fn skip_separators(cursor: &mut Cursor<'_>) {
    let between = |it: char| it.is_whitespace() || matches!(it, ',' | ';' | '-' | '–' | '—' | '→' | '>');
    cursor.at = cursor.text.len() - cursor.rest().trim_start_matches(between).len();
}

fn at_end_of_word(cursor: &Cursor<'_>) -> bool {
    let ends = |it: char| it.is_whitespace() || matches!(it, ',' | ';' | '-' | '–' | '—' | '→' | '>' | '|');
    cursor.peek().is_none_or(ends)
}

/// A number of quarter notes.
fn beats(cursor: &mut Cursor<'_>) -> Result<f64, SyntaxError> {
    let digits = cursor.rest().bytes().take_while(|it| it.is_ascii_digit() || *it == b'.').count();
    let number = cursor.rest()[..digits].parse().ok().filter(|number| *number > 0.0 && *number <= LONGEST);
    let number =
        number.ok_or_else(|| cursor.expected(format!("a number of beats, above 0 and up to {LONGEST}")))?;
    cursor.at += digits;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THREE: Meter = Meter { numerator: 3, denominator: 4 };
    const SEVEN: Meter = Meter { numerator: 7, denominator: 8 };

    fn text(progression: &Progression) -> String {
        progression.text()
    }

    #[test]
    fn chords_share_their_bar() {
        let check = |from: &str, meter, to: &str| {
            let progression =
                Progression::parse(from, meter).unwrap_or_else(|error| panic!("{from}: {error}"));
            assert_eq!(text(&progression), to, "{from}");
            for pair in progression.spans.windows(2) {
                assert!((pair[0].start.0 + pair[0].length.0 - pair[1].start.0).abs() < NEAR);
            }
        };
        check("Cm7 F7 Bbmaj7", Meter::COMMON, "Cm7:4 F7:4 Bbmaj7:4");
        check("Cm7 F7 | Bbmaj7", Meter::COMMON, "Cm7:2 F7:2 Bbmaj7:4");
        check("| Cm7 F7 | Bbmaj7 |", Meter::COMMON, "Cm7:2 F7:2 Bbmaj7:4");
        check("||C|%|Am F|%|]", Meter::COMMON, "C:4 C:4 Am:2 F:2 Am:2 F:2");
        check("C % G", THREE, "C:3 C:3 G:3");
        check("Cm7:1 F7 Bb | G", Meter::COMMON, "Cm7:1 F7:1.5 Bb:1.5 G:4");
        check("C:2 G:1.5, Am:0.5", Meter::COMMON, "C:2 G:1.5 Am:0.5");
        check("C / F G | Am . . E", Meter::COMMON, "C:1 C:1 F:1 G:1 Am:1 Am:1 Am:1 E:1");
        check("C - F – G → C", SEVEN, "C:3.5 F:3.5 G:3.5 C:3.5");
        check("C F G | Am Dm", SEVEN, "C:1.5 F:1 G:1 Am:2 Dm:1.5");
        check("C F G | Am", Meter::COMMON, "C:2 F:1 G:1 Am:4");
        check("C F | G", "15/16".parse().expect("valid"), "C:2.25 F:1.5 G:3.75");
        check("C F G | Am", "15/16".parse().expect("valid"), "C:1.25 F:1.25 G:1.25 Am:3.75");
        check("C F | G", "9/8".parse().expect("valid"), "C:3 F:1.5 G:4.5");
        check("C F | G", THREE, "C:1.5 F:1.5 G:3");
        check("C F G Am F | G", THREE, "C:1 F:0.5 G:0.5 Am:0.5 F:0.5 G:3");
        check("C:1.5 F G | C", Meter::COMMON, "C:1.5 F:1.5 G:1 C:4");
        check("C\nF\tG", Meter::COMMON, "C:4 F:4 G:4");
        check("N.C. | C-7 C/E", Meter::COMMON, "N.C.:4 Cm7:2 C/E:2");
        check("C6/9 | F7(b9, #11)", Meter::COMMON, "C6/9:4 F7b9#11:4");
    }

    #[test]
    fn numerals_are_parted_by_dashes() {
        let check = |from: &str, key: &str, to: &str| {
            let key = key.parse().expect("a key");
            let progression = Progression::parse_any(from, key, Meter::COMMON);
            assert_eq!(text(&progression.unwrap_or_else(|error| panic!("{from}: {error}"))), to);
        };
        check("ii-V-I", "C", "Dm:4 G:4 C:4");
        check("I–V–vi–IV", "Eb", "Eb:4 Bb:4 Cm:4 Ab:4");
        check("| iiø7 V7 | i6 |", "a", "Bm7b5:2 E7:2 Am6:4");
        check("i-iv-V7", "d", "Dm:4 Gm:4 A7:4");
        check("bVII, IV:2 I:2", "C", "Bb:4 F:2 C:2");
        check("V7/ii ii | V7 I", "C", "A7:2 Dm:2 G7:2 C:2");
        check("I N.C. | %", "C", "C:2 N.C.:2 C:2 N.C.:2");
        check("Bb C", "C", "Bb:4 C:4");
    }

    #[test]
    fn errors_point_at_the_character() {
        let check = |from: &str, column, start: &str| {
            let error = Progression::parse_any(from, Key::default(), Meter::COMMON).expect_err(from);
            assert!(error.column == column && error.expected.starts_with(start), "{from}: {error}");
        };
        check("", 1, "a chord");
        check("  ", 3, "a chord");
        check("|", 2, "a chord");
        check("Cm7 Fq7", 6, "a quality");
        check("C | | G", 5, "a chord or %");
        check("% | C", 1, "a chord: %");
        check("C | G % | C", 7, "a chord: %");
        check("C | % G", 7, "a bar line");
        check("/ C | G", 1, "a chord: /");
        check("C:0 G", 3, "a number of beats");
        check("C:x", 3, "a number of beats");
        check("C:1e9", 4, "a blank");
        check("C:1.1.1", 3, "a number of beats");
        check("C:3 | G", 5, "4 beats in this bar, 3 are taken");
        check("C:5 | G", 5, "4 beats in this bar, 5 are taken");
        check("C:4 G | C", 7, "4 beats in this bar, 4 and more are taken");
        check("ii-V-x", 6, "a roman numeral");
        check(&"C ".repeat(MOST_SPANS + 1), 2 * MOST_SPANS + 1, "at most");
        check(&format!("{} {}", "C ".repeat(999), "| % ".repeat(9)), 2016, "at most");
    }

    #[test]
    fn a_progression_fills_any_length_and_becomes_changes() {
        let progression = Progression::parse("C | F G", Meter::COMMON).expect("chords");
        assert_eq!(text(&progression.fitted(Beat(13.0))), "C:4 F:2 G:2 C:4 F:1");
        assert_eq!(text(&progression.fitted(Beat(5.0))), "C:4 F:1");
        for none in [0.0, -1.0, f64::NAN] {
            assert_eq!(progression.fitted(Beat(none)), Progression::default());
        }
        assert_eq!(progression.fitted(Beat(f64::INFINITY)).spans.len(), MOST_SPANS);
        assert_eq!(Progression::default().fitted(Beat(4.0)), Progression::default());
        let changes = Progression::parse("C | C | G", THREE).expect("chords").changes(Ppq::DEFAULT);
        assert_eq!(changes.iter().map(|it| it.at.0).collect::<Vec<_>>(), [0, 2880]);
        assert_eq!(text(&Progression::from_changes(&changes, Ppq::DEFAULT, Tick(4800))), "C:6 G:4");
        let named = |at| progression.at(Beat(at)).map(ToString::to_string);
        assert_eq!(
            [named(-1.0), named(0.0), named(3.9), named(6.0), named(8.0)],
            [None, Some("C".into()), Some("C".into()), Some("G".into()), None]
        );
        assert_eq!(text(&progression.transposed(2)), "D:4 G:2 A:2");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn random_text_gives_chords_or_a_place(from in "[A-Gmiv7IV|%:./#b0-9 ø(,)-]{0,24}|.{0,12}") {
            match Progression::parse_any(&from, Key::default(), SEVEN) {
                Ok(progression) => {
                    let again = Progression::parse(&progression.text(), SEVEN).expect("our own text");
                    prop_assert_eq!(again.text(), progression.text());
                }
                Err(error) => prop_assert!(error.column <= from.chars().count() + 1, "{}", error),
            }
        }
    }
}
