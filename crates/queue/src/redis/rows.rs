//! Jobs and events as Redis gives them back.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, Event, EventKind, Job, JobId, NewJob, Result, State};

/// Fields and values of a job's hash.
pub(super) type Fields = HashMap<String, String>;

pub(super) fn json<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Damaged(format!("{name}: {error}")))
}

pub(super) fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::Damaged(format!("{name} must be a number, got {text:?}")))
}

pub(super) fn id(text: &str) -> Result<JobId> {
    text.parse().map_err(Error::Damaged)
}

pub(super) fn field<'a>(fields: &'a Fields, name: &str) -> Result<&'a str> {
    fields.get(name).map(String::as_str).ok_or_else(|| Error::Damaged(format!("a task has no {name}")))
}

pub(super) fn job(fields: &Fields) -> Result<Job> {
    let value = |name: &str| fields.get(name).map(|text| json::<Value>(name, text)).transpose();
    let time = |name: &str| fields.get(name).map(|text| number(name, text)).transpose();
    let state: State = field(fields, "state")?.parse().map_err(Error::Damaged)?;
    let new: NewJob = json("new", field(fields, "new")?)?;
    Ok(Job {
        new: NewJob { request: json("request", field(fields, "request")?)?, ..new },
        state,
        attempts: number("attempts", field(fields, "attempts")?)?,
        deaths: number("deaths", field(fields, "deaths")?)?,
        progress: fields.get("progress").map(|text| json("progress", text)).transpose()?.unwrap_or_default(),
        result: value("result")?,
        error: value("error")?,
        cancel_requested: field(fields, "cancel")? == "1",
        worker: fields.get("worker").cloned(),
        created_at: number("created", field(fields, "created")?)?,
        started_at: time("started")?,
        finished_at: time("finished")?,
    })
}

pub(super) fn kind(name: &str) -> Result<EventKind> {
    let all = [
        EventKind::Queued,
        EventKind::Started,
        EventKind::Progress,
        EventKind::Notes,
        EventKind::Audio,
        EventKind::Log,
        EventKind::Reset,
        EventKind::Complete,
        EventKind::Failed,
        EventKind::Cancelled,
    ];
    let kind = all.into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| Error::Damaged(format!("an event has the strange kind {name:?}")))
}

/// Part of a job's log.
pub(super) struct Log {
    pub state: State,
    /// Of the newest event, kept or not.
    pub sequence: u64,
    pub events: Vec<Event>,
}

/// Id, then names and values in turn.
type Entry = (String, Vec<String>);

/// State, sequence, events; nothing for a job that is not there.
pub(super) type RawLog = Option<(String, String, Vec<Entry>)>;

impl Log {
    pub(super) fn read((state, sequence, entries): (String, String, Vec<Entry>)) -> Result<Log> {
        let mut events = Vec::with_capacity(entries.len());
        for (id, fields) in entries {
            let get = |name: &str| {
                fields.chunks_exact(2).find(|pair| pair[0] == name).map_or("", |pair| pair[1].as_str())
            };
            let sequence = number("an event's id", id.strip_prefix("0-").unwrap_or(&id))?;
            events.push(Event { sequence, kind: kind(get("kind"))?, data: json("an event", get("data"))? });
        }
        Ok(Log {
            state: state.parse().map_err(Error::Damaged)?,
            sequence: number("sequence", &sequence)?,
            events,
        })
    }

    /// The last event of an ended job, whether it is kept or not.
    pub(super) fn last(&self) -> Option<Event> {
        let kind = crate::queue::last_event(self.state)?;
        Some(crate::queue::event(self.sequence, kind, Value::Object(serde_json::Map::new())))
    }
}
