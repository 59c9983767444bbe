use partita_score::Meter;

use super::*;
use crate::song::{PieceNote, Reader};

/// Numbers below bounds, the same ones every time.
struct Draw(u32);

impl Draw {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % bound
    }

    fn is(&mut self) -> bool {
        self.below(2) == 0
    }
}

fn given(draw: &mut Draw) -> Piece {
    let meters = [(4, 4), (3, 4), (7, 8), (6, 8), (5, 4), (3, 16)];
    let (numerator, denominator) = meters[draw.below(6) as usize];
    let bars = 1 + draw.below(4);
    let mut piece = Piece { meter: Meter::new(numerator, denominator).unwrap(), bars, ..Piece::default() };
    let (length, end) = (piece.cells_per_bar(), bars * piece.cells_per_bar());
    piece.chords =
        (0..end).step_by(6).filter(|_| draw.below(5) == 0).map(|at| (at, ChordClass::NONE)).collect();
    piece.chords.iter_mut().for_each(|chord| chord.1 = ChordClass::from_index(draw.below(145)).unwrap());
    for part in Part::ALL {
        let mut at = draw.below(length);
        while at < end {
            let pitch = 40 + draw.below(40) as u8;
            let long = (2 + draw.below(30)).min(end - at);
            let end = at + if part == Part::Piano { DURATIONS[0].min(long) } else { long };
            piece.parts[part.index()].push(PieceNote { onset: at, end, pitch });
            at += long + draw.below(8);
        }
    }
    piece
}

fn rules(draw: &mut Draw) -> PartRules {
    let low = 21 + draw.below(60) as u8;
    let collection = PitchClasses::from_bits(draw.below(4096) as u16);
    PartRules {
        range: low..=low + draw.below(28) as u8,
        forbidden: PitchSet::of(draw.below(128) as u8).with(draw.below(128) as u8),
        tones: match draw.below(4) {
            0 => Tones::Free,
            1 => Tones::Collection(collection),
            2 => Tones::CollectionOrChord(collection),
            _ => Tones::Chord,
        },
        grid: RhythmGrid::ALL[draw.below(9) as usize],
        polyphony: 1 + draw.below(5) as u8,
        notes_per_bar: 1 + draw.below(12),
    }
}

fn constraints(draw: &mut Draw) -> BandConstraints {
    let given = given(draw);
    let parts =
        [vec![Part::Melody, Part::Bass, Part::Piano], vec![Part::Piano], vec![Part::Bass, Part::Piano]];
    let all = draw.is();
    let open = |draw: &mut Draw| all || draw.is();
    let anchors: Vec<(u32, PitchClasses)> = if draw.is() {
        given.chords.iter().map(|(at, chord)| (*at, chord.pitch_classes())).collect()
    } else {
        Vec::new()
    };
    BandConstraints {
        excerpt: Excerpt {
            bars: draw.below(given.bars)..given.bars,
            total: given.bars,
            chords: draw.is(),
            parts: parts[draw.below(3) as usize].clone(),
        },
        open: (0..given.bars)
            .map(|_| Hidden { parts: [true, open(draw), open(draw)], ..Hidden::default() })
            .collect(),
        rules: [rules(draw), rules(draw), rules(draw)],
        anchors,
        wishes: Wishes {
            density: draw.is().then(|| f64::from(draw.below(5)) / 4.0),
            register: draw.is().then(|| 30.0 + f64::from(draw.below(60))),
        },
        given,
    }
}

/// A walk that takes any token the mask allows, and likes notes.
fn walk(constraints: &BandConstraints, draw: &mut Draw) -> Vec<u32> {
    let mut grammar = BandGrammar::new(constraints.clone());
    let mut ids = Vec::new();
    while !grammar.is_done() {
        let mut mask = [false; VOCAB as usize];
        grammar.mask(&mut mask);
        let mut allowed: Vec<u32> = (0..VOCAB).filter(|id| mask[*id as usize]).collect();
        let leaning = grammar.lean(&[0.0; VOCAB as usize]);
        assert!(leaning.iter().flatten().all(|logit| logit.is_finite()));
        assert!(!allowed.is_empty(), "after {ids:?} nothing may follow");
        assert!(!grammar.is_given() || allowed.len() == 1);
        let forbidden = (0..=VOCAB).find(|id| !allowed.contains(id)).unwrap();
        assert_eq!(grammar.advance(forbidden), Err(NotAllowed(forbidden)));
        let near = allowed.iter().position(|id| matches!(Token::from_id(*id), Some(Token::Position(_))));
        if let Some(near) = near.filter(|_| draw.below(4) > 0) {
            // Dense bars: one of the next places.
            allowed = allowed[near..].iter().take(3).copied().collect();
        }
        let id = allowed[draw.below(allowed.len() as u32) as usize];
        grammar.advance(id).unwrap();
        assert_eq!(grammar.at_bar_line(), grammar.is_bar(id));
        ids.push(id);
    }
    assert_eq!(ids.pop(), Some(Token::End.id()));
    ids
}

