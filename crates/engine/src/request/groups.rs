//! The groups of fields that several request types share, as one type each.

use super::{
    Analyze, Arrange, Batch, Continue, FileFormat, Generate, Harmonize, Humanize, Infill, Mix, OutputFormat,
    Render, Song, WebhookRequest,
};

/// Who plays, and with which seed.
pub(crate) struct Modelled<'a> {
    pub model: &'a mut Option<String>,
    pub seed: &'a mut Option<u64>,
}

/// What may sound.
pub(crate) struct Played<'a> {
    pub kit: &'a mut Option<Vec<String>>,
    pub density: &'a mut Option<f64>,
    pub velocity: &'a mut Option<[u8; 2]>,
}

/// How many answers, and how their tokens are drawn.
pub(crate) struct Sampled<'a> {
    pub variations: &'a mut Option<usize>,
    pub profile: &'a mut Option<String>,
    pub temperature: &'a mut Option<f64>,
    pub top_k: &'a mut Option<usize>,
    pub top_p: &'a mut Option<f64>,
}

/// What notes must obey, and the harmony under them.
pub(crate) struct Composed<'a> {
    pub key: &'a mut Option<String>,
    pub scale: &'a mut Option<String>,
    pub range: &'a mut Option<[u8; 2]>,
    pub grid: &'a mut Option<String>,
    pub max_leap: &'a mut Option<u8>,
    pub notes_per_bar: &'a mut Option<[u32; 2]>,
    pub strong_beats: &'a mut Option<String>,
    pub cadence: &'a mut Option<bool>,
    pub forbid: &'a mut Option<Vec<String>>,
    pub require: &'a mut Option<Vec<String>>,
    pub chords: &'a mut Option<String>,
    pub progression: &'a mut Option<String>,
    pub mood: &'a mut Option<String>,
    pub no_chords: &'a mut Option<bool>,
    pub mix: &'a mut Option<Vec<Mix>>,
    pub repetition_penalty: &'a mut Option<f64>,
}

/// What comes back.
pub(crate) struct Delivered<'a> {
    pub output_format: &'a mut Option<OutputFormat>,
    pub files: &'a mut Option<Vec<FileFormat>>,
    pub sound: &'a mut Option<String>,
}

/// What the queue needs to know.
pub(crate) struct Ordered<'a> {
    pub custom_id: &'a mut Option<String>,
    pub priority: &'a mut Option<u8>,
    pub timeout: &'a mut Option<f64>,
    pub webhook: &'a mut Option<WebhookRequest>,
}

impl Composed<'_> {
    /// Names of those that only models that write notes under demands can use, and whether each is there.
    pub(crate) fn given(&self) -> [(&'static str, bool); 14] {
        [
            ("scale", self.scale.is_some()),
            ("range", self.range.is_some()),
            ("grid", self.grid.is_some()),
            ("max_leap", self.max_leap.is_some()),
            ("notes_per_bar", self.notes_per_bar.is_some()),
            ("strong_beats", self.strong_beats.is_some()),
            ("cadence", self.cadence.is_some()),
            ("forbid", self.forbid.is_some()),
            ("require", self.require.is_some()),
            ("chords", self.chords.is_some()),
            ("progression", self.progression.is_some()),
            ("no_chords", self.no_chords.is_some()),
            ("mix", self.mix.is_some()),
            ("repetition_penalty", self.repetition_penalty.is_some()),
        ]
    }
}

macro_rules! groups {
    (@method modelled) => {
        pub(crate) fn modelled(&mut self) -> Modelled<'_> {
            Modelled { model: &mut self.model, seed: &mut self.seed }
        }
    };
    (@method played) => {
        pub(crate) fn played(&mut self) -> Played<'_> {
            Played { kit: &mut self.kit, density: &mut self.density, velocity: &mut self.velocity }
        }
    };
    (@method sampled) => {
        pub(crate) fn sampled(&mut self) -> Sampled<'_> {
            Sampled {
                variations: &mut self.variations,
                profile: &mut self.profile,
                temperature: &mut self.temperature,
                top_k: &mut self.top_k,
                top_p: &mut self.top_p,
            }
        }
    };
    (@method composed) => {
        pub(crate) fn composed(&mut self) -> Composed<'_> {
            Composed {
                key: &mut self.key,
                scale: &mut self.scale,
                range: &mut self.range,
                grid: &mut self.grid,
                max_leap: &mut self.max_leap,
                notes_per_bar: &mut self.notes_per_bar,
                strong_beats: &mut self.strong_beats,
                cadence: &mut self.cadence,
                forbid: &mut self.forbid,
                require: &mut self.require,
                chords: &mut self.chords,
                progression: &mut self.progression,
                mood: &mut self.mood,
                no_chords: &mut self.no_chords,
                mix: &mut self.mix,
                repetition_penalty: &mut self.repetition_penalty,
            }
        }
    };
    (@method delivered) => {
        pub(crate) fn delivered(&mut self) -> Delivered<'_> {
            Delivered {
                output_format: &mut self.output_format,
                files: &mut self.files,
                sound: &mut self.sound,
            }
        }
    };
    (@method ordered) => {
        pub(crate) fn ordered(&mut self) -> Ordered<'_> {
            Ordered {
                custom_id: &mut self.custom_id,
                priority: &mut self.priority,
                timeout: &mut self.timeout,
                webhook: &mut self.webhook,
            }
        }
    };
    ($($request:ident [$($group:ident)*])*) => {
        $(impl $request { $(groups!(@method $group);)* })*
    };
}

groups! {
    Generate [modelled composed played sampled delivered ordered]
    Continue [modelled composed played sampled delivered ordered]
    Infill [modelled composed played sampled delivered ordered]
    Humanize [modelled delivered ordered]
    Harmonize [sampled modelled delivered ordered]
    Arrange [sampled modelled delivered ordered]
    Song [composed sampled modelled delivered ordered]
    Render [delivered ordered]
    Analyze [ordered]
    Batch [ordered]
}
