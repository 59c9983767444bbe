//! The catalogue and the models in memory, with real weights.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use partita_engine::config::Target;
use partita_engine::{Code, Config, Registry};

struct Place {
    folder: tempfile::TempDir,
    config: Config,
}

impl Place {
    fn new(models: &[&str]) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.models.dir = folder.path().to_owned();
        config.storage.data_dir = folder.path().join(".data");
        let place = Place { folder, config };
        for name in models {
            place.add(name);
        }
        place
    }

    /// The bundled drummer under another name.
    fn add(&self, name: &str) -> PathBuf {
        let to = self.folder.path().join(name);
        std::fs::create_dir(&to).expect("a folder");
        let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/drums");
        for file in ["model.json", "model.safetensors"] {
            std::fs::copy(weights.join(file), to.join(file)).expect("copied");
        }
        to
    }

    fn open(&self) -> Registry {
        Registry::open(&self.config).expect("a folder")
    }
}

fn loaded(registry: &Registry) -> Vec<String> {
    registry.memory().into_iter().map(|(name, _)| name).collect()
}

fn code<T>(result: Result<T, partita_engine::Fault>) -> Code {
    result.err().expect("refused").code
}

#[test]
fn the_bundled_drummer_is_always_there() {
    let place = Place::new(&[]);
    let registry = place.open();
    let list = registry.list();
    let drums = list.iter().find(|model| model.name == "drums").expect("a drummer");
    assert_eq!((drums.version.as_str(), drums.place.as_str()), ("1", "bundled"));
    assert_eq!((drums.family.as_str(), drums.loaded, drums.in_use), ("drums", false, 0));
    assert_eq!(drums.licence, "Apache-2.0 OR MIT");
    assert!(
        drums.verbs.iter().any(|verb| verb == "generate")
            && drums.sha256.len() == 64
            && drums.bytes > 1 << 20
    );
    assert_eq!(code(registry.remove("drums")), Code::InvalidRequest);
}

#[test]
fn the_newest_version_answers_for_a_plain_name() {
    let place = Place::new(&["drums@2", "drums@10", "brushes"]);
    let registry = place.open();
    let names: Vec<String> =
        registry.list().iter().map(|model| format!("{}@{}", model.name, model.version)).collect();
    assert_eq!(names, ["arrange@1", "brushes@1", "chorale@1", "drums@1", "drums@2", "drums@10", "melody@1"]);
    assert_eq!(registry.resolve("drums", 0.0).as_deref(), Ok("drums@10"));
    assert_eq!(registry.resolve("drums@2", 0.0).as_deref(), Ok("drums@2"));
    let fault = registry.resolve("drms", 0.0).expect_err("unknown");
    assert_eq!(
        (fault.code, fault.message.as_str()),
        (Code::UnknownModel, "no model is called \"drms\"; did you mean drums?")
    );
    assert_eq!(code(registry.resolve("drums@3", 0.0)), Code::UnknownModel);
    for trick in ["", "../drums", "drums@", "@", "/etc", "drums/../drums", "a\0b"] {
        assert_eq!(code(registry.acquire(trick)), Code::UnknownModel, "{trick:?}");
    }
}

#[test]
fn a_model_says_its_own_version_and_licence() {
    let place = Place::new(&["brushes"]);
    let path = place.config.models.dir.join("brushes/model.json");
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("written")).expect("JSON");
    config["version"] = "7".into();
    config["licence"] = "CC0-1.0".into();
    std::fs::write(&path, config.to_string()).expect("written");
    let registry = place.open();
    let brushes = registry.load("brushes").expect("loads");
    assert_eq!((brushes.version.as_str(), brushes.licence.as_str()), ("7", "CC0-1.0"));
}

