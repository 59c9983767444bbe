//! GPT-2 checkpoints with MidiTok's tokenizers: whatever the weights, pieces obey, seeds repeat, mistakes are named.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use partita_models::midi_gpt::{Error, MidiGpt, Piece, Progress, Request};
use partita_models::stage::share;
use partita_nn::{Precision, Rng};
use partita_score::harmony::Key;
use partita_score::{Score, midi};
use partita_tokens::miditok::{Limits, TimeSignature, Token, Tokenizer};
use tempfile::TempDir;

use crate::compute;

const CONFIGS: [&str; 9] = [
    "remi_default",
    "remi_plus",
    "remi_bpe",
    "remi_drums",
    "tsd",
    "tsd_multi",
    "structured",
    "structured_multi",
    "midilike",
];

fn reference() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference");
    std::env::var_os("PARTITA_VECTORS").map_or(repository, PathBuf::from)
}

fn file(name: &str) -> Vec<u8> {
    fs::read(reference().join("miditok/midi").join(format!("{name}.mid"))).expect("reads")
}

/// A GPT-2 of random weights in the published layout, with a tokenizer of the reference beside it.
fn folder(tokenizer: &str, vocab: usize, context: usize) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (width, heads) = (16, 2);
    let config = serde_json::json!({
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": vocab, "n_positions": context,
        "n_embd": width, "n_layer": 1, "n_head": heads, "n_inner": null,
    });
    fs::write(folder.path().join("config.json"), config.to_string()).expect("writes");
    let layer = "transformer.h.0.";
    let shapes: Vec<(String, Vec<usize>)> = [
        ("transformer.wte.weight", vec![vocab, width]),
        ("transformer.wpe.weight", vec![context, width]),
        ("ln_1.weight", vec![width]),
        ("ln_1.bias", vec![width]),
        ("attn.c_attn.weight", vec![width, 3 * width]),
        ("attn.c_attn.bias", vec![3 * width]),
        ("attn.c_proj.weight", vec![width, width]),
        ("attn.c_proj.bias", vec![width]),
        ("ln_2.weight", vec![width]),
        ("ln_2.bias", vec![width]),
        ("mlp.c_fc.weight", vec![width, 4 * width]),
        ("mlp.c_fc.bias", vec![4 * width]),
        ("mlp.c_proj.weight", vec![4 * width, width]),
        ("mlp.c_proj.bias", vec![width]),
        ("transformer.ln_f.weight", vec![width]),
        ("transformer.ln_f.bias", vec![width]),
    ]
    .into_iter()
    .map(|(name, shape)| {
        let own = name.starts_with("transformer.");
        (if own { name.to_owned() } else { format!("{layer}{name}") }, shape)
    })
    .collect();
    let (mut header, mut data, mut rng) = (serde_json::Map::new(), Vec::new(), Rng::new(1, 0));
    for (name, shape) in shapes {
        let from = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            data.extend(((rng.f32() - 0.5) * 2.0).to_le_bytes());
        }
        let about = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [from, data.len()] });
        header.insert(name, about);
    }
    let header = serde_json::Value::Object(header).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    fs::write(folder.path().join("model.safetensors"), bytes).expect("writes");
    copy(tokenizer, folder.path(), true);
    folder
}

fn copy(tokenizer: &str, to: &Path, vocab: bool) {
    let from = reference().join("miditok/configs").join(tokenizer);
    fs::copy(from.join("tokenizer.json"), to.join("tokenizer.json")).expect("copies");
    if vocab && tokenizer != "remi_bpe" {
        fs::copy(from.join("vocab.json"), to.join("vocab.json")).expect("copies");
    }
}

fn size(tokenizer: &str) -> usize {
    let folder = reference().join("miditok/configs").join(tokenizer);
    Tokenizer::open(folder).expect("opens").vocab_size()
}

fn open(tokenizer: &str) -> MidiGpt {
    let folder = folder(tokenizer, size(tokenizer), 512);
    MidiGpt::open("tiny", folder.path(), Precision::Int8).expect("opens")
}

