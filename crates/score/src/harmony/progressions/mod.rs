//! Chord progressions to draw from: by mood, or as they are in the charts.
//!
//! Moods are those of a tagged library (`data/moods.txt`, whole progressions); the charts are a table of which bar
//! follows which, by mode and place in the phrase, distilled from McGill Billboard (`data/charts.txt`,
//! `examples/chart_table.rs`). Both files name their origin and licence. Each draw ends with a cadence on the tonic.
//!
//! Randomness comes from the caller: numbers in `[0, 1)`, each used once, in the order of the bars.

mod library;
mod table;

use super::{Key, Mode, Progression, Span, parse_roman};
use crate::{Beat, Error, Meter, Result};
use library::Entry;
pub use library::{Mood, moods};
use std::{fmt, str::FromStr};
pub use table::{Table, bar_token};

/// Where progressions come from. Parses `charts` and the moods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Mood(Mood),
    /// As in the Billboard charts of 1958 to 1991.
    Charts,
}

/// Bars of one draw, at most.
pub const MOST_BARS: u32 = 1024;
/// A mood's progression may change every so many bars.
const PERIOD: usize = 8;

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Mood(mood) => out.write_str(mood.name()),
            Source::Charts => out.write_str("charts"),
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    /// # Errors
    /// [`Error::UnknownMood`], which lists the moods.
    fn from_str(text: &str) -> Result<Source> {
        if text.trim().eq_ignore_ascii_case("charts") {
            Ok(Source::Charts)
        } else {
            text.parse().map(Source::Mood)
        }
    }
}

/// Draws a progression of `bars` bars in a key.
///
/// `random` gives numbers in `[0, 1)`. The last bar is the tonic chord, the one before leads to it. Minor keys and modes
/// with a minor third draw from minor progressions, also where a mood has but one or two of them; a mood without any
/// gives major ones in their place, and the other way round.
///
/// # Errors
/// [`Error::TooManyBars`] unless `bars` is `1..=MOST_BARS`.
pub fn generate(
    key: Key,
    source: Source,
    bars: u32,
    meter: Meter,
    random: &mut dyn FnMut() -> f64,
) -> Result<Progression> {
    if !(1..=MOST_BARS).contains(&bars) {
        return Err(Error::TooManyBars { max: MOST_BARS, got: bars.into() });
    }
    let minor = key.is_minor();
    let tokens = match source {
        Source::Charts => Table::charts().draw(minor, bars as usize, random),
        Source::Mood(mood) => draw_mood(mood, minor, bars as usize, random),
    };
    let mut spans = Vec::new();
    let bar = meter.beats_per_bar();
    for (index, token) in tokens.iter().enumerate() {
        let halves: Vec<&str> = token.split('_').collect();
        let length = bar / halves.len() as f64;
        for (half, numeral) in halves.iter().enumerate() {
            let chord = parse_roman(numeral, Key { tonic: key.tonic, mode: Mode::Major })?;
            let start = Beat(index as f64 * bar + half as f64 * length);
            // A far key's bVI may need a double flat: nobody reads those.
            let chord = if chord.root.alter.abs() > 1 { chord.transposed(0) } else { chord };
            spans.push(Span { start, length: Beat(length), chord: Some(chord) });
        }
    }
    Ok(Progression { spans })
}

