//! From a request to pieces: reading what is given, the grammar, and reading the tokens back.

use std::ops::ControlFlow;
use std::sync::Arc;

use partita_nn::{Rng, Sampler};
use partita_tokens::miditok::{DecodedScore, Follow, Kind, Limits, TimeSignature, Token, Tokenizer, Tokens};

use super::piece::without;
use super::walk::{Roles, Walk};
use super::{Error, MidiGpt, Piece, Request};
use crate::stage::{self, Hear, Played, Player, Sequence};

const END: &str = "EOS_None";
const DRUMS: i16 = -1;

/// How far a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tokens written so far by the slowest variation, and how many it may write before it is brought to its end.
    pub tokens: usize,
    pub max_tokens: usize,
}

/// Follows a request; `Break` stops it with [`Error::Cancelled`].
pub type Watch<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// What is there before the first new token.
#[derive(Default)]
struct Given {
    ids: Vec<u32>,
    bars: u32,
    /// Of a vocabulary without programs: what plays, and whether that is drums.
    program: Option<(i16, bool)>,
}

impl MidiGpt {
    /// Writes `request.variations` pieces, side by side.
    ///
    /// # Errors
    /// A field out of its range, limits that contradict each other or the vocabulary, a file that the tokenizer cannot
    /// read or the model cannot play on from, [`Error::Cancelled`] when `watch` breaks.
    pub fn write(
        &self,
        player: &dyn Player,
        request: &Request,
        watch: &mut Watch,
    ) -> Result<Vec<Piece>, Error> {
        request.check()?;
        let tokenizer = &*self.tokenizer;
        let mut given = match &request.given {
            Some(midi) => self.read(midi)?,
            None => Given::default(),
        };
        let limits = limits(tokenizer, request, &mut given)?;
        let mut follow = Follow::new(tokenizer, &limits).map_err(Error::of_limits)?;
        let mut rng: Vec<Rng> =
            (0..request.variations).map(|variation| Rng::new(request.seed, variation as u64)).collect();
        let vocab = tokenizer.vocab();
        let end = vocab.id(END).or_else(|| vocab.id_of(Token::Bar)).and_then(|base| self.id(base));
        let roles = Arc::new(Roles::new(tokenizer, end));
        let sampler = Sampler::new(request.sampling.clone())
            .map_err(|error| Error::range("sampling", "valid", error))?;

        follow.read(&given.ids);
        let start: Vec<u32> = self.start().into_iter().collect();
        // The program of a sequence of one track is its first token, which every window needs.
        let named = given.ids.first().filter(|&&id| tokenizer.vocab().kind(id) == Kind::Program).copied();
        let led = named.filter(|_| !tokenizer.config().one_stream() && !tokenizer.is_trained());
        let (fixed, rest) = match led {
            Some(program) => ([start.as_slice(), &[program]].concat(), given.ids[1..].to_vec()),
            None => (start.clone(), given.ids.clone()),
        };
        let mut first = vec![Vec::new(); request.variations];
        let sequences = rng.iter_mut().zip(&mut first).map(|(rng, first)| {
            let mut walk = Walk::new(follow.clone(), &roles, request.max_tokens, !given.ids.is_empty());
            if fixed.is_empty() && rest.is_empty() {
                first.push(self.begin(&mut walk, rng)?);
            }
            Ok(Sequence {
                prompt: fixed.clone(),
                given: [rest.as_slice(), first].concat(),
                grammar: Box::new(walk),
                rng: rng.clone(),
                sampler: sampler.clone(),
            })
        });
        let sequences = sequences.collect::<Result<Vec<_>, Error>>()?;
        let mut listener = Listener { watch, tokens: vec![0; request.variations], max: request.max_tokens };
        let played = player.decode(&self.network(), &[], sequences, &mut listener);
        let played = played.map_err(|error| Error::of_stage(&self.name, error))?;
        let prompt = [start, given.ids.clone()].concat();
        let heard = self.decode(&given, &[])?;
        let pieces = played.into_iter().zip(first).enumerate().map(|(variation, (played, mut ids))| {
            let Played { ids: more, nats, cost, .. } = played;
            ids.extend(more);
            let whole = self.decode(&given, &ids)?;
            let fail = |error: partita_tokens::miditok::Error| self.fail(error);
            Ok(Piece {
                score: whole.to_score().map_err(fail)?,
                new: without(&whole, &heard).to_score().map_err(fail)?,
                prompt: prompt.clone(),
                bars: given.bars + bars_of(tokenizer, &ids),
                is_cut: ids.len() >= request.max_tokens,
                ids,
                variation,
                nats,
                cost,
            })
        });
        pieces.collect()
    }

    /// The tokens of a file, as the network knows them.
    fn read(&self, midi: &[u8]) -> Result<Given, Error> {
        let tokenizer = &*self.tokenizer;
        let input = |error: partita_tokens::miditok::Error| Error::Input(error.to_string());
        let mut tokens = tokenizer.encode(midi).map_err(input)?;
        if tokenizer.is_trained() {
            tokens = tokenizer.merge(&tokens).map_err(input)?;
        }
        let has_notes = |ids: &Vec<u32>| ids.iter().any(|&id| is_note(tokenizer, id));
        let sounding: Vec<usize> = (0..tokens.ids.len()).filter(|&at| has_notes(&tokens.ids[at])).collect();
        let &[at] = sounding.as_slice() else {
            let allowed = "as its tokens are those of one track";
            return Err(Error::Input(match sounding.len() {
                0 => "the file must hold notes within the pitches of the tokenizer, got none".into(),
                count => format!("model {} plays on from one track, {allowed}, got {count}", self.name),
            }));
        };
        let program = if tokenizer.config().use_programs { None } else { tokens.programs.get(at).copied() };
        let ids = tokens.ids.swap_remove(at);
        let bars = bars_of(tokenizer, &ids);
        Ok(Given { ids, bars, program })
    }

