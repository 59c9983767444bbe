//! `vary` by the writer of melodies: some bars anew, the more the larger the amount, the rest note for note.

use partita_models::melody::{MelodyConfig, melody_track, read};
use partita_nn::Rng;
use partita_score::Meter;
use partita_tokens::song::Part;

use super::melody_edit::{self, Asked};
use super::vary::Options;
use crate::deliver::Input;
use crate::error::{Error, Result};
use crate::options::{self, Playing};
use crate::report::CommandLine;
use crate::session::Session;
use crate::{latent, model};

/// Bars of 4/4 that the latent model of melodies inside the program takes.
const LATENT_BARS: u32 = 2;
/// A stream of the seed that no variation draws from.
const BARS: u64 = u64::MAX;

/// Whether the writer is to vary a file: `--model` names one, or no model was named and the one inside the program does
/// not do what is asked: the melody is longer than it takes or in another metre, or must obey.
///
/// # Errors
/// Options of the one with the other.
pub fn is_meant(options: &Options, input: &Input, session: &Session) -> Result<bool> {
    let named = session.model.as_ref().map(|folder| model::family(folder));
    let by_writer = named == Some(Some(MelodyConfig::FAMILY.to_owned()));
    let (latent, obeying) = (of_latent(options), of_writer(options));
    let refused =
        |field: &str, what: &str| Err(Error::usage(field, format!("{field} must be left out with {what}")));
    match (latent, obeying) {
        (Some(field), _) if by_writer => refused(field, "a writer of melodies, which has nothing for it"),
        (_, Some(field)) if named.is_some() && !by_writer => {
            refused(field, "a MusicVAE, which has nothing for it")
        }
        (Some(_), Some(field)) => refused(field, "a MusicVAE, which has nothing for it"),
        (Some(field), None) if options.reading.given().is_none() && is_long(input) => refused(
            field,
            "a melody longer than two bars unless --model names a MusicVAE: the writer varies it",
        ),
        (Some(_), None) => Ok(false),
        (None, _) if by_writer => Ok(true),
        (None, _) if named.is_some() => Ok(false),
        (None, Some(_)) => Ok(true),
        (None, None) => Ok(is_long(input)),
    }
}

/// Whether there is a melody that the latent model inside the program would cut.
fn is_long(input: &Input) -> bool {
    if latent::usual(input) != "melody-2bar" {
        return false;
    }
    // A melody that cannot be read (its metre changes) is told so by the writer; a MusicVAE would not look at the rest.
    let Ok(heard) = read(&input.score, None) else { return melody_track(&input.score).is_some() };
    let length = heard.piece.cells_per_bar();
    let line = heard.piece.part(Part::Melody);
    let first = line.first().map_or(0, |note| note.onset / length);
    heard.piece.meter != Meter::COMMON || heard.piece.bars > first + LATENT_BARS
}

/// The first option that only a MusicVAE has something for.
fn of_latent(options: &Options) -> Option<&'static str> {
    let given = [("toward", !options.toward.is_empty()), ("away", !options.away.is_empty())];
    let own = given.into_iter().find(|(_, given)| *given).map(|(field, _)| field);
    own.or_else(|| options.reading.given()).or_else(|| options.drawing.of_latent())
}

/// The first option that only the writer has something for.
fn of_writer(options: &Options) -> Option<&'static str> {
    options.track.map(|_| "track").or_else(|| options.obeying.given())
}

/// Writes `--amount` of the bars anew, chosen by the seed.
///
/// # Errors
/// What cannot be read, demands that cannot be met.
pub fn run(options: &Options, session: &Session, input: Input) -> Result<()> {
    if !(0.0..=1.0).contains(&options.amount) {
        return Err(Error::usage("amount", format!("amount must be in [0, 1], got {}", options.amount)));
    }
    let heard = read(&input.score, options.track)?;
    let length = heard.piece.cells_per_bar();
    let mut begun: Vec<u32> = heard.piece.part(Part::Melody).iter().map(|note| note.onset / length).collect();
    begun.dedup();
    let seed = options.drawing.seed.unwrap_or_else(options::random_seed);
    let bars = choose(begun, options.amount, &mut Rng::new(seed, BARS));
    let mut playing = Playing::usual(options.variations, seed);
    playing.temperature = options.drawing.temperature.unwrap_or(playing.temperature);
    let mut command = CommandLine::new(&["vary"]);
    command.word(&options.input.to_string());
    command.option("amount", options.amount);
    let asked = Asked {
        input,
        track: options.track,
        obeying: &options.obeying,
        playing: &playing,
        echo: |playing, seed, command| {
            command.option("variations", playing.variations);
            command.option("seed", seed);
            command.option("temperature", playing.temperature);
        },
        style: "any",
        files: &options.files,
        session,
        command,
    };
    melody_edit::vary(asked, &bars)
}

/// A share of bars, rising; at least one of any share but 0. A larger share has the bars of a smaller one and more.
fn choose(mut bars: Vec<u32>, share: f64, rng: &mut Rng) -> Vec<u32> {
    for last in (1..bars.len()).rev() {
        bars.swap(last, rng.below(last as u64 + 1) as usize);
    }
    let least = usize::from(share > 0.0);
    bars.truncate(((share * bars.len() as f64).round() as usize).max(least));
    bars.sort_unstable();
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_bars_is_rounded_and_grows_by_adding_bars() {
        let chosen = |share: f64| choose((0..8).collect(), share, &mut Rng::new(5, BARS));
        let lengths = [0.0, 0.01, 0.25, 0.5, 0.95, 1.0].map(|share| chosen(share).len());
        assert_eq!(lengths, [0, 1, 2, 4, 8, 8]);
        assert!(chosen(0.25).iter().all(|bar| chosen(0.5).contains(bar)));
        assert!(chosen(0.5).is_sorted());
        let others = choose((0..8).collect(), 0.5, &mut Rng::new(6, BARS));
        assert_ne!(others, chosen(0.5));
        assert_eq!(choose(vec![], 1.0, &mut Rng::new(5, BARS)), Vec::<u32>::new());
    }
}
