//! The prompt: what was typed, and what options add to it.
//!
//! MusicGen's training texts end in their metadata as `key: value`, joined by full stops, so that is how they are said:
//! `dusty beat. genre: lo-fi. instrument: rhodes. bpm: 92. key: F minor`.
//!
//! Source: `MusicInfo` of facebookresearch/audiocraft.

use clap::Args;

use crate::options;

/// What it should sound like.
#[derive(Args, Debug)]
pub struct Words {
    /// What it should sound like, as in "dusty lo-fi hip hop, warm Rhodes, vinyl crackle"
    #[arg(short, long, value_name = "TEXT", required_unless_present_any = ["style", "instruments"])]
    prompt: Option<String>,
    /// Style to add to the prompt, as in lo-fi
    #[arg(long, value_name = "STYLE")]
    style: Option<String>,
    /// Instruments to add to the prompt, as in piano,double bass
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    instruments: Vec<String>,
    /// Mood to add to the prompt, as in melancholic
    #[arg(long, value_name = "MOOD")]
    mood: Option<String>,
    /// Beats per minute to add to the prompt, 40..=300; the model follows it roughly
    #[arg(long, value_parser = options::tempo, allow_negative_numbers = true)]
    tempo: Option<f64>,
    /// Key to add to the prompt, as in "F minor"; the model follows it roughly
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl Words {
    /// The prompt as the model reads it.
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
    fn options_are_said_in_the_words_of_the_training_texts() {
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
    }
}
