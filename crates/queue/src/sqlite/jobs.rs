//! What is written about jobs: submitting, claiming and every way to end.

use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, named_params, params};
use serde_json::{Value, json};

use super::live::Running;
use super::rows::{self, COLUMNS};
use super::schedule::Count;
use super::writer::Work;
use crate::queue::last_event;
use crate::retry::{SUSPECT, back_off, gave_up, past_deadline};
use crate::{
    Claim, Error, EventKind, Job, JobId, Lane, Lease, Limits, Millis, NewJob, Outcome, Progress, Reaped,
    Result, State, Submitted,
};

/// Position told to a job that waits behind very many: counting further would hold up others.
const FAR: i64 = 1000;

/// Places of jobs before their equals. Of suspects, those with the fewest deaths come first: if something from outside
/// ends process after process, it is not the same job that is hit each time.
const FRONT: u8 = 1;

fn alone(deaths: u32) -> u8 {
    u8::MAX - u8::try_from(deaths).unwrap_or(u8::MAX).min(u8::MAX - FRONT - 1)
}

/// Rows that one call of the reaper changes at most of each kind, so that others get their turn.
const REAPED: i64 = 500;

pub fn submit(work: &mut Work<'_>, new: &NewJob, per_owner: Option<usize>) -> Result<Submitted> {
    if let Some((key, fingerprint)) = &new.idempotency {
        let since = remembered_since(work.now, &work.limits);
        if let Some(job) = replay(work.db, new.owner.as_deref(), key, fingerprint, since)? {
            return Ok(Submitted::Replayed(job));
        }
    }
    let lane = new.lane;
    if let Some(&limit) = work.limits.queued.get(&lane)
        && work.schedule.queued(lane) >= limit
    {
        return Err(Error::Full { lane, limit });
    }
    if let Some(limit) = per_owner.or(work.limits.per_owner) {
        let mut query = work.db.prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state IN ('queued', 'running') AND owner IS ?1 LIMIT ?2)",
        )?;
        let active: usize = query
            .query_row(params![new.owner, i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?;
        if active >= limit {
            return Err(Error::OwnerFull { limit });
        }
    }
    let turn = work.schedule.next_turn(lane, new.priority, new.owner.as_deref());
    rows::insert(work.db, new, turn, work.now)?;
    work.schedule.count(Count::Queued(lane), 1);
    if let Some((key, fingerprint)) = &new.idempotency {
        let owner = new.owner.as_deref().unwrap_or_default();
        let mut query =
            work.db.prepare_cached("INSERT OR REPLACE INTO idempotency VALUES (?1, ?2, ?3, ?4, ?5)")?;
        query.execute(params![owner, key, fingerprint, new.id.as_str(), work.now])?;
    }
    let position = rows::ahead(work.db, lane.name(), new.priority, 0, turn, FAR)?;
    let (id, most) = (new.id.clone(), work.limits.events);
    work.after(move |live| {
        live.clock.needed();
        live.logs.begin(&id);
        live.logs.push(&id, EventKind::Queued, json!({ "position": position }), most);
    });
    work.wake(lane);
    let job = rows::get(work.db, &new.id)?;
    Ok(Submitted::New(job.ok_or_else(|| Error::Damaged("a task just stored is not there".into()))?))
}

