//! What a tokenizer looks up again and again: nearest velocities, tempos and lengths.

use super::Result;
use super::bins::{self, Ruler, Span, nearest};
use super::config::Config;
use super::vocab::Vocab;

/// Lookups that follow from the configuration.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// Nearest velocity of the vocabulary by velocity.
    pub velocities: [u8; 128],
    pub tempos: Tempos,
    pub positions_per_beat: i64,
    /// Ticks a quarter of decoded scores.
    pub ticks_per_quarter: i64,
    finest_denominator: u32,
    rulers: Vec<(i64, Rulers)>,
    durations: Vec<Span>,
    rests: Vec<Span>,
    /// Programs whose notes have duration tokens, by `program + 1`.
    lasting: [bool; 129],
}

/// The lengths of the vocabulary in ticks of one beat length.
#[derive(Clone, Debug)]
pub(super) struct Rulers {
    pub durations: Ruler,
    pub rests: Ruler,
}

/// The tempos of the vocabulary as a file has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tempos {
    /// Microseconds a quarter, rising.
    exact: Vec<f64>,
    /// Token of each.
    ids: Vec<u32>,
    /// Beats a minute where a piece says nothing.
    pub default: f64,
    pub default_id: u32,
}

/// Beats a minute where MIDI says nothing.
const COMMON_TEMPO: f64 = 120.0;
const MICROSECONDS: f64 = 60e6;

impl Tables {
    pub fn new(config: &Config, vocab: &Vocab) -> Result<Tables> {
        let positions_per_beat = i64::from(config.positions_per_beat());
        let finest_denominator = config.finest_denominator().max(4);
        let known = bins::velocities(config.num_velocities);
        let velocities = std::array::from_fn(|velocity| {
            let wanted: Vec<i16> = known.iter().map(|&known| i16::from(known)).collect();
            if config.use_velocities { known[nearest(&wanted, velocity as i16)] } else { velocity as u8 }
        });
        let mut lasting = [false; 129];
        for &program in &config.use_note_duration_programs {
            lasting[(program + 1) as usize] = true;
        }
        let finest = config.finest_denominator();
        let mut tables = Tables {
            velocities,
            tempos: if config.use_tempos { Tempos::new(config, vocab)? } else { Tempos::common() },
            positions_per_beat,
            ticks_per_quarter: positions_per_beat * i64::from(finest / 4),
            finest_denominator: finest,
            rulers: Vec::new(),
            durations: bins::spans(&config.beat_res),
            rests: bins::spans(&config.beat_res_rest),
            lasting,
        };
        // A piece counts by its own finest denominator, so a beat is the finest one's positions times a power of two.
        let mut times = 1;
        while times <= i64::from(finest_denominator) {
            let per_beat = positions_per_beat * times;
            tables.rulers.push((per_beat, tables.make_rulers(per_beat)));
            times *= 2;
        }
        Ok(tables)
    }

    fn make_rulers(&self, per_beat: i64) -> Rulers {
        Rulers { durations: Ruler::new(&self.durations, per_beat), rests: Ruler::new(&self.rests, per_beat) }
    }

    /// Ticks a beat of a denominator in decoded scores.
    pub fn decoded_beat(&self, denominator: u32) -> i64 {
        self.positions_per_beat * i64::from(self.finest_denominator / denominator.max(1))
    }

    /// Lengths in ticks where a beat has `per_beat`: positions a beat times a power of two.
    pub fn rulers(&self, per_beat: i64) -> &Rulers {
        let found = self.rulers.iter().find(|(own, _)| *own == per_beat);
        &found.unwrap_or(&self.rulers[0]).1
    }

    pub fn lasts(&self, program: i16) -> bool {
        self.lasting.get((program + 1).max(0) as usize).copied().unwrap_or(false)
    }
}

impl Tempos {
    fn common() -> Tempos {
        Tempos { default: COMMON_TEMPO, ..Tempos::default() }
    }

    fn new(config: &Config, vocab: &Vocab) -> Result<Tempos> {
        let (low, high) = config.tempo_range;
        let tempos: Vec<f64> = bins::tempos(low, high, config.num_tempos, config.log_tempos)
            .into_iter()
            .map(|hundredths| f64::from(hundredths) / 100.0)
            .collect();
        let mut exact: Vec<f64> = tempos.iter().map(|tempo| MICROSECONDS / tempo).collect();
        exact.sort_by(f64::total_cmp);
        let ids = exact.iter().map(|&tempo| vocab.ids().tempo(hundredths(tempo.trunc())));
        let ids = ids.collect::<Result<Vec<u32>>>()?;
        let far = |tempo: f64| (tempo - COMMON_TEMPO).abs();
        // The first of the nearest ones.
        let default =
            tempos.iter().copied().reduce(|best, tempo| if far(tempo) < far(best) { tempo } else { best });
        let default = default.unwrap_or(COMMON_TEMPO);
        let default_id = vocab.ids().tempo(hundredths(microseconds(default).into()))?;
        Ok(Tempos { exact, ids, default, default_id })
    }

    /// Index of the tempo nearest to some microseconds a quarter.
    pub fn nearest(&self, microseconds: u32) -> usize {
        nearest(&self.exact, f64::from(microseconds))
    }

    pub fn id(&self, index: usize) -> u32 {
        self.ids[index]
    }

    /// Whether a piece at this tempo is exactly at the default one, as MidiTok compares them.
    pub fn is_default(&self, index: usize) -> bool {
        MICROSECONDS / self.exact[index].trunc() == self.default
    }
}

/// Microseconds a quarter of some beats a minute.
pub(super) fn microseconds(tempo: f64) -> u32 {
    (MICROSECONDS / tempo).round() as u32
}

/// Hundredths of a beat a minute of some microseconds a quarter.
fn hundredths(microseconds: f64) -> u32 {
    (MICROSECONDS / microseconds.max(1.0) * 100.0).round() as u32
}
