//! Drums an event a step: the set of drums struck there.

use super::OneHot;
use crate::drum_steps::REDUCED;

/// Pitches `0..=127` struck together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DrumSet(u128);

impl DrumSet {
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, pitch: u8) -> bool {
        pitch < 128 && self.0 >> pitch & 1 == 1
    }

    /// The pitches, ascending.
    pub fn pitches(self) -> impl Iterator<Item = u8> {
        (0..128).filter(move |&pitch| self.contains(pitch))
    }
}

impl FromIterator<u8> for DrumSet {
    /// Pitches above 127 are left out.
    fn from_iter<I: IntoIterator<Item = u8>>(pitches: I) -> DrumSet {
        let bits = pitches.into_iter().filter(|&pitch| pitch < 128);
        DrumSet(bits.fold(0, |set, pitch| set | 1 << pitch))
    }
}

/// Which drums a network tells apart: each kind of drum is a bit, a set of them a class `0..2^kinds`. Drums of no kind
/// are not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrumClasses {
    /// Of each kind, the pitch that is played for it and all pitches that are read as it.
    kinds: Vec<(u8, DrumSet)>,
}

impl DrumClasses {
    /// Kick, snare, closed and open hi-hat, three toms, crash, ride: 512 classes. Magenta runs its published kit with
    /// this map, though the kit was probably trained with the one before it.
    pub fn kit() -> DrumClasses {
        let kind = |class| {
            (REDUCED.pitch(class), (0..128).filter(|&pitch| REDUCED.class(pitch) == Some(class)).collect())
        };
        DrumClasses { kinds: (0..REDUCED.classes()).map(kind).collect() }
    }

    /// Struck or not, whatever the drum; a hand clap is played. Two classes.
    pub fn any() -> DrumClasses {
        DrumClasses { kinds: vec![(39, (0..128).collect())] }
    }
}

impl OneHot for DrumClasses {
    type Event = DrumSet;

    fn classes(&self) -> usize {
        1 << self.kinds.len()
    }

    fn default_event(&self) -> DrumSet {
        DrumSet::default()
    }

    fn class(&self, event: DrumSet) -> Result<usize, (&'static str, String, String)> {
        let struck = |(bit, (_, kind)): (usize, &(u8, DrumSet))| usize::from(event.0 & kind.0 != 0) << bit;
        Ok(self.kinds.iter().enumerate().map(struck).sum())
    }

    fn event(&self, class: usize) -> DrumSet {
        assert!(class < self.classes(), "class {class} of {}", self.classes());
        let kinds = self.kinds.iter().enumerate();
        kinds.filter(|(bit, _)| class >> bit & 1 == 1).map(|(_, (pitch, _))| *pitch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Codec, Lookback, Plain};

    #[test]
    fn every_class_of_a_kit_is_the_set_it_stands_for() {
        let kit = DrumClasses::kit();
        for class in 0..kit.classes() {
            assert_eq!(kit.class(kit.event(class)), Ok(class));
        }
        assert_eq!(kit.event(0), kit.default_event());
        assert!(kit.event(511).pitches().eq([36, 38, 42, 45, 46, 48, 49, 50, 51]));
    }

    #[test]
    fn drums_of_one_kind_are_one_and_unknown_ones_are_not_seen() {
        let class = |pitches: &[u8]| DrumClasses::kit().class(pitches.iter().copied().collect()).unwrap();
        assert_eq!(class(&[35, 36]), 1);
        assert_eq!(class(&[99]), 0);
        assert_eq!(class(&[35, 36, 49]), 1 | 1 << 7);
        assert_eq!(DrumClasses::any().class([99].into_iter().collect()), Ok(1));
        assert!(DrumClasses::any().event(1).pitches().eq([39]));
    }

    #[test]
    fn sizes_are_those_of_the_published_networks() {
        let kit = Lookback::counting(DrumClasses::kit());
        assert_eq!((kit.inputs(), kit.classes()), (518, 512));
        assert_eq!(Plain(DrumClasses::any()).inputs(), 2);
    }
}
