//! Which bar follows which, by mode and place in the phrase, and draws from that.

use super::super::{Chord, NoteName, roman};
use std::{collections::BTreeMap, fmt::Write, sync::OnceLock};

/// Counts of bars by what is before them.
///
/// A bar is a numeral (`ii7`), or two for its halves (`ii7_V7`); `^` stands before the first bar.
pub struct Table {
    /// By minor, bars left in the phrase (`0..4`, 3 for three and more) and the bar before.
    after: BTreeMap<(bool, u8, String), Vec<(String, f64)>>,
    /// The same without the bar before.
    any: BTreeMap<(bool, u8), Vec<(String, f64)>>,
    /// Different bars.
    bars: usize,
}

/// How many sightings each different follower costs: songs repeat themselves, so what was not seen is likelier than
/// counts say. Chosen on the validation part.
const BACKOFF: f64 = 8.0;
/// From so many sightings on a draw keeps to what was seen.
const ENOUGH: f64 = 10.0;
/// A phrase; what is left over comes first.
const PHRASE: usize = 4;

/// A bar as the table writes it: its first chord and, if it changes there, the one at its middle.
pub fn bar_token(first: &Chord, second: Option<&Chord>, tonic: NoteName) -> String {
    let mut token = roman(first, tonic);
    if let Some(second) = second {
        let _ = write!(token, "_{}", roman(second, tonic));
    }
    token
}

/// Whether a bar ends on the tonic chord of the mode.
pub(super) fn is_tonic(bar: &str, minor: bool) -> bool {
    let tonics = if minor { ["i", "i7", "imaj7"] } else { ["I", "Imaj7", "I6"] };
    bar.split('_').all(|numeral| tonics.contains(&numeral))
}

/// Whether a bar leads to the tonic: its last chord is a dominant, a subdominant or another usual way home.
pub(super) fn leads_home(bar: &str) -> bool {
    const HOME: [&str; 15] = [
        "V", "V7", "v", "v7", "Vsus4", "V7sus4", "V9sus4", "IV", "IVmaj7", "iv", "iv7", "bVII", "viio",
        "viio7", "bII",
    ];
    bar.rsplit('_').next().is_some_and(|numeral| HOME.contains(&numeral))
}

