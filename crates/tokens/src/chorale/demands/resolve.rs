//! Which pitches may be chosen, cell after cell.

use super::super::{Cell, HIGHEST, LOWEST, VOICES};
use super::grid::{Empty, Grid, Pitches, Place, bit};
use super::{Demand, Demands, Error, MAX_STEPS, VOICE_NAMES, sounding};

/// The choices that are left in a chorale being written, each of which can be completed.
#[derive(Clone, Debug)]
pub struct Choices {
    grid: Grid,
    trail: Vec<(Place, Pitches)>,
}

impl Choices {
    /// For a chorale with these given cells, a step each.
    ///
    /// # Errors
    /// [`Error::Range`] for a demand that makes no sense, [`Error::Contradiction`] for some that leave nothing.
    pub fn new(cells: &[[Option<Cell>; VOICES]], demands: &Demands) -> Result<Choices, Error> {
        if !(1..=MAX_STEPS).contains(&cells.len()) {
            let allowed = format!("in 1..={MAX_STEPS}");
            return Err(Error::Range { field: "steps".into(), allowed, got: cells.len().to_string() });
        }
        for pitch in cells.iter().flatten().flatten().filter_map(|cell| cell.pitch()) {
            if !(LOWEST..=HIGHEST).contains(&pitch) {
                let allowed = format!("in {LOWEST}..={HIGHEST}");
                return Err(Error::Range { field: "given pitch".into(), allowed, got: pitch.to_string() });
            }
        }
        demands.check(cells.len())?;
        let mut grid = Grid::new(cells, demands, &Demand::ALL);
        match grid.settle() {
            Ok(()) => Ok(Choices { grid, trail: vec![] }),
            Err(empty) => Err(smallest(cells, demands, empty)),
        }
    }

    /// The pitches that may be chosen in a cell such that all others can still be filled; bit p: pitch `LOWEST + p`.
    /// Never empty.
    pub fn open(&mut self, step: usize, voice: usize) -> u64 {
        let place = step * VOICES + voice;
        let mut left = self.grid.sets[place];
        if left.count_ones() < 2 {
            return left;
        }
        let mut open = 0;
        while left != 0 {
            let one = left & left.wrapping_neg();
            left &= !one;
            let mut trail = std::mem::take(&mut self.trail);
            if self.grid.restrict(place, one, &mut Some(&mut trail)).is_ok() {
                open |= one;
            }
            for (place, set) in trail.drain(..).rev() {
                self.grid.sets[place] = set;
            }
            self.trail = trail;
        }
        open
    }

    /// Writes a pitch that [`open`](Self::open) allows.
    ///
    /// # Panics
    /// If it does not.
    pub fn choose(&mut self, step: usize, voice: usize, pitch: u8) {
        let place = step * VOICES + voice;
        let left = self.grid.restrict(place, bit(pitch), &mut None);
        left.expect("an open pitch leaves something everywhere");
    }
}

