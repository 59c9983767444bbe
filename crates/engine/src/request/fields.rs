//! Checks of the fields that requests of every family share.

use partita_score::Meter;

use super::groups::{Delivered, Ordered};
use super::problems::{Problems, text};
use super::{FileFormat, OutputFormat, webhook};

/// Longest `custom_id`, characters.
const LONGEST_ID: usize = 64;
/// Longest `timeout`, seconds.
const LONGEST_TIMEOUT: f64 = 86_400.0;
/// Metres that drums are written in.
pub(crate) const METERS: &str = "a numerator of 1..=32 over 2, 4, 8 or 16 with at most 32 sixteenths a bar";
/// Beats per minute.
pub(crate) const TEMPOS: &str = "40..=300";
/// Names of the built-in sounds.
pub(crate) const SOUNDS: [&str; 3] = ["acoustic", "analog808", "analog909"];

pub(crate) fn tempo(field: &str, value: Option<f64>, problems: &mut Problems) {
    problems.real(field, TEMPOS, |tempo| (40.0..=300.0).contains(&tempo), value);
}

pub(crate) fn swing(field: &str, value: Option<f64>, problems: &mut Problems) {
    problems.real(field, "[0.5, 0.75]", |swing| (0.5..=0.75).contains(&swing), value);
}

/// The metre of a numerator and denominator in which drums can be played.
pub(crate) fn meter([above, below]: [u32; 2]) -> Option<Meter> {
    let meter = Meter::new(u8::try_from(above).ok()?, u8::try_from(below).ok()?)?;
    is_drum_meter(meter).then_some(meter)
}

pub(crate) fn is_drum_meter(meter: Meter) -> bool {
    matches!(meter.denominator, 2 | 4 | 8 | 16) && (1..=32).contains(&meter.steps_per_bar())
}

pub(crate) fn time_signature(field: &str, value: Option<[u32; 2]>, problems: &mut Problems) {
    if let Some([above, below]) = value.filter(|value| meter(*value).is_none()) {
        problems.add(field, METERS, format_args!("{above}/{below}"));
    }
}

pub(crate) fn ordered(fields: &Ordered, problems: &mut Problems) {
    if let Some(id) = fields.custom_id.as_ref() {
        let length = id.chars().count();
        if !(1..=LONGEST_ID).contains(&length) {
            problems.add("custom_id", "1..=64 characters", length);
        }
    }
    problems.whole("priority", 0..=9, *fields.priority);
    let fits = |timeout| timeout > 0.0 && timeout <= LONGEST_TIMEOUT;
    problems.real("timeout", "(0, 86400]", fits, *fields.timeout);
    if let Some(webhook) = fields.webhook.as_ref() {
        webhook::check(webhook, problems);
    }
}

/// What a request that says nothing gets, and what it may not ask for.
pub(crate) struct Offer<'a> {
    pub format: Option<OutputFormat>,
    pub files: &'a [FileFormat],
    /// Sound of a WAV file.
    pub sound: &'a str,
    pub has_tokens: bool,
    /// Whether there is more to tell of a take than notes and tokens.
    pub has_research: bool,
    /// Whether sound is made beside the files.
    pub has_stems: bool,
}

/// Checks what is to come back and fills in what is not said.
pub(crate) fn delivered(fields: &mut Delivered, offer: &Offer, problems: &mut Problems) {
    *fields.output_format = fields.output_format.or(offer.format);
    if *fields.output_format == Some(OutputFormat::Tokens) && !offer.has_tokens {
        problems.add("output_format", "notes, midi or full", "tokens, which there are none of here");
    }
    if *fields.output_format == Some(OutputFormat::Research) && !offer.has_research {
        let tokens = if offer.has_tokens { "tokens, " } else { "" };
        let allowed = format!("notes, midi, {tokens}or full");
        problems.add("output_format", &allowed, "research, which there is none of here");
    }
    let files = fields.files.get_or_insert_with(|| offer.files.to_vec());
    once(files, problems);
    let has_sound = offer.has_stems || files.iter().any(|file| file.is_sound());
    match fields.sound.as_deref() {
        None if has_sound => *fields.sound = Some(offer.sound.to_owned()),
        None => {}
        Some(asked) => {
            match SOUNDS.into_iter().find(|name| *name == asked || name.strip_prefix("analog") == Some(asked))
            {
                Some(name) => {
                    *fields.sound = Some(name.to_owned());
                    problems.useless("sound", !has_sound, "it needs wav, flac or ogg among files");
                }
                None => problems.add("sound", &one_of(&SOUNDS), text(asked)),
            }
        }
    }
}

/// Checks that no file is asked for twice.
pub(crate) fn once(files: &[FileFormat], problems: &mut Problems) {
    for (index, file) in files.iter().enumerate().take(32) {
        if files[..index].contains(file) {
            problems.say(
                crate::Code::InvalidRequest,
                &format!("files/{index}"),
                "must be there once, got it again",
                None,
            );
        }
    }
}

/// Makes `files` of a `format`, which is short for one of them.
pub(crate) fn format(
    format: &mut Option<FileFormat>,
    files: &mut Option<Vec<FileFormat>>,
    problems: &mut Problems,
) {
    let Some(asked) = format.take() else { return };
    problems.useless("format", files.is_some(), "files says which there are to be");
    files.get_or_insert_with(|| vec![asked]);
}

/// `a, b or c`
pub(crate) fn one_of(names: &[&str]) -> String {
    match names {
        [] => "nothing".into(),
        [only] => (*only).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
