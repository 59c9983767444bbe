//! Bars as they are told while they are generated: each once, in order, and exactly as in the finished take.

use std::ops::ControlFlow;

use partita_models::drums::{Continue, Generate, Humanize, Infill, NewBar, Progress, Take, Watch, lanes_of};
use partita_models::stage::{Player, share};
use partita_score::{DrumClass, Hit, Meter};

use crate::{common, compute, drummer, machine, request};

/// Keeps all that is told.
#[derive(Default)]
pub struct Notes {
    pub bars: Vec<NewBar>,
    pub last: Progress,
    pub calls: usize,
}

impl Watch for Notes {
    fn progress(&mut self, progress: &Progress) -> ControlFlow<()> {
        assert!(progress.tokens >= self.last.tokens && progress.bars >= self.last.bars, "{progress:?}");
        assert!(progress.bars <= progress.total_bars, "{progress:?}");
        self.bars.extend(progress.new.iter().cloned());
        self.last = progress.clone();
        self.calls += 1;
        ControlFlow::Continue(())
    }
}

/// Checks that `notes` add up to `takes`, which have new hits in `bars` alone.
fn check(what: &str, notes: &Notes, takes: &[Take], bars: std::ops::Range<u32>) {
    for take in takes {
        let told: Vec<&NewBar> = notes.bars.iter().filter(|bar| bar.variation == take.variation).collect();
        let order: Vec<u32> = told.iter().map(|bar| bar.bar).collect();
        assert_eq!(order, bars.clone().collect::<Vec<_>>(), "{what}: bars of variation {}", take.variation);
        let steps = take.pattern.meter.steps_per_bar();
        for bar in &told {
            assert!(bar.hits.iter().all(|hit| hit.step / steps == bar.bar), "{what}: {bar:?}");
        }
        let hits: Vec<Hit> = told.iter().flat_map(|bar| bar.hits.iter().copied()).collect();
        assert_eq!(hits, take.pattern.hits, "{what}: variation {}", take.variation);
    }
    assert_eq!(notes.last.bars, notes.last.total_bars, "{what}");
    assert_eq!(notes.last.total_bars, bars.end - bars.start, "{what}");
    assert_eq!(notes.last.tokens, takes.iter().map(Take::tokens).sum::<usize>(), "{what}");
}

fn check_generate(player: &dyn Player, request: &Generate) {
    let mut notes = Notes::default();
    let takes = drummer().generate(player, request, &mut notes).expect("generates");
    check(&request.common.style.name, &notes, &takes, 0..request.bars);
}

#[test]
fn streamed_bars_add_up_to_the_take_in_every_style() {
    let compute = compute();
    for (seed, style) in drummer().styles().expect("styles").iter().enumerate() {
        let mut request = Generate { variations: 2, ..request(&style.name, 3, seed as u64) };
        request.tempo = None;
        request.common.velocities = 30..=100;
        check_generate(&compute, &request);
    }
}

#[test]
fn strokes_swung_over_a_bar_line_are_told_with_the_bar_they_land_in() {
    // The widest swing moves a late last sixteenth into the next bar, and the last of all stays.
    let yaml =
        "base: funk\nswing: 0.75\nmicrotiming: 2.0\ndelay_ms: {snare: 40}\nanchors: {kick: \"x..X...x\"}";
    let profiles = [yaml, &yaml[..yaml.find("\nanchors").expect("is there")]];
    let mut crossed = 0;
    for yaml in profiles {
        let style = drummer().profile("wide", yaml).expect("a profile");
        for meter in ["4/4", "1/8", "7/8"] {
            let mut request = Generate { variations: 3, ..request("funk", 8, 11) };
            request.meter = meter.parse::<Meter>().expect("a metre");
            request.common.density = Some(1.0);
            request.common.style = style.clone();
            let mut notes = Notes::default();
            let takes = drummer().generate(&compute(), &request, &mut notes).expect("generates");
            check(meter, &notes, &takes, 0..8);
            let steps = request.meter.steps_per_bar();
            // A hit on the first step that comes early began in the bar before.
            let early = |hit: &&Hit| hit.step > 0 && hit.step.is_multiple_of(steps) && hit.offset < -0.2;
            crossed += takes.iter().flat_map(|take| take.pattern.hits.iter().filter(early)).count();
        }
    }
    assert!(crossed > 0, "no stroke crossed a bar line: the test shows nothing");
}

#[test]
fn a_profile_that_leaves_nothing_to_the_model_is_told_too() {
    let yaml = "base: funk\nkit: [kick]\nanchors: {kick: \"x...x...x...x...\"}";
    let mut request = request("funk", 4, 1);
    request.common.style = drummer().profile("metronome", yaml).expect("a profile");
    check_generate(&compute(), &request);
}

#[test]
fn streamed_bars_of_continuations_and_infills_add_up_too() {
    let (shared, work) = share(drummer().network(), compute());
    let thread = std::thread::spawn(move || work.run());
    let players: [&dyn Player; 2] = [&compute(), &shared];
    let mut all = Vec::new();
    for player in players {
        let mut notes = Notes::default();
        let before = machine();
        let request = Continue { common: common("hiphop", 6), before, bars: 5, fill: true, variations: 3 };
        let takes = drummer().continue_pattern(player, &request, &mut notes).expect("continues");
        check("continue", &notes, &takes, 0..5);

        let mut pattern = machine();
        pattern.bars = 9;
        let mut common = common("funk", 8);
        common.lanes = lanes_of(&[DrumClass::ClosedHat, DrumClass::Snare]);
        let request = Infill { common, pattern, bars: 1..7, variations: 2 };
        let mut notes = Notes::default();
        let fills = drummer().infill(player, &request, &mut notes).expect("fills");
        check("infill", &notes, &fills, 1..7);
        all.push((takes, fills));
    }
    assert_eq!(all[0], all[1]);
    drop(shared);
    thread.join().expect("the loop ends");
}

#[test]
fn a_long_piece_is_told_while_it_is_played() {
    let mut notes = Notes::default();
    let mut request = request("punk", 24, 3);
    request.common.density = Some(1.0);
    let takes = drummer().generate(&compute(), &request, &mut notes).expect("generates");
    check("punk", &notes, &takes, 0..24);
    assert!(notes.calls >= takes[0].tokens(), "a call a token");
}

#[test]
fn humanized_bars_are_told_as_they_are_performed() {
    let request =
        Humanize { style: drummer().style("funk").expect("funk"), seed: 1, pattern: machine(), amount: 0.7 };
    let mut notes = Notes::default();
    let strokes = drummer().humanize(&compute(), &request, &mut notes).expect("plays");
    let hits: Vec<Hit> = notes.bars.iter().flat_map(|bar| bar.hits.iter().copied()).collect();
    let played = strokes.iter().zip(&request.pattern.hits).map(|(stroke, hit)| Hit {
        velocity: stroke.velocity.round() as u8,
        offset: stroke.offset as f32,
        ..*hit
    });
    assert_eq!(hits, played.collect::<Vec<_>>());
    assert_eq!(notes.bars.iter().map(|bar| bar.bar).collect::<Vec<_>>(), [0, 1, 2, 3]);
}
