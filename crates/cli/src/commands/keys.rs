//! `keys`: who may use a server.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use partita_engine::{Config, Live, open_keys};
use partita_queue::{ApiKey, Queue, Role};
use partita_server::audit::{Act, Audit};
use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};
use crate::report::tame;
use crate::session::Session;
use crate::settings::{Settings, runtime};

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a key; it is shown once
    Create(Create),
    /// The keys there are, without their secrets
    List(Settings),
    /// Make a key useless from now on
    Revoke(Revoke),
}

#[derive(Args, Debug)]
pub struct Create {
    /// What it is for
    #[arg(long, default_value = "")]
    name: String,
    /// viewer looks, user makes music, admin manages the server
    #[arg(long, value_enum, default_value_t = RoleName::User)]
    role: RoleName,
    /// Days until it expires; never if left out
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
    expires: Option<u32>,
    /// Tasks an hour; each request of a batch counts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    hourly: Option<u32>,
    /// Tasks that may wait or run at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrent: Option<u32>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args, Debug)]
pub struct Revoke {
    /// Its id, as `keys list` shows it
    id: String,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Viewer,
    User,
    Admin,
}

const DAY: i64 = 86_400_000;

pub fn run(command: &Command, session: &Session) -> Result<()> {
    let settings = match command {
        Command::Create(create) => &create.settings,
        Command::List(settings) => settings,
        Command::Revoke(revoke) => &revoke.settings,
    };
    let live = settings.live(vec![])?;
    if !matches!(command, Command::Create(_)) {
        must_exist(&live.get())?;
    }
    runtime()?.block_on(async {
        let queue = open_keys(&live.get()).await.map_err(Error::failed)?;
        let queue = queue.as_ref();
        match command {
            Command::Create(options) => create(options, queue, &live, session).await,
            Command::List(_) => list(queue, session).await,
            Command::Revoke(options) => revoke(&options.id, queue, &live, session).await,
        }
    })
}

/// Refuses a store that is not there: opening it would make it, and a folder that was misspelt would hold no keys.
fn must_exist(config: &Config) -> Result<()> {
    let Some(file) = config.store_file().filter(|file| !file.exists()) else { return Ok(()) };
    let folder = config.data_dir();
    let what = if folder.is_dir() {
        format!("no keys are kept in {}: it has no {}", folder.display(), name(&file))
    } else {
        format!("no such folder: {}", folder.display())
    };
    let next =
        "--data-dir or --config names that of the server; `partita keys create` makes a first key there";
    Err(Error::new(Kind::NotFound, "data-dir", format!("{what}; {next}")))
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Writes a change of keys into the server's audit file, if the configuration names one. Whoever runs this has the store
/// itself, so no key is named as the one who did it.
fn audit(live: &Arc<Live>, what: &str, status: u16) {
    let audit = Audit::start(live.clone());
    let act = Act { kind: "action", request_id: "", what, status };
    audit.act(IpAddr::V4(Ipv4Addr::LOCALHOST), None, act);
    audit.flush(Duration::from_secs(2));
}

async fn create(options: &Create, queue: &dyn Queue, live: &Arc<Live>, session: &Session) -> Result<()> {
    let now = queue.now().await.map_err(Error::failed)?;
    let role = match options.role {
        RoleName::Viewer => Role::Viewer,
        RoleName::User => Role::User,
        RoleName::Admin => Role::Admin,
    };
    let expires = options.expires.map(|days| now + i64::from(days) * DAY);
    let (mut key, secret) = ApiKey::create(&options.name, role, now, expires);
    key.hourly_limit = options.hourly;
    key.concurrent_limit = options.concurrent;
    queue.put_key(&key).await.map_err(Error::failed)?;
    let mut object = shown(&key, now);
    audit(live, &format!("keys create {} {}", key.id, object["role"].as_str().unwrap_or_default()), 201);
    object["key"] = json!(secret.reveal());
    let text = format!(
        "{}\nkeep it: it is not shown again. Send it as `Authorization: Bearer {}...`\n",
        secret.reveal(),
        &secret.reveal()[..20]
    );
    session.answer(&object, &text, false)
}

async fn list(queue: &dyn Queue, session: &Session) -> Result<()> {
    let now = queue.now().await.map_err(Error::failed)?;
    let keys = queue.keys().await.map_err(Error::failed)?;
    let mut text = String::new();
    for key in &keys {
        let object = shown(key, now);
        let role = object["role"].as_str().unwrap_or_default();
        let state = object["state"].as_str().unwrap_or_default();
        let _ = writeln!(text, "{}  {role:6}  {state:8}  {}", key.id, tame(&key.name));
    }
    if keys.is_empty() {
        text.push_str("no keys; `partita keys create` makes one\n");
    }
    let objects: Vec<Value> = keys.iter().map(|key| shown(key, now)).collect();
    session.answer(&json!({ "keys": objects }), &text, false)
}

async fn revoke(id: &str, queue: &dyn Queue, live: &Arc<Live>, session: &Session) -> Result<()> {
    let now = queue.now().await.map_err(Error::failed)?;
    let key = queue.key(id).await.map_err(Error::failed)?;
    let Some(mut key) = key else {
        let message = format!("no key has the id {id:?}; `partita keys list` shows them");
        return Err(Error::new(Kind::NotFound, "id", message));
    };
    key.revoked_at.get_or_insert(now);
    queue.put_key(&key).await.map_err(Error::failed)?;
    audit(live, &format!("keys revoke {id}"), 200);
    session.answer(&shown(&key, now), &format!("{id} is revoked\n"), false)
}

/// A key without its hash.
fn shown(key: &ApiKey, now: i64) -> Value {
    let state = match key {
        ApiKey { revoked_at: Some(_), .. } => "revoked",
        key if key.is_live(now) => "live",
        _ => "expired",
    };
    let left = key.expires_at.map(|end| Duration::from_millis((end - now).max(0) as u64).as_secs());
    json!({
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "state": state,
        "hourly_limit": key.hourly_limit,
        "concurrent_limit": key.concurrent_limit,
        "created_at_ms": key.created_at,
        "expires_at_ms": key.expires_at,
        "expires_in_seconds": left,
    })
}
