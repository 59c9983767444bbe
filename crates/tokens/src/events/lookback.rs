//! Features with a memory of the bars before: what was played there, and whether it is being repeated.

use super::one_hot::{check, class_of};
use super::{BAR, Codec, Error, OneHot, repeats, write_counter};

/// ```text
/// input   [event p] [event p + 1 - d for each distance d] [counter of p + 1] [p repeats p - d for each d]
/// class   0..C the event, then one a distance: the event that far back again
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lookback<O> {
    pub encoding: O,
    /// Positions, ascending.
    pub distances: Vec<usize>,
    /// Bits of the counter.
    pub counter: usize,
}

impl<O: OneHot> Lookback<O> {
    /// One and two bars back, with a counter over two bars.
    pub fn two_bars(encoding: O) -> Lookback<O> {
        Lookback { encoding, distances: vec![BAR, 2 * BAR], counter: 5 }
    }

    /// No looking back, a counter over four bars: what drum_kit has.
    pub fn counting(encoding: O) -> Lookback<O> {
        Lookback { encoding, distances: Vec::new(), counter: 6 }
    }
}

impl<O: OneHot> Codec for Lookback<O> {
    type Event = O::Event;

    fn inputs(&self) -> usize {
        let back = self.distances.len();
        self.encoding.classes() * (1 + back) + self.counter + back
    }

    fn classes(&self) -> usize {
        self.encoding.classes() + self.distances.len()
    }

    fn check(&self, events: &[O::Event]) -> Result<(), Error> {
        check(&self.encoding, events)
    }

    fn input(&self, events: &[O::Event], position: usize, out: &mut [f32]) {
        let classes = self.encoding.classes();
        out.fill(0.0);
        let (blocks, rest) = out.split_at_mut(classes * (1 + self.distances.len()));
        let (counter, repeated) = rest.split_at_mut(self.counter);
        let mut blocks = blocks.chunks_exact_mut(classes);
        if let Some(block) = blocks.next() {
            block[class_of(&self.encoding, events[position])] = 1.0;
        }
        for (block, &distance) in blocks.zip(&self.distances) {
            // What follows if the repetition goes on.
            let next = match (position + 1).checked_sub(distance) {
                Some(back) => events[back],
                None => self.encoding.default_event(),
            };
            block[class_of(&self.encoding, next)] = 1.0;
        }
        write_counter(position + 1, counter);
        for (out, &distance) in repeated.iter_mut().zip(&self.distances) {
            *out = f32::from(u8::from(repeats(events, position, distance)));
        }
    }

    fn label(&self, events: &[O::Event], position: usize) -> usize {
        let quiet = events[position] == self.encoding.default_event();
        match repeated(&self.distances, events, position, quiet) {
            Some(which) => self.encoding.classes() + which,
            None => class_of(&self.encoding, events[position]),
        }
    }

    fn event(&self, class: usize, events: &[O::Event]) -> O::Event {
        match class.checked_sub(self.encoding.classes()) {
            Some(which) => back(events, self.distances[which]).unwrap_or(self.encoding.default_event()),
            None => self.encoding.event(class),
        }
    }
}

/// The event `distance` back from the one that comes next, if there is any.
pub(super) fn back<E: Copy>(events: &[E], distance: usize) -> Option<E> {
    events.len().checked_sub(distance).map(|at| events[at])
}

/// Which distance the event at `position` repeats: the longest wins. Before the longest distance, an event that is the
/// default one counts as repeating it, since the default is what stands there.
pub(super) fn repeated<E: PartialEq>(
    distances: &[usize],
    events: &[E],
    position: usize,
    quiet: bool,
) -> Option<usize> {
    match distances.last() {
        Some(&longest) if position < longest && quiet => Some(distances.len() - 1),
        _ => distances.iter().rposition(|&distance| repeats(events, position, distance)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{MelodyEvent, MelodyRange};

    fn codec() -> Lookback<MelodyRange> {
        Lookback::two_bars(MelodyRange { low: 48, high: 84 })
    }

    fn melody(codes: impl IntoIterator<Item = i64>) -> Vec<MelodyEvent> {
        codes.into_iter().map(|code| MelodyEvent::from_code(code).unwrap()).collect()
    }

    #[test]
    fn the_longest_repetition_is_the_label_and_silence_repeats_the_start() {
        let codec = codec();
        let events = melody((0..40).map(|at| if at % 16 == 0 { 60 } else { 61 + at % 8 }));
        assert_eq!(codec.label(&events, 0), 2 + 12);
        assert_eq!(codec.label(&events, 16), 38);
        assert_eq!(codec.label(&events, 32), 39);
        let quiet = melody([60, -2, -1]);
        assert_eq!((0..3).map(|at| codec.label(&quiet, at)).collect::<Vec<_>>(), [14, 39, 1]);
    }

    #[test]
    fn a_label_means_its_event_again() {
        let codec = codec();
        let events = melody((0..80).map(|at| [60, -2, -2, -1, 62, 62, -2, 83][at as usize * 5 / 3 % 8]));
        for at in 0..events.len() {
            assert_eq!(codec.event(codec.label(&events, at), &events[..at]), events[at], "{at}");
        }
        assert_eq!(codec.event(38, &events[..15]), MelodyEvent::NoEvent);
        assert_eq!(codec.event(39, &events[..32]), events[0]);
    }

    #[test]
    fn features_do_not_change_when_events_are_added() {
        let codec = codec();
        let events = melody((0..50).map(|at| 48 + at % 7));
        let whole = codec.all_inputs(&events);
        for length in [1, 17, 49] {
            assert_eq!(codec.all_inputs(&events[..length]), whole[..length * codec.inputs()]);
        }
    }

    #[test]
    fn sizes_are_those_of_the_published_networks() {
        assert_eq!((codec().inputs(), codec().classes()), (121, 40));
    }

    #[test]
    fn a_pitch_outside_is_named_with_its_place() {
        let error = codec().check(&melody([60, -2, 84])).unwrap_err();
        assert_eq!(error.to_string(), "event 2: pitch must be in 48..84, got 84");
    }
}
