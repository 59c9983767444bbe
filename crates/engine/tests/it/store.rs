//! Models on disk: fetched from a hub on this machine, imported, shared, checked and removed.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use partita_engine::store::{
    Condition, Error, Event, Hub, Import, Patience, Pulled, Source, State, Store, catalogue,
};
use tempfile::TempDir;

use crate::fake_hub::{COMMIT, FakeHub, Fault, noise, sha256};

const WEIGHTS: &str = "model.safetensors";
/// Long enough for several reads, and for a cut in the middle.
const LENGTH: usize = 300_000;

struct Place {
    folder: TempDir,
    store: Store,
    hub: FakeHub,
}

/// Goes on whatever it is told.
fn on(_: &Event<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl Place {
    /// An empty store whose user has accepted the licence, and an empty hub.
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path().join("store"));
        let licence = &catalogue::find("musicgen-small").expect("published").licence;
        store.accept(licence, &mut on).expect("kept");
        Place { folder, store, hub: FakeHub::start() }
    }

    fn client(&self) -> Hub {
        let mut hub = Hub::from_env(|_| None).and_then(|hub| hub.with_endpoint(&self.hub.url)).expect("good");
        let pause = Duration::from_millis(5);
        hub.patience =
            Patience { tries: 3, pause, longest: Duration::from_secs(2), silence: Duration::from_secs(20) };
        hub
    }

    fn pull(&self, name: &str) -> Result<Pulled, Error> {
        self.store.pull(catalogue::find(name).expect("published"), &self.client(), &mut on)
    }

    fn files(&self, under: &str) -> Vec<PathBuf> {
        fn walk(folder: &Path, all: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { walk(&entry.path(), all) } else { all.push(entry.path()) }
            }
        }
        let mut all = vec![];
        walk(&self.folder.path().join("store").join(under), &mut all);
        all.sort();
        all
    }

    fn part(&self, file: &str) -> PathBuf {
        self.store.root().join("partial/musicgen-small").join(format!("{file}.part"))
    }

    /// Nothing of a model is there, finished or named.
    fn is_empty(&self) -> bool {
        self.files("manifests").is_empty()
            && self.files("folders").is_empty()
            && self.files("blobs").is_empty()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_pulled_model_has_exactly_the_files_of_the_catalogue() {
    let place = Place::new();
    let weights = place.hub.put_small(1, LENGTH);
    let pulled = place.pull("musicgen-small").expect("pulled");
    assert_eq!(pulled.state, State::Installed);
    assert_eq!(
        names(&pulled.model.folder),
        ["config.json", "generation_config.json", WEIGHTS, "preprocessor_config.json", "tokenizer.json"]
    );
    assert_eq!(std::fs::read(pulled.model.folder.join(WEIGHTS)).expect("there"), weights);
    assert_eq!(pulled.fetched, pulled.model.bytes);
    assert!(matches!(&pulled.model.source, Source::Hub { commit: Some(commit), .. } if commit == COMMIT));
    assert_eq!(pulled.model.licence.as_ref().map(|licence| licence.id.as_str()), Some("CC-BY-NC-4.0"));
    let blob = pulled.model.files.iter().find(|file| file.name == WEIGHTS).expect("listed");
    assert_eq!(blob.sha256, sha256(&weights));
    assert!(place.store.root().join("blobs").join(&blob.sha256).is_file());
    assert!(place.files("partial").is_empty());
    assert_eq!(place.store.find("musicgen-small").expect("there"), pulled.model);

    // The bytes of all files come from the commit that the first answers named.
    let asked = place.hub.asked();
    assert!(asked.iter().filter(|asked| asked.method == "GET").all(|asked| asked.path.contains(COMMIT)));
    // A second time nothing is fetched.
    assert_eq!(place.pull("musicgen-small").expect("asked").state, State::Current);
    let asked = place.hub.asked();
    assert!(asked.len() == 5 && asked.iter().all(|asked| asked.method == "HEAD"), "{asked:?}");
}

#[test]
fn a_connection_cut_in_the_middle_is_gone_on_with() {
    let place = Place::new();
    let weights = place.hub.put_small(2, LENGTH);
    place.hub.fail("GET", WEIGHTS, 2, Fault::Cut(100_000));
    let mut told = vec![];
    let mut watch = |event: &Event<'_>| {
        if let Event::Retrying { why, .. } = event {
            told.push((*why).to_owned());
        }
        ControlFlow::Continue(())
    };
    let model = catalogue::find("musicgen-small").expect("published");
    let pulled = place.store.pull(model, &place.client(), &mut watch).expect("pulled");
    assert_eq!(std::fs::read(pulled.model.folder.join(WEIGHTS)).expect("there"), weights);
    assert_eq!(pulled.fetched, pulled.model.bytes, "a byte came twice");
    assert_eq!(told.len(), 2, "{told:?}");
    let asked = place.hub.asked();
    let parts =
        asked.iter().filter(|asked| asked.elsewhere && asked.file() == WEIGHTS && asked.method == "GET");
    let parts: Vec<_> =
        parts.map(|asked| (asked.header("range"), asked.header("if-range").is_some())).collect();
    assert_eq!(parts, [(None, false), (Some("bytes=100000-"), true), (Some("bytes=200000-"), true)]);
}

