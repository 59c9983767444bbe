//! `generate song`: melody, chords, bass and drums together, in one file and as stems.

use std::path::PathBuf;

use clap::Args;
use partita_models::arrange::{BassRule, CompRule, Make};
use partita_models::melody;
use partita_models::song::{Band, Feel, Request, Song, write_song};
use partita_models::stage::Player;
use partita_nn::Rng;
use partita_score::harmony::Key;
use partita_score::{Meter, Score};
use serde_json::json;

use crate::deliver::{Files, Sound};
use crate::error::{Error, Result};
use crate::obey::{Harmonic, Obeying, Pitches};
use crate::options::{self, Tokens};
use crate::report::{self, CommandLine};
use crate::session::{Clock, Session};
use crate::{leads, model, parts, progress};

#[derive(Args, Debug)]
pub struct Options {
    /// Style of the drums, which the others follow, or a profile in a YAML file; see `partita styles list`
    #[arg(long, default_value = "pop", value_name = "NAME|FILE.yaml")]
    style: String,
    /// Bars to write, 1..=32
    #[arg(long, default_value_t = 16, value_parser = options::bars, allow_negative_numbers = true)]
    bars: u32,
    /// Time signature, as in 7/8
    #[arg(long, default_value_t = Meter::COMMON, value_parser = options::time, allow_hyphen_values = true)]
    time: Meter,
    /// Beats per minute, 40..=300; the style's own if left out
    #[arg(long, value_parser = options::tempo, allow_negative_numbers = true)]
    tempo: Option<f64>,
    /// How the bass is played: a rule, or `model` for a network, the bundled one unless --model names another; the rule
    /// that goes with the style if left out
    #[arg(long, value_parser = parts::bass_maker, value_name = "RULE|model")]
    bass: Option<Make<BassRule>>,
    /// How the chords are played, as the bass
    #[arg(long, value_parser = parts::comping_maker, value_name = "RULE|model")]
    comping: Option<Make<CompRule>>,
    /// Leave parts out, as in bass,drums
    #[arg(long, value_delimiter = ',', value_parser = PARTS)]
    without: Vec<String>,
    /// End with a fill of the drums
    #[arg(long)]
    fill: bool,
    /// No swing, whatever the style
    #[arg(long)]
    straight: bool,
    /// Folder for a WAV file of each track
    #[arg(long, value_name = "DIR")]
    stems: Option<PathBuf>,
    #[command(flatten)]
    obeying: Obeying,
    #[command(flatten)]
    harmony: Harmonic,
    #[command(flatten)]
    tokens: Tokens,
    #[command(flatten)]
    files: Files,
}

/// All that a song can have.
const PARTS: [&str; 4] = ["melody", "chords", "bass", "drums"];

/// A stream of the seed that no variation draws from.
pub const BEFORE: u64 = u64::MAX;

