//! Events one by one as classes, and the encoding that is nothing more than that.

use super::{Codec, Error};

/// A fixed numbering of events.
pub trait OneHot {
    type Event: Copy + PartialEq + std::fmt::Debug;

    fn classes(&self) -> usize;

    /// The event that stands where nothing is known: before the start of a sequence.
    fn default_event(&self) -> Self::Event;

    /// The class of an event.
    ///
    /// # Errors
    /// The field that has no place, what is allowed, what came.
    fn class(&self, event: Self::Event) -> Result<usize, (&'static str, String, String)>;

    /// The event of a class `0..classes`.
    fn event(&self, class: usize) -> Self::Event;
}

/// The class of an event that was checked.
pub(super) fn class_of<O: OneHot>(encoding: &O, event: O::Event) -> usize {
    encoding.class(event).unwrap_or_else(|(field, allowed, got)| {
        panic!("events are checked before they are encoded: {field} must be in {allowed}, got {got}")
    })
}

pub(super) fn check<O: OneHot>(encoding: &O, events: &[O::Event]) -> Result<(), Error> {
    for (position, &event) in events.iter().enumerate() {
        let refused = |(field, allowed, got)| Error::Event { position, field, allowed, got };
        encoding.class(event).map_err(refused)?;
    }
    Ok(())
}

/// The features are the one-hot of the newest event, the classes those of the events.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain<O>(pub O);

impl<O: OneHot> Codec for Plain<O> {
    type Event = O::Event;

    fn inputs(&self) -> usize {
        self.0.classes()
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn check(&self, events: &[O::Event]) -> Result<(), Error> {
        check(&self.0, events)
    }

    fn input(&self, events: &[O::Event], position: usize, out: &mut [f32]) {
        out.fill(0.0);
        out[class_of(&self.0, events[position])] = 1.0;
    }

    fn label(&self, events: &[O::Event], position: usize) -> usize {
        class_of(&self.0, events[position])
    }

    fn event(&self, class: usize, _: &[O::Event]) -> O::Event {
        self.0.event(class)
    }
}
