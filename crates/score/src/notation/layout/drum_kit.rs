//! Where General MIDI percussion stands on a five-line staff, and with which heads.
//!
//! The drum set (35 to 59) stands where drum music mostly has it; the rest is spread so that no two sounds share a place
//! and a head. Source of the names: the General MIDI percussion map.

/// The sign of a stroke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Normal,
    Cross,
    CircledCross,
    Triangle,
    Diamond,
}

/// How a percussion sound is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stroke {
    pub name: &'static str,
    /// As if in treble clef: `'C'..='G'`, and the octave.
    pub step: char,
    pub octave: u8,
    pub sign: Sign,
}

/// The lowest sound of the map.
const FIRST: u8 = 27;

/// Names, places and signs of the sounds from [`FIRST`] on.
const STROKES: [(&str, char, u8, Sign); 61] = {
    use Sign::*;
    [
        ("High Q", 'A', 5, Diamond),
        ("Slap", 'C', 5, Triangle),
        ("Scratch Push", 'G', 5, Diamond),
        ("Scratch Pull", 'F', 5, Triangle),
        ("Sticks", 'B', 4, Triangle),
        ("Square Click", 'B', 4, Diamond),
        ("Metronome Click", 'A', 4, Triangle),
        ("Metronome Bell", 'A', 5, Triangle),
        ("Acoustic Bass Drum", 'E', 4, Normal),
        ("Bass Drum 1", 'F', 4, Normal),
        ("Side Stick", 'C', 5, Cross),
        ("Acoustic Snare", 'C', 5, Normal),
        ("Hand Clap", 'B', 4, Cross),
        ("Electric Snare", 'C', 5, Diamond),
        ("Low Floor Tom", 'G', 4, Normal),
        ("Closed Hi-Hat", 'G', 5, Cross),
        ("High Floor Tom", 'A', 4, Normal),
        ("Pedal Hi-Hat", 'D', 4, Cross),
        ("Low Tom", 'B', 4, Normal),
        ("Open Hi-Hat", 'G', 5, CircledCross),
        ("Low-Mid Tom", 'D', 5, Normal),
        ("Hi-Mid Tom", 'E', 5, Normal),
        ("Crash Cymbal 1", 'A', 5, Cross),
        ("High Tom", 'F', 5, Normal),
        ("Ride Cymbal 1", 'F', 5, Cross),
        ("Chinese Cymbal", 'C', 6, CircledCross),
        ("Ride Bell", 'F', 5, Diamond),
        ("Tambourine", 'E', 5, Triangle),
        ("Splash Cymbal", 'D', 6, Cross),
        ("Cowbell", 'E', 5, Cross),
        ("Crash Cymbal 2", 'B', 5, Cross),
        ("Vibraslap", 'D', 5, Diamond),
        ("Ride Cymbal 2", 'D', 5, Cross),
        ("High Bongo", 'G', 5, Triangle),
        ("Low Bongo", 'E', 5, Diamond),
        ("Mute High Conga", 'D', 5, Triangle),
        ("Open High Conga", 'A', 4, Diamond),
        ("Low Conga", 'A', 4, Cross),
        ("High Timbale", 'G', 4, Triangle),
        ("Low Timbale", 'G', 4, Diamond),
        ("High Agogo", 'B', 5, Triangle),
        ("Low Agogo", 'F', 4, Triangle),
        ("Cabasa", 'E', 4, Triangle),
        ("Maracas", 'D', 4, Triangle),
        ("Short Whistle", 'B', 5, Diamond),
        ("Long Whistle", 'C', 6, Triangle),
        ("Short Guiro", 'C', 6, Diamond),
        ("Long Guiro", 'C', 6, Cross),
        ("Claves", 'G', 4, Cross),
        ("High Wood Block", 'F', 4, Diamond),
        ("Low Wood Block", 'F', 4, Cross),
        ("Mute Cuica", 'E', 4, Diamond),
        ("Open Cuica", 'E', 4, Cross),
        ("Mute Triangle", 'D', 6, Triangle),
        ("Open Triangle", 'D', 6, Diamond),
        ("Shaker", 'D', 4, Diamond),
        ("Jingle Bell", 'C', 4, Triangle),
        ("Bell Tree", 'C', 4, Diamond),
        ("Castanets", 'D', 4, Normal),
        ("Mute Surdo", 'C', 4, Cross),
        ("Open Surdo", 'C', 4, Normal),
    ]
};

/// Of any pitch; those outside the map stand below the staff.
pub fn stroke(pitch: u8) -> Stroke {
    let found = pitch.checked_sub(FIRST).and_then(|index| STROKES.get(usize::from(index)));
    let &(name, step, octave, sign) = found.unwrap_or(&("Percussion", 'C', 4, Sign::Diamond));
    Stroke { name, step, octave, sign }
}

/// The pitch of a place and sign, for files that name no sound.
pub fn pitch_at(step: char, octave: u8, cross: bool) -> Option<u8> {
    let at = |sign: Sign| {
        let found = STROKES.iter().position(|&it| (it.1, it.2, it.3) == (step, octave, sign));
        found.map(|index| FIRST + index as u8)
    };
    if cross { at(Sign::Cross).or_else(|| at(Sign::CircledCross)) } else { at(Sign::Normal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sound_has_a_place_of_its_own() {
        let places: std::collections::BTreeSet<_> =
            STROKES.iter().map(|it| (it.1, it.2, it.3 as u8)).collect();
        assert_eq!(places.len(), STROKES.len());
        assert_eq!((stroke(36).name, stroke(87).name), ("Bass Drum 1", "Open Surdo"));
        assert_eq!(pitch_at('C', 5, false), Some(38));
        assert_eq!(pitch_at('G', 5, true), Some(42));
    }
}
