//! Swing of notes that are no drums.

use partita_score::swing::{self, SwingUnit};
use partita_score::{Meter, Note, Ppq, Tick};

/// Pairs of notes, and the place of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swing {
    pub unit: SwingUnit,
    /// `[0.5, 0.75]`
    pub place: f64,
}

impl Swing {
    /// Moves onsets and ends at 480 ticks a quarter as [`swing::apply`] moves drums. Quarters in which one of the notes
    /// begins on a triplet stay as they are: they are played in three already. Nothing ends after `end`.
    pub(super) fn apply(self, notes: &mut [Note], meter: Meter, end: Tick) {
        let quarter = u32::from(Ppq::DEFAULT.get());
        let bar = meter.steps_per_bar() * quarter / 4;
        let of = |at: Tick| (at.0 / bar, at.0 % bar / quarter);
        let third = |at: Tick| {
            let inside = at.0 % bar % quarter;
            inside == quarter / 3 || inside == 2 * quarter / 3
        };
        let mut threes: Vec<(u32, u32)> =
            notes.iter().filter(|note| third(note.onset)).map(|note| of(note.onset)).collect();
        threes.dedup();
        let pair = self.unit.pair() * quarter / 4;
        let moved = |at: Tick| {
            let inside = at.0 % bar;
            let whole = inside / pair * pair + pair <= bar;
            if !whole || threes.contains(&of(at)) {
                return at;
            }
            let straight = f64::from(inside % pair) / f64::from(pair);
            let late = swing::warp(straight, self.place) - straight;
            Tick(at.0 + (late * f64::from(pair)).round() as u32)
        };
        for note in notes {
            // What has been moved together stays at least a tick apart.
            let onset = moved(note.onset);
            let last = end.0.max(onset.0 + 1);
            (note.onset, note.end) = (onset, Tick(moved(note.end).0.clamp(onset.0 + 1, last)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(onset: u32, end: u32) -> Note {
        Note { onset: Tick(onset), end: Tick(end), pitch: 60, velocity: 80 }
    }

    #[test]
    fn off_beats_come_late_and_triplets_stay() {
        let swing = Swing { unit: SwingUnit::Eighth, place: 2.0 / 3.0 };
        let mut notes = [note(0, 240), note(240, 480), note(480, 640), note(640, 960), note(1200, 1920)];
        swing.apply(&mut notes, Meter::COMMON, Tick(1920));
        let spans: Vec<_> = notes.iter().map(|note| (note.onset.0, note.end.0)).collect();
        assert_eq!(spans, [(0, 320), (320, 480), (480, 640), (640, 960), (1280, 1920)]);
    }

    #[test]
    fn a_pair_cut_off_by_the_bar_line_stays_straight() {
        let swing = Swing { unit: SwingUnit::Eighth, place: 0.6 };
        let mut notes = [note(1440, 1680), note(1920, 2160)];
        swing.apply(&mut notes, "7/8".parse().unwrap(), Tick(3360));
        assert_eq!((notes[0].onset, notes[0].end), (Tick(1440), Tick(1680)));
        assert_eq!((notes[1].onset.0, notes[1].end.0), (1968, 2160));
    }
}
