//! Whether an accompaniment obeys its request, asked of the finished piece alone; and requests drawn to ask it of.

use partita_nn::Rng;
use partita_score::Meter;
use partita_score::demands::{PitchSet, RhythmGrid};
use partita_score::harmony::{Key, PitchClasses};
use partita_tokens::song::{ChordClass, Part, PartRules, Piece, PieceNote, Tones};

use super::{Arrangement, BassAt, BassRule, CompRule, Make, Manner, Request};

const METERS: [&str; 9] = ["4/4", "3/4", "2/4", "6/8", "5/4", "7/8", "12/8", "2/2", "3/8"];

/// What is broken, in words.
pub fn violations(request: &Request, found: &Arrangement) -> Vec<String> {
    let (given, piece) = (&request.piece, &found.piece);
    let length = piece.cells_per_bar();
    let mut broken = Vec::new();
    let mut check = |holds: bool, what: String| {
        if !holds {
            broken.push(what);
        }
    };
    check(
        (given.bars, given.meter, &given.chords) == (piece.bars, piece.meter, &piece.chords),
        "frame".into(),
    );
    check(given.part(Part::Melody) == piece.part(Part::Melody), "melody".into());
    for (part, made, rules) in [
        (Part::Bass, request.bass != Make::Keep, &request.bass_rules),
        (Part::Piano, request.piano != Make::Keep, &request.piano_rules),
    ] {
        let open = |note: &&PieceNote| made && request.bars.contains(&(note.onset / length));
        let (fresh, kept): (Vec<&PieceNote>, Vec<&PieceNote>) = piece.part(part).iter().partition(open);
        let expected: Vec<_> = given.part(part).iter().filter(|note| !open(note)).collect();
        check(kept == expected, format!("{part:?}: kept {kept:?} of {expected:?}"));
        for note in &fresh {
            let class = piece.chord_at(note.onset);
            let symbol = found.chords.iter().rfind(|(at, _)| *at <= note.onset);
            let written = symbol.and_then(|(_, chord)| chord.as_ref()).filter(|_| part == Part::Bass);
            let written = written
                .map_or(PitchClasses::EMPTY, |chord| PitchClasses::EMPTY.with(chord.bass().pitch_class()));
            let fits = (rules.pitches(class) | rules.anchored(class, written)).contains(note.pitch);
            check(fits, format!("{part:?}: {note:?} is none of its pitches"));
            check(rules.grid.has(note.onset % length), format!("{part:?}: {note:?} is off {}", rules.grid));
            let end = request.bars.end * length;
            check(note.onset < note.end && note.end <= end, format!("{part:?}: {note:?} rings past {end}"));
            let before = kept.iter().filter(|it| it.onset < note.onset && it.end > note.onset);
            let ringing = fresh.iter().filter(|it| it.onset <= note.onset && it.end > note.onset);
            let mut pitches: Vec<u8> = before.chain(ringing).map(|it| it.pitch).collect();
            pitches.sort_unstable();
            pitches.dedup();
            let most = usize::from(rules.polyphony);
            check(pitches.len() <= most, format!("{part:?}: {pitches:?} sound at {}", note.onset));
        }
        for bar in request.bars.clone() {
            let inside = |cell: u32| (bar * length..(bar + 1) * length).contains(&cell);
            let changes = found.chords.iter().filter(|(at, _)| part == Part::Bass && inside(*at)).count();
            let count = fresh.iter().filter(|note| inside(note.onset)).count();
            let most = (rules.notes_per_bar as usize).max(changes);
            check(count <= most, format!("{part:?}: {count} notes in bar {bar}"));
        }
    }
    let busy = given.part(Part::Bass).iter().filter(|note| note.onset < request.bars.start * length);
    let busy = busy.map(|note| note.end).max().unwrap_or(0);
    if request.bass != Make::Keep && request.bass_at == BassAt::Roots {
        let mut before = None;
        for (at, chord) in &found.chords {
            let same = before == Some(chord);
            before = Some(chord);
            let (bar, on) = (at / length, request.bass_rules.grid.has(at % length));
            let Some(chord) = chord.as_ref().filter(|_| on && !same && *at >= busy) else { continue };
            if request.bars.contains(&bar) {
                let note = piece.part(Part::Bass).iter().find(|note| note.onset == *at);
                let root = note.is_some_and(|note| note.pitch % 12 == chord.bass().pitch_class());
                check(root, format!("{note:?} begins {chord} at {at}"));
            }
        }
    }
    broken
}