/// The job that an idempotency key brought after `since`.
pub fn replay(
    db: &Connection,
    owner: Option<&str>,
    key: &str,
    fingerprint: &str,
    since: Millis,
) -> Result<Option<Job>> {
    let mut query = db.prepare_cached(
        "SELECT fingerprint, job FROM idempotency WHERE owner = ?1 AND key = ?2 AND created_at > ?3",
    )?;
    let values = params![owner.unwrap_or_default(), key, since];
    let known: Option<(String, String)> =
        query.query_row(values, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((known, id)) = known else { return Ok(None) };
    let id: JobId = id.parse().map_err(Error::Damaged)?;
    let job = rows::get(db, &id)?;
    if job.is_some() && known != fingerprint {
        return Err(Error::KeyReused(id));
    }
    Ok(job)
}

/// Idempotency keys from before then are forgotten.
pub fn remembered_since(now: Millis, limits: &Limits) -> Millis {
    now.saturating_sub_unsigned(u64::try_from(limits.idempotency.as_millis()).unwrap_or(u64::MAX))
}

pub fn claim(work: &mut Work<'_>, worker: &str, lane: Lane, limit: usize) -> Result<Vec<Claim>> {
    if limit == 0 || work.schedule.is_shut(lane) {
        return Ok(Vec::new());
    }
    let (mut claims, suspect) = next(work, lane, limit)?;
    if !suspect {
        work.schedule.stop_waiting(lane);
    }
    let mut update = work.db.prepare_cached(
        "UPDATE jobs SET state = 'running', front = 0, attempts = attempts + 1, fence = ?2, worker = ?3, \
         started_at = ?4, progress = NULL WHERE id = ?1",
    )?;
    for Claim { job, lease } in &mut claims {
        update.execute(params![lease.id.as_str(), lease.fence, worker, work.now])?;
        work.schedule.count(Count::Queued(lane), -1);
        work.schedule.run(lane, job.deaths, 1);
        job.state = State::Running;
        job.attempts += 1;
        job.worker = Some(worker.to_owned());
        job.started_at = Some(work.now);
        job.progress = Progress::default();
        let lease = lease.clone();
        let until = Instant::now() + work.limits.visibility;
        work.after(move |live| {
            let running = Running {
                fence: lease.fence,
                until,
                cancelled: false,
                updates: Vec::new(),
                progress: Progress::default(),
            };
            live.running.insert(lease.id, running);
        });
    }
    if claims.len() == limit {
        // There may be more: the next sleeper looks.
        work.wake(lane);
    }
    Ok(claims)
}

/// The jobs whose turn it is, and whether the next is a suspect that waits for the others to end.
fn next(work: &mut Work<'_>, lane: Lane, limit: usize) -> Result<(Vec<Claim>, bool)> {
    let mut query = work.db.prepare_cached(&format!(
        "SELECT {COLUMNS}, fence, turn FROM jobs WHERE state = 'queued' AND delayed = 0 AND lane = ?1 \
         AND (deadline IS NULL OR deadline > ?2) ORDER BY priority DESC, front DESC, turn, number",
    ))?;
    let mut found = query.query(params![lane.name(), work.now])?;
    let mut claims = Vec::new();
    while claims.len() < limit
        && let Some(row) = found.next()?
    {
        let suspect = rows::deaths(row)? >= SUSPECT;
        if suspect && !claims.is_empty() {
            break;
        }
        if suspect && !work.schedule.is_idle() {
            if work.schedule.wait_for_idle(lane) {
                return Ok((claims, true));
            }
            continue;
        }
        let job = rows::job(row)?;
        let fence: u64 = row.get("fence")?;
        work.schedule.claimed(lane, job.new.priority, row.get("turn")?);
        let lease = Lease { id: job.new.id.clone(), fence: fence + 1 };
        claims.push(Claim { job, lease });
        if suspect {
            break;
        }
    }
    Ok((claims, false))
}

/// What an ending needs to know of a running job.
struct Held {
    id: JobId,
    lane: Lane,
    priority: u8,
    owner: Option<String>,
    attempts: u32,
    deaths: u32,
    max_attempts: u32,
    cancel: bool,
    last_error: Option<Value>,
}

fn held(work: &Work<'_>, id: &JobId, fence: Option<u64>) -> Result<Option<Held>> {
    let mut query = work.db.prepare_cached(
        "SELECT lane, priority, owner, attempts, max_attempts, cancel_requested, last_error, deaths FROM jobs \
         WHERE id = ?1 AND state = 'running' AND fence = ifnull(?2, fence)",
    )?;
    let row = query.query_row(params![id.as_str(), fence], |row| {
        let lane: String = row.get(0)?;
        Ok(lane.parse().map_err(Error::Damaged).and_then(|lane| {
            Ok(Held {
                id: id.clone(),
                lane,
                priority: row.get(1)?,
                owner: row.get(2)?,
                attempts: row.get(3)?,
                deaths: row.get(7)?,
                max_attempts: row.get(4)?,
                cancel: row.get(5)?,
                last_error: rows::json(row, 6)?,
            })
        }))
    });
    row.optional()?.transpose()
}

pub fn finish(work: &mut Work<'_>, lease: &Lease, outcome: &Outcome) -> Result<bool> {
    let Some(held) = held(work, &lease.id, Some(lease.fence))? else { return Ok(false) };
    match outcome {
        Outcome::Complete(result) => {
            stop(work, &held, End { result: Some(result), ..End::of(State::Complete) })?;
        }
        Outcome::Cancelled => stop(work, &held, End::of(State::Cancelled))?,
        Outcome::Failed { .. } if held.cancel => stop(work, &held, End::of(State::Cancelled))?,
        Outcome::Failed { error, again } if *again && held.errors() < held.max_attempts => {
            retry(work, &held, error)?;
        }
        Outcome::Failed { error, again } => {
            stop(work, &held, End { error: Some(error), parked: *again, ..End::of(State::Failed) })?;
        }
    }
    Ok(true)
}

impl Held {
    /// Tries that ended in an error, if this one does.
    fn errors(&self) -> u32 {
        self.attempts.saturating_sub(self.deaths)
    }
}

/// The job runs no longer.
fn leave(work: &mut Work<'_>, held: &Held) {
    if work.schedule.keeps_waiting() {
        Lane::ALL.into_iter().for_each(|lane| work.wake(lane));
    }
    work.schedule.run(held.lane, held.deaths, -1);
}

/// Ends a running job.
fn stop(work: &mut Work<'_>, held: &Held, how: End<'_>) -> Result<()> {
    leave(work, held);
    end(work, &held.id, how)
}

/// Ends a job that waits.
fn drop_queued(work: &mut Work<'_>, id: &JobId, lane: Lane, how: End<'_>) -> Result<()> {
    work.schedule.count(Count::Queued(lane), -1);
    end(work, id, how)
}

/// How a job ends.
#[derive(Clone, Copy)]
struct End<'a> {
    state: State,
    result: Option<&'a Value>,
    error: Option<&'a Value>,
    parked: bool,
}

