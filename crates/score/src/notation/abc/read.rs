//! ABC to [`Score`]: a track for each voice, repeats played.
//!
//! Lenient as the standard asks: what is unknown is skipped. Grace notes, decorations, slurs and the order of
//! parts (`P:`) are left out; every note has velocity 80. Voices in braces of `%%score` are one track.

use super::super::assemble::{self, FALLBACK};
use super::super::repeats::MAX_TIMES;
use super::cursor::Cursor;
use super::field;
use super::length::Length;
use super::music::{Reach, Voice, Written};
use crate::{Error, Meter, Ppq, Result, Score, Tick};
use std::borrow::Cow;

/// The most measures of all voices of a tune.
const MAX_MEASURES: usize = 200_000;
const MAX_VOICES: usize = 256;
const MAX_CHORD: usize = 128;
/// A bar line that nobody sees.
const INVISIBLE: &str = "[|]";
/// The longest text, in bytes.
const MAX_TEXT: usize = 16 << 20;

/// The first tune of a file.
///
/// # Errors
/// [`Error::Abc`] for a text without a tune, or one that cannot be counted.
pub fn read(text: &str) -> Result<Score> {
    let text = line_feeds(text);
    let tunes = tunes(&text)?;
    let (header, tune, line) = tunes.first().ok_or_else(no_tune)?;
    read_tune(header, tune, *line)
}

/// All tunes of a file, in order.
///
/// # Errors
/// As [`read`], for the first tune that fails.
pub fn read_all(text: &str) -> Result<Vec<Score>> {
    let text = line_feeds(text);
    let tunes = tunes(&text)?;
    if tunes.is_empty() {
        return Err(no_tune());
    }
    tunes.into_iter().map(|(header, tune, line)| read_tune(header, tune, line)).collect()
}

fn no_tune() -> Error {
    Error::Abc { line: 1, message: "a tune needs a key field (K:), got none".into() }
}

