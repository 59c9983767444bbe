//! The limits of a configuration, so that no vocabulary is endless and no division is by nought.

use super::bins::Resolution;
use super::{Config, Error, Result, Version};

/// Beats a duration or a rest may last.
const MOST_BEATS: u16 = 256;
/// Positions a beat may have.
const MOST_POSITIONS: u16 = 960;
/// Spans a vocabulary may have.
const MOST_SPANS: u32 = 1 << 14;
const MOST_DENOMINATOR: u32 = 128;
const MOST_NUMERATOR: u32 = 255;
const MOST_TEMPOS: u16 = 4096;
const MOST_SPECIAL: usize = 4096;
const MOST_CHORDS: usize = 512;
const MOST_NAME: usize = 64;

pub(super) fn check(config: &Config) -> Result<()> {
    ranges("beat_res", &config.beat_res)?;
    ranges("beat_res_rest", &config.beat_res_rest)?;
    pitches(config)?;
    count("num_velocities", config.num_velocities, 127)?;
    count("num_tempos", config.num_tempos, MOST_TEMPOS)?;
    let (low, high) = config.tempo_range;
    if !(low >= 1.0 && low <= high && high <= 10_000.0) {
        return Err(Error::value(
            "tempo_range",
            "two rising numbers in [1, 10000]",
            format!("[{low}, {high}]"),
        ));
    }
    programs("programs", &config.programs)?;
    programs("use_note_duration_programs", &config.use_note_duration_programs)?;
    if !(0.0..=f64::from(MOST_BEATS)).contains(&config.default_note_duration) {
        let allowed = format!("beats in [0, {MOST_BEATS}]");
        return Err(Error::value("default_note_duration", allowed, config.default_note_duration));
    }
    time_signatures(config)?;
    names(config)
}

fn ranges(field: &str, ranges: &[Resolution]) -> Result<()> {
    let allowed = format!(
        "rising ranges of beats up to {MOST_BEATS} from 0, with 1..={MOST_POSITIONS} positions a beat and {MOST_SPANS} in all"
    );
    let text = || {
        let each = ranges.iter().map(|it| format!("\"{}_{}\": {}", it.from, it.to, it.resolution));
        format!("{{{}}}", each.collect::<Vec<_>>().join(", "))
    };
    let mut end = 0;
    let mut spans = 0u32;
    for range in ranges {
        let fits = range.from >= end
            && range.from < range.to
            && range.to <= MOST_BEATS
            && (1..=MOST_POSITIONS).contains(&range.resolution);
        if !fits {
            return Err(Error::value(field, allowed, text()));
        }
        end = range.to;
        spans += u32::from(range.to - range.from) * u32::from(range.resolution);
    }
    if ranges.first().is_none_or(|range| range.from != 0) || spans > MOST_SPANS {
        return Err(Error::value(field, allowed, text()));
    }
    Ok(())
}

fn pitches(config: &Config) -> Result<()> {
    for (field, range, meant) in [
        ("pitch_range", config.pitch_range, config.pitches()),
        ("drums_pitch_range", config.drums_pitch_range, config.drum_pitches()),
    ] {
        if meant.is_empty() || *meant.end() > 127 {
            let got = format!("[{}, {}]", range.0, range.1);
            return Err(Error::value(field, "two rising pitches in 0..=127", got));
        }
    }
    Ok(())
}

fn count(field: &str, got: u16, most: u16) -> Result<()> {
    if (1..=most).contains(&got) {
        return Ok(());
    }
    Err(Error::value(field, format!("in 1..={most}"), got))
}

fn programs(field: &str, programs: &[i16]) -> Result<()> {
    let mut seen = [false; 129];
    for &program in programs {
        let index = usize::try_from(program + 1).ok().filter(|index| *index < seen.len());
        let Some(seen) = index.map(|index| &mut seen[index]).filter(|seen| !**seen) else {
            return Err(Error::value(field, "different programs in -1..=127 (-1 is drums)", program));
        };
        *seen = true;
    }
    Ok(())
}

fn time_signatures(config: &Config) -> Result<()> {
    let field = "time_signature_range";
    let mut denominators = Vec::new();
    for (denominator, numerators) in &config.time_signature_range {
        let denominator = *denominator;
        if !denominator.is_power_of_two()
            || denominator > MOST_DENOMINATOR
            || denominators.contains(&denominator)
        {
            let allowed = format!("denominators that are different powers of two up to {MOST_DENOMINATOR}");
            return Err(Error::value(field, allowed, denominator));
        }
        denominators.push(denominator);
        let mut seen = Vec::new();
        for &numerator in numerators {
            if !(1..=MOST_NUMERATOR).contains(&numerator) || seen.contains(&numerator) {
                return Err(Error::value(
                    field,
                    format!("different numerators in 1..={MOST_NUMERATOR}"),
                    numerator,
                ));
            }
            seen.push(numerator);
        }
        if seen.is_empty() {
            return Err(Error::value(
                field,
                "numerators for every denominator",
                format!("none for {denominator}"),
            ));
        }
    }
    if config.use_time_signatures && !denominators.contains(&4) {
        let text = "time_signature_range must name quarters (\"4\") when use_time_signatures is true";
        return Err(Error::Unsupported(text.into()));
    }
    Ok(())
}

fn names(config: &Config) -> Result<()> {
    let fits = |name: &str| !name.is_empty() && name.len() <= MOST_NAME;
    if config.special_tokens.len() > MOST_SPECIAL || config.special_tokens.iter().any(|name| !fits(name)) {
        let allowed = format!("up to {MOST_SPECIAL} names of 1..={MOST_NAME} bytes");
        return Err(Error::value(
            "special_tokens",
            allowed,
            format!("{} names", config.special_tokens.len()),
        ));
    }
    let chords = &config.chord_maps;
    let good = |(name, map): &(String, Vec<i16>)| {
        fits(name)
            && !name.contains(['_', ':'])
            && map.len() <= 10
            && map.iter().all(|step| (-127..=127).contains(step))
    };
    if chords.len() > MOST_CHORDS || !chords.iter().all(good) {
        let allowed = format!("up to {MOST_CHORDS} names without _ or : and their semitones in -127..=127");
        return Err(Error::value("chord_maps", allowed, format!("{} chords", chords.len())));
    }
    if let Some((from, to)) = config.chord_unknown
        && (from > to || to > 32)
    {
        return Err(Error::value(
            "chord_unknown",
            "two rising numbers of notes up to 32",
            format!("[{from}, {to}]"),
        ));
    }
    if config.version < Version::new(3, 0, 1) && config.use_pitchdrum_tokens {
        return Err(Error::Unsupported("use_pitchdrum_tokens needs MidiTok 3.0.1".into()));
    }
    Ok(())
}
