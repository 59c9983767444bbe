//! Options that several commands share, and the parsers of their values.

use std::ops::RangeInclusive;

use clap::Args;
use partita_engine::Config;
use partita_models::drums::{ALL_LANES, Lanes, Sampling, lanes_of};
use partita_models::midi_gpt;
use partita_score::{Meter, drums};

use crate::error::Invalid;
use crate::report::CommandLine;

/// How new hits are played.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Playing")]
pub struct Playing {
    /// How many variations to play
    #[arg(short = 'n', long, default_value_t = 1, value_parser = variations, allow_negative_numbers = true)]
    pub variations: usize,
    /// Number all randomness comes from; drawn and printed if left out
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Boldness, (0, 4]: below 1 safer, above 1 wilder
    #[arg(long, default_value_t = Sampling::default().temperature, value_parser = temperature, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Draw from the k likeliest choices only; 0 for all
    #[arg(long, default_value_t = Sampling::default().top_k, value_parser = top_k, allow_negative_numbers = true)]
    pub top_k: usize,
    /// Draw from the likeliest choices that together reach this probability, (0, 1]
    #[arg(long, default_value_t = Sampling::default().top_p, value_parser = top_p, allow_negative_numbers = true)]
    pub top_p: f64,
    /// From sparse (0) to busy (1); left to the style if not given
    #[arg(long, value_parser = density, allow_negative_numbers = true)]
    pub density: Option<f64>,
    /// Softest and loudest hit, as in 40-110
    #[arg(long, value_name = "LOW-HIGH", default_value = "1-127", value_parser = velocity, allow_hyphen_values = true)]
    pub velocity: Velocities,
}

/// How tokens are drawn.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Drawing")]
pub struct Tokens {
    /// How many variations to write
    #[arg(short = 'n', long, default_value_t = 1, value_parser = variations, allow_negative_numbers = true)]
    pub variations: usize,
    /// Number all randomness comes from; drawn and printed if left out
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Settings by name: creative, balanced or conservative, or a YAML file of your own with temperature, top_k and
    /// top_p; those given beside it count more
    #[arg(long, default_value = "balanced", value_parser = profile, value_name = "NAME|FILE.yaml")]
    profile: Profile,
    /// Boldness, (0, 4]: below 1 safer, above 1 wilder
    #[arg(long, value_parser = temperature, allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// Draw from the k likeliest choices only; 0 for all
    #[arg(long, value_parser = top_k, allow_negative_numbers = true)]
    top_k: Option<usize>,
    /// Draw from the likeliest choices that together reach this probability, (0, 1]
    #[arg(long, value_parser = top_p, allow_negative_numbers = true)]
    top_p: Option<f64>,
    /// Makes pitches that came before less likely, [1, 2]: 1 is off
    #[arg(long, default_value_t = 1.0, value_parser = repetition_penalty, allow_negative_numbers = true)]
    repetition_penalty: f64,
}

/// Sampling settings by name.
#[derive(Clone, Debug)]
struct Profile {
    name: String,
    temperature: f64,
    top_k: usize,
    top_p: f64,
}

fn profile(text: &str) -> Result<Profile, Invalid> {
    let profiles = Config::default().profiles;
    let names = || profiles.keys().cloned().collect::<Vec<_>>().join(", ");
    let invalid = |allowed: String, got: String| Invalid { field: "profile", allowed, got };
    let path = std::path::Path::new(text);
    let is_file = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let found = if is_file {
        let lines = "a YAML file with temperature, top_k or top_p";
        let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if size > MAX_PROFILE {
            return Err(invalid(format!("{lines}, of at most {MAX_PROFILE} bytes"), format!("{size} bytes")));
        }
        let yaml = std::fs::read_to_string(path)
            .map_err(|error| invalid(lines.into(), format!("{text}: {error}")))?;
        partita_engine::config::Profile::from_yaml(&yaml)
            .map_err(|error| invalid(lines.into(), format!("{text}: {error}")))?
    } else {
        let allowed = || format!("one of {}, or a file that ends in .yaml", names());
        profiles.get(text).ok_or_else(|| invalid(allowed(), format!("{text:?}")))?.clone()
    };
    Ok(Profile {
        name: text.to_owned(),
        temperature: found.temperature.unwrap_or(1.0),
        top_k: found.top_k.unwrap_or(0),
        top_p: found.top_p.unwrap_or(1.0),
    })
}

