//! What is written and read besides the lives of jobs: lists, numbers, clean-up, keys and deliveries.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::rows;
use super::schedule::Count;
use super::writer::Work;
use crate::queue::PRUNED_BYTES;
use crate::{ApiKey, Delivery, Error, Filter, Job, JobId, Lane, Millis, Page, Result, State, Stats};

/// Pages given back to the disk after one clean-up; with results of the largest size there are as many.
const FREED_PAGES: usize = 4096;

/// State and number of the last event of a job, if it is there.
pub fn standing(db: &Connection, id: &JobId) -> Result<Option<(State, Option<u64>)>> {
    let mut query = db.prepare_cached("SELECT state, sequence FROM jobs WHERE id = ?1")?;
    let row: Option<(String, Option<u64>)> =
        query.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    row.map(|(state, sequence)| Ok((state.parse().map_err(Error::Damaged)?, sequence))).transpose()
}

pub fn list(db: &Connection, filter: &Filter) -> Result<Page> {
    let limit = filter.limit.clamp(1, 100);
    // Only the conditions that are asked for, so that an index serves them.
    let mut conditions = String::from("1");
    for (is_asked, condition) in [
        (filter.state.is_some(), "state = :state"),
        (filter.owner.is_some(), "owner = :owner"),
        (filter.kind.is_some(), "kind = :kind"),
        (filter.after.is_some(), "id < :after"),
    ] {
        if is_asked {
            conditions = format!("{conditions} AND {condition}");
        }
    }
    let mut query = db.prepare_cached(&format!(
        "SELECT {} FROM jobs WHERE {conditions} ORDER BY id DESC LIMIT {}",
        rows::listed(),
        limit + 1
    ))?;
    let all = named_params! {
        ":state": filter.state.map(State::name),
        ":owner": filter.owner,
        ":kind": filter.kind,
        ":after": filter.after.as_ref().map(JobId::as_str),
    };
    for (name, value) in all {
        if let Some(index) = query.parameter_index(name)? {
            query.raw_bind_parameter(index, value)?;
        }
    }
    let mut found = query.raw_query();
    let mut jobs = Vec::new();
    while let Some(row) = found.next()? {
        jobs.push(rows::job(row)?);
    }
    let has_more = jobs.len() > limit;
    jobs.truncate(limit);
    Ok(Page { jobs, has_more })
}

pub fn position(db: &Connection, id: &JobId) -> Result<Option<u64>> {
    let mut query =
        db.prepare_cached("SELECT lane, priority, front, turn FROM jobs WHERE id = ?1 AND state = 'queued'")?;
    let place: Option<(String, u8, u8, i64)> = query
        .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    place
        .map(|(lane, priority, front, turn)| rows::ahead(db, &lane, priority, front, turn, i64::MAX))
        .transpose()
}

/// Counts everything, which takes as long as there are jobs.
pub fn count(db: &Connection) -> Result<Stats> {
    let mut stats = Stats::default();
    for lane in Lane::ALL {
        stats.queued.insert(lane, 0);
        stats.running.insert(lane, 0);
    }
    // Each condition is an index's own, which is all that is read then.
    let count = |condition: &str, into: &mut BTreeMap<Lane, u64>| -> Result<()> {
        let sql = format!("SELECT lane, count(*) FROM jobs WHERE {condition} GROUP BY lane");
        let mut query = db.prepare_cached(&sql)?;
        let mut found = query.query([])?;
        while let Some(row) = found.next()? {
            let lane: String = row.get(0)?;
            *into.entry(lane.parse().map_err(Error::Damaged)?).or_default() += row.get::<_, u64>(1)?;
        }
        Ok(())
    };
    count("state = 'queued' AND delayed = 0", &mut stats.queued)?;
    count("state = 'queued' AND delayed = 1", &mut stats.queued)?;
    count("state = 'running'", &mut stats.running)?;
    let number = |sql: &str| -> Result<u64> { Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?) };
    stats.done = number("SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL")?;
    stats.parked = number("SELECT count(*) FROM jobs WHERE parked = 1")?;
    stats.deliveries = number("SELECT count(*) FROM deliveries")?;
    Ok(stats)
}

/// Jobs that ended before `before` and that nothing needs any more; `since`: when keys are remembered from.
const FORGETTABLE: &str = "finished_at < :before \
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.id = 'msg_' || jobs.id) \
     AND (idempotency_key IS NULL OR NOT EXISTS (SELECT 1 FROM idempotency WHERE \
     idempotency.owner = ifnull(jobs.owner, '') AND key = idempotency_key AND job = jobs.id AND \
     idempotency.created_at > :since))";

