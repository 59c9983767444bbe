//! What is told of a result: the grid, the object, and the command that makes it again.

use std::fmt::{Display, Write};

use partita_score::{DrumPattern, text_grid};
use serde_json::{Value, json};

use crate::session::Session;

/// The pattern as people see it in this terminal.
pub fn grid(session: &Session, pattern: &DrumPattern) -> String {
    let term = console::Term::stdout();
    let width = term.size_checked().map_or(80, |(_, columns)| usize::from(columns));
    let plain = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let unicode = !plain.is_some_and(|locale| locale == "C" || locale == "POSIX");
    text_grid::render(pattern, text_grid::Style { color: session.color(), unicode, width })
}

/// Hits as objects; bars and steps count from 0, as everywhere but on paper.
pub fn hits(pattern: &DrumPattern) -> Value {
    let steps = pattern.meter.steps_per_bar().max(1);
    let hits = pattern.hits.iter().map(|hit| {
        json!({
            "bar": hit.step / steps,
            "step": hit.step % steps,
            "drum": hit.class.name(),
            "pitch": hit.class.gm_pitch(),
            "velocity": hit.velocity,
            "offset": round(f64::from(hit.offset), 4),
        })
    });
    hits.collect()
}

/// `value` with so many decimals.
pub fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale + 0.0
}

/// `3 bars`, `1 bar`.
pub fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// The end of an answer: the files, what else there is to know, and the command that makes it again. Nothing with
/// `--quiet`.
pub fn ending(session: &Session, files: &[String], facts: &[(&str, &str)], command: &CommandLine) -> String {
    let mut text = String::new();
    if session.quiet {
        return text;
    }
    for file in files {
        let _ = writeln!(text, "wrote  {file}");
    }
    for (name, fact) in facts {
        let _ = writeln!(text, "{name:6} {fact}");
    }
    let _ = writeln!(text, "again  {command}");
    text
}

/// Text from elsewhere without what a terminal would obey.
pub fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A command line as one would type it.
pub struct CommandLine(String);

impl CommandLine {
    pub fn new(words: &[&str]) -> CommandLine {
        let mut line = CommandLine("partita".into());
        words.iter().for_each(|word| line.word(word));
        line
    }

    pub fn word(&mut self, word: &str) {
        self.0.push(' ');
        self.0.push_str(&quoted(word));
    }

    pub fn option(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.0, " --{name}");
        self.word(&value.to_string());
    }

    pub fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.option(name, value);
        }
    }

    pub fn flag(&mut self, name: &str, on: bool) {
        if on {
            let _ = write!(self.0, " --{name}");
        }
    }

    pub fn session(&mut self, session: &Session) {
        self.maybe("model", session.model.as_ref().map(|folder| folder.display()));
    }
}

impl Display for CommandLine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// A word that the shell takes as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_spaces_and_quotes_are_quoted() {
        let mut line = CommandLine::new(&["generate", "drums"]);
        line.option("output", "my funk.mid");
        line.option("style", "it's");
        line.maybe("density", None::<f64>);
        line.option("tempo", 92.5);
        line.flag("fill", true);
        let expected = r"partita generate drums --output 'my funk.mid' --style 'it'\''s' --tempo 92.5 --fill";
        assert_eq!(line.to_string(), expected);
    }
}
