//! Files of results in a folder.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use partita_engine::{Artifacts, Code, Config};

const DAY: Duration = Duration::from_secs(86_400);

struct Place {
    folder: tempfile::TempDir,
    config: Config,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.storage.data_dir = folder.path().to_owned();
        Place { folder, config }
    }

    async fn open(&self) -> Artifacts {
        Artifacts::open(&self.config).await.expect("a folder")
    }

    /// Every file of the store.
    fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, all: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                if entry.path().is_dir() { walk(&entry.path(), all) } else { all.push(entry.path()) }
            }
        }
        let mut all = vec![];
        walk(&self.folder.path().join("files"), &mut all);
        all.sort();
        all
    }
}

async fn put(artifacts: &Artifacts, id: &str, bytes: &[u8], keep: Duration) {
    artifacts.put(id, "a.mid", "audio/midi", "tsk_x", keep, bytes.to_vec()).await.expect("stored");
}

fn make_old(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(7200);
    let file = std::fs::File::options().write(true).open(path).expect("there");
    file.set_modified(old).expect("set");
}

#[tokio::test]
async fn a_file_is_found_and_read_in_parts() {
    let place = Place::new();
    let artifacts = place.open().await;
    let id = Artifacts::id("nonce", 1, 0);
    let bytes: Vec<u8> = (0..=255).cycle().take(600_000).collect();
    put(&artifacts, &id, &bytes, DAY).await;
    let found = artifacts.find(&id).await.expect("reachable").expect("there");
    assert_eq!(
        (found.id.as_str(), found.name.as_str(), found.bytes, found.task.as_str()),
        (&*id, "a.mid", 600_000, "tsk_x")
    );
    assert_eq!(found.sha256.len(), 64);
    assert_eq!(found.expires_at - found.created_at, 86_400_000);
    let mut whole = vec![];
    for start in (0..600_000).step_by(256 << 10) {
        whole.extend(artifacts.read(&id, start..start + (256 << 10)).await.expect("read"));
    }
    assert_eq!(whole, bytes);
    assert_eq!(artifacts.read(&id, 600_000..600_001).await, Ok(vec![]));
    assert_eq!(
        artifacts.read(&id, 600_001..600_002).await.expect_err("behind the end").code,
        Code::InvalidRequest
    );
    // Another process on the same folder sees it too.
    assert!(place.open().await.find(&id).await.expect("reachable").is_some());
}

