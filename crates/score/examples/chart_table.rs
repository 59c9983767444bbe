//! Distils `data/charts.txt`, what follows what in the chord charts of the McGill Billboard set.
//!
//! `cargo run --release -p partita-score --example chart_table -- billboard.jsonl > crates/score/data/charts.txt`
//!
//! A song is in the training part unless the FNV-1a hash of `title\nartist` in small letters ends, modulo 20, in 0 (test)
//! or 1 (validation); repeats of a song have the same hash and are left out besides. Only training songs are counted; the
//! cost of validation and test songs is told on stderr.
//!
//! A bar counts as its first chord and, where it changes there, the one at its middle, each reduced to a triad or a
//! seventh chord over the song's tonic. A song is minor if most of its tonic chords are. Lines are phrases.

use partita_score::harmony::{
    Chord, ChordKind, NoteName, parse_harte,
    progressions::{Table, bar_token},
};
use serde_json::Value;
use std::collections::BTreeMap;

const HEADER: &str = "\
# What follows what in the chord charts of the McGill Billboard annotations 2.0, training part, by examples/chart_table.rs.
# Data: CC0. Burgoyne, Wild, Fujinaga, \"An Expert Ground Truth Set for Audio Chord Recognition and Music Analysis\",
# ISMIR 2011.
#
# mode, bars left in the phrase (3: three or more), bar before (^: none), then bars and how often they followed. A bar is
# a Roman numeral over the major scale on the tonic, or two, one for each half.
";
/// Bars seen less often lose their second half, then their seventh.
const RARE: u32 = 25;
/// Less often seen pairs are left out.
const FEWEST: u32 = 2;

/// A bar as its first chord and the one at its middle; no chord ends a phrase's connection.
type Bar = Option<(Chord, Option<Chord>)>;

struct Song {
    part: u64,
    minor: bool,
    /// Phrases of bars with their tonic.
    lines: Vec<Vec<(NoteName, Bar)>>,
}

fn main() {
    let path = std::env::args().nth(1).expect("usage: chart_table billboard.jsonl");
    let text = std::fs::read_to_string(path).expect("a readable file");
    let songs: Vec<Song> = text.lines().filter_map(song).collect();
    let train = songs.iter().filter(|song| song.part > 1);
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for song in train.clone() {
        each_bar(song, &|_| RARE, &mut |_, _, _, bar| *seen.entry(bar.into()).or_default() += 1);
    }
    let often = |bar: &str| seen.get(bar).copied().unwrap_or(0);
    let mut counts: BTreeMap<(bool, u8, String), BTreeMap<String, u32>> = BTreeMap::new();
    for song in train {
        each_bar(song, &often, &mut |left, before, _, bar| {
            let followers = counts.entry((song.minor, left, before.into())).or_default();
            *followers.entry(bar.into()).or_default() += 1;
        });
    }
    let mut out = String::from(HEADER);
    for ((minor, left, before), followers) in counts {
        let mut followers: Vec<_> = followers.into_iter().filter(|(_, count)| *count >= FEWEST).collect();
        if followers.is_empty() {
            continue;
        }
        followers.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mode = if minor { "minor" } else { "major" };
        out += &format!("{mode} {left} {before}:");
        for (bar, count) in followers {
            out += &format!(" {bar} {count}");
        }
        out += "\n";
    }
    print!("{out}");
    let table = Table::parse(&out).expect("our own table");
    for (name, part) in [("test", 0), ("validation", 1)] {
        let (mut nats, mut plain, mut bars, mut count) = (0.0, 0.0, 0u32, 0);
        for song in songs.iter().filter(|song| song.part == part) {
            count += 1;
            each_bar(song, &often, &mut |left, before, minor, bar| {
                nats -= table.probability(minor, left, before, bar).ln();
                plain -= table.probability(minor, left, "?", bar).ln();
                bars += 1;
            });
        }
        let per_bar = |nats: f64| nats / f64::from(bars);
        eprintln!(
            "{name}: {count} songs, {bars} bars, {:.3} nats a bar, {:.3} without the bar before",
            per_bar(nats),
            per_bar(plain)
        );
    }
    eprintln!("{} bytes", out.len());
}

