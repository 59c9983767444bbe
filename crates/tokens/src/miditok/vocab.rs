//! The vocabulary: every token of a configuration in MidiTok's order, and where to find it.
//!
//! ```text
//! special tokens | bars | pitches | velocities | durations | time | drum pitches | chords | rests | tempos | programs | time signatures
//! ```
//!
//! One class has no fixed order: programs lie as Python's set of them happens to. A vocabulary that was written down
//! ([`Vocab::explicit`]) is therefore preferred to one made from the configuration alone.

use std::collections::HashMap;

use super::bins::{self, Span};
use super::config::{Config, TimeSignature, Tokenization};
use super::token::{Chord, Kind, Quality, Token};
use super::{Error, Result};

/// Ids of a tokenizer's base tokens.
#[derive(Clone, Debug)]
pub struct Vocab {
    tokens: Vec<Token>,
    names: Vec<String>,
    ids: Ids,
}

/// No token.
const NONE: u32 = u32::MAX;

/// Ids by meaning, `NONE` where there is no such token.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    pub bar: u32,
    pub bar_end: u32,
    pub zero_shift: u32,
    positions: Vec<u32>,
    pitches: [u32; 128],
    drum_pitches: [u32; 128],
    pitch_ends: [u32; 128],
    drum_ends: [u32; 128],
    velocities: [u32; 128],
    programs: [u32; 129],
    /// By index in [`durations`], [`shifts`] and [`rests`].
    durations: Vec<u32>,
    shifts: Vec<u32>,
    rests: Vec<u32>,
    /// Sorted by tempo.
    tempos: Vec<(u32, u32)>,
    signatures: Vec<(TimeSignature, u32)>,
    chords: HashMap<Chord, u32>,
}

impl Vocab {
    /// The vocabulary that MidiTok makes of a configuration it has just read from a file.
    ///
    /// # Errors
    /// A token that would be there twice.
    pub fn new(config: &Config) -> Result<Vocab> {
        Vocab::from_tokens(config, base_tokens(config))
    }

    /// A vocabulary as it was written down, in any order of `(name, id)`.
    ///
    /// # Errors
    /// Names that are not exactly those of the configuration, or ids that are not `0..` the number of them.
    pub fn explicit(config: &Config, pairs: &[(String, u32)]) -> Result<Vocab> {
        let mut tokens = vec![None; pairs.len()];
        for (name, id) in pairs {
            let token = Token::parse(name, config)
                .ok_or_else(|| Error::Vocabulary(format!("{name} is no token of this configuration")))?;
            match tokens.get_mut(*id as usize) {
                Some(slot @ None) => *slot = Some(token),
                Some(Some(_)) => return Err(Error::Vocabulary(format!("two tokens have id {id}"))),
                None => {
                    let text = format!("ids must be in 0..{}, got {id} for {name}", pairs.len());
                    return Err(Error::Vocabulary(text));
                }
            }
        }
        // As many different ids as slots: each is taken.
        let vocab = Vocab::from_tokens(config, tokens.into_iter().flatten().collect())?;
        let wanted = base_tokens(config);
        let known: HashMap<Token, ()> = vocab.tokens.iter().map(|&token| (token, ())).collect();
        if let Some(token) = wanted.iter().find(|token| !known.contains_key(token)) {
            return Err(Error::Vocabulary(format!("{} is missing", token.name(config))));
        }
        if vocab.len() != wanted.len() {
            let text =
                format!("must have the {} tokens of its configuration, got {}", wanted.len(), vocab.len());
            return Err(Error::Vocabulary(text));
        }
        Ok(vocab)
    }

    fn from_tokens(config: &Config, tokens: Vec<Token>) -> Result<Vocab> {
        let names: Vec<String> = tokens.iter().map(|token| token.name(config)).collect();
        let mut seen = HashMap::new();
        for name in &names {
            if seen.insert(name.as_str(), ()).is_some() {
                return Err(Error::Vocabulary(format!("{name} is there twice")));
            }
        }
        let ids = Ids::new(config, &tokens);
        Ok(Vocab { tokens, names, ids })
    }

