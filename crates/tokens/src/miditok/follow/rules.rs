//! The successions of each tokenization.
//!
//! ```text
//! REMI        Bar [TimeSig] (Position [Tempo] note*)* [BarEnd] Bar ...
//! TSD         [TimeSig] [Tempo] note* TimeShift [TimeSig] [Tempo] note* ...
//! Structured  (TimeShift note)*
//! MIDI-Like   [TimeSig] [Tempo] (on | off)* TimeShift ...
//! note        [Program] [Chord [Program]] Pitch [Velocity] [Duration]
//! ```

use std::ops::RangeInclusive;

use super::{Error, Limits, Result, Tokenizer};
use crate::miditok::bins::Span;
use crate::miditok::config::{Config, TimeSignature, Tokenization};
use crate::miditok::token::Token;

/// What does not change while a sequence is walked.
#[derive(Debug)]
pub(super) struct Rules {
    config: Config,
    /// Base tokens of every id; one each in an untrained vocabulary.
    pieces: Vec<Vec<Token>>,
    end: Option<Token>,
    pitches: [bool; 128],
    drum_pitches: [bool; 128],
    /// By `program + 1`.
    programs: [bool; 129],
    signature: Option<TimeSignature>,
    bars: Option<u32>,
    finest_denominator: u32,
    positions_per_beat: i64,
}

/// What the next token completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first token.
    Start,
    /// A bar has begun whose time signature is due.
    Bar,
    /// A bar has ended.
    BarEnd,
    /// A time has come: global tokens may follow, then notes.
    Time,
    /// The global tokens of this time are said, or notes have begun.
    Notes,
    /// A note's program has been said.
    Program,
    /// A chord has been said, its notes are due.
    Chord,
    /// A chord and then the program of a note.
    ChordProgram,
    /// Structured: the time of a note has been said.
    Shift,
    Pitch,
    Velocity,
    Done,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    place: Place,
    bars: u32,
    signature: TimeSignature,
    /// Of a beat under `signature`.
    beat: i64,
    tick: i64,
    /// Of the bar (REMI) or the last time signature.
    bar_at: i64,
    sounds_until: i64,
    /// Last of the bar.
    position: Option<u16>,
    program: Option<i16>,
    /// Of a track without program tokens, once known.
    drums: Option<bool>,
    tempo_said: bool,
    /// Programs whose chord has been said at this tick.
    chords: Vec<i16>,
    /// Program and pitch of what began at this tick.
    begun: Vec<(i16, u8)>,
    /// MIDI-Like: program, pitch and onset of what sounds.
    open: Vec<(i16, u8, i64)>,
    /// Nothing new begins.
    closing: bool,
}

impl State {
    pub fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    pub fn bars(&self) -> u32 {
        self.bars
    }

    pub fn close(&mut self) {
        self.closing = true;
    }

    /// MIDI-Like: whether a note of a program may end now.
    fn can_end(&self, program: i16) -> bool {
        self.open.iter().any(|&(own, _, at)| own == program && at < self.tick)
    }
}

const DRUMS: i16 = -1;
/// The program of a track that does not say it.
const UNTOLD: i16 = 0;
const END: &str = "EOS_None";