fn go(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn write(model: &MidiGpt, request: &Request) -> Vec<Piece> {
    model.write(&compute(), request, &mut go).expect("writes")
}

fn error(model: &MidiGpt, request: &Request) -> String {
    model.write(&compute(), request, &mut go).expect_err("must be refused").to_string()
}

fn is_remi(model: &MidiGpt) -> bool {
    model.tokenizer().vocab().id_of(Token::Bar).is_some()
}

/// Onset, end, pitch, velocity, program or -1.
fn notes(score: &Score) -> Vec<(u32, u32, u8, u8, i16)> {
    let each = score.tracks.iter().flat_map(|track| {
        let program = if track.is_drums() { -1 } else { i16::from(track.program) };
        track.notes.iter().map(move |note| (note.onset.0, note.end.0, note.pitch, note.velocity, program))
    });
    let mut notes: Vec<_> = each.collect();
    notes.sort_unstable();
    notes
}

#[test]
fn miditok_every_note_of_a_checkpoint_is_in_key_and_range_and_bars_are_exact() {
    let key: Key = "F# minor".parse().expect("a key");
    for config in CONFIGS {
        let model = open(config);
        let limits = Limits {
            pitches: 50..=79,
            pitch_classes: std::array::from_fn(|class| key.contains(class as u8)),
            bars: is_remi(&model).then_some(5),
            ..Limits::default()
        };
        let request = Request { limits, max_tokens: 300, variations: 3, ..Request::new(4) };
        for piece in write(&model, &request) {
            let found = notes(&piece.score);
            assert!(!found.is_empty(), "{config} is silent");
            assert_eq!(piece.score, piece.new, "{config}");
            for (onset, end, pitch, _, program) in found {
                let fits = program < 0 || ((50..=79).contains(&pitch) && key.contains(pitch));
                assert!(fits, "{config}: {pitch} of {program}");
                assert!(end >= onset, "{config}");
            }
            assert_eq!(piece.bars, if is_remi(&model) { 5 } else { 0 }, "{config}");
            assert!(piece.nats > 0.0 && piece.cost > 0.0 && piece.cost < piece.nats, "{config}");
            // Nothing but what had begun comes after the budget, and bars that were due.
            assert!(piece.ids.len() < 300 + 200, "{config}: {} tokens", piece.ids.len());
        }
    }
}

#[test]
fn miditok_the_same_seed_gives_the_same_bytes_alone_and_in_company() {
    for config in ["remi_bpe", "midilike"] {
        let model = open(config);
        let request = Request { max_tokens: 120, variations: 3, ..Request::new(9) };
        let bytes =
            |pieces: &[Piece]| pieces.iter().map(|piece| midi::write(&piece.score)).collect::<Vec<_>>();
        let alone = write(&model, &request);
        assert_ne!(alone[0].ids, alone[1].ids);
        assert_eq!(bytes(&alone), bytes(&write(&model, &request)));
        let one = write(&model, &Request { variations: 1, ..request.clone() });
        assert_eq!(one[0], alone[0]);
        let (shared, stage) = share(model.network(), compute());
        let played = std::thread::scope(|scope| {
            scope.spawn(move || stage.run());
            let other = scope.spawn({
                let (model, shared) = (&model, shared.clone());
                move || model.write(&shared, &Request { max_tokens: 60, ..Request::new(1) }, &mut go)
            });
            let played = model.write(&shared, &request, &mut go).expect("writes");
            other.join().expect("no panic").expect("writes");
            drop(shared);
            played
        });
        assert_eq!(played, alone, "{config}");
        assert_ne!(write(&model, &Request { seed: 10, ..request })[0].ids, alone[0].ids);
    }
}

#[test]
fn miditok_a_continuation_keeps_the_given_notes_and_begins_after_them() {
    for config in CONFIGS {
        let model = open(config);
        let stem = if config == "remi_drums" { "gmd_03" } else { "01_scale" };
        let given = file(stem);
        let bars = is_remi(&model).then_some(2);
        let request = Request {
            limits: Limits { bars, pitches: 90..=100, ..Limits::default() },
            given: Some(given.clone()),
            max_tokens: 80,
            ..Request::new(3)
        };
        let piece = write(&model, &request).remove(0);
        let tokens = model.tokenizer().encode(&given).expect("encodes");
        let plays = tokens.programs.clone();
        let alone = model.tokenizer().decode(&tokens).expect("decodes").to_score().expect("a score");
        let (before, all, new) = (notes(&alone), notes(&piece.score), notes(&piece.new));
        assert!(!new.is_empty(), "{config}");
        let mut joined = [before.clone(), new.clone()].concat();
        joined.sort_unstable();
        assert_eq!(all, joined, "{config}");
        let last = before.iter().map(|note| note.0).max().expect("notes");
        for note in &new {
            assert!(note.0 >= last && (note.4 < 0 || (90..=100).contains(&note.2)), "{config}: {note:?}");
        }
        if plays.is_empty() {
            assert_eq!(&piece.prompt[1..], model_ids(&model, &given), "{config}");
        }
        let count = |ids: &[u32]| {
            let bar = model.tokenizer().vocab().id_of(Token::Bar);
            let base = ids.iter().flat_map(|&id| model.tokenizer().base_ids(id).expect("known"));
            base.filter(|&id| Some(id) == bar).count() as u32
        };
        if let Some(bars) = bars {
            assert_eq!(count(&piece.ids), bars, "{config}");
            assert_eq!(piece.bars, bars + count(&piece.prompt), "{config}");
        }
        let input = midi::read(&given).expect("reads");
        let whole = piece.after(&input);
        let (kept, sum) = (notes(&input), notes(&whole));
        assert_eq!(sum.len(), kept.len() + new.len(), "{config}");
        assert!(kept.iter().all(|note| sum.contains(note)), "{config}");
        assert_eq!((whole.ppq, &whole.tempos), (input.ppq, &input.tempos));
    }
}

fn model_ids(model: &MidiGpt, midi: &[u8]) -> Vec<u32> {
    let tokens = model.tokenizer().encode(midi).expect("encodes");
    let tokens = if model.tokenizer().is_trained() {
        model.tokenizer().merge(&tokens).expect("merges")
    } else {
        tokens
    };
    tokens.ids[0].clone()
}

#[test]
fn miditok_a_prompt_longer_than_the_context_keeps_its_newest_bars() {
    let given = file("jsb_00");
    let long = |context| {
        let folder = folder("remi_plus", size("remi_plus"), context);
        MidiGpt::open("tiny", folder.path(), Precision::Int8).expect("opens")
    };
    let request = Request {
        limits: Limits { bars: Some(3), ..Limits::default() },
        given: Some(given.clone()),
        max_tokens: 100,
        ..Request::new(2)
    };
    let model = long(256);
    assert!(model_ids(&model, &given).len() > 256, "this piece must outgrow the context");
    let piece = write(&model, &request).remove(0);
    assert!(notes(&piece.new).iter().all(|note| note.1 > note.0));
    let message = error(&long(12), &request);
    assert!(message.starts_with("the newest notes must leave room for more in the 12 tokens"), "{message}");
}

#[test]
fn miditok_a_piece_may_outgrow_the_context_in_every_format() {
    for config in ["remi_plus", "tsd", "structured", "midilike"] {
        let folder = folder(config, size(config), 224);
        let model = MidiGpt::open("tiny", folder.path(), Precision::Int8).expect("opens");
        let bars = is_remi(&model).then_some(400);
        let request =
            Request { limits: Limits { bars, ..Limits::default() }, max_tokens: 600, ..Request::new(1) };
        let piece = (0..8)
            .map(|seed| write(&model, &Request { seed, ..request.clone() }).remove(0))
            .max_by_key(|piece| piece.ids.len())
            .expect("eight pieces");
        assert!(piece.ids.len() > 300, "{config}: {} tokens", piece.ids.len());
    }
}

#[test]
fn miditok_metre_and_programs_are_those_asked_for() {
    let model = open("remi_plus");
    let signature = TimeSignature { numerator: 3, denominator: 4 };
    let limits = Limits {
        bars: Some(4),
        signature: Some(signature),
        programs: Some(vec![0, -1]),
        ..Limits::default()
    };
    let piece = write(&model, &Request { limits, ..Request::new(5) }).remove(0);
    let bar = u32::from(piece.score.ppq.get()) * 3;
    for (onset, .., program) in notes(&piece.score) {
        assert!(onset < 4 * bar && [0, -1].contains(&program), "{onset} {program}");
    }
    let drums = open("remi_default");
    let limits = Limits { bars: Some(1), programs: Some(vec![-1]), ..Limits::default() };
    let piece = write(&drums, &Request { limits, ..Request::new(5) }).remove(0);
    assert!(notes(&piece.score).iter().all(|note| note.4 == -1) && !notes(&piece.score).is_empty());
}

#[test]
fn miditok_ids_beyond_the_tokenizer_are_never_played() {
    let folder = folder("remi_default", size("remi_default") + 700, 256);
    let model = MidiGpt::open("wide", folder.path(), Precision::Int8).expect("opens");
    let request = Request { max_tokens: 60, variations: 4, ..Request::new(0) };
    for piece in write(&model, &request) {
        assert!(piece.ids.iter().all(|id| (*id as usize) < size("remi_default")));
    }
}

#[test]
fn miditok_the_published_vectors_of_gpt2_play_under_a_tokenizer_of_their_size() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["config.json", "model.safetensors"] {
        fs::copy(reference().join("hf/gpt2").join(name), folder.path().join(name)).expect("copies");
    }
    copy("remi_default_v306", folder.path(), false);
    let model = MidiGpt::open("hf", folder.path(), Precision::F32).expect("opens");
    assert_eq!((model.config().vocab, model.warning()), (284, None));
    let limits = Limits { bars: Some(2), ..Limits::default() };
    let piece = write(&model, &Request { limits, ..Request::new(1) }).remove(0);
    assert_eq!(piece.bars, 2);
}

