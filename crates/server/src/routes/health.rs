//! Whether the server lives, and whether it can answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::problem::{Answer, Kind, Problem};

/// That the server answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    pub status: &'static str,
    #[schema(example = "0.1.0")]
    pub version: &'static str,
}

const HEALTH: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// Ask whether the server runs
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    security(()),
    responses((status = 200, description = "It runs", body = Health))
)]
pub async fn health() -> Json<Health> {
    Json(HEALTH)
}

/// Ask whether the process should be kept
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "operations",
    security(()),
    responses((status = 200, description = "It should", body = Health))
)]
pub async fn live() -> Json<Health> {
    Json(HEALTH)
}

/// Ask whether requests should be sent here
///
/// Not while the first models load, the task store cannot be reached, the disk is full, or the server shuts down.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operations",
    security(()),
    responses((status = 200, description = "They should", body = Health))
)]
pub async fn ready(State(app): State<Arc<App>>) -> Answer<Json<Health>> {
    if app.closing.is_cancelled() {
        return Err(Problem::new(Kind::Draining, "the server is shutting down").retry_after(5));
    }
    if !app.engine.is_ready().await {
        let detail = "models are loading, or the task store cannot be reached";
        return Err(Problem::new(Kind::Unavailable, detail).retry_after(2));
    }
    // Not the 507 that new tasks get: whoever asks here wants to know where else to go.
    app.engine.artifacts().has_room().await.map_err(|fault| {
        let again = fault.retry_after.unwrap_or(2);
        Problem::new(Kind::Unavailable, fault.message).retry_after(again)
    })?;
    Ok(Json(HEALTH))
}
