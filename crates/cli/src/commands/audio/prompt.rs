//! The prompt: what was typed, and what options add to it.

use clap::Args;
use partita_models::musicgen;

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
        let words = musicgen::Words {
            prompt: self.prompt.clone(),
            style: self.style.clone(),
            instruments: self.instruments.clone(),
            mood: self.mood.clone(),
            tempo: self.tempo,
            key: self.key.clone(),
        };
        words.prompt()
    }
}
