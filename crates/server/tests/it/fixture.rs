//! A real server on a port of its own, with a real engine in a folder of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use partita_engine::family::{Made, Model, Report};
use partita_engine::{Config, Engine, Fault, Live, Options, Request};
use partita_queue::{ApiKey, Role};
use partita_server::app::Pace;
use partita_server::{App, listen};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

/// Long enough for a machine under load, short enough to see a test that hangs.
pub const LONG: Duration = Duration::from_secs(60);

pub struct Server {
    pub app: Arc<App>,
    pub address: SocketAddr,
    pub http: reqwest::Client,
    _dir: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub fn config(dir: &Path) -> Config {
    let mut config = Config::default();
    config.storage.data_dir = dir.to_owned();
    config.storage.min_free_mb = 0;
    config.server.sync_wait = 60.0;
    config
}

impl Server {
    /// With the bundled drummer.
    pub async fn start() -> Server {
        Server::start_with(|_| {}, Options::default()).await
    }

    /// With a player that never ends by itself, and tells of one bar.
    pub async fn start_endless() -> Server {
        Server::start_endless_at(Pace::default()).await
    }

    pub async fn start_endless_at(pace: Pace) -> Server {
        Server::start_endless_as(|_| {}, pace).await
    }

    pub async fn start_endless_with(change: impl FnOnce(&mut Config)) -> Server {
        Server::start_endless_as(change, Pace::default()).await
    }

    async fn start_endless_as(change: impl FnOnce(&mut Config), pace: Pace) -> Server {
        let player = |_: &Request,
                      _: Option<&Model>,
                      _: &HashMap<String, Vec<u8>>,
                      report: &mut dyn Report|
         -> Result<Made, Fault> {
            report.notes(None, 0, 0, 0.0, vec![]);
            loop {
                if let ControlFlow::Break(()) = report.progress("generate", 0.5, 1, 2) {
                    return Err(Fault::new(partita_engine::Code::Cancelled, "cancelled"));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let options = Options { player: Some(Arc::new(player)), ..Options::default() };
        let change = |config: &mut Config| {
            config.server.sync_wait = 0.05;
            change(config);
        };
        Server::start_at(change, options, pace).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config), options: Options) -> Server {
        Server::start_at(change, options, Pace::default()).await
    }

    pub async fn start_at(change: impl FnOnce(&mut Config), options: Options, pace: Pace) -> Server {
        partita_server::serve::install_crypto();
        let dir = tempfile::tempdir().expect("a folder");
        let mut config = config(dir.path());
        change(&mut config);
        let live = Arc::new(Live::fixed(config));
        let engine = Engine::start_with(live, options).await.expect("an engine");
        let app = App::paced(engine, pace);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (limits, stop) = (listen::Limits::default(), listen::Stop::default());
        let serving = tokio::spawn(listen::serve(listener, partita_server::router(&app), limits, stop));
        Server { app, address, http: reqwest::Client::new(), _dir: dir, serving }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(self.url(path))
    }

    pub async fn answer(&self, request: RequestBuilder) -> (u16, Value) {
        let response = send(request).await;
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// Posts JSON, and expects a task.
    pub async fn task(&self, path: &str, body: &Value) -> Value {
        let (status, task) = self.answer(self.post(path).json(body)).await;
        assert!(status == 200 || status == 202, "{status}: {task}");
        task
    }

    /// Posts JSON, and expects a complete task.
    pub async fn complete(&self, path: &str, body: Value) -> Value {
        let task = self.task(path, &body).await;
        assert_eq!(task["status"], "complete", "{task}");
        task
    }

    /// A key of this role; its id and its secret.
    pub async fn key(&self, role: Role) -> (String, String) {
        let (key, secret) = ApiKey::create("test", role, 0, None);
        self.app.engine.queue().put_key(&key).await.expect("stored");
        (key.id, secret.reveal().to_owned())
    }

    /// The bytes of a one-bar MIDI file.
    pub async fn midi(&self) -> Vec<u8> {
        let query = "/api/v1/generate/simple?style=rock&bars=1&seed=7";
        send(self.get(query)).await.bytes().await.expect("bytes").to_vec()
    }
}

pub async fn send(request: RequestBuilder) -> Response {
    request.timeout(LONG).send().await.expect("an answer")
}

pub fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map_or("", |value| value.to_str().expect("text")).to_owned()
}

/// Holds a problem to its form.
pub async fn problem(request: RequestBuilder, status: u16, slug: &str) -> Value {
    let response = send(request).await;
    let (got, kind, id) =
        (response.status().as_u16(), header(&response, "content-type"), header(&response, "x-request-id"));
    let text = response.text().await.expect("a body");
    assert_eq!(got, status, "{text}");
    assert_eq!(kind, "application/problem+json", "{text}");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["code"], slug, "{text}");
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], json!(id));
    assert_eq!(body["instance"], format!("/api/v1/requests/{id}"));
    body
}
