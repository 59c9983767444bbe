//! Swing as the place of the off-beat: 0.5 = straight, 2/3 = triplet feel, 0.75 = dotted.
//!
//! A pair of notes (two eighths or two sixteenths) is one unit of time; its off-beat sits at the given place in it.
//! What lies between (the sixteenths under an eighth swing) moves along, so hits never change their order.

use crate::{DrumPattern, Error, Result, pattern};

/// Which notes come in long-short pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SwingUnit {
    Eighth,
    #[default]
    Sixteenth,
}

impl SwingUnit {
    /// Steps (sixteenths) in a pair.
    pub fn pair(self) -> u32 {
        match self {
            SwingUnit::Eighth => 4,
            SwingUnit::Sixteenth => 2,
        }
    }
}

/// Moves the off-beats of a straight pattern to `place`, `[0.5, 0.75]`; each hit's own microtiming is added on top.
///
/// Pairs count from the bar line; a pair cut off by it stays straight. A hit moved past the middle between two steps
/// becomes a hit of the next step with a negative offset; one moved past the end stays in the last step.
///
/// # Errors
/// [`Error::OutOfRange`] naming `swing`.
pub fn apply(swung: &mut DrumPattern, unit: SwingUnit, place: f64) -> Result<()> {
    if !(0.5..=0.75).contains(&place) {
        return Err(Error::OutOfRange { name: "swing", min: 0.5, max: 0.75, got: place });
    }
    let (steps, bar, pair) = (swung.steps(), swung.meter.steps_per_bar().max(1), unit.pair());
    for hit in &mut swung.hits {
        let in_bar = hit.step % bar;
        let whole_pair = in_bar / pair * pair + pair <= bar;
        let straight = f64::from(in_bar % pair) / f64::from(pair);
        let late = warp(straight, place) - straight;
        if !whole_pair || late == 0.0 {
            continue;
        }
        (hit.step, hit.offset) = pattern::split_position(hit.position() + late * f64::from(pair));
        if hit.step >= steps && steps > 0 {
            (hit.step, hit.offset) = (steps - 1, 0.5f32.next_down());
        }
    }
    swung.sort();
    Ok(())
}

/// Stretches the first half of a pair and shrinks the second; all in pairs, `[0, 1)`.
pub fn warp(straight: f64, place: f64) -> f64 {
    if straight < 0.5 { straight * 2.0 * place } else { place + (straight - 0.5) * 2.0 * (1.0 - place) }
}

/// Where in a pair an off-beat can be found.
const WINDOW: std::ops::Range<f64> = 0.42..0.80;

/// The usual place of the off-beat, clamped to `[0.5, 0.75]`; `None` without off-beats.
///
/// It is the median over all pairs of the first hit around the off-beat (in `[0.42, 0.80)` of the pair).
pub fn measure(played: &DrumPattern, unit: SwingUnit) -> Option<f64> {
    let (bar, pair) = (f64::from(played.meter.steps_per_bar().max(1)), f64::from(unit.pair()));
    let mut positions: Vec<f64> = played.hits.iter().map(|hit| hit.position().max(0.0)).collect();
    positions.sort_by(f64::total_cmp);
    // Of each pair (bar, pair in bar), the first place in the window.
    let mut places: Vec<((u64, u64), f64)> = Vec::new();
    for position in positions {
        let in_bar = position % bar;
        let place = in_bar % pair / pair;
        let key = ((position / bar) as u64, (in_bar / pair) as u64);
        let whole_pair = (in_bar / pair).floor() * pair + pair <= bar;
        if whole_pair && WINDOW.contains(&place) && places.last().is_none_or(|(last, _)| *last != key) {
            places.push((key, place));
        }
    }
    let mut places: Vec<f64> = places.into_iter().map(|(_, place)| place).collect();
    places.sort_by(f64::total_cmp);
    let middle = places.len().checked_sub(1)? / 2;
    let upper = places.len() / 2;
    Some(((places[middle] + places[upper]) / 2.0).clamp(0.5, 0.75))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DrumClass, Hit, Meter};

    fn straight(meter: &str, every: usize) -> DrumPattern {
        let mut pattern = DrumPattern::empty(meter.parse::<Meter>().expect("valid"), 90.0, 2);
        let hit = |step| Hit { step, class: DrumClass::ClosedHat, velocity: 80, offset: 0.0 };
        pattern.hits = (0..pattern.steps()).step_by(every).map(hit).collect();
        pattern
    }

    #[test]
    fn swing_of_half_changes_nothing() {
        for unit in [SwingUnit::Eighth, SwingUnit::Sixteenth] {
            let mut pattern = straight("4/4", 1);
            pattern.hits[3].offset = -0.31;
            let before = pattern.clone();
            apply(&mut pattern, unit, 0.5).expect("in range");
            assert_eq!(pattern, before);
        }
    }

    #[test]
    fn measuring_finds_what_was_applied() {
        for meter in ["4/4", "7/8", "5/8", "3/2"] {
            for (unit, every) in [(SwingUnit::Eighth, 2), (SwingUnit::Sixteenth, 1)] {
                for place in [0.5, 0.54, 0.6, 2.0 / 3.0, 0.75] {
                    let mut pattern = straight(meter, every);
                    apply(&mut pattern, unit, place).expect("in range");
                    let found = measure(&pattern, unit).expect("has off-beats");
                    assert!((found - place).abs() < 1e-6, "{meter} {unit:?} {place}: {found}");
                    assert!(pattern.hits.iter().all(|hit| hit.step < pattern.steps()));
                    assert!(pattern.hits.iter().all(|hit| (-0.5..0.5).contains(&hit.offset)));
                }
            }
        }
    }

    #[test]
    fn swing_keeps_the_order_of_hits() {
        let mut pattern = straight("4/4", 1);
        apply(&mut pattern, SwingUnit::Eighth, 0.75).expect("in range");
        let positions: Vec<_> = pattern.hits.iter().map(Hit::position).collect();
        assert_eq!(positions[..5], [0.0, 1.5, 3.0, 3.5, 4.0]);
        assert!(positions.is_sorted());
    }

    #[test]
    fn swing_outside_its_range_is_an_error() {
        for place in [0.49, 0.76, f64::NAN] {
            assert!(apply(&mut straight("4/4", 1), SwingUnit::Eighth, place).is_err());
        }
        assert_eq!(measure(&straight("4/4", 4), SwingUnit::Sixteenth), None);
    }
}
