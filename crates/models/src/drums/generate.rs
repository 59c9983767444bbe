//! New bars: from nothing, after given bars, and in the gaps of given bars.

use std::ops::Range;

use partita_nn::{Rng, Sampler};
use partita_score::{DrumClass, DrumPattern, Hit, Meter};
use partita_tokens::drums::{
    Constraints, Excerpt, Grammar, Prompt, Task, Token, decode_hits, encode_hits, encode_prompt,
};

use super::Error;
use super::drummer::Drummer;
use super::request::{
    Common, Continue, Generate, Infill, Lanes, Sampling, check_bars, check_common, check_meter, check_tempo,
    check_variations,
};
use super::watch::{Listener, Watch};
use crate::stage::{Hear, Played, Player, Sequence};

/// One answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Take {
    /// New hits only; for a continuation, steps count from its own first bar.
    pub pattern: DrumPattern,
    /// Which of the variations this is; also the stream of the seed.
    pub variation: usize,
    /// What the demands cost: negative log-likelihood of the new tokens, in nats, without constraints.
    pub nats: f64,
    /// The new tokens as the model wrote them, gap after gap, the ends left out.
    pub ids: Vec<u32>,
}

impl Take {
    /// How many tokens it took.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }
}

/// Bars of context around a gap, and the longest gap filled at once.
const BARS_BEFORE: u32 = 2;
const BARS_AFTER: u32 = 1;
const GAP_BARS: u32 = 4;
/// Tokens to leave free for each bar of a gap.
const ROOM_PER_BAR: usize = 100;
/// Hits of one bar, at most: half as many again as in the busiest bar of the Groove set.
const HITS_PER_BAR: usize = 120;
/// Position, drum, velocity, offset.
const TOKENS_PER_HIT: usize = 4;

/// Below this a temperature or a share of probability is the likeliest token alone; as f32 it might become 0.
const LEAST: f32 = 1e-6;

pub(crate) fn sampler(sampling: Sampling) -> Result<Sampler, Error> {
    let settings = partita_nn::Sampling {
        temperature: (sampling.temperature as f32).max(LEAST),
        top_k: sampling.top_k,
        top_p: (sampling.top_p as f32).max(LEAST),
        ..partita_nn::Sampling::default()
    };
    Sampler::new(settings).map_err(|e| Error::Model { name: "drums".into(), message: e.to_string() })
}

/// Hits a sixteenth for a density in `[0, 1]`.
fn hits_per_step(density: f64) -> f64 {
    0.4 + 1.7 * density
}

impl Common {
    fn told_density(&self) -> Option<f64> {
        self.density.or(self.style.density()).map(hits_per_step)
    }

    /// Drums that both the request and the style allow.
    ///
    /// # Errors
    /// When none is left.
    fn open_lanes(&self) -> Result<Lanes, Error> {
        let style = self.style.lanes();
        let lanes: Lanes = std::array::from_fn(|i| self.lanes[i] && style[i]);
        if lanes.contains(&true) {
            return Ok(lanes);
        }
        let names = (0..9).filter(|&i| style[i]).filter_map(DrumClass::from_index).map(DrumClass::name);
        let allowed =
            format!("drums of style {} ({})", self.style.name, names.collect::<Vec<_>>().join(", "));
        Err(Error::range("kit", allowed, "none of them"))
    }
}

/// Bars of a piece, some of them to be filled.
struct Gaps<'a> {
    common: &'a Common,
    meter: Meter,
    tempo: f64,
    /// What stays, steps from the start of the piece.
    kept: Vec<Hit>,
    fills: Vec<bool>,
    /// One flag a bar.
    open: Vec<bool>,
    lanes: Lanes,
    variations: usize,
}

/// Bars to play after the tokens `given`.
struct Asked<'a> {
    common: &'a Common,
    tempo: f64,
    excerpt: Excerpt,
    given: Vec<u32>,
    lanes: Lanes,
    variations: usize,
}

#[derive(Default)]
struct Filled {
    hits: Vec<Hit>,
    nats: f64,
    ids: Vec<u32>,
}

