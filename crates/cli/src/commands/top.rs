//! `top`: a server at work, live in the terminal.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cancel;
use crate::client::Client;
use crate::error::Result;
use crate::output::write_stdout;
use crate::report::tame;
use crate::session::Session;

#[derive(Args, Debug)]
pub struct Options {
    /// Seconds between two looks
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    every: f64,
    /// Look once and stop; also what happens when nobody watches
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    client: Client,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| (0.1..=3600.0).contains(value));
    value.ok_or_else(|| format!("must be in 0.1..=3600, got {text:?}"))
}

/// Tasks shown at most.
const TASKS: usize = 12;
const BAR: usize = 20;

pub fn run(options: &Options, session: &Session) -> Result<()> {
    let live = std::io::stdout().is_terminal() && !options.once && !session.json;
    if !live {
        let seen = look(&options.client)?;
        return session.answer(&seen, &draw(&seen, session.color()), false);
    }
    cancel::listen();
    loop {
        let seen = look(&options.client)?;
        // Back to the corner and over what was there: no flicker, no second screen.
        let frame = draw(&seen, session.color()).replace('\n', "\x1b[K\n");
        write_stdout(format!("\x1b[H{frame}\x1b[J").as_bytes())?;
        let pause = Duration::from_secs_f64(options.every);
        let step = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        while waited < pause {
            if cancel::requested() {
                return Ok(());
            }
            std::thread::sleep(step);
            waited += step;
        }
    }
}

fn look(client: &Client) -> Result<Value> {
    let status = client.get("/api/v1/status")?;
    let running = client.get("/api/v1/tasks?status=running&limit=20")?;
    let queued = client.get("/api/v1/tasks?status=queued&limit=20")?;
    let models = client.get("/api/v1/models?loaded=true")?;
    Ok(json!({
        "status": status, "models": models["data"], "running": running["data"], "queued": queued["data"],
    }))
}

fn draw(seen: &Value, color: bool) -> String {
    let status = &seen["status"];
    let bold = |text: &str| if color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
    let word = |value: &Value| tame(value.as_str().unwrap_or_default());
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let mut text = String::new();
    let up = Duration::from_secs(number(&status["uptime"]) as u64);
    let _ = writeln!(
        text,
        "{}  {}  up {}  memory {} MiB  {:.0} tokens/s",
        bold("partita"),
        word(&status["version"]),
        clock(up),
        number(&status["memory_bytes"]) as u64 >> 20,
        number(&status["tokens_per_second"]),
    );
    let _ = writeln!(text, "\n{}", bold("lane         queued  running"));
    for (lane, queued) in status["queue"]["queued"].as_object().into_iter().flatten() {
        let running = &status["queue"]["running"][lane];
        let _ = writeln!(text, "{lane:12} {:>6}  {:>7}", number(queued), number(running));
    }
    let _ = writeln!(
        text,
        "\n{}",
        bold("worker                                    lanes                  running  done")
    );
    for worker in status["workers"].as_array().into_iter().flatten() {
        let lanes: Vec<&str> =
            worker["lanes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let id: String = word(&worker["id"]).chars().take(40).collect();
        let _ = writeln!(
            text,
            "{id:41} {:22} {:>7}  {:>4}",
            tame(&lanes.join(",")),
            number(&worker["running"]),
            number(&worker["done"])
        );
    }
    let _ = writeln!(text, "\n{}", bold("model                     memory  in use  requests"));
    for model in seen["models"].as_array().into_iter().flatten() {
        let name = format!("{}@{}", word(&model["name"]), word(&model["version"]));
        let _ = writeln!(
            text,
            "{name:24} {:>3} MiB  {:>6}  {:>8}",
            number(&model["memory_bytes"]) as u64 >> 20,
            number(&model["in_use"]),
            number(&model["requests"])
        );
    }
    let _ = writeln!(text, "\n{}", bold("task"));
    let tasks =
        ["running", "queued"].into_iter().flat_map(|state| seen[state].as_array().into_iter().flatten());
    for task in tasks.take(TASKS) {
        let done = number(&task["progress"]).clamp(0.0, 1.0);
        let full = (done * BAR as f64).round() as usize;
        let _ = writeln!(
            text,
            "{}  {}{}  {:3.0} %  {:8} {:9} {}",
            word(&task["id"]),
            "━".repeat(full),
            "─".repeat(BAR - full),
            done * 100.0,
            word(&task["status"]),
            word(&task["kind"]),
            word(&task["model"]),
        );
    }
    text
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_shows_lanes_workers_models_and_tasks() {
        let seen = json!({
            "status": {
                "version": "1.2", "uptime": 3725.2, "memory_bytes": 104857600, "tokens_per_second": 812.4,
                "queue": { "queued": { "generation": 7 }, "running": { "generation": 3 } },
                "workers": [{ "id": "box:17:ab", "lanes": ["midi", "heavy"], "running": 2, "done": 40 }],
            },
            "models": [{ "name": "drums", "version": "1", "memory_bytes": 8388608, "in_use": 3, "requests": 9 }],
            "running": [{ "id": "tsk_a", "progress": 0.5, "status": "running", "kind": "generate", "model": "drums@1" }],
            "queued": [],
        });
        let text = draw(&seen, false);
        for part in [
            "up 1:02:05",
            "memory 100 MiB",
            "812 tokens/s",
            "box:17:ab",
            "midi,heavy",
            "drums@1",
            "━━━━━━━━━━──────────   50 %",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_drawn_too() {
        assert!(draw(&json!({}), true).contains("partita"));
    }
}
