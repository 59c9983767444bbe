//! Numbers that describe music, and how far two sets of pieces are apart.
//!
//! [`Metric`] holds MusPy's metrics of a single piece (Dong et al. 2020), [`Feature`] the nine features of mgeval (Yang
//! and Lerch 2020), [`compare`] what both say of two sets. They judge no piece and know no network.
//!
//! Rule to keep: the numbers are those of the originals, oddities included (`testdata/metrics`). Where an original says
//! NaN, or fails, here is `None`.

mod compare;
mod density;
mod feature;
mod metric;
mod pitches;
mod polyphony;
mod rhythm;

pub use compare::{Comparison, Distance, Means, compare};
pub use density::{Density, kl_divergence, overlapping_area};
pub use feature::{Feature, distance};
pub use metric::Metric;
pub use pitches::{
    n_pitch_classes_used, n_pitches_used, pitch_class_entropy, pitch_entropy, pitch_in_scale_rate,
    pitch_range, scale_consistency,
};
pub use polyphony::{polyphony, polyphony_rate};
pub use rhythm::{
    Pulse, drum_in_pattern_rate, drum_pattern_consistency, empty_beat_rate, empty_measure_rate,
    groove_consistency, measure_ticks,
};
