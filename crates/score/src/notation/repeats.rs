//! In which order bars with repeat signs are played.

use crate::{Error, Result};

/// The most bars a piece may have when its repeats are played.
const MAX_PLAYED: usize = 1 << 16;
/// The most often a passage is repeated.
pub(super) const MAX_TIMES: u32 = 100;

/// The signs at one bar.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Signs {
    /// `|:` before it.
    pub start: bool,
    /// `:|` behind it: how often the passage is played in all, at least 2.
    pub end: Option<u32>,
    /// A bracket that begins here: in which passes it is played.
    pub ending: Option<Vec<u32>>,
    /// A bracket that stops behind it.
    pub ending_stops: bool,
}

/// The bars as they are heard; jumps by words (da capo, coda) are not followed.
///
/// # Errors
/// [`Error::Notation`] for more than [`MAX_PLAYED`] bars.
pub(super) fn order(bars: &[Signs]) -> Result<Vec<usize>> {
    let mut played = Vec::with_capacity(bars.len());
    let (mut start, mut pass, mut at) = (0, 1, 0);
    // The bracket being played.
    let mut inside: Option<&Vec<u32>> = None;
    while let Some(bar) = bars.get(at) {
        if bar.start && at != start {
            (start, pass, inside) = (at, 1, None);
        }
        if let Some(passes) = &bar.ending {
            if !passes.contains(&pass) {
                at = behind_ending(bars, at);
                continue;
            }
            inside = Some(passes);
        }
        played.push(at);
        if played.len() > MAX_PLAYED {
            return Err(Error::Notation(format!("repeats make more than {MAX_PLAYED} bars")));
        }
        let closes = bar.ending_stops || bars.get(at + 1).is_none_or(|next| next.ending.is_some());
        if let Some(times) = bar.end {
            // A bracket for several passes returns after each of them.
            let needed =
                inside.map_or(times, |passes| times.max(passes.iter().copied().max().unwrap_or(0) + 1));
            if pass < needed.min(MAX_TIMES) {
                (pass, at, inside) = (pass + 1, start, None);
                continue;
            }
            (start, pass, inside) = (at + 1, 1, None);
        } else if inside.is_some() && closes {
            // The last bracket: what comes is a new passage.
            (start, pass, inside) = (at + 1, 1, None);
        }
        at += 1;
    }
    Ok(played)
}

/// The first bar behind the bracket that begins at `at`.
fn behind_ending(bars: &[Signs], at: usize) -> usize {
    let mut end = at;
    loop {
        let bar = &bars[end];
        let next = bars.get(end + 1);
        if bar.ending_stops
            || bar.end.is_some()
            || next.is_none_or(|next| next.ending.is_some() || next.start)
        {
            return end + 1;
        }
        end += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bars as text: `|` before, `:` after, `1` and `2` brackets, `.` the end of one.
    fn check(text: &str, expected: &[usize]) {
        let bars: Vec<Signs> = text
            .split_whitespace()
            .map(|bar| {
                let passes: Vec<u32> = bar.chars().filter_map(|letter| letter.to_digit(10)).collect();
                Signs {
                    start: bar.contains('|'),
                    end: bar.contains(':').then_some(2),
                    ending: (!passes.is_empty()).then_some(passes),
                    ending_stops: bar.contains('.'),
                }
            })
            .collect();
        assert_eq!(order(&bars).expect("short"), expected, "{text}");
    }

    #[test]
    fn bars_are_played_as_their_signs_say() {
        check("x x x", &[0, 1, 2]);
        check("x x: x", &[0, 1, 0, 1, 2]);
        check("x |x x: x", &[0, 1, 2, 1, 2, 3]);
        check("|x 1:. 2. x", &[0, 1, 0, 2, 3]);
        check("|x 1:. 2x x. |x x:", &[0, 1, 0, 2, 3, 4, 5, 4, 5]);
        check("|x 12:. 3. x", &[0, 1, 0, 1, 0, 2, 3]);
        check("|x 1 x:. 2. x: x", &[0, 1, 2, 0, 3, 4, 4, 5]);
        check("|x: |x:", &[0, 0, 1, 1]);
    }

    #[test]
    fn repeats_without_end_are_refused() {
        let bar = Signs { start: true, end: Some(u32::MAX), ..Signs::default() };
        assert!(order(&vec![bar; 2000]).is_err());
        assert_eq!(order(&[]), Ok(Vec::new()));
    }
}
