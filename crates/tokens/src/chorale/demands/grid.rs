//! Sets of pitches on a grid of voices and steps, and what crosses pitches out.

use super::super::{Cell, HIGHEST, LOWEST, VOICES};
use super::{Cadence, Demand, Demands, RANGES, sounding};

/// Bit p: pitch `LOWEST + p`.
pub type Pitches = u64;

const ALL: Pitches = (1 << (HIGHEST - LOWEST + 1)) - 1;

pub fn bit(pitch: u8) -> Pitches {
    1 << (pitch - LOWEST)
}

fn filter(mut keep: impl FnMut(u8) -> bool) -> Pitches {
    (LOWEST..=HIGHEST).filter(|pitch| keep(*pitch)).fold(0, |set, pitch| set | bit(pitch))
}

/// How two cells bound each other.
#[derive(Clone, Copy, Debug)]
pub enum Bond {
    /// The first is not below the second.
    Above,
    /// At most this far apart.
    Near(u8),
}

/// A cell: its step times [`VOICES`] and its voice.
pub type Place = usize;

/// The cells that sound, what each may be, and which bound each other.
#[derive(Clone, Debug)]
pub struct Grid {
    pub sets: Vec<Pitches>,
    /// `[first, second, bond]`
    pub bonds: Vec<(Place, Place, Bond)>,
    /// Bonds of each place.
    pub of: Vec<Vec<u32>>,
}

/// A place without a pitch left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Empty(pub Place);

impl Grid {
    /// The grid under some of the demands.
    pub fn new(cells: &[[Option<Cell>; VOICES]], demands: &Demands, only: &[Demand]) -> Grid {
        let mut grid = Grid {
            sets: vec![ALL; cells.len() * VOICES],
            bonds: vec![],
            of: vec![vec![]; cells.len() * VOICES],
        };
        let asked = |demand: Demand| only.contains(&demand);
        for (t, step) in cells.iter().enumerate() {
            for (v, cell) in step.iter().enumerate() {
                grid.sets[t * VOICES + v] &= open(v, *cell, demands, only);
            }
            if asked(Demand::Crossing) && !demands.crossing {
                let mut above: Option<usize> = None;
                for v in (0..VOICES).filter(|v| sounding(step[*v])) {
                    if let Some(above) = above.filter(|above| !(step[*above].is_some() && step[v].is_some()))
                    {
                        grid.bind(t * VOICES + above, t * VOICES + v, Bond::Above);
                    }
                    above = Some(v);
                }
            }
        }
        if asked(Demand::Leap) {
            grid.bind_leaps(cells, demands);
        }
        if let Some(cadence) = demands.cadence.filter(|_| asked(Demand::Cadence)) {
            grid.close(cells, cadence);
        }
        grid
    }

    fn bind(&mut self, first: Place, second: Place, bond: Bond) {
        let index = self.bonds.len() as u32;
        self.bonds.push((first, second, bond));
        self.of[first].push(index);
        self.of[second].push(index);
    }

    fn bind_leaps(&mut self, cells: &[[Option<Cell>; VOICES]], demands: &Demands) {
        for v in 0..VOICES {
            let Some(leap) = demands.leaps[v] else { continue };
            let mut before: Option<usize> = None;
            for t in (0..cells.len()).filter(|t| sounding(cells[*t][v])) {
                if let Some(before) = before
                    && !(cells[before][v].is_some() && cells[t][v].is_some())
                {
                    self.bind(before * VOICES + v, t * VOICES + v, Bond::Near(leap));
                }
                before = Some(t);
            }
        }
    }

    /// All voices stay through the last steps, the bass on the tonic.
    fn close(&mut self, cells: &[[Option<Cell>; VOICES]], cadence: Cadence) {
        let first = cells.len().saturating_sub(cadence.steps);
        for v in 0..VOICES {
            for t in first + 1..cells.len() {
                if sounding(cells[t - 1][v]) && sounding(cells[t][v]) {
                    self.bind((t - 1) * VOICES + v, t * VOICES + v, Bond::Near(0));
                }
            }
        }
        let bass = VOICES - 1;
        for t in (first..cells.len()).filter(|t| sounding(cells[*t][bass])) {
            self.sets[t * VOICES + bass] &= filter(|pitch| pitch % 12 == cadence.tonic);
        }
    }

