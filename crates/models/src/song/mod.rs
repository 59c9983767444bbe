//! Whole songs: a lead sheet, a bass and chords under it, and drums, bar for bar together.
//!
//! The writer's melody and chords come first ([`crate::melody`]), then bass and chords by model or by rule
//! ([`crate::arrange`]), and the drums in the same metre, tempo and bars ([`crate::drums`]), who do not listen to the
//! others. All become tracks of one score ([`Song::score`]); [`stems`] takes them apart again.

mod feel;
mod habits;
mod request;
mod stems;

use std::ops::ControlFlow;

use partita_nn::Rng;
use partita_score::{ChordChange, DrumPattern, MeterMap, Ppq, Score, TempoMap, Tick, Track};
use partita_tokens::song::Part;

pub use feel::Swing;
pub use habits::{Habits, habits};
pub use request::{Feel, Request};
pub use stems::{file_stems, stems};

use crate::arrange::{self, Arrangement, Arranger, Made, Make, arrange_by_rule};
use crate::arrange::{part_track, tick};
use crate::drums::{self, Common, Drummer, Generate};
use crate::melody::{self, Lead, Writer};
use crate::stage::Player;

/// Why there is no song.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Melody(#[from] melody::Error),
    #[error(transparent)]
    Arrange(#[from] arrange::Error),
    #[error(transparent)]
    Drums(#[from] drums::Error),
    /// A part is to be written by a model that is not there.
    #[error("{part} must be made by rule where there is no arranger, got a model")]
    NoArranger { part: &'static str },
}

/// What is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Melody,
    Band,
    Drums,
}

/// How far a step of a song is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub step: Step,
    /// Tokens of this step, of all variations.
    pub tokens: usize,
    /// Bars of the slowest variation in this step, and how many each will have in the end.
    pub bars: u32,
    pub total_bars: u32,
}

/// Follows a song; `Break` stops it with the step's error of being cancelled.
pub type Watch<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// Who accompanies a lead sheet.
#[derive(Clone, Copy)]
pub struct Band<'a> {
    pub arranger: Option<(&'a Arranger, &'a dyn Player)>,
    pub drummer: (&'a Drummer, &'a dyn Player),
}

/// A finished song.
#[derive(Clone, Debug, PartialEq)]
pub struct Song {
    pub lead: Lead,
    /// Its piano is what the track `chords` plays.
    pub arrangement: Arrangement,
    pub drums: DrumPattern,
    /// What all tracks swing by.
    pub swing: Option<Swing>,
    /// Tracks `melody`, `chords`, `bass` and `drums`, those that were asked for, at 480 ticks a quarter.
    pub score: Score,
    /// Who made each track.
    pub made: Vec<(&'static str, Made)>,
    /// Which of the variations this is; also the stream of the seed.
    pub variation: usize,
}

/// Writes lead sheets and has them accompanied.
///
/// # Errors
/// Those of the parts, the first that fails.
pub fn write_song(
    writer: (&Writer, &dyn Player),
    band: &Band,
    request: &Request,
    watch: &mut Watch,
) -> Result<Vec<Song>, Error> {
    let (writer, player) = writer;
    let mut lead = request.lead.clone();
    let usual = habits(&request.style).melody;
    if lead.style.is_none() && writer.config.styles.iter().any(|style| style == usual) {
        lead.style = Some(usual.to_owned());
    }
    let mut listen = |it: &melody::Progress| {
        watch(&Progress { step: Step::Melody, tokens: it.tokens, bars: it.bars, total_bars: it.total_bars })
    };
    let leads = writer.write(player, &lead, &mut listen)?;
    band.accompany(leads, request, watch)
}

impl Band<'_> {
    /// Accompanies lead sheets in the metre, tempo and bars of the request, each with its own stream of the seed.
    ///
    /// # Errors
    /// Those of the parts, the first that fails.
    pub fn accompany(
        &self,
        leads: Vec<Lead>,
        request: &Request,
        watch: &mut Watch,
    ) -> Result<Vec<Song>, Error> {
        let arrangements = self.arrange(&leads, request, watch)?;
        let drums = self.play_drums(&leads, request, watch)?;
        let parts = leads.into_iter().zip(arrangements).zip(drums);
        Ok(parts.map(|((lead, arrangement), drums)| join(request, lead, arrangement, drums)).collect())
    }

    fn arrange(
        &self,
        leads: &[Lead],
        request: &Request,
        watch: &mut Watch,
    ) -> Result<Vec<Arrangement>, Error> {
        let demands = &request.lead.demands;
        let asked = |lead: &Lead| arrange::Request {
            symbols: lead.chords.clone(),
            bass: request.bass,
            piano: request.chords,
            bass_rules: request.bass_rules.clone(),
            piano_rules: request.chords_rules.clone(),
            bass_at: request.bass_at,
            density: request.chords_density,
            sampling: request.lead.sampling.clone(),
            stream: lead.variation as u64,
            ..arrange::Request::new(lead.piece.clone(), request.lead.key, demands.tempo, request.lead.seed)
        };
        let asked: Vec<arrange::Request> = leads.iter().map(asked).collect();
        let by_model = [("bass", request.bass == Make::Model), ("chords", request.chords == Make::Model)];
        let made = match (self.arranger, by_model.iter().find(|(_, model)| *model)) {
            (None, Some((part, _))) => return Err(Error::NoArranger { part }),
            (Some((arranger, player)), Some(_)) => {
                let mut listen = |it: &melody::Progress| {
                    let (tokens, bars, total_bars) = (it.tokens, it.bars, it.total_bars);
                    watch(&Progress { step: Step::Band, tokens, bars, total_bars })
                };
                arranger.arrange_all(player, &asked, &mut listen)?
            }
            (_, None) => asked.iter().map(arrange_by_rule).collect::<Result<_, _>>()?,
        };
        Ok(made.into_iter().flatten().collect())
    }