/// A file of a few lines.
const MAX_PROFILE: u64 = 1 << 16;

fn repetition_penalty(text: &str) -> Result<f64, Invalid> {
    real("repetition-penalty", "[1, 2]", |value| (1.0..=2.0).contains(&value), text)
}

impl Tokens {
    /// # Errors
    /// Never for values that were parsed.
    pub fn sampling(&self) -> crate::error::Result<partita_nn::Sampling> {
        let sampling = partita_nn::Sampling {
            temperature: self.temperature.unwrap_or(self.profile.temperature) as f32,
            top_k: self.top_k.unwrap_or(self.profile.top_k),
            top_p: self.top_p.unwrap_or(self.profile.top_p) as f32,
            repetition_penalty: self.repetition_penalty as f32,
        };
        sampling.check().map_err(|error| crate::error::Error::usage("sampling", error))?;
        Ok(sampling)
    }

    /// These options, written out in full.
    pub fn echo(&self, seed: u64, line: &mut CommandLine) {
        line.option("variations", self.variations);
        line.option("seed", seed);
        line.option("profile", &self.profile.name);
        line.maybe("temperature", self.temperature);
        line.maybe("top-k", self.top_k);
        line.maybe("top-p", self.top_p);
        line.option("repetition-penalty", self.repetition_penalty);
    }
}

impl Playing {
    /// As it is if nothing is said.
    pub fn usual(variations: usize, seed: u64) -> Playing {
        let Sampling { temperature, top_k, top_p } = Sampling::default();
        let velocity = Velocities(1..=127);
        Playing { variations, seed: Some(seed), temperature, top_k, top_p, density: None, velocity }
    }

    pub fn sampling(&self) -> Sampling {
        Sampling { temperature: self.temperature, top_k: self.top_k, top_p: self.top_p }
    }

    /// These options, written out in full.
    pub fn echo(&self, seed: u64, line: &mut CommandLine) {
        self.echo_tokens(seed, line);
        line.option("velocity", &self.velocity);
    }

    /// Those that a melody has something for.
    pub fn echo_tokens(&self, seed: u64, line: &mut CommandLine) {
        line.option("variations", self.variations);
        line.option("seed", seed);
        line.option("temperature", self.temperature);
        line.option("top-k", self.top_k);
        line.option("top-p", self.top_p);
        line.maybe("density", self.density);
    }
}

/// Drums by name: `kick,snare,hihat`.
#[derive(Clone, Debug)]
pub struct LaneList {
    pub lanes: Lanes,
    text: String,
}

impl LaneList {
    /// Whether no drum is left out.
    pub fn is_all(&self) -> bool {
        self.lanes == ALL_LANES
    }
}

impl Default for LaneList {
    fn default() -> LaneList {
        LaneList { lanes: ALL_LANES, text: "all".into() }
    }
}

impl std::fmt::Display for LaneList {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

/// A range of velocities, `1..=127`.
#[derive(Clone, Debug)]
pub struct Velocities(pub RangeInclusive<u8>);

impl std::fmt::Display for Velocities {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}-{}", self.0.start(), self.0.end())
    }
}

/// Instruments of General MIDI, -1 for drums.
#[derive(Clone, Debug)]
pub struct Programs(pub Vec<i16>);

impl std::fmt::Display for Programs {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |program: &i16| if *program < 0 { "drums".to_owned() } else { program.to_string() };
        out.write_str(&self.0.iter().map(name).collect::<Vec<_>>().join(","))
    }
}

/// Bars as people count them, the first is 1: `3` or `3-4`.
#[derive(Clone, Debug)]
pub struct BarRange {
    /// Counted from 0.
    pub bars: std::ops::Range<u32>,
}

impl std::fmt::Display for BarRange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}-{}", self.bars.start + 1, self.bars.end)
    }
}

/// A seed for a run that was given none. Short, so that it can be typed again.
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library keys its hash maps from the system's randomness.
    let hasher = std::hash::RandomState::new().build_hasher();
    hasher.finish() & 0xffff_ffff
}

/// A number as it was typed, anything else in quotes.
fn shown(text: &str) -> String {
    if text.parse::<f64>().is_ok() { text.to_owned() } else { format!("{text:?}") }
}

fn whole<T>(field: &'static str, range: RangeInclusive<T>, text: &str) -> Result<T, Invalid>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let value = text.trim().parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| {
        let kind = if text.parse::<i128>().is_ok() { "in" } else { "a whole number in" };
        Invalid { field, allowed: format!("{kind} {}..={}", range.start(), range.end()), got: shown(text) }
    })
}

