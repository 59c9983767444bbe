//! What can be asked for, one type a verb: the JSON of the API, checked once, here.
//!
//! Unknown fields are refused; a field that the chosen model cannot use is refused by the model's family, so that
//! nothing is ignored without a word.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) mod fields;
pub(crate) mod groups;
pub(crate) mod input;
pub(crate) mod problems;
pub(crate) mod webhook;
pub(crate) mod whole;
pub(crate) mod words;

/// A request of any verb, as it is stored in a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", content = "body", rename_all = "lowercase")]
pub enum Request {
    Generate(Box<Generate>),
    Continue(Box<Continue>),
    Infill(Box<Infill>),
    Humanize(Box<Humanize>),
    Harmonize(Box<Harmonize>),
    Arrange(Box<Arrange>),
    Song(Box<Song>),
    Render(Box<Render>),
    Analyze(Box<Analyze>),
    Batch(Box<Batch>),
}

impl Request {
    /// The models that decide together with the request's own, each with its weight.
    pub fn mix(&self) -> &[Mix] {
        let mix = match self {
            Request::Generate(request) => &request.mix,
            Request::Continue(request) => &request.mix,
            Request::Infill(request) => &request.mix,
            _ => return &[],
        };
        mix.as_deref().unwrap_or_default()
    }

    /// The models that play beside the request's own.
    pub fn others(&self) -> Vec<&str> {
        match self {
            Request::Song(request) => {
                [&request.drummer, &request.arranger].into_iter().flatten().map(String::as_str).collect()
            }
            _ => self.mix().iter().map(|other| other.model.as_str()).collect(),
        }
    }
}