#[test]
fn what_an_earlier_pull_left_is_gone_on_with() {
    let place = Place::new();
    let weights = place.hub.put_small(3, LENGTH);
    place.hub.fail("GET", WEIGHTS, 1, Fault::Cut(123_456));
    place.hub.fail("GET", WEIGHTS, 9, Fault::Status(503, String::new()));
    let error = place.pull("musicgen-small").expect_err("cut").to_string();
    assert!(error.contains("what came so far is kept") && error.contains("503"), "{error}");
    assert!(!error.contains("signature"), "{error}");
    assert!(place.is_empty());
    assert_eq!(std::fs::metadata(place.part(WEIGHTS)).expect("kept").len(), 123_456);
    place.hub.heal();
    place.hub.asked();

    let pulled = place.pull("musicgen-small").expect("pulled");
    assert_eq!(std::fs::read(pulled.model.folder.join(WEIGHTS)).expect("there"), weights);
    assert_eq!(pulled.fetched, LENGTH as u64 - 123_456);
    let asked = place.hub.asked();
    let gets: Vec<_> = asked.iter().filter(|asked| asked.method == "GET" && asked.elsewhere).collect();
    assert_eq!(gets.len(), 1, "{gets:?}");
    assert_eq!(gets[0].header("range"), Some("bytes=123456-"));
    assert!(
        asked.iter().all(|asked| asked.method == "HEAD" || asked.file() == WEIGHTS),
        "a whole file came again"
    );
}

#[test]
fn what_changed_in_between_is_fetched_from_its_beginning() {
    let place = Place::new();
    place.hub.put_small(4, LENGTH);
    place.hub.fail("GET", WEIGHTS, 1, Fault::Cut(123_456));
    place.hub.fail("GET", WEIGHTS, 9, Fault::Status(500, String::new()));
    place.pull("musicgen-small").expect_err("cut");
    place.hub.heal();
    let weights = place.hub.put_small(5, LENGTH);
    place.hub.asked();
    let pulled = place.pull("musicgen-small").expect("pulled");
    assert_eq!(std::fs::read(pulled.model.folder.join(WEIGHTS)).expect("there"), weights);
    let ranges = place.hub.asked().iter().filter(|asked| asked.header("range").is_some()).count();
    assert_eq!(ranges, 0);
}

#[test]
fn damage_in_what_was_left_costs_a_second_fetch_and_no_wrong_model() {
    let place = Place::new();
    let weights = place.hub.put_small(6, LENGTH);
    place.hub.fail("GET", WEIGHTS, 1, Fault::Cut(100_000));
    place.hub.fail("GET", WEIGHTS, 9, Fault::Status(500, String::new()));
    place.pull("musicgen-small").expect_err("cut");
    place.hub.heal();
    // As a power cut may leave it.
    std::fs::write(place.part(WEIGHTS), vec![0; 100_000]).expect("written");
    let pulled = place.pull("musicgen-small").expect("pulled");
    assert_eq!(std::fs::read(pulled.model.folder.join(WEIGHTS)).expect("there"), weights);
    assert_eq!(pulled.fetched, 2 * LENGTH as u64 - 100_000);
}