    /// Number of base tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// What an id means; `None` outside the base vocabulary.
    pub fn token(&self, id: u32) -> Option<Token> {
        self.tokens.get(id as usize).copied()
    }

    /// The kind of an id; [`Kind::Merged`] for those of a trained tokenizer beyond the base vocabulary.
    pub fn kind(&self, id: u32) -> Kind {
        self.token(id).map_or(Kind::Merged, Token::kind)
    }

    /// All tokens, in the order of their ids.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// MidiTok's names, in the order of their ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The id of a name.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.names.iter().position(|own| own == name).map(|id| id as u32)
    }

    /// The id of a token.
    pub fn id_of(&self, token: Token) -> Option<u32> {
        self.tokens.iter().position(|&own| own == token).map(|id| id as u32)
    }

    pub(super) fn ids(&self) -> &Ids {
        &self.ids
    }
}

impl Ids {
    fn new(config: &Config, tokens: &[Token]) -> Ids {
        let by_span = |spans: &[Span], wrap: fn(Span) -> Token| {
            let ids: HashMap<Token, u32> = tokens.iter().zip(0..).map(|(&token, id)| (token, id)).collect();
            spans.iter().map(|&span| ids.get(&wrap(span)).copied().unwrap_or(NONE)).collect()
        };
        let (durations, rests) = (bins::spans(&config.beat_res), bins::spans(&config.beat_res_rest));
        let mut ids = Ids {
            bar: NONE,
            bar_end: NONE,
            zero_shift: NONE,
            positions: Vec::new(),
            pitches: [NONE; 128],
            drum_pitches: [NONE; 128],
            pitch_ends: [NONE; 128],
            drum_ends: [NONE; 128],
            velocities: [NONE; 128],
            programs: [NONE; 129],
            durations: by_span(&durations, Token::Duration),
            shifts: by_span(&durations, Token::TimeShift),
            rests: by_span(&rests, Token::Rest),
            tempos: Vec::new(),
            signatures: Vec::new(),
            chords: HashMap::new(),
        };
        for (&token, id) in tokens.iter().zip(0..) {
            match token {
                Token::Special(_) | Token::Duration(_) | Token::Rest(_) => {}
                Token::Bar => ids.bar = id,
                Token::BarEnd => ids.bar_end = id,
                Token::Position(position) => {
                    let position = usize::from(position);
                    if ids.positions.len() <= position {
                        ids.positions.resize(position + 1, NONE);
                    }
                    ids.positions[position] = id;
                }
                Token::Pitch(pitch) | Token::NoteOn(pitch) => ids.pitches[usize::from(pitch & 127)] = id,
                Token::PitchDrum(pitch) | Token::DrumOn(pitch) => {
                    ids.drum_pitches[usize::from(pitch & 127)] = id;
                }
                Token::NoteOff(pitch) => ids.pitch_ends[usize::from(pitch & 127)] = id,
                Token::DrumOff(pitch) => ids.drum_ends[usize::from(pitch & 127)] = id,
                Token::Velocity(velocity) => ids.velocities[usize::from(velocity & 127)] = id,
                Token::TimeShift(span) if span == Span::ZERO => ids.zero_shift = id,
                Token::TimeShift(_) => {}
                Token::Chord(chord) => {
                    ids.chords.insert(chord, id);
                }
                Token::Tempo(tempo) => ids.tempos.push((tempo, id)),
                Token::Program(program) => ids.programs[slot(program)] = id,
                Token::TimeSig(signature) => ids.signatures.push((signature, id)),
            }
        }
        ids.tempos.sort_unstable();
        ids
    }

    pub fn bar(&self) -> Result<u32> {
        some(self.bar, || "Bar_None".into())
    }

    pub fn position(&self, position: i64) -> Result<u32> {
        let id = usize::try_from(position).ok().and_then(|position| self.positions.get(position));
        some(id.copied().unwrap_or(NONE), || format!("Position_{position}"))
    }

    /// Of a note's start.
    pub fn pitch(&self, drum: bool, pitch: u8) -> Result<u32> {
        let table = if drum { &self.drum_pitches } else { &self.pitches };
        some(table[usize::from(pitch & 127)], || format!("the pitch {pitch}"))
    }

