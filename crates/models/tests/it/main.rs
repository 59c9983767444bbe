//! The drummer that ships, from outside: demands hold, seeds repeat, mistakes are named.

mod arrange;
mod clips;
mod event_rnn;
mod harmony;
mod live;
mod melody;
mod miditok_gpt;
mod music_vae;
mod music_vae_errors;
mod music_vae_int8;
mod musicgen;
mod musicgen_check;
mod musicgen_codec;
mod musicgen_melody;
mod musicgen_packed;
mod musicgen_shared;
mod recipe;
mod shared;
mod song;
mod streaming;

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use partita_models::checkpoint::Error::Tampered;
use partita_models::drums::{
    ALL_LANES, Common, Continue, Drummer, Error, Generate, Humanize, Infill, Progress, Sampling, Take,
    lanes_of,
};
use partita_models::stage::Compute;
use partita_nn::{Path, Pool, Precision};
use partita_score::{DrumClass, DrumPattern, Hit, Meter};

fn drummer() -> &'static Arc<Drummer> {
    static DRUMMER: OnceLock<Arc<Drummer>> = OnceLock::new();
    DRUMMER.get_or_init(|| Arc::new(Drummer::bundled(Precision::Int8).expect("the bundled weights load")))
}

fn compute() -> Compute {
    on(2, Path::from_env().expect("a path"))
}

fn on(threads: usize, path: Path) -> Compute {
    Compute { pool: Arc::new(Pool::new(threads).expect("a pool")), path }
}

fn common(style: &str, seed: u64) -> Common {
    Common {
        style: drummer().style(style).expect("a known style"),
        seed,
        sampling: Sampling::default(),
        density: None,
        lanes: ALL_LANES,
        velocities: 1..=127,
    }
}

fn request(style: &str, bars: u32, seed: u64) -> Generate {
    Generate {
        common: common(style, seed),
        bars,
        tempo: Some(96.0),
        meter: Meter::COMMON,
        fill: false,
        variations: 1,
    }
}

fn go(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn generate(request: &Generate) -> Vec<Take> {
    drummer().generate(&compute(), request, &mut go).expect("generates")
}

fn generate_error(request: &Generate) -> String {
    drummer().generate(&compute(), request, &mut go).expect_err("must be refused").to_string()
}

#[test]
fn every_style_plays_the_bars_metre_and_tempo_asked_for() {
    for style in drummer().styles().expect("styles") {
        let mut request = request(&style.name, 2, 7);
        request.tempo = Some(style.default_tempo());
        let pattern = generate(&request).remove(0).pattern;
        assert_eq!((pattern.bars, pattern.meter), (2, Meter::COMMON));
        assert!(!pattern.hits.is_empty(), "{} is silent", style.name);
        for hit in &pattern.hits {
            assert!(hit.step < 32 && style.lanes()[hit.class.index()], "{}: {hit:?}", style.name);
            assert!((-0.5..0.5).contains(&hit.offset) && (hit.step > 0 || hit.offset >= 0.0), "{hit:?}");
        }
    }
}

#[test]
fn odd_metres_small_kits_and_narrow_ranges_always_hold() {
    let lanes = lanes_of(&[DrumClass::Kick, DrumClass::Ride]);
    for (seed, meter) in ["7/8", "3/4", "6/8", "5/4", "1/16", "15/16", "4/2"].into_iter().enumerate() {
        let meter: Meter = meter.parse().expect("a metre");
        let mut request = request("jazz", 3, seed as u64);
        request.meter = meter;
        request.common.lanes = lanes;
        request.common.velocities = 60..=61;
        request.common.sampling.temperature = 2.0;
        for take in generate(&Generate { variations: 3, ..request }) {
            for hit in &take.pattern.hits {
                assert!(hit.step < 3 * meter.steps_per_bar(), "{meter}: {hit:?}");
                assert!(lanes[hit.class.index()] && (60..=61).contains(&hit.velocity), "{hit:?}");
            }
            assert!(!take.pattern.hits.is_empty());
        }
    }
}

#[test]
fn a_piece_longer_than_the_context_has_every_bar() {
    let mut request = request("punk", 32, 3);
    request.common.density = Some(1.0);
    let take = generate(&request).remove(0);
    assert!(
        take.tokens() > drummer().config.context,
        "this piece must outgrow the context, {} tokens",
        take.tokens()
    );
    let last = take.pattern.hits.last().expect("a hit").step / 16;
    assert!(take.pattern.bars == 32 && last >= 30, "the last hit is in bar {last}");
}

#[test]
fn same_seed_gives_the_same_pattern_on_every_path_and_any_threads() {
    let request = Generate { variations: 3, ..request("funk", 4, 42) };
    let expected = generate(&request);
    for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
        for threads in [1, 2] {
            let takes = drummer().generate(&on(threads, path), &request, &mut go).expect("generates");
            assert_eq!(takes, expected, "{} with {threads} threads", path.name());
        }
    }
    let other = generate(&Generate { common: common("funk", 43), ..request });
    assert_ne!(other[0].pattern, expected[0].pattern);
}

