//! What a model is asked for: new pieces, the way between two, variations of one.

use partita_kernels::Compute;
use partita_nn::Rng;

use super::model::{Example, LatentModel, Played, Playing, Watch};
use super::{Error, Format};
use crate::music_vae::Posterior;
use crate::music_vae::latent::{self, Blend};

/// Streams of a seed from here on draw points; those below draw steps.
const POINTS: u64 = 1 << 32;
/// Pieces of one call.
const MOST: usize = 256;

/// Pieces, and where the music lies that they were made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Of the two ends, or of the piece that was varied.
    pub places: Vec<Posterior>,
    pub pieces: Vec<Played>,
}

/// How a piece is varied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vary<'a> {
    /// From the piece itself (0) to any piece (1).
    pub amount: f64,
    /// How many variations, 1..=256.
    pub count: usize,
    /// Examples of what it should become more like, and less; `amount` then goes this way.
    pub toward: &'a [Example],
    pub away: &'a [Example],
}

impl LatentModel {
    /// `count` new pieces, each from a point of the prior.
    ///
    /// # Errors
    /// A count out of 1..=256; see [`decode`](Self::decode).
    pub fn sample(
        &self,
        compute: &mut Compute,
        count: usize,
        playing: &Playing<'_>,
        watch: Watch<'_>,
    ) -> Result<Vec<Played>, Error> {
        check_count("variations", count, 1)?;
        self.decode(compute, self.random_points(count, playing.seed), playing, watch)
    }

    /// `steps` pieces from one to the other, both included.
    ///
    /// # Errors
    /// Steps out of 2..=256; see [`encode`](Self::encode) and [`decode`](Self::decode).
    pub fn interpolate(
        &self,
        compute: &mut Compute,
        [from, to]: [&Example; 2],
        (steps, blend): (usize, Blend),
        playing: &Playing<'_>,
        watch: Watch<'_>,
    ) -> Result<Made, Error> {
        check_count("steps", steps, 2)?;
        if from.controls != to.controls
            && matches!(self.format(), Format::Melody { .. })
            && playing.controls.is_none()
        {
            return Err(Error::range("chords", "the same in both pieces", "two progressions"));
        }
        let places = self.encode(compute, &[from.clone(), to.clone()])?;
        let points = latent::interpolate(&places[0].mu, &places[1].mu, steps, blend)?;
        let own = Playing { controls: playing.controls.or(from.controls.as_deref()), ..playing.clone() };
        Ok(Made { pieces: self.decode(compute, points, &own, watch)?, places })
    }

    /// Variations of a piece: its point moved towards points of the prior, or by what sets examples apart.
    ///
    /// # Errors
    /// An amount out of `[0, 1]` (`[-10, 10]` with examples), a count out of 1..=256; see [`encode`](Self::encode) and
    /// [`decode`](Self::decode).
    pub fn vary(
        &self,
        compute: &mut Compute,
        example: &Example,
        vary: &Vary<'_>,
        playing: &Playing<'_>,
        watch: Watch<'_>,
    ) -> Result<Made, Error> {
        check_count("variations", vary.count, 1)?;
        let directed = !vary.toward.is_empty() || !vary.away.is_empty();
        let (range, shown) = if directed { (-10.0..=10.0, "[-10, 10]") } else { (0.0..=1.0, "[0, 1]") };
        if !range.contains(&vary.amount) {
            return Err(Error::range("amount", format!("in {shown}"), vary.amount));
        }
        let places = self.encode(compute, std::slice::from_ref(example))?;
        let mu = &places[0].mu;
        let points = if directed {
            let mut means = Vec::new();
            for side in [vary.toward, vary.away] {
                means.push(if side.is_empty() {
                    // Without examples of one side, the piece itself is where the way begins or ends.
                    mu.clone()
                } else {
                    let places = self.encode(compute, side)?;
                    latent::mean(&places.into_iter().map(|place| place.mu).collect::<Vec<_>>())?
                });
            }
            let direction = latent::attribute(&means[..1], &means[1..])?;
            vec![latent::shift(mu, &direction, vary.amount as f32)?; vary.count]
        } else {
            let anywhere = self.random_points(vary.count, playing.seed);
            let moved = anywhere.iter().map(|far| latent::between(mu, far, vary.amount, Blend::Spherical));
            moved.collect::<Result<_, _>>()?
        };
        let own = Playing { controls: playing.controls.or(example.controls.as_deref()), ..playing.clone() };
        Ok(Made { pieces: self.decode(compute, points, &own, watch)?, places })
    }

    fn random_points(&self, count: usize, seed: u64) -> Vec<Vec<f32>> {
        let point = |stream| latent::random(self.z_size(), &mut Rng::new(seed, POINTS + stream as u64));
        (0..count).map(point).collect()
    }
}

fn check_count(field: &'static str, count: usize, least: usize) -> Result<(), Error> {
    if (least..=MOST).contains(&count) {
        return Ok(());
    }
    Err(Error::range(field, format!("in {least}..={MOST}"), count))
}
