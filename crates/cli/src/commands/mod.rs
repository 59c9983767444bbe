//! Every command, one file each.

mod arrange;
mod audio;
mod bench;
mod chorale;
mod completions;
mod config;
mod continue_;
mod continue_gpt;
mod continue_rnn;
mod convert;
mod doctor;
mod drumify;
mod encode;
mod eval;
mod eval_accompaniment;
mod eval_chorales;
mod eval_melody;
mod eval_metrics;
mod eval_vae;
mod generate;
mod groove_transfer;
mod harmonize;
mod humanize;
mod infill;
mod inspect;
mod interpolate;
mod keys;
mod melody;
mod melody_edit;
mod midi;
mod models;
mod reduce;
mod render;
mod sample;
mod serve;
mod song;
mod styles;
mod tasks;
mod top;
mod train;
mod train_decoder;
mod train_vae;
mod vary;
mod vary_melody;
mod worker;

use clap::{Parser, Subcommand};

pub use models::place::Place;

use self::train_decoder::Music;
use self::train_vae::Vae;
use crate::error::Result;
use crate::session::Session;

/// Music on your own machine: drums, melodies and sound, generated, varied, humanized, rendered, served.
#[derive(Parser, Debug)]
#[command(name = "partita", version, max_term_width = 100, propagate_version = true)]
// Without a command the answer is one line, whatever the environment says.
#[command(args_override_self = true, arg_required_else_help = false)]
#[command(after_help = "Examples:
  partita generate drums --style funk --bars 4 -o funk.mid --wav funk.wav
  partita generate melody --key 'F# minor' --time 7/8 --bars 8 -o tune.mid
  partita generate audio --prompt 'dusty lo-fi hip hop' --seconds 30 -o lofi.wav
  partita humanize loop.mid --amount 0.8 -o played.mid
  partita interpolate a.mid b.mid --steps 7 -o way.mid --picture way.svg
  partita infill song.mid --bars 3-4 --lanes hihat,ride -o new.mid
  partita styles list
  partita serve")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    session: Session,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Play something new
    #[command(subcommand, arg_required_else_help = false)]
    Generate(Generate),
    /// Play on where a file ends: its drums, or its melody
    Continue(continue_::Options),
    /// Some bars and drums of a file anew, or bars and pitches of its melody; the rest stays note for note
    Infill(infill::Options),
    /// Chords for a melody, which stays note for note
    Harmonize(Box<harmonize::Options>),
    /// A piano and a bass for a melody and its chords, which stay note for note
    Arrange(Box<arrange::Options>),
    /// The melody and the chords of a piece, by rule
    Reduce(Box<reduce::Options>),
    /// Give the drums of a MIDI file a human touch: every note stays, time and velocity move
    Humanize(humanize::Options),
    /// The way from one piece to another, in steps
    Interpolate(Box<interpolate::Options>),
    /// Pieces near a given one, or on the way to others
    Vary(Box<vary::Options>),
    /// New bars from a MusicVAE
    Sample(Box<sample::Options>),
    /// A piece as a point of a model, z as JSON
    Encode(encode::Encode),
    /// Points of a model as pieces
    Decode(Box<encode::Decode>),
    /// Drums that go with the rhythm of any part
    Drumify(Box<drumify::Options>),
    /// Play one beat with the feel of another
    GrooveTransfer(Box<groove_transfer::Options>),
    /// Write a piece in other formats: MIDI, MusicXML, ABC, JSON, sound, pictures
    Convert(Box<convert::Options>),
    /// Turn a MIDI file into a WAV file
    Render(render::Options),
    /// Tell what is in a MIDI file
    Inspect(inspect::Options),
    /// The styles there are
    #[command(subcommand, arg_required_else_help = false)]
    Styles(styles::Command),
    /// The weights there are
    #[command(subcommand, arg_required_else_help = false)]
    Models(models::Command),
    /// Train weights of your own
    #[command(subcommand, arg_required_else_help = false)]
    Train(Train),
    /// Measure weights on performances they never saw
    #[command(subcommand, arg_required_else_help = false)]
    Eval(Eval),
    /// Measure the speed of this machine
    #[command(subcommand, arg_required_else_help = false)]
    Bench(bench::Command),
    /// Serve the API
    Serve(Box<serve::Options>),
    /// Take tasks from a queue that several machines share
    Worker(worker::Options),
    /// Watch a server at work
    Top(top::Options),
    /// What a server is doing
    #[command(subcommand, arg_required_else_help = false)]
    Tasks(tasks::Command),
    /// Who may use a server
    #[command(subcommand, arg_required_else_help = false)]
    Keys(keys::Command),
    /// The server's configuration
    #[command(subcommand, arg_required_else_help = false)]
    Config(config::Command),
    /// Tell whether everything is in order
    Doctor,
    /// Print a completion script for a shell
    Completions(completions::Options),
}