#[test]
fn a_variation_does_not_depend_on_its_neighbours() {
    let many = generate(&Generate { variations: 5, ..request("rock", 2, 9) });
    let few = generate(&Generate { variations: 2, ..request("rock", 2, 9) });
    assert_eq!(&many[..2], &few[..]);
    assert_ne!(many[0].pattern.hits, many[1].pattern.hits);
}

#[test]
fn house_has_four_kicks_a_bar_on_the_floor() {
    let pattern = generate(&Generate { tempo: None, ..request("house", 4, 1) }).remove(0).pattern;
    let kicks: Vec<u32> =
        pattern.hits.iter().filter(|h| h.class == DrumClass::Kick).map(|h| h.step).collect();
    assert_eq!(kicks, (0..16).map(|beat| beat * 4).collect::<Vec<_>>());
    assert!(pattern.hits.iter().any(|h| h.class == DrumClass::ClosedHat), "the model plays around them");
}

#[test]
fn a_continuation_starts_after_the_end_and_has_the_bars_asked_for() {
    let before = generate(&request("hiphop", 4, 5)).remove(0).pattern;
    let request = Continue { common: common("hiphop", 6), before, bars: 3, fill: true, variations: 2 };
    let takes = drummer().continue_pattern(&compute(), &request, &mut go).expect("continues");
    for take in takes {
        assert_eq!(take.pattern.bars, 3);
        assert!(!take.pattern.hits.is_empty() && take.pattern.hits.iter().all(|hit| hit.step < 48));
    }
}

#[test]
fn an_infill_touches_open_cells_only() {
    let pattern = generate(&request("funk", 8, 5)).remove(0).pattern;
    let mut common = common("funk", 8);
    common.lanes = lanes_of(&[DrumClass::ClosedHat, DrumClass::Ride]);
    let request = Infill { common, pattern, bars: 2..7, variations: 2 };
    let takes = drummer().infill(&compute(), &request, &mut go).expect("fills");
    for take in &takes {
        assert!(take.pattern.hits.iter().all(|hit| request.opens(hit)), "{:?}", take.pattern.hits);
    }
    assert!(takes.iter().any(|take| !take.pattern.hits.is_empty()));
}

fn machine() -> DrumPattern {
    let hit = |step, class| Hit { step, class, velocity: 100, offset: 0.0 };
    let mut hits: Vec<Hit> = (0..64).step_by(2).map(|step| hit(step, DrumClass::ClosedHat)).collect();
    hits.extend([0, 8, 10, 16, 24, 32, 40, 48, 56].map(|step| hit(step, DrumClass::Kick)));
    hits.extend([4, 12, 20, 28, 36, 44, 52, 60].map(|step| hit(step, DrumClass::Snare)));
    let mut pattern = DrumPattern { meter: Meter::COMMON, tempo: 96.0, bars: 4, hits };
    pattern.sort();
    pattern
}

#[test]
fn humanizing_moves_every_hit_a_little_and_none_at_amount_zero() {
    let mut request =
        Humanize { style: drummer().style("funk").expect("funk"), seed: 1, pattern: machine(), amount: 1.0 };
    let play = |request: &Humanize| drummer().humanize(&compute(), request, &mut go).expect("plays");
    let strokes = play(&request);
    assert_eq!(strokes.len(), request.pattern.hits.len());
    assert_eq!(strokes, play(&request), "same seed, same strokes");
    assert!(strokes.iter().all(|s| (1.0..=127.0).contains(&s.velocity) && (-0.5..0.5).contains(&s.offset)));
    let velocities: std::collections::BTreeSet<u8> =
        strokes.iter().map(|s| s.velocity.round() as u8).collect();
    assert!(velocities.len() > 8, "a performance is not flat: {velocities:?}");
    request.amount = 0.0;
    for (stroke, hit) in play(&request).iter().zip(&request.pattern.hits) {
        assert_eq!((stroke.velocity, stroke.offset), (f64::from(hit.velocity), f64::from(hit.offset)));
    }
}

