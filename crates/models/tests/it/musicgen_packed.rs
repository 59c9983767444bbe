//! The packed language model kept beside its weights: the same network, and never a reason to fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use partita_kernels::{KvPrecision, Pool, Precision};
use partita_models::musicgen::{CacheUse, Clip, Condition, Generate, MusicGen, Precisions};
use partita_nn::{Rng, Sampler, Sampling};
use tempfile::TempDir;

use crate::clips::play;

/// A model's folder that a test may change.
fn model(name: &str) -> TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference/hf").join(name);
    let folder = tempfile::tempdir().unwrap();
    for file in from.read_dir().unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

fn open(folder: &TempDir, weights: Precision) -> MusicGen {
    MusicGen::open(folder.path(), Precisions { weights, kv: KvPrecision::F32 }).unwrap()
}

fn kept(folder: &TempDir) -> PathBuf {
    folder.path().join("packed")
}

fn cached(folder: &TempDir, weights: Precision) -> MusicGen {
    open(folder, weights).with_cache(kept(folder))
}

#[test]
fn a_tokenizer_cut_anywhere_is_refused() {
    let folder = model("musicgen_mono");
    let path = folder.path().join("tokenizer.json");
    let whole = fs::read_to_string(&path).unwrap();
    let decoder = whole.find("\"decoder\"").unwrap();
    for end in [decoder, decoder + 11, decoder + 14, decoder + 40, whole.len() - 2] {
        fs::write(&path, &whole[..end]).unwrap();
        let error = MusicGen::open(folder.path(), Precisions::default()).err().expect("cut");
        assert!(error.to_string().contains("tokenizer"), "{error}");
    }
}

/// Loads the language model; what the cache did.
fn load(model: &MusicGen) -> CacheUse {
    model.lm().unwrap();
    model.cache_use().expect("there is a cache")
}

/// Codes of a clip, drawn without a prompt.
fn codes(model: &MusicGen) -> Vec<Vec<u32>> {
    let compute =
        partita_kernels::Compute::new(Arc::new(Pool::new(1).unwrap()), partita_kernels::Path::Generic);
    let clip = Clip {
        condition: Condition::default(),
        guidance: None,
        sampler: Sampler::new(Sampling { top_k: 20, ..Sampling::default() }).unwrap(),
        rng: Rng::new(4, 0),
        prompt: Vec::new(),
        frames: 20,
    };
    play(model, compute, vec![clip]).remove(0)
}

/// The names in the cache's folder.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(kept(folder)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn musicgen_plays_the_same_from_packed_weights() {
    for name in ["musicgen_mono", "musicgen_melody"] {
        let folder = model(name);
        for precision in Precision::ALL {
            let plain = open(&folder, precision);
            let (first, second) = (cached(&folder, precision), cached(&folder, precision));
            assert_eq!((plain.cache_use(), first.cache_use()), (None, None));
            assert_eq!(load(&first), CacheUse::Written);
            assert_eq!(load(&second), CacheUse::Read, "{name} {precision:?}");
            let expected = codes(&plain);
            assert_eq!(codes(&first), expected);
            assert_eq!(codes(&second), expected);
            assert_eq!(plain.cache_use(), None);
        }
        assert_eq!(names(&folder), ["lm-f32.packed", "lm-int8.packed", "lm-q4.packed"]);
    }
}

#[test]
fn musicgen_audio_from_packed_weights_is_that_of_the_published_ones() {
    let folder = model("musicgen_mono");
    let request = Generate { prompt: "drums".into(), seconds: 1.0, seed: 5, ..Generate::default() };
    let pool = Arc::new(Pool::new(2).unwrap());
    let play = |model: &MusicGen| model.generate(&pool, partita_kernels::Path::Generic, &request).unwrap();
    load(&cached(&folder, Precision::Int8));
    let (plain, cached) = (open(&folder, Precision::Int8), cached(&folder, Precision::Int8));
    assert_eq!(play(&cached), play(&plain));
    assert_eq!(cached.cache_use(), Some(CacheUse::Read));
}

#[test]
fn musicgen_packing_again_gives_the_same_bytes() {
    let folder = model("musicgen_mono");
    let file = kept(&folder).join("lm-q4.packed");
    load(&cached(&folder, Precision::Q4));
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(load(&cached(&folder, Precision::Q4)), CacheUse::Written);
    assert!(fs::read(&file).unwrap() == bytes);
}

#[test]
fn musicgen_damaged_packed_weights_are_packed_again() {
    let folder = model("musicgen_mono");
    let file = kept(&folder).join("lm-int8.packed");
    load(&cached(&folder, Precision::Int8));
    let bytes = fs::read(&file).unwrap();
    let expected = codes(&open(&folder, Precision::Int8));
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let many = (0..bytes.len()).step_by(bytes.len() / 12).chain([0, 7, 9, 41, bytes.len() - 1]);
    let mut damaged: Vec<Vec<u8>> = many.map(flipped).collect();
    damaged.extend([0, 1, 40, 100, bytes.len() / 2, bytes.len() - 1].map(|end| bytes[..end].to_vec()));
    damaged.push([bytes.as_slice(), b"x"].concat());
    damaged.push(b"PARTLM is something else".to_vec());
    for damaged in damaged {
        fs::write(&file, &damaged).unwrap();
        let model = cached(&folder, Precision::Int8);
        assert_eq!(load(&model), CacheUse::Written, "{} bytes", damaged.len());
        assert!(fs::read(&file).unwrap() == bytes);
        assert_eq!(codes(&model), expected);
    }
    assert_eq!(names(&folder), ["lm-int8.packed"]);
}