#[derive(Subcommand, Debug)]
enum Generate {
    /// A drum pattern in a style
    Drums(Box<generate::Options>),
    /// A melody with chords, in the key, metre, range and harmony asked for
    Melody(Box<melody::Options>),
    /// Four voices in the manner of Bach: new, or those that a melody or an unfinished chorale lacks
    Chorale(Box<chorale::Options>),
    /// A piece by a GPT-2 of MidiTok's tokens that --model names
    Midi(Box<midi::Options>),
    /// A song: melody, chords, bass and drums as tracks of one file, and as stems
    Song(Box<song::Options>),
    /// Sound from words
    Audio(Box<audio::Options>),
}

#[derive(Subcommand, Debug)]
enum Train {
    /// A drummer, on the Groove MIDI Dataset or a folder in its form
    Drums(train::Options),
    /// Four-part harmony, on Bach's chorales
    Chorales(train_decoder::Options),
    /// A writer of lead sheets, on OpenEWLD and the OpenScore Lieder
    Melody(train_decoder::Options),
    /// Basses and pianos under a melody, on the OpenScore Lieder
    Accompaniment(train_decoder::Options),
    /// Piano rolls as published tables measure them, on a file of bench/piano_rolls.py
    Rolls(train_decoder::Options),
    /// An autoencoder of two-bar melodies, on OpenEWLD, the OpenScore Lieder and Bach's chorales
    MelodyVae(train_vae::Options),
    /// An autoencoder of two-bar drum loops, on the Groove MIDI Dataset
    DrumsVae(train_vae::Options),
    /// An autoencoder that plays two bars of drums from their score, on the Groove MIDI Dataset
    GrooveVae(train_vae::Options),
    /// An autoencoder that plays two bars of drums to a tapped rhythm, on the Groove MIDI Dataset
    TapVae(train_vae::Options),
}

#[derive(Subcommand, Debug)]
enum Eval {
    /// A drummer, on the Groove MIDI Dataset or a folder in its form
    Drums(eval::Options),
    /// Four-part harmony: nats a token of Bach's chorales (Table C of Music Transformer)
    Chorales(eval_chorales::Harmony),
    /// A writer of basses and pianos, on songs it never saw
    Accompaniment(eval_accompaniment::Options),
    /// A writer of lead sheets, on songs it never saw
    Melody(eval_melody::Options),
    /// Piano rolls: joint nats a frame (Table A, Boulanger-Lewandowski et al. 2012)
    Rolls(eval_chorales::Rolls),
    /// An autoencoder of two-bar melodies
    MelodyVae(eval_vae::Options),
    /// An autoencoder of two-bar drum loops
    DrumsVae(eval_vae::Options),
    /// An autoencoder that plays two bars of drums from their score
    GrooveVae(eval_vae::Options),
    /// An autoencoder that plays two bars of drums to a tapped rhythm
    TapVae(eval_vae::Options),
}