#[tokio::test]
async fn the_same_id_again_replaces_the_file() {
    let place = Place::new();
    let artifacts = place.open().await;
    let id = Artifacts::id("nonce", 1, 0);
    for bytes in [&b"first"[..], b"second, longer", b"second, longer", b""] {
        put(&artifacts, &id, bytes, DAY).await;
        assert_eq!(artifacts.read(&id, 0..1000).await.as_deref(), Ok(bytes));
    }
    artifacts.remove(&id).await.expect("removed");
    artifacts.remove(&id).await.expect("gone is fine");
    assert_eq!(artifacts.read(&id, 0..1).await.expect_err("gone").code, Code::NotFound);
    // The bodies that were replaced.
    place.files().iter().for_each(|path| make_old(path));
    assert_eq!(artifacts.clean().await, Ok((0, 0)), "the clock may have jumped");
    assert_eq!(artifacts.clean().await, Ok((2, 19)));
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn an_expired_file_is_gone_before_it_is_cleaned_up() {
    let place = Place::new();
    let artifacts = place.open().await;
    let (gone, kept) = (Artifacts::random_id(), Artifacts::random_id());
    put(&artifacts, &gone, b"12345", Duration::ZERO).await;
    put(&artifacts, &kept, b"123", DAY).await;
    assert_eq!(artifacts.find(&gone).await, Ok(None));
    assert_eq!(artifacts.read(&gone, 0..5).await.expect_err("expired").code, Code::NotFound);
    assert_eq!(artifacts.clean().await, Ok((1, 5)));
    assert_eq!(artifacts.clean().await, Ok((0, 0)));
    assert_eq!(artifacts.read(&kept, 0..3).await.as_deref(), Ok(&b"123"[..]));
    assert_eq!(place.files().len(), 2);
}

#[tokio::test]
async fn what_a_crash_left_is_invisible_and_removed_after_an_hour() {
    let place = Place::new();
    let artifacts = place.open().await;
    let id = Artifacts::random_id();
    put(&artifacts, &id, b"body", DAY).await;
    // Killed after the body, before the sidecar.
    let sidecar = place.files().into_iter().find(|path| path.extension().is_some_and(|end| end == "json"));
    std::fs::remove_file(sidecar.expect("a sidecar")).expect("removed");
    // Killed while writing.
    let half = place.folder.path().join("files/tmp/.tmpABC");
    std::fs::write(&half, "ha").expect("written");
    assert_eq!(artifacts.find(&id).await, Ok(None));
    assert_eq!(artifacts.clean().await, Ok((0, 0)), "somebody may still be writing");
    place.files().iter().for_each(|path| make_old(path));
    let foreign = place.folder.path().join("files/ab");
    std::fs::create_dir_all(&foreign).expect("a folder");
    std::fs::write(foreign.join("notes.txt"), "not ours").expect("written");
    make_old(&foreign.join("notes.txt"));
    assert_eq!(artifacts.clean().await, Ok((0, 0)), "the clock may have jumped");
    assert_eq!(artifacts.clean().await, Ok((2, 6)));
    assert_eq!(place.files(), [foreign.join("notes.txt")]);
}

#[tokio::test]
async fn a_file_whose_end_is_put_off_outlives_its_first_one() {
    let place = Place::new();
    let artifacts = place.open().await;
    let id = Artifacts::random_id();
    put(&artifacts, &id, b"body", Duration::from_millis(300)).await;
    let longer = artifacts.extend(&id, DAY).await.expect("stored").expect("there");
    // A shorter time takes nothing away.
    assert_eq!(artifacts.extend(&id, Duration::ZERO).await, Ok(Some(longer.clone())));
    while artifacts.find(&id).await.expect("reachable").expect("there").created_at + 300
        > i64::try_from(SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis()).expect("a date")
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(artifacts.clean().await, Ok((0, 0)));
    assert_eq!(artifacts.read(&id, 0..4).await.as_deref(), Ok(&b"body"[..]));
    assert_eq!(artifacts.find(&id).await, Ok(Some(longer)));
    let gone = Artifacts::random_id();
    put(&artifacts, &gone, b"x", Duration::ZERO).await;
    assert_eq!(artifacts.extend(&gone, DAY).await, Ok(None), "it had expired");
    assert_eq!(artifacts.extend(&Artifacts::random_id(), DAY).await, Ok(None));
}

#[tokio::test]
async fn a_damaged_sidecar_is_no_file() {
    let place = Place::new();
    let artifacts = place.open().await;
    let id = Artifacts::random_id();
    put(&artifacts, &id, b"body", DAY).await;
    let sidecar = place.files().into_iter().find(|path| path.extension().is_some_and(|end| end == "json"));
    std::fs::write(sidecar.expect("a sidecar"), "{\"id\": ").expect("written");
    assert_eq!(artifacts.find(&id).await, Ok(None));
    place.files().iter().for_each(|path| make_old(path));
    for _ in 0..2 {
        artifacts.clean().await.expect("cleaned");
    }
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn tricks_in_ids_reach_nothing() {
    let place = Place::new();
    std::fs::write(place.folder.path().join("secret"), "x").expect("written");
    let artifacts = place.open().await;
    for id in ["../secret", "fil_../../../secret", "", "fil_", "fil_01hz3q0w8t9v5x2c7b4n6m1k0\u{0}"] {
        assert_eq!(artifacts.find(id).await, Ok(None), "{id:?}");
        assert_eq!(artifacts.read(id, 0..1).await.expect_err(id).code, Code::NotFound);
        assert_eq!(artifacts.remove(id).await, Ok(()));
        let put = artifacts.put(id, "a", "b", "c", DAY, vec![1]).await;
        assert_eq!(put.expect_err(id).code, Code::NotFound);
    }
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn writers_of_one_id_never_mix() {
    let place = Place::new();
    let artifacts = std::sync::Arc::new(place.open().await);
    let id = Artifacts::random_id();
    let bodies: Vec<Vec<u8>> = (1..=8u8).map(|i| vec![i; 50_000 + usize::from(i)]).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for body in bodies.clone() {
        let (artifacts, id) = (artifacts.clone(), id.clone());
        tasks.spawn(async move { artifacts.put(&id, "a", "b", "c", DAY, body).await.map(|_| ()) });
    }
    while let Some(put) = tasks.join_next().await {
        put.expect("no panic").expect("stored");
    }
    let whole = artifacts.read(&id, 0..u64::MAX).await.expect("whole");
    assert!(bodies.contains(&whole));
}

#[tokio::test]
async fn a_full_disk_is_told() {
    let mut place = Place::new();
    let artifacts = place.open().await;
    assert_eq!(artifacts.has_room().await, Ok(()));
    place.config.storage.min_free_mb = 1_000_000_000;
    artifacts.reconfigure(&place.config);
    let fault = artifacts.has_room().await.expect_err("no disk is that large");
    assert_eq!(fault.code, Code::NoSpace);
    assert!(fault.retry_after.is_some());
}

#[tokio::test]
async fn a_place_that_is_no_folder_is_told_at_the_start() {
    let mut place = Place::new();
    let file = place.folder.path().join("file");
    std::fs::write(&file, "x").expect("written");
    place.config.storage.files = file.display().to_string();
    assert!(Artifacts::open(&place.config).await.is_err());
    #[cfg(not(feature = "cloud"))]
    {
        place.config.storage.files = "s3://bucket".into();
        let fault = Artifacts::open(&place.config).await.err().expect("no such store here");
        assert!(fault.message.contains("feature cloud"), "{fault}");
    }
}
