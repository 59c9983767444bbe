//! The groups of fields that several request types share, as one type each.

use super::{
    Analyze, Batch, Continue, FileFormat, Generate, Humanize, Infill, OutputFormat, Render, WebhookRequest,
};

/// Who plays, and with which seed.
pub(crate) struct Modelled<'a> {
    pub model: &'a mut Option<String>,
    pub seed: &'a mut Option<u64>,
}

/// What may sound, and how tokens are drawn.
pub(crate) struct Sampled<'a> {
    pub kit: &'a mut Option<Vec<String>>,
    pub density: &'a mut Option<f64>,
    pub velocity: &'a mut Option<[u8; 2]>,
    pub variations: &'a mut Option<usize>,
    pub profile: &'a mut Option<String>,
    pub temperature: &'a mut Option<f64>,
    pub top_k: &'a mut Option<usize>,
    pub top_p: &'a mut Option<f64>,
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

macro_rules! groups {
    (@method modelled) => {
        pub(crate) fn modelled(&mut self) -> Modelled<'_> {
            Modelled { model: &mut self.model, seed: &mut self.seed }
        }
    };
    (@method sampled) => {
        pub(crate) fn sampled(&mut self) -> Sampled<'_> {
            Sampled {
                kit: &mut self.kit,
                density: &mut self.density,
                velocity: &mut self.velocity,
                variations: &mut self.variations,
                profile: &mut self.profile,
                temperature: &mut self.temperature,
                top_k: &mut self.top_k,
                top_p: &mut self.top_p,
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
    Generate [modelled sampled delivered ordered]
    Continue [modelled sampled delivered ordered]
    Infill [modelled sampled delivered ordered]
    Humanize [modelled delivered ordered]
    Render [delivered ordered]
    Analyze [ordered]
    Batch [ordered]
}