/// `allowed` describes what `fits` lets through.
fn real(field: &'static str, allowed: &str, fits: impl Fn(f64) -> bool, text: &str) -> Result<f64, Invalid> {
    let value = text.trim().parse().ok().filter(|value| fits(*value));
    value.ok_or_else(|| Invalid { field, allowed: format!("in {allowed}"), got: shown(text) })
}

pub fn bars(text: &str) -> Result<u32, Invalid> {
    whole("bars", 1..=32, text)
}

/// For models that go on as long as one likes.
pub fn many_bars(text: &str) -> Result<u32, Invalid> {
    whole("bars", 1..=midi_gpt::MAX_BARS, text)
}

pub fn max_tokens(text: &str) -> Result<usize, Invalid> {
    whole("max-tokens", 1..=midi_gpt::MAX_TOKENS, text)
}

pub fn programs(text: &str) -> Result<Programs, Invalid> {
    let program = |word: &str| match word.trim() {
        "drums" => Some(-1),
        word => word.parse().ok().filter(|program| (0..=127).contains(program)),
    };
    let programs: Option<Vec<i16>> = text.split(',').map(program).collect();
    programs.map(Programs).ok_or_else(|| Invalid {
        field: "programs",
        allowed: "numbers in 0..=127 or drums, as in 0,33,drums".into(),
        got: format!("{text:?}"),
    })
}

pub fn variations(text: &str) -> Result<usize, Invalid> {
    whole("variations", 1..=64, text)
}

pub fn clips(text: &str) -> Result<usize, Invalid> {
    whole("variations", 1..=16, text)
}

pub fn seconds(text: &str) -> Result<f64, Invalid> {
    real("seconds", "1..=300", |value| (1.0..=300.0).contains(&value), text)
}

pub fn guidance(text: &str) -> Result<f32, Invalid> {
    real("guidance", "[1, 20]", |value| (1.0..=20.0).contains(&value), text).map(|value| value as f32)
}

pub fn seed(text: &str) -> Result<u64, Invalid> {
    whole("seed", 0..=u64::MAX, text)
}

pub fn top_k(text: &str) -> Result<usize, Invalid> {
    whole("top-k", 0..=10_000, text)
}

pub fn sample_rate(text: &str) -> Result<u32, Invalid> {
    whole("sample-rate", 8000..=192_000, text)
}

pub fn tempo(text: &str) -> Result<f64, Invalid> {
    real("tempo", "40..=300", |value| (40.0..=300.0).contains(&value), text)
}

pub fn temperature(text: &str) -> Result<f64, Invalid> {
    real("temperature", "(0, 4]", |value| value > 0.0 && value <= 4.0, text)
}

pub fn any_temperature(text: &str) -> Result<f64, Invalid> {
    real("temperature", "[0, 4]", |value| (0.0..=4.0).contains(&value), text)
}

pub fn spread(text: &str) -> Result<f64, Invalid> {
    real("spread", "[0, 1]", |value| (0.0..=1.0).contains(&value), text)
}

pub fn vary_amount(text: &str) -> Result<f64, Invalid> {
    real("amount", "[-10, 10]", |value| (-10.0..=10.0).contains(&value), text)
}

pub fn interpolation_steps(text: &str) -> Result<usize, Invalid> {
    whole("steps", 2..=64, text)
}

pub fn bar(text: &str) -> Result<u32, Invalid> {
    whole("from-bar", 1..=100_000, text)
}

/// A track as people count them, from 1; as an index.
pub fn track(text: &str) -> Result<usize, Invalid> {
    whole("track", 1..=10_000, text).map(|track: usize| track - 1)
}

pub fn chords_per_bar(text: &str) -> Result<u32, Invalid> {
    whole("chords-per-bar", 1..=8, text)
}

pub fn top_p(text: &str) -> Result<f64, Invalid> {
    real("top-p", "(0, 1]", |value| value > 0.0 && value <= 1.0, text)
}

pub fn density(text: &str) -> Result<f64, Invalid> {
    real("density", "[0, 1]", |value| (0.0..=1.0).contains(&value), text)
}

pub fn amount(text: &str) -> Result<f64, Invalid> {
    real("amount", "[0, 1]", |value| (0.0..=1.0).contains(&value), text)
}