#[test]
fn servers_without_ranges_or_with_other_tags_still_give_the_whole_file() {
    for (fault, extra) in [(Fault::NoRanges, 100_000), (Fault::Etag("\"another machine\""), 0)] {
        let place = Place::new();
        let weights = place.hub.put_small(7, LENGTH);
        place.hub.fail("GET", WEIGHTS, 1, Fault::Cut(100_000));
        place.hub.fail("GET", WEIGHTS, 2, fault.clone());
        let pulled = place.pull("musicgen-small").expect("pulled");
        assert_eq!(std::fs::read(pulled.model.folder.join(WEIGHTS)).expect("there"), weights);
        assert_eq!(pulled.fetched, pulled.model.bytes + extra, "{fault:?}");
    }
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    let place = Place::new();
    place.hub.put_small(8, LENGTH);
    place.hub.fail("HEAD", "tokenizer.json", 1, Fault::Status(429, "Retry-After: 1\r\n".into()));
    place.hub.fail("GET", WEIGHTS, 1, Fault::Status(503, "Retry-After: 0\r\n".into()));
    place.hub.fail("GET", "config.json", 2, Fault::Status(502, String::new()));
    let mut pauses = vec![];
    let mut watch = |event: &Event<'_>| {
        if let Event::Retrying { pause, .. } = event {
            pauses.push(*pause);
        }
        ControlFlow::Continue(())
    };
    let start = Instant::now();
    let model = catalogue::find("musicgen-small").expect("published");
    place.store.pull(model, &place.client(), &mut watch).expect("pulled");
    assert!(start.elapsed() >= Duration::from_secs(1), "the pause was {:?}", start.elapsed());
    let milliseconds: Vec<u128> = pauses.iter().map(Duration::as_millis).collect();
    assert_eq!(milliseconds, [1000, 5, 10, 0]);
}

#[test]
fn a_server_that_falls_silent_is_asked_anew() {
    let place = Place::new();
    let weights = place.hub.put_small(33, LENGTH);
    place.hub.fail("GET", WEIGHTS, 1, Fault::Stall(100_000));
    let mut hub = place.client();
    hub.patience.silence = Duration::from_millis(300);
    let model = catalogue::find("musicgen-small").expect("published");
    let pulled = place.store.pull(model, &hub, &mut on).expect("pulled");
    assert_eq!((pulled.fetched, pulled.model.bytes), (pulled.model.bytes, pulled.fetched));
    assert_eq!(std::fs::read(pulled.model.folder.join(WEIGHTS)).expect("there"), weights);
}

#[test]
fn a_server_that_breaks_off_at_the_same_place_is_given_up() {
    let place = Place::new();
    place.hub.put_small(34, LENGTH);
    // Whatever part is asked for, it begins anew and ends early.
    place.hub.put("facebook/musicgen-small/config.json", &noise(35, 5000), false);
    place.hub.fail("GET", "config.json", 99, Fault::Again(4000));
    let error = place.pull("musicgen-small").expect_err("never whole").to_string();
    assert!(error.contains("config.json cannot be fetched") && error.contains("is kept"), "{error}");
    assert!(place.hub.fetched("config.json") <= 5);
}

#[test]
fn a_server_that_never_recovers_or_asks_for_hours_is_given_up() {
    let place = Place::new();
    place.hub.put_small(9, LENGTH);
    place.hub.fail("HEAD", "config.json", 99, Fault::Status(503, String::new()));
    let error = place.pull("musicgen-small").expect_err("down").to_string();
    assert!(error.contains("503") && error.contains("config.json"), "{error}");
    assert_eq!(place.hub.asked().len(), 3, "three tries");
    place.hub.heal();
    place.hub.fail("HEAD", "config.json", 99, Fault::Status(429, "Retry-After: 7200\r\n".into()));
    let error = place.pull("musicgen-small").expect_err("busy").to_string();
    assert!(error.contains("429") && error.contains("7200 s"), "{error}");
    assert_eq!(place.hub.asked().len(), 1);
    assert!(place.is_empty());
}

#[test]
fn refusals_are_told_with_the_servers_words_and_not_tried_again() {
    let place = Place::new();
    place.hub.put_small(10, LENGTH);
    let gated = "X-Error-Message: Access to model is restricted\r\n".to_owned();
    for (status, headers, words) in [
        (401, String::new(), "HF_TOKEN"),
        (403, gated, "Access to model is restricted"),
        (404, String::new(), "no such file in revision main"),
        (410, String::new(), "410"),
    ] {
        place.hub.fail("HEAD", "config.json", 1, Fault::Status(status, headers));
        let error = place.pull("musicgen-small").expect_err("refused").to_string();
        assert!(error.contains(words) && error.contains(&status.to_string()), "{error}");
        assert_eq!(place.hub.asked().len(), 1);
    }
    let hub = place.client().with_revision("v9").expect("a name");
    let error = place.store.pull(catalogue::find("musicgen-small").expect("published"), &hub, &mut on);
    assert!(error.expect_err("no such revision").to_string().contains("Invalid rev id"));
}

