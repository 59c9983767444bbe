//! Calls that programs written for other servers make.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use crate::App;
use crate::problem::Answer;

/// A list of models as OpenAI writes it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenAiModels {
    #[schema(example = "list")]
    pub object: &'static str,
    pub data: Vec<OpenAiModel>,
}

/// A model as OpenAI writes it.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenAiModel {
    #[schema(example = "drums@1")]
    pub id: String,
    #[schema(example = "model")]
    pub object: &'static str,
    /// Seconds since 1970; 0, for models do not tell when they were made.
    pub created: u64,
    #[schema(example = "partita")]
    pub owned_by: &'static str,
}

/// List models as OpenAI does
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "compatible",
    responses((status = 200, description = "All models", body = OpenAiModels))
)]
pub async fn models(State(app): State<Arc<App>>, _: Call) -> Answer<Json<OpenAiModels>> {
    let model = |name: String| OpenAiModel { id: name, object: "model", created: 0, owned_by: "partita" };
    let list = app.engine.models().await?.into_iter().filter(|info| info.error.is_none());
    let data = list.map(|info| model(format!("{}@{}", info.name, info.version))).collect();
    Ok(Json(OpenAiModels { object: "list", data }))
}