/// Some jobs that may be forgotten, without long requests.
pub fn forgettable(db: &Connection, before: Millis, since: Millis, limit: usize) -> Result<Vec<Job>> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {}, octet_length(result) AS result_bytes FROM jobs WHERE {FORGETTABLE} ORDER BY finished_at LIMIT :limit",
        rows::brief()
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut found = query.query(named_params! { ":before": before, ":since": since, ":limit": limit })?;
    let (mut jobs, mut bytes) = (Vec::new(), 0);
    while bytes < PRUNED_BYTES
        && let Some(row) = found.next()?
    {
        bytes += row.get::<_, Option<usize>>("result_bytes")?.unwrap_or_default();
        jobs.push(rows::job(row)?);
    }
    Ok(jobs)
}

/// Forgets those of `ids` that still may be; returns them.
pub fn prune(work: &mut Work<'_>, ids: &[JobId], before: Millis, since: Millis) -> Result<HashSet<JobId>> {
    let mut delete = work
        .db
        .prepare_cached(&format!("DELETE FROM jobs WHERE id = :id AND {FORGETTABLE} RETURNING parked"))?;
    let mut gone = HashSet::new();
    for id in ids {
        let values = named_params! { ":id": id.as_str(), ":before": before, ":since": since };
        let Some(parked) = delete.query_row(values, |row| row.get::<_, bool>(0)).optional()? else {
            continue;
        };
        work.schedule.count(Count::Done, -1);
        work.schedule.count(Count::Parked, -i64::from(parked));
        gone.insert(id.clone());
        let id = id.clone();
        work.after(move |live| live.logs.forget(&id));
    }
    if !gone.is_empty() {
        // Each step moves one page to the end and cuts it off.
        let mut shrink = work.db.prepare_cached(&format!("PRAGMA incremental_vacuum({FREED_PAGES})"))?;
        let mut steps = shrink.query([])?;
        while steps.next()?.is_some() {}
    }
    Ok(gone)
}

pub fn put_key(db: &Connection, key: &ApiKey) -> Result<()> {
    let mut query = db.prepare_cached("INSERT OR REPLACE INTO keys VALUES (?1, ?2, ?3)")?;
    query.execute(params![key.id, key.created_at, rows::to_json(key)?])?;
    Ok(())
}

/// The key of an id, or all keys in the order of their making.
pub fn keys(db: &Connection, id: Option<&str>) -> Result<Vec<ApiKey>> {
    let mut query =
        db.prepare_cached("SELECT key FROM keys WHERE ?1 IS NULL OR id = ?1 ORDER BY created_at, id")?;
    let mut found = query.query([id])?;
    let mut keys = Vec::new();
    while let Some(row) = found.next()? {
        keys.extend(rows::json(row, 0)?);
    }
    Ok(keys)
}

pub fn due_deliveries(work: &mut Work<'_>, limit: usize, lease: Duration) -> Result<Vec<Delivery>> {
    let leased: Vec<String> = {
        let (live, now) = (work.shared.live(), Instant::now());
        live.deliveries.iter().filter(|(_, until)| **until > now).map(|(id, _)| id.clone()).collect()
    };
    let mut query = work.db.prepare_cached(
        "SELECT id, job, webhook, attempts FROM deliveries WHERE due_at <= ?1 OR set_at > ?1 ORDER BY due_at LIMIT ?2",
    )?;
    let mut found = query
        .query(params![work.now, i64::try_from(limit.saturating_add(leased.len())).unwrap_or(i64::MAX)])?;
    let mut due = Vec::new();
    while let Some(row) = found.next()? {
        let (id, job): (String, String) = (row.get(0)?, row.get(1)?);
        if due.len() == limit || leased.contains(&id) {
            continue;
        }
        let webhook =
            rows::json(row, 2)?.ok_or_else(|| Error::Damaged("a delivery without a webhook".into()))?;
        due.push(Delivery { id, job: job.parse().map_err(Error::Damaged)?, webhook, attempts: row.get(3)? });
    }
    drop(found);
    // Counted when it is given out: a call that takes the process down is a try as well.
    let mut count = work.db.prepare_cached("UPDATE deliveries SET attempts = attempts + 1 WHERE id = ?1")?;
    for delivery in &due {
        count.execute([&delivery.id])?;
        let (id, until) = (delivery.id.clone(), Instant::now() + lease);
        work.after(move |live| {
            live.deliveries.insert(id, until);
        });
    }
    Ok(due)
}

pub fn settle_delivery(work: &mut Work<'_>, id: &str, retry_after: Option<Duration>) -> Result<()> {
    match retry_after {
        None => {
            let gone = work.db.prepare_cached("DELETE FROM deliveries WHERE id = ?1")?.execute([id])?;
            work.schedule.count(Count::Deliveries, -i64::try_from(gone).unwrap_or_default());
        }
        Some(wait) => {
            let due = work.now.saturating_add_unsigned(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            let mut query =
                work.db.prepare_cached("UPDATE deliveries SET due_at = ?2, set_at = ?3 WHERE id = ?1")?;
            query.execute(params![id, due, work.now])?;
        }
    }
    let id = id.to_owned();
    work.after(move |live| {
        live.deliveries.remove(&id);
    });
    Ok(())
}