#[test]
fn miditok_a_subset_of_programs_that_nobody_wrote_down_is_a_warning() {
    let folder = folder("tsd_multi", size("tsd_multi"), 64);
    let warning = || MidiGpt::open("tiny", folder.path(), Precision::Int8).expect("opens").warning();
    assert_eq!(warning(), None);
    fs::remove_file(folder.path().join("vocab.json")).expect("removes");
    let text = warning().expect("a warning");
    assert!(text.contains("vocab.json") && text.contains("tiny"), "{text}");
}

#[test]
fn miditok_wrong_folders_are_named() {
    let tiny = || folder("remi_plus", size("remi_plus"), 64);
    let why = |folder: &TempDir| {
        let open = MidiGpt::open("tiny", folder.path(), Precision::Int8).map(|_| ()).expect_err("wrong");
        if let Err(check) = MidiGpt::check("tiny", folder.path()) {
            assert_eq!(check.to_string(), open.to_string());
        }
        open.to_string()
    };
    let folder = tempfile::tempdir().expect("a folder");
    assert!(why(&folder).starts_with("model tiny: config.json cannot be read"), "{}", why(&folder));

    let folder = tiny();
    fs::remove_file(folder.path().join("tokenizer.json")).expect("removes");
    assert!(why(&folder).contains("tokenizer.json cannot be read"), "{}", why(&folder));
    fs::write(folder.path().join("tokenizer.json"), r#"{"version":"1.0","model":{"type":"BPE"}}"#)
        .expect("writes");
    assert!(why(&folder).contains("miditok_version"), "{}", why(&folder));
    fs::write(folder.path().join("config.json"), r#"{"model_type":"llama"}"#).expect("writes");
    assert_eq!(why(&folder), "model tiny: config.json must have model_type \"gpt2\", got \"llama\"");
    assert!(!MidiGpt::is_at(folder.path()));

    let folder = self::folder("remi_plus", 284, 64);
    assert!(MidiGpt::is_at(folder.path()));
    assert_eq!(
        why(&folder),
        "model tiny: vocab_size must be at least the 518 tokens of its tokenizer, got 284"
    );

    let folder = tiny();
    fs::remove_file(folder.path().join("model.safetensors")).expect("removes");
    assert!(why(&folder).contains("model.safetensors"), "{}", why(&folder));
    let other = self::folder("remi_plus", size("remi_plus"), 32);
    fs::copy(other.path().join("model.safetensors"), folder.path().join("model.safetensors"))
        .expect("copies");
    assert!(why(&folder).contains("wpe.weight"), "{}", why(&folder));
}

#[test]
fn miditok_demands_that_a_checkpoint_cannot_meet_are_named() {
    let model = open("remi_plus");
    let request = Request::new(1);
    let limited = |limits: Limits| error(&model, &Request { limits, ..request.clone() });
    let none =
        Limits { pitches: 60..=60, pitch_classes: [false; 12], programs: Some(vec![0]), ..Limits::default() };
    assert!(limited(none).starts_with("no pitch is left"));
    let long = Limits { bars: Some(513), ..Limits::default() };
    assert_eq!(limited(long), "bars must be in 1..=512, got 513");
    assert_eq!(
        error(&model, &Request { max_tokens: 0, ..request.clone() }),
        "max_tokens must be in 1..=65536, got 0"
    );
    let junk = Request { given: Some(b"MThd".to_vec()), ..request.clone() };
    assert!(matches!(model.write(&compute(), &junk, &mut go), Err(Error::Input(_))));
    let empty = Request { given: Some(file("16_empty")), ..request.clone() };
    assert!(error(&model, &empty).contains("must hold notes"));
    let single = open("remi_default");
    let many = Request { given: Some(file("05_multitrack")), ..request.clone() };
    let message = error(&single, &many);
    assert!(message.contains("plays on from one track"), "{message}");
    let bars = Limits { bars: Some(2), ..Limits::default() };
    assert_eq!(
        error(&open("tsd"), &Request { limits: bars, ..request }),
        "bars are counted in REMI only, got TSD"
    );
}

#[test]
fn miditok_breaking_the_watch_cancels_a_checkpoint() {
    let mut seen = 0;
    let result = open("tsd").write(&compute(), &Request::new(1), &mut |progress: &Progress| {
        seen = progress.tokens;
        if seen >= 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(seen, 10);
}
