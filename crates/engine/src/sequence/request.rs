//! What can be asked for and what is answered.

use partita_score::NoteSequence;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Fault;

/// The most events of a seed; the longest model takes 256.
const MOST_EVENTS: usize = 256;

/// Bars near a seed, or new ones without. `api/sequence.schema.json` describes it for clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceRequest {
    /// A MusicVAE: inside the program (`melody-2bar`, `drums-2bar`, ...) or installed (`cat-mel_2bar_big`, ...).
    #[serde(default = "usual_model")]
    pub model: String,
    /// What to begin from; nothing for new bars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed_sequence: Option<SeedSequence>,
    /// From the seed itself (0) to any bars (1).
    #[serde(default = "usual_amount")]
    pub amount: f64,
    /// Boldness: 0 plays the likeliest steps.
    #[serde(default = "usual_temperature")]
    pub temperature: f64,
    /// Quarter notes a minute; those of the seed, or 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tempo: Option<f64>,
    /// Number all randomness comes from; drawn and told if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// Music as events of sixteenths, or as notes in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SeedSequence {
    /// One event a sixteenth. Of a melody: a pitch in 0..=127 (moved by octaves into the model's range), -1 where a note
    /// ends, -2 where nothing happens. Of drums: a list of pitches. What is missing at the end is silence.
    Events(Vec<SeedEvent>),
    /// A `NoteSequence` as JSON, as note-seq and magenta-js write it.
    Notes(Map<String, Value>),
}

/// What happens at a sixteenth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SeedEvent {
    Melody(i64),
    Drums(Vec<u8>),
}

/// Bars, and what they came from: a `NoteSequence` with more beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceReply {
    pub model: String,
    pub seed: u64,
    pub sequence: NoteSequence,
    /// The point of the bars.
    pub z: Vec<f32>,
    /// Whether they were there already.
    pub hit: bool,
}

impl SequenceRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// `InvalidRequest` with a pointer to the first field that is wrong.
    pub fn from_json(value: &Value) -> Result<SequenceRequest, Fault> {
        let unknown = |value: &Value| {
            let known = ["model", "seed_sequence", "amount", "temperature", "tempo", "seed"];
            let field = value.as_object()?.keys().find(|key| !known.contains(&key.as_str()))?.clone();
            Some(Fault::field(&format!("#/{field}"), format!("one of {}", known.join(", ")), "another field"))
        };
        if !value.is_object() {
            return Err(Fault::field("#/", "a JSON object", "other JSON"));
        }
        if let Some(fault) = unknown(value) {
            return Err(fault);
        }
        let request: SequenceRequest = fields(value)?;
        request.check()?;
        Ok(request)
    }

    /// Checks every range.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn check(&self) -> Result<(), Fault> {
        let ranges = [
            ("#/amount", Some(self.amount), 0.0, 1.0),
            ("#/temperature", Some(self.temperature), 0.0, 4.0),
            ("#/tempo", self.tempo, 20.0, 400.0),
        ];
        for (pointer, value, least, most) in ranges {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                return Err(Fault::field(pointer, format!("in {least}..={most}"), value));
            }
        }
        if let Some(SeedSequence::Events(events)) = &self.seed_sequence {
            if events.len() > MOST_EVENTS {
                return Err(Fault::field(
                    "#/seed_sequence",
                    format!("at most {MOST_EVENTS} events"),
                    events.len(),
                ));
            }
            for (at, event) in events.iter().enumerate() {
                let pointer = || format!("#/seed_sequence/{at}");
                match event {
                    SeedEvent::Melody(event) if !(-2..=127).contains(event) => {
                        return Err(Fault::field(&pointer(), "in -2..=127", event));
                    }
                    SeedEvent::Drums(pitches) if pitches.len() > 128 => {
                        return Err(Fault::field(&pointer(), "at most 128 pitches", pitches.len()));
                    }
                    SeedEvent::Drums(pitches) => {
                        if let Some(pitch) = pitches.iter().find(|pitch| **pitch > 127) {
                            return Err(Fault::field(&pointer(), "pitches in 0..=127", pitch));
                        }
                    }
                    SeedEvent::Melody(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// The fields one by one, so that what is wrong can be pointed at.
fn fields(value: &Value) -> Result<SequenceRequest, Fault> {
    fn field<T: serde::de::DeserializeOwned>(
        value: &Value,
        name: &str,
        allowed: &str,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = value.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let shown: String = value.to_string().chars().take(40).collect();
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|_| Fault::field(&format!("#/{name}"), allowed, shown))
    }
    Ok(SequenceRequest {
        model: field(value, "model", "the name of a model")?.unwrap_or_else(usual_model),
        seed_sequence: field(value, "seed_sequence", "a list of events or a NoteSequence")?,
        amount: field(value, "amount", "a number in 0..=1")?.unwrap_or_else(usual_amount),
        temperature: field(value, "temperature", "a number in 0..=4")?.unwrap_or_else(usual_temperature),
        tempo: field(value, "tempo", "a number in 20..=400")?,
        seed: field(value, "seed", "a whole number in 0..=18446744073709551615")?,
    })
}

impl SequenceReply {
    /// The sequence with `model`, `seed`, `z` and `cache` beside its notes.
    pub fn to_json(&self) -> Value {
        let mut reply = self.sequence.to_json_value();
        if let Value::Object(reply) = &mut reply {
            reply.entry("notes").or_insert_with(|| Value::Array(vec![]));
            reply.insert("model".into(), self.model.clone().into());
            reply.insert("seed".into(), self.seed.into());
            reply.insert("z".into(), self.z.clone().into());
            reply.insert("cache".into(), if self.hit { "hit" } else { "miss" }.into());
        }
        reply
    }
}

fn usual_model() -> String {
    "melody-2bar".into()
}

fn usual_amount() -> f64 {
    0.3
}

fn usual_temperature() -> f64 {
    0.5
}
