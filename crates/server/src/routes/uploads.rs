//! Files that come before the request that names them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use partita_engine::{Artifact, File};
use partita_queue::Role;

use super::call::Call;
use super::verbs::max_upload;
use crate::App;
use crate::problem::{Answer, Kind, Problem};
use crate::wire::time::rfc3339;
use crate::wire::{body, form};

/// Upload a MIDI file
///
/// The answer's `file_id` can stand in the `input` of other requests. The body is the file itself, or a form with it.
/// Each call stores a file under an id of its own, also with an `Idempotency-Key`, which counts for tasks only: whoever
/// got no answer sends the file again, and the copy that nobody uses expires. A form sent to a route that makes a task
/// is one task with such a key.
#[utoipa::path(
    post,
    path = "/api/v1/files",
    tag = "files",
    request_body(content = Vec<u8>, content_type = "audio/midi"),
    responses((status = 201, description = "The file is stored", body = File))
)]
pub async fn upload(State(app): State<Arc<App>>, call: Call, request: Request) -> Answer<Response> {
    call.caller.require(Role::User)?;
    let kind = body::media_type(request.headers()).unwrap_or_default();
    let max = max_upload(&app);
    let upload = match kind.as_str() {
        "multipart/form-data" => {
            let form = form::read(request, max).await?;
            if let Some(name) = form.fields.keys().next() {
                let detail = "is no known field; the only one is file";
                let pointer = format!("#/{}", body::escaped(name));
                return Err(Problem::field(Kind::InvalidRequest, &pointer, detail, None));
            }
            form.file.ok_or_else(|| Problem::field(Kind::InvalidRequest, "#/file", "is missing", None))?
        }
        "audio/midi" | "audio/x-midi" | "audio/mid" | "application/octet-stream" => {
            let bytes = body::collect(request.into_body(), max).await?.to_vec();
            form::check_midi(&bytes)?;
            form::Upload { name: "upload.mid".into(), bytes }
        }
        other => return Err(body::unsupported(other, "audio/midi or multipart/form-data")),
    };
    let file = file_of(app.engine.upload(&upload.name, upload.bytes).await?);
    let location =
        HeaderValue::from_str(&file.url).map_err(|_| Problem::new(Kind::Internal, "a bad file id"))?;
    let mut response = body::write(file, false).await;
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

pub fn file_of(artifact: Artifact) -> File {
    File {
        url: format!("/api/v1/download/{}", artifact.id),
        file_id: artifact.id,
        name: artifact.name,
        media_type: artifact.media_type,
        bytes: artifact.bytes,
        sha256: artifact.sha256,
        expires_at: rfc3339(artifact.expires_at),
    }
}
