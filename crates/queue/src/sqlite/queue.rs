//! The trait: each method sends its work to the thread that does it.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::timeout;

use super::{Sqlite, jobs, log, records, rows};
use crate::queue::last_event;
use crate::{
    ApiKey, Beat, Claim, Delivery, EventKind, Filter, Fut, Job, JobId, Lane, Lease, Limits, Millis, NewJob,
    Outcome, Page, Progress, Queue, Reaped, State, Stats, Submitted, Subscription, WorkerInfo,
};

impl Queue for Sqlite {
    fn submit(&self, job: NewJob, per_owner: Option<usize>) -> Fut<'_, Submitted> {
        Box::pin(self.write(move |work| jobs::submit(work, &job, per_owner)))
    }

    fn replay<'a>(
        &'a self,
        owner: Option<&'a str>,
        key: &'a str,
        fingerprint: &'a str,
    ) -> Fut<'a, Option<Job>> {
        let owner = owner.map(ToOwned::to_owned);
        let (key, print) = (key.to_owned(), fingerprint.to_owned());
        Box::pin(async move {
            let since = jobs::remembered_since(self.shared.live().clock.now(), &self.shared.limits());
            let find =
                move |db: &rusqlite::Connection| jobs::replay(db, owner.as_deref(), &key, &print, since);
            let mut job = self.read(find).await?;
            job.iter_mut().for_each(|job| self.add_progress(job));
            Ok(job)
        })
    }

    fn get<'a>(&'a self, id: &'a JobId) -> Fut<'a, Option<Job>> {
        Box::pin(async move {
            let name = id.clone();
            let mut job = self.read(move |db| rows::get(db, &name)).await?;
            job.iter_mut().for_each(|job| self.add_progress(job));
            Ok(job)
        })
    }

    fn list<'a>(&'a self, filter: &'a Filter) -> Fut<'a, Page> {
        Box::pin(async move {
            let filter = filter.clone();
            let mut page = self.read(move |db| records::list(db, &filter)).await?;
            page.jobs.iter_mut().for_each(|job| self.add_progress(job));
            Ok(page)
        })
    }

    fn position<'a>(&'a self, id: &'a JobId) -> Fut<'a, Option<u64>> {
        let id = id.clone();
        Box::pin(self.read(move |db| records::position(db, &id)))
    }

    fn claim<'a>(&'a self, worker: &'a str, lane: Lane, limit: usize) -> Fut<'a, Vec<Claim>> {
        let worker = worker.to_owned();
        Box::pin(self.write(move |work| jobs::claim(work, &worker, lane, limit)))
    }

    fn wait<'a>(&'a self, lanes: &'a [Lane], limit: Duration) -> Fut<'a, ()> {
        Box::pin(async move {
            let [midi, generation, heavy, audio] = Lane::ALL.map(|lane| async move {
                if lanes.contains(&lane) {
                    self.shared.lane(lane).notified().await;
                } else {
                    std::future::pending::<()>().await;
                }
            });
            let any = async {
                tokio::select! {
                    () = midi => {}
                    () = generation => {}
                    () = heavy => {}
                    () = audio => {}
                }
            };
            // Either is a reason to look.
            drop(timeout(limit, any).await);
            Ok(())
        })
    }

    fn heartbeat<'a>(&'a self, lease: &'a Lease, progress: &'a Progress) -> Fut<'a, Beat> {
        Box::pin(async move { Ok(self.shared.live().heartbeat(lease, progress, &self.shared.limits())) })
    }

    fn publish<'a>(&'a self, lease: &'a Lease, events: Vec<(EventKind, Value)>) -> Fut<'a, ()> {
        Box::pin(async move {
            let most = self.shared.limits().events;
            let mut live = self.shared.live();
            if live.holds(lease) {
                for (kind, data) in events.into_iter().filter(|(kind, _)| !kind.is_last()) {
                    live.logs.push(&lease.id, kind, data, most);
                }
            }
            Ok(())
        })
    }

    fn finish<'a>(&'a self, lease: &'a Lease, outcome: Outcome) -> Fut<'a, bool> {
        let lease = lease.clone();
        Box::pin(self.write(move |work| jobs::finish(work, &lease, &outcome)))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Fut<'a, bool> {
        let lease = lease.clone();
        Box::pin(self.write(move |work| jobs::release(work, &lease)))
    }

    fn cancel<'a>(&'a self, id: &'a JobId) -> Fut<'a, Option<Job>> {
        Box::pin(async move {
            let name = id.clone();
            let mut job = self.write(move |work| jobs::cancel(work, &name)).await?;
            job.iter_mut().for_each(|job| self.add_progress(job));
            Ok(job)
        })
    }

    fn update<'a>(&'a self, id: &'a JobId, parameters: Value) -> Fut<'a, bool> {
        Box::pin(async move {
            let runs = self.shared.live().update(id, parameters);
            if runs {
                self.shared.control.notify_one();
            }
            Ok(runs)
        })
    }

    fn wait_control(&self, limit: Duration) -> Fut<'_, Vec<JobId>> {
        Box::pin(async move {
            let marked = async {
                loop {
                    let ids = std::mem::take(&mut self.shared.live().control);
                    if !ids.is_empty() {
                        return ids;
                    }
                    // A call between the look and this is kept.
                    self.shared.control.notified().await;
                }
            };
            Ok(timeout(limit, marked).await.unwrap_or_default())
        })
    }

    fn reap(&self) -> Fut<'_, Reaped> {
        Box::pin(self.write(jobs::reap))
    }

    fn subscribe<'a>(&'a self, id: &'a JobId, after: u64) -> Fut<'a, Option<Subscription>> {
        Box::pin(async move {
            let name = id.clone();
            let standing = move |db: &rusqlite::Connection| records::standing(db, &name);
            let Some((state, sequence)) = self.read(standing.clone()).await? else { return Ok(None) };
            {
                let mut live = self.shared.live();
                if live.logs.is_known(id) {
                    return Ok(Some(live.logs.watch(id, after)));
                }
            }
            if let Some(kind) = last_event(state) {
                return Ok(Some(log::end_alone(sequence.unwrap_or(after + 1), kind, after)));
            }
            let subscription = self.shared.live().logs.watch(id, after);
            // It may have ended, and its log been dropped, between the look at the file and the new log.
            match self.read(standing).await? {
                Some((state, _)) => {
                    if let Some(kind) = last_event(state) {
                        self.end_log(id, kind);
                    }
                    Ok(Some(subscription))
                }
                None => {
                    self.shared.live().logs.forget(id);
                    Ok(None)
                }
            }
        })
    }

    fn stats(&self) -> Fut<'_, Stats> {
        Box::pin(async move {
            // The process that runs the jobs counts them; any other has to look.
            if self.keys_only { self.read(records::count).await } else { Ok(self.shared.stats()) }
        })
    }

    fn prune(&self, before: Millis, limit: usize) -> Fut<'_, Vec<Job>> {
        Box::pin(async move {
            let since = jobs::remembered_since(self.shared.live().clock.now(), &self.shared.limits());
            // Results are read beside the writer, who has better things to do.
            let mut jobs = self.read(move |db| records::forgettable(db, before, since, limit)).await?;
            let ids: Vec<JobId> = jobs.iter().map(|job| job.new.id.clone()).collect();
            if ids.is_empty() {
                return Ok(jobs);
            }
            let gone = self.write(move |work| records::prune(work, &ids, before, since)).await?;
            jobs.retain(|job| gone.contains(&job.new.id));
            Ok(jobs)
        })
    }

    fn now(&self) -> Fut<'_, Millis> {
        Box::pin(async { Ok(self.shared.live().clock.now()) })
    }

    fn put_key<'a>(&'a self, key: &'a ApiKey) -> Fut<'a, ()> {
        let key = key.clone();
        Box::pin(self.send(move |work| records::put_key(work.db, &key)))
    }

    fn key<'a>(&'a self, id: &'a str) -> Fut<'a, Option<ApiKey>> {
        let id = id.to_owned();
        Box::pin(async move { Ok(self.read(move |db| records::keys(db, Some(&id))).await?.pop()) })
    }

    fn keys(&self) -> Fut<'_, Vec<ApiKey>> {
        Box::pin(self.read(|db| records::keys(db, None)))
    }

    fn due_deliveries(&self, limit: usize, lease: Duration) -> Fut<'_, Vec<Delivery>> {
        Box::pin(self.write(move |work| records::due_deliveries(work, limit, lease)))
    }

    fn settle_delivery<'a>(&'a self, id: &'a str, retry_after: Option<Duration>) -> Fut<'a, ()> {
        let id = id.to_owned();
        Box::pin(self.write(move |work| records::settle_delivery(work, &id, retry_after)))
    }

    fn announce<'a>(&'a self, worker: &'a WorkerInfo) -> Fut<'a, ()> {
        Box::pin(async move {
            self.shared.live().workers.insert(worker.id.clone(), (worker.clone(), Instant::now()));
            Ok(())
        })
    }

    fn workers(&self) -> Fut<'_, Vec<WorkerInfo>> {
        Box::pin(async move {
            let mut live = self.shared.live();
            live.workers_seen(self.shared.limits().visibility * 3);
            Ok(live.workers.values().map(|(worker, _)| worker.clone()).collect())
        })
    }

    fn set_limits(&self, limits: Limits) {
        self.shared.set_limits(limits);
    }
}

impl Sqlite {
    /// Progress of what runs is in memory: telling it costs no write.
    fn add_progress(&self, job: &mut Job) {
        if job.state == State::Running
            && let Some(running) = self.shared.live().running.get(&job.new.id)
        {
            job.progress = running.progress.clone();
        }
    }

    fn end_log(&self, id: &JobId, kind: EventKind) {
        let most = self.shared.limits().events;
        self.shared.live().logs.push(id, kind, serde_json::json!({}), most);
    }
}