impl End<'_> {
    fn of(state: State) -> Self {
        End { state, result: None, error: None, parked: false }
    }
}

/// Ends a job, whoever held it, and stores the call of its webhook.
fn end(work: &mut Work<'_>, id: &JobId, end: End<'_>) -> Result<()> {
    let (sequence, progress) = {
        let live = work.shared.live();
        (live.logs.next_sequence(id), live.running.get(id).map(|running| running.progress.clone()))
    };
    let mut update = work.db.prepare_cached(
        "UPDATE jobs SET state = :state, result = :result, error = :error, parked = :parked, sequence = :sequence, \
         progress = ifnull(:progress, progress), finished_at = :now, front = 0, delayed = 0 WHERE id = :id \
         RETURNING webhook",
    )?;
    let values = named_params! {
        ":id": id.as_str(),
        ":state": end.state.name(),
        ":result": end.result.map(rows::to_json).transpose()?,
        ":error": end.error.map(rows::to_json).transpose()?,
        ":parked": end.parked,
        ":sequence": sequence,
        ":progress": progress.as_ref().map(rows::to_json).transpose()?,
        ":now": work.now,
    };
    let webhook: Option<crate::Webhook> = update.query_row(values, |row| Ok(rows::json(row, 0)))??;
    if let Some(webhook) = webhook.filter(|webhook| webhook.wants(end.state)) {
        let mut insert = work.db.prepare_cached(
            "INSERT INTO deliveries (id, job, webhook, due_at, set_at) VALUES (?1, ?2, ?3, ?4, ?4)",
        )?;
        insert.execute(params![format!("msg_{id}"), id.as_str(), rows::to_json(&webhook)?, work.now])?;
        work.schedule.count(Count::Deliveries, 1);
    }
    work.schedule.count(Count::Done, 1);
    work.schedule.count(Count::Parked, i64::from(end.parked));
    let kind = last_event(end.state).expect("an end has an event");
    let (id, most) = (id.clone(), work.limits.events);
    work.after(move |live| {
        live.let_go(&id);
        live.logs.push(&id, kind, json!({}), most);
    });
    Ok(())
}