#[test]
fn wrong_bytes_are_thrown_away_and_named() {
    let place = Place::new();
    let weights = place.hub.put_small(11, LENGTH);
    let mut wrong = weights.clone();
    wrong[LENGTH / 2] ^= 1;
    place.hub.fail("GET", WEIGHTS, 1, Fault::Instead(wrong.clone()));
    let error = place.pull("musicgen-small").expect_err("wrong").to_string();
    assert!(error.contains(&sha256(&weights)) && error.contains(&sha256(&wrong)), "{error}");
    assert!(place.is_empty() && !place.part(WEIGHTS).exists());
    for length in [LENGTH - 1, LENGTH + 1] {
        place.hub.fail("GET", WEIGHTS, 1, Fault::Instead(noise(11, length)));
        let error = place.pull("musicgen-small").expect_err("wrong").to_string();
        assert_eq!(error, format!("{WEIGHTS} must have {LENGTH} bytes, got {length}"));
        assert!(place.is_empty() && !place.part(WEIGHTS).exists());
    }
    place.pull("musicgen-small").expect("in the end it is right");
    // Small files have no hash, but a length.
    let place = Place::new();
    place.hub.put_small(11, LENGTH);
    place.hub.fail("GET", "tokenizer.json", 1, Fault::Instead(b"{}".to_vec()));
    let error = place.pull("musicgen-small").expect_err("wrong").to_string();
    assert_eq!(error, "tokenizer.json must have 17 bytes, got 2");
    assert!(place.is_empty());
}

#[test]
fn a_page_in_place_of_every_file_is_no_model() {
    let place = Place::new();
    for file in &catalogue::find("musicgen-small").expect("published").files {
        place.hub.put(&format!("facebook/musicgen-small/{file}"), b"<html>Please log in</html>", false);
    }
    let error = place.pull("musicgen-small").expect_err("no model").to_string();
    assert!(error.starts_with("config.json must be the JSON of a model"), "{error}");
    assert!(place.is_empty());
    assert_eq!(place.hub.fetched(WEIGHTS), 0, "the configuration is looked at first");
    // Nor is a model of another kind.
    place.hub.put_small(12, LENGTH);
    place.hub.put("facebook/musicgen-small/config.json", br#"{"model_type":"bert"}"#, false);
    let error = place.pull("musicgen-small").expect_err("no model").to_string();
    let kinds = "musicgen, musicgen_melody or gpt2";
    assert_eq!(error, format!("config.json must have a model_type of {kinds}, got \"bert\""));
    assert!(place.is_empty());
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let place = Place::new();
    place.hub.put_small(13, LENGTH);
    let hub = Hub::from_env(|name| (name == "HF_TOKEN").then(|| "hf_secret".into())).expect("good");
    let hub = hub.with_endpoint(&place.hub.url).expect("good");
    let model = catalogue::find("musicgen-small").expect("published");
    place.store.pull(model, &hub, &mut on).expect("pulled");
    let asked = place.hub.asked();
    for asked in &asked {
        let expected = (!asked.elsewhere).then_some("Bearer hf_secret");
        assert_eq!(asked.header("authorization"), expected, "{asked:?}");
    }
    assert!(asked.iter().any(|asked| asked.elsewhere));
    // Nor after a way through elsewhere back to the hub.
    let back = format!("Location: {}/facebook/musicgen-small/resolve/main/config.json\r\n", place.hub.url);
    place.hub.fail("GET", WEIGHTS, 1, Fault::Status(307, back));
    place.store.remove("musicgen-small", &mut on).expect("removed");
    place.store.pull(model, &hub, &mut on).expect_err("another file came");
    let last = place.hub.asked().into_iter().rfind(|asked| asked.method == "GET").expect("asked");
    assert_eq!((last.elsewhere, last.file(), last.header("authorization")), (false, "config.json", None));
    for path in place.files("") {
        let text = std::fs::read(&path).expect("readable");
        assert!(!text.windows(9).any(|part| part == b"hf_secret"), "{}", path.display());
    }
}

#[test]
fn redirects_lead_to_servers_and_end() {
    let place = Place::new();
    place.hub.put_small(14, LENGTH);
    for (to, words) in [
        ("file:///etc/passwd", "redirects to"),
        ("", "no address"),
        ("/facebook/musicgen-small/resolve/main/config.json", "more than 10 redirects"),
    ] {
        place.hub.fail("HEAD", "config.json", 20, Fault::Status(302, format!("Location: {to}\r\n")));
        let error = place.pull("musicgen-small").expect_err("astray").to_string();
        assert!(error.contains(words), "{to}: {error}");
        place.hub.heal();
    }
    assert!(place.hub.asked().len() <= 13 && place.is_empty());
}

#[test]
fn two_pulls_at_once_fetch_every_file_once() {
    let place = Place::new();
    place.hub.put_small(15, 3_000_000);
    let waited = std::sync::atomic::AtomicBool::new(false);
    let states = std::thread::scope(|scope| {
        let pull = || {
            let mut watch = |event: &Event<'_>| {
                if *event == Event::Waiting {
                    waited.store(true, std::sync::atomic::Ordering::SeqCst);
                }
                ControlFlow::Continue(())
            };
            let model = catalogue::find("musicgen-small").expect("published");
            place.store.pull(model, &place.client(), &mut watch).expect("pulled").state
        };
        let both = [scope.spawn(pull), scope.spawn(pull)];
        both.map(|thread| thread.join().expect("no panic"))
    });
    assert!(states.contains(&State::Installed), "{states:?}");
    assert_eq!(place.hub.fetched(WEIGHTS), 1);
    assert!(
        waited.load(std::sync::atomic::Ordering::SeqCst) && states.contains(&State::Current),
        "{states:?}"
    );
    place.store.find("musicgen-small").expect("whole");
}

