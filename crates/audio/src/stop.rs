//! Long work that can be broken off.

use crate::Error;

/// Samples between two questions: a few milliseconds of the slowest work on them.
pub(crate) const STEP: usize = 1 << 15;

/// Asks whether the work is still wanted.
#[derive(Clone, Copy)]
pub(crate) struct Stop<'a>(Option<&'a dyn Fn() -> bool>);

impl<'a> Stop<'a> {
    /// Goes on to the end.
    pub const NEVER: Stop<'static> = Stop(None);

    /// Stops once `asked` says `true`.
    pub fn when(asked: &'a dyn Fn() -> bool) -> Stop<'a> {
        Stop(Some(asked))
    }

    /// # Errors
    /// [`Error::Stopped`].
    pub fn check(self) -> Result<(), Error> {
        if self.0.is_some_and(|asked| asked()) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// As [`Stop::check`], for loops over samples: asks at every [`STEP`]th.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn at(self, sample: usize) -> Result<(), Error> {
        if sample.is_multiple_of(STEP) { self.check() } else { Ok(()) }
    }
}
