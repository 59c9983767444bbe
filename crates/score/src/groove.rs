//! The groove of a performance as a template: how early and how loud each drum is on each step of the bar.
//!
//! Taken from one performance and laid on another, it gives the second the feel of the first without changing a note.

use crate::edit::Touch;
use crate::{DrumPattern, Error, Result};

/// Sum of offsets and velocities of so many hits.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    offset: f64,
    velocity: f64,
    hits: u32,
}

impl Mean {
    fn add(&mut self, offset: f64, velocity: f64) {
        self.offset += offset;
        self.velocity += velocity;
        self.hits += 1;
    }

    fn get(self) -> Option<Touch> {
        let hits = f64::from(self.hits);
        (self.hits > 0).then(|| Touch { velocity: self.velocity / hits, offset: self.offset / hits })
    }
}

/// How a performance plays each drum on each step of the bar, in the mean of its bars.
#[derive(Clone, Debug)]
pub struct GrooveTemplate {
    /// `[steps of a bar][drum]`
    cells: Vec<[Mean; 9]>,
    /// Of all drums on a step, velocities relative to their drum's mean.
    steps: Vec<Mean>,
    drums: [Mean; 9],
}

impl GrooveTemplate {
    /// The groove of a pattern with hits.
    ///
    /// # Errors
    /// [`Error::Pattern`] for one without.
    pub fn of(pattern: &DrumPattern) -> Result<GrooveTemplate> {
        if pattern.hits.is_empty() {
            return Err(Error::Pattern("a groove must have hits, got none".into()));
        }
        let bar = pattern.meter.steps_per_bar().max(1);
        let mut drums = [Mean::default(); 9];
        for hit in &pattern.hits {
            drums[hit.class.index()].add(f64::from(hit.offset), f64::from(hit.velocity));
        }
        let mut cells = vec![[Mean::default(); 9]; bar as usize];
        let mut steps = vec![Mean::default(); bar as usize];
        for hit in &pattern.hits {
            let (step, drum) = ((hit.step % bar) as usize, hit.class.index());
            let (offset, velocity) = (f64::from(hit.offset), f64::from(hit.velocity));
            cells[step][drum].add(offset, velocity);
            let usual = drums[drum].velocity / f64::from(drums[drum].hits);
            steps[step].add(offset, velocity / usual);
        }
        Ok(GrooveTemplate { cells, steps, drums })
    }

    /// How the hits of another pattern are played in this groove, one touch for each. A drum that the groove never
    /// plays on a step takes the timing of the step and its accent; on a step that it never plays, a hit stays as it is.
    ///
    /// # Errors
    /// [`Error::Pattern`] for a pattern whose bars have other steps.
    pub fn touches(&self, pattern: &DrumPattern) -> Result<Vec<Touch>> {
        let bar = pattern.meter.steps_per_bar();
        if bar as usize != self.cells.len() {
            let steps = self.cells.len();
            return Err(Error::Pattern(format!(
                "both patterns must have bars of one length, got {steps} and {bar} sixteenths"
            )));
        }
        let touch = |hit: &crate::Hit| {
            let (step, drum) = ((hit.step % bar) as usize, hit.class.index());
            let own = Touch { velocity: f64::from(hit.velocity), offset: f64::from(hit.offset) };
            let played = self.cells[step][drum].get().or_else(|| {
                let accent = self.steps[step].get()?;
                let usual = self.drums[drum].get().map_or(own.velocity, |drum| drum.velocity);
                Some(Touch { velocity: accent.velocity * usual, offset: accent.offset })
            });
            let Touch { velocity, offset } = played.unwrap_or(own);
            Touch { velocity: velocity.clamp(1.0, 127.0), offset: offset.clamp(-0.5, 0.499) }
        };
        Ok(pattern.hits.iter().map(touch).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DrumClass, Hit, Meter};

    fn pattern(hits: &[(u32, DrumClass, u8, f32)]) -> DrumPattern {
        let hits = hits.iter().map(|&(step, class, velocity, offset)| Hit { step, class, velocity, offset });
        DrumPattern { hits: hits.collect(), ..DrumPattern::empty(Meter::COMMON, 100.0, 2) }
    }

    #[test]
    fn a_groove_laid_on_its_own_pattern_changes_nothing_where_bars_agree() {
        let played = pattern(&[(0, DrumClass::Kick, 100, 0.1), (4, DrumClass::Snare, 80, -0.2)]);
        let touches = GrooveTemplate::of(&played).unwrap().touches(&played).unwrap();
        for (hit, touch) in played.hits.iter().zip(touches) {
            assert_eq!((touch.velocity, touch.offset as f32), (f64::from(hit.velocity), hit.offset));
        }
    }

    #[test]
    fn drums_and_steps_that_were_not_played_take_what_is_near() {
        let played = pattern(&[
            (0, DrumClass::Kick, 120, 0.2),
            (2, DrumClass::Kick, 60, 0.0),
            (18, DrumClass::Kick, 60, 0.4),
        ]);
        let groove = GrooveTemplate::of(&played).unwrap();
        let other = pattern(&[
            (2, DrumClass::Kick, 1, 0.0),
            (16, DrumClass::Ride, 50, 0.0),
            (9, DrumClass::Ride, 50, 0.3),
        ]);
        let touches = groove.touches(&other).unwrap();
        assert_eq!((touches[0].velocity, (touches[0].offset * 10.0).round()), (60.0, 2.0));
        assert_eq!((touches[1].velocity, touches[1].offset), (75.0, f64::from(0.2f32)));
        assert_eq!((touches[2].velocity, touches[2].offset), (50.0, f64::from(0.3f32)));
    }

    #[test]
    fn other_metres_and_silence_are_refused() {
        let played = pattern(&[(0, DrumClass::Kick, 120, 0.2)]);
        assert!(GrooveTemplate::of(&pattern(&[])).is_err());
        let three = DrumPattern::empty(Meter { numerator: 3, denominator: 4 }, 100.0, 1);
        assert!(GrooveTemplate::of(&played).unwrap().touches(&three).is_err());
    }
}