#[test]
fn cancelling_stops_a_pull_that_hears_nothing_and_keeps_what_came() {
    let place = Place::new();
    place.hub.put_small(16, LENGTH);
    place.hub.fail("GET", WEIGHTS, 1, Fault::Stall(150_000));
    let mut stalled: Option<Instant> = None;
    let mut watch = |event: &Event<'_>| {
        if let Event::Fetching { file: WEIGHTS, done, .. } = event
            && *done > 150_000
        {
            stalled.get_or_insert_with(Instant::now);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let model = catalogue::find("musicgen-small").expect("published");
    let error = place.store.pull(model, &place.client(), &mut watch).expect_err("cancelled");
    assert!(matches!(error, Error::Cancelled));
    assert!(stalled.expect("it came so far").elapsed() < Duration::from_secs(2));
    assert!(place.is_empty());
    let kept = std::fs::metadata(place.part(WEIGHTS)).expect("kept").len();
    assert_eq!(kept, 150_000);
    let fetched = place.pull("musicgen-small").expect("pulled").fetched;
    assert_eq!(fetched, LENGTH as u64 - kept);
}

#[test]
fn a_disk_too_small_is_told_before_anything_is_fetched() {
    const PROMISED: u64 = 250 << 30;
    let place = Place::new();
    place.hub.put_small(17, LENGTH);
    place.hub.promise(&format!("facebook/musicgen-small/{WEIGHTS}"), PROMISED);
    let error = place.pull("musicgen-small").expect_err("too much, or a promise that is not kept");
    assert!(place.is_empty());
    let free = fs4::available_space(place.folder.path()).expect("known");
    if free > PROMISED {
        assert!(matches!(error, Error::Length { expected: PROMISED, .. }), "{error}");
        return;
    }
    assert!(matches!(&error, Error::NoSpace { needed: Some(_), free: Some(_), .. }), "{error}");
    assert!(error.to_string().contains("268.4 GB needed"), "{error}");
    assert!(place.hub.asked().iter().all(|asked| asked.method == "HEAD"));
}

#[test]
fn a_licence_comes_before_the_first_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(folder.path());
    let hub = FakeHub::start();
    hub.put_small(19, LENGTH);
    let client = Hub::from_env(|_| None).and_then(|client| client.with_endpoint(&hub.url)).expect("good");
    let model = catalogue::find("musicgen-small").expect("published");
    let error = store.pull(model, &client, &mut on).expect_err("not accepted").to_string();
    assert!(error.contains("CC-BY-NC-4.0") && error.contains("--accept-licence"), "{error}");
    assert!(hub.asked().is_empty() && std::fs::read_dir(folder.path()).expect("there").next().is_none());
    store.accept(&model.licence, &mut on).expect("kept");
    // Once, for every model and process.
    assert!(
        Store::new(folder.path()).has_accepted(&catalogue::find("musicgen-melody").expect("there").licence)
    );
    store.pull(model, &client, &mut on).expect("pulled");
    std::fs::write(folder.path().join("licences.json"), b"junk").expect("written");
    assert!(!store.has_accepted(&model.licence));
}

#[test]
fn offline_nobody_is_called() {
    let place = Place::new();
    place.hub.put_small(20, LENGTH);
    let mut hub = place.client();
    hub.offline = true;
    let model = catalogue::find("musicgen-small").expect("published");
    let error = place.store.pull(model, &hub, &mut on).expect_err("not there").to_string();
    assert_eq!(error, "model musicgen-small is not installed and cannot be fetched offline");
    assert!(place.hub.asked().is_empty());
    place.pull("musicgen-small").expect("pulled");
    place.hub.asked();
    assert_eq!(place.store.pull(model, &hub, &mut on).expect("there").state, State::Unchecked);
    assert!(place.hub.asked().is_empty());
}

