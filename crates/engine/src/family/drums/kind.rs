//! What a drummer's `model.json` says, with its styles.

use partita_models::drums::{ALL_LANES, DrumsConfig, Lanes, Style, all_styles};

use crate::Fault;
use crate::family::model::broken;

/// Longest name of a style that is looked up, bytes.
const LONGEST_NAME: usize = 100;

/// A drummer without its weights.
#[derive(Debug)]
pub(crate) struct DrumsKind {
    /// Learned ones first. Reading the profiles takes a while, so it is done once.
    styles: Vec<Style>,
}

/// What a check needs to know of a style.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manner {
    pub name: String,
    /// Beats per minute, `40..=300`.
    pub tempo: f64,
    pub sound: String,
    pub lanes: Lanes,
}

impl DrumsKind {
    /// # Errors
    /// `ModelBroken` where sizes do not fit.
    pub fn new(name: &str, config: &DrumsConfig) -> Result<DrumsKind, Fault> {
        // `all_styles` takes this for granted.
        if config.tempos.len() != config.styles.len() {
            let (styles, tempos) = (config.styles.len(), config.tempos.len());
            return Err(broken(name, format!("tempos must be one a style, {styles}, got {tempos}")));
        }
        let styles = all_styles(config).map_err(|error| broken(name, error))?;
        Ok(DrumsKind { styles })
    }

    /// Names of all styles, `any` left out.
    pub fn names(&self) -> Vec<String> {
        self.styles.iter().map(|style| style.name.clone()).collect()
    }

    pub fn all(&self) -> &[Style] {
        &self.styles
    }

    /// The style called `name`, forgiving case, spaces and hyphens; `None` for `any` too.
    pub fn style(&self, name: &str) -> Option<&Style> {
        if name.len() > LONGEST_NAME {
            return None;
        }
        let wanted = plain(name);
        self.styles.iter().find(|style| plain(&style.name) == wanted)
    }

    /// The style called `name`, or `any`.
    pub fn find(&self, name: &str) -> Option<Manner> {
        if let Some(style) = self.style(name) {
            return Some(Manner {
                name: style.name.clone(),
                tempo: style.default_tempo().clamp(40.0, 300.0),
                sound: style.sound().to_owned(),
                lanes: style.lanes(),
            });
        }
        let any = Manner { name: "any".into(), tempo: 100.0, sound: "acoustic".into(), lanes: ALL_LANES };
        name.trim().eq_ignore_ascii_case("any").then_some(any)
    }

    /// Up to three names that may have been meant.
    pub fn nearest(&self, name: &str) -> Vec<String> {
        if name.len() > LONGEST_NAME {
            return vec![];
        }
        let wanted = plain(name);
        let likeness = |other: &str| {
            let other = plain(other);
            let inside = wanted.len() >= 3 && (other.contains(&wanted) || wanted.contains(&other));
            if inside { 1.0 } else { strsim::jaro_winkler(&wanted, &other) }
        };
        let mut near: Vec<(f64, &str)> =
            self.styles.iter().map(|style| (likeness(&style.name), style.name.as_str())).collect();
        near.retain(|(likeness, _)| *likeness > 0.75);
        near.sort_by(|left, right| right.0.total_cmp(&left.0));
        near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