    /// A pattern for each lead sheet, from its stream of the seed.
    fn play_drums(
        &self,
        leads: &[Lead],
        request: &Request,
        watch: &mut Watch,
    ) -> Result<Vec<DrumPattern>, Error> {
        let (drummer, player) = self.drummer;
        let demands = &request.lead.demands;
        let total_bars = demands.bars;
        let streams = leads.iter().map(|lead| lead.variation + 1).max().unwrap_or(1);
        let mut patterns: Vec<Option<DrumPattern>> = vec![None; leads.len()];
        let (mut first, mut tokens_before) = (0, 0);
        while first < total_bars {
            let bars = (total_bars - first).min(Request::DRUM_BARS);
            let seed = match first {
                0 => request.lead.seed,
                _ => Rng::new(request.lead.seed, u64::MAX - u64::from(first)).next_u64(),
            };
            let asked = Generate {
                common: Common {
                    style: request.drum_style(),
                    seed,
                    sampling: request.drum_sampling,
                    density: request.drum_density,
                    lanes: request.kit,
                    velocities: request.velocities.clone(),
                },
                bars,
                tempo: Some(demands.tempo),
                meter: demands.meter,
                fill: request.fill && first + bars == total_bars,
                variations: streams,
            };
            let mut most = 0;
            let mut listen = |it: &drums::Progress| {
                most = it.tokens;
                let (tokens, bars) = (tokens_before + it.tokens, first + it.bars);
                watch(&Progress { step: Step::Drums, tokens, bars, total_bars })
            };
            let takes = drummer.generate(player, &asked, &mut listen)?;
            tokens_before += most;
            for (pattern, lead) in patterns.iter_mut().zip(leads) {
                let played = &takes[lead.variation].pattern;
                *pattern = Some(match pattern.take() {
                    None => played.clone(),
                    Some(before) => before.concat(played).expect("one metre, few bars"),
                });
            }
            first += bars;
        }
        Ok(patterns.into_iter().flatten().collect())
    }
}

/// One score of all parts, as long as its bars.
fn join(request: &Request, lead: Lead, arrangement: Arrangement, drums: DrumPattern) -> Song {
    let (piece, demands) = (&arrangement.piece, &request.lead.demands);
    let usual = habits(&request.style);
    let end = tick(piece.bars * piece.cells_per_bar());
    let swing = request.swing(&drums);
    let mut melody = lead.score(request.lead.key, demands.tempo).tracks.remove(0);
    melody.notes.iter_mut().for_each(|note| note.end = note.end.min(end));
    let mut tracks = vec![(melody, Made::Model)];
    if request.chords != Make::Keep {
        let track = part_track(piece, Part::Piano);
        let track = Track { name: "chords".into(), channel: 1, program: usual.chords_program, ..track };
        tracks.push((track, arrangement.made[Part::Piano.index()]));
    }
    if request.bass != Make::Keep {
        let track = Track { program: usual.bass_program, ..part_track(piece, Part::Bass) };
        tracks.push((track, arrangement.made[Part::Bass.index()]));
    }
    if let Some(swing) = swing {
        tracks.iter_mut().for_each(|(track, _)| swing.apply(&mut track.notes, piece.meter, end));
    }
    let mut kit = drums.to_score().tracks.remove(0);
    kit.name = "drums".into();
    kit.notes.retain(|note| note.onset < end);
    kit.notes.iter_mut().for_each(|note| note.end = note.end.min(end));
    tracks.push((kit, Made::Model));
    let change = |(cell, chord): &(u32, _)| ChordChange { at: tick(*cell), chord: Option::clone(chord) };
    let names = ["melody", "chords", "bass", "drums"];
    let made = tracks.iter().map(|(track, made)| {
        let name = names.into_iter().find(|name| *name == track.name).expect("these are the tracks' names");
        (name, *made)
    });
    Song {
        made: made.collect(),
        score: Score {
            ppq: Ppq::DEFAULT,
            tempos: TempoMap::constant(demands.tempo),
            meters: MeterMap::constant(piece.meter),
            keys: request.lead.key.map(|key| key.change(Tick(0))).into_iter().collect(),
            chords: arrangement.chords.iter().map(change).collect(),
            tracks: tracks.into_iter().map(|(track, _)| track).collect(),
            ..Score::default()
        }
        .until(end),
        variation: lead.variation,
        lead,
        arrangement,
        drums,
        swing,
    }
}
