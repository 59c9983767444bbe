//! Training sequences from clips: windows of bars, three tasks, and augmentation that stays musical.

use partita_score::{Hit, Meter};
use partita_tokens::drums::{
    Excerpt, Prompt, Task, Token, encode_hits, encode_prompt, encode_score, hide_performance, is_performance,
};

use crate::gpt::Example;
use crate::groove::{Clip, Groove, Split};
use partita_nn::Rng;

/// Draws training sequences.
pub struct Sampler<'a> {
    clips: Vec<&'a Clip>,
    /// Cumulative weights of `clips`.
    beats: Vec<f64>,
    fills: Vec<usize>,
    any_style: u32,
    context: usize,
}

/// Bars and hits of one window, before it becomes tokens.
struct Window {
    style: u32,
    tempo: f64,
    excerpt: Excerpt,
    hits: Vec<Hit>,
}

impl<'a> Sampler<'a> {
    /// Draws from the clips of `split`; sequences fit `context` tokens.
    pub fn new(groove: &'a Groove, split: Split, context: usize) -> Sampler<'a> {
        let clips: Vec<&Clip> = groove.split(split).collect();
        let mut of_style = vec![0.0; groove.styles.len()];
        for clip in &clips {
            of_style[clip.style] += f64::from(clip.bars);
        }
        let mut total = 0.0;
        let beats = clips
            .iter()
            .map(|clip| {
                // Rare styles are drawn more often than they were played, by the fourth root.
                let rarity = of_style[clip.style].powf(-0.25);
                total += if clip.fill { 0.0 } else { f64::from(clip.bars) * rarity };
                total
            })
            .collect();
        let fills = clips.iter().enumerate().filter(|(_, c)| c.fill).map(|(i, _)| i).collect();
        Sampler { clips, beats, fills, any_style: groove.styles.len() as u32, context }
    }

    /// The next sequence of `rng`'s stream.
    pub fn draw(&self, rng: &mut Rng) -> Example {
        let mut window = self.window(rng);
        augment(&mut window, rng);
        let task = match rng.f64() {
            u if u < 0.55 => Task::Generate,
            u if u < 0.85 => Task::Humanize,
            _ => Task::Infill,
        };
        let style = if rng.f64() < 0.1 { self.any_style } else { window.style };
        loop {
            let example = encode(&window, task, style, rng);
            if example.length() <= self.context {
                return example;
            }
            if window.excerpt.bars() == 1 {
                return example.cut(self.context);
            }
            let bars = window.excerpt.bars() / 2;
            shorten(&mut window, bars);
        }
    }

    fn window(&self, rng: &mut Rng) -> Window {
        if rng.f64() < 0.1 && !self.fills.is_empty() {
            let clip = self.clips[self.fills[(rng.f64() * self.fills.len() as f64) as usize]];
            let bars = clip.bars.min(2);
            return window_of(clip, 0, bars);
        }
        let at = rng.f64() * self.beats.last().copied().unwrap_or(0.0);
        let clip = self.clips[self.beats.partition_point(|&sum| sum <= at).min(self.clips.len() - 1)];
        let bars = match rng.f64() {
            u if u < 0.08 => 1,
            u if u < 0.30 => 2,
            u if u < 0.70 => 4,
            _ => 8,
        }
        .min(clip.bars);
        let first = (rng.f64() * f64::from(clip.bars - bars + 1)) as u32;
        let mut window = window_of(clip, first, bars);
        if rng.f64() < 0.15 {
            self.append_fill(clip, &mut window, rng);
        }
        window
    }

    /// Replaces the last bar by the first bar of a fill by the same drummer in the same style, metre and nearly tempo.
    fn append_fill(&self, clip: &Clip, window: &mut Window, rng: &mut Rng) {
        let fits = |fill: &&usize| {
            let fill = self.clips[**fill];
            let same = fill.drummer == clip.drummer && fill.style == clip.style && fill.meter == clip.meter;
            same && (fill.tempo / clip.tempo - 1.0).abs() < 0.15
        };
        let candidates: Vec<usize> = self.fills.iter().filter(fits).copied().collect();
        let (Some(last), false) = (window.excerpt.bars().checked_sub(1), candidates.is_empty()) else {
            return;
        };
        if last == 0 {
            return;
        }
        let fill = self.clips[candidates[(rng.f64() * candidates.len() as f64) as usize]];
        let start = last * window.excerpt.steps_per_bar;
        window.hits.retain(|hit| hit.step < start);
        window.hits.extend(fill.window(0, 1).into_iter().map(|hit| Hit { step: hit.step + start, ..hit }));
        window.excerpt.fills[last as usize] = true;
    }
}

fn window_of(clip: &Clip, first: u32, bars: u32) -> Window {
    Window {
        style: clip.style as u32,
        tempo: clip.tempo,
        excerpt: Excerpt {
            first_bar: first,
            steps_per_bar: clip.steps_per_bar(),
            fills: vec![clip.fill; bars as usize],
        },
        hits: clip.window(first, bars),
    }
}

fn shorten(window: &mut Window, bars: u32) {
    window.excerpt.fills.truncate(bars as usize);
    let end = bars * window.excerpt.steps_per_bar;
    window.hits.retain(|hit| hit.step < end);
}

/// Tempo by up to 8 %, loudness by up to 15 %, sometimes fewer drums, sometimes shorter bars.
fn augment(window: &mut Window, rng: &mut Rng) {
    window.tempo *= 2f64.powf((rng.f64() - 0.5) * 0.22);
    if rng.f64() < 0.5 {
        let gain = 0.85 + 0.3 * rng.f64();
        for hit in &mut window.hits {
            hit.velocity = (f64::from(hit.velocity) * gain).round().clamp(1.0, 127.0) as u8;
        }
    }
    if rng.f64() < 0.08 {
        let dropped: Vec<bool> = (0..9).map(|_| rng.f64() < 0.25).collect();
        let kept = window.hits.iter().filter(|hit| !dropped[hit.class.index()]).count();
        if kept > 0 {
            window.hits.retain(|hit| !dropped[hit.class.index()]);
        }
    }
    if rng.f64() < 0.06 && window.excerpt.steps_per_bar == Meter::COMMON.steps_per_bar() {
        let steps = [8, 10, 12, 12, 14, 14, 12][(rng.f64() * 7.0) as usize];
        cut_bars(window, steps);
    }
}

/// Keeps the first `steps` sixteenths of every bar: 2/4, 3/4, 6/8, 5/8 and 7/8 out of common time.
fn cut_bars(window: &mut Window, steps: u32) {
    let whole = window.excerpt.steps_per_bar;
    window.hits.retain(|hit| hit.step % whole < steps);
    for hit in &mut window.hits {
        hit.step = hit.step / whole * steps + hit.step % whole;
    }
    window.excerpt.steps_per_bar = steps;
}

fn prompt(window: &Window, task: Task, density: Option<f64>) -> Vec<u32> {
    encode_prompt(&Prompt { task, steps_per_bar: window.excerpt.steps_per_bar, tempo: window.tempo, density })
}

fn density(window: &Window) -> f64 {
    window.hits.len() as f64 / f64::from(window.excerpt.bars() * window.excerpt.steps_per_bar)
}

fn encode(window: &Window, task: Task, style: u32, rng: &mut Rng) -> Example {
    let told = (rng.f64() < 0.7).then(|| density(window));
    let mut ids = prompt(window, task, told);
    let mut target = window.hits.clone();
    match task {
        Task::Generate => {}
        Task::Humanize => {
            ids.extend(encode_score(&window.excerpt, &window.hits));
            ids.push(Token::Perform.id());
        }
        Task::Infill => {
            let open = open_cells(window, rng);
            let (new, kept): (Vec<Hit>, Vec<Hit>) = window.hits.iter().partition(|hit| open(hit));
            ids.extend(encode_hits(&window.excerpt, &kept));
            ids.push(Token::Perform.id());
            target = new;
        }
    }
    let start = ids.len();
    ids.extend(encode_hits(&window.excerpt, &target));
    ids.push(Token::End.id());
    if task == Task::Humanize {
        return unheard(&ids, style);
    }
    let weights = (1..ids.len()).map(|i| if i >= start { 1.0 } else { 0.0 }).collect();
    Example::next_tokens(&ids, weights, style)
}

/// Velocities and offsets are asked for but never read: the model learns what to expect from the score alone.
fn unheard(ids: &[u32], style: u32) -> Example {
    let weights = ids[1..].iter().map(|id| if is_performance(*id) { 1.0 } else { 0.0 }).collect();
    Example { targets: ids[1..].to_vec(), ..Example::next_tokens(&hide_performance(ids), weights, style) }
}

/// Which hits an infill takes away: some bars, some drums, or some drums of some bars.
fn open_cells(window: &Window, rng: &mut Rng) -> impl Fn(&Hit) -> bool + use<> {
    let bars = window.excerpt.bars();
    let steps = window.excerpt.steps_per_bar;
    let by_bar = bars > 1 && rng.f64() < 0.6;
    let by_lane = !by_bar || rng.f64() < 0.3;
    let first = (rng.f64() * f64::from(bars)) as u32;
    let length = 1 + (rng.f64() * f64::from(bars - first)) as u32;
    let lanes: Vec<bool> = (0..9).map(|_| !by_lane || rng.f64() < 0.4).collect();
    move |hit| {
        let bar = hit.step / steps;
        (!by_bar || (first..first + length).contains(&bar)) && lanes[hit.class.index()]
    }
}

/// Sequences that cover every bar of a split once, for measuring likelihood: windows of up to 8 bars that
/// fit the context (a bar too long for it loses its end), nothing augmented, nothing told but style, tempo, metre and beat or fill.
pub fn covering(groove: &Groove, split: Split, context: usize) -> Vec<Example> {
    let mut examples = Vec::new();
    for clip in groove.split(split) {
        let mut first = 0;
        while first < clip.bars {
            let mut window = window_of(clip, first, (clip.bars - first).min(8));
            loop {
                let example = plain(&window);
                if example.length() <= context || window.excerpt.bars() == 1 {
                    examples.push(example.cut(context));
                    break;
                }
                let bars = window.excerpt.bars() - 1;
                shorten(&mut window, bars);
            }
            first += window.excerpt.bars();
        }
    }
    examples
}

fn plain(window: &Window) -> Example {
    let mut ids = prompt(window, Task::Generate, None);
    let start = ids.len();
    ids.extend(encode_hits(&window.excerpt, &window.hits));
    ids.push(Token::End.id());
    let weights = (1..ids.len()).map(|i| if i >= start { 1.0 } else { 0.0 }).collect();
    Example::next_tokens(&ids, weights, window.style)
}
