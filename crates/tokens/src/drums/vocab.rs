//! The vocabulary: token classes laid out one after another, and the bins of their values.

/// Sixteenths a bar may have, `1..=32`.
pub const MAX_STEPS_PER_BAR: u32 = 32;
/// Velocity bins.
pub const VELOCITIES: u32 = 32;
/// Microtiming bins over one sixteenth, `[-0.5, 0.5)`; bin 16 is on the grid.
pub const OFFSETS: u32 = 32;
/// Tempo bins, equal ratios over 40..=300 beats per minute.
pub const TEMPOS: u32 = 24;
/// Density bins; see [`density_bin`].
pub const DENSITIES: u32 = 8;
/// Bars carry their index modulo this.
pub const BARS_PER_PHRASE: u32 = 4;

const DRUMS: u32 = 9;

/// One token. The numbers are bins, in the ranges of the constants of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    End,
    /// From here on come the hits the model is asked for.
    Perform,
    Generate,
    Humanize,
    Infill,
    /// Sixteenths in a bar, `1..=32`.
    Length(u32),
    Tempo(u32),
    DensityAny,
    Density(u32),
    /// A bar that keeps time, by its place in the phrase.
    Bar(u32),
    /// A bar that is a fill, by its place in the phrase.
    FillBar(u32),
    /// Sixteenth in the bar, `0..32`.
    Position(u32),
    /// Index of a drum class, `0..9`.
    Drum(u32),
    Velocity(u32),
    Offset(u32),
}

const LENGTH: u32 = 5;
const TEMPO: u32 = LENGTH + MAX_STEPS_PER_BAR;
const DENSITY_ANY: u32 = TEMPO + TEMPOS;
const DENSITY: u32 = DENSITY_ANY + 1;
const BAR: u32 = DENSITY + DENSITIES;
const FILL_BAR: u32 = BAR + BARS_PER_PHRASE;
const POSITION: u32 = FILL_BAR + BARS_PER_PHRASE;
const DRUM: u32 = POSITION + MAX_STEPS_PER_BAR;
const VELOCITY: u32 = DRUM + DRUMS;
const OFFSET: u32 = VELOCITY + VELOCITIES;
/// Number of token ids.
pub const VOCAB: u32 = OFFSET + OFFSETS;

impl Token {
    /// The id, in `0..VOCAB`.
    pub fn id(self) -> u32 {
        match self {
            Token::End => 0,
            Token::Perform => 1,
            Token::Generate => 2,
            Token::Humanize => 3,
            Token::Infill => 4,
            Token::Length(steps) => LENGTH + steps - 1,
            Token::Tempo(bin) => TEMPO + bin,
            Token::DensityAny => DENSITY_ANY,
            Token::Density(bin) => DENSITY + bin,
            Token::Bar(place) => BAR + place,
            Token::FillBar(place) => FILL_BAR + place,
            Token::Position(step) => POSITION + step,
            Token::Drum(drum) => DRUM + drum,
            Token::Velocity(bin) => VELOCITY + bin,
            Token::Offset(bin) => OFFSET + bin,
        }
    }

    /// The token of an id, or `None` from `VOCAB` on.
    pub fn from_id(id: u32) -> Option<Token> {
        Some(match id {
            0 => Token::End,
            1 => Token::Perform,
            2 => Token::Generate,
            3 => Token::Humanize,
            4 => Token::Infill,
            LENGTH..TEMPO => Token::Length(id - LENGTH + 1),
            TEMPO..DENSITY_ANY => Token::Tempo(id - TEMPO),
            DENSITY_ANY => Token::DensityAny,
            DENSITY..BAR => Token::Density(id - DENSITY),
            BAR..FILL_BAR => Token::Bar(id - BAR),
            FILL_BAR..POSITION => Token::FillBar(id - FILL_BAR),
            POSITION..DRUM => Token::Position(id - POSITION),
            DRUM..VELOCITY => Token::Drum(id - DRUM),
            VELOCITY..OFFSET => Token::Velocity(id - VELOCITY),
            OFFSET..VOCAB => Token::Offset(id - OFFSET),
            _ => return None,
        })
    }
}

/// Bin of a MIDI velocity in `1..=127`: 32 equal bins.
pub fn velocity_bin(velocity: u8) -> u32 {
    (u32::from(velocity.clamp(1, 127)) - 1) * VELOCITIES / 127
}

/// Middle velocity of a bin; the top bin is 127, which drum pads send for every hard stroke.
pub fn velocity_value(bin: u32) -> u8 {
    if bin + 1 >= VELOCITIES {
        return 127;
    }
    ((2 * bin + 1) * 127 / (2 * VELOCITIES) + 1) as u8
}

/// Bin of an offset in steps, clamped to `[-0.5, 0.5)`.
pub fn offset_bin(offset: f32) -> u32 {
    ((offset * OFFSETS as f32).round() as i32 + OFFSETS as i32 / 2).clamp(0, OFFSETS as i32 - 1) as u32
}

/// Offset in steps at the middle of a bin.
pub fn offset_value(bin: u32) -> f32 {
    (bin as f32 - OFFSETS as f32 / 2.0) / OFFSETS as f32
}

/// Bin of a tempo in beats per minute, clamped to `40..=300`.
pub fn tempo_bin(tempo: f64) -> u32 {
    /// The 24th root of 300 / 40: multiplying gives the same edges on every machine, logarithms need not.
    const RATIO: f64 = 1.0875791821718421;
    let (mut bin, mut edge) = (0, 40.0 * RATIO);
    while bin + 1 < TEMPOS && tempo >= edge {
        (bin, edge) = (bin + 1, edge * RATIO);
    }
    bin
}

/// Bin of a density in hits a sixteenth: upper edges 0.5, 0.7, 0.9, 1.1, 1.3, 1.55, 1.9.
///
/// Two-bar windows of the Groove training split have their octiles at 0.8, 0.9, 1.1, 1.2, 1.4, 1.6 and 1.8.
pub fn density_bin(hits_per_step: f64) -> u32 {
    [0.5, 0.7, 0.9, 1.1, 1.3, 1.55, 1.9].iter().filter(|&&edge| hits_per_step >= edge).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_one_token_and_back() {
        for id in 0..VOCAB {
            assert_eq!(Token::from_id(id).expect("below VOCAB").id(), id);
        }
        assert_eq!(Token::from_id(VOCAB), None);
    }

    #[test]
    fn bins_hold_their_own_values() {
        for bin in 0..VELOCITIES {
            assert_eq!(velocity_bin(velocity_value(bin)), bin);
        }
        for bin in 0..OFFSETS {
            assert_eq!(offset_bin(offset_value(bin)), bin);
        }
        assert_eq!(offset_value(offset_bin(0.0)), 0.0);
        assert_eq!((tempo_bin(40.0), tempo_bin(300.0)), (0, TEMPOS - 1));
    }
}
