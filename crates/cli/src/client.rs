//! Talking to a running server.

use std::time::Duration;

use clap::Args;
use reqwest::{Method, Response};
use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// Options of every command that talks to a server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Server")]
pub struct Client {
    /// Address of the server
    #[arg(long, value_name = "URL", env = "PARTITA_SERVER", default_value = "http://127.0.0.1:8000")]
    pub server: String,
    /// API key, if the server asks for one; others on this machine can read a command line, so better in the variable
    #[arg(long, value_name = "KEY", env = "PARTITA_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
}

/// What happened to a task.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub name: &'a str,
    /// Its place in the log of the task; `None` if the server gives it none.
    pub sequence: Option<u64>,
    pub data: &'a Value,
}

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one stream of events may live before it is taken up anew.
const LIFETIME: Duration = Duration::from_secs(3600);
/// Connections that bring nothing, one after another, before a stream is given up.
const TRIES: u32 = 20;

impl Client {
    /// # Errors
    /// As [`Client::call`].
    pub fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None)
    }

    /// One call; `body` is sent as JSON.
    ///
    /// # Errors
    /// [`Kind::Unreachable`], or what the server says is wrong.
    pub fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::failed(format!("no thread to call the server: {e}")))?;
        runtime.block_on(self.send(method, path, body))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let response = self.request(method, path, body, PATIENCE)?.send().await;
        self.answer(response.map_err(|e| self.unreachable(&e))?).await
    }

    /// The JSON of an answer, or what is wrong with it.
    async fn answer(&self, response: Response) -> Result<Value> {
        let status = response.status();
        let bytes = response.bytes().await.map_err(|e| self.unreachable(&e))?;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(answer) if status.is_success() && answer.is_object() => Ok(answer),
            Ok(answer) if !status.is_success() => Err(problem(status.as_u16(), &answer)),
            _ => Err(self.stranger(status.as_u16())),
        }
    }

    fn stranger(&self, status: u16) -> Error {
        let server = &self.server;
        Error::new(
            Kind::Failed,
            "server",
            format!("{server} is no Partita server (it answers {status} without JSON)"),
        )
    }

    /// Calls `each` with every event of a task until it says no or the task has ended; a connection that breaks is
    /// taken up where it was.
    ///
    /// # Errors
    /// As [`Client::call`], once the server cannot be reached several times in a row.
    pub fn events(&self, path: &str, mut each: impl FnMut(Event<'_>) -> bool) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::failed(format!("no thread to call the server: {e}")))?;
        runtime.block_on(async {
            let (mut last, mut failures) = (None, 0);
            loop {
                let before = last;
                match self.follow(path, &mut last, &mut each).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(error) if error.kind != Kind::Unreachable => return Err(error),
                    Err(error) => {
                        failures = if last == before { failures + 1 } else { 1 };
                        if failures >= TRIES {
                            return Err(error);
                        }
                    }
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    }

    /// One connection's events after `last`; `true` when nothing more is wanted or to come.
    async fn follow(
        &self,
        path: &str,
        last: &mut Option<u64>,
        each: &mut impl FnMut(Event<'_>) -> bool,
    ) -> Result<bool> {
        let mut request = self.request(Method::GET, path, None, LIFETIME)?;
        if let Some(last) = last {
            request = request.header("Last-Event-ID", *last);
        }
        let mut response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let kind =
            response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !response.status().is_success() || !kind.starts_with("text/event-stream") {
            let status = response.status().as_u16();
            return Err(self.answer(response).await.err().unwrap_or_else(|| self.stranger(status)));
        }
        let mut pending: Vec<u8> = Vec::new();
        let (mut event, mut number) = (String::new(), None);
        loop {
            // The server says something every fifteen seconds, if only that it is there.
            let chunk = tokio::time::timeout(PATIENCE, response.chunk()).await;
            let Ok(chunk) = chunk else { return Ok(false) };
            let Some(chunk) = chunk.map_err(|e| self.unreachable(&e))? else { return Ok(false) };
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(id) = line.strip_prefix("id:") {
                    number = id.trim().parse().ok();
                } else if let Some(name) = line.strip_prefix("event:") {
                    name.trim().clone_into(&mut event);
                } else if let Some(data) = line.strip_prefix("data:") {
                    let data = serde_json::from_str(data.trim()).unwrap_or_default();
                    *last = number.or(*last);
                    let told = Event { name: &event, sequence: number, data: &data };
                    if !each(told) || matches!(event.as_str(), "complete" | "failed" | "cancelled") {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<reqwest::RequestBuilder> {
        partita_server::serve::install_crypto();
        let url = format!("{}{path}", self.server.trim_end_matches('/'));
        let url =
            reqwest::Url::parse(&url).ok().filter(|url| url.has_host() && url.scheme().starts_with("http"));
        let url = url.ok_or_else(|| {
            Error::usage("server", format!("server must be http://HOST:PORT, got {:?}", self.server))
        })?;
        let mut builder =
            reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).timeout(patience);
        if is_here(&url) {
            // A proxy for the outside has no business with this machine, nor with its keys.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|e| Error::failed(format!("no HTTP client: {e}")))?;
        let mut request = client.request(method, url);
        if let Some(key) = &self.api_key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(request)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            why = inner.to_string();
            source = inner.source();
        }
        let server = &self.server;
        Error::new(
            Kind::Unreachable,
            "server",
            format!("{server} does not answer ({why}); is it running? `partita serve` starts one"),
        )
    }
}

/// Whether a URL leads to this machine.
fn is_here(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a server says is wrong, as an error of ours.
fn problem(status: u16, answer: &Value) -> Error {
    let text = |key: &str| answer[key].as_str().map(str::to_owned);
    let message = text("detail").or_else(|| text("title")).unwrap_or_else(|| format!("HTTP status {status}"));
    let kind = match status {
        404 => Kind::NotFound,
        400 | 422 => Kind::Usage,
        _ => Kind::Failed,
    };
    let pointer = answer["errors"][0]["pointer"].as_str().map(|at| at.trim_start_matches("#/").to_owned());
    match pointer {
        Some(field) => Error::new(kind, field, message),
        None => Error { kind, ..Error::failed(message) },
    }
}