impl Rules {
    pub fn new(tokenizer: &Tokenizer, limits: &Limits) -> Result<Rules> {
        let (config, vocab) = (tokenizer.config(), tokenizer.vocab());
        let size = tokenizer.vocab_size();
        let base = |id: u32| {
            let ids = tokenizer.base_ids(id).unwrap_or_default();
            ids.iter().filter_map(|&id| vocab.token(id)).collect::<Vec<Token>>()
        };
        let pieces: Vec<Vec<Token>> = (0..size as u32).map(base).collect();
        // A Unigram model has no id for it alone.
        let end = vocab.id(END).and_then(|id| vocab.token(id));
        let end = end.filter(|&end| pieces.iter().any(|piece| piece.as_slice() == [end]));
        let rules = Rules {
            config: config.clone(),
            pieces,
            end,
            pitches: pitches(&config.pitches(), |pitch| {
                limits.pitches.contains(&pitch) && limits.pitch_classes[usize::from(pitch % 12)]
            }),
            drum_pitches: if config.use_pitchdrum_tokens {
                // Decoders leave out drum pitches beyond the range of the others.
                pitches(&config.drum_pitches(), |pitch| {
                    config.tokenization == Tokenization::Structured || config.pitches().contains(&pitch)
                })
            } else {
                pitches(&config.pitches(), |_| true)
            },
            programs: programs(config, limits)?,
            signature: limits.signature,
            bars: limits.bars,
            finest_denominator: config.finest_denominator(),
            positions_per_beat: i64::from(config.positions_per_beat()),
        };
        rules.check()?;
        Ok(rules)
    }

    fn check(&self) -> Result<()> {
        let fail = |text: String| Err(Error::Demand(text));
        let config = &self.config;
        if self.bars == Some(0) {
            return fail("bars must be at least 1, got 0".into());
        }
        if self.bars.is_some() && config.tokenization != Tokenization::Remi {
            return fail(format!("bars are counted in REMI only, got {}", config.tokenization.name()));
        }
        if let Some(signature) = self.signature {
            let known = config.time_signatures();
            if !known.contains(&signature) {
                let names: Vec<String> = known.iter().map(TimeSignature::to_string).collect();
                return fail(format!("signature must be one of {}, got {signature}", names.join(", ")));
            }
        }
        let any = (-1..128).any(|program| self.programs[(program + 1) as usize] && self.any_pitch(program));
        if !any {
            return fail(
                "no pitch is left: pitches, pitch_classes and programs leave no note to play".into(),
            );
        }
        Ok(())
    }

    fn any_pitch(&self, program: i16) -> bool {
        self.table(program).contains(&true)
    }

    fn table(&self, program: i16) -> &[bool; 128] {
        if program == DRUMS { &self.drum_pitches } else { &self.pitches }
    }

    /// Whether notes of a program have drum tokens.
    fn is_drum_token(&self, program: i16) -> bool {
        program == DRUMS && self.config.use_pitchdrum_tokens
    }

    pub fn size(&self) -> usize {
        self.pieces.len()
    }

    pub fn start(&self) -> State {
        let mut state = State {
            place: Place::Start,
            bars: 0,
            signature: TimeSignature::COMMON,
            beat: 0,
            tick: 0,
            bar_at: 0,
            sounds_until: 0,
            position: None,
            program: None,
            drums: None,
            tempo_said: false,
            chords: Vec::new(),
            begun: Vec::new(),
            open: Vec::new(),
            closing: false,
        };
        self.set_signature(&mut state, TimeSignature::COMMON);
        if !self.config.use_programs {
            let (drums, others) = (self.programs[0], self.programs[1..].contains(&true));
            state.drums = (drums != others).then_some(drums);
        }
        if !self.leads_with_program() {
            state.place = self.first_place();
        }
        state
    }

    /// Every track has a sequence of its own, which begins with the program.
    fn leads_with_program(&self) -> bool {
        self.config.program_changes && !self.config.one_stream()
    }

    /// Where a sequence stands before its first time.
    fn first_place(&self) -> Place {
        match self.config.tokenization {
            Tokenization::Remi => Place::BarEnd,
            Tokenization::Structured => Place::Notes,
            // The first time signature is due before anything else.
            _ if self.config.use_time_signatures => Place::Bar,
            _ => Place::Time,
        }
    }

    /// Programs are said before each note.
    fn told(&self) -> bool {
        self.config.use_programs && !self.config.program_changes
    }

    fn set_signature(&self, state: &mut State, signature: TimeSignature) {
        state.signature = signature;
        state.beat =
            self.positions_per_beat * i64::from(self.finest_denominator / signature.denominator.max(1));
    }