    /// Of a note's end, in MIDI-Like.
    pub fn pitch_end(&self, drum: bool, pitch: u8) -> Result<u32> {
        let table = if drum { &self.drum_ends } else { &self.pitch_ends };
        some(table[usize::from(pitch & 127)], || format!("the end of pitch {pitch}"))
    }

    pub fn velocity(&self, velocity: u8) -> Result<u32> {
        some(self.velocities[usize::from(velocity & 127)], || format!("Velocity_{velocity}"))
    }

    pub fn program(&self, program: i16) -> Result<u32> {
        some(self.programs[slot(program)], || format!("Program_{program}"))
    }

    pub fn duration(&self, index: usize) -> Result<u32> {
        some(self.durations.get(index).copied().unwrap_or(NONE), || format!("duration {index}"))
    }

    pub fn shift(&self, index: usize) -> Result<u32> {
        some(self.shifts.get(index).copied().unwrap_or(NONE), || format!("time shift {index}"))
    }

    pub fn rest(&self, index: usize) -> Result<u32> {
        some(self.rests.get(index).copied().unwrap_or(NONE), || format!("rest {index}"))
    }

    /// `hundredths` of a beat a minute.
    pub fn tempo(&self, hundredths: u32) -> Result<u32> {
        let at = self.tempos.binary_search_by_key(&hundredths, |(tempo, _)| *tempo);
        let id = at.map_or(NONE, |at| self.tempos[at].1);
        some(id, || format!("Tempo_{}", bins::tempo_text(hundredths)))
    }

    pub fn signature(&self, signature: TimeSignature) -> Result<u32> {
        let found = self.signatures.iter().find(|(own, _)| *own == signature);
        some(found.map_or(NONE, |(_, id)| *id), || format!("TimeSig_{signature}"))
    }

    pub fn chord(&self, chord: Chord, config: &Config) -> Result<u32> {
        some(self.chords.get(&chord).copied().unwrap_or(NONE), || Token::Chord(chord).name(config))
    }
}

fn slot(program: i16) -> usize {
    (program + 1).clamp(0, 128) as usize
}

fn some(id: u32, name: impl FnOnce() -> String) -> Result<u32> {
    if id == NONE { Err(Error::NoToken(name())) } else { Ok(id) }
}

/// All tokens in the order MidiTok gives them.
fn base_tokens(config: &Config) -> Vec<Token> {
    let any_durations = !config.use_note_duration_programs.is_empty();
    let on_off = config.tokenization == Tokenization::MidiLike;
    let durations = bins::spans(&config.beat_res);
    let mut tokens: Vec<Token> =
        (0..config.special_tokens.len()).map(|index| Token::Special(index as u16)).collect();
    if config.tokenization == Tokenization::Remi {
        tokens.push(Token::Bar);
        if config.use_bar_end_tokens {
            tokens.push(Token::BarEnd);
        }
    }
    if on_off {
        tokens.extend(config.pitches().map(Token::NoteOn));
        if any_durations {
            tokens.extend(config.pitches().map(Token::NoteOff));
        }
    } else {
        tokens.extend(config.pitches().map(Token::Pitch));
    }
    if config.use_velocities {
        tokens.extend(bins::velocities(config.num_velocities).into_iter().map(Token::Velocity));
    }
    if any_durations && !on_off {
        tokens.extend(durations.iter().copied().map(Token::Duration));
    }
    match config.tokenization {
        Tokenization::Remi => {
            let longest =
                config.time_signatures().iter().map(|signature| signature.numerator).max().unwrap_or(4);
            let positions = config.positions_per_beat() * longest;
            tokens.extend(
                (0..positions.min(u32::from(u16::MAX))).map(|position| Token::Position(position as u16)),
            );
        }
        Tokenization::Structured => tokens.push(Token::TimeShift(Span::ZERO)),
        Tokenization::Tsd | Tokenization::MidiLike => {}
    }
    if config.tokenization != Tokenization::Remi {
        tokens.extend(durations.iter().copied().map(Token::TimeShift));
    }
    extra_tokens(config, &mut tokens);
    tokens
}

