//! Whether four voices obey a request, asked of the finished cells alone; and requests drawn to ask it of.

use partita_nn::Rng;
use partita_tokens::chorale::demands::{Cadence, Demand, Demands, RANGES};
use partita_tokens::chorale::{Cell, Step, VOICES};

use super::Complete;

/// Sixteenths of a drawn request: a bar.
const STEPS: usize = 16;

/// What is broken: the demand, none for a given cell that was not kept, and where.
pub fn violations(request: &Complete, steps: &[Step]) -> Vec<(Option<Demand>, String)> {
    let demands = &request.demands;
    let mut broken = Vec::new();
    if steps.len() != request.cells.len() {
        broken.push((None, format!("{} steps of {}", steps.len(), request.cells.len())));
        return broken;
    }
    for (t, (step, given)) in steps.iter().zip(&request.cells).enumerate() {
        let mut check = |holds: bool, demand: Option<Demand>| {
            if !holds {
                broken.push((demand, format!("step {t}: {step:?}")));
            }
        };
        for v in 0..VOICES {
            if let Some(given) = given[v] {
                check(step[v] == given, None);
                continue;
            }
            let Some(pitch) = step[v].pitch() else {
                check(false, None);
                continue;
            };
            check(demands.ranges[v].as_ref().unwrap_or(&RANGES[v]).contains(&pitch), Some(Demand::Range));
            check(demands.scale.is_none_or(|scale| scale >> (pitch % 12) & 1 == 1), Some(Demand::Scale));
            check(!demands.forbidden.contains(&pitch), Some(Demand::Forbidden));
            let before = steps[..t].iter().rev().find_map(|step| step[v].pitch());
            if let (Some(leap), Some(before)) = (demands.leaps[v], before) {
                check(before.abs_diff(pitch) <= leap, Some(Demand::Leap));
            }
        }
        for v in 1..VOICES {
            let above = (0..v).rev().find(|above| step[*above] != Cell::Rest);
            let free = |above: &usize| given[v].is_none() || given[*above].is_none();
            let pitches = above.filter(free).and_then(|above| step[above].pitch()).zip(step[v].pitch());
            check(demands.crossing || pitches.is_none_or(|(high, low)| high >= low), Some(Demand::Crossing));
        }
    }
    if let Some(Cadence { tonic, steps: hold }) = demands.cadence {
        let last = &steps[steps.len() - hold..];
        let stays = |pair: &[Step]| {
            (0..VOICES).all(|v| pair[0][v] == pair[1][v] || [pair[0][v], pair[1][v]].contains(&Cell::Rest))
        };
        if !last.windows(2).all(stays) || last[0][3].pitch().is_some_and(|pitch| pitch % 12 != tonic) {
            broken.push((Some(Demand::Cadence), format!("{last:?}")));
        }
    }
    broken
}

/// A bar under random demands, with random cells given; one in a few contradicts itself.
pub fn random_request(rng: &mut Rng) -> Complete {
    let mut one_in = |n: u64| rng.below(n) == 0;
    let mut request = Complete::new(STEPS);
    request.demands = Demands {
        ranges: RANGES.map(|range| one_in(3).then(|| range.start() + 2..=range.end() - 3)),
        crossing: one_in(4),
        scale: one_in(2).then_some(0b1010_1011_0101),
        forbidden: if one_in(2) { vec![60, 67, 50] } else { vec![] },
        leaps: [(); VOICES].map(|()| one_in(2).then_some(5)),
        cadence: one_in(2).then_some(Cadence { tonic: 7, steps: 4 }),
    };
    let kind = rng.below(4);
    for (t, cells) in request.cells.iter_mut().enumerate() {
        for (v, cell) in cells.iter_mut().enumerate() {
            let given = match kind {
                0 => false,
                1 => v == 0,
                2 => v == 3 && t < 12,
                _ => rng.below(4) == 0 && t < 12,
            };
            if given {
                // Notes of C major within the narrower ranges, that move little from step to step.
                let centre = [71, 64, 59, 48][v];
                let pitch = [centre, centre, centre + [1, 1, 1, 2][v]][rng.below(3) as usize];
                *cell = Some(if rng.below(20) == 0 { Cell::Rest } else { Cell::Pitch(pitch) });
            }
        }
    }
    request.seed = rng.next_u64();
    request
}