#[test]
fn aliases_share_requests_by_weight() {
    let mut place = Place::new(&["drums@2"]);
    let target = |model: &str, weight| Target { model: model.into(), weight };
    place.config.models.aliases = [
        ("band".to_owned(), vec![target("trial", None)]),
        ("trial".to_owned(), vec![target("drums@1", Some(3.0)), target("drums", None)]),
        ("lost".to_owned(), vec![target("nobody", None)]),
    ]
    .into();
    let registry = place.open();
    let draws = 1000;
    for name in ["trial", "band"] {
        let first = (0..draws).filter(|i| {
            let draw = f64::from(*i) / f64::from(draws);
            registry.resolve(name, draw).as_deref() == Ok("drums@1")
        });
        assert_eq!(first.count(), 750, "{name}");
    }
    assert_eq!(registry.info("drums@1").expect("known").aliases, ["band (75%)", "trial (75%)"]);
    assert_eq!(code(registry.resolve("lost", 0.5)), Code::UnknownModel);
}

#[test]
fn the_model_unused_for_longest_goes_first() {
    let mut place = Place::new(&["a", "b", "c"]);
    place.config.models.max_loaded = 2;
    let registry = place.open();
    for name in ["a@1", "b@1", "a@1", "c@1"] {
        registry.acquire(name).expect("loads");
    }
    assert_eq!(loaded(&registry), ["a@1", "c@1"]);
    let a = registry.info("a").expect("known");
    assert_eq!((a.requests, a.in_use, a.loaded), (2, 0, true));
    assert!(a.load_ms.is_some_and(|ms| ms > 0.0) && a.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
}

#[test]
fn a_model_in_use_is_never_evicted() {
    let mut place = Place::new(&["a", "b"]);
    place.config.models.max_loaded = 1;
    let registry = place.open();
    let held = registry.acquire("a@1").expect("loads");
    let fault = registry.acquire("b@1").err().expect("no room");
    assert_eq!((fault.code, fault.retry_after), (Code::ModelsFull, Some(5)));
    assert_eq!(registry.info("a").expect("known").in_use, 1);
    drop(held);
    registry.acquire("b@1").expect("room again");
    assert_eq!(loaded(&registry), ["b@1"]);
}

#[test]
fn the_memory_budget_holds() {
    let mut place = Place::new(&["a", "b"]);
    let registry = place.open();
    let bytes = registry.load("a").expect("loads").memory_bytes.expect("loaded");
    registry.load("b").expect("loads");
    assert_eq!(loaded(&registry).len(), 2);
    // Room for one and a half.
    place.config.models.memory_mb = (bytes + bytes / 2).div_ceil(1 << 20);
    registry.reconfigure(&place.config);
    assert_eq!(loaded(&registry), ["b@1"]);
    registry.load("a").expect("loads");
    assert_eq!(loaded(&registry), ["a@1"]);
    place.config.models.memory_mb = 1;
    registry.reconfigure(&place.config);
    assert!(loaded(&registry).is_empty());
    let fault = registry.load("a").expect_err("too large");
    assert_eq!((fault.code, fault.retry_after), (Code::ModelsFull, None));
}

#[test]
fn one_load_serves_all_who_wait_for_it() {
    let place = Place::new(&["a"]);
    let registry = Arc::new(place.open());
    let barrier = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (registry, barrier) = (Arc::clone(&registry), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                let held = registry.acquire("a@1").expect("loads");
                barrier.wait();
                std::ptr::from_ref::<partita_engine::family::Model>(&held) as usize
            })
        })
        .collect();
    let places: Vec<usize> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    assert!(places.iter().all(|place| *place == places[0]), "one model in memory");
    assert_eq!(registry.info("a").expect("known").requests, 8);
}

#[test]
fn a_broken_model_harms_no_other_and_may_be_mended() {
    let place = Place::new(&["good"]);
    let bad = place.add("bad");
    let weights = bad.join("model.safetensors");
    let whole = std::fs::read(&weights).expect("read");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&weights, &damaged).expect("written");
    let registry = place.open();
    let fault = registry.acquire("bad@1").err().expect("damaged");
    assert_eq!(fault.code, Code::ModelBroken);
    let path = place.folder.path().display().to_string();
    assert!(!fault.message.contains(&path), "{fault}");
    assert_eq!(registry.info("bad").expect("known").error, Some(fault.message));
    registry.acquire("good@1").expect("healthy");
    for broken in [&whole[..whole.len() / 2], b"", b"\xff\xff\xff\xff\xff\xff\xff\xff{}"] {
        std::fs::write(&weights, broken).expect("written");
        assert_eq!(code(registry.acquire("bad@1").map(|_| ())), Code::ModelBroken);
    }
    std::fs::write(&weights, whole).expect("written");
    registry.acquire("bad@1").expect("mended");
    assert_eq!(registry.info("bad").expect("known").error, None);
}

