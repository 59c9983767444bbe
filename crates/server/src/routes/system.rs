//! The server itself: how it is, how it is set, and its upkeep.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use partita_engine::Cleaned;
use partita_engine::config::redacted;
use partita_queue::Role;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::call::Call;
use crate::App;
use crate::problem::{Answer, Field, Kind, Problem};
use crate::wire::time::rfc3339;

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub struct SystemStatus {
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime: f64,
    /// Bytes of memory the process holds; null where the system does not tell.
    pub memory_bytes: Option<u64>,
    pub queue: QueueStatus,
    /// `name@version` of the models in memory.
    pub models: Vec<String>,
    /// Processes that take tasks.
    pub workers: Vec<WorkerStatus>,
    /// Tokens a second over the last ten seconds.
    pub tokens_per_second: f64,
}

/// How much there is to do.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueStatus {
    /// Tasks that wait, by lane.
    pub queued: BTreeMap<String, u64>,
    /// Tasks at work, by lane.
    pub running: BTreeMap<String, u64>,
    /// Tasks kept that have ended.
    pub done: u64,
    /// Tasks given up after too many tries, among those kept.
    pub parked: u64,
}

/// A process that takes tasks.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkerStatus {
    pub id: String,
    pub lanes: Vec<String>,
    pub version: String,
    #[schema(format = DateTime)]
    pub started_at: String,
    #[schema(format = DateTime)]
    pub seen_at: String,
    pub running: u64,
    pub done: u64,
    pub models: Vec<String>,
}

/// Ask how the server is
#[utoipa::path(
    get,
    path = "/api/v1/status",
    tag = "operations",
    operation_id = "system_status",
    responses((status = 200, description = "How it is", body = SystemStatus))
)]
pub async fn status(State(app): State<Arc<App>>, _: Call) -> Answer<Json<SystemStatus>> {
    let stats = app.engine.queue().stats().await?;
    let workers = app.engine.queue().workers().await?;
    let by_lane = |counts: BTreeMap<partita_queue::Lane, u64>| {
        counts.into_iter().map(|(lane, count)| (lane.to_string(), count)).collect()
    };
    let models = app.engine.models().await?.into_iter().filter(|info| info.loaded);
    let worker = |info: partita_queue::WorkerInfo| WorkerStatus {
        id: info.id,
        lanes: info.lanes.iter().map(ToString::to_string).collect(),
        version: info.version,
        started_at: rfc3339(info.started_at),
        seen_at: rfc3339(info.seen_at),
        running: info.running,
        done: info.done,
        models: info.models,
    };
    Ok(Json(SystemStatus {
        version: env!("CARGO_PKG_VERSION"),
        uptime: app.started.elapsed().as_secs_f64(),
        memory_bytes: memory(),
        queue: QueueStatus {
            queued: by_lane(stats.queued),
            running: by_lane(stats.running),
            done: stats.done,
            parked: stats.parked,
        },
        models: models.map(|info| format!("{}@{}", info.name, info.version)).collect(),
        workers: workers.into_iter().map(worker).collect(),
        tokens_per_second: app.engine.numbers().tokens_per_second,
    }))
}

/// Resident bytes, where Linux tells them.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// Show the configuration in force
///
/// Passwords and secrets are replaced by `***`.
#[utoipa::path(
    get,
    path = "/api/v1/config",
    tag = "operations",
    responses((status = 200, description = "Every key", body = Object))
)]
pub async fn config(State(app): State<Arc<App>>, call: Call) -> Answer<Json<Value>> {
    call.caller.require(Role::Admin)?;
    Ok(Json(redacted(&app.engine.config())))
}

/// What a reload changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConfigReloaded)]
pub struct Reloaded {
    /// Keys that have new values now.
    pub changed: Vec<String>,
    /// Keys whose new values need a restart; they keep their old ones.
    pub needs_restart: Vec<String>,
}

/// Read the configuration again
///
/// All or nothing: with an error anywhere the old one stays in force. What is sent after the answer meets the new one;
/// tasks that run keep what they began with.
#[utoipa::path(
    post,
    path = "/api/v1/config/reload",
    tag = "operations",
    operation_id = "reload_config",
    responses((status = 200, description = "The new configuration is in force", body = Reloaded))
)]
pub async fn reload(State(app): State<Arc<App>>, call: Call) -> Answer<Json<Reloaded>> {
    call.caller.require(Role::Admin)?;
    match app.engine.reload().await {
        Ok(done) => Ok(Json(Reloaded { changed: done.changed, needs_restart: done.needs_restart })),
        Err(invalid) => {
            let mut problem =
                Problem::new(Kind::InvalidRequest, "the new configuration is not valid; the old one stays");
            let field = |invalid: partita_engine::config::Invalid| {
                Field::new(&format!("#/{}", invalid.key.replace('.', "/")), invalid.message, None)
            };
            problem.errors = invalid.into_iter().map(field).collect();
            Err(problem)
        }
    }
}

/// Clean up
///
/// Removes tasks and files that have been kept long enough, and unloads idle models.
#[utoipa::path(
    post,
    path = "/api/v1/maintenance/cleanup",
    tag = "operations",
    operation_id = "cleanup",
    responses((status = 200, description = "What was removed", body = Cleaned))
)]
pub async fn cleanup(State(app): State<Arc<App>>, call: Call) -> Answer<Json<Cleaned>> {
    call.caller.require(Role::Admin)?;
    Ok(Json(app.engine.clean().await?))
}
