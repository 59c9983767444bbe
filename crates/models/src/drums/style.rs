//! Styles: those the model learned, and profiles (YAML) that shape one of them.

use std::collections::BTreeMap;

use partita_score::swing::SwingUnit;
use partita_score::{DrumClass, DrumPattern, Hit};
use serde::Deserialize;

use super::request::{ALL_LANES, Lanes, lanes_of};
use super::{DrumsConfig, Error};

/// A way of playing: a learned style as it is, or shaped by a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Style {
    pub name: String,
    /// Row of the style embedding.
    pub(crate) embedding: u32,
    /// Name of the learned style underneath.
    pub base: String,
    /// Tempo to use when none is asked for, beats per minute.
    pub(crate) tempo: f64,
    /// `None` for a learned style.
    pub profile: Option<Profile>,
}

/// A profile as its file says it. Every field but `base` may be left out.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// One line for people.
    #[serde(default)]
    pub about: String,
    /// The learned style underneath.
    pub base: String,
    /// Lowest and highest tempo, beats per minute; the middle is the default, or the base's own if left out.
    #[serde(default = "full_tempo")]
    pub tempo: [f64; 2],
    /// Place of the off-beat sixteenth, `[0.5, 0.75]`; 0.5 is straight.
    pub swing: Option<f64>,
    /// Factor on the model's own microtiming, `[0, 2]`.
    #[serde(default = "one")]
    pub microtiming: f64,
    /// Milliseconds a drum comes late (or early, below zero), `[-60, 60]`.
    #[serde(default)]
    pub delay_ms: BTreeMap<String, f64>,
    /// `[0, 1]`: from sparse to busy.
    pub density: Option<f64>,
    /// Drums that may sound; all if left out.
    pub kit: Option<Vec<String>>,
    /// Built-in sound: `acoustic`, `analog808` or `analog909`.
    pub sound: Option<String>,
    /// Strokes that every bar has, a character a sixteenth: `.` none, `o` soft, `x` normal, `X` loud.
    ///
    /// A drum with anchors plays them and nothing else; the model plays the other drums around them.
    #[serde(default)]
    pub anchors: BTreeMap<String, String>,
}

fn full_tempo() -> [f64; 2] {
    [40.0, 300.0]
}

fn one() -> f64 {
    1.0
}

/// The profiles that ship, by name.
const BUNDLED: [(&str, &str); 8] = [
    ("boom-bap", include_str!("../../profiles/boom-bap.yaml")),
    ("drum-and-bass", include_str!("../../profiles/drum-and-bass.yaml")),
    ("house", include_str!("../../profiles/house.yaml")),
    ("j-dilla", include_str!("../../profiles/j-dilla.yaml")),
    ("lo-fi", include_str!("../../profiles/lo-fi.yaml")),
    ("metro-boomin", include_str!("../../profiles/metro-boomin.yaml")),
    ("questlove", include_str!("../../profiles/questlove.yaml")),
    ("trap", include_str!("../../profiles/trap.yaml")),
];

/// All styles of a model: the learned ones, then the profiles, each in order of name.
///
/// # Errors
/// A bundled profile that does not fit the model.
pub fn all_styles(config: &DrumsConfig) -> Result<Vec<Style>, Error> {
    let learned = config.styles.iter().enumerate().map(|(i, name)| {
        let tempo = config.tempos[i];
        Ok(Style { name: name.clone(), embedding: i as u32, base: name.clone(), tempo, profile: None })
    });
    let profiles = BUNDLED.iter().map(|(name, text)| style_from_profile(config, name, text));
    // A model trained on other data may lack the style under a profile: then it lacks the profile too.
    let fitting = profiles.filter(|profile| !matches!(profile, Err(Error::MissingBase { .. })));
    learned.chain(fitting).collect()
}

