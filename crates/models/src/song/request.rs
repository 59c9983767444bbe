//! What a song is asked for.

use std::ops::RangeInclusive;

use partita_score::demands::{PitchSet, RhythmGrid};
use partita_score::harmony::Key;
use partita_score::swing::SwingUnit;
use partita_score::{DrumPattern, swing};
use partita_tokens::song::{PartRules, Tones};

use super::feel::Swing;
use super::habits::habits;
use crate::arrange::{BassAt, BassRule, CompRule, Make};
use crate::drums::{ALL_LANES, Lanes, Sampling, Style};
use crate::melody;

/// Drums whose off-beat eighths lie at or after this place swing.
const SWINGS: f64 = 0.57;

/// Whether a song swings: all of its tracks or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Feel {
    /// As the drums' style does: by its profile's swing of sixteenths, or by the eighths that the drummer swings.
    #[default]
    Style,
    /// None; of the drums, what is no swing of a profile stays.
    Straight,
}

/// A song: what is asked of its lead sheet is asked of all (metre, bars, tempo, key, seed, variations).
#[derive(Clone, Debug)]
pub struct Request {
    /// Of the drums; of the others, if they are left to it ([`habits`]).
    pub style: Style,
    pub lead: melody::Request,
    /// Who plays the bass and the chords; [`Make::Keep`] for nobody.
    pub bass: Make<BassRule>,
    pub chords: Make<CompRule>,
    pub bass_rules: PartRules,
    pub chords_rules: PartRules,
    pub bass_at: BassAt,
    /// `[0, 1]`, of chords written by the model.
    pub chords_density: Option<f64>,
    /// `[0, 1]`, of the drums.
    pub drum_density: Option<f64>,
    pub drum_sampling: Sampling,
    pub kit: Lanes,
    /// Of the drums.
    pub velocities: RangeInclusive<u8>,
    /// The last bar has a fill.
    pub fill: bool,
    pub feel: Feel,
}

impl Request {
    /// Bars that the drummer plays in one go; of longer songs, each such stretch is played for itself.
    pub const DRUM_BARS: u32 = 32;

    /// Bass and chords by the rules that are usual in the style, in the scale that is demanded of the melody and the
    /// chords' tones.
    pub fn new(style: Style, lead: melody::Request) -> Request {
        let usual = habits(&style);
        let scale = lead.demands.scale.or(lead.key.map(Key::pitch_classes));
        let rules = |range, polyphony, notes_per_bar| PartRules {
            range,
            forbidden: PitchSet::EMPTY,
            tones: scale.map_or(Tones::Free, Tones::CollectionOrChord),
            grid: RhythmGrid::Mixed,
            polyphony,
            notes_per_bar,
        };
        Request {
            bass: Make::Rule(usual.bass),
            chords: Make::Rule(usual.chords),
            bass_rules: rules(28..=55, 1, 16),
            chords_rules: rules(45..=81, 5, 48),
            bass_at: BassAt::Roots,
            chords_density: None,
            drum_density: None,
            drum_sampling: Sampling::default(),
            kit: ALL_LANES,
            velocities: 1..=127,
            fill: false,
            feel: Feel::Style,
            style,
            lead,
        }
    }

    pub(super) fn drum_style(&self) -> Style {
        let mut style = self.style.clone();
        if let Some(profile) = style.profile.as_mut().filter(|_| self.feel == Feel::Straight) {
            profile.swing = None;
        }
        style
    }

    /// What the other tracks swing by, so that they go with these drums.
    pub(super) fn swing(&self, drums: &DrumPattern) -> Option<Swing> {
        if self.feel == Feel::Straight {
            return None;
        }
        if let Some(place) = self.style.profile.as_ref().and_then(|profile| profile.swing) {
            return (place > 0.5).then_some(Swing { unit: SwingUnit::Sixteenth, place });
        }
        // Of eighths in three, there are no pairs.
        let unit = SwingUnit::Eighth;
        let pairs = drums.meter.denominator < 8;
        let place = swing::measure(drums, unit).filter(|place| pairs && *place >= SWINGS)?;
        Some(Swing { unit, place })
    }
}
