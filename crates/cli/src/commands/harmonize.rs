//! `harmonize`: chords for a melody, which stays note for note.

use clap::Args;
use partita_models::melody::{Given, Heard, Request, read};
use partita_score::Score;
use partita_score::demands::Demands;
use partita_score::harmony::Key;
use partita_score::picture::piano_roll;
use partita_tokens::song::Hidden;

use crate::deliver::{Files, Input, Sound};
use crate::error::{Error, Result};
use crate::leads::{self, Written};
use crate::options::{self, Tokens};
use crate::output::Target;
use crate::report::CommandLine;
use crate::session::{Clock, Session};
use crate::{model, obey, progress};

/// Chords that may begin in a bar, if nothing is said.
const CHORDS_PER_BAR: u32 = 2;

#[derive(Args, Debug)]
pub struct Options {
    /// Music file with a melody, - for stdin
    #[arg(value_name = "IN")]
    input: Target,
    /// Track of the melody, the first is 1; one named so, or the highest, if left out
    #[arg(long, value_parser = options::track, allow_negative_numbers = true)]
    track: Option<usize>,
    /// Key, as in "F# minor": no chord has tones outside its scale; `any` for none. That of the input if left out
    #[arg(long, value_name = "KEY|any")]
    key: Option<String>,
    /// Style, as in pop, jazz, folk or lied; any if left out
    #[arg(long)]
    style: Option<String>,
    /// Chords that may begin in a bar, 1..=8
    #[arg(long, default_value_t = CHORDS_PER_BAR, value_parser = options::chords_per_bar, allow_negative_numbers = true)]
    chords_per_bar: u32,
    #[command(flatten)]
    tokens: Tokens,
    #[command(flatten)]
    files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let input = Input::read(&options.input)?;
    let heard = read(&input.score, options.track)?;
    let writer = model::writer(session)?;
    clock.lap("load");
    let tokens = &options.tokens;
    let mut delivery = options.files.plan(tokens.variations, Sound::Acoustic, session.json)?;
    let seed = tokens.seed.unwrap_or_else(options::random_seed);
    let key = obey::key(options.key.as_deref(), heard.key)?;
    let request = Request {
        style: options.style.clone(),
        chords_per_bar: options.chords_per_bar,
        sampling: tokens.sampling()?,
        variations: tokens.variations,
        ..chords_for(&heard, &input.name, key, seed)?
    };
    let leads = progress::lead(session, |watch| writer.write(&compute, &request, watch))?;
    clock.lap("generate");
    // The file as it was, with the new chords in place of those it had.
    let scores: Vec<Score> = leads.iter().map(|lead| lead.harmonize(&input.score)).collect();
    for (index, score) in scores.iter().enumerate() {
        delivery.write(index, score, || piano_roll(score), None)?;
    }
    clock.lap("render");
    let mut command = CommandLine::new(&["harmonize"]);
    command.word(&options.input.to_string());
    command.session(session);
    command.maybe("track", options.track.map(|track| track + 1));
    command.option("key", key.map_or_else(|| "any".to_owned(), |key| key.to_string()));
    command.maybe("style", options.style.as_ref());
    command.option("chords-per-bar", options.chords_per_bar);
    tokens.echo(seed, &mut command);
    options.files.echo(Sound::Acoustic, &mut command);
    leads::finish(Written {
        session,
        writer: &writer,
        seed,
        key,
        leads: &leads,
        first: 0,
        bars: leads[0].piece.bars,
        scores: &scores,
        anew: None,
        command,
        delivery,
        clock,
    })
}

/// What the writer is asked for: chords for all bars of a melody, which stays; `name` is the input's.
///
/// # Errors
/// More bars than the writer reads at once.
pub fn chords_for(heard: &Heard, name: &str, key: Option<Key>, seed: u64) -> Result<Request> {
    let bars = heard.piece.bars;
    if bars > obey::MOST_BARS {
        let message = format!("{name} must have at most {} bars, got {bars}", obey::MOST_BARS);
        return Err(Error::usage("input", message));
    }
    let open = vec![Hidden { chords: true, ..Hidden::default() }; bars as usize];
    let demands = Demands { range: 21..=108, ..Demands::new(heard.piece.meter, bars, heard.tempo) };
    Ok(Request {
        key,
        chord_tones: key.map(Key::pitch_classes),
        chords_per_bar: CHORDS_PER_BAR,
        given: Given::Around { piece: heard.piece.clone(), open, pitches: 0..=127 },
        ..Request::new(demands, seed)
    })
}