#[test]
fn whatever_is_chosen_every_rule_holds_and_what_is_given_is_told() {
    let (mut notes, mut anchored) = (0, 0);
    for seed in 0..600 {
        let draw = &mut Draw(seed);
        let constraints = constraints(draw);
        let ids = walk(&constraints, draw);
        let (piece, excerpt) = (&constraints.given, &constraints.excerpt);
        let length = piece.cells_per_bar();
        let mut reader = Reader::new(length, excerpt.bars.clone());
        ids.iter().for_each(|id| reader.read(*id));
        let reader = reader.finish();
        let told = Excerpt { parts: vec![Part::Melody], ..excerpt.clone() };
        if excerpt.parts.contains(&Part::Melody) {
            let mut expected = Reader::new(length, excerpt.bars.clone());
            crate::song::encode_bars(piece, &told, &[]).iter().for_each(|id| expected.read(*id));
            let expected = expected.finish();
            assert_eq!((&reader.parts[0], &reader.chords), (&expected.parts[0], &expected.chords));
        }
        for part in [Part::Bass, Part::Piano].into_iter().filter(|part| excerpt.parts.contains(part)) {
            let rules = &constraints.rules[part.index()];
            let open = |bar: u32| constraints.open[bar as usize].parts[part.index()];
            let mut written: Vec<_> =
                reader.parts[part.index()].iter().filter(|note| open(note.onset / length)).copied().collect();
            let kept: Vec<_> =
                piece.part(part).iter().filter(|note| !open(note.onset / length)).copied().collect();
            notes += written.len();
            // A key that is struck again has been let go.
            for at in 0..written.len() {
                let again = written[at + 1..].iter().find(|it| it.pitch == written[at].pitch);
                written[at].end = written[at].end.min(again.map_or(u32::MAX, |it| it.onset));
            }
            for note in &written {
                let tones = rules.tones.classes(piece.chord_at(note.onset));
                assert!(rules.range.contains(&note.pitch) && !rules.forbidden.contains(note.pitch));
                assert!(tones.contains(note.pitch), "{note:?} is none of {tones:?}");
                assert!(rules.grid.has(note.onset % length), "{note:?} is off the grid");
                let bar = note.onset / length;
                let last = (bar..excerpt.bars.end).take_while(|bar| open(*bar)).last().unwrap();
                assert!(part.is_single() || note.end <= (last + 1) * length, "{note:?} rings too long");
                let earlier = kept.iter().filter(|kept| kept.onset < bar * length && kept.end > note.onset);
                let sounding = written.iter().filter(|it| it.onset <= note.onset && it.end > note.onset);
                let mut pitches: Vec<u8> = earlier.chain(sounding).map(|it| it.pitch).collect();
                pitches.sort_unstable();
                pitches.dedup();
                let most = if part.is_single() { 1 } else { usize::from(rules.polyphony) };
                assert!(pitches.len() <= most.max(1), "{pitches:?} sound at {}", note.onset);
            }
            for bar in excerpt.bars.clone().filter(|bar| open(*bar)) {
                let inside = |cell: u32| (bar * length..(bar + 1) * length).contains(&cell);
                let busy = kept.iter().filter(|note| note.onset < bar * length).map(|note| note.end).max();
                let mut anchors = 0;
                for (at, classes) in constraints.anchors.iter().filter(|(at, _)| inside(*at)) {
                    let fits = rules.pitches(piece.chord_at(*at)) & PitchSet::of_classes(*classes);
                    let place = rules.grid.has(at - bar * length) && busy.is_none_or(|busy| busy <= *at);
                    if part == Part::Bass && place && !fits.is_empty() {
                        let own = written.iter().find(|note| note.onset == *at);
                        assert!(own.is_some_and(|note| fits.contains(note.pitch)), "no anchor at {at}");
                        anchors += 1;
                    }
                }
                anchored += anchors;
                let count = written.iter().filter(|note| inside(note.onset)).count();
                assert!(count <= (rules.notes_per_bar as usize).max(anchors), "{count} notes in bar {bar}");
            }
        }
    }
    assert!(notes > 3000 && anchored > 200, "only {notes} notes and {anchored} anchors were looked at");
}

#[test]
fn a_bar_under_the_default_limits_fits_a_context_of_1024() {
    let mut draw = Draw(5);
    let rules = PartRules {
        range: 21..=108,
        forbidden: PitchSet::EMPTY,
        tones: Tones::Free,
        grid: RhythmGrid::Free,
        polyphony: 10,
        notes_per_bar: 48,
    };
    let meter = Meter::new(4, 4).unwrap();
    // A melody of as many notes and rests as there are places.
    let note = |cell: u32| PieceNote { onset: 2 * cell, end: 2 * cell + 1, pitch: 60 };
    let parts = [(0..24 * 2).map(note).collect(), vec![], vec![]];
    let mut given = Piece { meter, bars: 2, chords: vec![], parts };
    given.chords = (0..16).map(|at| (6 * at, ChordClass::from_index(1 + at).unwrap())).collect();
    let constraints = BandConstraints {
        excerpt: Excerpt { bars: 0..2, total: 2, chords: true, parts: Part::ALL.to_vec() },
        open: vec![Hidden { parts: [false, true, true], ..Hidden::default() }; 2],
        given,
        rules: [rules.clone(), rules.clone(), rules],
        anchors: vec![],
        wishes: Wishes::default(),
    };
    for _ in 0..50 {
        let ids = walk(&constraints, &mut draw);
        let bars: Vec<usize> =
            (0..ids.len()).filter(|at| matches!(Token::from_id(ids[*at]), Some(Token::Bar(_)))).collect();
        let longest = bars[1].max(ids.len() - bars[1]);
        assert!(longest < 700, "{longest} tokens in a bar");
    }
}
