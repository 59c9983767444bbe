//! Random numbers with a fixed, documented definition.
//!
//! The generator is xoshiro256++ (Blackman and Vigna 2019). Its four state words are outputs of
//! splitmix64, in two stages so that neighbouring seeds and streams are unrelated:
//!
//! ```text
//! splitmix64(z): z += 0x9e3779b97f4a7c15; x = z
//!                x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9
//!                x = (x ^ x >> 27) * 0x94d049bb133111eb
//!                output x ^ x >> 31
//! start = (first output from z = seed) ^ stream * 0x9e3779b97f4a7c15
//! state = the next four outputs from z = start
//! f64   = (word >> 11) / 2^53        f32 = (word >> 40) / 2^24
//! ```
//! All arithmetic is modulo 2^64.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One stream of random numbers. A request draws from its own, so that its result does not depend on
/// its neighbours in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

fn splitmix64(z: &mut u64) -> u64 {
    *z = z.wrapping_add(GOLDEN);
    let x = (*z ^ *z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Rng {
    /// Stream number `stream` of `seed`. Any two values give independent-looking streams.
    pub fn new(seed: u64, stream: u64) -> Rng {
        let mut z = seed;
        let mut start = splitmix64(&mut z) ^ stream.wrapping_mul(GOLDEN);
        Rng { state: std::array::from_fn(|_| splitmix64(&mut start)) }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let word = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        word
    }

    /// Uniform in `[0, 1)`, a multiple of `2^-53`.
    pub fn f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (0.5 / (1u64 << 52) as f64)
    }

    /// Uniform in `[0, 1)`, a multiple of `2^-24`.
    pub fn f32(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in `0..bound`, by rejecting the words that would favour small results. 0 for a bound
    /// of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        // Words from here on do not split evenly into `bound` parts.
        let uneven = u64::MAX - u64::MAX % bound;
        loop {
            let word = self.next_u64();
            if word < uneven {
                return word % bound;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_its_published_numbers() {
        let mut z = 1_234_567;
        let words: [u64; 3] = std::array::from_fn(|_| splitmix64(&mut z));
        assert_eq!(words, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    #[test]
    fn xoshiro_gives_its_published_numbers() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let words: [u64; 4] = std::array::from_fn(|_| rng.next_u64());
        assert_eq!(words, [41943041, 58720359, 3588806011781223, 3591011842654386]);
    }

    #[test]
    fn seeds_and_streams_differ() {
        let first = |seed, stream| Rng::new(seed, stream).next_u64();
        let mut all: Vec<u64> = (0..100).flat_map(|a| (0..100).map(move |b| first(a, b))).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10_000);
        assert_eq!(Rng::new(7, 3), Rng::new(7, 3));
    }

    #[test]
    fn numbers_are_uniform() {
        let mut rng = Rng::new(1, 2);
        let mean = (0..10_000).map(|_| rng.f64()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02);
        assert!((0..10_000).all(|_| (0.0..1.0).contains(&rng.f32())));
        let mut counts = [0; 6];
        (0..6000).for_each(|_| counts[rng.below(6) as usize] += 1);
        assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
    }
}