#[test]
fn musicgen_packed_weights_of_other_weights_are_packed_again() {
    let folder = model("musicgen_mono");
    let weights = folder.path().join("model.safetensors");
    load(&cached(&folder, Precision::Int8));
    let before = codes(&cached(&folder, Precision::Int8));
    let time = weights.metadata().unwrap().modified().unwrap();
    let set_time = |time| fs::File::options().write(true).open(&weights).unwrap().set_modified(time).unwrap();

    set_time(time + std::time::Duration::from_secs(1));
    assert_eq!(load(&cached(&folder, Precision::Int8)), CacheUse::Written);
    assert_eq!(load(&cached(&folder, Precision::Int8)), CacheUse::Read);

    // Another file of the same length and time: every value gets the other sign.
    let mut bytes = fs::read(&weights).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header..].iter_mut().skip(3).step_by(4).for_each(|byte| *byte ^= 0x80);
    let time = weights.metadata().unwrap().modified().unwrap();
    fs::write(&weights, &bytes).unwrap();
    set_time(time);
    let model = cached(&folder, Precision::Int8);
    assert_eq!(load(&model), CacheUse::Written);
    assert_eq!(codes(&model), codes(&open(&folder, Precision::Int8)));
    assert_ne!(codes(&model), before);
}

#[test]
fn musicgen_packed_weights_move_with_their_folder() {
    let folder = model("musicgen_mono");
    load(&cached(&folder, Precision::Int8));
    let other = tempfile::tempdir().unwrap();
    let moved = other.path().join("moved");
    fs::rename(folder.path(), &moved).unwrap();
    let model = MusicGen::open(&moved, Precisions::default()).unwrap().with_cache(moved.join("packed"));
    assert_eq!(load(&model), CacheUse::Read);
}

#[test]
fn musicgen_loads_where_the_cache_cannot_be_kept() {
    let folder = model("musicgen_mono");
    let expected = codes(&open(&folder, Precision::Int8));
    // No folder but a file, and a folder where the file would be.
    let blocked = folder.path().join("blocked");
    fs::write(folder.path().join("a file"), b"").unwrap();
    fs::create_dir_all(blocked.join("lm-int8.packed/inside")).unwrap();
    for place in ["a file", "a file/in it", "blocked"] {
        let model = open(&folder, Precision::Int8).with_cache(folder.path().join(place));
        let used = load(&model);
        assert!(matches!(used, CacheUse::Failed(_)), "{place}: {used:?}");
        assert_eq!(codes(&model), expected);
    }
    assert_eq!(fs::read_dir(&blocked).unwrap().count(), 1, "what was begun is gone");
}

#[test]
fn musicgen_weights_that_do_not_load_leave_nothing_in_the_cache() {
    let folder = model("musicgen_mono");
    let config = fs::read_to_string(folder.path().join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let layers = config["decoder"]["num_hidden_layers"].as_u64().unwrap();
    config["decoder"]["num_hidden_layers"] = (layers + 1).into();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let model = cached(&folder, Precision::Int8);
    assert!(model.lm().err().expect("a layer is missing").to_string().contains("is missing"));
    assert_eq!(names(&folder), [""; 0]);
}

#[test]
fn musicgen_starts_at_once_share_the_packed_weights() {
    let folder = model("musicgen_mono");
    let expected = codes(&open(&folder, Precision::Int8));
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let model = cached(&folder, Precision::Int8);
                    let used = load(&model);
                    assert!(matches!(used, CacheUse::Read | CacheUse::Written), "{used:?}");
                    assert_eq!(codes(&model), expected);
                });
            }
        });
        assert_eq!(names(&folder), ["lm-int8.packed"]);
        assert_eq!(load(&cached(&folder, Precision::Int8)), CacheUse::Read);
        fs::remove_file(kept(&folder).join("lm-int8.packed")).unwrap();
    }
}

#[test]
fn musicgen_drafts_of_processes_that_died_are_removed() {
    let folder = model("musicgen_mono");
    fs::create_dir(kept(&folder)).unwrap();
    let place = |name: &str, hours: u64| {
        let file = fs::File::create(kept(&folder).join(name)).unwrap();
        let age = std::time::Duration::from_secs(3600 * hours);
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
    };
    place("lm-int8.packed.0123.tmp", 2);
    place("lm-int8.packed.4567.tmp", 0);
    place("lm-q4.packed.0123.tmp", 2);
    place("notes.tmp", 2);
    load(&cached(&folder, Precision::Int8));
    let left = ["lm-int8.packed", "lm-int8.packed.4567.tmp", "lm-q4.packed.0123.tmp", "notes.tmp"];
    assert_eq!(names(&folder), left);
}
