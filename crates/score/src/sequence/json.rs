//! [`NoteSequence`] as note-seq's JSON: protobuf's JSON form of the message, which magenta-js speaks too.
//!
//! Read are both spellings of a key (`startTime`, `start_time`), numbers in quotes, enums by name or number. Parts of
//! the message that nothing here uses (controllers, sections, titles) are accepted and dropped; other keys are errors.
//! Protobuf leaves out what is 0. Two things are kinder than that, for JSON written by hand: a note without a velocity
//! has 80, a sequence without a total time ends with its last note. Notes that have steps but no times, as magenta-js
//! writes after quantising, get their times from the steps.

use super::{ChordSymbol, KeySignature, NoteSequence, Tempo, TimeSignature, TimedNote};
use crate::{Error, Result, Second};
use serde_json::{Map, Value, json};

/// Velocity of a note that has none.
const VELOCITY: u32 = 80;

/// Keys of the message and its parts that are dropped.
const UNUSED: [&str; 24] = [
    "id",
    "filename",
    "referenceNumber",
    "collectionName",
    "sourceInfo",
    "sequenceMetadata",
    "subsequenceInfo",
    "sectionAnnotations",
    "sectionGroups",
    "partInfos",
    "instrumentInfos",
    "pitchBends",
    "controlChanges",
    "totalQuantizedSteps",
    "pitchName",
    "numerator",
    "denominator",
    "voice",
    "part",
    "sourceType",
    "encodingType",
    "parser",
    "stepsPerSecond",
    "quantizedStep",
];

const KEYS: [&[&str]; 12] = [
    &["C"],
    &["C_SHARP", "D_FLAT"],
    &["D"],
    &["D_SHARP", "E_FLAT"],
    &["E"],
    &["F"],
    &["F_SHARP", "G_FLAT"],
    &["G"],
    &["G_SHARP", "A_FLAT"],
    &["A"],
    &["A_SHARP", "B_FLAT"],
    &["B"],
];

impl NoteSequence {
    /// Reads the JSON of a `NoteSequence` message.
    ///
    /// # Errors
    /// [`Error::SequenceJson`], naming the place, for what is no JSON, no such message, or out of range.
    pub fn from_json(text: &str) -> Result<NoteSequence> {
        let value = serde_json::from_str(text).map_err(|error| Error::SequenceJson(error.to_string()))?;
        NoteSequence::from_json_value(value)
    }

    /// As [`NoteSequence::from_json`], from JSON that is parsed already.
    ///
    /// # Errors
    /// As there.
    pub fn from_json_value(value: Value) -> Result<NoteSequence> {
        let mut message = Message::new(String::new(), value)?;
        let tempos = message.list("tempos", |tempo| {
            Ok(Tempo { time: tempo.time("time")?, qpm: tempo.float("qpm", 1e-3..=6e7)?.unwrap_or(0.0) })
        })?;
        let steps = match message.take("quantizationInfo") {
            Some(value) => {
                Message::new("quantizationInfo".into(), value)?.whole("stepsPerQuarter", 1 << 20)?
            }
            None => None,
        };
        let qpm = tempos.first().map_or(NoteSequence::DEFAULT_QPM, |tempo| tempo.qpm);
        let seconds_per_step = steps.filter(|&steps| steps > 0).map(|steps| 60.0 / qpm / f64::from(steps));
        let mut sequence = NoteSequence {
            ticks_per_quarter: message.whole("ticksPerQuarter", i32::MAX as u32)?.unwrap_or(0),
            time_signatures: message.list("timeSignatures", |it| {
                Ok(TimeSignature {
                    time: it.time("time")?,
                    numerator: it.whole("numerator", i32::MAX as u32)?.unwrap_or(0),
                    denominator: it.whole("denominator", i32::MAX as u32)?.unwrap_or(0),
                })
            })?,
            key_signatures: message.list("keySignatures", key_signature)?,
            notes: message.list("notes", |it| note(it, seconds_per_step))?,
            chords: message.list("textAnnotations", chord)?.into_iter().flatten().collect(),
            tempos,
            total_time: message.time("totalTime")?,
        };
        message.finish()?;
        if sequence.total_time.0 == 0.0 {
            sequence.total_time = sequence.end();
        }
        Ok(sequence)
    }

    /// The message as JSON on one line. Every finite `f64` reads back with the same bits.
    pub fn to_json(&self) -> String {
        self.to_json_value().to_string()
    }

