//! `encode` and `decode`: a piece as a point, and a point as a piece.

use std::io::Read;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::Place;
use crate::deliver::{Files, Input, Sound};
use crate::error::{Error, Kind, Result};
use crate::latent::{self, Drawing, Reading, Told};
use crate::output::{Staging, Target};
use crate::report::{CommandLine, count};
use crate::session::{Clock, Session};

/// The largest file of points.
const MAX_POINTS: u64 = 64 << 20;

#[derive(Args, Debug)]
pub struct Encode {
    /// MIDI file to encode, - for stdin
    #[arg(value_name = "IN.mid")]
    input: Target,
    /// JSON file to write instead of showing it, for `decode`
    #[arg(short, long, value_name = "Z.json")]
    output: Option<Target>,
    /// Replace a file that is already there
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Debug)]
pub struct Decode {
    /// JSON file with z: what `encode` and `--json` of the other commands write, or a list of numbers; - for stdin
    #[arg(value_name = "Z.json")]
    input: Target,
    #[command(flatten)]
    drawing: Drawing,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    files: Files,
}

pub fn encode(options: &Encode, session: &Session) -> Result<()> {
    let input = Input::read(&options.input)?;
    let model = latent::open(session, &options.place, latent::usual(&input))?;
    let example = options.reading.example(&model, &input)?;
    let posterior = model.encode(&mut latent::compute()?, std::slice::from_ref(&example))?.remove(0);
    let object = json!({
        "model": latent::about(&model),
        "tempo": example.tempo,
        "bar": example.bar,
        "examples": example.of,
        "z": posterior.mu,
        "mu": posterior.mu,
        "sigma": posterior.sigma,
    });
    let Some(target) = &options.output else {
        return session.answer(&object, &format!("{object}\n"), false);
    };
    let mut staging = Staging::new(options.force);
    let slot = staging.add("output", target)?;
    staging.write(slot, format!("{object}\n").as_bytes())?;
    let has_stdout = staging.has_stdout();
    staging.commit()?;
    let bar = match example.of {
        1 => String::new(),
        of => format!(" from bar {}, one of {} in the file", example.bar, count(of, "example")),
    };
    let values = posterior.mu.len();
    session.answer(&object, &format!("{values} values{bar}\nwrote  {target}\n"), has_stdout)
}

/// The ways in which points may be written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Points {
    One(Vec<f32>),
    Many(Vec<Vec<f32>>),
    Pieces { pieces: Vec<Point> },
    Object(Point),
}

#[derive(Deserialize)]
struct Point {
    z: Vec<f32>,
    tempo: Option<f64>,
}

impl Points {
    fn read(target: &Target) -> Result<(Vec<Vec<f32>>, Option<f64>)> {
        let mut bytes = Vec::new();
        let name = target.to_string();
        let read = match target {
            Target::Stdout => std::io::stdin().lock().take(MAX_POINTS).read_to_end(&mut bytes),
            Target::File(path) => {
                std::fs::File::open(path).and_then(|file| file.take(MAX_POINTS).read_to_end(&mut bytes))
            }
        };
        read.map_err(|error| Error::file("input", "read", std::path::Path::new(&name), &error))?;
        let points: Points = serde_json::from_slice(&bytes).map_err(|_| {
            let allowed = "a list of numbers, a list of such lists, or an object with \"z\" or \"pieces\"";
            Error::new(Kind::Failed, "input", format!("{name}: z must be {allowed}, got other JSON or none"))
        })?;
        Ok(match points {
            Points::One(z) => (vec![z], None),
            Points::Many(points) => (points, None),
            Points::Pieces { pieces } => (pieces.into_iter().map(|piece| piece.z).collect(), None),
            Points::Object(Point { z, tempo }) => {
                (vec![z], tempo.filter(|tempo| (1.0..=1000.0).contains(tempo)))
            }
        })
    }
}

pub fn decode(options: &Decode, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let (points, tempo) = Points::read(&options.input)?;
    if points.is_empty() {
        return Err(Error::usage("input", "z must be a point or more, got none"));
    }
    let model = latent::open(session, &options.place, "melody-2bar")?;
    let mut compute = latent::compute()?;
    let settings = options.drawing.settings(&model, tempo, 0.0)?;
    clock.lap("load");
    let mut delivery = options.files.plan(points.len(), Sound::Acoustic, session.json)?;
    let played =
        latent::watched(session, |watch| model.decode(&mut compute, points, &settings.playing(), watch))?;
    clock.lap("generate");
    let names: Vec<String> = (1..=played.len()).map(|number| number.to_string()).collect();
    latent::write(&mut delivery, &played, &names, None)?;
    clock.lap("render");
    let mut command = CommandLine::new(&["decode"]);
    command.word(&options.input.to_string());
    command.session(session);
    settings.echo(&mut command);
    options.files.echo(Sound::Acoustic, &mut command);
    let (played, seed, more) = (&played[..], settings.seed, json!({}));
    latent::finish(Told { session, model: &model, seed, played, names, more, command, delivery, clock })
}