/// Puts a running job back at the front of its priority.
fn requeue(work: &mut Work<'_>, held: &Held, died: bool) -> Result<()> {
    let mut update = work.db.prepare_cached(
        "UPDATE jobs SET state = 'queued', front = ?3, attempts = attempts - NOT ?2, deaths = deaths + ?2, \
         started_at = NULL, progress = NULL WHERE id = ?1",
    )?;
    let deaths = held.deaths + u32::from(died);
    update.execute(params![held.id.as_str(), died, if deaths >= SUSPECT { alone(deaths) } else { FRONT }])?;
    queued_again(work, held);
    work.wake(held.lane);
    Ok(())
}

/// Puts a running job that failed at the back of its priority, to be tried again after a wait.
fn retry(work: &mut Work<'_>, held: &Held, error: &Value) -> Result<()> {
    let turn = work.schedule.next_turn(held.lane, held.priority, held.owner.as_deref());
    let mut update = work.db.prepare_cached(
        "UPDATE jobs SET state = 'queued', delayed = 1, front = ?4, turn = ?2, last_error = ?3, \
         started_at = NULL, progress = NULL WHERE id = ?1",
    )?;
    let front = if held.deaths >= SUSPECT { alone(held.deaths) } else { 0 };
    update.execute(params![held.id.as_str(), turn, rows::to_json(error)?, front])?;
    let wait = back_off(work.limits.retry, held.errors());
    work.later(Instant::now() + wait, held.lane, held.id.clone());
    queued_again(work, held);
    Ok(())
}

fn queued_again(work: &mut Work<'_>, held: &Held) {
    leave(work, held);
    work.schedule.count(Count::Queued(held.lane), 1);
    let (id, most) = (held.id.clone(), work.limits.events);
    work.after(move |live| {
        live.let_go(&id);
        live.logs.push(&id, EventKind::Queued, json!({ "position": 0 }), most);
    });
}

pub fn release(work: &mut Work<'_>, lease: &Lease) -> Result<bool> {
    let Some(held) = held(work, &lease.id, Some(lease.fence))? else { return Ok(false) };
    if held.cancel {
        stop(work, &held, End::of(State::Cancelled))?;
    } else {
        requeue(work, &held, false)?;
    }
    Ok(true)
}

pub fn cancel(work: &mut Work<'_>, id: &JobId) -> Result<Option<Job>> {
    let Some(job) = rows::get(work.db, id)? else { return Ok(None) };
    match job.state {
        State::Queued => {
            drop_queued(work, id, job.new.lane, End::of(State::Cancelled))?;
        }
        State::Running => {
            work.db
                .prepare_cached("UPDATE jobs SET cancel_requested = 1 WHERE id = ?1")?
                .execute([id.as_str()])?;
            let id = id.clone();
            work.after(move |live| {
                if let Some(running) = live.running.get_mut(&id) {
                    running.cancelled = true;
                    live.mark(&id);
                }
            });
            work.wake_control();
        }
        _ => return Ok(Some(job)),
    }
    rows::get(work.db, id)
}