    /// Crosses out until nothing more can be, from all places on.
    ///
    /// # Errors
    /// A place that becomes empty.
    pub fn settle(&mut self) -> Result<(), Empty> {
        if let Some(place) = self.sets.iter().position(|set| *set == 0) {
            return Err(Empty(place));
        }
        let mut queue: Vec<u32> = (0..self.bonds.len() as u32).rev().collect();
        self.work(&mut queue, &mut None)
    }

    /// Leaves only `set` in a place and crosses out what follows from it. What was there before is told to `trail`.
    ///
    /// # Errors
    /// A place that becomes empty.
    pub fn restrict(
        &mut self,
        place: Place,
        set: Pitches,
        trail: &mut Option<&mut Vec<(Place, Pitches)>>,
    ) -> Result<(), Empty> {
        let mut queue = Vec::new();
        self.narrow(place, set, &mut queue, trail)?;
        self.work(&mut queue, trail)
    }

    fn work(
        &mut self,
        queue: &mut Vec<u32>,
        trail: &mut Option<&mut Vec<(Place, Pitches)>>,
    ) -> Result<(), Empty> {
        while let Some(bond) = queue.pop() {
            let (first, second, bond) = self.bonds[bond as usize];
            let (a, b) = (self.sets[first], self.sets[second]);
            let (left, right) = match bond {
                Bond::Above => (from(b), up_to(a)),
                Bond::Near(distance) => (spread(b, distance), spread(a, distance)),
            };
            self.narrow(first, left, queue, trail)?;
            self.narrow(second, right, queue, trail)?;
        }
        Ok(())
    }

    fn narrow(
        &mut self,
        place: Place,
        set: Pitches,
        queue: &mut Vec<u32>,
        trail: &mut Option<&mut Vec<(Place, Pitches)>>,
    ) -> Result<(), Empty> {
        let old = self.sets[place];
        let new = old & set;
        if new == old {
            return Ok(());
        }
        if let Some(trail) = trail {
            trail.push((place, old));
        }
        self.sets[place] = new;
        if new == 0 {
            return Err(Empty(place));
        }
        queue.extend(&self.of[place]);
        Ok(())
    }
}

/// What the demands leave of one cell.
fn open(v: usize, cell: Option<Cell>, demands: &Demands, only: &[Demand]) -> Pitches {
    let Some(pitch) = cell.map_or(Some(None), |cell| cell.pitch().map(Some)) else {
        // A given rest: no demand speaks of it.
        return ALL;
    };
    let mut set = pitch.map_or(ALL, bit);
    if only.contains(&Demand::Range) {
        let usual = pitch.is_none().then_some(&RANGES[v]);
        if let Some(range) = demands.ranges[v].as_ref().or(usual) {
            set &= filter(|pitch| range.contains(&pitch));
        }
    }
    if only.contains(&Demand::Scale)
        && let Some(scale) = demands.scale
    {
        set &= filter(|pitch| scale >> (pitch % 12) & 1 == 1);
    }
    if only.contains(&Demand::Forbidden) {
        set &= filter(|pitch| !demands.forbidden.contains(&pitch));
    }
    set
}

/// Pitches not below the lowest of `set`, which has one.
fn from(set: Pitches) -> Pitches {
    ALL & !((1 << set.trailing_zeros()) - 1)
}

/// Pitches not above the highest of `set`, which has one.
fn up_to(set: Pitches) -> Pitches {
    Pitches::MAX >> set.leading_zeros()
}

/// Pitches at most so far from one of `set`.
fn spread(set: Pitches, distance: u8) -> Pitches {
    let (mut wide, mut left) = (set, distance);
    // Each round can double what was reached, as far as the distance goes.
    let mut reach = 1;
    while left > 0 {
        let by = reach.min(left);
        wide |= wide << by | wide >> by;
        left -= by;
        reach *= 2;
    }
    wide & ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_widen_and_end_where_they_should() {
        for distance in 0..=60 {
            for pitch in [LOWEST, 41, 60, 77, HIGHEST] {
                let by_hand = filter(|p| p.abs_diff(pitch) <= distance);
                assert_eq!(spread(bit(pitch), distance), by_hand, "{pitch} {distance}");
            }
        }
        let set = bit(40) | bit(50);
        assert_eq!(from(set), filter(|p| p >= 40));
        assert_eq!(up_to(set), filter(|p| p <= 50));
    }
}
