//! `tasks`: what a server is doing, and stopping it.

use std::fmt::Write;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, Event};
use crate::error::{Error, Kind, Result};
use crate::output::write_stdout;
use crate::report::tame;
use crate::session::Session;

#[derive(Subcommand, Debug)]
pub enum Command {
    /// The newest tasks
    List(List),
    /// One task
    Show(One),
    /// Follow a task to its end, one line an event
    ///
    /// With --json each line is an object {"event":...,"id":...,"sequence":...,"data":{...}}, printed as the event comes:
    /// queued, started, progress, notes or audio, and at last complete, failed or cancelled with the task as its data.
    Watch(One),
    /// Stop a task
    Cancel(One),
}

#[derive(Args, Debug)]
pub struct List {
    /// Only tasks that are queued, running, complete, failed or cancelled
    #[arg(long)]
    status: Option<String>,
    /// How many, 1..=100
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Only tasks older than this one
    #[arg(long, value_parser = id)]
    after: Option<String>,
    #[command(flatten)]
    client: Client,
}

#[derive(Args, Debug)]
pub struct One {
    /// Its id, tsk_...
    #[arg(value_parser = id)]
    id: String,
    #[command(flatten)]
    client: Client,
}

fn id(text: &str) -> std::result::Result<String, String> {
    text.parse::<partita_queue::JobId>().map(String::from)
}

pub fn run(command: &Command, session: &Session) -> Result<()> {
    match command {
        Command::List(list) => {
            let mut path = format!("/api/v1/tasks?limit={}", list.limit);
            if let Some(status) = &list.status {
                let status: partita_queue::State = status.parse().map_err(|e| Error::usage("status", e))?;
                let _ = write!(path, "&status={}", status.name());
            }
            if let Some(after) = &list.after {
                let _ = write!(path, "&after={after}");
            }
            let answer = list.client.get(&path)?;
            let mut text = String::new();
            for task in answer["data"].as_array().into_iter().flatten() {
                text.push_str(&line(task));
            }
            if text.is_empty() {
                text.push_str("no tasks\n");
            }
            session.answer(&answer, &text, false)
        }
        Command::Show(one) => {
            let task = one.client.get(&format!("/api/v1/tasks/{}", one.id))?;
            let mut text = line(&task);
            for file in task["result"]["files"].as_array().into_iter().flatten() {
                let _ = writeln!(text, "  {}{}", one.client.server, word(&file["url"]));
            }
            session.answer(&task, &text, false)
        }
        Command::Cancel(one) => {
            let task = one.client.call(Method::DELETE, &format!("/api/v1/tasks/{}", one.id), None)?;
            session.answer(&task, &line(&task), false)
        }
        Command::Watch(one) => watch(one, session),
    }
}

/// One line an event, with `--json` an object each.
fn watch(one: &One, session: &Session) -> Result<()> {
    let mut wrote = Ok(());
    let mut end = None;
    one.client.events(&format!("/api/v1/tasks/{}/events", one.id), |Event { name, sequence, data }| {
        let is_end = matches!(name, "complete" | "failed" | "cancelled");
        if is_end {
            end = Some(name.to_owned());
        }
        let text = match name {
            _ if session.json => {
                format!("{}\n", json!({ "event": name, "id": one.id, "sequence": sequence, "data": data }))
            }
            _ if is_end => line(data),
            "progress" => format!("{:3.0} %  {}\n", percent(&data["progress"]), word(&data["stage"])),
            "audio" => format!("sound {}\n", data["seq"].as_u64().unwrap_or(0) + 1),
            "notes" => {
                let notes = data["notes"].as_array().map_or(0, Vec::len);
                format!("bar {}: {notes} notes\n", data["bar"].as_u64().unwrap_or(0) + 1)
            }
            _ => format!("{name}\n"),
        };
        wrote = write_stdout(text.as_bytes());
        wrote.is_ok() && !is_end
    })?;
    wrote?;
    let end = end.ok_or_else(|| Error::failed("the server closed the stream before the task ended"))?;
    // What became of the task stands above; here it decides the exit code.
    match end.as_str() {
        "failed" => Err(Error::told(Kind::Failed)),
        "cancelled" => Err(Error::told(Kind::Cancelled)),
        _ => Ok(()),
    }
}

fn line(task: &Value) -> String {
    let mut text = format!(
        "{}  {:9}  {:3.0} %  {:9} {}",
        word(&task["id"]),
        word(&task["status"]),
        percent(&task["progress"]),
        word(&task["kind"]),
        word(&task["model"])
    );
    if let Some(why) = task["error"]["detail"].as_str() {
        let _ = write!(text, "  {}", tame(why));
    }
    text.push('\n');
    text
}

fn word(value: &Value) -> String {
    tame(value.as_str().unwrap_or_default())
}

fn percent(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0) * 100.0
}