    /// The first token, where the vocabulary has none to begin with: any that may begin, as the network has not yet read
    /// anything to choose by.
    fn begin(&self, walk: &mut Walk, rng: &mut Rng) -> Result<u32, Error> {
        use partita_tokens::Grammar;
        let mut mask = vec![false; self.tokenizer.vocab_size()];
        walk.mask(&mut mask);
        let open: Vec<u32> = (0..).zip(&mask).filter(|(_, open)| **open).map(|(id, _)| id).collect();
        if open.is_empty() {
            return Err(self.fail("no token of the vocabulary may begin"));
        }
        let id = open[rng.below(open.len() as u64) as usize];
        walk.advance(id).map_err(|error| self.fail(error))?;
        Ok(id)
    }

    fn decode(&self, given: &Given, ids: &[u32]) -> Result<DecodedScore, Error> {
        let all = [given.ids.as_slice(), ids].concat();
        let mut tokens = Tokens::new(vec![all]);
        tokens.encoded = self.tokenizer.is_trained();
        tokens.programs.extend(given.program);
        self.tokenizer.decode(&tokens).map_err(|error| self.fail(error))
    }

    #[expect(clippy::needless_pass_by_value, reason = "texts and errors are passed as they come")]
    fn fail(&self, message: impl ToString) -> Error {
        Error::Model { name: self.name.clone(), message: message.to_string() }
    }
}

/// The limits of the whole sequence, what is given in it. Fills in what plays where no token says it.
fn limits(tokenizer: &Tokenizer, request: &Request, given: &mut Given) -> Result<Limits, Error> {
    let mut limits = request.limits.clone();
    limits.bars = limits.bars.map(|bars| bars + given.bars);
    let config = tokenizer.config();
    if !config.use_programs {
        let asked = limits.programs.as_ref().and_then(|programs| programs.first().copied());
        if let Some((asked, (program, is_drum))) = asked.zip(given.program) {
            let plays = if is_drum { DRUMS } else { program };
            if asked != plays {
                let allowed = format!("{plays}, as the given track is the only one");
                return Err(Error::range("programs", allowed, asked));
            }
        }
        // With tokens of their own, drums say themselves what they are.
        let told = asked.map(|program| (program.max(0), program == DRUMS));
        given.program = given.program.or(told).or(Some((0, false)));
        limits.programs = given.program.map(|(program, is_drum)| vec![if is_drum { DRUMS } else { program }]);
    }
    // Only a bar can bring another metre.
    if let Some(signature) = limits.signature.filter(|_| limits.bars.is_none() && !given.ids.is_empty()) {
        let own = last_signature(tokenizer, &given.ids);
        if own != signature && tokenizer.vocab().id_of(Token::Bar).is_none() {
            return Err(Error::range("signature", format!("that of what is given, {own}"), signature));
        }
    }
    Ok(limits)
}

fn base_tokens<'a>(tokenizer: &'a Tokenizer, ids: &'a [u32]) -> impl Iterator<Item = Token> + 'a {
    let base = ids.iter().flat_map(|&id| tokenizer.base_ids(id).unwrap_or_default());
    base.filter_map(|id| tokenizer.vocab().token(id))
}

fn bars_of(tokenizer: &Tokenizer, ids: &[u32]) -> u32 {
    base_tokens(tokenizer, ids).filter(|token| *token == Token::Bar).count() as u32
}

fn last_signature(tokenizer: &Tokenizer, ids: &[u32]) -> TimeSignature {
    let signature = |token| match token {
        Token::TimeSig(signature) => Some(signature),
        _ => None,
    };
    base_tokens(tokenizer, ids).filter_map(signature).last().unwrap_or(TimeSignature::COMMON)
}

fn is_note(tokenizer: &Tokenizer, id: u32) -> bool {
    let is = |kind| matches!(kind, Kind::Pitch | Kind::PitchDrum | Kind::NoteOn | Kind::DrumOn);
    base_tokens(tokenizer, &[id]).any(|token| is(token.kind()))
}

struct Listener<'a, 'b> {
    watch: &'a mut Watch<'b>,
    tokens: Vec<usize>,
    max: usize,
}

impl Hear for Listener<'_, '_> {
    fn hear(&mut self, index: usize, _: u32) {
        self.tokens[index] += 1;
    }

    fn end(&mut self, index: usize) {
        self.tokens[index] = self.max;
    }

    fn report(&mut self) -> Result<(), stage::Error> {
        let tokens = self.tokens.iter().min().copied().unwrap_or(0);
        let progress = Progress { tokens: tokens.min(self.max), max_tokens: self.max };
        if (self.watch)(&progress).is_break() { Err(stage::Error::Cancelled) } else { Ok(()) }
    }
}
