//! The cache of results.

use std::time::Duration;

use partita_engine::family::{Made, MadeFile};
use partita_engine::{Cache, Config, Outcome, Request};

fn request(body: &str) -> Request {
    serde_json::from_str(&format!("{{\"verb\": \"generate\", \"body\": {body}}}")).expect("a request")
}

fn made(bytes: usize) -> Made {
    let file = MadeFile {
        take: Some(0),
        item: None,
        name: "funk.mid".into(),
        media_type: "audio/midi".into(),
        bytes: vec![7; bytes],
    };
    Made { outcome: Outcome { seed: Some(5), bars: Some(4), ..Outcome::default() }, files: vec![file] }
}

async fn memory(max_mb: u64, ttl: f64) -> Cache {
    let mut config = Config::default();
    (config.cache.max_mb, config.cache.ttl) = (max_mb, ttl);
    Cache::open(&config).await.expect("memory")
}

#[test]
fn a_key_holds_what_decides_the_result_and_nothing_else() {
    let plain = Cache::key("sha", &request("{\"style\": \"funk\", \"seed\": 1, \"bars\": 4}"));
    assert_eq!(plain.len(), 64);
    let ordered = "{\"bars\": 4, \"seed\": 1, \"style\": \"funk\", \"custom_id\": \"x\", \"priority\": 9, \
                   \"timeout\": 5, \"webhook\": {\"url\": \"https://example.com\"}}";
    assert_eq!(Cache::key("sha", &request(ordered)), plain);
    for other in
        ["{\"style\": \"funk\", \"seed\": 2, \"bars\": 4}", "{\"style\": \"funk\", \"seed\": 1}", "{}"]
    {
        assert_ne!(Cache::key("sha", &request(other)), plain);
    }
    assert_ne!(Cache::key("other", &request("{\"style\": \"funk\", \"seed\": 1, \"bars\": 4}")), plain);
}

#[tokio::test]
async fn a_result_comes_back_as_it_was() {
    let cache = memory(1, 60.0).await;
    assert_eq!(cache.get("a").await, None);
    cache.put("a", &made(1000)).await;
    assert_eq!(cache.get("a").await, Some(made(1000)));
    assert_eq!(cache.counts(), (1, 1));
    assert!((1000..2000).contains(&cache.bytes()), "{}", cache.bytes());
}

#[tokio::test]
async fn the_memory_stays_within_its_bounds() {
    let cache = memory(1, 60.0).await;
    cache.put("large", &made(200 << 10)).await;
    assert_eq!(cache.get("large").await, None, "more than an eighth");
    for i in 0..50 {
        cache.put(&i.to_string(), &made(100 << 10)).await;
    }
    assert!(cache.bytes() <= 1 << 20, "{}", cache.bytes());
}

#[tokio::test]
async fn what_is_old_is_not_given_again() {
    let cache = memory(1, 0.05).await;
    cache.put("a", &made(10)).await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!(cache.get("a").await, None);
}

#[tokio::test]
async fn new_settings_count_at_once() {
    let cache = memory(1, 60.0).await;
    cache.put("a", &made(10)).await;
    let mut config = Config::default();
    (config.cache.max_mb, config.cache.ttl) = (1, 60.0);
    cache.reconfigure(&config);
    assert!(cache.get("a").await.is_some(), "the same settings change nothing");
    config.cache.max_mb = 8;
    cache.reconfigure(&config);
    cache.put("large", &made(200 << 10)).await;
    assert!(cache.get("large").await.is_some());
}

#[tokio::test]
async fn a_cache_that_is_off_keeps_nothing() {
    let mut config = Config::default();
    config.cache.store = "off".into();
    let cache = Cache::open(&config).await.expect("nothing to open");
    cache.put("a", &made(10)).await;
    assert_eq!(cache.get("a").await, None);
    assert_eq!((cache.counts(), cache.bytes()), ((0, 0), 0));
}

#[tokio::test]
async fn the_number_of_results_is_bounded_and_the_least_recently_used_go_first() {
    let mut config = Config::default();
    (config.cache.max_mb, config.cache.max_entries) = (8, 3);
    let folder = tempfile::tempdir().expect("a folder");
    config.storage.data_dir = folder.path().to_owned();
    for store in ["memory", "disk"] {
        config.cache.store = store.into();
        let cache = Cache::open(&config).await.expect("an empty cache");
        for number in 0..3 {
            cache.put(&key(number), &made(10)).await;
        }
        assert!(cache.get(&key(0)).await.is_some());
        cache.put(&key(3), &made(10)).await;
        cache.bytes();
        let mut kept = vec![];
        for number in 0..4 {
            kept.push(cache.get(&key(number)).await.is_some());
        }
        assert_eq!(kept, [true, false, true, true], "{store}");
    }
    assert_eq!(std::fs::read_dir(folder.path().join("cache")).expect("the folder").count(), 3);
}

#[tokio::test]
async fn results_on_disk_outlive_the_process_and_damaged_ones_are_never_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.storage.data_dir = folder.path().to_owned();
    config.cache.store = "disk".into();
    let first = Cache::open(&config).await.expect("an empty cache");
    first.put(&key(1), &made(1000)).await;
    first.put(&key(2), &made(1000)).await;
    first.put("../outside", &made(1000)).await;
    drop(first);
    let place = folder.path().join("cache");
    let mut damaged = std::fs::read(place.join(key(2))).expect("the file");
    *damaged.last_mut().expect("bytes") ^= 1;
    std::fs::write(place.join(key(2)), damaged).expect("writable");
    std::fs::write(place.join(key(3)), b"short").expect("writable");
    std::fs::write(place.join("note.txt"), b"not ours").expect("writable");

    let second = Cache::open(&config).await.expect("a cache with two results");
    assert_eq!(second.get(&key(1)).await, Some(made(1000)));
    assert_eq!(second.get(&key(2)).await, None);
    assert_eq!(second.get(&key(3)).await, None);
    assert!(!place.join(key(2)).exists());
    assert!(place.join("note.txt").exists() && !folder.path().join("outside").exists());
    assert_eq!(second.counts(), (1, 2));

    config.cache.ttl = 0.1;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let third = Cache::open(&config).await.expect("a cache of old results");
    assert_eq!(third.get(&key(1)).await, None);
    assert!(!place.join(key(1)).exists(), "what is too old is removed");
}

/// The name of a result, as [`Cache::key`] makes them.
fn key(number: u8) -> String {
    format!("{number:064x}")
}