impl Table {
    /// The charts, read once.
    pub fn charts() -> &'static Table {
        static CHARTS: OnceLock<Table> = OnceLock::new();
        CHARTS.get_or_init(|| {
            Table::parse(include_str!("../../../data/charts.txt")).expect("a test reads the shipped table")
        })
    }

    /// Reads the text that `examples/chart_table.rs` writes: `major 0 V7: I 120 vi 9`, comments with `#`.
    ///
    /// # Errors
    /// The number of the line, from 1, that is no such line.
    pub fn parse(text: &str) -> Result<Table, usize> {
        let mut table = Table { after: BTreeMap::new(), any: BTreeMap::new(), bars: 0 };
        let mut all: BTreeMap<(bool, u8), BTreeMap<String, f64>> = BTreeMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let read = || {
                let (head, rest) = line.split_once(": ")?;
                let mut head = head.split(' ');
                let minor = match head.next()? {
                    "major" => false,
                    "minor" => true,
                    _ => return None,
                };
                let left: u8 = head.next()?.parse().ok().filter(|left| *left < 4)?;
                let before = head.next()?.to_owned();
                let words: Vec<&str> = rest.split(' ').collect();
                let pairs = words
                    .chunks(2)
                    .map(|pair| Some(((*pair.first()?).to_owned(), pair.get(1)?.parse().ok()?)));
                Some((minor, left, before, pairs.collect::<Option<Vec<(String, f64)>>>()?))
            };
            let (minor, left, before, followers) = read().ok_or(index + 1)?;
            let place = all.entry((minor, left)).or_default();
            for (bar, count) in &followers {
                *place.entry(bar.clone()).or_default() += count;
            }
            table.after.insert((minor, left, before), followers);
        }
        let bars: std::collections::BTreeSet<&String> = all.values().flat_map(BTreeMap::keys).collect();
        table.bars = bars.len();
        table.any = all.into_iter().map(|(place, bars)| (place, bars.into_iter().collect())).collect();
        Ok(table)
    }

    /// How likely `bar` is after `before` with `left` bars left in the phrase; never 0.
    pub fn probability(&self, minor: bool, left: u8, before: &str, bar: &str) -> f64 {
        let counted = |list: Option<&Vec<(String, f64)>>| {
            let list = list.map_or(&[][..], Vec::as_slice);
            let own = list.iter().find(|(other, _)| other == bar).map_or(0.0, |(_, count)| *count);
            let total: f64 = list.iter().map(|(_, count)| count).sum();
            (own, total, BACKOFF * list.len().max(1) as f64)
        };
        let (own, total, rest) = counted(self.any.get(&(minor, left)));
        let place = (own + rest / self.bars.max(1) as f64) / (total + rest);
        let (own, total, rest) = counted(self.after.get(&(minor, left, before.to_owned())));
        (own + rest * place) / (total + rest)
    }

    /// A bar drawn by its weight and how likely it is; `None` if all weights are 0.
    fn draw_bar(
        &self,
        (minor, left, before): (bool, u8, &str),
        weight: &dyn Fn(&str) -> f64,
        random: f64,
    ) -> Option<&str> {
        let seen = self.after.get(&(minor, left, before.to_owned()));
        let seen = seen.filter(|bars| {
            bars.iter().map(|(bar, count)| weight(bar).min(1.0) * count).sum::<f64>() >= ENOUGH
        });
        let bars = seen.or_else(|| self.any.get(&(minor, left)))?;
        let weights: Vec<f64> = bars.iter().map(|(bar, count)| weight(bar) * count).collect();
        let total: f64 = weights.iter().sum();
        // Also for numbers outside [0, 1) and none at all.
        let mut left_over = random.clamp(0.0, 1.0) * total;
        let mut last = None;
        for ((bar, _), weight) in bars.iter().zip(weights) {
            if weight > 0.0 {
                last = Some(bar.as_str());
                left_over -= weight;
                if left_over < 0.0 {
                    break;
                }
            }
        }
        last
    }

    /// So many bars, at least one, in phrases of four, the last of which ends with a way home and the tonic.
    pub(super) fn draw(&self, minor: bool, bars: usize, random: &mut dyn FnMut() -> f64) -> Vec<String> {
        let tonic = if minor { "i" } else { "I" };
        let mut drawn: Vec<String> = Vec::with_capacity(bars);
        for index in 0..bars {
            let left_in_all = bars - 1 - index;
            let left = (left_in_all % PHRASE).min(3) as u8;
            let before = drawn.last().map_or("^", String::as_str);
            let home = |bar: &str| {
                // How well it leads to the tonic, for only those are drawn.
                if leads_home(bar) { self.probability(minor, 0, bar, tonic) } else { 0.0 }
            };
            let any = |_: &str| 1.0;
            // Songs begin at home more often than lines do.
            let first = |bar: &str| {
                if bar.split('_').next().is_some_and(|it| is_tonic(it, minor)) { 4.0 } else { 1.0 }
            };
            let number = random();
            let bar = match left_in_all {
                0 => tonic,
                1 => self.draw_bar((minor, left, before), &home, number).unwrap_or("V7"),
                _ if index == 0 => self.draw_bar((minor, left, before), &first, number).unwrap_or(tonic),
                _ => self.draw_bar((minor, left, before), &any, number).unwrap_or(tonic),
            };
            drawn.push(bar.to_owned());
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Key, parse_roman};
    use super::*;

    #[test]
    fn the_shipped_table_reads_and_is_small() {
        let text = include_str!("../../../data/charts.txt");
        assert!(text.len() < 60_000, "{} bytes", text.len());
        let table = Table::charts();
        for bars in table.any.values() {
            for (bar, _) in bars {
                for numeral in bar.split('_') {
                    parse_roman(numeral, Key::default()).unwrap_or_else(|error| panic!("{bar}: {error}"));
                }
            }
        }
        assert_eq!(table.any.len(), 8);
    }

    #[test]
    fn probabilities_add_up_and_follow_the_counts() {
        let table =
            Table::parse("# a\nmajor 0 V7: I 8 vi 2\nmajor 0 I: I 1 IV 9\nminor 0 i: i 1").expect("a table");
        let sum: f64 = ["I", "vi", "IV", "i"].map(|bar| table.probability(false, 0, "V7", bar)).iter().sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        assert!(table.probability(false, 0, "V7", "I") > table.probability(false, 0, "I", "I"));
        assert!(table.probability(true, 3, "nowhere", "nothing") > 0.0);
        for (text, line) in
            [("major 0 V7: I", 1), ("#\nmajor 9 V7: I 1", 2), ("lydian 0 V7: I 1", 1), ("x", 1)]
        {
            assert_eq!(Table::parse(text).err(), Some(line), "{text}");
        }
    }

    #[test]
    fn a_dominant_goes_home_in_the_charts() {
        let table = Table::charts();
        for minor in [false, true] {
            let tonic = if minor { "i" } else { "I" };
            let after = |bar| table.probability(minor, 0, bar, tonic);
            assert!(after("V7") > 2.0 * table.probability(minor, 0, "V7", "bVI"));
        }
    }
}
