//! What the steps of a MusicVAE mean: melody, drums, a trio or a groove. Shapes alone do not tell everything, so a model
//! of ours says it in `model.json`, and published ones are known by name.

use partita_tokens::groove::GrooveInput;

use crate::music_vae::{Config, Head, Segments};

/// How a model reads and writes music.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One note at a time. With `chords`, over a chord a step.
    Melody { chords: bool },
    /// Sets of nine kinds of drums.
    Drums,
    /// Sets of 61 drums, each pitch its own.
    DrumPitches,
    /// Melody, bass and drums.
    Trio,
    /// Hits with velocity and microtiming. With `controlled`, encoder and decoder are told the hits, and only their
    /// velocity and timing are the model's.
    Groove { input: GrooveInput, controlled: bool },
}

const NAMES: [(Format, &str); 10] = [
    (Format::Melody { chords: false }, "melody-90"),
    (Format::Melody { chords: true }, "melody-90-chords"),
    (Format::Drums, "drums-9"),
    (Format::DrumPitches, "drums-61"),
    (Format::Trio, "trio-692"),
    (Format::groove(GrooveInput::Performance), "groove-27"),
    (Format::groove(GrooveInput::Hits), "groove-27-hits"),
    (Format::groove(GrooveInput::TapTiming), "groove-27-taps"),
    (Format::groove(GrooveInput::WithoutClosedHiHat), "groove-27-without-hat"),
    (Format::CONTROLLED_GROOVE, "groove-27-controlled"),
];

impl Format {
    /// A groove whose encoder and decoder are told the hits.
    pub const CONTROLLED_GROOVE: Format =
        Format::Groove { input: GrooveInput::Performance, controlled: true };

    /// A groove whose encoder is given this of a performance.
    pub const fn groove(input: GrooveInput) -> Format {
        Format::Groove { input, controlled: false }
    }

    /// The `tokens` of a `model.json`.
    pub fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(format, _)| *format == self);
        found.expect("every format has a name").1
    }

    /// The format of this [`name`](Self::name).
    pub fn parse(name: &str) -> Option<Format> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(format, _)| *format)
    }

    /// All names, for messages.
    pub fn names() -> String {
        NAMES.map(|(_, name)| name).join(", ")
    }

    /// What a person would call it.
    pub fn plays(self) -> &'static str {
        match self {
            Format::Melody { .. } => "melodies",
            Format::Drums | Format::DrumPitches => "drum loops",
            Format::Trio => "trios of melody, bass and drums",
            Format::Groove { .. } => "drum grooves",
        }
    }

    /// The format and the steps of a model of Magenta's, by the name of its file or configuration: `cat-mel_2bar_big`,
    /// `groovae_2bar_humanize.tar`. `None` for names that say nothing.
    pub fn published(name: &str) -> Option<(Format, usize)> {
        let has = |part: &str| name.contains(part);
        let format = if has("groovae") {
            match () {
                () if has("hits_control") => Format::CONTROLLED_GROOVE,
                () if has("humanize") => Format::groove(GrooveInput::Hits),
                () if has("tap") => Format::groove(GrooveInput::TapTiming),
                () if has("add_closed_hh") => Format::groove(GrooveInput::WithoutClosedHiHat),
                () => Format::groove(GrooveInput::Performance),
            }
        } else if has("trio") {
            Format::Trio
        } else if has("nade-drums") && has("full") {
            Format::DrumPitches
        } else if has("drums") {
            Format::Drums
        } else if has("mel") {
            Format::Melody { chords: has("chords") }
        } else {
            return None;
        };
        let bars = [("16bar", 16), ("4bar", 4), ("2bar", 2)].into_iter().find(|(part, _)| has(part))?.1;
        Some((format, bars * 16))
    }

    /// The format and the steps that a network's shape suggests.
    pub fn of_shape(config: &Config) -> Option<(Format, usize)> {
        let steps = config.segments.map_or(32, Segments::total);
        let format = match (&config.head, config.input_depth, config.control_depth) {
            (Head::Categorical(classes), 90, chords) if classes[..] == [90] => {
                Format::Melody { chords: chords > 0 }
            }
            (Head::Categorical(classes), 10, 0) if classes[..] == [512] => Format::Drums,
            (Head::Categorical(classes), 692, 0) if classes.len() == 3 => Format::Trio,
            (Head::Nade { .. }, 10, 0) => Format::Drums,
            (Head::Nade { .. }, 62, 0) => Format::DrumPitches,
            (Head::Groove, 27, 0) => Format::groove(GrooveInput::Performance),
            (Head::Groove, 27, 9) => Format::CONTROLLED_GROOVE,
            _ => return None,
        };
        Some((format, steps))
    }

    /// Whether a network of this shape can have the format.
    pub fn fits(self, config: &Config) -> bool {
        let same_kind = |found: Format| match (self, found) {
            // The shape of a groove does not tell what its encoder saw.
            (Format::Groove { controlled, .. }, Format::Groove { controlled: shape, .. }) => {
                controlled == shape
            }
            (one, other) => one == other,
        };
        Format::of_shape(config).is_some_and(|(found, _)| same_kind(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for (format, name) in NAMES {
            assert_eq!((format.name(), Format::parse(name)), (name, Some(format)));
        }
        assert_eq!(Format::parse("melody"), None);
    }

    #[test]
    fn published_names_say_what_a_model_plays_and_how_long() {
        let groove = |input, steps| Some((Format::groove(input), steps));
        let melody = |chords, steps| Some((Format::Melody { chords }, steps));
        for (name, expected) in [
            ("cat-mel_2bar_big.tar", melody(false, 32)),
            ("mel_2bar_small", melody(false, 32)),
            ("cat-mel_2bar_med_chords", melody(true, 32)),
            ("hierdec-mel_16bar", melody(false, 256)),
            ("trio_16bar_hierdec.ckpt.tar", Some((Format::Trio, 256))),
            ("cat-drums_2bar_small.hikl", Some((Format::Drums, 32))),
            ("nade-drums_2bar_full", Some((Format::DrumPitches, 32))),
            ("groovae_4bar", groove(GrooveInput::Performance, 64)),
            ("groovae_2bar_humanize", groove(GrooveInput::Hits, 32)),
            ("groovae_2bar_tap_fixed_velocity", groove(GrooveInput::TapTiming, 32)),
            ("groovae_2bar_add_closed_hh", groove(GrooveInput::WithoutClosedHiHat, 32)),
            ("groovae_2bar_hits_control_tfds", Some((Format::CONTROLLED_GROOVE, 32))),
            ("model.ckpt", None),
        ] {
            assert_eq!(Format::published(name), expected, "{name}");
        }
    }
}
