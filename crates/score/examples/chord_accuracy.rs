//! How often `recognize` and `find_key` agree with the labels of POP909.
//!
//! `cargo run --release -p partita-score --example chord_accuracy -- POP909 splits.csv train|validation|test [step]`
//!
//! Chords are compared on every beat by root and by major or minor (as MIREX does: labels that are neither don't count);
//! keys by tonic and mode. With `step` only every so many songs are read.

use partita_score::{
    Second, Tick,
    harmony::{Chord, Key, Pulse, find_key, parse_harte, recognize_notes},
    midi,
};
use std::{fs, path::Path};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, splits, part, rest @ ..] = arguments.as_slice() else {
        panic!("usage: chord_accuracy POP909 splits.csv PART [STEP]");
    };
    let step = rest.first().map_or(1, |step| step.parse().expect("a number"));
    let (mut beats, mut right, mut roots, mut same, mut songs, mut keys) =
        (0u32, 0u32, 0u32, 0u32, 0u32, 0u32);
    let splits = fs::read_to_string(splits).expect("a readable file");
    let names = splits.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells.get(2) == Some(&part.as_str()))
            .then(|| (cells[0].to_owned(), cells.last().copied().unwrap_or("").to_owned()))
    });
    for (name, key) in names.step_by(step) {
        let song = Path::new(folder).join(&name);
        let text = |file: &str| fs::read_to_string(song.join(file)).expect("a readable file");
        let score =
            midi::read(&fs::read(song.join(format!("{name}.mid"))).expect("a readable file")).expect("MIDI");
        let tick = |seconds: f64| score.tempos.tick_at(Second(seconds), score.ppq);
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
        let mut since_bar = 0;
        let mut pulses: Vec<Pulse> = Vec::new();
        for line in text("beat_midi.txt").lines() {
            let mut words = line.split_whitespace();
            let at = tick(number(words.next()));
            since_bar = if number(words.next()) + number(words.next()) > 1.5 { 0 } else { since_bar + 1 };
            let weakness = match since_bar % 4 {
                0 => 0,
                2 => 1,
                _ => 2,
            };
            if pulses.last().is_none_or(|last| last.at < at) {
                pulses.push(Pulse { at, weakness });
            }
        }
        let notes: Vec<_> = score.tracks.iter().flat_map(|track| &track.notes).copied().collect();
        let changes = recognize_notes(&notes, &pulses, score.end(), None);
        let labels: Vec<(Tick, Option<Option<Chord>>)> = text("chord_midi.txt")
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let from = tick(number(words.next()));
                words.next()?;
                Some((from, parse_harte(words.next()?).ok()))
            })
            .collect();
        for pair in pulses.windows(2) {
            let middle = Tick(pair[0].at.0 + (pair[1].at.0 - pair[0].at.0) / 2);
            let after = labels.partition_point(|(from, _)| *from <= middle);
            let Some((_, Some(Some(label)))) = after.checked_sub(1).map(|at| &labels[at]) else { continue };
            let Some(minor) = third(label) else { continue };
            let after = changes.partition_point(|change| change.at <= middle);
            let found = after.checked_sub(1).and_then(|at| changes[at].chord.as_ref());
            beats += 1;
            let root = found.is_some_and(|found| found.root.pitch_class() == label.root.pitch_class());
            roots += u32::from(root);
            same += u32::from(root && found.map(|found| found.kind) == Some(label.kind));
            right += u32::from(root && found.and_then(third) == Some(minor));
        }
        songs += 1;
        let key: Option<Key> = key.parse().ok();
        let found = find_key(&score).map(|found| (found.key.tonic.pitch_class(), found.key.is_minor()));
        keys += u32::from(key.map(|key| (key.tonic.pitch_class(), key.is_minor())) == found);
    }
    let percent = |count: u32, of: u32| 100.0 * f64::from(count) / f64::from(of);
    println!(
        "{songs} songs, {beats} beats: {:.1} % major/minor, {:.1} % roots, {:.1} % of the very kind; keys {:.1} %",
        percent(right, beats),
        percent(roots, beats),
        percent(same, beats),
        percent(keys, songs)
    );
}

/// Whether a chord is a kind of minor or of major; `None` for what is neither.
fn third(chord: &Chord) -> Option<bool> {
    let has = |semitones| chord.degrees().iter().any(|(_, it)| *it == semitones);
    match (has(3), has(4), has(7)) {
        (true, false, true) => Some(true),
        (false, true, true) => Some(false),
        _ => None,
    }
}