/// The classes that every tokenization adds in the same order.
fn extra_tokens(config: &Config, tokens: &mut Vec<Token>) {
    if config.use_pitchdrum_tokens {
        if config.tokenization == Tokenization::MidiLike {
            tokens.extend(config.drum_pitches().map(Token::DrumOn));
            tokens.extend(config.drum_pitches().map(Token::DrumOff));
        } else {
            tokens.extend(config.drum_pitches().map(Token::PitchDrum));
        }
    }
    if config.use_chords {
        let named = (0..config.chord_maps.len()).map(|index| Quality::Named(index as u16));
        let unknown = config.chord_unknown.map_or(0..0, |(from, to)| from..to).map(Quality::Unknown);
        for quality in named.chain(unknown) {
            if config.chord_tokens_with_root_note {
                tokens.extend((0..12).map(|root| Token::Chord(Chord { root: Some(root), quality })));
            } else {
                tokens.push(Token::Chord(Chord { root: None, quality }));
            }
        }
    }
    if config.use_rests {
        tokens.extend(bins::spans(&config.beat_res_rest).into_iter().map(Token::Rest));
    }
    if config.use_tempos {
        let (low, high) = config.tempo_range;
        tokens.extend(
            bins::tempos(low, high, config.num_tempos, config.log_tempos).into_iter().map(Token::Tempo),
        );
    }
    if config.use_programs {
        tokens.extend(set_order(&config.programs).into_iter().map(Token::Program));
    }
    if config.use_time_signatures {
        tokens.extend(config.time_signatures().into_iter().map(Token::TimeSig));
    }
}

/// The order in which CPython iterates over a set into which these programs were put one after another.
///
/// A table of open addresses: up to ten slots in a row are tried, then a jump made of the hash; beyond three fifths full
/// it grows to the first power of two above four times its content. Checked against CPython for 20 000 sets.
fn set_order(programs: &[i16]) -> Vec<i16> {
    /// Slots tried one after another before a jump.
    const RUN: usize = 9;
    fn insert(table: &mut [Option<i16>], program: i16) -> bool {
        let mask = table.len() - 1;
        // -1 marks an error in CPython, so its hash is -2.
        let hash = if program == -1 { -2i64 } else { i64::from(program) }.cast_unsigned();
        let (mut perturb, mut slot) = (hash, hash as usize & mask);
        loop {
            let last = if slot + RUN <= mask { slot + RUN } else { slot };
            for entry in &mut table[slot..=last] {
                match entry {
                    Some(own) if *own == program => return false,
                    Some(_) => {}
                    None => {
                        *entry = Some(program);
                        return true;
                    }
                }
            }
            perturb >>= 5;
            slot = (slot.wrapping_mul(5).wrapping_add(1).wrapping_add(perturb as usize)) & mask;
        }
    }
    let mut table: Vec<Option<i16>> = vec![None; 8];
    let mut used = 0;
    for &program in programs {
        if !insert(&mut table, program) {
            continue;
        }
        used += 1;
        if used * 5 >= (table.len() - 1) * 3 {
            let mut size = 8;
            while size <= used * 4 {
                size *= 2;
            }
            let old = std::mem::replace(&mut table, vec![None; size]);
            for program in old.into_iter().flatten() {
                insert(&mut table, program);
            }
        }
    }
    table.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_set_of_programs_lies_in_hash_order() {
        let all: Vec<i16> = (0..128).chain([-1]).collect();
        assert_eq!(set_order(&all), all);
        // What CPython 3.11 prints for list({0, 33, 8}) and list({-1, 5}).
        assert_eq!(set_order(&[0, 33, 8]), [0, 33, 8]);
        assert_eq!(set_order(&[-1, 5]), [5, -1]);
        assert_eq!(set_order(&[5, -1]), [5, -1]);
    }

    #[test]
    fn default_vocabularies_have_the_published_sizes() {
        let size = |config: Config| Vocab::new(&config).expect("a default").len();
        assert_eq!(size(Config::new(Tokenization::Remi)), 357);
        assert_eq!(size(Config::remi_plus()), 518);
        assert_eq!(size(Config::new(Tokenization::Tsd)), 324);
        assert_eq!(size(Config::new(Tokenization::Structured)), 316);
        assert_eq!(size(Config::new(Tokenization::MidiLike)), 411);
    }
}