#[test]
fn breaking_the_watch_cancels() {
    let mut seen = 0;
    let result = drummer().generate(&compute(), &request("funk", 4, 1), &mut |progress: &Progress| {
        seen = progress.tokens;
        if progress.tokens >= 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(seen, 10);
}

#[test]
fn demands_out_of_range_are_named() {
    let plain = request("funk", 4, 1);
    assert_eq!(generate_error(&Generate { bars: 0, ..plain.clone() }), "bars must be in 1..=32, got 0");
    assert_eq!(generate_error(&Generate { bars: 33, ..plain.clone() }), "bars must be in 1..=32, got 33");
    assert_eq!(
        generate_error(&Generate { tempo: Some(f64::NAN), ..plain.clone() }),
        "tempo must be in 40..=300, got NaN"
    );
    assert_eq!(
        generate_error(&Generate { variations: 65, ..plain.clone() }),
        "variations must be in 1..=64, got 65"
    );
    let mut bold = plain.clone();
    bold.common.sampling.temperature = 0.0;
    assert_eq!(generate_error(&bold), "temperature must be in (0, 4], got 0");
    let mut crossed = request("trap", 4, 1);
    crossed.common.lanes = lanes_of(&[DrumClass::Ride]);
    let message = generate_error(&crossed);
    assert!(
        message.starts_with("kit must be in drums of style trap (kick, snare, closed-hat, open-hat)"),
        "{message}"
    );
}

#[test]
fn a_style_that_is_not_there_is_answered_with_the_nearest() {
    let error = |name| drummer().style(name).expect_err("not a style").to_string();
    assert!(error("fonk").contains("did you mean funk"), "{}", error("fonk"));
    assert!(error("jdila").contains("j-dilla"), "{}", error("jdila"));
    assert_eq!(drummer().style("J Dilla").expect("forgives spaces").name, "j-dilla");
}

#[test]
fn a_profile_that_makes_no_sense_is_an_error_that_names_the_field() {
    let error = |yaml| drummer().profile("mine", yaml).expect_err("must be refused").to_string();
    assert!(error("base: polka").contains("base must be one of afrobeat"));
    assert!(error("base: funk\nswing: 0.9").contains("swing must be in [0.5, 0.75], got 0.9"));
    assert!(error("base: funk\ntempo: [90, 500]").contains("tempo"));
    assert!(error("base: funk\nspeed: 3").contains("speed"));
    assert!(error("base: funk\nkit: [kick, cowbel]").contains("kit"));
    assert!(error("base: funk\nanchors: {kick: \"x.?x\"}").contains("anchors of kick"));
    assert!(error("").starts_with("profile mine:"));
}

#[test]
fn tampered_or_cut_weights_do_not_load() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../weights/drums");
    let config = std::fs::read(format!("{folder}/model.json")).expect("reads");
    let mut weights = std::fs::read(format!("{folder}/model.safetensors")).expect("reads");
    let load = |weights: &[u8]| Drummer::load("drums", &config, weights, Precision::Int8).map(|_| ());
    load(&weights).expect("as shipped");
    let error = load(&weights[..weights.len() / 2]).expect_err("cut").to_string();
    assert!(error.contains("sha256") && error.contains("drums/model.safetensors"), "{error}");
    let middle = weights.len() / 2;
    weights[middle] ^= 1;
    assert!(matches!(load(&weights), Err(Error::Checkpoint(Tampered { .. }))));
    let other = String::from_utf8_lossy(&config).replace("drums-1", "drums-0");
    let error = Drummer::load("drums", other.as_bytes(), &weights, Precision::Int8)
        .map(|_| ())
        .expect_err("other tokens");
    assert!(error.to_string().contains("tokens must be \"drums-1\""), "{error}");
}

#[test]
fn the_manifest_names_the_weights_that_ship() {
    let manifest = include_str!("../../../../weights/MANIFEST.json");
    let manifest: serde_json::Value = serde_json::from_str(manifest).expect("JSON");
    assert_eq!(manifest["drums"]["sha256"], drummer().config.sha256.as_str());
    let bytes =
        std::fs::metadata(concat!(env!("CARGO_MANIFEST_DIR"), "/../../weights/drums/model.safetensors"));
    assert_eq!(manifest["drums"]["bytes"], bytes.expect("is there").len());
}
