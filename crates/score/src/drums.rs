//! The nine drum classes and the percussion maps that fold into them.

use crate::{Error, Result};
use std::{fmt, str::FromStr};

/// One of the nine drum classes of the Groove MIDI Dataset papers.
///
/// Order (= index) is Magenta's: kick, snare, closed hi-hat, open hi-hat, low tom, mid tom, high tom, crash, ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DrumClass {
    Kick,
    Snare,
    ClosedHat,
    OpenHat,
    LowTom,
    MidTom,
    HighTom,
    Crash,
    Ride,
}

/// Which note numbers a drum track uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DrumMap {
    /// General MIDI percussion, with Magenta's folding of the rest of the kit.
    #[default]
    Gm,
    /// Roland TD-11, the kit of the Groove MIDI Dataset.
    Td11,
}

impl DrumMap {
    /// The class of a note number, `None` where the map has none.
    pub fn class(self, pitch: u8) -> Option<DrumClass> {
        match self {
            DrumMap::Gm => DrumClass::from_gm(pitch),
            DrumMap::Td11 => DrumClass::from_td11(pitch),
        }
    }
}

/// All words [`parse_lanes`] knows, by what they stand for.
const WORDS: [(&[DrumClass], &[&str]); 12] = {
    use DrumClass::*;
    [
        (&[Kick], &["kick", "bd", "kik", "bass-drum", "bassdrum", "kick-drum"]),
        (&[Snare], &["snare", "sd", "sn", "snare-drum", "rim"]),
        (&[ClosedHat], &["closed-hat", "ch", "chh", "hc", "closed-hihat", "closed-hi-hat"]),
        (&[OpenHat], &["open-hat", "oh", "ohh", "ho", "open-hihat", "open-hi-hat"]),
        (&[LowTom], &["low-tom", "lt", "floor-tom", "tom-low"]),
        (&[MidTom], &["mid-tom", "mt", "tom-mid"]),
        (&[HighTom], &["high-tom", "ht", "hi-tom", "tom-high"]),
        (&[Crash], &["crash", "cr", "cc", "crash-cymbal"]),
        (&[Ride], &["ride", "rd", "rc", "ride-cymbal"]),
        (&[ClosedHat, OpenHat], &["hihat", "hat", "hats", "hihats", "hi-hat", "hi-hats", "hh"]),
        (&[LowTom, MidTom, HighTom], &["toms", "tom"]),
        (&[Crash, Ride], &["cymbals", "cymbal"]),
    ]
};

const LANES: &str =
    "kick, snare, closed-hat, open-hat, low-tom, mid-tom, high-tom, crash, ride, hihat, toms, cymbals, all";
const NAMES: &str = "kick, snare, closed-hat, open-hat, low-tom, mid-tom, high-tom, crash, ride";

impl DrumClass {
    /// In index order.
    pub const ALL: [DrumClass; 9] = {
        use DrumClass::*;
        [Kick, Snare, ClosedHat, OpenHat, LowTom, MidTom, HighTom, Crash, Ride]
    };

    /// `0..9`
    pub fn index(self) -> usize {
        self as usize
    }

    /// `None` unless `index` is `0..9`.
    pub fn from_index(index: usize) -> Option<DrumClass> {
        Self::ALL.get(index).copied()
    }

    /// Lower case with a hyphen: `closed-hat`.
    pub fn name(self) -> &'static str {
        WORDS[self.index()].1[0]
    }

    /// The General MIDI note this class is written as.
    pub fn gm_pitch(self) -> u8 {
        [36, 38, 42, 46, 45, 48, 50, 49, 51][self.index()]
    }

    /// The Roland TD-11 note this class is written as: the first of its articulations.
    pub fn td11_pitch(self) -> u8 {
        [36, 38, 42, 46, 43, 47, 50, 49, 51][self.index()]
    }

    /// Class of a General MIDI percussion note; `None` for those Magenta drops.
    ///
    /// Source: `DEFAULT_DRUM_TYPE_PITCHES` of Magenta's MusicVAE data module, in its current version.
    pub fn from_gm(pitch: u8) -> Option<DrumClass> {
        Some(match pitch {
            35 | 36 => DrumClass::Kick,
            27 | 28 | 31..=34 | 37..=40 | 56 | 65 | 66 | 75 | 85 => DrumClass::Snare,
            22 | 42 | 44 | 54 | 68..=71 | 73 | 78 | 80 => DrumClass::ClosedHat,
            26 | 46 | 67 | 72 | 74 | 79 | 81 => DrumClass::OpenHat,
            29 | 41 | 43 | 45 | 61 | 64 | 84 => DrumClass::LowTom,
            47 | 48 | 60 | 63 | 77 | 86 | 87 => DrumClass::MidTom,
            30 | 50 | 62 | 76 | 83 => DrumClass::HighTom,
            49 | 52 | 55 | 57 | 58 => DrumClass::Crash,
            51 | 53 | 59 | 82 => DrumClass::Ride,
            _ => return None,
        })
    }

    /// Class of a Roland TD-11 note; `None` outside its 22 articulations.
    ///
    /// Source: `ROLAND_DRUM_PITCH_CLASSES` of Magenta's MusicVAE data module.
    pub fn from_td11(pitch: u8) -> Option<DrumClass> {
        Some(match pitch {
            36 => DrumClass::Kick,
            37 | 38 | 40 => DrumClass::Snare,
            22 | 42 | 44 => DrumClass::ClosedHat,
            26 | 46 => DrumClass::OpenHat,
            43 | 58 => DrumClass::LowTom,
            45 | 47 => DrumClass::MidTom,
            48 | 50 => DrumClass::HighTom,
            49 | 52 | 55 | 57 => DrumClass::Crash,
            51 | 53 | 59 => DrumClass::Ride,
            _ => return None,
        })
    }
}

