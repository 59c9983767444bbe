//! [`Queue`] on Redis: one script a method.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use serde_json::Value;

use crate::{
    ApiKey, Beat, Claim, Delivery, Error, EventKind, Filter, Fut, Job, JobId, Lane, Lease, Limits, Millis,
    NewJob, Outcome, Page, Progress, Queue, Reaped, Result, State, Stats, Submitted, Subscription,
    WorkerInfo,
};

use super::link::millis;
use super::rows::{self, Fields};
use super::watch::watch;
use super::{Redis, scripts};
use crate::queue::PRUNED_BYTES;
use crate::retry::QUIET;

/// Jobs a reaper changes in one step, so that others get a word in.
const REAP: usize = 100;
/// Jobs looked at in one step of a clean-up.
const PRUNE: usize = 100;

impl Queue for Redis {
    fn submit(&self, mut job: NewJob, per_owner: Option<usize>) -> Fut<'_, Submitted> {
        Box::pin(async move {
            let limits = self.limits();
            let lane_limit = limits.queued.get(&job.lane).copied().unwrap_or(usize::MAX).min(1 << 50);
            let owner_limit = per_owner.or(limits.per_owner);
            let whose = whose(job.owner.as_deref());
            let (idem, print) = match &job.idempotency {
                Some((key, print)) => (idempotency(&whose, key), print.as_str()),
                None => (String::new(), ""),
            };
            let (hook, wants) = match &job.webhook {
                Some(hook) => (text(hook)?, wanted(hook)),
                None => (String::new(), String::new()),
            };
            // Apart from the rest, so that lists need not read it.
            let request = std::mem::take(&mut job.request).to_string();
            let new = text(&job)?;
            let (what, about, fields): (String, String, Fields) = self
                .run(&scripts::SUBMIT, |call| {
                    call.arg(job.id.as_str()).arg(job.lane.name()).arg(job.priority.min(9)).arg(&whose);
                    call.arg(&job.kind)
                        .arg(new)
                        .arg(job.deadline.map_or(String::new(), |time| time.to_string()));
                    call.arg(job.max_attempts.max(1)).arg(hook).arg(wants);
                    call.arg(idem).arg(print).arg(millis(limits.idempotency).max(1));
                    call.arg(lane_limit).arg(owner_limit.map_or(String::new(), |limit| limit.to_string()));
                    call.arg(request);
                })
                .await?;
            match what.as_str() {
                "new" => Ok(Submitted::New(rows::job(&fields)?)),
                "replayed" => Ok(Submitted::Replayed(rows::job(&fields)?)),
                "reused" => Err(Error::KeyReused(rows::id(&about)?)),
                "owner" => Err(Error::OwnerFull { limit: rows::number("limit", &about)? }),
                "full" => Err(Error::Full { lane: job.lane, limit: rows::number("limit", &about)? }),
                other => Err(Error::Damaged(format!("the submit script says {other:?}"))),
            }
        })
    }

    fn replay<'a>(
        &'a self,
        owner: Option<&'a str>,
        key: &'a str,
        fingerprint: &'a str,
    ) -> Fut<'a, Option<Job>> {
        Box::pin(async move {
            let idem = idempotency(&whose(owner), key);
            let (what, id, fields): (String, String, Fields) = self
                .run(&scripts::REPLAY, |call| {
                    call.arg(idem).arg(fingerprint);
                })
                .await?;
            if what == "reused" {
                return Err(Error::KeyReused(rows::id(&id)?));
            }
            some_job(&fields)
        })
    }

    fn get<'a>(&'a self, id: &'a JobId) -> Fut<'a, Option<Job>> {
        Box::pin(async move {
            let name = self.link.name(&format!("job:{id}"));
            some_job(&self.link.command(redis::cmd("HGETALL").arg(name)).await?)
        })
    }

    fn list<'a>(&'a self, filter: &'a Filter) -> Fut<'a, Page> {
        Box::pin(async move {
            let list =
                filter.owner.as_deref().map_or("list".into(), |owner| format!("list:{}", whose(Some(owner))));
            let after = filter.after.as_ref().map_or("", JobId::as_str);
            let state = filter.state.map_or("", State::name);
            let kind = filter.kind.as_deref().unwrap_or_default();
            let limit = filter.limit.clamp(1, 100);
            let (mut from, mut jobs) = (String::new(), Vec::new());
            loop {
                // One more than wanted tells whether there are more.
                let (next, found): (String, Vec<Fields>) = self
                    .run(&scripts::LIST, |call| {
                        call.arg(&list)
                            .arg(&from)
                            .arg(after)
                            .arg(state)
                            .arg(kind)
                            .arg(limit + 1 - jobs.len());
                    })
                    .await?;
                for fields in &found {
                    let job = rows::job(fields)?;
                    jobs.push(Job { new: NewJob { trace: String::new(), ..job.new }, ..job });
                }
                if jobs.len() > limit || next.is_empty() {
                    let has_more = jobs.len() > limit;
                    jobs.truncate(limit);
                    return Ok(Page { jobs, has_more });
                }
                from = next;
            }
        })
    }

    fn position<'a>(&'a self, id: &'a JobId) -> Fut<'a, Option<u64>> {
        Box::pin(async move {
            self.run(&scripts::POSITION, |call| {
                call.arg(id.as_str());
            })
            .await
        })
    }

    fn claim<'a>(&'a self, worker: &'a str, lane: Lane, limit: usize) -> Fut<'a, Vec<Claim>> {
        Box::pin(async move {
            let news = self.hub.news(lane);
            let (waiting, found): (u64, Vec<Fields>) = self
                .run(&scripts::CLAIM, |call| {
                    call.arg(worker).arg(lane.name()).arg(limit.min(1000)).arg(millis(QUIET));
                })
                .await?;
            if waiting == 0 {
                self.hub.empty(lane, news);
            }
            let mut claims = Vec::with_capacity(found.len());
            for fields in &found {
                let job = rows::job(fields)?;
                let lease = Lease {
                    id: job.new.id.clone(),
                    fence: rows::number("fence", rows::field(fields, "fence")?)?,
                };
                self.hub.began(&lease, rows::number("taken", rows::field(fields, "taken")?)?);
                claims.push(Claim { job, lease });
            }
            Ok(claims)
        })
    }

    fn wait<'a>(&'a self, lanes: &'a [Lane], timeout: Duration) -> Fut<'a, ()> {
        Box::pin(async move {
            self.hub.wait(lanes, timeout).await;
            Ok(())
        })
    }

    fn heartbeat<'a>(&'a self, lease: &'a Lease, progress: &'a Progress) -> Fut<'a, Beat> {
        Box::pin(async move {
            let seen = self.hub.seen(lease);
            let progress = text(progress)?;
            let (held, cancelled, taken, updates): (bool, bool, u64, Vec<String>) = self
                .run(&scripts::HEARTBEAT, |call| {
                    call.arg(lease.id.as_str()).arg(lease.fence).arg(progress).arg(seen);
                })
                .await?;
            if !held {
                self.hub.ended(lease);
                return Ok(Beat { lost: true, ..Beat::default() });
            }
            let updates: Vec<Value> =
                updates.iter().map(|text| rows::json("update", text)).collect::<Result<_>>()?;
            self.hub.saw(lease, taken + updates.len() as u64);
            Ok(Beat { lost: false, cancelled, updates })
        })
    }

    fn publish<'a>(&'a self, lease: &'a Lease, events: Vec<(EventKind, Value)>) -> Fut<'a, ()> {
        Box::pin(async move {
            let events: Vec<(&str, String)> =
                events.into_iter().map(|(kind, data)| (kind.name(), data.to_string())).collect();
            let print = {
                let mut hasher = std::hash::DefaultHasher::new();
                events.hash(&mut hasher);
                hasher.finish()
            };
            let batch = self.hub.publishing(lease, print);
            let end: Result<bool> = self
                .run(&scripts::PUBLISH, |call| {
                    call.arg(lease.id.as_str()).arg(lease.fence).arg(batch);
                    for (kind, data) in events {
                        call.arg(kind).arg(data);
                    }
                })
                .await;
            if end.is_ok() {
                self.hub.published(lease, batch);
            }
            end.map(drop)
        })
    }

    fn finish<'a>(&'a self, lease: &'a Lease, outcome: Outcome) -> Fut<'a, bool> {
        Box::pin(async move {
            let (state, value, again) = match outcome {
                Outcome::Complete(result) => (State::Complete, result.to_string(), false),
                Outcome::Failed { error, again } => (State::Failed, error.to_string(), again),
                Outcome::Cancelled => (State::Cancelled, String::new(), false),
            };
            let wait = millis(self.limits().retry);
            let held = self
                .run(&scripts::FINISH, |call| {
                    call.arg(lease.id.as_str())
                        .arg(lease.fence)
                        .arg(state.name())
                        .arg(value)
                        .arg(again)
                        .arg(wait);
                })
                .await?;
            self.hub.ended(lease);
            Ok(held)
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Fut<'a, bool> {
        Box::pin(async move {
            let held = self
                .run(&scripts::RELEASE, |call| {
                    call.arg(lease.id.as_str()).arg(lease.fence);
                })
                .await?;
            self.hub.ended(lease);
            Ok(held)
        })
    }

    fn cancel<'a>(&'a self, id: &'a JobId) -> Fut<'a, Option<Job>> {
        Box::pin(async move {
            let fields: Fields = self
                .run(&scripts::CANCEL, |call| {
                    call.arg(id.as_str());
                })
                .await?;
            some_job(&fields)
        })
    }

    fn update<'a>(&'a self, id: &'a JobId, parameters: Value) -> Fut<'a, bool> {
        Box::pin(async move {
            self.run(&scripts::UPDATE, |call| {
                call.arg(id.as_str()).arg(parameters.to_string());
            })
            .await
        })
    }

    fn wait_control(&self, timeout: Duration) -> Fut<'_, Vec<JobId>> {
        Box::pin(async move { Ok(self.hub.wait_control(timeout).await) })
    }

    fn reap(&self) -> Fut<'_, Reaped> {
        Box::pin(async move {
            let mut sum = Reaped::default();
            let visibility = millis(self.limits().visibility);
            loop {
                let (requeued, parked, expired, more): (usize, usize, usize, bool) = self
                    .run(&scripts::REAP, |call| {
                        call.arg(visibility).arg(REAP);
                        for lane in Lane::ALL {
                            call.arg(lane.name());
                        }
                    })
                    .await?;
                sum.requeued += requeued;
                sum.parked += parked;
                sum.expired += expired;
                if !more {
                    return Ok(sum);
                }
            }
        })
    }

    fn subscribe<'a>(&'a self, id: &'a JobId, after: u64) -> Fut<'a, Option<Subscription>> {
        Box::pin(watch(&self.link, &self.hub, id, after))
    }

    fn stats(&self) -> Fut<'_, Stats> {
        Box::pin(async move {
            let numbers: Vec<u64> = self
                .run(&scripts::STATS, |call| {
                    for lane in Lane::ALL {
                        call.arg(lane.name());
                    }
                })
                .await?;
            let [pairs @ .., done, parked, deliveries] = numbers.as_slice() else {
                return Err(Error::Damaged("the stats script says nothing".into()));
            };
            let by_lane = |which: usize| -> BTreeMap<Lane, u64> {
                Lane::ALL.into_iter().zip(pairs.chunks_exact(2).map(|pair| pair[which])).collect()
            };
            Ok(Stats {
                queued: by_lane(0),
                running: by_lane(1),
                done: *done,
                parked: *parked,
                deliveries: *deliveries,
            })
        })
    }

    fn prune(&self, before: Millis, limit: usize) -> Fut<'_, Vec<Job>> {
        Box::pin(async move {
            let (mut jobs, mut bytes, mut passed) = (Vec::new(), 0, 0);
            while jobs.len() < limit && bytes < PRUNED_BYTES {
                let count = PRUNE.min(limit - jobs.len());
                let end: Result<(usize, usize, Vec<Fields>)> = self
                    .run(&scripts::PRUNE, |call| {
                        call.arg(before).arg(count).arg(passed).arg(PRUNED_BYTES - bytes);
                    })
                    .await;
                let (looked, kept, gone) = match end {
                    Ok(end) => end,
                    // What is gone already must reach the caller, who removes the files.
                    Err(_) if !jobs.is_empty() => return Ok(jobs),
                    Err(error) => return Err(error),
                };
                passed += kept;
                for fields in &gone {
                    bytes += fields.get("result").map_or(0, String::len);
                    match rows::job(fields) {
                        Ok(job) => jobs.push(job),
                        Err(error) => tracing::warn!(%error, "a forgotten task could not be read"),
                    }
                }
                if looked == 0 {
                    break;
                }
            }
            Ok(jobs)
        })
    }

    fn now(&self) -> Fut<'_, Millis> {
        Box::pin(async move {
            let (seconds, micros): (i64, i64) = self.link.command(&redis::cmd("TIME")).await?;
            Ok(seconds * 1000 + micros / 1000)
        })
    }

    fn put_key<'a>(&'a self, key: &'a ApiKey) -> Fut<'a, ()> {
        Box::pin(async move {
            let name = self.link.name("keys");
            self.link.command(redis::cmd("HSET").arg(name).arg(&key.id).arg(text(key)?)).await
        })
    }

    fn key<'a>(&'a self, id: &'a str) -> Fut<'a, Option<ApiKey>> {
        Box::pin(async move {
            let name = self.link.name("keys");
            let key: Option<String> = self.link.command(redis::cmd("HGET").arg(name).arg(id)).await?;
            key.map(|key| rows::json("key", &key)).transpose()
        })
    }

    fn keys(&self) -> Fut<'_, Vec<ApiKey>> {
        Box::pin(async move {
            let all: Vec<String> = self.link.command(redis::cmd("HVALS").arg(self.link.name("keys"))).await?;
            let mut keys: Vec<ApiKey> =
                all.iter().map(|key| rows::json("key", key)).collect::<Result<_>>()?;
            keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
            Ok(keys)
        })
    }

    fn due_deliveries(&self, limit: usize, lease: Duration) -> Fut<'_, Vec<Delivery>> {
        Box::pin(async move {
            let due: Vec<(String, String, String, u32)> = self
                .run(&scripts::DUE, |call| {
                    call.arg(limit.min(1000)).arg(millis(lease));
                })
                .await?;
            let delivery = |(id, job, hook, attempts): (String, String, String, u32)| {
                Ok(Delivery { id, job: rows::id(&job)?, webhook: rows::json("webhook", &hook)?, attempts })
            };
            due.into_iter().map(delivery).collect()
        })
    }

    fn settle_delivery<'a>(&'a self, id: &'a str, retry_after: Option<Duration>) -> Fut<'a, ()> {
        Box::pin(async move {
            let _done: bool = self
                .run(&scripts::SETTLE, |call| {
                    call.arg(id).arg(retry_after.map_or(String::new(), |time| millis(time).to_string()));
                })
                .await?;
            Ok(())
        })
    }

    fn announce<'a>(&'a self, worker: &'a WorkerInfo) -> Fut<'a, ()> {
        Box::pin(async move {
            let info = text(worker)?;
            self.tell_workers(&worker.id, info).await?;
            Ok(())
        })
    }

    fn workers(&self) -> Fut<'_, Vec<WorkerInfo>> {
        Box::pin(async move {
            let told = self.tell_workers("", String::new()).await?;
            let worker = |(seen_at, info): (Millis, String)| {
                Ok(WorkerInfo { seen_at, ..rows::json("worker", &info)? })
            };
            told.into_iter().map(worker).collect()
        })
    }

    fn set_limits(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(std::sync::PoisonError::into_inner) = limits;
    }
}

impl Redis {
    /// Tells of a worker unless `id` is empty; returns when each was seen and what it told.
    async fn tell_workers(&self, id: &str, info: String) -> Result<Vec<(Millis, String)>> {
        let silence = millis(self.limits().visibility.saturating_mul(3));
        self.run(&scripts::ANNOUNCE, |call| {
            call.arg(id).arg(info).arg(silence);
        })
        .await
    }
}

/// The part of names that says whose a job is.
fn whose(owner: Option<&str>) -> String {
    owner.map_or("-".into(), |owner| format!("of:{owner}"))
}

/// The name of an idempotency key. Its length keeps owner and key apart, whatever they hold.
fn idempotency(whose: &str, key: &str) -> String {
    format!("{}:{whose}:{key}", whose.len())
}

fn wanted(hook: &crate::Webhook) -> String {
    let ends = [State::Complete, State::Failed, State::Cancelled];
    let wanted: Vec<&str> = ends.into_iter().filter(|end| hook.wants(*end)).map(State::name).collect();
    wanted.join(",")
}

fn text<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Damaged(error.to_string()))
}

fn some_job(fields: &Fields) -> Result<Option<Job>> {
    if fields.is_empty() { Ok(None) } else { rows::job(fields).map(Some) }
}
