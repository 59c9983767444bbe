//! The prompt: what was typed, and what is known of the music besides.
//!
//! MusicGen's training texts end in their metadata as `key: value`, joined by full stops, so that is how they are said:
//! `dusty beat. genre: lo-fi. instrument: rhodes. bpm: 92. key: F minor`.
//!
//! Source: `MusicInfo` of facebookresearch/audiocraft.

/// What it should sound like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    pub prompt: Option<String>,
    pub style: Option<String>,
    pub instruments: Vec<String>,
    pub mood: Option<String>,
    /// Beats per minute; the model follows it roughly.
    pub tempo: Option<f64>,
    /// As in `F minor`; the model follows it roughly.
    pub key: Option<String>,
}

impl Words {
    /// The prompt as the model reads it; empty if nothing was said.
    pub fn prompt(&self) -> String {
        let instruments: Vec<&str> = self.instruments.iter().map(|name| name.trim()).collect();
        let instruments = Some(instruments.join(", ")).filter(|list| !list.is_empty());
        let tempo = self.tempo.map(|tempo| tempo.to_string());
        let said = |name: &str, value: &Option<String>| {
            let value = value.as_deref().map(str::trim).filter(|value| !value.is_empty());
            value.map(|value| format!("{name}: {value}"))
        };
        let text = self.prompt.as_deref().map(|text| text.trim().trim_end_matches('.').to_owned());
        let parts = [
            text.filter(|text| !text.is_empty()),
            said("genre", &self.style),
            said("moods", &self.mood),
            said("instrument", &instruments),
            said("bpm", &tempo),
            said("key", &self.key),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(". ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_said_in_the_words_of_the_training_texts() {
        let words = Words {
            prompt: Some("dusty beat.".into()),
            style: Some("lo-fi".into()),
            instruments: vec!["rhodes".into(), " bass".into()],
            mood: None,
            tempo: Some(92.0),
            key: Some("F minor".into()),
        };
        let prompt = "dusty beat. genre: lo-fi. instrument: rhodes, bass. bpm: 92. key: F minor";
        assert_eq!(words.prompt(), prompt);
        assert_eq!(Words::default().prompt(), "");
    }
}
