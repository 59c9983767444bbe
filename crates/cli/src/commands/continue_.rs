//! `continue`: more bars after those of a MIDI file.

use clap::Args;
use partita_models::drums::{Common, Continue};
use partita_score::picture::drum_grid;
use partita_score::{Hit, Score, Tick, edit};

use super::melody_edit::{self, Asked};
use super::{Place, continue_gpt, continue_rnn};
use crate::deliver::{Files, Input, Sound};
use crate::error::{Error, Result};
use crate::obey::Obeying;
use crate::options::{self, LaneList, Playing};
use crate::output::Target;
use crate::report::CommandLine;
use crate::session::{Clock, Session};
use crate::takes::{self, Played};
use crate::{model, progress};

const MAX_TOKENS: usize = 1024;

#[derive(Args, Debug)]
pub struct Options {
    /// Music file with drums on channel 10 or with a melody, - for stdin
    #[arg(value_name = "IN")]
    pub input: Target,
    /// Bars to play on, 1..=32
    #[arg(long, default_value_t = 4, value_parser = options::bars, allow_negative_numbers = true)]
    pub bars: u32,
    /// Write the new bars without those before, of drums
    #[arg(long)]
    pub only_new: bool,
    /// A style, `any`, or a profile in a YAML file; a profile gives its base style, kit and density here, not its timing or
    /// fixed strokes
    #[arg(long, default_value = "any", value_name = "NAME|FILE.yaml")]
    pub style: String,
    /// Drums that may sound, as in kick,snare,hihat
    #[arg(long, value_parser = options::kit, default_value_t)]
    pub kit: LaneList,
    /// Make the last bar a fill
    #[arg(long)]
    pub fill: bool,
    /// Write on after this track as a melody, the first is 1; done for files without drums too
    #[arg(long, value_parser = options::track, allow_negative_numbers = true)]
    pub track: Option<usize>,
    /// New tokens after which a GPT-2 of MidiTok's tokens brings the piece to its end, 1..=65536
    #[arg(long, default_value_t = MAX_TOKENS, value_parser = options::max_tokens, allow_negative_numbers = true)]
    pub max_tokens: usize,
    #[command(flatten)]
    pub obeying: Obeying,
    #[command(flatten)]
    pub playing: Playing,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub files: Files,
}

pub fn run(options: &Options, session: &Session) -> Result<()> {
    if let Some(asked) = continue_rnn::asked_for(session) {
        return continue_rnn::run(options, session, asked);
    }
    if crate::midi_gpt::is_asked_for(session, &options.place) {
        return continue_gpt::run(options, session);
    }
    let mut clock = Clock::start();
    let compute = model::compute()?;
    let input = Input::read(&options.input)?;
    if melody_edit::is_meant(&input, options.track) {
        return melody(options, session, input);
    }
    no_tokens(options)?;
    melody_edit::no_melody(&options.obeying, &[])?;
    let mut before = input.drums()?.pattern;
    // The tempo that sounds where the new bars begin, which need not be that of the first stroke.
    before.tempo = input.score.tempos.bpm_at(tick(&input.score, before.steps()));
    let drummer = model::drummer(session)?;
    let style = model::style(&drummer, &options.style)?;
    clock.lap("load");
    let sound = Sound::of_style(&style);
    let playing = &options.playing;
    let mut delivery = options.files.plan(playing.variations, sound, session.json)?;
    let seed = playing.seed.unwrap_or_else(options::random_seed);
    let request = Continue {
        common: Common {
            style: style.clone(),
            seed,
            sampling: playing.sampling(),
            density: playing.density,
            lanes: options.kit.lanes,
            velocities: playing.velocity.0.clone(),
        },
        before,
        bars: options.bars,
        fill: options.fill,
        variations: playing.variations,
    };
    let played = progress::watch(session, |watch| drummer.continue_pattern(&compute, &request, watch))?;
    clock.lap("generate");
    let (start, steps) = (request.before.steps(), request.before.meter.steps_per_bar());
    for (index, take) in played.iter().enumerate() {
        let score = if options.only_new {
            take.pattern.to_score()
        } else {
            let moved = take.pattern.hits.iter().map(|hit| Hit { step: hit.step + start, ..*hit });
            let mut score = edit::replace_hits(&input.score, &[], &moved.collect::<Vec<_>>());
            edit::hold_meter(
                &mut score,
                request.before.meter,
                tick(&input.score, start + take.pattern.steps()),
            );
            score
        };
        delivery.write(index, &score, || drum_grid(&take.pattern), None)?;
    }
    clock.lap("render");
    let mut command = CommandLine::new(&["continue"]);
    command.word(&options.input.to_string());
    command.session(session);
    command.option("style", &options.style);
    command.option("bars", options.bars);
    command.flag("only-new", options.only_new);
    command.option("kit", &options.kit);
    command.flag("fill", options.fill);
    playing.echo(seed, &mut command);
    options.files.echo(sound, &mut command);
    let shown: Vec<_> = played.iter().map(|take| take.pattern.clone()).collect();
    let style = &style.name;
    let bars = format!("bars {}-{}, new", start / steps + 1, start / steps + options.bars);
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
    no_tokens(options)?;
    let kit = ("kit", !options.kit.is_all());
    melody_edit::no_drums(&options.playing, &[("only-new", options.only_new), ("fill", options.fill), kit])?;
    let mut command = CommandLine::new(&["continue"]);
    command.word(&options.input.to_string());
    command.option("bars", options.bars);
    let Options { track, obeying, playing, files, style, .. } = options;
    command.option("style", style);
    let (track, echo) = (*track, Playing::echo_tokens);
    let asked = Asked { input, track, obeying, playing, echo, style, files, session, command };
    melody_edit::go_on(asked, options.bars)
}

/// Refuses what only a GPT-2 has something for.
fn no_tokens(options: &Options) -> Result<()> {
    if options.max_tokens == MAX_TOKENS {
        return Ok(());
    }
    Err(Error::usage("max-tokens", "max-tokens must be left out without a GPT-2 that --model names"))
}

/// Where a step begins.
fn tick(score: &Score, step: u32) -> Tick {
    // The cast saturates.
    Tick((f64::from(step) * f64::from(score.ppq.get()) / 4.0).round() as u32)
}
