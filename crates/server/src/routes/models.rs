//! Models and styles.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use partita_engine::family::StyleInfo;
use partita_engine::{Code, ModelInfo, Registry};
use partita_queue::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::call::Call;
use super::generate::json_body;
use crate::App;
use crate::problem::{Answer, Kind, Problem};
use crate::wire::params::Params;

/// All models.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    pub data: Vec<ModelInfo>,
    pub has_more: bool,
    pub next: Option<String>,
}

/// Which model to load or unload.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelName {
    /// A model, an alias, or `name@version`.
    #[schema(min_length = 1, example = "drums")]
    pub model_name: String,
}

/// List models
#[utoipa::path(
    get,
    path = "/api/v1/models",
    tag = "models",
    operation_id = "list_models",
    params(
        ("kind" = Option<String>, Query, description = "Only models of this family", example = "drums"),
        ("loaded" = Option<bool>, Query, description = "Only models in memory, or only others"),
    ),
    responses((status = 200, description = "All models, by name and version", body = ModelList))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    _: Call,
    RawQuery(query): RawQuery,
) -> Answer<Json<ModelList>> {
    let params = Params::of(query.as_deref(), &["kind", "loaded"])?;
    let loaded: Option<bool> = params.read("loaded", "true or false")?;
    let kind = params.text("kind");
    let mut data = app.engine.models().await?;
    data.retain(|info| {
        kind.is_none_or(|kind| info.family == kind) && loaded.is_none_or(|loaded| info.loaded == loaded)
    });
    Ok(Json(ModelList { data, has_more: false, next: None }))
}

/// Look at a model
#[utoipa::path(
    get,
    path = "/api/v1/models/{name}",
    tag = "models",
    operation_id = "get_model",
    params(("name" = String, Path, description = "A model, an alias, or `name@version`")),
    responses((status = 200, description = "The model", body = ModelInfo))
)]
pub async fn get(State(app): State<Arc<App>>, _: Call, Path(name): Path<String>) -> Answer<Json<ModelInfo>> {
    Ok(Json(app.engine.registry().info(&name)?))
}

/// Load a model
///
/// It stays until it is unloaded, idle, or in the way of another.
#[utoipa::path(
    post,
    path = "/api/v1/models/load",
    tag = "models",
    operation_id = "load_model",
    request_body(content = ModelName, content_type = "application/json"),
    responses((status = 200, description = "The model is in memory", body = ModelInfo))
)]
pub async fn load(
    State(app): State<Arc<App>>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<ModelInfo>> {
    change(&app, &call, &headers, body, Registry::load).await
}

/// Unload a model
///
/// One in use goes after its last task.
#[utoipa::path(
    post,
    path = "/api/v1/models/unload",
    tag = "models",
    operation_id = "unload_model",
    request_body(content = ModelName, content_type = "application/json"),
    responses((status = 200, description = "The model is out of memory, or goes after its last task", body = ModelInfo))
)]
pub async fn unload(
    State(app): State<Arc<App>>,
    call: Call,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<ModelInfo>> {
    change(&app, &call, &headers, body, Registry::unload).await
}

/// Remove a model
///
/// Its folder is deleted from the server's disk. Bundled models stay.
#[utoipa::path(
    delete,
    path = "/api/v1/models/{name}",
    tag = "models",
    operation_id = "remove_model",
    params(("name" = String, Path, description = "A `name@version`")),
    responses((status = 204, description = "The model is gone"))
)]
pub async fn remove(State(app): State<Arc<App>>, call: Call, Path(name): Path<String>) -> Answer<StatusCode> {
    call.caller.require(Role::Admin)?;
    let registry = app.engine.registry().clone();
    let removed = tokio::task::spawn_blocking(move || registry.remove(&name)).await;
    let removed = removed.map_err(|_| Problem::new(Kind::Internal, "the model could not be removed"))?;
    removed.map_err(|fault| match fault.code {
        // It is not the request that is wrong, but the state of the model.
        Code::InvalidRequest => Problem::new(Kind::Conflict, fault.message),
        _ => fault.into(),
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// All styles.
#[derive(Debug, Serialize, ToSchema)]
pub struct StyleList {
    pub data: Vec<ModelStyle>,
    pub has_more: bool,
    pub next: Option<String>,
}

/// A style, with the model that plays it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelStyle {
    /// `name@version`
    #[schema(example = "drums@1")]
    pub model: String,
    #[serde(flatten)]
    pub style: StyleInfo,
}

/// List styles
///
/// The styles of every model: those it learned from players, and profiles that shape them.
#[utoipa::path(
    get,
    path = "/api/v1/styles",
    tag = "models",
    operation_id = "list_styles",
    params(("model" = Option<String>, Query, description = "Only styles of this model", example = "drums")),
    responses((status = 200, description = "All styles, by model", body = StyleList))
)]
pub async fn styles(
    State(app): State<Arc<App>>,
    _: Call,
    RawQuery(query): RawQuery,
) -> Answer<Json<StyleList>> {
    let params = Params::of(query.as_deref(), &["model"])?;
    let registry = app.engine.registry();
    let models = match params.text("model") {
        Some(name) => vec![registry.resolve(name, 0.0)?],
        None => {
            app.engine.models().await?.iter().map(|info| format!("{}@{}", info.name, info.version)).collect()
        }
    };
    let mut data = vec![];
    for model in models {
        // A damaged model has no styles; the list of models says what is wrong with it.
        let styles = registry.describe(&model).map(|model| model.style_list()).unwrap_or_default();
        data.extend(styles.into_iter().map(|style| ModelStyle { model: model.clone(), style }));
    }
    Ok(Json(StyleList { data, has_more: false, next: None }))
}

type Change = fn(&Registry, &str) -> Result<ModelInfo, partita_engine::Fault>;

async fn change(
    app: &App,
    call: &Call,
    headers: &HeaderMap,
    body: Body,
    change: Change,
) -> Answer<Json<ModelInfo>> {
    call.caller.require(Role::Admin)?;
    let ModelName { model_name } = json_body(app, headers, body).await?;
    let registry = app.engine.registry().clone();
    // Reading weights takes a while.
    let info = tokio::task::spawn_blocking(move || change(&registry, &model_name)).await;
    Ok(Json(info.map_err(|_| Problem::new(Kind::Internal, "the model could not be changed"))??))
}