fn song(line: &str) -> Option<Song> {
    let song: Value = serde_json::from_str(line).expect("a JSON object a line");
    if song.get("duplicate_of").is_some() {
        return None;
    }
    let name = format!("{}\n{}", song["title"].as_str()?, song["artist"].as_str()?).to_lowercase();
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut tonic: NoteName = song["tonic"].as_str()?.parse().ok()?;
    let mut lines = Vec::new();
    for section in song["sections"].as_array()? {
        for line in section["lines"].as_array()? {
            if let Some(changed) = line["tonic"].as_str() {
                tonic = changed.parse().ok()?;
            }
            let Some(bars) = line["bars"].as_array() else { continue };
            let bars: Vec<_> = bars.iter().map(|bar| (tonic, read_bar(bar.as_str().unwrap_or("")))).collect();
            // A line played ten times says no more than one played four times.
            for _ in 0..line["rep"].as_u64().unwrap_or(1).clamp(1, 4) {
                lines.push(bars.clone());
            }
        }
    }
    let tonics =
        lines.iter().flatten().filter_map(|(tonic, bar)| bar.as_ref().filter(|bar| bar.0.root == *tonic));
    let minor: i32 = tonics.map(|bar| if bar.0.kind.degrees().contains(&(3, -1)) { 1 } else { -1 }).sum();
    Some(Song { part: hash % 20, minor: minor > 0, lines })
}

fn read_bar(text: &str) -> Bar {
    let mut beats: Vec<Option<Chord>> = Vec::new();
    // A metre of its own stands in parentheses.
    for word in text.split_whitespace().filter(|word| !word.starts_with('(')) {
        let chord =
            if word == "." { beats.last().cloned().flatten() } else { parse_harte(word).ok().flatten() };
        beats.push(chord.map(|chord| reduce(&chord)));
    }
    let first = beats.first()?.clone()?;
    let middle = beats.get(beats.len() / 2).cloned().flatten();
    let even = beats.len().is_multiple_of(2);
    Some((first.clone(), middle.filter(|middle| even && *middle != first)))
}

/// To a triad or a seventh chord without a bass.
fn reduce(chord: &Chord) -> Chord {
    use ChordKind as K;
    let kind = match chord.kind {
        K::Dominant | K::DominantNinth | K::Dominant11th | K::Dominant13th | K::AugmentedSeventh => {
            K::Dominant
        }
        K::MajorSeventh | K::MajorNinth | K::Major11th | K::Major13th => K::MajorSeventh,
        K::MinorSeventh | K::MinorNinth | K::Minor11th | K::Minor13th => K::MinorSeventh,
        K::MajorSixth | K::SuspendedSecond => K::Major,
        K::MinorSixth | K::MajorMinor => K::Minor,
        kind => kind,
    };
    Chord::new(chord.root, kind)
}

/// Without its seventh.
fn triad(chord: &Chord) -> Chord {
    use ChordKind as K;
    let kind = match chord.kind {
        K::Dominant | K::MajorSeventh | K::Power => K::Major,
        K::MinorSeventh => K::Minor,
        K::DiminishedSeventh | K::HalfDiminished => K::Diminished,
        kind => kind,
    };
    Chord::new(chord.root, kind)
}

/// Calls `tell` with the bars left in the phrase, the bar before, whether the song is minor, and the bar.
fn each_bar(song: &Song, often: &dyn Fn(&str) -> u32, tell: &mut dyn FnMut(u8, &str, bool, &str)) {
    let mut before = "^".to_owned();
    for line in &song.lines {
        for (index, (tonic, bar)) in line.iter().enumerate() {
            let Some((first, second)) = bar else {
                before = "^".into();
                continue;
            };
            let mut token = bar_token(first, second.as_ref(), *tonic);
            if often(&token) < RARE {
                token = bar_token(first, None, *tonic);
            }
            if often(&token) < RARE {
                token = bar_token(&triad(first), None, *tonic);
            }
            if often(&token) < RARE {
                before = "^".into();
                continue;
            }
            tell((line.len() - 1 - index).min(3) as u8, &before, song.minor, &token);
            before = token;
        }
    }
}
