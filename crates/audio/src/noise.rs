//! Deterministic noise.

/// xorshift64* generator (Vigna 2016): the same seed gives the same noise everywhere.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// Any seed will do; nearby seeds give unrelated noise.
    pub fn new(seed: u64) -> Self {
        // splitmix64 step, so that small seeds differ in every bit and zero is never the state.
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((z ^ (z >> 31)) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// White noise, uniform in `[-1, 1)`.
    pub fn white(&mut self) -> f32 {
        (self.next() >> 40) as i32 as f32 * (1.0 / 8_388_608.0) - 1.0
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.next() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0);
        low + (high - low) * unit
    }

    /// Triangular noise in `(-1, 1)` with variance 1/6: dither for one quantisation step.
    pub fn triangular(&mut self) -> f32 {
        0.5 * (self.white() + self.white())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_centred_and_bounded() {
        let mut noise = Noise::new(0);
        let mut sum = 0.0;
        for _ in 0..100_000 {
            let sample = noise.white();
            assert!((-1.0..1.0).contains(&sample));
            sum += f64::from(sample);
        }
        assert!((sum / 100_000.0).abs() < 0.01);
    }

    #[test]
    fn same_seed_same_noise() {
        let (mut a, mut b, mut c) = (Noise::new(7), Noise::new(7), Noise::new(8));
        let (x, y, z) = (a.white(), b.white(), c.white());
        assert_eq!(x, y);
        assert_ne!(x, z);
    }
}
