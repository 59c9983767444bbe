//! Files in object storage, against a server that speaks S3 at `PARTITA_TEST_S3`, as in `http://127.0.0.1:5000`, with a
//! bucket `partita`. The `AWS_` variables are set by whoever starts the tests.

use std::time::Duration;

use partita_engine::{Artifacts, Code, Config};

const DAY: Duration = Duration::from_secs(86_400);

async fn open(prefix: &str) -> Artifacts {
    let endpoint = std::env::var("PARTITA_TEST_S3").expect("PARTITA_TEST_S3 says where an S3 server listens");
    assert_eq!(
        std::env::var("AWS_ENDPOINT").as_deref(),
        Ok(endpoint.as_str()),
        "AWS_ENDPOINT leads there too"
    );
    let mut config = Config::default();
    config.storage.files = format!("s3://partita/{prefix}-{}", Artifacts::random_id());
    Artifacts::open(&config).await.expect("a store")
}

async fn put(artifacts: &Artifacts, id: &str, bytes: &[u8], keep: Duration) {
    artifacts.put(id, "a.mid", "audio/midi", "tsk_x", keep, bytes.to_vec()).await.expect("stored");
}

#[tokio::test]
async fn a_file_in_a_bucket_is_found_read_replaced_and_removed() {
    let artifacts = open("life").await;
    let id = Artifacts::id("nonce", 1, 0);
    assert_eq!(artifacts.find(&id).await, Ok(None));
    assert_eq!(artifacts.read(&id, 0..1).await.expect_err("not there").code, Code::NotFound);
    let bytes: Vec<u8> = (0..=255).cycle().take(600_000).collect();
    for bytes in [&b"first"[..], &bytes] {
        put(&artifacts, &id, bytes, DAY).await;
        assert_eq!(artifacts.read(&id, 0..1 << 20).await.as_deref(), Ok(bytes));
    }
    assert_eq!(artifacts.read(&id, 1000..1010).await.as_deref(), Ok(&bytes[1000..1010]));
    assert_eq!(artifacts.read(&id, 600_000..600_001).await, Ok(vec![]));
    assert_eq!(artifacts.find(&id).await.expect("reachable").map(|file| file.bytes), Some(600_000));
    artifacts.remove(&id).await.expect("removed");
    artifacts.remove(&id).await.expect("gone is fine");
    assert_eq!(artifacts.find(&id).await, Ok(None));
}

#[tokio::test]
async fn what_expired_in_a_bucket_is_removed_and_the_rest_stays() {
    let artifacts = open("clean").await;
    let (gone, kept, renewed) = (Artifacts::random_id(), Artifacts::random_id(), Artifacts::random_id());
    put(&artifacts, &gone, b"12345", Duration::ZERO).await;
    put(&artifacts, &kept, b"123", DAY).await;
    put(&artifacts, &renewed, b"1234", Duration::ZERO).await;
    put(&artifacts, &renewed, b"1234", DAY).await;
    assert_eq!(artifacts.find(&gone).await, Ok(None));
    assert_eq!(artifacts.clean().await, Ok((1, 5)));
    assert_eq!(artifacts.clean().await, Ok((0, 0)));
    assert_eq!(artifacts.read(&kept, 0..3).await.as_deref(), Ok(&b"123"[..]));
    assert_eq!(artifacts.read(&renewed, 0..4).await.as_deref(), Ok(&b"1234"[..]));
}