/// The fewest demands that leave nothing, in the order of [`Demand::ALL`].
fn smallest(cells: &[[Option<Cell>; VOICES]], demands: &Demands, all: Empty) -> Error {
    let nothing = vec![[None; VOICES]; cells.len()];
    // Rests stay: they sound against nothing.
    let rests: Vec<_> = cells.iter().map(|step| step.map(|cell| cell.filter(|_| !sounding(cell)))).collect();
    let error = |only: &[Demand], given: bool, Empty(place): Empty| Error::Contradiction {
        demands: only.to_vec(),
        given,
        step: place / VOICES,
        voice: VOICE_NAMES[place % VOICES],
    };
    for size in 1..=Demand::ALL.len() {
        for set in 0u32..1 << Demand::ALL.len() {
            let only: Vec<Demand> =
                (0..Demand::ALL.len()).filter(|i| set >> i & 1 == 1).map(|i| Demand::ALL[i]).collect();
            // The given notes count as one of them.
            for (given, cells) in [(true, cells), (false, &rests), (false, &nothing)] {
                if only.len() + usize::from(given) == size
                    && let Err(empty) = Grid::new(cells, demands, &only).settle()
                {
                    return error(&only, given, empty);
                }
            }
        }
    }
    error(&Demand::ALL, true, all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chorale::demands::{Cadence, RANGES};

    fn empty(steps: usize) -> Vec<[Option<Cell>; VOICES]> {
        vec![[None; VOICES]; steps]
    }

    fn message(cells: &[[Option<Cell>; VOICES]], demands: &Demands) -> String {
        Choices::new(cells, demands).map(|_| ()).unwrap_err().to_string()
    }

    fn pitches(set: u64) -> Vec<u8> {
        (LOWEST..=HIGHEST).filter(|p| set & bit(*p) != 0).collect()
    }

    /// Whether the free cells can be filled, by trying.
    fn can_be_filled(cells: &mut Vec<[Option<Cell>; VOICES]>, demands: &Demands, free: &[usize]) -> bool {
        if !obeys(cells, demands) {
            return false;
        }
        let Some((place, rest)) = free.split_first() else { return true };
        let (t, v) = (place / VOICES, place % VOICES);
        let filled = (55..=60).any(|pitch| {
            cells[t][v] = Some(Cell::Pitch(pitch));
            can_be_filled(cells, demands, rest)
        });
        cells[t][v] = None;
        filled
    }

    /// Whether the cells that are filled obey.
    fn obeys(cells: &[[Option<Cell>; VOICES]], demands: &Demands) -> bool {
        let at = |t: usize, v: usize| cells[t][v].and_then(Cell::pitch);
        let both = |a: Option<u8>, b: Option<u8>, holds: &dyn Fn(u8, u8) -> bool| match (a, b) {
            (Some(a), Some(b)) => holds(a, b),
            _ => true,
        };
        (0..cells.len()).all(|t| {
            (0..VOICES).all(|v| {
                at(t, v).is_none_or(|p| !demands.forbidden.contains(&p))
                    && (v == 0 || both(at(t, v - 1), at(t, v), &|above, below| above >= below))
                    && (t == 0
                        || demands.leaps[v].is_none_or(|leap| {
                            both(at(t - 1, v), at(t, v), &|before, now| before.abs_diff(now) <= leap)
                        }))
            })
        })
    }

    #[test]
    fn open_pitches_are_exactly_those_that_can_be_completed() {
        let mut random = 12345u64;
        let mut next = |n: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % n
        };
        let (mut refused, mut narrowed) = (0, 0);
        for _ in 0..300 {
            let forbidden: Vec<u8> = (55..=60).filter(|_| next(3) == 0).collect();
            let demands = Demands {
                ranges: std::array::from_fn(|_| Some(55..=60)),
                forbidden,
                leaps: std::array::from_fn(|_| (next(3) > 0).then(|| 1 + next(3) as u8)),
                ..Demands::default()
            };
            let mut cells = empty(2);
            let free: Vec<usize> = (0..8).collect();
            let Ok(mut choices) = Choices::new(&cells, &demands) else {
                refused += 1;
                assert!(!can_be_filled(&mut cells, &demands, &free), "{demands:?}");
                continue;
            };
            for (i, place) in free.iter().enumerate() {
                let (t, v) = (place / VOICES, place % VOICES);
                let open = pitches(choices.open(t, v));
                let by_trying: Vec<u8> = (55..=60)
                    .filter(|pitch| {
                        cells[t][v] = Some(Cell::Pitch(*pitch));
                        let can = can_be_filled(&mut cells, &demands, &free[i + 1..]);
                        cells[t][v] = None;
                        can
                    })
                    .collect();
                assert_eq!(open, by_trying, "cell {place} of {demands:?}");
                narrowed += usize::from(open.len() < 6 - demands.forbidden.len());
                let pitch = open[next(open.len() as u64) as usize];
                cells[t][v] = Some(Cell::Pitch(pitch));
                choices.choose(t, v, pitch);
            }
        }
        assert!(narrowed > 100, "the case would prove little: {refused} refused, {narrowed} narrowed");
    }

    #[test]
    fn contradictions_name_the_fewest_demands_and_the_place() {
        let mut cells = empty(8);
        cells[3][0] = Some(Cell::Pitch(61));
        let c_major = Some(0b1010_1011_0101);
        assert_eq!(
            message(&cells, &Demands { scale: c_major, ..Demands::default() }),
            "scale and the given notes must leave a pitch, got none in step 3 (soprano)"
        );
        let low = Demands { ranges: [Some(30..=34), None, None, None], ..Demands::default() };
        assert_eq!(
            message(&empty(8), &low),
            "range and no crossing of voices must leave a pitch, got none in step 0 (soprano)"
        );
        let scale =
            Demands { scale: Some(1), cadence: Some(Cadence { tonic: 7, steps: 2 }), ..Demands::default() };
        assert_eq!(
            message(&empty(8), &scale),
            "scale and cadence must leave a pitch, got none in step 6 (bass)"
        );
        let range = Demands {
            ranges: [None, None, None, Some(61..=65)],
            forbidden: (61..=65).collect(),
            ..Demands::default()
        };
        assert_eq!(
            message(&empty(1), &range),
            "range and forbidden pitches must leave a pitch, got none in step 0 (bass)"
        );
        cells[0] = [Some(Cell::Pitch(50)), None, None, Some(Cell::Pitch(55))];
        assert_eq!(
            message(&cells[..1], &Demands::default()),
            "no crossing of voices and the given notes must leave a pitch, got none in step 0 (tenor)"
        );
        assert_eq!(message(&[], &Demands::default()), "steps must be in 1..=650, got 0");
        let silent = Demands { scale: Some(0), ..Demands::default() };
        assert_eq!(message(&empty(1), &silent), "scale must be some of 12 pitch classes, got 0b0");
    }

    #[test]
    fn given_notes_stay_whatever_the_usual_ranges_are_and_rests_bind_nobody() {
        let mut cells = empty(2);
        cells[0] = [Some(Cell::Pitch(88)), Some(Cell::Rest), None, Some(Cell::Pitch(31))];
        cells[1] = [Some(Cell::Pitch(84)), None, None, None];
        let mut choices = Choices::new(&cells, &Demands::default()).unwrap();
        assert_eq!(pitches(choices.open(0, 0)), [88]);
        assert_eq!(pitches(choices.open(0, 3)), [31]);
        assert!(pitches(choices.open(0, 2)).iter().all(|p| RANGES[2].contains(p)));
        // The bass may leap by 1 from 31, but its range begins at 36.
        let error = message(&cells, &Demands { leaps: [None, None, None, Some(1)], ..Demands::default() });
        assert!(error.contains("widest leap"), "{error}");
    }
}
