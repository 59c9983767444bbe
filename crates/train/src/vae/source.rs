//! Where windows come from.

use partita_nn::Rng;

use super::net::Window;
use crate::groove::Split;

/// Two-bar windows of a data set.
pub trait Source: Sync {
    /// A training window, varied in a way that stays musical.
    fn draw(&self, rng: &mut Rng) -> Window;

    /// Every window of a split, as it is.
    fn windows(&self, split: Split) -> Vec<Window>;

    /// SHA-256 over the sorted lines `file,split`.
    fn split_hash(&self) -> &str;
}

impl<S: Source + ?Sized> Source for &S {
    fn draw(&self, rng: &mut Rng) -> Window {
        (**self).draw(rng)
    }

    fn windows(&self, split: Split) -> Vec<Window> {
        (**self).windows(split)
    }

    fn split_hash(&self) -> &str {
        (**self).split_hash()
    }
}

/// Steps of a window: two bars of sixteenths.
pub const STEPS: usize = 32;
/// Sixteenths of a bar in common time.
pub(super) const BAR: usize = 16;