impl Drummer {
    /// Plays `request.variations` new patterns, side by side.
    ///
    /// # Errors
    /// A field out of its range, a kit the style does not have, or [`Error::Cancelled`] when `watch` breaks.
    pub fn generate(
        &self,
        player: &dyn Player,
        request: &Generate,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Take>, Error> {
        let common = &request.common;
        check_common(common)?;
        check_bars(request.bars)?;
        check_meter(request.meter)?;
        check_variations(request.variations)?;
        let tempo = request.tempo.unwrap_or_else(|| common.style.default_tempo());
        check_tempo(tempo)?;
        let lanes = common.open_lanes()?;
        let mut fills = vec![false; request.bars as usize];
        if request.fill {
            fills[request.bars as usize - 1] = true;
        }
        let steps_per_bar = request.meter.steps_per_bar();
        let kept = common.style.anchors(request.bars, steps_per_bar, &lanes);
        let finish = |mut hits: Vec<Hit>, bars: Range<u32>| {
            hits.extend(kept.iter().filter(|hit| bars.contains(&(hit.step / steps_per_bar))));
            let mut pattern = DrumPattern { meter: request.meter, tempo, bars: request.bars, hits };
            pattern.sort();
            common.style.shape(&mut pattern);
            limit_velocities(&mut pattern.hits, common);
            start_at_zero(&mut pattern.hits);
            pattern.hits
        };
        let mut listener =
            Listener::new(watch, &finish, common, request.variations, steps_per_bar, request.bars);
        let anchored = common.style.anchored_lanes();
        let filled = if anchored.contains(&true) {
            let free: Lanes = std::array::from_fn(|i| lanes[i] && !anchored[i]);
            let open = vec![free.contains(&true); fills.len()];
            let gaps = Gaps {
                common,
                meter: request.meter,
                tempo,
                kept: kept.clone(),
                open,
                fills,
                lanes: free,
                variations: request.variations,
            };
            if !free.contains(&true) {
                (0..request.bars).for_each(|bar| listener.pass(bar));
                listener.report()?;
            }
            self.fill_gaps(player, &gaps, &mut listener)?
        } else {
            let excerpt = Excerpt { first_bar: 0, steps_per_bar, fills };
            let asked =
                Asked { common, tempo, excerpt, given: vec![], lanes, variations: request.variations };
            self.extend(player, asked, &mut listener)?
        };
        let silence = DrumPattern { meter: request.meter, tempo, bars: request.bars, hits: vec![] };
        Ok(takes(filled, &silence, |hits| finish(hits, 0..request.bars)))
    }

    /// Plays on after `request.before`.
    ///
    /// # Errors
    /// As [`Drummer::generate`].
    pub fn continue_pattern(
        &self,
        player: &dyn Player,
        request: &Continue,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Take>, Error> {
        let (common, before) = (&request.common, &request.before);
        check_common(common)?;
        check_bars(request.bars)?;
        check_meter(before.meter)?;
        check_variations(request.variations)?;
        let lanes = common.open_lanes()?;
        let steps_per_bar = before.meter.steps_per_bar();
        let heard = before.bars.min(8);
        let first = before.bars - heard;
        let context = Excerpt { first_bar: first, steps_per_bar, fills: vec![false; heard as usize] };
        let given = encode_hits(&context, &window(&before.hits, steps_per_bar, first, heard));
        let mut fills = vec![false; request.bars as usize];
        if request.fill {
            fills[request.bars as usize - 1] = true;
        }
        let excerpt = Excerpt { first_bar: before.bars, steps_per_bar, fills };
        let shape = |hits, _| limited(hits, common);
        let mut listener =
            Listener::new(watch, &shape, common, request.variations, steps_per_bar, request.bars);
        let asked =
            Asked { common, tempo: before.tempo, excerpt, given, lanes, variations: request.variations };
        let filled = self.extend(player, asked, &mut listener)?;
        let silence =
            DrumPattern { meter: before.meter, tempo: before.tempo, bars: request.bars, hits: vec![] };
        Ok(takes(filled, &silence, |hits| limited(hits, common)))
    }

    /// Plays the open cells of `request.pattern` anew; what is not open stays out of the answer.
    ///
    /// # Errors
    /// As [`Drummer::generate`]; a bar too full to read is [`Error::Crowded`].
    pub fn infill(
        &self,
        player: &dyn Player,
        request: &Infill,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Take>, Error> {
        let (common, pattern) = (&request.common, &request.pattern);
        check_common(common)?;
        check_meter(pattern.meter)?;
        check_variations(request.variations)?;
        if request.bars.is_empty() || request.bars.end > pattern.bars {
            let got = format!("{}-{}", request.bars.start + 1, request.bars.end);
            return Err(Error::range("bars", format!("1-{}", pattern.bars), got));
        }
        let lanes = common.open_lanes()?;
        let kept = pattern.hits.iter().filter(|hit| !request.opens(hit)).copied().collect();
        let gaps = Gaps {
            common,
            meter: pattern.meter,
            tempo: pattern.tempo,
            kept,
            fills: vec![false; pattern.bars as usize],
            open: (0..pattern.bars).map(|bar| request.bars.contains(&bar)).collect(),
            lanes,
            variations: request.variations,
        };
        let shape = |hits, _| limited(hits, common);
        let (steps_per_bar, bars) = (pattern.meter.steps_per_bar(), request.bars.len() as u32);
        let mut listener = Listener::new(watch, &shape, common, request.variations, steps_per_bar, bars);
        let filled = self.fill_gaps(player, &gaps, &mut listener)?;
        Ok(takes(filled, pattern, |hits| limited(hits, common)))
    }

    /// Plays the bars asked for.
    fn extend(
        &self,
        player: &dyn Player,
        asked: Asked,
        listener: &mut Listener,
    ) -> Result<Vec<Filled>, Error> {
        let Asked { common, tempo, excerpt, given, lanes, variations } = asked;
        let (steps_per_bar, bars) = (excerpt.steps_per_bar, excerpt.fills.len());
        let prompt = Prompt { task: Task::Generate, steps_per_bar, tempo, density: common.told_density() };
        let grammar = Grammar::new(Constraints {
            open: vec![true; bars],
            lanes,
            velocities: common.velocities.clone(),
            hits_per_bar: HITS_PER_BAR as u32,
            sounding: true,
            excerpt,
        })?;
        let sequences = (0..variations)
            .map(|variation| {
                Ok(Sequence {
                    prompt: encode_prompt(&prompt),
                    given: given.clone(),
                    grammar: Box::new(grammar.clone()),
                    rng: Rng::new(common.seed, variation as u64),
                    sampler: listener.sampler()?,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        listener.section(0, vec![true; bars]);
        let played = player.decode(&self.network(), self.style_vector(&common.style), sequences, listener)?;
        let filled = |Played { ids, nats, .. }| Filled { hits: decode_hits(steps_per_bar, &ids), nats, ids };
        Ok(played.into_iter().map(filled).collect())
    }

    /// Fills the open bars gap by gap, each heard with the bars around it.
    fn fill_gaps(
        &self,
        player: &dyn Player,
        gaps: &Gaps,
        listener: &mut Listener,
    ) -> Result<Vec<Filled>, Error> {
        let steps = gaps.meter.steps_per_bar();
        let bars = gaps.open.len() as u32;
        let mut rngs: Vec<Rng> = (0..gaps.variations).map(|v| Rng::new(gaps.common.seed, v as u64)).collect();
        let mut all: Vec<Filled> = rngs.iter().map(|_| Filled::default()).collect();
        let mut bar = 0;
        while bar < bars {
            if !gaps.open[bar as usize] {
                bar += 1;
                continue;
            }
            let run = (bar..bars).take_while(|b| gaps.open[*b as usize]).count() as u32;
            let (range, gap) = self.fit(gaps, &all, bar, run.min(GAP_BARS))?;
            let excerpt = Excerpt {
                first_bar: range.start,
                steps_per_bar: steps,
                fills: gaps.fills[range.start as usize..range.end as usize].to_vec(),
            };
            let open: Vec<bool> = range.clone().map(|b| (bar..bar + gap).contains(&b)).collect();
            let mut sequences = Vec::new();
            for (filled, rng) in all.iter().zip(&rngs) {
                let heard = heard(gaps, filled, range.clone());
                let silent =
                    !heard.iter().any(|hit| (bar..bar + gap).contains(&(range.start + hit.step / steps)));
                let prompt = self.infill_prompt(gaps, &excerpt, &heard);
                let room = self.config.context - prompt.len() - excerpt.fills.len() - 16;
                let hits_per_bar = (room / (TOKENS_PER_HIT * gap as usize)).min(HITS_PER_BAR) as u32;
                let grammar = Grammar::new(Constraints {
                    open: open.clone(),
                    lanes: gaps.lanes,
                    velocities: gaps.common.velocities.clone(),
                    hits_per_bar,
                    sounding: silent,
                    excerpt: excerpt.clone(),
                })?;
                let sampler = listener.sampler()?;
                let grammar = Box::new(grammar);
                sequences.push(Sequence { prompt, given: vec![], grammar, rng: rng.clone(), sampler });
            }
            listener.section(range.start, open);
            let played =
                player.decode(&self.network(), self.style_vector(&gaps.common.style), sequences, listener)?;
            for ((filled, rng), played) in all.iter_mut().zip(&mut rngs).zip(played) {
                let new = decode_hits(steps, &played.ids);
                filled
                    .hits
                    .extend(new.into_iter().map(|hit| Hit { step: hit.step + range.start * steps, ..hit }));
                filled.nats += played.nats;
                filled.ids.extend(played.ids);
                *rng = played.rng;
            }
            bar += gap;
        }
        Ok(all)
    }

    /// Bars to hear and how many of the gap to fill, so that everything fits the context.
    fn fit(&self, gaps: &Gaps, all: &[Filled], bar: u32, gap: u32) -> Result<(Range<u32>, u32), Error> {
        let bars = gaps.open.len() as u32;
        let steps_per_bar = gaps.meter.steps_per_bar();
        let mut worst = 0;
        for gap in (1..=gap).rev() {
            for (before, after) in [(BARS_BEFORE, BARS_AFTER), (1, 0), (0, 0)] {
                let range = bar.saturating_sub(before)..(bar + gap + after).min(bars);
                let fills = gaps.fills[range.start as usize..range.end as usize].to_vec();
                let excerpt = Excerpt { first_bar: range.start, steps_per_bar, fills };
                let tokens =
                    |filled| self.infill_prompt(gaps, &excerpt, &heard(gaps, filled, range.clone())).len();
                worst = all.iter().map(tokens).max().unwrap_or(0);
                if worst + gap as usize * ROOM_PER_BAR + 64 <= self.config.context {
                    return Ok((range, gap));
                }
            }
        }
        Err(Error::Crowded { bar: bar + 1, hits: worst / 4 })
    }

    fn infill_prompt(&self, gaps: &Gaps, excerpt: &Excerpt, heard: &[Hit]) -> Vec<u32> {
        let density = gaps.common.told_density();
        let prompt =
            Prompt { task: Task::Infill, steps_per_bar: excerpt.steps_per_bar, tempo: gaps.tempo, density };
        let mut ids = encode_prompt(&prompt);
        ids.extend(encode_hits(excerpt, heard));
        ids.push(Token::Perform.id());
        ids
    }
}

/// One take a variation: its own hits in their final shape, in the metre, tempo and bars of `frame`.
fn takes(filled: Vec<Filled>, frame: &DrumPattern, shape: impl Fn(Vec<Hit>) -> Vec<Hit>) -> Vec<Take> {
    let take = |(variation, filled): (usize, Filled)| {
        let pattern = DrumPattern { hits: shape(filled.hits), ..*frame };
        Take { pattern, variation, nats: filled.nats, ids: filled.ids }
    };
    filled.into_iter().enumerate().map(take).collect()
}

/// What sounds in `bars` so far, steps from their start.
fn heard(gaps: &Gaps, filled: &Filled, bars: Range<u32>) -> Vec<Hit> {
    let mut hits: Vec<Hit> = gaps.kept.iter().chain(&filled.hits).copied().collect();
    hits.sort_by(|a, b| (a.step, a.class).cmp(&(b.step, b.class)).then(a.offset.total_cmp(&b.offset)));
    window(&hits, gaps.meter.steps_per_bar(), bars.start, bars.end - bars.start)
}

pub(crate) fn window(hits: &[Hit], steps_per_bar: u32, first: u32, bars: u32) -> Vec<Hit> {
    let (start, end) = (first * steps_per_bar, (first + bars) * steps_per_bar);
    let inside = hits.iter().filter(|hit| (start..end).contains(&hit.step));
    inside.map(|hit| Hit { step: hit.step - start, ..*hit }).collect()
}

/// Nothing sounds before a piece begins. (Masking early offsets instead would teach the rest of the piece to drag.)
fn start_at_zero(hits: &mut [Hit]) {
    for hit in hits.iter_mut().filter(|hit| hit.step == 0) {
        hit.offset = hit.offset.max(0.0);
    }
}

fn limited(mut hits: Vec<Hit>, common: &Common) -> Vec<Hit> {
    limit_velocities(&mut hits, common);
    hits
}

/// A bin may reach over the edge of the range asked for; its velocity does not.
fn limit_velocities(hits: &mut [Hit], common: &Common) {
    for hit in hits {
        hit.velocity = hit.velocity.clamp(*common.velocities.start(), *common.velocities.end());
    }
}
