//! Hits <-> tokens.

use partita_score::{DrumClass, Hit};

use super::vocab::{
    BARS_PER_PHRASE, Token, density_bin, offset_bin, offset_value, tempo_bin, velocity_bin, velocity_value,
};

/// What the model is asked to do with the hits before [`Token::Perform`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Generate,
    Humanize,
    Infill,
}

/// The tokens every sequence starts with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prompt {
    pub task: Task,
    pub steps_per_bar: u32,
    /// Beats per minute.
    pub tempo: f64,
    /// Hits a sixteenth, or `None` to leave it to the model.
    pub density: Option<f64>,
}

/// Consecutive bars: where they lie in the piece, and which are fills.
#[derive(Clone, Debug, PartialEq)]
pub struct Excerpt {
    /// Index of the first bar in the piece; only its place in the phrase is told.
    pub first_bar: u32,
    pub steps_per_bar: u32,
    /// One a bar.
    pub fills: Vec<bool>,
}

impl Excerpt {
    pub fn bars(&self) -> u32 {
        self.fills.len() as u32
    }

    /// Token of the bar with this index in the excerpt.
    pub fn bar_token(&self, bar: u32) -> Token {
        let place = (self.first_bar + bar) % BARS_PER_PHRASE;
        if self.fills[bar as usize] { Token::FillBar(place) } else { Token::Bar(place) }
    }
}

pub fn encode_prompt(prompt: &Prompt) -> Vec<u32> {
    let task = match prompt.task {
        Task::Generate => Token::Generate,
        Task::Humanize => Token::Humanize,
        Task::Infill => Token::Infill,
    };
    let density = prompt.density.map_or(Token::DensityAny, |d| Token::Density(density_bin(d)));
    [task, Token::Length(prompt.steps_per_bar), Token::Tempo(tempo_bin(prompt.tempo)), density]
        .map(Token::id)
        .to_vec()
}

/// Full tokens of `hits`, whose steps count from the excerpt's start and are sorted by `(step, class, offset)`.
///
/// Every bar gets its token, also an empty one. Hits outside the excerpt are left out.
pub fn encode_hits(excerpt: &Excerpt, hits: &[Hit]) -> Vec<u32> {
    encode(excerpt, hits, true)
}

/// Positions and drums alone: what a score shows before it is performed.
pub fn encode_score(excerpt: &Excerpt, hits: &[Hit]) -> Vec<u32> {
    encode(excerpt, hits, false)
}

fn encode(excerpt: &Excerpt, hits: &[Hit], performance: bool) -> Vec<u32> {
    let mut ids = Vec::with_capacity(hits.len() * 4 + excerpt.fills.len());
    let mut hits = hits.iter().peekable();
    for bar in 0..excerpt.bars() {
        ids.push(excerpt.bar_token(bar).id());
        let end = (bar + 1) * excerpt.steps_per_bar;
        let mut position = None;
        while let Some(hit) = hits.next_if(|hit| hit.step < end) {
            let step = hit.step - bar * excerpt.steps_per_bar;
            if position != Some(step) {
                ids.push(Token::Position(step).id());
                position = Some(step);
            }
            ids.push(Token::Drum(hit.class.index() as u32).id());
            if performance {
                ids.push(Token::Velocity(velocity_bin(hit.velocity)).id());
                ids.push(Token::Offset(offset_bin(hit.offset)).id());
            }
        }
    }
    ids
}

/// Whether a token tells how a hit is played.
pub fn is_performance(id: u32) -> bool {
    matches!(Token::from_id(id), Some(Token::Velocity(_) | Token::Offset(_)))
}

/// The tokens with [`Token::Perform`] wherever one tells how a hit is played.
pub fn hide_performance(ids: &[u32]) -> Vec<u32> {
    ids.iter().map(|&id| if is_performance(id) { Token::Perform.id() } else { id }).collect()
}

/// Hits of full tokens, steps counted from the first bar token. Stops at [`Token::End`].
///
/// Ill-formed sequences lose the hits that make no sense and never panic.
pub fn decode_hits(steps_per_bar: u32, ids: &[u32]) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut bars = 0;
    let (mut step, mut class, mut velocity) = (None, None, None);
    for token in ids.iter().filter_map(|&id| Token::from_id(id)) {
        match token {
            Token::End => break,
            Token::Bar(_) | Token::FillBar(_) => {
                bars += 1;
                step = None;
            }
            Token::Position(position) if bars > 0 => step = Some((bars - 1) * steps_per_bar + position),
            Token::Drum(drum) => class = DrumClass::from_index(drum as usize),
            Token::Velocity(bin) => velocity = Some(velocity_value(bin)),
            Token::Offset(bin) => {
                if let (Some(step), Some(class), Some(velocity)) = (step, class.take(), velocity.take()) {
                    hits.push(Hit { step, class, velocity, offset: offset_value(bin) });
                }
            }
            _ => {}
        }
    }
    hits
}