/// Defines request types: their own fields, then the groups of fields they share with others.
///
/// A flattened struct would do without a macro, but serde then loses the place of a wrong value and takes unknown
/// fields without a word.
macro_rules! request {
    (@build [$($meta:tt)*] $name:ident [] { $($fields:tt)* }) => {
        $($meta)*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($fields)* }
    };
    // Who plays, and with which seed.
    (@build $meta:tt $name:ident [modelled $($rest:ident)*] { $($fields:tt)* }) => {
        request!(@build $meta $name [$($rest)*] {
            $($fields)*
            /// A model, an alias, or `name@version`; chosen by the other fields if left out.
            #[serde(alias = "model_name", skip_serializing_if = "Option::is_none")]
            #[schema(example = "drums")]
            pub model: Option<String>,
            /// A style or profile of the model; see `/api/v1/styles`.
            #[serde(alias = "producer_style", skip_serializing_if = "Option::is_none")]
            #[schema(example = "funk")]
            pub style: Option<String>,
            /// Same request and seed, same bytes. Drawn and told if left out.
            #[serde(deserialize_with = "whole::option::<_, _, 0, { u64::MAX }>")]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub seed: Option<u64>,
        });
    };
    // What the notes must obey, and the harmony under them.
    (@build $meta:tt $name:ident [composed $($rest:ident)*] { $($fields:tt)* }) => {
        request!(@build $meta $name [$($rest)*] {
            $($fields)*
            /// Key, as in `F# minor`, `Bb` or `D dorian`. A melody has no note and no chord outside its scale; `any` for none.
            /// Left out it is C, or that of the notes that are given. Models that make sound follow it roughly.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(max_length = 100, example = "F minor")]
            pub key: Option<String>,
            /// Scale of a melody, if not the key's: `A minor pentatonic`, `E blues`, or notes, as in `C D Eb G`.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(max_length = 200, example = "A minor pentatonic")]
            pub scale: Option<String>,
            /// Lowest and highest pitch of a melody; 57 to 81 if left out.
            #[serde(deserialize_with = "whole::pair::<_, _, 0, 127>")]
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(example = json!([57, 81]))]
            pub range: Option<[u8; 2]>,
            /// Where notes of a melody may begin: `whole`, `half`, `quarter`, `eighth`, `sixteenth`, `quarter-triplet`,
            /// `eighth-triplet`, `mixed` or `free`; `mixed` if left out.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(example = "mixed")]
            pub grid: Option<String>,
            /// Semitones from one note of a melody to the next, at most.
            #[serde(deserialize_with = "whole::option::<_, _, 0, 127>")]
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(minimum = 0, maximum = 127)]
            pub max_leap: Option<u8>,
            /// Fewest and most notes of a melody that begin in each bar.
            #[serde(deserialize_with = "whole::pair::<_, _, 0, 96>")]
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(example = json!([2, 6]))]
            pub notes_per_bar: Option<[u32; 2]>,
            /// What may begin on strong beats: `free`, `licensed` (chord tones, and what is reached or left by step) or
            /// `strict` (chord tones alone); `licensed` if left out.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(example = "licensed")]
            pub strong_beats: Option<String>,
            /// The last note of a melody is the tonic; `true` if left out.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub cadence: Option<bool>,
            /// Notes that may not sound; a name without an octave means all octaves.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(max_items = 128, example = json!(["F#4", "61", "Bb"]))]
            pub forbid: Option<Vec<String>>,
            /// Notes that must sound somewhere.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(max_items = 5, example = json!(["A4"]))]
            pub require: Option<Vec<String>>,
            /// Chords to play over; one a bar without bar lines, repeated to the end. Written by the model if left out.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(max_length = 2000, example = "Cm7 F7 | Bbmaj7")]
            pub chords: Option<String>,
            /// Chords as Roman numerals.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(max_length = 2000, example = "ii-V-I")]
            pub progression: Option<String>,
            /// Mood: of models that make sound in any words; of a melody the name of one whose chords are drawn from a
            /// library, or `charts`.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(max_length = 100, example = "melancholic")]
            pub mood: Option<String>,
            /// A melody without chords.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub no_chords: Option<bool>,
            /// Other models of the same kind and styles that decide together with this one: their logits are averaged by
            /// weight, and the model itself has the weight 1. Not in a batch.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(min_items = 1, max_items = 4, example = json!([{ "model": "mine", "weight": 0.5 }]))]
            pub mix: Option<Vec<Mix>>,
            /// Makes notes that came before less likely; 1 is off.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(minimum = 1, maximum = 2)]
            pub repetition_penalty: Option<f64>,
        });
    };
    // What may sound.
    (@build $meta:tt $name:ident [played $($rest:ident)*] { $($fields:tt)* }) => {
        request!(@build $meta $name [$($rest)*] {
            $($fields)*
            /// Drums that may sound.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(example = json!(["kick", "snare", "closed-hat"]))]
            pub kit: Option<Vec<String>>,
            /// From sparse to busy.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(minimum = 0, maximum = 1)]
            pub density: Option<f64>,
            /// Lowest and highest velocity.
            #[serde(deserialize_with = "whole::pair::<_, _, 1, 127>")]
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(example = json!([1, 127]))]
            pub velocity: Option<[u8; 2]>,
        });
    };
    // How many answers, and how their tokens are drawn.
    (@build $meta:tt $name:ident [sampled $($rest:ident)*] { $($fields:tt)* }) => {
        request!(@build $meta $name [$($rest)*] {
            $($fields)*
            /// How many different answers; number `i` draws from stream `i` of the seed.
            #[serde(deserialize_with = "whole::option::<_, _, 1, 64>")]
            #[serde(alias = "num_outputs", alias = "n", skip_serializing_if = "Option::is_none")]
            #[schema(minimum = 1, maximum = 64)]
            pub variations: Option<usize>,
            /// A named set of temperature, top_k and top_p from the configuration: `creative`, `balanced`, `conservative`, ...
            #[serde(skip_serializing_if = "Option::is_none")]
            pub profile: Option<String>,
            /// `(0, 4]`; 1 leaves the model's probabilities as they are.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(exclusive_minimum = 0, maximum = 4)]
            pub temperature: Option<f64>,
            /// Only the k likeliest tokens; 0 for all.
            #[serde(deserialize_with = "whole::option::<_, _, 0, 100000>")]
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(minimum = 0, maximum = 100000)]
            pub top_k: Option<usize>,
            /// Only the likeliest tokens that together reach this probability.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(exclusive_minimum = 0, maximum = 1)]
            pub top_p: Option<f64>,
        });
    };
    // What comes back.
    (@build $meta:tt $name:ident [delivered $($rest:ident)*] { $($fields:tt)* }) => {
        request!(@build $meta $name [$($rest)*] {
            $($fields)*
            #[serde(skip_serializing_if = "Option::is_none")]
            pub output_format: Option<OutputFormat>,
            /// Files to write; `mid` if left out, `wav` of models that make sound.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub files: Option<Vec<FileFormat>>,
            /// Built-in sound of a rendered file.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(example = "acoustic")]
            pub sound: Option<String>,
        });
    };
    // What the queue needs to know.
    (@build $meta:tt $name:ident [ordered $($rest:ident)*] { $($fields:tt)* }) => {
        request!(@build $meta $name [$($rest)*] {
            $($fields)*
            /// Comes back with the item of a batch.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(max_length = 64)]
            pub custom_id: Option<String>,
            /// Higher goes first.
            #[serde(deserialize_with = "whole::option::<_, _, 0, 9>")]
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(minimum = 0, maximum = 9, example = 5)]
            pub priority: Option<u8>,
            /// Seconds after which the task is no longer wanted.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(exclusive_minimum = 0, maximum = 86400)]
            pub timeout: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub webhook: Option<WebhookRequest>,
        });
    };
    ($($(#[$meta:meta])* $name:ident [$($group:ident)*] { $($fields:tt)* })*) => {
        $(request!(@build [$(#[$meta])*] $name [$($group)*] { $($fields)* });)*
    };
}

request! {
    /// New music. Every field may be left out.
    Generate [modelled composed played sampled delivered ordered] {
        /// Bars to play.
        #[serde(deserialize_with = "whole::option::<_, _, 1, 32>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 1, maximum = 32, example = 4)]
        pub bars: Option<u32>,
        /// Beats (quarter notes) per minute.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 40, maximum = 300, example = 96)]
        pub tempo: Option<f64>,
        /// Numerator and denominator.
        #[serde(deserialize_with = "whole::pair::<_, _, 1, 32>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(example = json!([4, 4]))]
        pub time_signature: Option<[u32; 2]>,
        /// The last bar is a fill.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub fill: Option<bool>,
        /// Place of the off-beat sixteenth: 0.5 straight, 0.67 triplets.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 0.5, maximum = 0.75)]
        pub swing: Option<f64>,
        /// `false` puts every note on the grid.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub humanize: Option<bool>,
        /// Notes to play on from.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub seed_notes: Option<Vec<crate::Note>>,
        /// What it should sound like, for models that make sound; without a `model` it chooses one of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 2000, example = "dusty lo-fi hip hop, warm Rhodes, vinyl crackle")]
        pub prompt: Option<String>,
        /// Seconds to generate, for models that make sound; 10 if left out.
        #[serde(alias = "duration", skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 1, maximum = 300)]
        pub seconds: Option<f64>,
        /// What it should not sound like, for models that make sound.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 2000)]
        pub negative: Option<String>,
        /// How closely a model that makes sound follows the prompt; 1 is off and half the work, 3 if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 1, maximum = 20)]
        pub guidance: Option<f64>,
        /// Instruments, for models that make sound.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_items = 16, example = json!(["piano", "double bass"]))]
        pub instruments: Option<Vec<String>>,
        /// The one file to write: short for `files`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub format: Option<FileFormat>,
        /// Whether samples are told as events while they are made, for models that make sound; `true` on
        /// `/api/v1/stream`, else `false`. Notes are always told.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stream: Option<bool>,
    }

    /// Bars after given ones, in their metre and tempo.
    Continue [modelled composed played sampled delivered ordered] {
        pub input: Input,
        /// New bars; 4 if left out.
        #[serde(deserialize_with = "whole::option::<_, _, 1, 32>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 1, maximum = 32)]
        pub bars: Option<u32>,
        /// The last bar is a fill.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub fill: Option<bool>,
        /// The answer holds the new bars alone, not what came before.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub only_new: Option<bool>,
    }

    /// Some bars played anew; everything else stays note for note. Of drums `kit` says which; of a melody `track` says
    /// where it is and `pitches` which of its notes; of four voices `track` says which one, all if left out.
    Infill [modelled composed played sampled delivered ordered] {
        pub input: Input,
        /// First and last bar to play anew, counted from 1; all if left out.
        #[serde(deserialize_with = "whole::pair::<_, _, 1, 1048576>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(example = json!([3, 4]))]
        pub bars: Option<[u32; 2]>,
        /// The track of the melody, or of one of four voices, counted from 1; that which is named so, or the highest (all
        /// voices), if left out.
        #[serde(deserialize_with = "whole::option::<_, _, 1, 1024>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 1, maximum = 1024, example = 1)]
        pub track: Option<usize>,
        /// Lowest and highest pitch of the notes of a melody that are written anew, and of those that take their place;
        /// all others stay note for note. All if left out.
        #[serde(deserialize_with = "whole::pair::<_, _, 0, 127>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(example = json!([60, 72]))]
        pub pitches: Option<[u8; 2]>,
    }

    /// A performance: every note stays, its velocity and timing move.
    Humanize [modelled delivered ordered] {
        pub input: Input,
        /// From the notes as they are (0) to the model's performance (1); 1 if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 0, maximum = 1)]
        pub amount: Option<f64>,
        /// Place of the off-beat sixteenth: 0.5 straight, 0.67 triplets.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 0.5, maximum = 0.75)]
        pub swing: Option<f64>,
    }

    /// Chords for a melody, which stays note for note; in place of those it has. The model `chorale` sings the voices that
    /// are missing of four instead.
    Harmonize [sampled modelled delivered ordered] {
        pub input: Input,
        /// Key, as in `F# minor`: no chord has tones outside its scale; `any` for none. That of the notes if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 100, example = "F minor")]
        pub key: Option<String>,
        /// Chords that may begin in a bar; 2 if left out.
        #[serde(deserialize_with = "whole::option::<_, _, 1, 8>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 1, maximum = 8)]
        pub chords_per_bar: Option<u32>,
    }

    /// A bass and a piano under a melody and its chords, which stay note for note.
    Arrange [sampled modelled delivered ordered] {
        pub input: Input,
        /// First and last bar to accompany anew, counted from 1; all if left out.
        #[serde(deserialize_with = "whole::pair::<_, _, 1, 1048576>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(example = json!([1, 8]))]
        pub bars: Option<[u32; 2]>,
        /// The track of the melody, counted from 1; that which is named so, or the highest, if left out.
        #[serde(deserialize_with = "whole::option::<_, _, 1, 1024>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 1, maximum = 1024, example = 1)]
        pub track: Option<usize>,
        /// Key, as in `F# minor`: nothing new sounds outside its scale but tones of the chord; `any` for none. That of the
        /// notes if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 100, example = "F minor")]
        pub key: Option<String>,
        /// Who plays the bass: `model`, `keep` (the track `bass` there is), `none`, or a rule: `roots`, `roots-and-fifths`,
        /// `eighths`, `octaves`, `walking`, `tresillo` or `syncopated`; `model` if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 100, example = "walking")]
        pub bass: Option<String>,
        /// Who plays the piano: `model`, `keep`, `none`, or a rule: `held`, `beats`, `off-beats`, `arpeggio`, `bossa`,
        /// `charleston` or `stabs`; `model` if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 100, example = "charleston")]
        pub piano: Option<String>,
        /// Lowest and highest pitch of the bass; 28 to 55 if left out.
        #[serde(deserialize_with = "whole::pair::<_, _, 21, 108>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(example = json!([28, 55]))]
        pub bass_range: Option<[u8; 2]>,
        /// Lowest and highest pitch of the piano; 33 to 84 if left out.
        #[serde(deserialize_with = "whole::pair::<_, _, 21, 108>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(example = json!([33, 84]))]
        pub piano_range: Option<[u8; 2]>,
        /// Notes of a piano by the model, from few (0, some 1.25 a beat) to many (1, some 6.75).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 0, maximum = 1)]
        pub density: Option<f64>,
        /// Mean pitch of a piano by the model, within its range.
        #[serde(deserialize_with = "whole::option::<_, _, 21, 108>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 21, maximum = 108, example = 60)]
        pub register: Option<u8>,
        /// Chords under the melody, in place of those it has; one a bar without bar lines, repeated to the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 2000, example = "Cm7 F7 | Bbmaj7")]
        pub chords: Option<String>,
        /// Chords as Roman numerals.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 2000, example = "ii-V-I")]
        pub progression: Option<String>,
        /// A mood whose chords are drawn from a library, or `charts`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 100, example = "sad")]
        pub mood: Option<String>,
        /// Also a WAV file of each track, all as long as the whole and in its balance.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stems: Option<bool>,
    }

    /// Melody, chords, bass and drums together. `style` is that of the drums, which the others follow, and `model` writes
    /// the melody: range, grid, leaps, density, `forbid` and `require` are asked of it. All keep to the key or the chord.
    Song [composed sampled modelled delivered ordered] {
        /// Bars; 16 if left out.
        #[serde(deserialize_with = "whole::option::<_, _, 1, 32>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 1, maximum = 32, example = 16)]
        pub bars: Option<u32>,
        /// Beats (quarter notes) per minute; the style's own if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 40, maximum = 300, example = 96)]
        pub tempo: Option<f64>,
        /// Numerator and denominator.
        #[serde(deserialize_with = "whole::pair::<_, _, 1, 32>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(example = json!([4, 4]))]
        pub time_signature: Option<[u32; 2]>,
        /// Who plays the bass: `model`, or a rule as for `/api/v1/arrange`; the rule that goes with the style if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 100, example = "walking")]
        pub bass: Option<String>,
        /// How the chords are played, as the bass.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 100, example = "charleston")]
        pub comping: Option<String>,
        /// Parts to leave out.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub without: Option<Vec<SongPart>>,
        /// The drums end with a fill.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub fill: Option<bool>,
        /// No swing, whatever the style.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub straight: Option<bool>,
        /// The model that plays the drums; `drums` if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 200, example = "drums")]
        pub drummer: Option<String>,
        /// The model that plays a bass or chords by `model`; `arrange` if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(max_length = 200, example = "arrange")]
        pub arranger: Option<String>,
        /// Also a WAV file of each track, all as long as the whole and in its balance.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stems: Option<bool>,
    }

    /// Sound from notes.
    Render [delivered ordered] {
        pub input: Input,
        /// Integrated loudness in LUFS; -14 if left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = -40, maximum = -6)]
        pub loudness: Option<f64>,
        /// Hz; 44100 if left out.
        #[serde(deserialize_with = "whole::option::<_, _, 8000, 192000>")]
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 8000, maximum = 192000)]
        pub sample_rate: Option<u32>,
    }

    /// What is in a MIDI file.
    Analyze [ordered] {
        pub input: Input,
    }

    /// Many requests as one task, played together.
    Batch [ordered] {
        /// Requests of `/api/v1/generate`, without `priority`, `timeout` and `webhook` of their own.
        #[schema(min_items = 1, max_items = 10000)]
        pub requests: Vec<Generate>,
        /// Also write all items into one JSONL file.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub jsonl: Option<bool>,
    }
}

/// What a take looks like in the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// Notes as JSON.
    #[default]
    Notes,
    /// The MIDI file in base64.
    Midi,
    /// Token ids.
    Tokens,
    /// All of these.
    Full,
    /// All of these, and of a melody what the model was told, what the demands cost it, and as files of the first take
    /// what it looked at: the attention of every layer and head as safetensors, and a picture of their mean.
    Research,
}

/// What a song is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SongPart {
    Melody,
    Chords,
    Bass,
    Drums,
}

impl SongPart {
    pub const ALL: [SongPart; 4] = [SongPart::Melody, SongPart::Chords, SongPart::Bass, SongPart::Drums];

    /// Also that of its track.
    pub fn name(self) -> &'static str {
        match self {
            SongPart::Melody => "melody",
            SongPart::Chords => "chords",
            SongPart::Bass => "bass",
            SongPart::Drums => "drums",
        }
    }
}