pub fn swing(text: &str) -> Result<f64, Invalid> {
    real("swing", "[0.5, 0.75]", |value| (0.5..=0.75).contains(&value), text)
}

pub fn loudness(text: &str) -> Result<f64, Invalid> {
    real("loudness", "[-60, 0]", |value| (-60.0..=0.0).contains(&value), text)
}

/// A metre whose bars have at most 32 sixteenths.
pub fn time(text: &str) -> Result<Meter, Invalid> {
    let invalid = || Invalid {
        field: "time",
        allowed: "numerator/denominator with 1..=32 over 2, 4, 8 or 16 and at most 32 sixteenths a bar"
            .into(),
        got: text.trim().to_owned(),
    };
    let meter: Meter = text.trim().parse().map_err(|_| invalid())?;
    let fits = meter.denominator > 1 && meter.steps_per_bar() <= 32;
    if fits { Ok(meter) } else { Err(invalid()) }
}

pub fn velocity(text: &str) -> Result<Velocities, Invalid> {
    let range = text.split_once('-').unwrap_or((text, text));
    let ends = range.0.trim().parse::<u8>().ok().zip(range.1.trim().parse::<u8>().ok());
    let fits = |(low, high): &(u8, u8)| (1..=127).contains(low) && low <= high && *high <= 127;
    let (low, high) = ends.filter(fits).ok_or_else(|| {
        let allowed = "low-high in 1..=127, low first".into();
        Invalid { field: "velocity", allowed, got: format!("{text:?}") }
    })?;
    Ok(Velocities(low..=high))
}

pub fn bar_range(text: &str) -> Result<BarRange, Invalid> {
    let range = text.split_once('-').unwrap_or((text, text));
    let ends = range.0.trim().parse::<u32>().ok().zip(range.1.trim().parse::<u32>().ok());
    let fits = |(first, last): &(u32, u32)| *first >= 1 && first <= last;
    let (first, last) = ends.filter(fits).ok_or_else(|| {
        let allowed = "first-last counted from 1, as in 3-4".into();
        Invalid { field: "bars", allowed, got: format!("{text:?}") }
    })?;
    Ok(BarRange { bars: first - 1..last })
}

pub fn kit(text: &str) -> Result<LaneList, Invalid> {
    lane_list("kit", text)
}

pub fn lanes(text: &str) -> Result<LaneList, Invalid> {
    lane_list("lanes", text)
}

fn lane_list(field: &'static str, text: &str) -> Result<LaneList, Invalid> {
    match drums::parse_lanes(text) {
        Ok(list) => Ok(LaneList { lanes: lanes_of(&list), text: text.to_owned() }),
        Err(partita_score::Error::UnknownDrum { got, allowed, hint }) => {
            let hint = hint.replacen(',', ";", 1);
            Err(Invalid { field, allowed: format!("drums among {allowed}"), got: format!("{got}{hint}") })
        }
        Err(other) => Err(Invalid { field, allowed: "a list of drums".into(), got: other.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_field_range_and_value() {
        let message = |result: Result<(), Invalid>| result.expect_err("invalid").to_string();
        assert_eq!(message(bars("33").map(drop)), "bars must be in 1..=32, got 33");
        assert_eq!(message(bars("four").map(drop)), "bars must be a whole number in 1..=32, got \"four\"");
        assert_eq!(message(tempo("NaN").map(drop)), "tempo must be in 40..=300, got NaN");
        assert_eq!(message(tempo("inf").map(drop)), "tempo must be in 40..=300, got inf");
        assert!(message(time("5/3").map(drop)).ends_with("got 5/3"));
        assert!(message(kit("kick,snair").map(drop)).ends_with("got \"snair\"; did you mean snare?"));
        assert!(message(bar_range("0-2").map(drop)).contains("counted from 1"));
    }

    #[test]
    fn ranges_parse_and_print() {
        assert_eq!(velocity("40-110").expect("valid").to_string(), "40-110");
        assert_eq!(velocity("90").expect("valid").to_string(), "90-90");
        assert_eq!(bar_range("3").expect("valid").bars, 2..3);
        assert_eq!(bar_range("3-4").expect("valid").to_string(), "3-4");
        assert_eq!(programs("0, drums,33").expect("valid").to_string(), "0,drums,33");
        assert!(programs("128").is_err() && programs("").is_err());
        for bad in ["0-10", "10-5", "1-128", "", "-"] {
            assert!(velocity(bad).is_err(), "{bad}");
        }
    }
}
