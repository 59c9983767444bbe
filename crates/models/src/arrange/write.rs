//! From requests to arrangements: rules play, prompts and grammars are cut, tokens read back.

use partita_nn::{Rng, Sampler};
use partita_score::harmony::{Chord, Key, NoteName, PitchClasses, symbol};
use partita_tokens::song::{
    BandConstraints, BandGrammar, Excerpt, Hidden, Part, PartRules, Piece, PieceNote, Prompt, Reader, Token,
    Tones, Wishes, density_value, encode_bars, encode_prompt,
};

use super::request::{BassAt, Make, Request};
use super::rules::{Rule, Sheet, play_bass, play_comp};
use super::{Arranger, Error};
use crate::melody::{Progress, Watch};
use crate::stage::{Hear, Player, Sequence};

/// Told apart from the model's stream of the same seed.
const RULES_SEED: u64 = 0x7275_6c65;

/// Who made a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Made {
    /// There is none.
    #[default]
    Nobody,
    /// It was given.
    Given,
    Model,
    Rule(Rule),
}

/// A finished accompaniment.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrangement {
    /// All bars and parts, given ones too. Notes of a piano are sorted by onset, then pitch.
    pub piece: Piece,
    /// As chord symbols: where they begin, in cells, and what.
    pub chords: Vec<(u32, Option<Chord>)>,
    /// By [`Part::index`].
    pub made: [Made; 3],
    /// Which of the variations this is, from the request's first stream.
    pub variation: usize,
    /// Negative log-likelihood of the new tokens under the unconstrained model, in nats; what is given is not counted.
    pub nats: f64,
    /// What the rules of the parts cost: minus the logarithm of the probability they left, in nats.
    pub cost: f64,
    /// Tokens the model read before the first new bar, and those of the new bars, given ones among them, the end left
    /// out; empty without a model.
    pub prompt: Vec<u32>,
    pub ids: Vec<u32>,
}

/// A variation on its way.
struct Draft<'a> {
    request: &'a Request,
    chords: Vec<(u32, Option<Chord>)>,
    piece: Piece,
    variation: usize,
}

impl Arranger {
    /// Makes `request.variations` accompaniments, side by side.
    ///
    /// # Errors
    /// A field out of its range, [`Error::NoAnchor`], [`Error::Cancelled`] when `watch` breaks.
    pub fn arrange(
        &self,
        player: &dyn Player,
        request: &Request,
        watch: &mut Watch,
    ) -> Result<Vec<Arrangement>, Error> {
        Ok(self.arrange_all(player, std::slice::from_ref(request), watch)?.remove(0))
    }

    /// Several requests side by side; each becomes what it becomes alone.
    ///
    /// # Errors
    /// As [`Arranger::arrange`], for the first that fails.
    pub fn arrange_all(
        &self,
        player: &dyn Player,
        requests: &[Request],
        watch: &mut Watch,
    ) -> Result<Vec<Vec<Arrangement>>, Error> {
        let mut drafts = Vec::new();
        for request in requests {
            drafts.extend(drafts_of(request)?);
        }
        let mut sequences = Vec::new();
        for draft in drafts.iter().filter(|draft| draft.asks_model()) {
            sequences.push(draft.sequence()?);
        }
        let prompts: Vec<Vec<u32>> =
            sequences.iter().map(|it| [it.prompt.as_slice(), &it.given].concat()).collect();
        let bars = drafts.iter().filter(|it| it.asks_model()).map(|it| it.request.bars.len() as u32).max();
        let mut listener =
            Listener { watch, begun: vec![0; sequences.len()], tokens: 0, total: bars.unwrap_or(0) };
        let played = if sequences.is_empty() {
            Vec::new()
        } else {
            player.decode(&self.network(), &[], sequences, &mut listener)?
        };
        let mut played = played.into_iter().zip(prompts);
        let mut all = drafts.into_iter().map(|mut draft| {
            let written = if draft.asks_model() { played.next() } else { None };
            let (mut nats, mut cost, mut tokens) = (0.0, 0.0, (Vec::new(), Vec::new()));
            if let Some((written, prompt)) = written {
                draft.read(&written.ids);
                (nats, cost, tokens) = (written.nats, written.cost, (prompt, written.ids));
            }
            Arrangement { nats, cost, prompt: tokens.0, ids: tokens.1, ..draft.finish() }
        });
        Ok(requests.iter().map(|request| all.by_ref().take(request.variations).collect()).collect())
    }
}

/// Makes `request.variations` accompaniments by rule alone; needs no model.
///
/// # Errors
/// A field out of its range, also a part that the model is to write; [`Error::NoAnchor`].
pub fn arrange_by_rule(request: &Request) -> Result<Vec<Arrangement>, Error> {
    if request.bass == Make::Model || request.piano == Make::Model {
        return Err(Error::range("parts", "kept or made by rule where there is no model", "a part by model"));
    }
    Ok(drafts_of(request)?.into_iter().map(Draft::finish).collect())
}

impl Request {
    /// Whether it can be played at all.
    ///
    /// # Errors
    /// A field out of its range, [`Error::NoAnchor`].
    pub fn check(&self) -> Result<(), Error> {
        drafts_of(self).map(drop)
    }
}

