//! `arrange`: a piano and a bass for a melody and its chords, which stay note for note.

use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use partita_models::arrange::{
    self, Arrangement, Arranger, BassRule, CompRule, Error as ArrangeError, Make, Players, Request, Source,
    Who, arrange_by_rule, splice,
};
use partita_models::melody::{self, Heard, Lead, Writer, read};
use partita_models::stage::Compute;
use partita_nn::Rng;
use partita_score::demands::Demands;
use partita_score::harmony::{Chord, Key};
use partita_score::{Score, Tick};
use partita_tokens::song::PITCHES;
use serde_json::{Value, json};

use super::harmonize::chords_for;
use super::song::BEFORE;
use crate::deliver::{Delivery, Files, Input, Sound};
use crate::error::{Error, Invalid, Result};
use crate::obey::{self, Harmonic, Pitches};
use crate::options::{self, BarRange, Tokens};
use crate::output::Target;
use crate::parts;
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};
use crate::{leads, model, progress};

#[derive(Args, Debug)]
pub struct Options {
    /// Music file with a melody, - for stdin
    #[arg(value_name = "IN")]
    input: Target,
    /// Track of the melody, the first is 1; one named so, or the highest, if left out
    #[arg(long, value_parser = options::track, allow_negative_numbers = true)]
    track: Option<usize>,
    /// Bars to accompany anew, the first is 1; all of the melody if left out
    #[arg(long, value_name = "FIRST-LAST", value_parser = options::bar_range, allow_hyphen_values = true)]
    bars: Option<BarRange>,
    /// Key, as in "F# minor": nothing new sounds outside its scale but tones of the chord and its written bass; `any` for none. That of the
    /// input if left out
    #[arg(long, value_name = "KEY|any")]
    key: Option<String>,
    /// Who plays the bass: `model`, a rule (roots, roots-and-fifths, octaves, eighths, walking, syncopated or tresillo),
    /// `keep` for the track `bass` there is, or `none`
    #[arg(long, default_value = "model", value_parser = parts::who_plays_bass, value_name = "RULE|model|keep|none")]
    bass: Who<BassRule>,
    /// Who plays the piano: `model`, a rule (held, beats, off-beats, stabs, charleston, arpeggio or bossa), `keep` or
    /// `none`
    #[arg(long, default_value = "model", value_parser = parts::who_plays_piano, value_name = "RULE|model|keep|none")]
    piano: Who<CompRule>,
    /// Lowest and highest note of the bass, as in 28-55 or E1-G3
    #[arg(long, value_name = "LOW-HIGH", value_parser = bass_range, allow_hyphen_values = true)]
    bass_range: Option<Pitches>,
    /// Lowest and highest note of the piano, as in 33-84 or A1-C6
    #[arg(long, value_name = "LOW-HIGH", value_parser = piano_range, allow_hyphen_values = true)]
    piano_range: Option<Pitches>,
    /// Notes of a piano by the model, from few (0, some 1.25 a beat) to many (1, some 6.75)
    #[arg(long, value_parser = options::density, allow_negative_numbers = true)]
    density: Option<f64>,
    /// Mean pitch of a piano by the model, within its range: 21..=108 or a name, as in C4
    #[arg(long, value_name = "PITCH", value_parser = register, allow_negative_numbers = true)]
    register: Option<u8>,
    /// Folder for a WAV file of each track
    #[arg(long, value_name = "DIR")]
    stems: Option<PathBuf>,
    #[command(flatten)]
    harmony: Harmonic,
    #[command(flatten)]
    tokens: Tokens,
    #[command(flatten)]
    files: Files,
}

fn bass_range(text: &str) -> Result<Pitches, Invalid> {
    part_range("bass-range", text)
}

fn piano_range(text: &str) -> Result<Pitches, Invalid> {
    part_range("piano-range", text)
}