    fn bar_ticks(&self, state: &State) -> i64 {
        (state.beat * i64::from(state.signature.numerator)).max(1)
    }

    fn position_ticks(&self, state: &State) -> i64 {
        (state.beat / self.positions_per_beat).max(1)
    }

    /// Whether an id may come next.
    pub fn allows(&self, state: &State, id: u32) -> bool {
        let Some(pieces) = self.pieces.get(id as usize) else { return false };
        match pieces.as_slice() {
            [] => false,
            [token] => self.may(state, *token),
            [first, ..] => {
                if !self.may(state, *first) {
                    return false;
                }
                let mut state = state.clone();
                pieces.iter().all(|&token| {
                    // What follows the end in one token is no part of the music.
                    let allowed = state.is_done() || self.may(&state, token);
                    if allowed && !state.is_done() {
                        self.take(&mut state, token);
                    }
                    allowed
                })
            }
        }
    }

    /// Moves on over an allowed id.
    pub fn take_id(&self, state: &mut State, id: u32) {
        for &token in self.pieces.get(id as usize).into_iter().flatten() {
            if !state.is_done() {
                self.take(state, token);
            }
        }
    }

    pub fn may_stop(&self, state: &State) -> bool {
        let whole = matches!(state.place, Place::Time | Place::Notes | Place::Done) && state.open.is_empty();
        let remi = self.config.tokenization == Tokenization::Remi;
        whole && (!remi || state.bars >= 1) && self.bars.is_none_or(|bars| bars == state.bars)
    }

    /// Whether a base token may come next.
    fn may(&self, state: &State, token: Token) -> bool {
        if state.place == Place::Done {
            return false;
        }
        if Some(token) == self.end {
            return self.may_stop(state);
        }
        match (state.place, token) {
            (Place::Start, Token::Program(program)) => self.program_open(state, program),
            (Place::Bar, Token::TimeSig(signature)) => self.signature.is_none_or(|own| own == signature),
            (Place::BarEnd, Token::Bar) => self.may_begin_bar(state),
            (Place::Time | Place::Notes, _) => self.may_at_time(state, token),
            (Place::Program, Token::Chord(_)) => self.may_say_chord(state),
            (Place::Shift, Token::Program(program)) => self.told() && self.program_open(state, program),
            (Place::Shift, _) => !self.told() && self.may_begin_note(state, token),
            (Place::Program | Place::ChordProgram, _) => self.may_begin_note(state, token),
            (Place::Chord, Token::Program(program)) => self.told() && state.program == Some(program),
            (Place::Chord, _) => !self.told() && self.may_begin_note(state, token),
            (Place::Pitch, Token::Velocity(velocity)) => self.config.use_velocities && velocity > 0,
            (Place::Pitch, Token::Duration(_)) => !self.config.use_velocities,
            (Place::Velocity, Token::Duration(_)) => true,
            _ => false,
        }
    }

    fn may_begin_bar(&self, state: &State) -> bool {
        // One bar too many says that the music is over: sequences often have no other end, whatever the vocabulary.
        self.bars.is_none_or(|bars| state.bars <= bars)
    }

