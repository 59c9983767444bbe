//! Words under notes.

use super::bars::Bars;
use super::quantize::Placed;
use super::{Mark, Syllable};
use crate::{Score, Text, TextKind, Tick, Track};
use std::collections::BTreeMap;

/// The syllables under the notes of each track. Those that go with no track here are the words of the one that has the
/// most notes where they are sung.
pub(super) fn lyrics(
    score: &Score,
    placed: &[(&Track, Vec<Placed>)],
    bars: &Bars,
) -> Vec<Vec<Mark<Syllable>>> {
    let mut groups: BTreeMap<&str, Vec<&Text>> = BTreeMap::new();
    for text in score.texts.iter().filter(|text| text.kind == TextKind::Lyric) {
        groups.entry(&text.track).or_default().push(text);
    }
    let mut all = vec![Vec::new(); placed.len()];
    if groups.is_empty() {
        return all;
    }
    // Where a note that begins at a tick is written.
    let onsets: Vec<BTreeMap<Tick, u32>> = placed
        .iter()
        .map(|(track, notes)| match track.is_drums() {
            true => BTreeMap::new(),
            false => notes.iter().rev().map(|note| (note.tick, note.onset)).collect(),
        })
        .collect();
    for (name, texts) in groups {
        let named = placed.iter().position(|(track, _)| !name.is_empty() && track.name == name);
        let sung = |index: &usize| texts.iter().filter(|text| onsets[*index].contains_key(&text.at)).count();
        let Some(part) = named.or_else(|| (0..placed.len()).rev().max_by_key(sung)) else { continue };
        all[part] = under(&texts, &onsets[part], u32::from(score.ppq.get()) / 8, bars);
    }
    all
}

/// `near`: ticks that a syllable may stand from its note.
fn under(texts: &[&Text], onsets: &BTreeMap<Tick, u32>, near: u32, bars: &Bars) -> Vec<Mark<Syllable>> {
    let mut marks: Vec<Mark<Syllable>> = Vec::new();
    let mut from = false;
    for text in texts {
        let word = text.text.trim();
        let after = onsets.range(text.at..).next();
        let before = onsets.range(..text.at).next_back();
        let nearest = before.into_iter().chain(after).min_by_key(|(at, _)| at.0.abs_diff(text.at.0));
        let Some((_, unit)) = nearest.filter(|(at, _)| !word.is_empty() && at.0.abs_diff(text.at.0) <= near)
        else {
            continue;
        };
        let bar = bars.at(*unit);
        let at = unit - bars.list[bar].start;
        if marks.last().is_some_and(|last| (last.bar, last.at) >= (bar, at)) {
            continue;
        }
        let (word, on) = word.strip_suffix('-').map_or((word, false), |word| (word, true));
        let text = word.chars().filter(|letter| !letter.is_control()).collect();
        marks.push(Mark { bar, at, what: Syllable { text, from, on } });
        from = on;
    }
    marks
}