fn drafts_of(request: &Request) -> Result<Vec<Draft<'_>>, Error> {
    request.check_fields()?;
    let chords = chords(request);
    let mut piece = request.piece.clone();
    let length = piece.cells_per_bar();
    for part in Part::ALL {
        piece.parts[part.index()].retain(|note| !request.makes(part, note.onset / length));
    }
    piece.parts[Part::Piano.index()].sort_by_key(|note| (note.onset, note.pitch));
    if request.bass != Make::Keep {
        anchors(request, &chords)?;
    }
    let draft = |variation| {
        let mut draft = Draft { request, chords: chords.clone(), piece: piece.clone(), variation };
        if let Make::Rule(rule) = request.bass {
            let notes = play_bass(rule, &draft.sheet(&request.bass_rules), &mut draft.rng());
            let busy = draft.kept_until(Part::Bass);
            draft.add(Part::Bass, notes.into_iter().filter(|note| note.onset >= busy));
        }
        draft
    };
    Ok((0..request.variations).map(draft).collect())
}

impl Draft<'_> {
    fn asks_model(&self) -> bool {
        self.request.bass == Make::Model || self.request.piano == Make::Model
    }

    fn stream(&self) -> u64 {
        self.request.stream + self.variation as u64
    }

    fn rng(&self) -> Rng {
        Rng::new(self.request.seed ^ RULES_SEED, self.stream())
    }

    fn sheet<'a>(&'a self, rules: &'a PartRules) -> Sheet<'a> {
        Sheet { piece: &self.piece, symbols: &self.chords, rules, bars: self.request.bars.clone() }
    }

    fn add(&mut self, part: Part, notes: impl IntoIterator<Item = PieceNote>) {
        let own = &mut self.piece.parts[part.index()];
        own.extend(notes);
        own.sort_by_key(|note| (note.onset, note.pitch));
    }

    /// Where the last note ends that rings into the bars made anew.
    fn kept_until(&self, part: Part) -> u32 {
        let start = self.request.bars.start * self.piece.cells_per_bar();
        let before = self.piece.part(part).iter().filter(|note| note.onset < start);
        before.map(|note| note.end).max().unwrap_or(0)
    }

    fn sequence(&self) -> Result<Sequence, Error> {
        let (request, piece) = (self.request, &self.piece);
        let told = |part: Part| {
            let made = match part {
                Part::Melody => false,
                Part::Bass => request.bass == Make::Model,
                Part::Piano => request.piano == Make::Model,
            };
            made || !piece.part(part).is_empty()
        };
        let parts: Vec<Part> = Part::ALL.into_iter().filter(|part| told(*part)).collect();
        let all = Excerpt {
            bars: request.bars.clone(),
            total: piece.bars,
            chords: !piece.chords.is_empty(),
            parts,
        };
        let prompt = Prompt {
            key: request.key.map(|key| (key.tonic.pitch_class(), key.is_minor())),
            meter: Some(piece.meter),
            tempo: Some(request.tempo),
            density: request.density.map(|density| density_value((density * 7.0).round() as u32)),
            register: request.register,
            opening: true,
            no_chords: piece.chords.is_empty(),
            ..Prompt::default()
        };
        let earlier = Excerpt { bars: 0..request.bars.start, ..all.clone() };
        let by_model = |bar: u32| {
            let open = request.bars.contains(&bar);
            let parts = [false, open && request.bass == Make::Model, open && request.piano == Make::Model];
            Hidden { parts, ..Hidden::default() }
        };
        let melody = PartRules { range: 0..=127, ..request.piano_rules.clone() };
        let grammar = BandGrammar::new(BandConstraints {
            excerpt: all,
            open: (0..piece.bars).map(by_model).collect(),
            given: piece.clone(),
            rules: [melody, request.bass_rules.clone(), request.piano_rules.clone()],
            anchors: anchors(request, &self.chords)?,
            wishes: Wishes { density: request.density, register: request.register },
        });
        let sampler =
            Sampler::new(request.sampling.clone()).map_err(|e| Error::range("sampling", "valid", e))?;
        Ok(Sequence {
            prompt: encode_prompt(&prompt),
            given: encode_bars(piece, &earlier, &[]),
            grammar: Box::new(grammar),
            rng: Rng::new(request.seed, self.stream()),
            sampler,
        })
    }

    /// Takes what the model wrote.
    fn read(&mut self, ids: &[u32]) {
        let request = self.request;
        let length = self.piece.cells_per_bar();
        let mut reader = Reader::new(length, request.bars.clone());
        ids.iter().for_each(|id| reader.read(*id));
        let mut reader = reader.finish();
        if request.bass == Make::Model {
            self.add(Part::Bass, std::mem::take(&mut reader.parts[Part::Bass.index()]));
        }
        if request.piano == Make::Model {
            let mut notes = std::mem::take(&mut reader.parts[Part::Piano.index()]);
            // A key that is struck again has been let go.
            let mut next = [u32::MAX; 128];
            for note in notes.iter_mut().rev() {
                let next = &mut next[usize::from(note.pitch & 127)];
                note.end = note.end.min(*next);
                *next = note.onset;
            }
            self.add(Part::Piano, notes);
        }
    }

    fn finish(mut self) -> Arrangement {
        let request = self.request;
        if let Make::Rule(rule) = request.piano {
            // Another stream than the bass's, which may be somebody else's.
            let mut rng = self.rng();
            rng.next_u64();
            let notes = play_comp(rule, &self.sheet(&request.piano_rules), &mut rng);
            let start = request.bars.start * self.piece.cells_per_bar();
            let kept: Vec<PieceNote> =
                self.piece.part(Part::Piano).iter().filter(|note| note.onset < start).copied().collect();
            let most = usize::from(request.piano_rules.polyphony);
            let mut room: Vec<PieceNote> = Vec::new();
            for note in notes {
                let here = |it: &&PieceNote| it.end > note.onset;
                if kept.iter().filter(here).count() + room.iter().rev().take(most).filter(here).count() < most
                {
                    room.push(note);
                }
            }
            self.add(Part::Piano, room);
        }
        let given = |part: Part| if self.piece.part(part).is_empty() { Made::Nobody } else { Made::Given };
        let bass = match request.bass {
            Make::Keep => given(Part::Bass),
            Make::Model => Made::Model,
            Make::Rule(rule) => Made::Rule(Rule::Bass(rule)),
        };
        let piano = match request.piano {
            Make::Keep => given(Part::Piano),
            Make::Model => Made::Model,
            Make::Rule(rule) => Made::Rule(Rule::Comp(rule)),
        };
        Arrangement {
            made: [given(Part::Melody), bass, piano],
            piece: self.piece,
            chords: self.chords,
            variation: self.variation,
            nats: 0.0,
            cost: 0.0,
            prompt: Vec::new(),
            ids: Vec::new(),
        }
    }
}

