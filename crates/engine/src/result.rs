//! What a complete task holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::request::whole;

/// The channel of drums.
fn drums() -> u8 {
    9
}

/// One note. Times are beats (quarter notes) from the start of the music.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// MIDI pitch, `0..=127`; 60 is middle C.
    #[serde(deserialize_with = "whole::one::<_, _, 0, 127>")]
    #[schema(minimum = 0, maximum = 127)]
    pub pitch: u8,
    pub start: f64,
    pub duration: f64,
    /// `1..=127`
    #[serde(deserialize_with = "whole::one::<_, _, 1, 127>")]
    #[schema(minimum = 1, maximum = 127)]
    pub velocity: u8,
    /// `0..=15`; drums are 9, and so is what a request leaves out.
    #[serde(default = "drums", deserialize_with = "whole::one::<_, _, 0, 15>")]
    #[schema(minimum = 0, maximum = 15, default = 9)]
    pub channel: u8,
}

/// A file to download.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// `fil_` and 26 letters or digits: whoever knows it may download the file.
    #[schema(example = "fil_01hz3q0w8t9v5x2c7b4n6m1k0j")]
    pub file_id: String,
    #[schema(example = "funk-96bpm-4bars-s1234.mid")]
    pub name: String,
    #[schema(example = "audio/midi")]
    pub media_type: String,
    pub bytes: u64,
    pub sha256: String,
    #[schema(example = "/api/v1/download/fil_01hz3q0w8t9v5x2c7b4n6m1k0j")]
    pub url: String,
    /// RFC 3339
    pub expires_at: String,
}

/// Where a chord begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChordAt {
    /// Beats from the start of the music.
    pub start: f64,
    /// As in a lead sheet; `N.C.` for none.
    #[schema(example = "Am7")]
    pub chord: String,
}

/// One of the variations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Take {
    pub variation: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Vec<Note>>,
    /// Chords of a lead sheet, where there are notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chords: Option<Vec<ChordAt>>,
    /// Who made each part of an accompaniment or a song: `model`, `rule` and its name, `given` or `nobody`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!({"melody": "model", "bass": "rule walking"}))]
    pub made: Option<BTreeMap<String, String>>,
    /// Token ids, with `output_format` `tokens`, `full` or `research`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<u32>>,
    /// The MIDI file in base64, with `output_format` `midi`, `full` or `research`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub midi: Option<String>,
    /// Negative log-likelihood of the new tokens without constraints, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<f64>,
    /// What the demands cost: minus the logarithm of the probability that they left to the new tokens, in nats; with
    /// `output_format` `research`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nats: Option<f64>,
    /// Token ids that the model read before the first new one, with `output_format` `research`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Vec<u32>>,
    pub files: Vec<File>,
}

/// What is in a MIDI file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Analysis {
    pub tempo: f64,
    pub time_signature: [u32; 2],
    pub bars: u32,
    pub duration_seconds: f64,
    pub tracks: Vec<AnalysedTrack>,
    /// Place of the off-beat, `[0.5, 0.75]`, of the drums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swing: Option<f64>,
    /// Hits a sixteenth, of the drums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<f64>,
    /// The drums as text, a line a drum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalysedTrack {
    pub name: String,
    pub channel: u8,
    pub program: u8,
    pub notes: usize,
    pub lowest: Option<u8>,
    pub highest: Option<u8>,
}

/// One request of a batch, done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Item {
    pub index: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// `complete`, `failed` or `cancelled`.
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub result: Option<Box<Outcome>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<crate::Fault>,
}

/// How many requests of a batch are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    pub total: usize,
    pub completed: usize,
    pub failed: usize,
}

/// The result of a task. `notes`, `chords` and `files` are those of the first take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// The seed used; the same request with it gives the same bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tempo: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_signature: Option<[u32; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bars: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Vec<Note>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chords: Option<Vec<ChordAt>>,
    #[serde(default)]
    pub files: Vec<File>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takes: Vec<Take>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_counts: Option<Counts>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// Parameters were changed while it played, so the request alone does not give these notes again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub updated: bool,
    /// `hit`, `miss` or `bypass` of the result cache.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cache: String,
    #[serde(default)]
    pub metrics: Metrics,
}

/// What a task took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metrics {
    pub queue_ms: f64,
    pub generate_ms: f64,
    pub tokens: u64,
    /// Seconds of music a second of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realtime_factor: Option<f64>,
}
