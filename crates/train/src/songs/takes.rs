//! What a writer makes of the requests that held-out songs stand for, beside these songs, as scores to be measured.

use std::ops::ControlFlow;

use partita_models::melody::{Error, Harmony, Heard, Lead, Request, Writer};
use partita_models::stage::Player;
use partita_score::Score;
use partita_score::demands::Demands;
use partita_score::harmony::{Key, Mode, NoteName};
use partita_tokens::song::{PITCHES, Part, Piece};

use super::collection::{STYLES, Song, Songs};
use crate::evaluate::evenly;
use crate::groove::Split;

/// Longer songs are cut: a writer has learned to write as much as this at once.
const MOST_BARS: u32 = 32;
/// Where none is written down.
const TEMPO: f64 = 110.0;

/// Two sets of melodies without their chords.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Takes {
    /// Songs of the test split, each once.
    pub held_out: Vec<Score>,
    /// Each with the bars, metre, key, tempo and style of one of them.
    pub written: Vec<Score>,
}

/// Writes `count` lead sheets after songs that lie evenly in the test split, which come again once all have had their
/// turn. They are sampled as users get them. `watch` hears how many are written.
///
/// # Errors
/// What the model says; [`Error::Cancelled`] when `watch` breaks.
pub fn takes(
    songs: &Songs,
    writer: &Writer,
    player: &dyn Player,
    count: usize,
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Takes, Error> {
    let all: Vec<&Song> =
        songs.split(Split::Test).filter(|song| !song.piece.part(Part::Melody).is_empty()).collect();
    let chosen: Vec<&Song> = evenly(&all, count).copied().collect();
    let mut takes = Takes::default();
    for song in &chosen {
        takes.held_out.push(score(opening(song), song));
    }
    for (index, song) in chosen.iter().cycle().take(count).enumerate() {
        let request = request(song, writer, index as u64);
        let leads = writer.write(player, &request, &mut |_| watch(index))?;
        takes.written.extend(leads.into_iter().map(|lead| score(lead.piece, song)));
    }
    // Of the last one nobody has heard yet; it is too late to stop.
    let _ = watch(count);
    Ok(takes)
}

fn opening(song: &Song) -> Piece {
    song.piece.window(0, song.piece.bars.min(MOST_BARS))
}

fn tempo(song: &Song) -> f64 {
    song.tempo.unwrap_or(TEMPO).clamp(10.0, 400.0)
}

fn key(song: &Song) -> Key {
    let (tonic, minor) = song.key;
    let (lowest, mode) = if minor { (-2, Mode::Minor) } else { (-5, Mode::Major) };
    Key::new(NoteName::in_window(tonic, lowest), mode)
}

fn request(song: &Song, writer: &Writer, seed: u64) -> Request {
    let bars = song.piece.bars.min(MOST_BARS);
    let demands = Demands { range: PITCHES, ..Demands::new(song.piece.meter, bars, tempo(song)) };
    let style = song.style.and_then(|index| STYLES.get(index as usize));
    let known = style.filter(|style| writer.config.styles.iter().any(|own| own == *style));
    Request {
        key: Some(key(song)),
        style: known.map(|style| (*style).to_owned()),
        harmony: if song.has_chords { Harmony::Written } else { Harmony::None },
        ..Request::new(demands, seed)
    }
}

/// The melody alone, in the key and tempo of `song`.
fn score(piece: Piece, song: &Song) -> Score {
    let (tempo, key) = (tempo(song), key(song));
    let chords = Vec::new();
    let heard = Heard { piece, chords, track: 0, sources: Vec::new(), tempo, key: Some(key) };
    Lead::from(heard).score(Some(key), tempo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use partita_kernels::Pool;
    use partita_models::stage::Compute;
    use partita_score::metrics::Metric;
    use partita_score::{Meter, Tick};
    use partita_tokens::song::PieceNote;

    fn song(index: u32, split: Split) -> Song {
        let meter =
            if index.is_multiple_of(2) { Meter::COMMON } else { Meter { numerator: 3, denominator: 4 } };
        let note = |i: u32| PieceNote { onset: 12 * i, end: 12 * i + 12, pitch: 60 + (index + i) as u8 % 7 };
        let bars = 2 + index;
        Song {
            name: index.to_string(),
            split,
            piece: Piece {
                meter,
                bars,
                parts: [(0..6).map(note).collect(), vec![], vec![]],
                ..Piece::default()
            },
            key: (index as u8 % 12, index.is_multiple_of(3)),
            tempo: (index != 4).then_some(90.0),
            style: Some(index % 10),
            has_chords: index != 5,
            opening: true,
            closing: true,
        }
    }

    fn written(count: usize, watch: &mut dyn FnMut(usize) -> ControlFlow<()>) -> Result<Takes, Error> {
        let test = (0..6).map(|index| song(index, Split::Test));
        let all = test.chain([song(30, Split::Train)]).collect();
        let songs = Songs { collections: vec![all], split_hash: String::new() };
        let writer = Writer::untrained(16, 1, 2, 7).expect("valid sizes");
        let path = partita_kernels::Path::from_env().expect("known kernels");
        let compute = Compute { pool: Arc::new(Pool::new(1).expect("a pool")), path };
        takes(&songs, &writer, &compute, count, watch)
    }

    #[test]
    fn a_take_has_the_metre_key_tempo_and_no_more_bars_than_its_song() {
        let mut heard = Vec::new();
        let takes = written(8, &mut |done| {
            heard.push(done);
            ControlFlow::Continue(())
        });
        let takes = takes.expect("it writes");
        assert_eq!((takes.held_out.len(), takes.written.len()), (6, 8));
        for (index, take) in takes.written.iter().enumerate() {
            let song = &takes.held_out[index % 6];
            assert_eq!((&take.meters, &take.keys, &take.tempos), (&song.meters, &song.keys, &song.tempos));
            assert_eq!((take.tracks.len(), song.tracks.len()), (1, 1));
            let bars = 2 + (index as u32 % 6);
            assert!(take.meters.bar_starts(take.end().max(Tick(1)), take.ppq).len() as u32 <= bars);
        }
        assert!(takes.held_out.iter().all(|song| Metric::PitchInScaleRate.of(song).is_some()));
        assert!(heard.is_sorted() && heard.last() == Some(&8), "{heard:?}");
    }

    #[test]
    fn fewer_takes_than_songs_follow_songs_from_all_over_the_split() {
        let go = &mut |_| ControlFlow::Continue(());
        let (some, all) = (written(2, go).expect("it writes"), written(6, go).expect("it writes"));
        assert_eq!(some.held_out, [all.held_out[0].clone(), all.held_out[3].clone()]);
        assert_eq!(written(0, go).expect("nothing is written"), Takes::default());
    }

    #[test]
    fn writing_can_be_stopped() {
        assert!(matches!(written(4, &mut |_| ControlFlow::Break(())), Err(Error::Cancelled)));
    }
}
