//! Built-in instruments: drum kits made of modes and noise, tone voices made of FM and saws.
//!
//! Nothing is sampled and nothing is read from disk. Drums are rendered stroke by stroke (`kit.rs`):
//! each distinct stroke once, then added wherever it is played, as samplers do.

mod acoustic;
mod analog;
mod filter;
mod kit;
mod metal;
mod parts;
mod pieces;
mod room;
mod tone;

use std::{fmt, str::FromStr};

pub(crate) use kit::{DrumHit, render_drums};
pub(crate) use room::Bus;
pub(crate) use tone::{ToneNote, render_tone};

/// A built-in drum kit. Each voices the General MIDI percussion notes 35..=81.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kit {
    /// After the Roland TR-808: long sine kick, square-wave metal.
    Analog808,
    /// After the Roland TR-909: punchy swept kick, bright noise.
    Analog909,
    /// Like a drum set in a small room, heard from the drummer's seat.
    #[default]
    Acoustic,
}

impl Kit {
    /// Every kit.
    pub const ALL: [Kit; 3] = [Kit::Analog808, Kit::Analog909, Kit::Acoustic];

    /// `808`, `909` or `acoustic`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Analog808 => "808",
            Self::Analog909 => "909",
            Self::Acoustic => "acoustic",
        }
    }
}

impl fmt::Display for Kit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

impl FromStr for Kit {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim().to_lowercase();
        Self::ALL.into_iter().find(|kit| kit.name() == name).ok_or_else(|| {
            let got: String = text.chars().take(40).collect();
            crate::Error::UnknownKit { got }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kit_names_come_back() {
        for kit in Kit::ALL {
            assert_eq!(kit.to_string().parse::<Kit>().unwrap(), kit);
        }
        let message = "707".parse::<Kit>().unwrap_err().to_string();
        assert_eq!(message, "kit must be one of 808, 909, acoustic, got \"707\"");
    }
}
