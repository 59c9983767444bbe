//! Ticks to seconds, to the bit as pretty_midi computes them.

use crate::{Second, Tick};

/// Tempo segments of a file.
pub(super) struct Clock {
    /// Ticks per quarter.
    resolution: f64,
    /// (first tick, its time, seconds per tick), sorted; of several on one tick the last counts.
    segments: Vec<(u32, f64, f64)>,
}

impl Clock {
    /// `tempos`: (tick, microseconds per quarter), sorted by tick.
    ///
    /// The sums are pretty_midi's, product by product: a segment starts at the rounded end of the one before, a
    /// repeat of the tempo in force starts none, and a tempo at tick 0 replaces the default.
    pub fn new(resolution: u16, tempos: &[(Tick, u32)]) -> Clock {
        let resolution = f64::from(resolution);
        let mut segments = vec![(0, 0.0, 60.0 / (120.0 * resolution))];
        for &(tick, tempo) in tempos {
            let scale = 60.0 / ((6e7 / f64::from(tempo.max(1))) * resolution);
            let &(from, time, last) = segments.last().expect("there is always a segment");
            if tick.0 == 0 {
                segments = vec![(0, 0.0, scale)];
            } else if scale != last {
                segments.push((tick.0, time + last * f64::from(tick.0.saturating_sub(from)), scale));
            }
        }
        Clock { resolution, segments }
    }

    /// Time of a tick.
    pub fn time(&self, tick: Tick) -> Second {
        let after = self.segments.partition_point(|&(from, ..)| from <= tick.0);
        let (from, time, scale) = self.segments[after.saturating_sub(1)];
        Second(time + scale * f64::from(tick.0 - from))
    }

    /// (start, quarter notes per minute) of every segment.
    pub fn tempos(&self) -> impl Iterator<Item = (Second, f64)> {
        self.segments.iter().map(|&(_, time, scale)| (Second(time), 60.0 / (scale * self.resolution)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_tempo_starts_no_segment_and_tick_zero_replaces_the_default() {
        let clock = Clock::new(480, &[(Tick(0), 600_000), (Tick(480), 600_000), (Tick(960), 500_000)]);
        let tempos: Vec<_> = clock.tempos().map(|(time, qpm)| (time.0, qpm.round())).collect();
        assert_eq!(tempos, [(0.0, 100.0), (1.2, 120.0)]);
        assert!((clock.time(Tick(1440)).0 - 1.7).abs() < 1e-12);
    }
}