#[test]
fn junk_folders_are_listed_with_their_error() {
    let place = Place::new(&["drums@1"]);
    for name in ["Shouting", "empty", "a@b@c", ".hidden"] {
        std::fs::create_dir(place.folder.path().join(name)).expect("a folder");
    }
    std::fs::create_dir(place.folder.path().join("odd")).expect("a folder");
    std::fs::write(place.folder.path().join("odd/model.json"), "{\"family\": \"kazoo\"}").expect("written");
    std::fs::write(place.folder.path().join("a-file"), "x").expect("written");
    let registry = place.open();
    let list = registry.list();
    let wrong: Vec<&str> =
        list.iter().filter(|model| model.error.is_some()).map(|model| model.name.as_str()).collect();
    assert_eq!(wrong, ["empty", "odd", "Shouting", "a@b@c", "drums@1"]);
    assert_eq!(code(registry.acquire("odd").map(|_| ())), Code::ModelBroken);
    assert_eq!(code(registry.acquire("Shouting").map(|_| ())), Code::UnknownModel);
    registry.acquire("drums").expect("the bundled one is healthy");
    let path = place.folder.path().display().to_string();
    assert!(!serde_json::to_string(&list).expect("plain data").contains(&path));
}

#[cfg(unix)]
#[test]
fn a_link_is_no_model() {
    let place = Place::new(&[]);
    let outside = Place::new(&["secret"]);
    std::os::unix::fs::symlink(outside.folder.path().join("secret"), place.folder.path().join("link"))
        .expect("a link");
    let registry = place.open();
    assert!(registry.list().iter().any(|model| model.name == "link" && model.error.is_some()));
    assert_eq!(code(registry.acquire("link").map(|_| ())), Code::UnknownModel);
}

#[test]
fn new_folders_are_found_without_a_restart() {
    let place = Place::new(&[]);
    let registry = place.open();
    assert_eq!(code(registry.resolve("late", 0.0)), Code::UnknownModel);
    place.add("late");
    registry.acquire("late").expect("found");
    assert_eq!(registry.resolve("late", 0.0).as_deref(), Ok("late@1"));
}

#[test]
fn idle_models_are_unloaded_unless_they_are_to_be_warm() {
    let mut place = Place::new(&["a"]);
    place.config.models.idle = 60.0;
    let registry = place.open();
    assert!(registry.warm(&["drums".into(), "a".into()]).is_empty());
    let held = registry.acquire("a").expect("loaded");
    let later = Instant::now() + Duration::from_secs(61);
    assert_eq!(registry.unload_idle_at(later), 0);
    drop(held);
    assert_eq!(registry.unload_idle(), 0);
    assert_eq!(registry.unload_idle_at(Instant::now() + Duration::from_secs(61)), 1);
    assert_eq!(loaded(&registry), ["drums@1"]);
    let failed = registry.warm(&["nobody".into()]);
    assert_eq!((failed[0].0.as_str(), failed[0].1.code), ("nobody", Code::UnknownModel));
}

#[test]
fn unloading_waits_for_the_last_task() {
    let place = Place::new(&["a"]);
    let registry = place.open();
    let (first, second) = (registry.acquire("a").expect("loads"), registry.acquire("a").expect("there"));
    let info = registry.unload("a").expect("known");
    assert_eq!((info.loaded, info.in_use), (true, 2));
    drop(first);
    assert_eq!(loaded(&registry), ["a@1"]);
    drop(second);
    assert!(loaded(&registry).is_empty());
    assert!(!registry.unload("a").expect("not loaded is fine").loaded);
    assert_eq!(code(registry.unload("nobody")), Code::UnknownModel);
}

