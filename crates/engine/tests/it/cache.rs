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