    /// Between notes.
    fn may_at_time(&self, state: &State, token: Token) -> bool {
        let config = &self.config;
        let fresh = state.place == Place::Time;
        if state.closing && !self.may_close(state, token) {
            return false;
        }
        match token {
            Token::Bar => !config.use_bar_end_tokens && self.may_begin_bar(state),
            Token::BarEnd => self.may_begin_bar(state),
            Token::Position(position) => {
                let ticks = i64::from(position) * self.position_ticks(state);
                let later =
                    state.position.is_none_or(|last| position > last) && state.bar_at + ticks >= state.tick;
                later && ticks < self.bar_ticks(state)
            }
            Token::TimeShift(span) => {
                config.tokenization == Tokenization::Structured || span.ticks(state.beat) > 0
            }
            Token::Rest(span) => self.may_rest(state, span),
            Token::TimeSig(signature) => {
                config.tokenization != Tokenization::Remi
                    && fresh
                    && !state.tempo_said
                    && state.tick > state.bar_at
                    && (state.tick - state.bar_at) % self.bar_ticks(state) == 0
                    && self.signature.is_none()
                    && signature != state.signature
            }
            Token::Tempo(_) => fresh && !state.tempo_said && self.has_time(state),
            // Where every track has its own sequence, its program never changes.
            Token::Program(program) if self.told() || config.one_stream() => {
                let structured = config.tokenization == Tokenization::Structured;
                let new = self.told() || state.program != Some(program);
                !structured && new && self.has_time(state) && self.program_open(state, program)
            }
            Token::Chord(_) => !self.told() && self.has_time(state) && self.may_say_chord(state),
            _ => !self.told() && self.has_time(state) && self.may_begin_note(state, token),
        }
    }

    /// Whether a token between notes leads to the end.
    fn may_close(&self, state: &State, token: Token) -> bool {
        let any = state.open.iter().any(|&(.., at)| at < state.tick);
        match token {
            Token::Bar | Token::BarEnd => self.bars.is_some(),
            Token::NoteOff(_) | Token::DrumOff(_) => true,
            Token::Program(program) => state.can_end(program),
            // What has only just begun needs some time to sound.
            Token::TimeShift(_) => !state.open.is_empty() && !any,
            _ => false,
        }
    }

    /// Whether the time of a note is known: in REMI a position has been said, in Structured a shift.
    fn has_time(&self, state: &State) -> bool {
        match self.config.tokenization {
            Tokenization::Remi => state.position.is_some() && state.bar_at + self.at(state) >= state.tick,
            Tokenization::Structured => false,
            Tokenization::Tsd | Tokenization::MidiLike => true,
        }
    }

    /// Ticks of the position from the start of the bar.
    fn at(&self, state: &State) -> i64 {
        state.position.map_or(0, |position| i64::from(position) * self.position_ticks(state))
    }

    /// Rests stay inside their bar, so that bars can be counted.
    fn may_rest(&self, state: &State, span: Span) -> bool {
        if span.ticks(state.beat) == 0 {
            return false;
        }
        let end = state.sounds_until.max(state.tick) + span.ticks(state.beat);
        match self.config.tokenization {
            Tokenization::Remi => {
                let last = self.bar_ticks(state) - self.position_ticks(state);
                state.position.is_some() && end <= state.bar_at + last
            }
            Tokenization::Tsd | Tokenization::MidiLike => true,
            Tokenization::Structured => false,
        }
    }

    fn may_say_chord(&self, state: &State) -> bool {
        let program = self.sounding_program(state);
        // Its notes must follow, so one must be left to begin.
        let fits = |program| {
            let ending = state.closing && state.can_end(program);
            program != DRUMS && !ending && !state.chords.contains(&program) && self.can_begin(state, program)
        };
        program.is_some_and(fits)
    }

    /// The program of a note that would begin now; `None` before the first program of a sequence that tells them.
    fn sounding_program(&self, state: &State) -> Option<i16> {
        if self.config.use_programs {
            return state.program;
        }
        Some(if state.drums == Some(true) { DRUMS } else { UNTOLD })
    }

    /// Whether a program may be said, as some note of it can begin or end.
    fn program_open(&self, state: &State, program: i16) -> bool {
        // A track with a sequence of its own has one program.
        let own = self.config.one_stream() || state.program.is_none_or(|own| own == program);
        let known = (-1..128).contains(&program) && self.programs[(program + 1) as usize];
        own && known && (self.can_begin(state, program) || state.can_end(program))
    }

    fn can_begin(&self, state: &State, program: i16) -> bool {
        let table = self.table(program);
        (0..128u8).any(|pitch| table[usize::from(pitch)] && !self.is_taken(state, program, pitch))
    }