/// Old programs end lines with a carriage return alone.
fn line_feeds(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

/// `(file header, tune, its first line)`: tunes start with `X:`; a text without one is a tune if it has a key.
fn tunes(text: &str) -> Result<Vec<(&str, &str, usize)>> {
    if text.len() > MAX_TEXT {
        let message = format!("a file must have at most {MAX_TEXT} bytes, got {}", text.len());
        return Err(Error::Abc { line: 1, message });
    }
    let mut starts = Vec::new();
    let (mut at, mut number) = (0, 1);
    for line in text.split_inclusive('\n') {
        if line.starts_with("X:") {
            starts.push((at, number));
        }
        (at, number) = (at + line.len(), number + 1);
    }
    let has_key = |tune: &str| tune.lines().any(|line| line.starts_with("K:"));
    if starts.is_empty() {
        return Ok(if has_key(text) { vec![("", text, 1)] } else { Vec::new() });
    }
    let header = &text[..starts[0].0];
    let ends = starts.iter().skip(1).map(|start| start.0).chain([text.len()]);
    let tunes = starts.iter().zip(ends).map(|(&(start, line), end)| (header, &text[start..end], line));
    Ok(tunes.filter(|(_, tune, _)| has_key(tune)).collect())
}

/// A tune being read.
struct Tune {
    voices: Vec<(String, Voice)>,
    current: usize,
    /// What new voices start with.
    template: Voice,
    /// The unit length was given; else the metre decides.
    unit_given: bool,
    in_body: bool,
    /// Names of voices that are one instrument.
    groups: Vec<Vec<String>>,
    tempo: Option<String>,
    line: usize,
    measures: usize,
}

fn read_tune(header: &str, tune: &str, first_line: usize) -> Result<Score> {
    let eighth = Length::new(1, 2).unwrap_or(Length::ONE);
    let mut reader = Tune {
        voices: Vec::new(),
        current: 0,
        template: Voice::new(eighth, None),
        unit_given: false,
        in_body: false,
        groups: Vec::new(),
        tempo: None,
        line: 0,
        measures: 0,
    };
    for line in header.lines() {
        // The file's header gives defaults; a key belongs to tunes.
        if !line.starts_with("K:") {
            reader.line(line)?;
        }
    }
    reader.line = first_line - 1;
    for line in tune.lines() {
        reader.line += 1;
        reader.line(line)?;
    }
    reader.finish()
}

impl Tune {
    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Error::Abc { line: self.line, message: message.into() })
    }

    fn voice(&mut self) -> &mut Voice {
        if self.voices.is_empty() {
            self.voices.push(("1".into(), self.template.clone()));
        }
        &mut self.voices[self.current].1
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let line = line.trim_end();
        if let Some(directive) = line.strip_prefix("%%") {
            self.directive(directive);
            return Ok(());
        }
        let line = without_comment(line);
        let bytes = line.as_bytes();
        // `A:|` is music.
        if bytes.len() >= 2
            && bytes[0].is_ascii_alphabetic()
            && bytes[1] == b':'
            && !matches!(bytes.get(2), Some(b'|' | b':'))
        {
            return self.field(char::from(bytes[0]), line[2..].trim());
        }
        if self.in_body && !line.trim().is_empty() {
            self.voice().start_line();
            return self.music(line);
        }
        Ok(())
    }

    fn directive(&mut self, text: &str) {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or("");
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<i32>().ok());
        let own = |tune: &mut Tune, change: &dyn Fn(&mut Voice)| {
            if tune.in_body {
                change(tune.voice());
            } else {
                change(&mut tune.template);
            }
        };
        match name {
            "MIDI" => match words.next() {
                Some("program") => {
                    // With two numbers the first is a channel.
                    let (first, second) = (number(words.next()), number(words.next()));
                    if let Some(program) = second.or(first).filter(|it| (0..128).contains(it)) {
                        own(self, &|voice| voice.program = program as u8);
                    }
                }
                Some("channel") => {
                    if let Some(channel) = number(words.next()).filter(|it| (1..=16).contains(it)) {
                        own(self, &|voice| voice.channel = Some(channel as u8 - 1));
                    }
                }
                Some("transpose") => {
                    if let Some(semitones) = number(words.next()).filter(|it| (-120..=120).contains(it)) {
                        own(self, &|voice| voice.transpose = semitones);
                    }
                }
                _ => {}
            },
            "score" | "staves" => self.groups = braces(text),
            "propagate-accidentals" => {
                let reach = match words.next() {
                    Some("not") => Reach::Note,
                    Some("octave") => Reach::Octave,
                    _ => Reach::Letter,
                };
                self.template.reach = reach;
                for (_, voice) in &mut self.voices {
                    voice.reach = reach;
                }
            }
            _ => {}
        }
    }

    fn field(&mut self, name: char, text: &str) -> Result<()> {
        match name {
            'L' => {
                if let Some(unit) = field::fraction(text) {
                    self.unit_given = true;
                    self.each(|voice| voice.unit = unit);
                }
            }
            'M' => {
                if let Some(meter) = field::meter(text) {
                    let unit = (!self.unit_given).then(|| default_unit(meter));
                    // The unit follows the metre of the header alone.
                    let unit = unit.filter(|_| !self.in_body);
                    self.each(|voice| {
                        voice.set_meter(meter);
                        voice.unit = unit.unwrap_or(voice.unit);
                    });
                }
            }
            'Q' if !self.in_body => self.tempo = Some(text.into()),
            'Q' => {
                let unit = self.voice().unit;
                if let Some(bpm) = field::tempo(text, unit) {
                    self.voice().set_tempo(bpm);
                }
            }
            'w' if self.in_body => self.voice().sing(text),
            'V' => self.select(text)?,
            'K' => {
                let key = field::key(text);
                let opening = !self.in_body;
                if opening {
                    self.template.set_key(&key);
                    // Voices of the header have their own clefs.
                    let template = self.template.clone();
                    for (_, voice) in &mut self.voices {
                        let own = (voice.octave, voice.transpose, voice.percussion);
                        voice.set_key(&key);
                        (voice.unit, voice.meter, voice.reach) =
                            (template.unit, template.meter, template.reach);
                        voice.current.meter = template.current.meter;
                        if own.0 != 0 {
                            voice.octave = own.0;
                        }
                        (voice.transpose, voice.percussion) = (own.1, own.2 || key.percussion);
                    }
                    self.in_body = true;
                    if let Some(bpm) = self.tempo.take().and_then(|text| field::tempo(&text, template.unit)) {
                        self.voice().set_tempo(bpm);
                    }
                } else {
                    self.voice().set_key(&key);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Changes the current voice, or what all start with.
    fn each(&mut self, mut change: impl FnMut(&mut Voice)) {
        if self.in_body {
            change(self.voice());
        } else {
            change(&mut self.template);
        }
    }

    /// `V:id properties`.
    fn select(&mut self, text: &str) -> Result<()> {
        let (id, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let known = self.voices.iter().position(|(name, _)| name == id);
        self.current = match known {
            Some(index) => index,
            None if self.voices.len() >= MAX_VOICES => {
                return self.error(format!("a tune must have at most {MAX_VOICES} voices"));
            }
            None => {
                self.voices.push((id.into(), self.template.clone()));
                // The tempo is told once.
                let voice = &mut self.voices.last_mut().expect("just pushed").1;
                voice.current.tempos.clear();
                self.voices.len() - 1
            }
        };
        let mut properties = field::KeyField::default();
        let (mut rest, mut name) = (rest.trim(), None);
        while !rest.is_empty() {
            let (key, value) = match rest.find(['=', ' ', '\t']) {
                Some(at) if rest[at..].starts_with('=') => (&rest[..at], &rest[at + 1..]),
                Some(at) => (&rest[..at], ""),
                None => (rest, ""),
            };
            let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
                quoted.split_once('"').unwrap_or((quoted, ""))
            } else if value.is_empty() {
                ("", rest[key.len()..].trim_start_matches('='))
            } else {
                value.split_once(char::is_whitespace).unwrap_or((value, ""))
            };
            match key {
                "name" | "nm" => name = Some(value.chars().take(256).collect()),
                "" => {}
                _ if value.is_empty() => field::property(key, &mut properties),
                _ => field::property(&format!("{key}={value}"), &mut properties),
            }
            rest = after.trim_start();
        }
        let voice = &mut self.voices[self.current].1;
        voice.name = name.unwrap_or_else(|| std::mem::take(&mut voice.name));
        voice.octave = properties.octave.unwrap_or(voice.octave);
        voice.transpose = properties.transpose.unwrap_or(voice.transpose);
        voice.percussion |= properties.percussion;
        Ok(())
    }

    fn music(&mut self, line: &str) -> Result<()> {
        let mut cursor = Cursor::new(line);
        while let Some(letter) = cursor.peek() {
            match letter {
                '"' => {
                    let text = cursor.until('"');
                    self.voice().symbol(text);
                }
                '!' => cursor.decoration(),
                // Old decorations; a lone plus has no end.
                '+' if cursor.rest()[1..].contains('+') => _ = cursor.until('+'),
                '{' => _ = cursor.until('}'),
                '(' => {
                    cursor.skip();
                    if let Some(actual) = cursor.number() {
                        let mut numbers = [None, None];
                        for number in &mut numbers {
                            if cursor.take(':') {
                                *number = cursor.number();
                            }
                        }
                        self.voice().start_tuplet(actual, numbers[0].filter(|it| *it > 0), numbers[1]);
                    }
                }
                '[' => self.bracket(&mut cursor)?,
                '|' | ':' => self.bar(&mut cursor)?,
                '&' => {
                    cursor.skip();
                    self.voice().overlay();
                }
                '>' | '<' => {
                    let mut dots = 0;
                    while cursor.take(letter) {
                        dots += 1;
                    }
                    if self.voice().break_rhythm(dots, letter == '>').is_none() && dots > 6 {
                        return self.error("a broken rhythm has at most 6 signs");
                    }
                }
                '-' => {
                    cursor.skip();
                    self.voice().tie_last();
                }
                'z' | 'x' => {
                    cursor.skip();
                    let length = self.length(&mut cursor)?;
                    self.event(&[], length)?;
                }
                'Z' | 'X' => {
                    cursor.skip();
                    let bars = cursor.number().unwrap_or(1);
                    for _ in 0..bars {
                        self.count()?;
                        self.voice().empty_bar();
                    }
                }
                'y' => {
                    cursor.skip();
                    _ = cursor.number();
                }
                _ => match cursor.note() {
                    Some(mut note) => {
                        let length = self.length(&mut cursor)?;
                        note.tied |= cursor.take('-');
                        self.event(&[note], length)?;
                    }
                    None => cursor.skip(),
                },
            }
        }
        Ok(())
    }

    fn event(&mut self, notes: &[Written], length: Length) -> Result<()> {
        match self.voice().event(notes, length) {
            Some(()) => Ok(()),
            None => self.error("a length is too long or too fine"),
        }
    }

    /// `3/2`, `/`, `//`, `/4`, nothing.
    fn length(&self, cursor: &mut Cursor<'_>) -> Result<Length> {
        let mut above = u64::from(cursor.number().unwrap_or(1));
        let mut below = 1u64;
        while cursor.take('/') {
            below = below.saturating_mul(cursor.number().map_or(2, u64::from));
        }
        if above == 0 {
            above = 1;
        }
        match Length::new(above, below).filter(|length| length.value() <= 10_000.0) {
            Some(length) => Ok(length),
            None => self.error(format!("a length must be a fraction up to 10000, got {above}/{below}")),
        }
    }

    /// A chord, an inline field, an ending or a bar line.
    fn bracket(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let bytes = cursor.rest().as_bytes();
        match (bytes.get(1), bytes.get(2)) {
            (Some(letter), Some(b':')) if letter.is_ascii_alphabetic() => {
                let field = cursor.until(']');
                self.field(char::from(*letter), field[2..].trim())
            }
            (Some(b'|' | b']'), _) => self.bar(cursor),
            (Some(letter), _) if letter.is_ascii_digit() => {
                cursor.skip();
                let passes = cursor.passes();
                self.voice().current.signs.ending = passes;
                Ok(())
            }
            (Some(b'"'), _) => {
                // An ending that is named in words; it is played in every pass.
                cursor.skip();
                _ = cursor.until('"');
                Ok(())
            }
            // A bracket that nothing closes is a slip of the pen.
            _ if cursor.at >= cursor.closes => {
                cursor.skip();
                Ok(())
            }
            _ => self.chord(cursor),
        }
    }

    fn chord(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        cursor.skip();
        let (mut notes, mut length) = (Vec::new(), None);
        while !cursor.take(']') {
            let Some(mut note) = cursor.note() else {
                match cursor.peek() {
                    Some('"') => _ = cursor.until('"'),
                    Some('!') => cursor.decoration(),
                    Some(_) => cursor.skip(),
                    None => {
                        return self.error("a chord ([) needs a closing bracket, got the end of the line");
                    }
                }
                continue;
            };
            let own = self.length(cursor)?;
            length = length.or(Some(own));
            note.tied |= cursor.take('-');
            notes.push(note);
            if notes.len() > MAX_CHORD {
                return self.error(format!("a chord must have at most {MAX_CHORD} notes"));
            }
        }
        let outer = self.length(cursor)?;
        let Some(length) = length.unwrap_or(Length::ONE).times(outer) else {
            return self.error("a length is too long or too fine");
        };
        if cursor.take('-') {
            for note in &mut notes {
                note.tied = true;
            }
        }
        if notes.is_empty() { Ok(()) } else { self.event(&notes, length) }
    }

    fn count(&mut self) -> Result<()> {
        self.measures += 1;
        if self.measures > MAX_MEASURES {
            return self.error(format!("a tune must have at most {MAX_MEASURES} bars in all voices"));
        }
        Ok(())
    }

    /// A bar line of any kind, with the number of an ending behind it.
    fn bar(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let rest = cursor.rest();
        let end = rest.find(|letter| !matches!(letter, '|' | ':' | '[' | ']')).unwrap_or(rest.len());
        // An invisible bar line is one of its own: `[|]:|`.
        let mut sign = if rest.starts_with(INVISIBLE) { INVISIBLE } else { &rest[..end] };
        // The bracket of a chord, a field or an ending that comes next.
        let opens = sign.ends_with('[') && sign.len() > 1;
        if opens {
            sign = &sign[..sign.len() - 1];
        }
        cursor.at += sign.len();
        if sign == ":" {
            return Ok(());
        }
        self.count()?;
        let voice = self.voice();
        voice.close();
        let bars = sign.trim_matches(':');
        let colons = |text: &str| text.chars().take_while(|letter| *letter == ':').count();
        // `::` alone is `:||:`.
        let (left, right) = if bars.is_empty() {
            (1, 1)
        } else {
            (colons(sign), sign.len() - sign.trim_end_matches(':').len())
        };
        if let Some(last) = voice.measures.last_mut() {
            if left > 0 {
                last.signs.end = Some((left as u32 + 1).min(MAX_TIMES));
            }
            last.signs.ending_stops |= bars.len() > 1 && sign != INVISIBLE;
        }
        if right > 0 {
            voice.current.signs.start = true;
        }
        if !opens && cursor.peek().is_some_and(|letter| letter.is_ascii_digit()) {
            voice.current.signs.ending = cursor.passes();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Score> {
        if !self.in_body {
            return self.error("a tune needs a key field (K:), got none");
        }
        for (_, voice) in &mut self.voices {
            voice.close();
        }
        let mut parts: Vec<(usize, assemble::Part)> = Vec::new();
        for (id, voice) in self.voices {
            let group = self.groups.iter().position(|group| group.contains(&id));
            let found = parts.iter_mut().find(|part| Some(part.0) == group);
            match found {
                Some((_, part)) => part.lines.push(voice.measures),
                None => {
                    let Voice { name, channel, program, measures, .. } = voice;
                    let part = assemble::Part { name, channel, program, lines: vec![measures] };
                    parts.push((group.unwrap_or(usize::MAX), part));
                }
            }
        }
        let parts: Vec<assemble::Part> = parts.into_iter().map(|it| it.1).collect();
        let mut score = assemble::score(&parts, Ppq::new(FALLBACK).unwrap_or_default())?;
        coarsen(&mut score);
        Ok(score)
    }
}

/// Whole sixteenths where the metre is short.
fn default_unit(meter: Option<Meter>) -> Length {
    let short = meter.is_some_and(|meter| meter.beats_per_bar() < 3.0);
    Length::new(1, if short { 4 } else { 2 }).unwrap_or(Length::ONE)
}

/// 480 ticks a quarter, where they hold everything.
fn coarsen(score: &mut Score) {
    let step = u32::from(FALLBACK) / u32::from(Ppq::DEFAULT.get());
    let notes = score.tracks.iter().flat_map(|track| &track.notes).flat_map(|note| [note.onset, note.end]);
    let marks =
        score.tempos.changes().iter().map(|it| it.0).chain(score.meters.changes().iter().map(|it| it.0));
    let others = score.keys.iter().map(|it| it.at).chain(score.chords.iter().map(|it| it.at));
    let others = others.chain(score.texts.iter().map(|it| it.at));
    if !notes.chain(marks).chain(others).all(|tick| tick.0.is_multiple_of(step)) {
        return;
    }
    let smaller = |tick: Tick| Tick(tick.0 / step);
    for note in score.tracks.iter_mut().flat_map(|track| &mut track.notes) {
        (note.onset, note.end) = (smaller(note.onset), smaller(note.end));
    }
    score.tempos =
        crate::TempoMap::new(score.tempos.changes().iter().map(|it| (smaller(it.0), it.1)).collect());
    score.meters =
        crate::MeterMap::new(score.meters.changes().iter().map(|it| (smaller(it.0), it.1)).collect());
    for key in &mut score.keys {
        key.at = smaller(key.at);
    }
    for chord in &mut score.chords {
        chord.at = smaller(chord.at);
    }
    for text in &mut score.texts {
        text.at = smaller(text.at);
    }
    score.ppq = Ppq::DEFAULT;
}

/// What stands before `%`, unless it is escaped or in quotes.
fn without_comment(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in line.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '%' if !quoted && !escaped => return &line[..at],
            _ => {}
        }
        escaped = letter == '\\';
    }
    line
}

/// Names in each pair of braces: `1 {2 3}` gives `[[2, 3]]`.
fn braces(text: &str) -> Vec<Vec<String>> {
    let inside = text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|it| it.0));
    let names = |group: &str| {
        let words = group.split([' ', '\t', '|', '(', ')', '[', ']']).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    inside.map(names).collect()
}
