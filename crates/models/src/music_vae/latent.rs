//! Points of a latent space, and what can be done with them.
//!
//! Everything is additions, multiplications, divisions and square roots, so that a point is the same on every machine.

use std::f64::consts::{FRAC_PI_2, PI};

use partita_kernels::ln;
use partita_nn::Rng;

use super::Error;

/// The way from one point to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blend {
    /// Along the great circle, as Magenta: points in between lie as far out as the ends.
    #[default]
    Spherical,
    /// Straight, as magenta-js.
    Linear,
}

impl Blend {
    /// `spherical` or `linear`.
    pub fn name(self) -> &'static str {
        match self {
            Blend::Spherical => "spherical",
            Blend::Linear => "linear",
        }
    }

    /// The way of this [`name`](Self::name).
    pub fn parse(name: &str) -> Option<Blend> {
        [Blend::Spherical, Blend::Linear].into_iter().find(|blend| blend.name() == name)
    }
}

/// A point `[Z]` drawn from the prior, the standard normal distribution.
pub fn random(z_size: usize, rng: &mut Rng) -> Vec<f32> {
    let mut point = Vec::with_capacity(z_size + 1);
    while point.len() < z_size {
        // Marsaglia's polar method: two numbers from a point of the unit disc.
        let (x, y) = (2.0 * rng.f64() - 1.0, 2.0 * rng.f64() - 1.0);
        let square = x * x + y * y;
        if square < 1.0 && square > 0.0 {
            let scale = (-2.0 * ln(square) / square).sqrt();
            point.extend([(x * scale) as f32, (y * scale) as f32]);
        }
    }
    point.truncate(z_size);
    point
}

/// `steps` points from `from` to `to`, both included.
///
/// # Errors
/// Fewer than 2 steps, points of different sizes.
pub fn interpolate(from: &[f32], to: &[f32], steps: usize, blend: Blend) -> Result<Vec<Vec<f32>>, Error> {
    if steps < 2 {
        return Err(Error::range("steps of an interpolation", "2 and more", steps));
    }
    (0..steps).map(|step| between(from, to, step as f64 / (steps - 1) as f64, blend)).collect()
}

/// The point at `t` of the way, 0 at `from` and 1 at `to`; beyond is allowed.
///
/// Where the great circle is not determined (a point is 0, both have one direction or opposite ones), the way is
/// straight.
///
/// # Errors
/// Points of different sizes.
pub fn between(from: &[f32], to: &[f32], t: f64, blend: Blend) -> Result<Vec<f32>, Error> {
    same_size(from, to)?;
    let (a, b) = match blend {
        Blend::Spherical => weights(from, to, t).unwrap_or((1.0 - t, t)),
        Blend::Linear => (1.0 - t, t),
    };
    Ok(from.iter().zip(to).map(|(&x, &y)| (a * f64::from(x) + b * f64::from(y)) as f32).collect())
}

