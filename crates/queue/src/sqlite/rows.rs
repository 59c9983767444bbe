//! Jobs as rows.

use std::fmt::Display;
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::queue::LISTED_BYTES;
use crate::{Error, Job, JobId, Millis, NewJob, Result};

/// The columns that [`job`] reads, in its order.
pub const COLUMNS: &str = "id, kind, lane, priority, owner, model, request, nonce, deadline, max_attempts, webhook, \
     idempotency_key, fingerprint, request_id, state, attempts, progress, result, error, cancel_requested, worker, \
     created_at, started_at, finished_at, deaths, trace";

/// [`COLUMNS`] with no more than the size of a long request, which is not read, not even to be measured; nor is what
/// stands behind it in the row.
pub fn brief() -> String {
    let long = format!(
        "CASE WHEN octet_length(request) > {LISTED_BYTES} \
         THEN '{{\"omitted_bytes\":' || octet_length(request) || '}}' ELSE request END"
    );
    COLUMNS.replace(" request,", &format!(" {long},")).replace(", trace", ", ''")
}

/// The columns of a list: [`brief`] and without results.
pub fn listed() -> String {
    brief().replace(" result,", " NULL,")
}

/// Reads a row of [`COLUMNS`].
pub fn job(row: &Row<'_>) -> Result<Job> {
    let idempotency = row.get::<_, Option<String>>(11)?.zip(row.get::<_, Option<String>>(12)?);
    let new = NewJob {
        id: word(row, 0)?,
        kind: row.get(1)?,
        lane: word(row, 2)?,
        priority: row.get(3)?,
        owner: row.get(4)?,
        model: row.get(5)?,
        request: json(row, 6)?.ok_or_else(|| Error::Damaged("a task without a request".into()))?,
        nonce: row.get(7)?,
        deadline: row.get(8)?,
        max_attempts: row.get(9)?,
        webhook: json(row, 10)?,
        idempotency,
        request_id: row.get(13)?,
        trace: row.get(25)?,
    };
    Ok(Job {
        new,
        state: word(row, 14)?,
        attempts: row.get(15)?,
        deaths: row.get(24)?,
        progress: json(row, 16)?.unwrap_or_default(),
        result: json(row, 17)?,
        error: json(row, 18)?,
        cancel_requested: row.get(19)?,
        worker: row.get(20)?,
        created_at: row.get(21)?,
        started_at: row.get(22)?,
        finished_at: row.get(23)?,
    })
}

/// Of a row of [`COLUMNS`].
pub fn deaths(row: &Row<'_>) -> Result<u32> {
    Ok(row.get(24)?)
}

fn word<T: FromStr<Err: Display>>(row: &Row<'_>, column: usize) -> Result<T> {
    let text = row.get_ref(column)?.as_str().map_err(|error| Error::Damaged(error.to_string()))?;
    text.parse().map_err(|error: T::Err| Error::Damaged(error.to_string()))
}

pub fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null().map_err(|error| Error::Damaged(error.to_string()))?;
    text.map(serde_json::from_str).transpose().map_err(|error| Error::Damaged(error.to_string()))
}

pub fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Damaged(error.to_string()))
}

pub fn get(db: &Connection, id: &JobId) -> Result<Option<Job>> {
    let mut query = db.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1"))?;
    query.query_row([id.as_str()], |row| Ok(job(row))).optional()?.transpose()
}

/// Stores a job as queued.
pub fn insert(db: &Connection, new: &NewJob, turn: i64, now: Millis) -> Result<()> {
    let mut query = db.prepare_cached(
        "INSERT INTO jobs (id, state, kind, lane, priority, owner, turn, max_attempts, deadline, created_at, model, \
         nonce, request_id, trace, idempotency_key, fingerprint, webhook, request) \
         VALUES (:id, 'queued', :kind, :lane, :priority, :owner, :turn, :max_attempts, :deadline, :now, :model, \
         :nonce, :request_id, :trace, :key, :fingerprint, :webhook, :request)",
    )?;
    let (key, fingerprint) = new.idempotency.as_ref().map(|(key, print)| (key, print)).unzip();
    query.execute(named_params! {
        ":id": new.id.as_str(),
        ":kind": new.kind,
        ":lane": new.lane.name(),
        ":priority": new.priority,
        ":owner": new.owner,
        ":turn": turn,
        ":max_attempts": new.max_attempts,
        ":deadline": new.deadline,
        ":now": now,
        ":model": new.model,
        ":nonce": new.nonce,
        ":request_id": new.request_id,
        ":trace": new.trace,
        ":key": key,
        ":fingerprint": fingerprint,
        ":webhook": new.webhook.as_ref().map(to_json).transpose()?,
        ":request": to_json(&new.request)?,
    })?;
    Ok(())
}

/// Jobs that go before one with this place, at most `most`.
pub fn ahead(db: &Connection, lane: &str, priority: u8, front: u8, turn: i64, most: i64) -> Result<u64> {
    let count = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<u64> {
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'queued' AND delayed = 0 AND lane = ?1 \
             AND {sql} LIMIT {most})"
        );
        Ok(db.prepare_cached(&sql)?.query_row(values, |row| row.get(0))?)
    };
    let mut sum = count("priority > ?2", &[&lane, &priority])?;
    sum += count("priority = ?2 AND front > ?3", &[&lane, &priority, &front])?;
    sum += count("priority = ?2 AND front = ?3 AND turn < ?4", &[&lane, &priority, &front, &turn])?;
    Ok(sum)
}