fn below(rng: &mut Rng, bound: u32) -> u32 {
    rng.below(u64::from(bound)) as u32
}

/// Chords and a melody, one in three with a bass and a piano.
pub fn random_piece(rng: &mut Rng, meter: &str, bars: u32) -> Piece {
    let mut piece = Piece { meter: meter.parse::<Meter>().expect(meter), bars, ..Piece::default() };
    let (length, end) = (piece.cells_per_bar(), bars * piece.cells_per_bar());
    let class = |rng: &mut Rng| ChordClass::from_index(below(rng, ChordClass::COUNT)).expect("in range");
    for at in (0..end).step_by(6) {
        let often = if at % length == 0 { 2 } else { 12 };
        if below(rng, often) == 0 {
            piece.chords.push((at, class(rng)));
        }
    }
    let parts = if below(rng, 3) == 0 { &Part::ALL[..] } else { &Part::ALL[..1] };
    for part in parts {
        let mut at = below(rng, 12);
        while at < end {
            let long = 2 + below(rng, 20);
            let note = PieceNote { onset: at, end: (at + long).min(end), pitch: 36 + below(rng, 40) as u8 };
            piece.parts[part.index()].push(note);
            at += long + below(rng, 6);
        }
    }
    piece
}

fn rules(rng: &mut Rng, most: u32) -> PartRules {
    let low = 21 + below(rng, 50) as u8;
    let collection = PitchClasses::from_bits(below(rng, 4096) as u16);
    PartRules {
        range: low..=(low + 5 + below(rng, 30) as u8).min(108),
        forbidden: PitchSet::of(below(rng, 128) as u8).with(below(rng, 128) as u8),
        tones: match below(rng, 5) {
            0 => Tones::Free,
            1 => Tones::Collection(collection),
            2 => Tones::Chord,
            _ => Tones::CollectionOrChord(collection),
        },
        grid: RhythmGrid::ALL[below(rng, 9) as usize],
        polyphony: 1 + below(rng, most) as u8,
        notes_per_bar: 1 + below(rng, 16),
    }
}

/// One to five bars under random rules, some parts or bars of them to be made.
pub fn random_request(rng: &mut Rng, seed: u64) -> Request {
    let meter = METERS[below(rng, METERS.len() as u32) as usize];
    let bars = 1 + below(rng, 5);
    let piece = random_piece(rng, meter, bars);
    let key: Key = ["C major", "F# minor", "Bb major"][below(rng, 3) as usize].parse().expect("keys");
    let first = below(rng, piece.bars);
    let last = first + 1 + below(rng, piece.bars - first);
    Request {
        bass: match below(rng, 3) {
            0 => Make::Keep,
            1 => Make::Rule(BassRule::ALL[below(rng, 7) as usize]),
            _ => Make::Model,
        },
        piano: match below(rng, 3) {
            0 => Make::Keep,
            1 => Make::Rule(CompRule::ALL[below(rng, 7) as usize]),
            _ => Make::Model,
        },
        bars: if rng.below(2) == 0 { 0..piece.bars } else { first..last },
        bass_rules: rules(rng, 1),
        piano_rules: rules(rng, 5),
        bass_at: [BassAt::Free, BassAt::Tones, BassAt::Roots][below(rng, 3) as usize],
        density: (rng.below(2) == 0).then(|| rng.f64()),
        ..Request::new(piece, Some(key), 100.0, seed)
    }
}