/// Whole progressions one after another, then the cadence.
fn draw_mood(mood: Mood, minor: bool, bars: usize, random: &mut dyn FnMut() -> f64) -> Vec<String> {
    let of_mood: Vec<&Entry> = library::entries().iter().filter(|it| it.moods.contains(&mood)).collect();
    let same: Vec<&Entry> = of_mood.iter().copied().filter(|it| it.minor == minor).collect();
    let choice = if same.is_empty() { of_mood } else { same };
    let mut pick = |from: &[&'static Entry]| {
        let at = (random() * from.len() as f64) as usize;
        from[at.min(from.len() - 1)]
    };
    let mut entry = pick(&choice);
    let mut tokens: Vec<String> = Vec::new();
    let mut period = 0;
    while tokens.len() < bars {
        if period >= PERIOD {
            entry = pick(&choice);
            period = 0;
        }
        tokens.extend(entry.bars.iter().cloned());
        period += entry.bars.len();
    }
    tokens.truncate(bars);
    let (tonic, dominant) = if entry.minor { ("i", "V7") } else { ("I", "V7") };
    let last = bars - 1;
    if !table::is_tonic(&tokens[last], entry.minor) {
        tokens[last] = tonic.into();
    }
    if last > 0 && !table::leads_home(&tokens[last - 1]) {
        tokens[last - 1] = dominant.into();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reproducible numbers in `[0, 1)`.
    fn numbers(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    fn key(text: &str) -> Key {
        text.parse().expect("a key")
    }

    #[test]
    fn every_source_fills_its_bars_and_comes_home() {
        let sources = moods().map(|mood| Source::Mood(mood.parse().expect("listed"))).chain([Source::Charts]);
        for source in sources {
            for (at, name) in ["C", "f#", "Eb", "bb", "D dorian", "Gb"].into_iter().enumerate() {
                for bars in [1, 2, 3, 4, 8, 13, 16] {
                    let key = key(name);
                    let drawn = generate(
                        key,
                        source,
                        bars,
                        Meter::COMMON,
                        &mut numbers(at as u64 * 31 + u64::from(bars)),
                    );
                    let drawn = drawn.expect("in range");
                    assert_eq!(drawn.length(), Beat(f64::from(bars) * 4.0), "{source} {name}");
                    let last = drawn.spans.last().and_then(|span| span.chord.clone()).expect("a chord");
                    assert_eq!(last.root, key.tonic, "{source} {name} {bars}");
                    let mut chords = drawn.spans.iter().filter_map(|span| span.chord.as_ref());
                    assert!(chords.all(|chord| chord.root.alter.abs() < 2), "{source} {name}");
                }
            }
        }
    }

    #[test]
    fn draws_differ_by_seed_and_not_else() {
        let draw = |seed| {
            let drawn =
                generate(key("G"), Source::Charts, 16, Meter::COMMON, &mut numbers(seed)).expect("in range");
            drawn.text()
        };
        let all: std::collections::BTreeSet<String> = (0..50).map(draw).collect();
        assert!(all.len() > 40, "{} of 50", all.len());
        assert_eq!(draw(3), draw(3));
    }

    #[test]
    fn minor_keys_get_minor_tonics() {
        for seed in 0..50 {
            let drawn =
                generate(key("a"), Source::Charts, 8, Meter::COMMON, &mut numbers(seed)).expect("in range");
            let last = drawn.spans.last().and_then(|span| span.chord.clone()).expect("a chord");
            assert!(last.to_string().starts_with("Am"), "{last}");
        }
    }

    #[test]
    fn wrong_numbers_from_the_caller_stay_in_range() {
        for number in [0.0, 1.0, -3.0, 2.0, f64::NAN] {
            for source in [Source::Charts, Source::Mood("sad".parse().expect("listed"))] {
                let drawn = generate(key("C"), source, 9, Meter::COMMON, &mut || number).expect("in range");
                assert_eq!(drawn.length(), Beat(36.0));
            }
        }
    }

    #[test]
    fn bars_outside_the_range_and_unknown_moods_are_refused() {
        for bars in [0, MOST_BARS + 1] {
            let error =
                generate(key("C"), Source::Charts, bars, Meter::COMMON, &mut || 0.5).expect_err("refused");
            assert_eq!(error.to_string(), format!("bars must be in 1..=1024, got {bars}"));
        }
        let message = "joyfull".parse::<Source>().expect_err("unknown").to_string();
        assert!(message.starts_with("mood must be one of anguished, dark, "), "{message}");
        assert!(message.ends_with("got \"joyfull\", did you mean joyful?"), "{message}");
        let message = "x".parse::<Source>().expect_err("unknown").to_string();
        assert!(message.ends_with("got \"x\""), "{message}");
        assert_eq!("Happy".parse::<Source>().expect("another name").to_string(), "joyful");
        assert_eq!(" charts ".parse::<Source>().expect("a source"), Source::Charts);
    }
}