    fn is_taken(&self, state: &State, program: i16, pitch: u8) -> bool {
        let begun = state.begun.contains(&(program, pitch));
        begun || state.open.iter().any(|&(own, open, _)| (own, open) == (program, pitch))
    }

    /// Notes begin and, in MIDI-Like, end.
    fn may_begin_note(&self, state: &State, token: Token) -> bool {
        let (pitch, drum, on) = match token {
            Token::Pitch(pitch) | Token::NoteOn(pitch) => (pitch, false, true),
            Token::PitchDrum(pitch) | Token::DrumOn(pitch) => (pitch, true, true),
            Token::NoteOff(pitch) => (pitch, false, false),
            Token::DrumOff(pitch) => (pitch, true, false),
            _ => return false,
        };
        let Some(program) = self.note_program(state, drum) else { return false };
        if on {
            // What was begun to end a note shall not begin another.
            let ending = state.closing && state.can_end(program);
            return !ending
                && self.table(program)[usize::from(pitch & 127)]
                && !self.is_taken(state, program, pitch);
        }
        let chord = matches!(state.place, Place::Chord | Place::ChordProgram);
        !chord && state.open.iter().any(|&(own, open, at)| (own, open) == (program, pitch) && at < state.tick)
    }

    /// The program of a note with a drum token or another; `None` if it can't be in the present one.
    fn note_program(&self, state: &State, drum: bool) -> Option<i16> {
        if !self.config.use_programs {
            // The first note of a track says whether it is drums.
            let fits = !self.config.use_pitchdrum_tokens || state.drums.is_none_or(|drums| drums == drum);
            let drum = drum || (!self.config.use_pitchdrum_tokens && state.drums == Some(true));
            return fits.then_some(if drum { DRUMS } else { UNTOLD });
        }
        state.program.filter(|&program| self.is_drum_token(program) == drum)
    }

    fn lasts(&self, program: i16) -> bool {
        // Decoders take a track without program tokens for a piano, drums too.
        self.config.uses_duration_of(if self.config.use_programs { program } else { program.max(UNTOLD) })
    }

    /// Moves on over an allowed base token.
    fn take(&self, state: &mut State, token: Token) {
        if Some(token) == self.end {
            state.place = Place::Done;
            return;
        }
        match token {
            Token::Bar => self.take_bar(state),
            Token::BarEnd => state.place = Place::BarEnd,
            Token::TimeSig(signature) => {
                self.set_signature(state, signature);
                if self.config.tokenization != Tokenization::Remi {
                    state.bar_at = state.tick;
                }
                state.place = Place::Time;
                // Only one signature a time.
                state.tempo_said = false;
            }
            Token::Position(position) => {
                state.position = Some(position);
                Rules::move_to(state, state.bar_at + i64::from(position) * self.position_ticks(state));
            }
            Token::TimeShift(span) => {
                let ticks = if span == Span::ZERO { 0 } else { span.ticks(state.beat) };
                if ticks > 0 {
                    Rules::move_to(state, state.tick + ticks);
                }
                let structured = self.config.tokenization == Tokenization::Structured;
                state.place = if structured { Place::Shift } else { Place::Time };
            }
            Token::Rest(span) => {
                // There the decoder counts from where time stands, whatever sounds.
                let midi_like = self.config.tokenization == Tokenization::MidiLike;
                let from = if midi_like { state.tick } else { state.sounds_until.max(state.tick) };
                Rules::move_to(state, from + span.ticks(state.beat));
            }
            Token::Tempo(_) => {
                state.tempo_said = true;
                state.sounds_until = state.sounds_until.max(state.tick);
            }
            Token::Program(program) => self.take_program(state, program),
            Token::Chord(_) => {
                state.chords.extend(self.sounding_program(state));
                state.sounds_until = state.sounds_until.max(state.tick);
                state.place = Place::Chord;
            }
            Token::Pitch(pitch) | Token::NoteOn(pitch) => self.take_note(state, pitch, false),
            Token::PitchDrum(pitch) | Token::DrumOn(pitch) => self.take_note(state, pitch, true),
            Token::NoteOff(pitch) => self.take_end(state, pitch, false),
            Token::DrumOff(pitch) => self.take_end(state, pitch, true),
            Token::Velocity(_) => {
                let program = state.begun.last().map_or(UNTOLD, |(program, _)| *program);
                let on_off = self.config.tokenization == Tokenization::MidiLike;
                state.place = if self.lasts(program) && !on_off { Place::Velocity } else { Place::Notes };
            }
            Token::Duration(span) => {
                state.sounds_until = state.sounds_until.max(state.tick + span.ticks(state.beat));
                state.place = Place::Notes;
            }
            Token::Special(_) => {}
        }
    }

