//! MusPy's metrics by name.

use super::{pitches, polyphony, rhythm};
use crate::Score;
use crate::harmony::Key;

/// A number of a single piece. In the words of MusPy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    PitchRange,
    PitchesUsed,
    PitchClassesUsed,
    Polyphony,
    PolyphonyRate,
    PitchInScaleRate,
    ScaleConsistency,
    PitchEntropy,
    PitchClassEntropy,
    EmptyBeatRate,
    EmptyMeasureRate,
    DrumInDupleRate,
    DrumInTripleRate,
    DrumPatternConsistency,
    GrooveConsistency,
}

impl Metric {
    pub const ALL: [Metric; 15] = [
        Metric::PitchRange,
        Metric::PitchesUsed,
        Metric::PitchClassesUsed,
        Metric::Polyphony,
        Metric::PolyphonyRate,
        Metric::PitchInScaleRate,
        Metric::ScaleConsistency,
        Metric::PitchEntropy,
        Metric::PitchClassEntropy,
        Metric::EmptyBeatRate,
        Metric::EmptyMeasureRate,
        Metric::DrumInDupleRate,
        Metric::DrumInTripleRate,
        Metric::DrumPatternConsistency,
        Metric::GrooveConsistency,
    ];

    /// MusPy's name of it; `drum_in_pattern_rate` of both meters stands for itself.
    pub fn name(self) -> &'static str {
        match self {
            Metric::PitchRange => "pitch_range",
            Metric::PitchesUsed => "n_pitches_used",
            Metric::PitchClassesUsed => "n_pitch_classes_used",
            Metric::Polyphony => "polyphony",
            Metric::PolyphonyRate => "polyphony_rate",
            Metric::PitchInScaleRate => "pitch_in_scale_rate",
            Metric::ScaleConsistency => "scale_consistency",
            Metric::PitchEntropy => "pitch_entropy",
            Metric::PitchClassEntropy => "pitch_class_entropy",
            Metric::EmptyBeatRate => "empty_beat_rate",
            Metric::EmptyMeasureRate => "empty_measure_rate",
            Metric::DrumInDupleRate => "drum_in_pattern_rate_duple",
            Metric::DrumInTripleRate => "drum_in_pattern_rate_triple",
            Metric::DrumPatternConsistency => "drum_pattern_consistency",
            Metric::GrooveConsistency => "groove_consistency",
        }
    }

    /// The number of a piece. `None` where it has none: of pitches without pitches, of drums without drums, of a scale
    /// without a key signature (the first counts), of anything without length. Measures are as long as the first.
    pub fn of(self, score: &Score) -> Option<f64> {
        let measure = || rhythm::measure_ticks(score);
        let count = |count: usize| (!rhythm::is_silent(score)).then_some(count as f64);
        match self {
            Metric::PitchRange => pitches::pitch_range(score).map(f64::from),
            Metric::PitchesUsed => count(pitches::n_pitches_used(score)),
            Metric::PitchClassesUsed => count(pitches::n_pitch_classes_used(score)),
            Metric::Polyphony => polyphony::polyphony(score),
            Metric::PolyphonyRate => polyphony::polyphony_rate(score, 2),
            Metric::PitchInScaleRate => {
                let key = Key::from(*score.keys.first()?);
                pitches::pitch_in_scale_rate(score, key.tonic.pitch_class(), key.is_minor())
            }
            Metric::ScaleConsistency => pitches::scale_consistency(score),
            Metric::PitchEntropy => pitches::pitch_entropy(score),
            Metric::PitchClassEntropy => pitches::pitch_class_entropy(score),
            Metric::EmptyBeatRate => rhythm::empty_beat_rate(score),
            Metric::EmptyMeasureRate => rhythm::empty_measure_rate(score, measure()?),
            Metric::DrumInDupleRate => rhythm::drum_in_pattern_rate(score, rhythm::Pulse::Duple),
            Metric::DrumInTripleRate => rhythm::drum_in_pattern_rate(score, rhythm::Pulse::Triple),
            Metric::DrumPatternConsistency => rhythm::drum_pattern_consistency(score),
            Metric::GrooveConsistency => rhythm::groove_consistency(score, measure()?),
        }
    }
}
