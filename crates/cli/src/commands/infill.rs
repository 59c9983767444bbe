//! `infill`: some bars and drums of a MIDI file anew, the rest note for note.

use clap::Args;
use partita_models::drums::{Common, Infill, Lanes, Style};
use partita_score::picture::drum_grid;
use partita_score::{DrumClass, DrumPattern, edit};

use super::melody_edit::{self, Asked};
use crate::deliver::{Files, Input, Sound};
use crate::error::{Error, Result};
use crate::obey::{self, Obeying, Pitches};
use crate::options::{self, BarRange, LaneList, Playing};
use crate::output::Target;
use crate::report::CommandLine;
use crate::session::{Clock, Session};
use crate::takes::{self, Played};
use crate::{model, progress};

#[derive(Args, Debug)]
pub struct Options {
    /// Music file with drums on channel 10 or with a melody, - for stdin
    #[arg(value_name = "IN")]
    input: Target,
    /// Bars to play anew, the first is 1; all if left out
    #[arg(long, value_name = "FIRST-LAST", value_parser = options::bar_range, allow_hyphen_values = true)]
    bars: Option<BarRange>,
    /// Drums to play anew, as in hihat,ride
    #[arg(long, value_parser = options::lanes, default_value_t)]
    lanes: LaneList,
    /// A style, `any`, or a profile in a YAML file; a profile gives its base style, kit and density here, not its timing or
    /// fixed strokes
    #[arg(long, default_value = "any", value_name = "NAME|FILE.yaml")]
    style: String,
    /// Write this track as a melody anew, the first is 1; done for files without drums too
    #[arg(long, value_parser = options::track, allow_negative_numbers = true)]
    track: Option<usize>,
    /// Of a melody, only notes in this range, as in 60-72
    #[arg(long, value_name = "LOW-HIGH", value_parser = obey::pitches, allow_hyphen_values = true)]
    pitches: Option<Pitches>,
    #[command(flatten)]
    obeying: Obeying,
    #[command(flatten)]
    playing: Playing,
    #[command(flatten)]
    files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let input = Input::read(&options.input)?;
    if melody_edit::is_meant(&input, options.track) {
        return melody(options, session, input);
    }
    melody_edit::no_melody(&options.obeying, &[("pitches", options.pitches.is_some())])?;
    let drums = input.drums()?;
    let bars = options.bars.clone().unwrap_or(BarRange { bars: 0..drums.pattern.bars });
    if bars.bars.end > drums.pattern.bars {
        let message = format!("bars must be in 1-{}, got {bars}", drums.pattern.bars);
        return Err(Error::usage("bars", message));
    }
    let drummer = model::drummer(session)?;
    let style = model::style(&drummer, &options.style)?;
    let lanes = open_lanes(&options.lanes, &style)?;
    clock.lap("load");
    let sound = Sound::of_style(&style);
    let playing = &options.playing;
    let mut delivery = options.files.plan(playing.variations, sound, session.json)?;
    let seed = playing.seed.unwrap_or_else(options::random_seed);
    let request = Infill {
        common: Common {
            style: style.clone(),
            seed,
            sampling: playing.sampling(),
            density: playing.density,
            lanes,
            velocities: playing.velocity.0.clone(),
        },
        pattern: drums.pattern.clone(),
        bars: bars.bars.clone(),
        variations: playing.variations,
    };
    let played = progress::watch(session, |watch| drummer.infill(&compute, &request, watch))?;
    clock.lap("generate");
    let hits = drums.pattern.hits.iter();
    let removed: Vec<_> = hits
        .clone()
        .zip(&drums.sources)
        .filter(|(hit, _)| request.opens(hit))
        .map(|(_, place)| *place)
        .collect();
    let kept: Vec<_> = hits.filter(|hit| !request.opens(hit)).copied().collect();
    let mut shown = Vec::with_capacity(played.len());
    for (index, take) in played.iter().enumerate() {
        let score = edit::replace_hits(&input.score, &removed, &take.pattern.hits);
        let mut whole = DrumPattern { hits: [&kept[..], &take.pattern.hits].concat(), ..drums.pattern };
        whole.sort();
        delivery.write(index, &score, || drum_grid(&whole), None)?;
        shown.push(whole.slice_bars(bars.bars.clone())?);
    }
    clock.lap("render");
    let mut command = CommandLine::new(&["infill"]);
    command.word(&options.input.to_string());
    command.session(session);
    command.option("bars", &bars);
    command.option("lanes", &options.lanes);
    command.option("style", &options.style);
    playing.echo(seed, &mut command);
    options.files.echo(sound, &mut command);
    let style = &style.name;
    let bars = format!("bars {bars} of {}", drums.pattern.bars);
    let takes = &played;
    let shown = &shown;
    takes::finish(Played {
        session,
        drummer: &drummer,
        style,
        seed,
        bars,
        takes,
        shown,
        command,
        delivery,
        clock,
    })
}

fn melody(options: &Options, session: &Session, input: Input) -> Result<()> {
    let mut command = CommandLine::new(&["infill"]);
    command.word(&options.input.to_string());
    command.maybe("bars", options.bars.as_ref());
    command.maybe("pitches", options.pitches.as_ref());
    let Options { track, obeying, playing, files, style, .. } = options;
    melody_edit::no_drums(playing, &[("lanes", !options.lanes.is_all())])?;
    command.option("style", style);
    let (track, echo) = (*track, Playing::echo_tokens);
    let asked = Asked { input, track, obeying, playing, echo, style, files, session, command };
    melody_edit::infill(asked, options.bars.clone().map(|bars| bars.bars), options.pitches.as_ref())
}

/// Drums that are asked for and that the style can play: the strokes of any other would be lost for good.
fn open_lanes(asked: &LaneList, style: &Style) -> Result<Lanes> {
    let kit = style.lanes();
    let lanes: Lanes = std::array::from_fn(|index| asked.lanes[index] && kit[index]);
    if lanes.contains(&true) {
        return Ok(lanes);
    }
    let played = (0..kit.len()).filter(|&index| kit[index]).filter_map(DrumClass::from_index);
    let names = played.map(DrumClass::name).collect::<Vec<_>>().join(", ");
    let message = format!("lanes must name drums of style {} ({names}), got {asked}", style.name);
    Err(Error::usage("lanes", message))
}