#[test]
fn a_server_that_is_not_there_is_told_with_its_address() {
    let place = Place::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let hub = place.client().with_endpoint(&format!("http://{closed}")).expect("good");
    let model = catalogue::find("musicgen-small").expect("published");
    let error = place.store.pull(model, &hub, &mut on).expect_err("closed");
    assert!(matches!(error, Error::Unreachable { kept: false, .. }), "{error}");
    assert!(error.to_string().contains(&closed.to_string()), "{error}");
}

#[test]
fn models_share_contents_and_each_goes_alone() {
    let place = Place::new();
    let weights = place.hub.put_small(21, LENGTH);
    place.hub.put_melody(22, &weights);
    place.pull("musicgen-small").expect("pulled");
    let melody = place.pull("musicgen-melody").expect("pulled");
    assert_eq!(melody.model.files.len(), 7);
    assert_eq!(place.hub.fetched("model-00002-of-00002.safetensors"), 0, "the content was there already");
    assert_eq!(melody.model.bytes - melody.fetched, LENGTH as u64);
    // Five and seven files; the weights and three small ones are the same.
    assert_eq!(place.files("blobs").len(), 5 + 7 - 4);

    let removed = place.store.remove("musicgen-small", &mut on).expect("removed");
    assert!(removed.freed < 1000, "the weights were counted: {removed:?}");
    assert!(matches!(place.store.find("musicgen-small"), Err(Error::NotInstalled { .. })));
    let all = place.store.verify("musicgen-melody", &mut on).expect("read");
    assert!(all.iter().all(|file| file.condition == Condition::Good), "{all:?}");
    let removed = place.store.remove("musicgen-melody", &mut on).expect("removed");
    assert!(removed.freed >= LENGTH as u64 && place.is_empty(), "{removed:?}");
    let error = place.store.remove("musicgen-melody", &mut on).expect_err("gone").to_string();
    assert!(
        error.contains("`partita models pull musicgen-melody` fetches 6.2 GB (licence CC-BY-NC-4.0"),
        "{error}"
    );
}