pub fn reap(work: &mut Work<'_>) -> Result<Reaped> {
    let now = Instant::now();
    let late: Vec<(JobId, u64)> = {
        let mut live = work.shared.live();
        live.workers_seen(work.limits.visibility * 3);
        live.deliveries.retain(|_, until| *until > now);
        let late = live.running.iter().filter(|(_, running)| running.until <= now);
        late.take(REAPED as usize).map(|(id, running)| (id.clone(), running.fence)).collect()
    };
    let mut reaped = Reaped::default();
    for (id, fence) in late {
        match held(work, &id, Some(fence))? {
            Some(held) => lose(work, &held, &mut reaped)?,
            None => work.after(move |live| live.let_go(&id)),
        }
    }
    expire(work, &mut reaped)?;
    let since = remembered_since(work.now, &work.limits);
    work.db.prepare_cached("DELETE FROM idempotency WHERE created_at <= ?1")?.execute([since])?;
    follow_clock(work)?;
    Ok(reaped)
}

/// A difference from the clock of the machine that nobody notices, ms.
const NEAR: Millis = 1000;

/// Takes the time of the machine over while no job needs the old one; idempotency keys stay as old as they are.
fn follow_clock(work: &mut Work<'_>) -> Result<()> {
    let waiting = Lane::ALL.into_iter().any(|lane| work.schedule.queued(lane) > 0);
    let behind = {
        let mut live = work.shared.live();
        if waiting || !live.running.is_empty() {
            live.clock.needed();
        }
        live.clock.behind().filter(|behind| behind.abs() >= NEAR)
    };
    let Some(behind) = behind else { return Ok(()) };
    tracing::info!(seconds = behind / 1000, "the clock of the machine was set");
    work.db.prepare_cached("UPDATE idempotency SET created_at = created_at + ?1")?.execute([behind])?;
    work.after(move |live| live.clock.advance(behind));
    Ok(())
}

/// At opening: whoever ran a job then is gone.
pub fn recover(work: &mut Work<'_>) -> Result<Reaped> {
    let ids: Vec<String> = work
        .db
        .prepare("SELECT id FROM jobs WHERE state = 'running' ORDER BY number")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut reaped = Reaped::default();
    for id in ids {
        if let Some(held) = held(work, &id.parse().map_err(Error::Damaged)?, None)? {
            lose(work, &held, &mut reaped)?;
        }
    }
    // Their waits were in memory.
    work.db.execute("UPDATE jobs SET delayed = 0 WHERE delayed = 1", [])?;
    expire(work, &mut reaped)?;
    Ok(reaped)
}

/// A lease ran out.
fn lose(work: &mut Work<'_>, held: &Held, reaped: &mut Reaped) -> Result<()> {
    if held.cancel {
        return stop(work, held, End::of(State::Cancelled));
    }
    if held.deaths + 1 < held.max_attempts {
        reaped.requeued += 1;
        return requeue(work, held, true);
    }
    reaped.parked += 1;
    let error = gave_up(held.attempts, held.last_error.as_ref());
    let mut count = work.db.prepare_cached("UPDATE jobs SET deaths = deaths + 1 WHERE id = ?1")?;
    count.execute([held.id.as_str()])?;
    stop(work, held, End { error: Some(&error), parked: true, ..End::of(State::Failed) })
}

/// Fails jobs that waited past their deadline.
fn expire(work: &mut Work<'_>, reaped: &mut Reaped) -> Result<()> {
    let late: Vec<(String, String)> = work
        .db
        .prepare_cached("SELECT id, lane FROM jobs WHERE state = 'queued' AND deadline <= ?1 LIMIT ?2")?
        .query_map([work.now, REAPED], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, lane) in late {
        let (id, lane) = (id.parse().map_err(Error::Damaged)?, lane.parse().map_err(Error::Damaged)?);
        drop_queued(work, &id, lane, End { error: Some(&past_deadline()), ..End::of(State::Failed) })?;
        reaped.expired += 1;
    }
    Ok(())
}
