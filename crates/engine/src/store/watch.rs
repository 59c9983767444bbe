//! Telling a caller how far long work is, and letting it stop.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{Error, Result};

/// What is going on. Lengths are bytes over all files of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// Another process works on the same model; this one waits for it.
    Waiting,
    /// The hub is asked what `file` is.
    Asking { file: &'a str },
    /// `file` comes over the network or is copied.
    Fetching { file: &'a str, done: u64, total: u64 },
    /// `file`, which is on disk already, is read and hashed.
    Checking { file: &'a str, done: u64, total: u64 },
    /// It went wrong and is tried again after a pause. Told once a pause.
    Retrying { why: &'a str, pause: Duration },
}

/// Hears what is going on; `Break` stops the work with [`Error::Cancelled`].
pub type Watch<'a> = dyn FnMut(&Event<'_>) -> ControlFlow<()> + 'a;

/// The longest time between two calls of a watch.
pub(super) const TICK: Duration = Duration::from_millis(200);

pub(super) fn tell(watch: &mut Watch<'_>, event: &Event<'_>) -> Result<()> {
    match watch(event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}