    /// The message as a JSON value.
    pub fn to_json_value(&self) -> Value {
        let notes = self.notes.iter().map(|note| {
            json!({
                "pitch": note.pitch, "velocity": note.velocity, "startTime": note.start.0, "endTime": note.end.0,
                "instrument": note.instrument, "program": note.program, "isDrum": note.is_drum,
            })
        });
        let signatures = self
            .time_signatures
            .iter()
            .map(|it| json!({ "time": it.time.0, "numerator": it.numerator, "denominator": it.denominator }));
        let keys = self.key_signatures.iter().map(|it| {
            let mode = if it.minor { "MINOR" } else { "MAJOR" };
            json!({ "time": it.time.0, "key": KEYS[usize::from(it.key % 12)][0], "mode": mode })
        });
        let chords = self
            .chords
            .iter()
            .map(|it| json!({ "time": it.time.0, "text": it.text, "annotationType": "CHORD_SYMBOL" }));
        let tempos = self.tempos.iter().map(|it| json!({ "time": it.time.0, "qpm": it.qpm }));
        json!({
            "ticksPerQuarter": self.ticks_per_quarter,
            "tempos": tempos.collect::<Vec<_>>(),
            "timeSignatures": signatures.collect::<Vec<_>>(),
            "keySignatures": keys.collect::<Vec<_>>(),
            "textAnnotations": chords.collect::<Vec<_>>(),
            "notes": notes.collect::<Vec<_>>(),
            "totalTime": self.total_time.0,
        })
    }
}

fn note(it: &mut Message, seconds_per_step: Option<f64>) -> Result<TimedNote> {
    let seven_bits = |value: Option<u32>, absent| value.unwrap_or(absent) as u8;
    let steps = (it.whole("quantizedStartStep", u32::MAX)?, it.whole("quantizedEndStep", u32::MAX)?);
    let (start, end) = (it.time("startTime")?, it.time("endTime")?);
    let (start, end) = match (seconds_per_step, steps) {
        (Some(step), (first, Some(last))) if start.0 == 0.0 && end.0 == 0.0 => {
            (Second(f64::from(first.unwrap_or(0)) * step), Second(f64::from(last) * step))
        }
        _ => (start, end),
    };
    if end.0 < start.0 {
        return it.fail("endTime", &format!("at least startTime, {}", start.0), &end.0);
    }
    Ok(TimedNote {
        start,
        end,
        pitch: seven_bits(it.whole("pitch", 127)?, 0),
        velocity: seven_bits(it.whole("velocity", 127)?, VELOCITY),
        instrument: it.whole("instrument", i32::MAX as u32)?.unwrap_or(0),
        program: seven_bits(it.whole("program", 127)?, 0),
        is_drum: it.truth("isDrum")?,
    })
}

fn key_signature(it: &mut Message) -> Result<KeySignature> {
    let key = match it.take("key") {
        None => 0,
        Some(Value::String(name)) => match KEYS.iter().position(|names| names.contains(&name.as_str())) {
            Some(key) => key as u8,
            None => return it.fail("key", "C, C_SHARP, D_FLAT, D, ... or 0..=11", &name),
        },
        Some(number) => it.as_whole("key", &number, 11)? as u8,
    };
    let minor = match it.take("mode") {
        None => false,
        Some(Value::String(name)) => name == "MINOR",
        Some(number) => it.as_whole("mode", &number, 7)? == 1,
    };
    Ok(KeySignature { time: it.time("time")?, key, minor })
}

/// `None` for annotations that are no chord.
fn chord(it: &mut Message) -> Result<Option<ChordSymbol>> {
    let is_chord = match it.take("annotationType") {
        None => false,
        Some(Value::String(name)) => name == "CHORD_SYMBOL",
        Some(number) => it.as_whole("annotationType", &number, 7)? == 1,
    };
    let text = match it.take("text") {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => return it.fail("text", "a string", &other),
    };
    let time = it.time("time")?;
    Ok(is_chord.then_some(ChordSymbol { time, text }))
}

/// A JSON object whose keys are taken out one by one; what is left at the end is unknown.
struct Message {
    /// Where it is, empty for the whole.
    path: String,
    fields: Map<String, Value>,
    /// Keys that were asked for.
    known: Vec<&'static str>,
}

impl Message {
    fn new(path: String, value: Value) -> Result<Message> {
        match value {
            Value::Object(fields) => Ok(Message { path, fields, known: Vec::new() }),
            other => {
                let what = if path.is_empty() { "it" } else { &path };
                Err(Error::SequenceJson(format!("{what} must be an object, got {}", short(&other))))
            }
        }
    }