    fn take_bar(&self, state: &mut State) {
        if self.bars == Some(state.bars) {
            state.place = Place::Done;
            return;
        }
        if state.bars > 0 {
            state.bar_at += self.bar_ticks(state);
        }
        state.bars += 1;
        state.position = None;
        Rules::move_to(state, state.bar_at);
        state.place = if self.config.use_time_signatures { Place::Bar } else { Place::Time };
    }

    fn move_to(state: &mut State, tick: i64) {
        state.tick = tick;
        state.begun.clear();
        state.tempo_said = false;
        state.chords.clear();
        state.place = Place::Time;
    }

    fn take_program(&self, state: &mut State, program: i16) {
        state.sounds_until = state.sounds_until.max(state.tick);
        state.place = match state.place {
            Place::Start => self.first_place(),
            Place::Chord => Place::ChordProgram,
            _ => Place::Program,
        };
        state.program = Some(program);
    }

    fn take_note(&self, state: &mut State, pitch: u8, drum: bool) {
        let program = self.note_program(state, drum).unwrap_or(UNTOLD);
        if !self.config.use_programs && self.config.use_pitchdrum_tokens {
            state.drums = Some(drum);
        }
        state.begun.push((program, pitch));
        let on_off = self.config.tokenization == Tokenization::MidiLike;
        let lasts = self.lasts(program);
        if on_off && lasts {
            state.open.push((program, pitch, state.tick));
        }
        let common = (self.config.default_note_duration * state.beat as f64) as i64;
        if !lasts {
            state.sounds_until = state.sounds_until.max(state.tick + common);
        }
        let more = self.config.use_velocities || (lasts && !on_off);
        state.place = if more { Place::Pitch } else { Place::Notes };
    }

    fn take_end(&self, state: &mut State, pitch: u8, drum: bool) {
        let program = self.note_program(state, drum).unwrap_or(UNTOLD);
        let at = state.open.iter().position(|&(own, open, _)| (own, open) == (program, pitch));
        at.map(|at| state.open.remove(at));
        state.place = Place::Notes;
    }
}

fn pitches(range: &RangeInclusive<u8>, allowed: impl Fn(u8) -> bool) -> [bool; 128] {
    std::array::from_fn(|pitch| range.contains(&(pitch as u8)) && allowed(pitch as u8))
}

fn programs(config: &Config, limits: &Limits) -> Result<[bool; 129]> {
    let mut allowed = [false; 129];
    let known = |program: i16| !config.use_programs || config.programs.contains(&program);
    let Some(programs) = &limits.programs else {
        let each = allowed.iter_mut().zip(-1i16..);
        each.for_each(|(allowed, program)| *allowed = known(program));
        return Ok(allowed);
    };
    for &program in programs {
        if !(-1..=127).contains(&program) || !known(program) {
            return Err(Error::Demand(format!("programs must be in the vocabulary, got {program}")));
        }
        allowed[(program + 1) as usize] = true;
    }
    Ok(allowed)
}