/// The General MIDI note a Roland TD-11 articulation folds to, `None` outside its 22.
pub fn td11_to_gm(pitch: u8) -> Option<u8> {
    DrumClass::from_td11(pitch).map(DrumClass::gm_pitch)
}

impl fmt::Display for DrumClass {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

impl FromStr for DrumClass {
    type Err = Error;

    /// One class by its name or a usual synonym (`bd`, `sd`, `chh`, `floor-tom`); groups like `hihat` are errors.
    fn from_str(text: &str) -> Result<DrumClass> {
        match classes(text) {
            Some([class]) => Ok(*class),
            Some(several) => {
                let names: Vec<_> = several.iter().map(|class| class.name()).collect();
                Err(unknown(text, NAMES, format!(" (stands for several: {})", names.join(", "))))
            }
            None => Err(unknown(text, NAMES, did_you_mean(text))),
        }
    }
}

/// A comma list of drums and groups (`hihat`, `toms`, `cymbals`, `all`): sorted, each class once.
///
/// # Errors
/// [`Error::UnknownDrum`] naming the word, with the nearest known one; an empty list is an error too.
pub fn parse_lanes(text: &str) -> Result<Vec<DrumClass>> {
    let mut lanes = Vec::new();
    for word in text.split(',') {
        if normal(word) == "all" {
            lanes.extend(DrumClass::ALL);
            continue;
        }
        lanes.extend(classes(word).ok_or_else(|| unknown(word, LANES, did_you_mean(word)))?);
    }
    lanes.sort_unstable();
    lanes.dedup();
    Ok(lanes)
}

fn unknown(word: &str, allowed: &'static str, hint: String) -> Error {
    let shown: String = word.trim().chars().take(40).collect();
    Error::UnknownDrum { got: format!("{shown:?}"), allowed, hint }
}

fn normal(word: &str) -> String {
    word.trim().to_lowercase().replace(['_', ' '], "-")
}

fn classes(word: &str) -> Option<&'static [DrumClass]> {
    let word = normal(word);
    WORDS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(classes, _)| *classes)
}

fn did_you_mean(word: &str) -> String {
    let word = normal(word);
    // Long words can't be near; this also bounds the work.
    if word.chars().count() > 24 {
        return String::new();
    }
    let near = WORDS.iter().flat_map(|(_, words)| *words).map(|known| (distance(&word, known), *known));
    match near
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len() - 1)
        .min_by_key(|pair| pair.0)
    {
        Some((_, known)) => format!(", did you mean {known}?"),
        None => String::new(),
    }
}

/// Levenshtein distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let cost = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use DrumClass::*;

    #[test]
    fn names_and_pitches_of_both_maps_come_back() {
        for (index, class) in DrumClass::ALL.into_iter().enumerate() {
            assert_eq!(DrumClass::from_index(index), Some(class));
            assert_eq!(class.index(), index);
            assert_eq!(class.name().parse(), Ok(class));
            assert_eq!(DrumMap::Gm.class(class.gm_pitch()), Some(class));
            assert_eq!(DrumMap::Td11.class(class.td11_pitch()), Some(class));
        }
        assert_eq!(DrumClass::from_index(9), None);
    }

    #[test]
    fn maps_hold_as_many_notes_as_magentas() {
        assert_eq!((0..=255).filter(|&pitch| DrumClass::from_gm(pitch).is_some()).count(), 63);
        assert_eq!((0..=255).filter(|&pitch| DrumClass::from_td11(pitch).is_some()).count(), 22);
        assert_eq!((td11_to_gm(26), td11_to_gm(58), td11_to_gm(35)), (Some(46), Some(45), None));
    }

    #[test]
    fn lanes_know_groups_and_synonyms() {
        assert_eq!(parse_lanes("hihat"), Ok(vec![ClosedHat, OpenHat]));
        assert_eq!(parse_lanes("BD, sd,kick"), Ok(vec![Kick, Snare]));
        assert_eq!(parse_lanes("cymbals,toms"), Ok(vec![LowTom, MidTom, HighTom, Crash, Ride]));
        assert_eq!(parse_lanes("all").map(|lanes| lanes.len()), Ok(9));
        assert_eq!("floor tom".parse(), Ok(LowTom));
    }

    #[test]
    fn wrong_lanes_suggest_the_nearest() {
        let message = parse_lanes("kick,snair").expect_err("unknown").to_string();
        assert!(message.contains("\"snair\", did you mean snare?"), "{message}");
        assert!(parse_lanes("").is_err());
        assert!(!parse_lanes("xylophone").expect_err("unknown").to_string().contains("mean"));
        assert!(
            "hihat".parse::<DrumClass>().expect_err("group").to_string().contains("closed-hat, open-hat")
        );
    }
}