/// The mean of points.
///
/// # Errors
/// No point, or points of different sizes.
pub fn mean(points: &[Vec<f32>]) -> Result<Vec<f32>, Error> {
    let Some(first) = points.first() else {
        return Err(Error::range("points of a mean", "1 and more", 0));
    };
    let mut sums = vec![0.0; first.len()];
    for point in points {
        same_size(first, point)?;
        sums.iter_mut().zip(point).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    Ok(sums.into_iter().map(|sum| (sum / points.len() as f64) as f32).collect())
}

/// The direction of an attribute: the mean of points with it less the mean of points without.
///
/// # Errors
/// As [`mean`].
pub fn attribute(with: &[Vec<f32>], without: &[Vec<f32>]) -> Result<Vec<f32>, Error> {
    let (with, without) = (mean(with)?, mean(without)?);
    same_size(&with, &without)?;
    Ok(with.iter().zip(&without).map(|(a, b)| a - b).collect())
}

/// `point + amount * direction`
///
/// # Errors
/// Sizes that differ.
pub fn shift(point: &[f32], direction: &[f32], amount: f32) -> Result<Vec<f32>, Error> {
    same_size(point, direction)?;
    Ok(point.iter().zip(direction).map(|(x, d)| amount * d + x).collect())
}

fn same_size(a: &[f32], b: &[f32]) -> Result<(), Error> {
    if a.len() == b.len() { Ok(()) } else { Err(Error::range("values of z", a.len(), b.len())) }
}

/// `sin((1 - t) w) / sin w` and `sin(t w) / sin w` for the angle `w` between the points; none where `sin w` says
/// nothing.
fn weights(from: &[f32], to: &[f32], t: f64) -> Option<(f64, f64)> {
    let length = |values: &[f32]| values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let (p, q) = (length(from), length(to));
    if p < 1e-12 || q < 1e-12 {
        return None;
    }
    // Half the angle has this tangent; unlike the arc cosine, it keeps its digits near 0.
    let (mut apart, mut along) = (0.0, 0.0);
    for (&x, &y) in from.iter().zip(to) {
        let (x, y) = (f64::from(x) / p, f64::from(y) / q);
        apart += (x - y) * (x - y);
        along += (x + y) * (x + y);
    }
    if apart < 1e-12 || along < 1e-12 {
        return None;
    }
    let angle = 2.0 * arctangent((apart / along).sqrt());
    Some((sine((1.0 - t) * angle) / sine(angle), sine(t * angle) / sine(angle)))
}

/// Arc tangent of 0 and more, to about 1e-15.
fn arctangent(x: f64) -> f64 {
    if x > 1.0 {
        return FRAC_PI_2 - arctangent(1.0 / x);
    }
    // Three halvings of the angle leave at most tan(pi / 32).
    let half = |x: f64| x / (1.0 + (1.0 + x * x).sqrt());
    let small = half(half(half(x)));
    let square = small * small;
    let series = (0..10).rev().fold(0.0, |sum, n| 1.0 / f64::from(2 * n + 1) - square * sum);
    8.0 * small * series
}

/// Sine, to about 1e-15 for angles of a few turns.
fn sine(angle: f64) -> f64 {
    let half_turns = (angle / PI + 0.5).floor();
    let x = angle - half_turns * PI;
    let square = x * x;
    let series = (1..14).rev().fold(1.0, |sum, n| 1.0 - square * sum / f64::from(2 * n * (2 * n + 1)));
    if half_turns % 2.0 == 0.0 { x * series } else { -x * series }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magenta_angles_are_those_of_the_system() {
        for i in 0..2000 {
            let x = f64::from(i) * 0.01;
            assert!((arctangent(x) - x.atan()).abs() < 1e-15, "arctangent {x}");
            assert!((sine(x - 10.0) - (x - 10.0).sin()).abs() < 4e-15, "sine {}", x - 10.0);
        }
        assert_eq!(arctangent(1e300), FRAC_PI_2);
    }

    #[test]
    fn magenta_points_of_the_prior_are_normal() {
        let point = random(100_001, &mut Rng::new(5, 0));
        assert_eq!(point.len(), 100_001);
        let mean =
            |power: i32| point.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / point.len() as f64;
        for (power, expected, close) in [(1, 0.0, 0.02), (2, 1.0, 0.02), (3, 0.0, 0.05), (4, 3.0, 0.1)] {
            assert!((mean(power) - expected).abs() < close, "moment {power}: {}", mean(power));
        }
        assert_eq!(random(3, &mut Rng::new(5, 0)), point[..3]);
    }

    #[test]
    fn magenta_ways_begin_and_end_at_their_points() {
        let (from, to) = ([1.0, 2.0, -0.5], [0.5, -1.0, 3.0]);
        for blend in [Blend::Spherical, Blend::Linear] {
            let way = interpolate(&from, &to, 5, blend).unwrap();
            assert_eq!(way.len(), 5);
            for (got, expected) in way[0].iter().chain(&way[4]).zip(from.iter().chain(&to)) {
                assert!((got - expected).abs() < 1e-6, "{blend:?}: {got} is not {expected}");
            }
            assert_eq!(Blend::parse(blend.name()), Some(blend));
        }
    }

    #[test]
    fn magenta_ways_without_an_angle_are_straight() {
        let point = [0.3, -0.2, 0.9];
        for to in [point, [-0.3, 0.2, -0.9], [0.6, -0.4, 1.8], [0.0; 3]] {
            let way = interpolate(&point, &to, 5, Blend::Spherical).unwrap();
            let straight = interpolate(&point, &to, 5, Blend::Linear).unwrap();
            assert_eq!(way, straight, "to {to:?}");
            assert!(way.iter().flatten().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn magenta_attributes_are_differences_of_means() {
        let with = [vec![1.0, 2.0], vec![3.0, 2.0]];
        let without = [vec![0.0, 1.0]];
        let direction = attribute(&with, &without).unwrap();
        assert_eq!(direction, [2.0, 1.0]);
        assert_eq!(shift(&[1.0, 1.0], &direction, 0.5).unwrap(), [2.0, 1.5]);
        assert_eq!(mean(&[]).unwrap_err().to_string(), "points of a mean must be 1 and more, got 0");
        let error = mean(&[vec![0.0; 2], vec![0.0; 3]]).unwrap_err().to_string();
        assert_eq!(error, "values of z must be 2, got 3");
        assert!(interpolate(&[0.0], &[1.0], 1, Blend::Linear).is_err());
    }
}