pub fn run(options: &Options, session: &Session) -> Result<()> {
    if PARTS.iter().all(|part| options.without.iter().any(|name| name == part)) {
        let message =
            format!("without must leave one of {}, got {}", PARTS.join(", "), options.without.join(","));
        return Err(Error::usage("without", message));
    }
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let writer = model::writer_beside(session)?;
    let asks_model = options.bass == Some(Make::Model) || options.comping == Some(Make::Model);
    let arranger = if asks_model { Some(model::arranger(session)?) } else { None };
    let drummer = model::drummer(&Session { model: None, ..session.clone() })?;
    let style = model::style(&drummer, &options.style)?;
    clock.lap("load");
    let sound = Sound::of_style(&style);
    let tokens = &options.tokens;
    let mut delivery = options.files.plan(tokens.variations, sound, session.json)?;
    let seed = tokens.seed.unwrap_or_else(options::random_seed);
    let key = options.obeying.key(Some(Key::default()))?;
    let tempo = options.tempo.unwrap_or_else(|| style.default_tempo());
    let mut demands = options.obeying.demands(key, Pitches(57..=81), options.time, options.bars, tempo)?;
    let mut rng = Rng::new(seed, BEFORE);
    demands.chords = options.harmony.chords(key, &demands, &mut || rng.f64())?;
    if options.harmony.is_none() {
        return Err(Error::usage(
            "no-chords",
            "no-chords must be left to generate melody: a band needs chords",
        ));
    }
    let lead = melody::Request {
        key,
        chord_tones: key.map(Key::pitch_classes),
        sampling: tokens.sampling()?,
        variations: tokens.variations,
        ..melody::Request::new(demands, seed)
    };
    let mut request = Request::new(style.clone(), lead);
    request.fill = options.fill;
    request.bass = options.bass.unwrap_or(request.bass);
    request.chords = options.comping.unwrap_or(request.chords);
    let leaves = |part: &str| options.without.iter().any(|name| name == part);
    if leaves("bass") {
        request.bass = Make::Keep;
    }
    if leaves("chords") {
        request.chords = Make::Keep;
    }
    if options.straight {
        request.feel = Feel::Straight;
    }
    let band = Band {
        arranger: arranger.as_ref().map(|arranger| (arranger, &compute as &dyn Player)),
        drummer: (&drummer, &compute),
    };
    let mut songs = progress::song(session, |watch| write_song((&writer, &compute), &band, &request, watch))?;
    let stays = |part: &str| !options.without.iter().any(|name| part.eq_ignore_ascii_case(name));
    for song in &mut songs {
        song.score.tracks.retain(|track| stays(&track.name));
        song.made.retain(|(part, _)| stays(part));
    }
    clock.lap("generate");
    if let Some(folder) = &options.stems {
        let scores: Vec<&Score> = songs.iter().map(|song| &song.score).collect();
        parts::write_stems(folder, &scores, &options.files, sound, &mut delivery)?;
    }
    for (index, song) in songs.iter().enumerate() {
        delivery.write(index, &song.score, || parts::rolls(&song.score), None)?;
    }
    clock.lap("render");
    let command = echo(options, session, &request, seed, sound);
    let (files, has_stdout) = delivery.summary();
    delivery.commit()?;
    clock.lap("write");
    let takes = songs.iter().map(take).collect::<Result<Vec<_>>>()?;
    let object = json!({
        "command": command.to_string(),
        "seed": seed,
        "style": style.name,
        "key": key.map(|key| key.to_string()),
        "tempo": report::round(tempo, 3),
        "time": options.time.to_string(),
        "bars": options.bars,
        "takes": takes,
        "files": files,
        "timing_ms": clock.to_json(),
    });
    let mut text = String::new();
    if !session.quiet || (files.is_empty() && !has_stdout) {
        for song in &songs {
            text += &leads::sheet(&song.lead, key);
            for (part, made) in &song.made {
                text += &format!("{part:7} {made}\n");
            }
        }
    }
    text += &report::ending(session, &files, &[("seed", &seed.to_string())], &command);
    session.answer(&object, &text, has_stdout)
}

fn take(song: &Song) -> Result<serde_json::Value> {
    let made: serde_json::Map<_, _> =
        song.made.iter().map(|(part, made)| ((*part).to_owned(), made.to_string().into())).collect();
    Ok(json!({
        "variation": song.variation,
        "notes": leads::notes(&song.score)?,
        "made": made,
        "nats": report::round(song.lead.nats, 3),
        "cost_nats": report::round(song.lead.cost, 3),
    }))
}

fn echo(options: &Options, session: &Session, request: &Request, seed: u64, sound: Sound) -> CommandLine {
    let mut command = CommandLine::new(&["generate", "song"]);
    command.session(session);
    command.option("style", &options.style);
    command.option("bars", options.bars);
    command.option("time", options.time);
    command.option("tempo", request.lead.demands.tempo);
    command.maybe("bass", options.bass.map(Make::name));
    command.maybe("comping", options.comping.map(Make::name));
    if !options.without.is_empty() {
        command.option("without", options.without.join(","));
    }
    command.flag("fill", options.fill);
    command.flag("straight", options.straight);
    options.obeying.echo(request.lead.key, &request.lead.demands, &mut command);
    options.harmony.echo(&mut command);
    options.tokens.echo(seed, &mut command);
    options.files.echo_with_stems(sound, options.stems.as_deref(), &mut command);
    command
}
