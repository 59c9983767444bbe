//! Magenta's checkpoints in the store: from a server of buckets on this machine, from its mirror, and from a folder.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use partita_engine::store::{
    Condition, Error, Event, Hub, Model, Patience, Pulled, Source, State, Store, catalogue,
};
use partita_nn::Tensors;
use tempfile::TempDir;

use crate::fake_hub::{FakeHub, Fault, sha256};

const NAME: &str = "cat-mel_2bar_big";
const FILE: &str = "cat-mel_2bar_big.tar";
const KEY: &str = "magentadata/models/music_vae/checkpoints/cat-mel_2bar_big.tar";
const OLD_KEY: &str =
    "download.magenta.tensorflow.org/models/music_vae/checkpoints_bundled/mel_2bar_big.ckpt.tar";

fn on(_: &Event<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A file of the reference checkpoints.
fn reference(path: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference/magenta");
    std::fs::read(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn archive() -> Vec<u8> {
    reference("ckpt_formats/cat_mel_small_nested.tar")
}

struct Place {
    folder: TempDir,
    store: Store,
    server: FakeHub,
}

impl Place {
    /// An empty store whose user has accepted the terms, and an empty server.
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path().join("store"));
        store.accept(&catalogue::find(NAME).expect("published").licence, &mut on).expect("kept");
        Place { folder, store, server: FakeHub::start() }
    }

    fn client(&self) -> Hub {
        let hub = Hub::from_env(|_| None).and_then(|hub| hub.with_gs_endpoint(&self.server.url));
        let mut hub = hub.expect("good");
        let pause = Duration::from_millis(5);
        hub.patience =
            Patience { tries: 3, pause, longest: Duration::from_secs(2), silence: Duration::from_secs(20) };
        hub
    }

    fn pull(&self, name: &str) -> Result<Pulled, Error> {
        self.store.pull(catalogue::find(name).expect("published"), &self.client(), &mut on)
    }

    fn path(&self, under: &str) -> PathBuf {
        self.store.root().join(under)
    }

    fn is_empty(&self) -> bool {
        let blobs = std::fs::read_dir(self.path("blobs")).into_iter().flatten().count();
        let manifests = std::fs::read_dir(self.path("manifests")).into_iter().flatten().count();
        blobs + manifests == 0
    }
}

#[test]
fn magenta_archive_is_pulled_by_name_and_read_from_the_store() {
    let place = Place::new();
    place.server.put(KEY, &archive(), false);
    let pulled = place.pull(NAME).expect("pulled");
    assert_eq!((pulled.state, pulled.fetched), (State::Installed, archive().len() as u64));
    assert_eq!(pulled.model.files.len(), 1);
    assert_eq!(
        (pulled.model.files[0].name.as_str(), pulled.model.files[0].sha256.as_str()),
        (FILE, &*sha256(&archive()))
    );
    let base = "gs://magentadata/models/music_vae/checkpoints/";
    assert_eq!(pulled.model.source, Source::Address { address: format!("{base}{FILE}") });
    assert_eq!(pulled.model.licence.as_ref().expect("known").id, "LicenseRef-Magenta");
    assert!(!place.path("partial").join(NAME).exists());

    let found = place.store.find(NAME).expect("there");
    let tensors = Tensors::open(&found.folder).expect("a checkpoint");
    assert!(tensors.contains("encoder/mu/kernel"));
    let verified = place.store.verify(NAME, &mut on).expect("there");
    assert!(verified.iter().all(|verified| verified.condition == Condition::Good));

    place.server.asked();
    let again = place.pull(NAME).expect("asked");
    assert_eq!((again.state, again.fetched), (State::Current, 0));
    assert!(place.server.asked().iter().all(|asked| asked.method == "HEAD"));
    let mut offline = place.client();
    offline.offline = true;
    let model = catalogue::find(NAME).expect("published");
    assert_eq!(place.store.pull(model, &offline, &mut on).expect("there").state, State::Unchecked);
}

#[test]
fn magenta_pull_that_was_cut_is_gone_on_with() {
    let place = Place::new();
    place.server.put(KEY, &archive(), false);
    place.server.fail("GET", FILE, 1, Fault::Cut(30_000));
    place.server.fail("GET", FILE, 9, Fault::Status(503, String::new()));
    let error = place.pull(NAME).expect_err("cut").to_string();
    // The mirror has nothing; what the first place said is told.
    assert!(error.contains("503") && error.contains(KEY), "{error}");
    assert!(place.is_empty());
    assert_eq!(
        std::fs::metadata(place.path("partial").join(NAME).join(format!("{FILE}.part"))).expect("kept").len(),
        30_000
    );
    place.server.heal();
    place.server.asked();
    let pulled = place.pull(NAME).expect("pulled");
    assert_eq!(pulled.fetched, archive().len() as u64 - 30_000);
    let asked = place.server.asked();
    let get: Vec<_> = asked.iter().filter(|asked| asked.method == "GET").collect();
    assert_eq!(get.len(), 1);
    assert_eq!(get[0].header("range"), Some("bytes=30000-"));
    assert!(
        asked.iter().all(|asked| asked.header("authorization").is_none()),
        "the hub's token is the hub's"
    );
    assert_eq!(std::fs::read(pulled.model.folder.join(FILE)).expect("there"), archive());
}

#[test]
fn magenta_mirror_has_what_the_first_place_has_not() {
    let place = Place::new();
    let error = place.pull(NAME).expect_err("nowhere").to_string();
    assert!(error.contains(KEY) && error.contains("404") && !error.contains("revision"), "{error}");
    place.server.put(OLD_KEY, &archive(), false);
    let pulled = place.pull(NAME).expect("pulled");
    assert!(
        matches!(&pulled.model.source, Source::Address { address } if address.ends_with("mel_2bar_big.ckpt.tar"))
    );
    assert_eq!(pulled.model.files[0].name, FILE, "it has its own name here");
}

#[test]
fn magenta_bundle_and_js_folder_come_with_all_of_their_files() {
    let place = Place::new();
    let mag = reference("rnn/attention_rnn/attention_rnn.mag");
    place.server.put("download.magenta.tensorflow.org/models/attention_rnn.mag", &mag, false);
    let pulled = place.pull("attention_rnn").expect("pulled");
    let tensors = Tensors::open(&pulled.model.folder).expect("a bundle");
    let told = catalogue::find("attention_rnn").expect("published").played.clone().expect("told");
    assert_eq!(tensors.bundle().expect("a bundle").attention_length, told.attention_length);

    let shards: Vec<String> = (1..=8).map(|shard| format!("group1-shard{shard}of8.bin")).collect();
    let files: Vec<String> =
        ["weights_manifest.json", "config.json"].map(str::to_owned).into_iter().chain(shards).collect();
    let at = |file: &str| format!("magentadata/js/checkpoints/music_vae/mel_2bar_small/{file}");
    for file in &files {
        place.server.put(&at(file), &reference(&format!("tfjs/mel_uint8/{file}")), false);
    }
    let pulled = place.pull("js-mel_2bar_small").expect("pulled");
    assert_eq!(pulled.model.files.len(), 10);
    let tensors = Tensors::open(&pulled.model.folder).expect("a manifest");
    assert!(tensors.contains("encoder/mu/kernel") && tensors.config().expect("told").contains("MusicVAE"));
    place.server.asked();
    assert_eq!(place.pull("js-mel_2bar_small").expect("asked").state, State::Current);
    assert!(place.server.asked().iter().all(|asked| asked.method == "HEAD"));

    // A file that the manifest names is not there, or leads elsewhere.
    let place = Place::new();
    for file in &files[..9] {
        place.server.put(&at(file), &reference(&format!("tfjs/mel_uint8/{file}")), false);
    }
    let error = place.pull("js-mel_2bar_small").expect_err("not whole").to_string();
    assert!(error.contains("group1-shard8of8.bin") && error.contains("404"), "{error}");
    for path in ["../../x", "/etc/passwd", "config.json"] {
        let manifest = format!(r#"[{{"paths": ["{path}"], "weights": []}}]"#);
        place.server.put(&at("weights_manifest.json"), manifest.as_bytes(), false);
        let error = place.pull("js-mel_2bar_small").expect_err(path).to_string();
        assert!(error.contains("must name files of weights beside it"), "{error}");
        assert!(place.is_empty());
    }
}

#[test]
fn magenta_checksum_of_the_first_download_is_that_of_all_others() {
    let place = Place::new();
    place.server.put(KEY, &archive(), false);
    let pulled = place.pull(NAME).expect("pulled");
    // Other bytes of the same length, as a server that was broken into sends.
    let mut other = archive();
    other[700] ^= 1;
    place.server.put(KEY, &other, false);
    let mut repair = place.client();
    repair.repair = true;
    let model = catalogue::find(NAME).expect("published");
    let error = place.store.pull(model, &repair, &mut on).expect_err("another").to_string();
    assert!(error.contains(&sha256(&archive())) && error.contains(&sha256(&other)), "{error}");
    assert_eq!(place.store.find(NAME).expect("there"), pulled.model);

    let mut told = model.clone();
    told.name = "told".into();
    told.sha256.insert(FILE.into(), sha256(&archive()));
    let shared =
        place.store.pull(&told, &place.client(), &mut on).expect("the content is here under its hash");
    assert_eq!(shared.fetched, 0);
    let fresh = Place::new();
    fresh.server.put(KEY, &other, false);
    let error = fresh.store.pull(&told, &fresh.client(), &mut on).expect_err("another");
    assert!(matches!(error, Error::Hash { .. }), "{error}");
    assert!(fresh.is_empty());
}

#[test]
fn magenta_name_with_something_else_behind_it_is_not_installed() {
    let whole = archive();
    for (bytes, words) in [
        (b"<html>Please log in</html>".to_vec(), "is no checkpoint"),
        (whole[..50_000].to_vec(), "cut short"),
        (vec![0; 1 << 20], "is no checkpoint"),
    ] {
        let place = Place::new();
        place.server.put(KEY, &bytes, false);
        let error = place.pull(NAME).expect_err("no checkpoint").to_string();
        assert!(error.starts_with(FILE) && error.contains(words), "{error}");
        assert!(place.is_empty() && !place.path("partial").join(NAME).exists());
    }
}

#[test]
fn magenta_terms_come_before_the_first_request() {
    let place = Place::new();
    let folder = tempfile::tempdir().expect("a folder");
    let model = catalogue::find(NAME).expect("published");
    let error = Store::new(folder.path()).pull(model, &place.client(), &mut on).expect_err("not accepted");
    assert!(matches!(error, Error::Licence { .. }), "{error}");
    assert!(place.server.asked().is_empty());
}

#[test]
fn magenta_checkpoint_of_ones_own_is_fetched_from_a_server_or_a_folder() {
    let place = Place::new();
    place.server.put("mine/model.tar", &archive(), false);
    let own = place.folder.path().join("own.tar");
    std::fs::write(&own, archive()).expect("written");
    let hash = sha256(&archive());
    for (name, address) in [
        ("of-http", format!("{}/mine/model.tar", place.server.url)),
        ("of-gs", "gs://mine/model.tar".to_owned()),
        ("of-file", format!("file://{}", own.display())),
    ] {
        let model = Model::at(name, &address, Some(&hash)).expect("an address");
        let pulled = place.store.pull(&model, &place.client(), &mut on).expect(name);
        assert_eq!(pulled.model.licence, None, "nobody told");
        assert_eq!(pulled.model.source, Source::Address { address });
        assert!(Tensors::open(&pulled.model.folder).expect("a checkpoint").contains("encoder/mu/kernel"));
        assert_eq!(place.store.pull(&model, &place.client(), &mut on).expect(name).state, State::Current);
    }
    // The same content lies there once.
    assert_eq!(std::fs::read_dir(place.path("blobs")).expect("a folder").count(), 1);
    let wrong = Model::at("wrong", "gs://mine/model.tar", Some(&"0".repeat(64))).expect("an address");
    assert!(matches!(place.store.pull(&wrong, &place.client(), &mut on), Err(Error::Hash { .. })));
    let absent = Model::at("absent", &format!("file://{}.gz", own.display()), None).expect("an address");
    let error = place.store.pull(&absent, &place.client(), &mut on).expect_err("absent").to_string();
    assert!(error.contains("own.tar.gz"), "{error}");
    #[cfg(not(feature = "cloud"))]
    {
        let model = Model::at("of-s3", "s3://bucket/model.tar", None).expect("an address");
        let error = place.store.pull(&model, &place.client(), &mut on).expect_err("left out").to_string();
        assert!(error.contains("s3://bucket/model.tar") && error.contains("feature cloud"), "{error}");
    }
}