#[test]
fn a_newer_revision_replaces_the_model_and_brings_only_what_changed() {
    let place = Place::new();
    place.hub.put_small(23, LENGTH);
    let old = place.pull("musicgen-small").expect("pulled").model;
    place.hub.asked();
    place.hub.put("facebook/musicgen-small/tokenizer.json", br#"{"version":"1.1"}"#, false);
    let new = place.pull("musicgen-small").expect("pulled");
    assert_eq!((new.state, new.fetched), (State::Installed, 17));
    assert!(!old.folder.exists(), "the old folder is cleared away");
    assert_eq!(place.hub.fetched(WEIGHTS) + place.hub.fetched("config.json"), 0);
    assert_eq!(
        std::fs::read(new.model.folder.join("tokenizer.json")).expect("there"),
        br#"{"version":"1.1"}"#
    );
    assert_eq!(place.files("blobs").len(), 5);
}

#[test]
fn a_damaged_file_is_found_and_repaired() {
    let place = Place::new();
    let weights = place.hub.put_small(24, LENGTH);
    let model = place.pull("musicgen-small").expect("pulled").model;
    let path = model.folder.join(WEIGHTS);
    let mut wrong = weights.clone();
    wrong[7] ^= 1;
    std::fs::write(&path, &wrong).expect("written");
    let found = place.store.verify("musicgen-small", &mut on).expect("read");
    let bad: Vec<_> = found.iter().filter(|file| file.condition != Condition::Good).collect();
    assert!(bad.len() == 1 && bad[0].condition == Condition::Hash(sha256(&wrong)), "{bad:?}");
    let mut hub = place.client();
    hub.repair = true;
    let entry = catalogue::find("musicgen-small").expect("published");
    let model = place.store.pull(entry, &hub, &mut on).expect("repaired").model;
    assert_eq!(std::fs::read(model.folder.join(WEIGHTS)).expect("there"), weights);

    std::fs::write(model.folder.join("config.json"), b"{}").expect("written");
    let error = place.store.find("musicgen-small").expect_err("damaged").to_string();
    assert!(error.starts_with("model musicgen-small is damaged: config.json must have"), "{error}");
    std::fs::remove_file(model.folder.join("config.json")).expect("removed");
    let found = place.store.verify("musicgen-small", &mut on).expect("read");
    assert!(found.iter().any(|file| file.condition == Condition::Missing), "{found:?}");
    let list = place.store.list().expect("read");
    assert!(
        list.len() == 1 && list[0].model.as_ref().is_err_and(|error| error.to_string().contains("missing"))
    );
}

#[test]
fn what_a_crash_left_is_swept_away_and_a_manifest_that_cannot_be_read_keeps_all() {
    let place = Place::new();
    place.hub.put_small(25, LENGTH);
    let (blobs, folders) = (place.store.root().join("blobs"), place.store.root().join("folders"));
    std::fs::create_dir_all(folders.join("half")).expect("made");
    std::fs::create_dir_all(&blobs).expect("made");
    let left = [blobs.join("ab".repeat(32)), blobs.join(".new"), folders.join("half/config.json")];
    left.iter().for_each(|path| std::fs::write(path, b"left").expect("written"));
    place.pull("musicgen-small").expect("pulled");
    assert!(left.iter().all(|path| !path.exists()));
    assert_eq!(place.files("blobs").len(), 5);

    let manifest = place.store.root().join("manifests/musicgen-small.json");
    std::fs::write(&manifest, b"{").expect("written");
    place.hub.put_melody(26, &noise(27, 1000));
    place.pull("musicgen-melody").expect("pulled");
    assert!(place.files("blobs").len() > 7, "blobs of a model that cannot be read went");
    let error = place.store.find("musicgen-small").expect_err("damaged").to_string();
    assert!(error.contains("its manifest cannot be read"), "{error}");
    // It can be pulled anew, and removed.
    place.pull("musicgen-small").expect("pulled");
    std::fs::write(&manifest, b"{").expect("written");
    place.store.remove("musicgen-small", &mut on).expect("removed");
    assert_eq!(place.store.list().expect("read").len(), 1);
}

#[test]
fn no_name_from_outside_leads_out_of_the_store() {
    let place = Place::new();
    let secret = place.folder.path().join("secret");
    std::fs::write(&secret, b"secret").expect("written");
    for name in ["..", "../secret", "/etc", "a/b", "", ".store", "A", &"a".repeat(65)] {
        assert!(matches!(place.store.find(name), Err(Error::Name { .. })), "{name}");
        assert!(matches!(place.store.remove(name, &mut on), Err(Error::Name { .. })), "{name}");
        assert!(matches!(place.store.verify(name, &mut on), Err(Error::Name { .. })), "{name}");
    }
    place.hub.put_small(28, LENGTH);
    place.pull("musicgen-small").expect("pulled");
    let manifest = place.store.root().join("manifests/musicgen-small.json");
    let good = std::fs::read_to_string(&manifest).expect("there");
    let folder = place.store.find("musicgen-small").expect("there").folder;
    let folder = folder.file_name().expect("named").to_str().expect("plain");
    for (from, to) in
        [("tokenizer.json", "../../../secret"), (folder, "../.."), ("\"format\": 1", "\"format\": 2")]
    {
        std::fs::write(&manifest, good.replace(from, to)).expect("written");
        assert!(matches!(place.store.find("musicgen-small"), Err(Error::Damaged { .. })), "{to}");
        assert!(matches!(place.store.verify("musicgen-small", &mut on), Err(Error::Damaged { .. })), "{to}");
    }
    place.store.remove("musicgen-small", &mut on).expect("removed");
    assert_eq!(std::fs::read(&secret).expect("untouched"), b"secret");

    let index = br#"{"weight_map":{"a":"../../../../secret"}}"#;
    place.hub.put_melody(29, b"x");
    place.hub.put("facebook/musicgen-melody/model.safetensors.index.json", index, false);
    let error = place.pull("musicgen-melody").expect_err("escapes").to_string();
    assert!(error.contains("must name files of weights beside it"), "{error}");
    assert!(place.store.list().expect("read").is_empty());
}

#[test]
fn an_index_with_parts_beyond_the_catalogue_is_no_whole_model() {
    let place = Place::new();
    place.hub.put_melody(30, b"x");
    let index = br#"{"weight_map":{"a":"model-00001-of-00003.safetensors"}}"#;
    place.hub.put("facebook/musicgen-melody/model.safetensors.index.json", index, false);
    let error = place.pull("musicgen-melody").expect_err("a part is missing").to_string();
    assert!(error.contains("names model-00001-of-00003.safetensors, which is not among"), "{error}");
    assert!(place.store.list().expect("read").is_empty());
}

/// A folder as the hub's own client leaves it: links to files elsewhere.
fn folder(place: &Path, kind: &str, weights: &[(&str, &[u8])]) -> PathBuf {
    let folder = place.join("My-Model");
    std::fs::create_dir_all(&folder).expect("made");
    let config = format!(r#"{{"model_type":"{kind}"}}"#);
    std::fs::write(folder.join("config.json"), config).expect("written");
    std::fs::write(folder.join("tokenizer.json"), "{}").expect("written");
    std::fs::write(folder.join("README.md"), "not part of it").expect("written");
    for (name, bytes) in weights {
        std::fs::write(folder.join(name), bytes).expect("written");
    }
    folder
}

fn import<'a>(folder: &'a Path, name: Option<&'a str>) -> Import<'a> {
    Import { folder, name, copy: false, replace: false }
}

#[test]
fn a_folder_is_imported_with_what_belongs_to_it() {
    let place = Place::new();
    let weights = noise(31, LENGTH);
    let from =
        folder(place.folder.path(), "musicgen", &[("pytorch_model.bin", &weights), ("state_dict.bin", b"x")]);
    let model = place.store.import(&import(&from, None), &mut on).expect("imported");
    assert_eq!((model.name.as_str(), &model.source, &model.licence), ("my-model", &Source::Import, &None));
    assert_eq!(names(&model.folder), ["config.json", "pytorch_model.bin", "tokenizer.json"]);
    assert!(from.join("pytorch_model.bin").is_file(), "the folder stays as it is");
    assert!(place.files("partial").is_empty());
    let error = place.store.import(&import(&from, None), &mut on).expect_err("there already");
    assert!(matches!(error, Error::Exists { .. }), "{error}");

    std::fs::write(from.join("tokenizer.json"), "{ }").expect("written");
    let again = Import { copy: true, replace: true, ..import(&from, None) };
    let model = place.store.import(&again, &mut on).expect("imported");
    assert_eq!(std::fs::read(model.folder.join("tokenizer.json")).expect("there"), b"{ }");
    // A copy is a file of its own.
    std::fs::write(from.join("tokenizer.json"), "junk").expect("written");
    let all = place.store.verify("my-model", &mut on).expect("read");
    assert!(all.iter().all(|file| file.condition == Condition::Good), "{all:?}");
    let named = place.store.import(&import(&from, Some("musicgen-small")), &mut on).expect("imported");
    assert_eq!(named.licence.map(|licence| licence.id).as_deref(), Some("CC-BY-NC-4.0"));
}

#[cfg(unix)]
#[test]
fn links_in_a_folder_lead_to_files_and_nothing_else() {
    let place = Place::new();
    let from = folder(place.folder.path(), "musicgen_melody", &[]);
    let blob = place.folder.path().join("blob");
    std::fs::write(&blob, noise(32, 1000)).expect("written");
    std::os::unix::fs::symlink(&blob, from.join(WEIGHTS)).expect("linked");
    let model = place.store.import(&import(&from, Some("linked")), &mut on).expect("imported");
    let about = std::fs::symlink_metadata(model.folder.join(WEIGHTS)).expect("there");
    assert!(about.is_file() && about.len() == 1000, "the content, not the link");

    std::fs::remove_file(from.join(WEIGHTS)).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", from.join(WEIGHTS)).expect("linked");
    let error =
        place.store.import(&import(&from, Some("endless")), &mut on).expect_err("no file").to_string();
    assert!(error.contains("must have one of model.safetensors"), "{error}");
}

#[test]
fn what_is_no_model_is_not_imported() {
    let place = Place::new();
    let check = |from: &Path, words: &str| {
        let error = place.store.import(&import(from, Some("x")), &mut on).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert!(place.is_empty() && place.files("partial").is_empty());
    };
    check(&place.folder.path().join("nowhere"), "cannot read");
    let empty = place.folder.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    check(&empty, "must hold a config.json");
    let from = folder(place.folder.path(), "bert", &[(WEIGHTS, b"x")]);
    check(&from, "musicgen, musicgen_melody or gpt2, got \"bert\"");
    folder(place.folder.path(), "musicgen", &[]);
    std::fs::write(from.join("config.json"), "[]").expect("written");
    check(&from, "config.json must be the JSON of a model");
    folder(place.folder.path(), "musicgen", &[]);
    std::fs::remove_file(from.join(WEIGHTS)).expect("removed");
    check(&from, "must have one of model.safetensors");
    for (part, words) in [("../secret", "beside it"), ("part-2.bin", "must hold part-2.bin")] {
        let index = format!(r#"{{"weight_map":{{"a":"{part}"}}}}"#);
        std::fs::write(from.join("model.safetensors.index.json"), index).expect("written");
        check(&from, words);
    }
    std::fs::remove_file(from.join("tokenizer.json")).expect("removed");
    check(&from, "must hold a tokenizer.json");
    let error = place.store.import(&import(&from, Some("../x")), &mut on).expect_err("a path");
    assert!(matches!(error, Error::Name { .. }), "{error}");
}
