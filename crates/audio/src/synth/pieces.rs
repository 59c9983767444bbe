//! Which instrument a General MIDI percussion note is, how it is tuned and where it stands.

use partita_score::DrumClass;

use super::Kit;

/// What a kit knows how to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instrument {
    Kick,
    SideStick,
    Snare,
    Clap,
    Tom,
    HandDrum,
    ClosedHat,
    PedalHat,
    OpenHat,
    Crash,
    China,
    Splash,
    Ride,
    RideBell,
    Cowbell,
    Tambourine,
    Shaker,
    Wood,
    Triangle,
}

/// One percussion note of a kit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    pub instrument: Instrument,
    /// Factor on the instrument's pitch.
    pub tune: f64,
    /// -1 left, 1 right, as the drummer sits: hi-hat left, floor tom right.
    pub pan: f64,
}

/// Instruments of which one stroke ends the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choke {
    Hat,
    Triangle,
    /// The machines have one kick circuit.
    Kick,
}

/// The piece a note number plays. Notes outside the table fold to their drum class, the rest to a side stick.
///
/// 22 and 26 are the hi-hat edges of Roland's electronic kits.
pub fn piece(pitch: u8) -> Piece {
    use Instrument::*;
    let (instrument, tune, pan) = match pitch {
        35 => (Kick, 0.92, 0.0),
        36 => (Kick, 1.0, 0.0),
        37 => (SideStick, 1.0, -0.12),
        38 => (Snare, 1.0, -0.1),
        39 => (Clap, 1.0, 0.1),
        40 => (Snare, 1.12, -0.1),
        41 => (Tom, 0.76, 0.55),
        43 => (Tom, 0.88, 0.45),
        45 => (Tom, 1.04, 0.2),
        47 => (Tom, 1.22, 0.05),
        48 => (Tom, 1.42, -0.15),
        50 => (Tom, 1.68, -0.3),
        22 | 42 => (ClosedHat, 1.0, -0.45),
        44 => (PedalHat, 1.0, -0.45),
        26 | 46 => (OpenHat, 1.0, -0.45),
        49 => (Crash, 1.0, -0.5),
        51 => (Ride, 1.0, 0.45),
        52 => (China, 0.9, 0.6),
        53 => (RideBell, 1.0, 0.45),
        54 => (Tambourine, 1.0, 0.25),
        55 => (Splash, 1.35, -0.2),
        56 => (Cowbell, 1.0, 0.2),
        57 => (Crash, 0.86, 0.5),
        58 => (Tom, 0.88, 0.45),
        59 => (Ride, 0.91, 0.5),
        60 => (HandDrum, 1.9, 0.3),
        61 => (HandDrum, 1.42, 0.35),
        62 => (HandDrum, 1.3, 0.4),
        63 => (HandDrum, 1.16, 0.4),
        64 => (HandDrum, 0.88, 0.45),
        65 => (HandDrum, 1.75, -0.35),
        66 => (HandDrum, 1.25, -0.35),
        67 => (Cowbell, 1.5, 0.3),
        68 => (Cowbell, 1.12, 0.3),
        69 => (Shaker, 1.1, -0.25),
        70 => (Shaker, 1.2, 0.3),
        75 => (Wood, 2.0, -0.2),
        76 => (Wood, 0.92, 0.2),
        77 => (Wood, 0.7, 0.25),
        80 | 81 => (Triangle, 1.0, -0.3),
        82 => (Shaker, 1.0, -0.3),
        _ => {
            return match DrumClass::from_gm(pitch) {
                Some(class) if class.gm_pitch() != pitch => piece(class.gm_pitch()),
                _ => piece(37),
            };
        }
    };
    Piece { instrument, tune, pan }
}

impl Instrument {
    /// Peak level of the hardest stroke, and how much of it goes to the room.
    pub fn level(self, kit: Kit) -> (f64, f64) {
        use Instrument::*;
        let (gain, room) = match self {
            Kick => (1.0, 0.05),
            Snare => (0.86, 0.2),
            SideStick => (0.55, 0.2),
            Clap => (0.62, 0.25),
            Tom => (0.85, 0.16),
            HandDrum => (0.6, 0.15),
            ClosedHat => (0.34, 0.07),
            PedalHat => (0.27, 0.07),
            OpenHat => (0.42, 0.09),
            Crash => (0.56, 0.12),
            China => (0.54, 0.12),
            Splash => (0.5, 0.12),
            Ride => (0.36, 0.1),
            RideBell => (0.42, 0.1),
            Cowbell => (0.4, 0.12),
            Tambourine => (0.36, 0.14),
            Shaker => (0.24, 0.1),
            Wood => (0.45, 0.18),
            Triangle => (0.25, 0.15),
        };
        // The machines are heard from their outputs, nearly dry.
        if kit == Kit::Acoustic { (gain, room) } else { (gain, room * 0.25) }
    }

    /// How far a close microphone and desk are driven, 1 = clean: takes the spike off the front, keeps the body.
    pub fn drive(self) -> f32 {
        match self {
            Self::Kick => 1.7,
            Self::Snare => 2.2,
            Self::Tom | Self::HandDrum => 1.5,
            Self::SideStick | Self::Clap => 1.4,
            _ => 1.0,
        }
    }

    /// Whether strokes ring for seconds.
    pub fn is_cymbal(self) -> bool {
        use Instrument::*;
        matches!(self, Crash | China | Splash | Ride | RideBell)
    }

    /// The group in which a new stroke ends this one.
    pub fn choke(self, kit: Kit) -> Option<Choke> {
        match self {
            Self::ClosedHat | Self::PedalHat | Self::OpenHat => Some(Choke::Hat),
            Self::Triangle => Some(Choke::Triangle),
            Self::Kick if kit != Kit::Acoustic => Some(Choke::Kick),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_number_has_a_piece() {
        for pitch in 0..=255 {
            assert!((0.5..=2.0).contains(&piece(pitch).tune), "{pitch}");
        }
    }

    #[test]
    fn toms_of_general_midi_rise_with_their_numbers() {
        let tunes: Vec<f64> = [41, 43, 45, 47, 48, 50].map(|p| piece(p).tune).to_vec();
        assert!(tunes.is_sorted());
    }

    #[test]
    fn drum_classes_play_their_own_instrument() {
        assert_eq!(piece(DrumClass::Kick.gm_pitch()).instrument, Instrument::Kick);
        assert_eq!(piece(DrumClass::OpenHat.gm_pitch()).instrument, Instrument::OpenHat);
        assert_eq!(piece(DrumClass::Ride.gm_pitch()).instrument, Instrument::Ride);
    }
}