/// Runs one command.
///
/// # Errors
/// What the command says; it decides the exit code.
pub fn run(cli: Cli) -> Result<()> {
    let session = &cli.session;
    match cli.command {
        Command::Generate(Generate::Drums(options)) => generate::run(&options, session),
        Command::Generate(Generate::Melody(options)) => melody::run(&options, session),
        Command::Generate(Generate::Chorale(options)) => chorale::run(&options, session),
        Command::Generate(Generate::Midi(options)) => midi::run(&options, session),
        Command::Generate(Generate::Song(options)) => song::run(&options, session),
        Command::Generate(Generate::Audio(options)) => audio::run(&options, session),
        Command::Continue(options) => continue_::run(&options, session),
        Command::Infill(options) => infill::run(&options, session),
        Command::Harmonize(options) => harmonize::run(&options, session),
        Command::Arrange(options) => arrange::run(&options, session),
        Command::Reduce(options) => reduce::run(&options, session),
        Command::Humanize(options) => humanize::run(&options, session),
        Command::Interpolate(options) => interpolate::run(&options, session),
        Command::Vary(options) => vary::run(&options, session),
        Command::Sample(options) => sample::run(&options, session),
        Command::Encode(options) => encode::encode(&options, session),
        Command::Decode(options) => encode::decode(&options, session),
        Command::Drumify(options) => drumify::run(&options, session),
        Command::GrooveTransfer(options) => groove_transfer::run(&options, session),
        Command::Convert(options) => convert::run(&options, session),
        Command::Render(options) => render::run(&options, session),
        Command::Inspect(options) => inspect::run(&options, session),
        Command::Styles(command) => styles::run(&command, session),
        Command::Models(command) => models::run(&command, session),
        Command::Train(Train::Drums(options)) => train::run(&options, session),
        Command::Train(Train::Melody(options)) => train_decoder::run(Music::Melody, &options, session),
        Command::Train(Train::Accompaniment(options)) => {
            train_decoder::run(Music::Accompaniment, &options, session)
        }
        Command::Train(Train::Chorales(options)) => train_decoder::run(Music::Chorales, &options, session),
        Command::Train(Train::Rolls(options)) => train_decoder::run(Music::Rolls, &options, session),
        Command::Train(Train::MelodyVae(options)) => train_vae::run(Vae::Melodies, &options, session),
        Command::Train(Train::DrumsVae(options)) => train_vae::run(Vae::DrumLoops, &options, session),
        Command::Train(Train::GrooveVae(options)) => train_vae::run(Vae::Grooves, &options, session),
        Command::Train(Train::TapVae(options)) => train_vae::run(Vae::Taps, &options, session),
        Command::Eval(Eval::TapVae(options)) => eval_vae::run(Vae::Taps, &options, session),
        Command::Eval(Eval::Drums(options)) => eval::run(&options, session),
        Command::Eval(Eval::Melody(options)) => eval_melody::run(&options, session),
        Command::Eval(Eval::Accompaniment(options)) => eval_accompaniment::run(&options, session),
        Command::Eval(Eval::Chorales(options)) => eval_chorales::chorales(&options, session),
        Command::Eval(Eval::Rolls(options)) => eval_chorales::rolls(&options, session),
        Command::Eval(Eval::MelodyVae(options)) => eval_vae::run(Vae::Melodies, &options, session),
        Command::Eval(Eval::DrumsVae(options)) => eval_vae::run(Vae::DrumLoops, &options, session),
        Command::Eval(Eval::GrooveVae(options)) => eval_vae::run(Vae::Grooves, &options, session),
        Command::Bench(command) => bench::run(&command, session),
        Command::Serve(options) => serve::run(&options, session),
        Command::Worker(options) => worker::run(&options, session),
        Command::Top(options) => top::run(&options, session),
        Command::Tasks(command) => tasks::run(&command, session),
        Command::Keys(command) => keys::run(&command, session),
        Command::Config(command) => config::run(&command, session),
        Command::Doctor => doctor::run(session),
        Command::Completions(options) => completions::run(&options, session),
    }
}