fn part_range(field: &'static str, text: &str) -> Result<Pitches, Invalid> {
    let Pitches(range) = obey::range(text).map_err(|invalid| Invalid { field, ..invalid })?;
    if PITCHES.contains(range.start()) && PITCHES.contains(range.end()) {
        return Ok(Pitches(range));
    }
    let allowed = format!("within {}-{}", PITCHES.start(), PITCHES.end());
    Err(Invalid { field, allowed, got: text.to_owned() })
}

fn register(text: &str) -> Result<u8, Invalid> {
    let pitch = obey::pitch(text).filter(|pitch| PITCHES.contains(pitch));
    pitch.ok_or_else(|| Invalid {
        field: "register",
        allowed: format!("a pitch in {}..={}, or a name, as in C4", PITCHES.start(), PITCHES.end()),
        got: format!("{text:?}"),
    })
}

/// Melody and chords of each variation.
struct Sheets {
    /// Where the chords come from; `None` if the writer of lead sheets wrote them.
    source: Option<Source>,
    leads: Vec<Lead>,
    writer: Option<Writer>,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let input = Input::read(&options.input)?;
    let heard = read(&input.score, options.track)?;
    let players = Players { bass: options.bass, piano: options.piano };
    let arranger = arranger(options, &players, session)?;
    let bars = bars(options, &heard)?;
    clock.lap("load");
    let tokens = &options.tokens;
    let mut delivery = options.files.plan(tokens.variations, Sound::Acoustic, session.json)?;
    let seed = tokens.seed.unwrap_or_else(options::random_seed);
    let key = obey::key(options.key.as_deref(), heard.key)?;
    let sheets = sheets(options, session, &compute, &input, &heard, (key, seed, &bars))?;
    let asked = requests(options, players, &input, &heard, &sheets, (key, seed, &bars))?;
    let made = match &arranger {
        Some(arranger) => progress::lead(session, |watch| arranger.arrange_all(&compute, &asked, watch)),
        None => asked.iter().map(arrange_by_rule).collect(),
    };
    let made = made.map_err(|error| match error {
        ArrangeError::NoAnchor { .. } if options.bass_range.is_some() => Error::usage("bass-range", error),
        error => error.into(),
    })?;
    let takes: Vec<Arrangement> = made.into_iter().flatten().collect();
    clock.lap("generate");
    let touched = players.parts();
    let scores: Vec<Score> = takes
        .iter()
        .zip(&sheets.leads)
        .map(|(take, lead)| {
            let score = splice(&input.score, &heard, take, &bars, &touched);
            if sheets.is_as_in(&options.harmony) { score } else { lead.rename_chords(score, &bars) }
        })
        .collect();
    if let Some(folder) = &options.stems {
        let scores: Vec<&Score> = scores.iter().collect();
        parts::write_stems(folder, &scores, &options.files, Sound::Acoustic, &mut delivery)?;
    }
    for (index, score) in scores.iter().enumerate() {
        delivery.write(index, score, || parts::rolls(score), None)?;
    }
    clock.lap("render");
    let command = echo(options, session, (key, seed, &bars));
    tell(
        Told {
            session,
            seed,
            key,
            heard: &heard,
            bars,
            sheets: &sheets,
            arranger: arranger.as_ref(),
            takes,
            scores,
        },
        &command,
        delivery,
        clock,
    )
}

/// The model, if it plays.
///
/// # Errors
/// Weights that are none of an accompaniment, nothing to do.
fn arranger(options: &Options, players: &Players, session: &Session) -> Result<Option<Arranger>> {
    if players.parts().is_empty() {
        return Err(Error::usage(
            "piano",
            "piano must not be kept where the bass is, which leaves nothing to do",
        ));
    }
    for (field, given) in [("density", options.density.is_some()), ("register", options.register.is_some())] {
        if given && players.piano != Who::Make(Make::Model) {
            let message = format!("{field} must be left out where no model plays the piano, got a {field}");
            return Err(Error::usage(field, message));
        }
    }
    players.has_model().then(|| model::arranger(session)).transpose()
}