/// The style called `name`, forgiving case, spaces and hyphens.
///
/// # Errors
/// [`Error::UnknownStyle`] with the nearest names.
pub fn find_style(config: &DrumsConfig, name: &str) -> Result<Style, Error> {
    let plain =
        |s: &str| s.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let styles = all_styles(config)?;
    if let Some(style) = styles.iter().find(|style| plain(&style.name) == plain(name)) {
        return Ok(style.clone());
    }
    let wanted = plain(name);
    let mut near: Vec<(f64, &str)> = styles
        .iter()
        .map(|style| {
            let other = plain(&style.name);
            let inside = wanted.len() >= 3 && (other.contains(&wanted) || wanted.contains(&other));
            (if inside { 1.0 } else { strsim::jaro_winkler(&wanted, &other) }, style.name.as_str())
        })
        .filter(|(likeness, _)| *likeness > 0.75)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names: Vec<&str> = near.iter().take(3).map(|(_, name)| *name).collect();
    let hint =
        if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) };
    Err(Error::UnknownStyle { got: name.to_owned(), hint, count: styles.len() })
}

/// A style from a profile's YAML text.
///
/// # Errors
/// [`Error::Profile`] naming the line or field, what is allowed and what came.
pub fn style_from_profile(config: &DrumsConfig, name: &str, yaml: &str) -> Result<Style, Error> {
    let error = |message: String| Error::Profile { name: name.to_owned(), message };
    let profile: Profile = serde_saphyr::from_str(yaml).map_err(|e| error(first_line(&e.to_string())))?;
    let embedding = config.styles.iter().position(|style| *style == profile.base);
    let embedding = embedding.ok_or_else(|| Error::MissingBase {
        name: name.to_owned(),
        allowed: config.styles.join(", "),
        got: profile.base.clone(),
    })? as u32;
    let [low, high] = profile.tempo;
    if !(40.0 <= low && low <= high && high <= 300.0) {
        return Err(error(format!("tempo must be two numbers in 40..=300, low first, got [{low}, {high}]")));
    }
    let ranges = [
        ("swing", profile.swing, 0.5, 0.75),
        ("microtiming", Some(profile.microtiming), 0.0, 2.0),
        ("density", profile.density, 0.0, 1.0),
    ];
    for (field, value, low, high) in ranges {
        if let Some(value) = value.filter(|v| !(low..=high).contains(v)) {
            return Err(error(format!("{field} must be in [{low}, {high}], got {value}")));
        }
    }
    for (drum, delay) in &profile.delay_ms {
        drum.parse::<DrumClass>().map_err(|e| error(format!("delay_ms: {e}")))?;
        if !(-60.0..=60.0).contains(delay) {
            return Err(error(format!("delay_ms of {drum} must be in [-60, 60], got {delay}")));
        }
    }
    if let Some(kit) = &profile.kit {
        parse_lanes(kit).map_err(|e| error(format!("kit: {e}")))?;
    }
    for (drum, pattern) in &profile.anchors {
        drum.parse::<DrumClass>().map_err(|e| error(format!("anchors: {e}")))?;
        let strokes = strokes(pattern).count();
        if strokes == 0 || strokes > 32 || strokes != pattern.chars().filter(|c| !c.is_whitespace()).count() {
            return Err(error(format!(
                "anchors of {drum} must be 1..=32 of `.`, `o`, `x` and `X`, got {pattern:?}"
            )));
        }
    }
    if let Some(sound) =
        profile.sound.as_deref().filter(|s| !["acoustic", "analog808", "analog909"].contains(s))
    {
        return Err(error(format!("sound must be acoustic, analog808 or analog909, got {sound:?}")));
    }
    let tempo =
        if profile.tempo == full_tempo() { config.tempos[embedding as usize] } else { (low + high) / 2.0 };
    Ok(Style { name: name.to_owned(), embedding, base: profile.base.clone(), tempo, profile: Some(profile) })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn parse_lanes(kit: &[String]) -> Result<Lanes, partita_score::Error> {
    Ok(lanes_of(&partita_score::drums::parse_lanes(&kit.join(","))?))
}

/// Velocity of each sixteenth, `None` for rests.
fn strokes(pattern: &str) -> impl Iterator<Item = Option<u8>> {
    pattern.chars().filter_map(|c| match c {
        '.' => Some(None),
        'o' => Some(Some(58)),
        'x' => Some(Some(92)),
        'X' => Some(Some(118)),
        _ => None,
    })
}

impl Style {
    /// The tempo to use when none is asked for.
    pub fn default_tempo(&self) -> f64 {
        self.tempo
    }

    pub fn density(&self) -> Option<f64> {
        self.profile.as_ref().and_then(|p| p.density)
    }

    /// Built-in sound this style asks for.
    pub fn sound(&self) -> &str {
        self.profile.as_ref().and_then(|p| p.sound.as_deref()).unwrap_or("acoustic")
    }

    /// Drums the style uses.
    pub fn lanes(&self) -> Lanes {
        let kit = self.profile.as_ref().and_then(|p| p.kit.as_ref());
        kit.map_or(ALL_LANES, |kit| parse_lanes(kit).expect("checked when the profile was read"))
    }

    /// Lanes that only play their anchors.
    pub(crate) fn anchored_lanes(&self) -> Lanes {
        let drums = self.profile.iter().flat_map(|p| p.anchors.keys());
        lanes_of(
            &drums.map(|drum| drum.parse().expect("checked when the profile was read")).collect::<Vec<_>>(),
        )
    }

    /// Strokes that `bars` bars of `steps_per_bar` must have in the open `lanes`; a pattern shorter than the
    /// bar starts again.
    pub(crate) fn anchors(&self, bars: u32, steps_per_bar: u32, lanes: &Lanes) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (drum, pattern) in self.profile.iter().flat_map(|p| &p.anchors) {
            let class: DrumClass = drum.parse().expect("checked when the profile was read");
            let strokes: Vec<Option<u8>> = strokes(pattern).collect();
            if !lanes[class.index()] {
                continue;
            }
            for step in 0..bars * steps_per_bar {
                if let Some(velocity) = strokes[(step % steps_per_bar) as usize % strokes.len()] {
                    hits.push(Hit { step, class, velocity, offset: 0.0 });
                }
            }
        }
        hits.sort_by_key(|hit| (hit.step, hit.class));
        hits
    }

    /// Applies the profile's timing to what the model played.
    pub(crate) fn shape(&self, pattern: &mut DrumPattern) {
        let Some(profile) = &self.profile else { return };
        let step_ms = 15_000.0 / pattern.tempo;
        let mut delays = [0.0f32; 9];
        for (drum, delay) in &profile.delay_ms {
            let class: DrumClass = drum.parse().expect("checked when the profile was read");
            delays[class.index()] = (delay / step_ms) as f32;
        }
        for hit in &mut pattern.hits {
            hit.offset *= profile.microtiming as f32;
        }
        if let Some(swing) = profile.swing {
            let applied = partita_score::swing::apply(pattern, SwingUnit::Sixteenth, swing);
            applied.expect("checked when the profile was read");
        }
        for hit in &mut pattern.hits {
            let late = hit.offset + delays[hit.class.index()];
            // Half a step is the limit of a sixteenth: a delay never changes a hit's cell.
            hit.offset = late.clamp(-0.5, 0.499);
        }
        pattern.sort();
    }

    /// What the profile changes, in a few words each.
    pub fn changes(&self) -> Vec<String> {
        let Some(p) = &self.profile else { return vec![] };
        let mut changes = Vec::new();
        if p.tempo != full_tempo() {
            changes.push(format!("{:.0}-{:.0} bpm", p.tempo[0], p.tempo[1]));
        }
        changes.extend(p.swing.map(|s| format!("swing {s:.2}")));
        if p.microtiming != 1.0 {
            changes.push(format!("microtiming x{}", p.microtiming));
        }
        changes.extend(p.delay_ms.iter().map(|(drum, ms)| format!("{drum} {ms:+.0} ms")));
        changes.extend(p.density.map(|d| format!("density {d}")));
        changes.extend(p.kit.as_ref().map(|kit| format!("kit {}", kit.join("+"))));
        changes.extend(p.anchors.iter().map(|(drum, pattern)| format!("{drum} {pattern}")));
        changes.extend(p.sound.iter().map(|sound| format!("sound {sound}")));
        changes
    }
}
