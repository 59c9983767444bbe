//! Words in a file: which meta events they are, and which track they go with.

use std::collections::HashMap;

use crate::{Text, TextKind, Tick, Track};

const KINDS: [(u8, TextKind); 6] = [
    (0x01, TextKind::Text),
    (0x02, TextKind::Copyright),
    (0x04, TextKind::Instrument),
    (0x05, TextKind::Lyric),
    (0x06, TextKind::Marker),
    (0x07, TextKind::CuePoint),
];

/// What the words of a meta event are for; `None` for those of other kinds.
pub(super) fn kind(number: u8) -> Option<TextKind> {
    KINDS.iter().find(|(other, _)| *other == number).map(|(_, kind)| *kind)
}

/// The meta event for such words.
pub(super) fn number(kind: TextKind) -> u8 {
    KINDS.iter().find(|(_, other)| *other == kind).map_or(0x01, |(number, _)| *number)
}

/// Words with the index of their track, the first of its name; `None` for the piece as a whole.
pub(super) struct Places<'a>(HashMap<&'a str, usize>);

impl Places<'_> {
    pub fn of(tracks: &[Track]) -> Places<'_> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (index, track) in tracks.iter().enumerate().filter(|(_, track)| !track.name.is_empty()) {
            places.entry(&track.name).or_insert(index);
        }
        Places(places)
    }

    pub fn get(&self, text: &Text) -> Option<usize> {
        self.0.get(text.track.as_str()).copied()
    }
}

/// Gives the words of a chunk to its tracks, all of one `name`; what is about the whole piece stays so.
pub(super) fn give(texts: &mut [Text], name: &str) {
    let own = |text: &&mut Text| matches!(text.kind, TextKind::Text | TextKind::Instrument | TextKind::Lyric);
    texts.iter_mut().filter(own).for_each(|text| text.track = name.to_owned());
}

/// In the order of time, and on one tick in that of the file that would be written.
pub(super) fn sort(texts: &mut [Text], tracks: &[Track]) {
    let places = Places::of(tracks);
    texts.sort_by_key(|text| -> (Tick, Option<usize>) { (text.at, places.get(text)) });
}