fn bars(options: &Options, heard: &Heard) -> Result<Range<u32>> {
    let all = 0..heard.piece.bars;
    let Some(asked) = &options.bars else { return Ok(all) };
    if asked.bars.end > all.end {
        return Err(Error::usage("bars", format!("bars must be in 1-{}, got {asked}", all.end)));
    }
    Ok(asked.bars.clone())
}

/// The melody with the chords asked for, those of the input, those its notes make, or such as the writer finds.
fn sheets(
    options: &Options,
    session: &Session,
    compute: &Compute,
    input: &Input,
    heard: &Heard,
    (key, seed, bars): (Option<Key>, u64, &Range<u32>),
) -> Result<Sheets> {
    if options.harmony.is_none() {
        return Err(Error::usage(
            "no-chords",
            "no-chords must be left to generate melody: an accompaniment needs chords",
        ));
    }
    let tokens = &options.tokens;
    let sheets = |source, chords: Vec<(u32, Option<Chord>)>| {
        let lead = Lead::from(heard.clone()).under(chords);
        let leads = (0..tokens.variations).map(|variation| Lead { variation, ..lead.clone() }).collect();
        Sheets { source: Some(source), leads, writer: None }
    };
    let demands = Demands::new(heard.piece.meter, bars.end - bars.start, heard.tempo);
    let mut rng = Rng::new(seed, BEFORE);
    let asked = options.harmony.chords(key, &demands, &mut || rng.f64())?;
    let length = heard.piece.cells_per_bar();
    let source = arrange::source(&input.score, heard);
    if !asked.is_empty() {
        let asked = asked.into_iter().map(|(at, chord)| (at + bars.start * length, chord)).collect();
        let own = source.map_or(vec![], |_| heard.chords.clone());
        let cells = bars.start * length..bars.end * length;
        let chords = melody::replace_chords(own, asked, cells, heard.piece.bars * length);
        return Ok(sheets(Source::Given, chords));
    }
    // What a line alone makes of chords is a guess that the writer does better.
    if let Some(source) = source {
        return Ok(sheets(source, heard.chords.clone()));
    }
    let writer = model::writer_beside(session)?;
    let request = melody::Request {
        sampling: tokens.sampling()?,
        variations: tokens.variations,
        ..chords_for(heard, &input.name, key, seed)?
    };
    let leads = progress::lead(session, |watch| writer.write(compute, &request, watch))?;
    Ok(Sheets { source: None, leads, writer: Some(writer) })
}

impl Sheets {
    /// Whether the chords are those that the input says.
    fn is_as_in(&self, harmony: &Harmonic) -> bool {
        self.source == Some(Source::Given) && !harmony.is_given()
    }

    /// Where the chords come from, in words.
    fn told(&self) -> &'static str {
        match self.source {
            Some(Source::Given) => "given",
            Some(Source::Recognized) => "rule recognized",
            None => "model",
        }
    }
}

/// A request for each variation, which draws from a stream of its own.
fn requests(
    options: &Options,
    players: Players,
    input: &Input,
    heard: &Heard,
    sheets: &Sheets,
    (key, seed, bars): (Option<Key>, u64, &Range<u32>),
) -> Result<Vec<Request>> {
    let sampling = options.tokens.sampling()?;
    let request = |lead: &Lead| {
        let mut request = Request {
            density: options.density,
            register: options.register.map(f64::from),
            sampling: sampling.clone(),
            ..Request::under((&input.score, heard), lead, players, bars.clone(), key, seed)
        };
        if let Some(Pitches(range)) = options.bass_range.clone() {
            request.bass_rules.range = range;
        }
        if let Some(Pitches(range)) = options.piano_range.clone() {
            request.piano_rules.range = range;
        }
        request
    };
    Ok(sheets.leads.iter().map(request).collect())
}