    /// The value of a key in either spelling; null is absent.
    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let value = self.fields.remove(key).or_else(|| self.fields.remove(&snake(key)));
        value.filter(|value| !value.is_null())
    }

    fn fail<T>(&self, key: &str, allowed: &str, got: &impl ToString) -> Result<T> {
        let dot = if self.path.is_empty() { "" } else { "." };
        let got = short(got);
        Err(Error::SequenceJson(format!("{}{dot}{key} must be {allowed}, got {got}", self.path)))
    }

    fn list<T>(&mut self, key: &'static str, read: impl Fn(&mut Message) -> Result<T>) -> Result<Vec<T>> {
        let items = match self.take(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return self.fail(key, "a list", &other),
        };
        let read_one = |(index, item)| {
            let mut item = Message::new(format!("{key}[{index}]"), item)?;
            let value = read(&mut item)?;
            item.finish()?;
            Ok(value)
        };
        items.into_iter().enumerate().map(read_one).collect()
    }

    fn float(&mut self, key: &'static str, range: std::ops::RangeInclusive<f64>) -> Result<Option<f64>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match number(&value).filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => self.fail(key, &format!("a number in [{}, {}]", range.start(), range.end()), &value),
        }
    }

    /// Seconds, 0 where absent. A model with microtiming may answer with a time before 0.
    fn time(&mut self, key: &'static str) -> Result<Second> {
        Ok(Second(self.float(key, -1e9..=1e9)?.unwrap_or(0.0)))
    }

    fn whole(&mut self, key: &'static str, max: u32) -> Result<Option<u32>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => self.as_whole(key, &value, max).map(Some),
        }
    }

    fn as_whole(&self, key: &str, value: &Value, max: u32) -> Result<u32> {
        let whole = number(value).filter(|number| number.fract() == 0.0);
        match whole.filter(|number| (0.0..=f64::from(max)).contains(number)) {
            Some(number) => Ok(number as u32),
            None => self.fail(key, &format!("a whole number in 0..={max}"), value),
        }
    }

    fn truth(&mut self, key: &'static str) -> Result<bool> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Bool(truth)) => Ok(truth),
            Some(other) => self.fail(key, "true or false", &other),
        }
    }

    /// An error if a key is left that no such message has.
    fn finish(self) -> Result<()> {
        let unknown = |key: &&String| !UNUSED.iter().any(|known| known == key || snake(known) == **key);
        let Some(key) = self.fields.keys().find(unknown) else { return Ok(()) };
        let what = if self.path.is_empty() { "the message" } else { &self.path };
        let known = self.known.join(", ");
        Err(Error::SequenceJson(format!("{what} has no key {}; it has {known}", short(&format!("{key:?}")))))
    }
}

/// Protobuf writes 64-bit numbers in quotes and takes any in quotes.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok(),
        _ => value.as_f64(),
    }
}

/// `startTime` as `start_time`.
fn snake(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The beginning of a value, for a message.
fn short(value: &impl ToString) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{} ...", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        NoteSequence::from_json(text).expect_err("bad").to_string()
    }

    #[test]
    fn both_spellings_quoted_numbers_and_enums_are_read() {
        let text = r#"{"ticks_per_quarter": 220, "tempos": [{"qpm": 90}], "keySignatures": [{"key": "B_FLAT", "mode": 1}],
            "notes": [{"pitch": "60", "velocity": 100, "end_time": 0.5, "instrument": 3, "is_drum": true}],
            "textAnnotations": [{"text": "Am", "annotationType": "CHORD_SYMBOL"}, {"text": "x"}],
            "sourceInfo": {"parser": "PRETTY_MIDI"}, "control_changes": [{"time": 1}]}"#;
        let sequence = NoteSequence::from_json(text).expect("a good message");
        assert_eq!((sequence.tempos[0].qpm, sequence.total_time), (90.0, Second(0.5)));
        assert_eq!(sequence.key_signatures, [KeySignature { time: Second(0.0), key: 10, minor: true }]);
        assert_eq!(sequence.chords, [ChordSymbol { time: Second(0.0), text: "Am".into() }]);
        let note = sequence.notes[0];
        assert_eq!((note.pitch, note.velocity, note.instrument, note.is_drum), (60, 100, 3, true));
        assert_eq!(NoteSequence::from_json(&sequence.to_json()), Ok(sequence));
    }

    #[test]
    fn steps_stand_in_for_times() {
        let text = r#"{"quantizationInfo": {"stepsPerQuarter": 4}, "totalQuantizedSteps": "32",
            "notes": [{"pitch": 60, "quantizedStartStep": "2", "quantizedEndStep": 4}, {"pitch": 62, "quantizedEndStep": 1}]}"#;
        let sequence = NoteSequence::from_json(text).expect("a good message");
        let times: Vec<_> =
            sequence.notes.iter().map(|note| (note.start.0, note.end.0, note.velocity)).collect();
        assert_eq!(times, [(0.25, 0.5, 80), (0.0, 0.125, 80)]);
        assert_eq!(sequence.total_time, Second(0.5));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        assert_eq!(
            error(r#"{"notes": [{"pitch": 60}, {"pitch": 200}]}"#),
            "note sequence: notes[1].pitch must be a whole number in 0..=127, got 200"
        );
        assert_eq!(
            error(r#"{"notes": [{"startTime": 2, "endTime": 1}]}"#),
            "note sequence: notes[0].endTime must be at least startTime, 2, got 1"
        );
        assert!(
            error(r#"{"notes": [{"startTime": "NaN"}]}"#).contains("notes[0].startTime must be a number in")
        );
        assert!(error(r#"{"nots": []}"#).contains(r#"has no key "nots"; it has tempos, "#));
        assert!(error("[]").contains("it must be an object"));
        assert!(error("{").contains("EOF"));
        assert!(error(&"[".repeat(100_000)).contains("recursion limit"));
    }
}
