//! What commands share that make accompaniments: who plays a part, as an option, and stems.

use std::path::Path;

use partita_models::arrange::{BassRule, CompRule, Make, Who};
use partita_models::song::{file_stems, stems};
use partita_score::Score;
use partita_score::picture::{Drawing, piano_rolls};

use crate::deliver::{Delivery, Files, Sound};
use crate::error::{Invalid, Result};
use crate::output::{Slot, Target};

pub fn who_plays_bass(text: &str) -> Result<Who<BassRule>, Invalid> {
    Who::from_name(text).ok_or_else(|| invalid("bass", Who::<BassRule>::names(), text))
}

pub fn who_plays_piano(text: &str) -> Result<Who<CompRule>, Invalid> {
    Who::from_name(text).ok_or_else(|| invalid("piano", Who::<CompRule>::names(), text))
}

pub fn bass_maker(text: &str) -> Result<Make<BassRule>, Invalid> {
    Make::from_name(text).ok_or_else(|| invalid("bass", Make::<BassRule>::names(), text))
}

pub fn comping_maker(text: &str) -> Result<Make<CompRule>, Invalid> {
    Make::from_name(text).ok_or_else(|| invalid("comping", Make::<CompRule>::names(), text))
}

fn invalid(field: &'static str, allowed: String, text: &str) -> Invalid {
    Invalid { field, allowed, got: format!("{text:?}") }
}

/// A WAV file for each track of each score, named after it, in `folder`; all of a score as long as the whole sounds, and
/// in its balance.
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
    for (index, score) in scores.iter().enumerate() {
        let mut wanted: Vec<(Slot, Score)> = Vec::new();
        for (name, stem) in file_stems(score) {
            let target = Target::File(folder.join(format!("{name}.wav"))).numbered(index, scores.len());
            wanted.push((delivery.add("stems", &target)?, stem));
        }
        let mut slots = wanted.iter().map(|(slot, _)| *slot);
        renderer.stems(score, wanted.iter().map(|(_, stem)| stem), &mut |bytes| {
            let slot = slots.next().expect("a slot for each stem");
            delivery.stream(slot, &mut |out| out.write_all(&bytes))
        })?;
    }
    Ok(())
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
    fn players_are_rules_the_model_the_one_there_is_or_nobody() {
        assert_eq!(who_plays_bass("walking").expect("a rule"), Who::Make(Make::Rule(BassRule::Walking)));
        assert_eq!(who_plays_piano("keep").expect("kept"), Who::Make(Make::Keep));
        assert_eq!(who_plays_piano("none").expect("nobody"), Who::Nobody);
        let refused = who_plays_bass("held").expect_err("a rule of the piano").to_string();
        assert!(refused.starts_with("bass must be model, keep, none or one of roots, "), "{refused}");
        assert!(comping_maker("keep").is_err() && comping_maker("model").is_ok());
    }
}