/// The request's chords as symbols: as given, or named in the key.
fn chords(request: &Request) -> Vec<(u32, Option<Chord>)> {
    if !request.symbols.is_empty() {
        return request.symbols.clone();
    }
    let signature = i32::from(request.key.map_or(0, Key::signature));
    let name = |class: u8| NoteName::in_window(class, signature - 5);
    request.piece.chords.iter().map(|(at, class)| (*at, class.chord(name))).collect()
}

/// Where the bass begins a note and of which classes: at every chord, or at the first place of its grid in it.
///
/// # Errors
/// [`Error::NoAnchor`] for a chord that the bass's rules leave no such pitch for.
fn anchors(request: &Request, chords: &[(u32, Option<Chord>)]) -> Result<Vec<(u32, PitchClasses)>, Error> {
    let (piece, rules) = (&request.piece, &request.bass_rules);
    let length = piece.cells_per_bar();
    let mut anchors = Vec::new();
    if request.bass_at == BassAt::Free {
        return Ok(anchors);
    }
    let mut before: Option<&Chord> = None;
    for (index, (at, chord)) in chords.iter().enumerate() {
        let same = before == chord.as_ref();
        before = chord.as_ref();
        let Some(chord) = chord.as_ref().filter(|_| !same) else { continue };
        let end = chords.get(index + 1).map_or(piece.bars * length, |(next, _)| *next);
        let Some(cell) = (*at..end).find(|cell| rules.grid.has(cell % length)) else { continue };
        if !request.bars.contains(&(cell / length)) {
            continue;
        }
        let only = |class: u8| PitchClasses::EMPTY.with(class);
        let (wanted, choices) = match request.bass_at {
            BassAt::Tones => ("one of its tones", vec![chord.pitch_classes()]),
            // A bass that is no tone of the chord gives way where only the chord's tones may sound.
            _ if rules.tones == Tones::Chord => {
                ("its root", vec![only(chord.bass().pitch_class()), only(chord.root.pitch_class())])
            }
            _ => ("its bass", vec![only(chord.bass().pitch_class())]),
        };
        let playable = |classes: &PitchClasses| !rules.anchored(piece.chord_at(cell), *classes).is_empty();
        let classes = choices.into_iter().find(playable).ok_or_else(|| Error::NoAnchor {
            bar: cell / length + 1,
            chord: symbol(Some(chord)),
            wanted,
        })?;
        anchors.push((cell, classes));
    }
    Ok(anchors)
}

struct Listener<'a, 'b> {
    watch: &'a mut Watch<'b>,
    begun: Vec<u32>,
    tokens: usize,
    total: u32,
}

impl Hear for Listener<'_, '_> {
    fn hear(&mut self, index: usize, id: u32) {
        self.tokens += 1;
        self.begun[index] += u32::from(matches!(Token::from_id(id), Some(Token::Bar(_))));
    }

    fn end(&mut self, index: usize) {
        self.begun[index] = self.total;
    }

    fn report(&mut self) -> Result<(), crate::stage::Error> {
        let bars = self.begun.iter().min().copied().unwrap_or(0);
        let progress = Progress { tokens: self.tokens, bars, total_bars: self.total };
        if (self.watch)(&progress).is_break() { Err(crate::stage::Error::Cancelled) } else { Ok(()) }
    }
}
