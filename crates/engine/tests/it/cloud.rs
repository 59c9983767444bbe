//! Files in object storage, against a server that speaks S3 at `PARTITA_TEST_S3`, as in `http://127.0.0.1:5000`, with a
//! bucket `partita`. The `AWS_` variables are set by whoever starts the tests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::time::Duration;

use partita_engine::store::{Error as StoreError, Event, Hub, Model, State, Store};
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

/// Puts an object into the bucket, as somebody else would.
fn upload(key: &str, bytes: &[u8]) {
    let endpoint = std::env::var("PARTITA_TEST_S3").expect("PARTITA_TEST_S3 says where an S3 server listens");
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).expect("it listens");
    let head = format!(
        "PUT /partita/{key} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(bytes)).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer.split(' ').nth(1), Some("200"), "{answer}");
}

#[test]
fn magenta_checkpoint_in_a_bucket_is_pulled_checked_and_gone_on_with() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/reference/magenta/ckpt_formats/cat_mel_small_flat.tar"
    );
    let bytes = std::fs::read(path).expect("the reference");
    let key = format!("checkpoints/{}/model.tar", Artifacts::random_id());
    upload(&key, &bytes);
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(folder.path());
    let hub = Hub::from_env(|_| None).expect("the default");
    let model = Model::at("mine", &format!("s3://partita/{key}"), None).expect("an address");

    // Stopped after the first bytes: what came is kept.
    let mut stop = |event: &Event<'_>| match event {
        Event::Fetching { done: 1.., .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let stopped = store.pull(&model, &hub, &mut stop);
    assert!(matches!(stopped, Err(StoreError::Cancelled)), "{stopped:?}");
    let part = folder.path().join("partial/mine/model.tar.part");
    let kept = std::fs::metadata(&part).expect("kept").len();
    assert!(kept > 0);
    if kept == bytes.len() as u64 {
        // It came in one piece: as if it had not.
        std::fs::File::options().write(true).open(&part).and_then(|file| file.set_len(1000)).expect("cut");
    }
    let kept = std::fs::metadata(&part).expect("kept").len();

    let mut on = |_: &Event<'_>| ControlFlow::Continue(());
    let pulled = store.pull(&model, &hub, &mut on).expect("pulled");
    assert_eq!(pulled.fetched, bytes.len() as u64 - kept);
    assert_eq!(std::fs::read(pulled.model.folder.join("model.tar")).expect("there"), bytes);
    assert_eq!(store.pull(&model, &hub, &mut on).expect("asked").state, State::Current);

    let absent = Model::at("absent", &format!("s3://partita/{key}.gz"), None).expect("an address");
    let error = store.pull(&absent, &hub, &mut on).expect_err("absent");
    assert!(
        matches!(&error, StoreError::Refused { status: 404, url, .. } if url.ends_with("model.tar.gz")),
        "{error}"
    );
}
