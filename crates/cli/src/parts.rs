//! What commands share that make accompaniments: who plays a part, as an option and as an answer, and stems.

use std::cmp::Reverse;
use std::path::Path;

use partita_models::arrange::{BassRule, CompRule, Made, Make};
use partita_models::song::stems;
use partita_score::Score;
use partita_score::picture::{Drawing, piano_rolls};

use crate::cancel;
use crate::deliver::{Delivery, Files, Sound};
use crate::error::{Error, Invalid, Result};
use crate::output::{Slot, Target};

/// Who is asked to play a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<R> {
    Make(Make<R>),
    /// Nobody, also not whoever does in the input.
    Nobody,
}

/// `keep`, `none`, `model` or a rule of these.
fn who<R>(field: &'static str, text: &str, rule: Option<R>, names: &[&str]) -> Result<Who<R>, Invalid> {
    match text {
        "model" => Ok(Who::Make(Make::Model)),
        "keep" => Ok(Who::Make(Make::Keep)),
        "none" => Ok(Who::Nobody),
        _ => rule.map(|rule| Who::Make(Make::Rule(rule))).ok_or_else(|| Invalid {
            field,
            allowed: format!("model, keep, none or one of {}", names.join(", ")),
            got: format!("{text:?}"),
        }),
    }
}

pub fn who_plays_bass(text: &str) -> Result<Who<BassRule>, Invalid> {
    who("bass", text, BassRule::from_name(text), &BassRule::ALL.map(BassRule::name))
}

pub fn who_plays_piano(text: &str) -> Result<Who<CompRule>, Invalid> {
    who("piano", text, CompRule::from_name(text), &CompRule::ALL.map(CompRule::name))
}

/// `model` or a rule of these.
fn maker<R>(field: &'static str, text: &str, rule: Option<R>, names: &[&str]) -> Result<Make<R>, Invalid> {
    let make = if text == "model" { Some(Make::Model) } else { rule.map(Make::Rule) };
    make.ok_or_else(|| Invalid {
        field,
        allowed: format!("model or one of {}", names.join(", ")),
        got: format!("{text:?}"),
    })
}

pub fn bass_maker(text: &str) -> Result<Make<BassRule>, Invalid> {
    maker("bass", text, BassRule::from_name(text), &BassRule::ALL.map(BassRule::name))
}

pub fn comping_maker(text: &str) -> Result<Make<CompRule>, Invalid> {
    maker("comping", text, CompRule::from_name(text), &CompRule::ALL.map(CompRule::name))
}

impl<R: Copy> Who<R> {
    /// Who makes the part; none for nobody.
    pub fn make(self) -> Option<Make<R>> {
        match self {
            Who::Make(make) => Some(make),
            Who::Nobody => None,
        }
    }

    /// As the options name it.
    pub fn name(self, rule: impl Fn(R) -> &'static str) -> &'static str {
        self.make().map_or("none", |make| name(make, rule))
    }
}

/// A maker as the options name it.
pub fn name<R: Copy>(make: Make<R>, rule: impl Fn(R) -> &'static str) -> &'static str {
    match make {
        Make::Keep => "keep",
        Make::Model => "model",
        Make::Rule(it) => rule(it),
    }
}

/// Who made a part, in words.
pub fn told(made: &Made) -> String {
    match made {
        Made::Nobody => "nobody".into(),
        Made::Given => "given".into(),
        Made::Model => "model".into(),
        Made::Rule(rule) => rule.to_string(),
    }
}

/// A WAV file for each track of each score, named after it, in `folder`; all of a score as long as the whole sounds.
///
/// # Errors
/// Ctrl-C, a folder that cannot be made, files that cannot be written, tracks that cannot be rendered.
pub fn write_stems(
    folder: &Path,
    scores: &[&Score],
    files: &Files,
    sound: Sound,
    delivery: &mut Delivery,
) -> Result<()> {
    delivery.folder("stems", folder)?;
    let renderer = files.sound.open(sound)?;
    let mut wanted: Vec<(usize, Slot, Score)> = Vec::new();
    for (index, score) in scores.iter().enumerate() {
        let mut names: Vec<String> = Vec::new();
        for (number, stem) in (1..).zip(stems(score)) {
            if stem.tracks[0].notes.is_empty() {
                continue;
            }
            let name = file_name(&stem.tracks[0].name, number, &names);
            let target = Target::File(folder.join(format!("{name}.wav"))).numbered(index, scores.len());
            wanted.push((index, delivery.add("stems", &target)?, stem));
            names.push(name);
        }
    }
    // The whole ends with its longest track, which says how long the others are to be.
    wanted.sort_by_key(|(index, _, stem)| (*index, Reverse(stem.end())));
    let mut frames = vec![0; scores.len()];
    for (index, slot, stem) in &wanted {
        if cancel::requested() {
            return Err(Error::interrupted());
        }
        let (bytes, length) = renderer.padded(stem, frames[*index])?;
        frames[*index] = length;
        delivery.stream(*slot, &mut |out| out.write_all(&bytes))?;
    }
    Ok(())
}

/// A track's name as that of a file that is not there yet.
fn file_name(name: &str, number: usize, taken: &[String]) -> String {
    const LONGEST: usize = 64;
    let plain = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = name.trim().to_lowercase().chars().take(LONGEST).map(plain).collect();
    let name = name.trim_matches('-');
    if !name.is_empty() && taken.iter().all(|other| other != name) {
        return name.to_owned();
    }
    let name = if name.is_empty() { "track" } else { name };
    let numbered = (number..).map(|number| format!("{name}-{number}"));
    numbered.into_iter().find(|name| !taken.contains(name)).expect("there are more numbers than names")
}

/// A line of rolls, one a track.
pub fn rolls(score: &Score) -> Drawing {
    let named: Vec<(String, Score)> =
        stems(score).into_iter().map(|stem| (stem.tracks[0].name.clone(), stem)).collect();
    let shown: Vec<(String, &Score)> = named.iter().map(|(name, stem)| (name.clone(), stem)).collect();
    piano_rolls(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_of_any_name_become_files_of_their_own() {
        let taken = ["violin".to_owned(), "violin-2".to_owned()];
        for (name, expected) in [
            ("Bass", "bass"),
            ("../../etc/passwd", "etc-passwd"),
            ("", "track-2"),
            ("..", "track-2"),
            ("Violin", "violin-3"),
            ("Flöte 1", "flöte-1"),
        ] {
            assert_eq!(file_name(name, 2, &taken), expected, "{name}");
        }
        assert!(file_name(&"x".repeat(1000), 1, &taken).len() <= 64);
    }

    #[test]
    fn players_are_rules_the_model_the_one_there_is_or_nobody() {
        assert_eq!(who_plays_bass("walking").expect("a rule"), Who::Make(Make::Rule(BassRule::Walking)));
        assert_eq!(who_plays_piano("keep").expect("kept"), Who::Make(Make::Keep));
        assert_eq!(who_plays_piano("none").expect("nobody"), Who::Nobody);
        let refused = who_plays_bass("held").expect_err("a rule of the piano").to_string();
        assert!(refused.starts_with("bass must be model, keep, none or one of roots, "), "{refused}");
        assert!(comping_maker("keep").is_err() && comping_maker("model").is_ok());
    }
}