fn echo(
    options: &Options,
    session: &Session,
    (key, seed, bars): (Option<Key>, u64, &Range<u32>),
) -> CommandLine {
    let mut command = CommandLine::new(&["arrange"]);
    command.word(&options.input.to_string());
    command.session(session);
    command.maybe("track", options.track.map(|track| track + 1));
    command.option("bars", BarRange { bars: bars.clone() });
    command.option("key", key.map_or_else(|| "any".to_owned(), |key| key.to_string()));
    command.option("bass", options.bass.name());
    command.option("piano", options.piano.name());
    command.maybe("bass-range", options.bass_range.as_ref());
    command.maybe("piano-range", options.piano_range.as_ref());
    command.maybe("density", options.density);
    command.maybe("register", options.register);
    options.harmony.echo(&mut command);
    options.tokens.echo(seed, &mut command);
    options.files.echo_with_stems(Sound::Acoustic, options.stems.as_deref(), &mut command);
    command
}

/// All there is to tell.
struct Told<'a> {
    session: &'a Session,
    seed: u64,
    key: Option<Key>,
    heard: &'a Heard,
    bars: Range<u32>,
    sheets: &'a Sheets,
    /// If it played.
    arranger: Option<&'a Arranger>,
    takes: Vec<Arrangement>,
    scores: Vec<Score>,
}

fn tell(told: Told, command: &CommandLine, delivery: Delivery, mut clock: Clock) -> Result<()> {
    let Told { session, seed, key, heard, bars, sheets, arranger, takes, scores } = told;
    let (files, has_stdout) = delivery.summary();
    let names: Vec<Vec<String>> = (0..takes.len()).map(|index| delivery.names(index).to_vec()).collect();
    delivery.commit()?;
    clock.lap("write");
    let made = |take: &Arrangement| {
        let [_, bass, piano] = take.made.map(|made| made.to_string());
        [("chords", sheets.told().to_owned()), ("bass", bass), ("piano", piano)]
    };
    let take = |index: usize| -> Result<Value> {
        let (take, lead) = (&takes[index], &sheets.leads[index]);
        let made: serde_json::Map<_, _> =
            made(take).into_iter().map(|(part, made)| (part.to_owned(), made.into())).collect();
        Ok(json!({
            "variation": lead.variation,
            "notes": leads::notes(&scores[index])?,
            "made": made,
            "nats": report::round(take.nats + lead.nats, 3),
            "cost_nats": report::round(take.cost + lead.cost, 3),
            "files": names[index],
        }))
    };
    let weights = arranger.map(|it| json!({ "family": it.config.family, "sha256": it.config.sha256 }));
    let models: Vec<Value> = sheets.writer.as_ref().map(leads::told).into_iter().chain(weights).collect();
    let object = json!({
        "command": command.to_string(),
        "seed": seed,
        "key": key.map(|key| key.to_string()),
        "tempo": report::round(scores[0].tempos.bpm_at(Tick(0)), 3),
        "time": heard.piece.meter.to_string(),
        "bars": heard.piece.bars,
        "anew": [bars.start + 1, bars.end],
        "takes": (0..takes.len()).map(take).collect::<Result<Vec<_>>>()?,
        "files": files,
        "models": models,
        "timing_ms": clock.to_json(),
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        for (index, (take, lead)) in takes.iter().zip(&sheets.leads).enumerate() {
            if takes.len() > 1 {
                text += &format!("take {} of {}\n", index + 1, takes.len());
            }
            text += &leads::sheet(lead, key);
            for (part, made) in made(take) {
                let why = match (part, sheets.source) {
                    ("chords", None) => ", as the input has none",
                    _ => "",
                };
                text += &format!("{part:7} {made}{why}\n");
            }
        }
    }
    text += &report::ending(session, &files, &[("seed", &seed.to_string())], command);
    session.answer(&object, &text, has_stdout)
}