#[test]
fn only_a_folder_that_is_not_loaded_can_be_removed() {
    let place = Place::new(&["a"]);
    let registry = place.open();
    registry.load("a").expect("loads");
    assert_eq!(code(registry.remove("a")), Code::InvalidRequest);
    registry.unload("a").expect("known");
    registry.remove("a").expect("removed");
    assert_eq!(code(registry.resolve("a", 0.0)), Code::UnknownModel);
    assert_eq!(std::fs::read_dir(place.folder.path()).expect("there").count(), 0);
    assert_eq!(code(registry.remove("a")), Code::UnknownModel);
}

/// A model folder whose weights and checksum are others, made by flipping one bit of the last weight.
fn exchange(folder: &Path) {
    use sha2::Digest;
    let (weights, about) = (folder.join("model.safetensors"), folder.join("model.json"));
    let mut bytes = std::fs::read(&weights).expect("read");
    *bytes.last_mut().expect("weights") ^= 1;
    let sha: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&weights, bytes).expect("written");
    let text = std::fs::read(&about).expect("read");
    let mut config: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    config["sha256"] = sha.into();
    std::fs::write(&about, config.to_string()).expect("written");
}

#[test]
fn a_folder_with_other_weights_is_loaded_again_and_known_apart() {
    let place = Place::new(&["a"]);
    let registry = place.open();
    let old = registry.acquire("a@1").expect("loads");
    assert_eq!(registry.fingerprint("a").expect("known"), old.fingerprint());
    exchange(&place.config.models.dir.join("a"));
    let new = registry.acquire("a@1").expect("loads");
    assert_ne!(old.sha256(), new.sha256());
    assert_ne!(old.fingerprint(), new.fingerprint());
    assert_eq!(registry.fingerprint("a").expect("known"), new.fingerprint());
    let both = registry.memory()[0].1;
    drop(old);
    assert!(registry.memory()[0].1 < both, "the old one went after its last task");
    assert_eq!(registry.info("a").expect("known").in_use, 1);
}

#[test]
fn a_model_keeps_the_precision_it_was_loaded_with() {
    let mut place = Place::new(&["a"]);
    let registry = place.open();
    let held = registry.acquire("a").expect("loads");
    let before = held.fingerprint();
    place.config.models.precision = "q4".into();
    registry.reconfigure(&place.config);
    assert_eq!(registry.fingerprint("a").expect("known"), before);
    drop(held);
    registry.unload("a").expect("known");
    assert_ne!(registry.fingerprint("a").expect("known"), before);
}

#[test]
fn a_plain_name_leads_past_versions_that_are_not_whole() {
    let place = Place::new(&["drums@2", "drums@3", "drums@4"]);
    let weights = place.config.models.dir.join("drums@4/model.safetensors");
    let whole = std::fs::read(&weights).expect("read");
    std::fs::write(&weights, &whole[..whole.len() - 1]).expect("written");
    std::fs::remove_file(place.config.models.dir.join("drums@3/model.safetensors")).expect("removed");
    let registry = place.open();
    assert_eq!(registry.resolve("drums", 0.0).as_deref(), Ok("drums@2"));
    assert_eq!(code(registry.describe("drums@4")), Code::ModelBroken);
}

#[test]
fn an_alias_of_several_models_is_warmed_whole_and_unloaded_by_nobody() {
    let mut place = Place::new(&["a", "b"]);
    let target = |model: &str| Target { model: model.into(), weight: None };
    place.config.models.aliases = [("trial".to_owned(), vec![target("a"), target("b")])].into();
    let registry = place.open();
    assert!(registry.warm(&["trial".into()]).is_empty());
    assert_eq!(loaded(&registry), ["a@1", "b@1"]);
    for fault in [registry.unload("trial").map(drop), registry.remove("trial")] {
        let fault = fault.expect_err("two models");
        assert_eq!(fault.code, Code::InvalidRequest);
        assert!(fault.message.contains("a@1 or b@1"), "{fault}");
    }
    assert_eq!(loaded(&registry), ["a@1", "b@1"]);
}

#[test]
fn a_model_that_is_asked_for_again_does_not_leave() {
    let place = Place::new(&["a"]);
    let registry = place.open();
    let held = registry.acquire("a").expect("loads");
    registry.unload("a").expect("known");
    registry.load("a").expect("there");
    drop(held);
    assert_eq!(loaded(&registry), ["a@1"]);
}
