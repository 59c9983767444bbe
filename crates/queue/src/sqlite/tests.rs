//! A full disk, and a plan that stays fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::oneshot;

use super::Sqlite;
use super::writer::{Call, Piece, Work};
use crate::{Error, JobId, Lane, Limits, NewJob, Outcome, Queue, Result, State, Submitted};

fn job(owner: &str, bytes: usize) -> NewJob {
    NewJob {
        id: JobId::new(),
        kind: "generate".into(),
        lane: Lane::Generation,
        priority: 5,
        owner: Some(owner.into()),
        model: String::new(),
        request: json!("x".repeat(bytes)),
        nonce: String::new(),
        deadline: None,
        max_attempts: 3,
        webhook: None,
        idempotency: None,
        request_id: String::new(),
        trace: String::new(),
    }
}

/// Lets the file grow no further than by `more` pages.
async fn let_grow(queue: &Sqlite, more: u32) {
    let limit = queue.send(move |work| {
        let pages: u32 = work.db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let sql = format!("PRAGMA max_page_count = {}", pages.saturating_add(more));
        Ok(work.db.query_row(&sql, [], |row| row.get::<_, u32>(0))?)
    });
    limit.await.expect("the limit is set");
}

#[tokio::test]
async fn a_full_disk_refuses_jobs_and_keeps_the_rest_whole() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("queue.db");
    let queue = Sqlite::open(&path, Limits::default())?;
    let Submitted::New(first) = queue.submit(job("a", 10), None).await? else { panic!("it is new") };
    let claim = queue.claim("w", Lane::Generation, 1).await?.pop().expect("it waits");
    let_grow(&queue, 2).await;

    // Small and large ones in one batch: what fits gets in, the rest is told why.
    let (mut stored, mut refused) = (Vec::new(), 0);
    for round in 0..20 {
        let (small, large) = (job("a", 10), job("b", 1_000_000));
        let (id, lost) = (small.id.clone(), large.id.clone());
        let ends = tokio::join!(queue.submit(large, None), queue.submit(small, None));
        assert!(matches!(ends.0, Err(Error::NoSpace(_))), "round {round}: {:?}", ends.0);
        assert!(queue.get(&lost).await?.is_none());
        match ends.1 {
            Ok(_) => stored.push(id),
            Err(Error::NoSpace(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(!stored.is_empty(), "the small ones did not suffer from the large ones");
    assert_eq!(queue.stats().await?.queued[&Lane::Generation], stored.len() as u64);

    let_grow(&queue, 10_000).await;
    assert!(queue.finish(&claim.lease, Outcome::Complete(json!("y".repeat(100_000)))).await?);
    assert_eq!(queue.get(&first.new.id).await?.expect("it is there").state, State::Complete);
    queue.submit(job("b", 1_000_000), None).await?;
    drop(queue);
    let queue = Sqlite::open(&path, Limits::default())?;
    let claims = queue.claim("w", Lane::Generation, 100).await?;
    assert_eq!(claims.len(), stored.len() + 1, "{refused} were refused");
    Ok(())
}

#[tokio::test]
async fn a_claim_walks_the_index_in_order() -> Result<()> {
    let queue = Sqlite::in_memory(Limits::default())?;
    queue.submit(job("a", 10), None).await?;
    let plan = queue.send(|work| {
        let sql = "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE state = 'queued' AND delayed = 0 AND lane = ?1 \
                   AND (deadline IS NULL OR deadline > ?2) \
                   ORDER BY priority DESC, front DESC, turn, number LIMIT ?3";
        let mut query = work.db.prepare(sql)?;
        let lines = query.query_map(rusqlite::params!["generation", 0, 1], |row| row.get::<_, String>(3))?;
        Ok(lines.collect::<std::result::Result<Vec<_>, _>>()?.join("\n"))
    });
    let plan = plan.await?;
    assert!(plan.contains("jobs_waiting") && !plan.contains("TEMP B-TREE"), "{plan}");
    Ok(())
}

#[tokio::test]
async fn a_clean_up_gives_space_back() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = Sqlite::open(&folder.path().join("queue.db"), Limits::default())?;
    let pages = async || {
        let count = |work: &mut Work<'_>| {
            Ok(work.db.query_row("PRAGMA page_count", [], |row| row.get::<_, u32>(0))?)
        };
        queue.send(count).await
    };
    let before = pages().await?;
    for _ in 0..4 {
        queue.submit(job("a", 1_000_000), None).await?;
        let claim = queue.claim("w", Lane::Generation, 1).await?.pop().expect("it waits");
        queue.finish(&claim.lease, Outcome::Complete(json!({}))).await?;
    }
    assert!(pages().await? > before + 900);
    assert_eq!(queue.prune(queue.now().await? + 1000, 10).await?.len(), 4);
    assert!(pages().await? < before + 100, "{} pages, {before} before", pages().await?);
    Ok(())
}

/// A piece of work that asks for the next one, so that the writer has no pause.
fn endless(inbox: Sender<Box<dyn Piece>>, stop: Arc<AtomicBool>) -> Box<dyn Piece> {
    let function = move |_: &mut Work<'_>| {
        if !stop.load(Ordering::Relaxed) {
            inbox.send(endless(inbox.clone(), stop.clone())).expect("the writer listens");
        }
        Ok(())
    };
    Box::new(Call { function, result: None, reply: oneshot::channel().0 })
}

#[tokio::test]
async fn a_retry_comes_in_time_under_a_steady_load() -> Result<()> {
    let queue = Sqlite::in_memory(Limits { retry: Duration::from_millis(20), ..Limits::default() })?;
    queue.submit(job("a", 10), None).await?;
    let claim = queue.claim("w", Lane::Generation, 1).await?.pop().expect("it waits");
    let (stop, inbox) = (Arc::new(AtomicBool::new(false)), queue.inbox.clone().expect("it is open"));
    inbox.send(endless(inbox.clone(), stop.clone())).expect("the writer listens");
    queue.finish(&claim.lease, Outcome::Failed { error: json!({}), again: true }).await?;
    let started = Instant::now();
    let mut again = None;
    while again.is_none() && started.elapsed() < Duration::from_secs(10) {
        again = queue.claim("w", Lane::Generation, 1).await?.pop();
    }
    stop.store(true, Ordering::Relaxed);
    assert_eq!(again.expect("it waits no longer").job.attempts, 2);
    Ok(())
}
