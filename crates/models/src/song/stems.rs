//! The tracks of a score by themselves.

use partita_score::harmony::CHORDS_TRACK;
use partita_score::{Score, Track};

/// A score a track, in the time of the whole; chord symbols go with the track `chords`, or with none.
pub fn stems(score: &Score) -> Vec<Score> {
    let stem = |track: &Track| {
        let chords = track.name.eq_ignore_ascii_case(CHORDS_TRACK);
        Score {
            chords: if chords { score.chords.clone() } else { Vec::new() },
            tracks: vec![track.clone()],
            ppq: score.ppq,
            tempos: score.tempos.clone(),
            meters: score.meters.clone(),
            keys: score.keys.clone(),
            ..Score::default()
        }
        .until(score.length())
    };
    score.tracks.iter().map(stem).collect()
}

/// The tracks that have notes, each with a name that a file of its own can have.
pub fn file_stems(score: &Score) -> Vec<(String, Score)> {
    let mut found: Vec<(String, Score)> = Vec::new();
    for (number, stem) in (1..).zip(stems(score)) {
        if !stem.tracks[0].notes.is_empty() {
            let taken: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            found.push((file_name(&stem.tracks[0].name, number, &taken), stem));
        }
    }
    found
}

/// A track's name as that of a file that is not there yet.
fn file_name(name: &str, number: usize, taken: &[&str]) -> String {
    const LONGEST: usize = 64;
    let plain = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = name.trim().to_lowercase().chars().take(LONGEST).map(plain).collect();
    let name = name.trim_matches('-');
    if !name.is_empty() && taken.iter().all(|other| *other != name) {
        return name.to_owned();
    }
    let name = if name.is_empty() { "track" } else { name };
    let numbered = (number..).map(|number| format!("{name}-{number}"));
    numbered
        .into_iter()
        .find(|name| !taken.contains(&name.as_str()))
        .expect("there are more numbers than names")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_of_any_name_become_files_of_their_own() {
        let taken = ["violin", "violin-2"];
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
}