/// A file of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Standard MIDI File
    Mid,
    /// WAV, 16 bit; rendered notes are stereo at 44.1 kHz
    Wav,
    /// The same samples in about half the bytes
    Flac,
    /// Opus in an Ogg file, about a tenth of the bytes
    #[serde(alias = "opus")]
    Ogg,
    /// The notes as JSON
    Json,
    /// MusicXML 4.0, with chord symbols
    MusicXml,
    /// An ABC tune, with chord symbols
    Abc,
    /// A picture of the pattern
    Svg,
    /// A picture of the pattern
    Png,
}

impl FileFormat {
    /// Whether it holds sound.
    pub fn is_sound(self) -> bool {
        matches!(self, FileFormat::Wav | FileFormat::Flac | FileFormat::Ogg)
    }
}

/// A model that decides together with others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// A model, an alias, or `name@version`.
    #[schema(max_length = 200, example = "mine")]
    pub model: String,
    /// `(0, 100]`; the model of the request has 1.
    #[schema(exclusive_minimum = 0, maximum = 100, example = 0.5)]
    pub weight: f64,
}

/// Whom to tell of the end of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// `https://` or `http://`; private addresses are refused unless the configuration allows them.
    #[schema(max_length = 2000, example = "https://example.com/hook")]
    pub url: String,
    /// Ends to tell of: `complete`, `failed`, `cancelled`; all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<End>>,
    /// `whsec_` and base64 of 24 to 64 bytes; the server's own (`webhooks.secret`) if left out, which it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum End {
    Complete,
    Failed,
    Cancelled,
}

/// Music to work on: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    /// A file of an earlier task, or one that was uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_id: Option<String>,
    /// A MIDI file in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub midi: Option<String>,
    /// Notes, with `tempo` and `time_signature`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<Vec<crate::Note>>,
    /// Of `notes`; 120 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 40, maximum = 300)]
    pub tempo: Option<f64>,
    /// Of `notes`; 4/4 if left out.
    #[serde(deserialize_with = "whole::pair::<_, _, 1, 32>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_signature: Option<[u32; 2]>,
}
