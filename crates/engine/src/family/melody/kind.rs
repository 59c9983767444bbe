//! What a writer's `model.json` says.

use partita_models::melody::MelodyConfig;

/// Likeness of names from which one may have been meant.
const LIKE: f64 = 0.75;
/// Longest name of a style that is looked up, bytes.
const LONGEST_NAME: usize = 100;

/// A writer without its weights.
#[derive(Debug)]
pub(crate) struct MelodyKind {
    styles: Vec<String>,
}

impl MelodyKind {
    pub fn new(config: &MelodyConfig) -> MelodyKind {
        MelodyKind { styles: config.styles.clone() }
    }

    pub fn names(&self) -> &[String] {
        &self.styles
    }

    /// The proper name of a style, forgiving case.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.styles.iter().map(String::as_str).find(|style| style.eq_ignore_ascii_case(name.trim()))
    }

    /// Up to three names that may have been meant.
    pub fn nearest(&self, name: &str) -> Vec<String> {
        if name.len() > LONGEST_NAME {
            return vec![];
        }
        let wanted = name.to_lowercase();
        let mut near: Vec<(f64, &String)> =
            self.styles.iter().map(|style| (strsim::jaro_winkler(&wanted, style), style)).collect();
        near.retain(|(likeness, _)| *likeness > LIKE);
        near.sort_by(|left, right| right.0.total_cmp(&left.0));
        near.into_iter().take(3).map(|(_, name)| name.clone()).collect()
    }
}
