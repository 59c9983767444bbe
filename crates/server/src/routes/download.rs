//! Files of results. Their ids are capabilities: whoever knows one may have the file, since a link that is dragged
//! out of a page or played by it carries no key.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use partita_engine::Artifact;

use crate::App;
use crate::problem::{Answer, Kind, Problem};
use crate::wire::range::{Asked, asked};
use crate::wire::{disposition, etag, time};

/// Bytes read at once.
const CHUNK: u64 = 256 << 10;

/// Download a file
///
/// Works without a key: the id is the right to have the file. Ranges, `If-Range` and `If-None-Match` work.
#[utoipa::path(
    get,
    path = "/api/v1/download/{file_id}",
    tag = "files",
    operation_id = "download",
    params(
        ("file_id" = String, Path, description = "Id of a file; the end of its name may follow, as in `.mid`"),
        ("Range" = Option<String>, Header, description = "One range of bytes"),
        ("If-None-Match" = Option<String>, Header, description = "Tags of states that are known"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The file is as it is known"),
    )
)]
pub async fn get(
    State(app): State<Arc<App>>,
    method: Method,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let none = || Problem::not_found("there is no such file, or it has expired");
    // Programs that look at the end of a URL get one that they know: the file's own.
    let (id, end) = match id.split_once('.') {
        Some((id, end)) => (id.to_owned(), Some(end.to_owned())),
        None => (id, None),
    };
    let plain = id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !plain || !id.starts_with("fil_") {
        return Err(none());
    }
    let file = app.engine.artifacts().find(&id).await?.ok_or_else(none)?;
    let own = file.name.rsplit_once('.').map(|(_, end)| end);
    if end.is_some_and(|end| own.is_none_or(|own| !own.eq_ignore_ascii_case(&end))) {
        return Err(none());
    }
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let tag = format!("\"{}\"", file.sha256);
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers_of(&file, &tag)?;
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    if known.into_iter().any(|sent| etag::none_match(sent, &tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
        return Ok(response);
    }
    // Ranges are for GET alone (RFC 9110, section 14.2).
    let range = text(header::RANGE).filter(|_| method != Method::HEAD);
    let range = range.filter(|_| etag::if_range(if_range(&headers), &tag));
    let part = match asked(range, file.bytes) {
        Asked::Whole => 0..file.bytes,
        Asked::Part(part) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {}-{}/{}", part.start, part.end - 1, file.bytes);
            response.headers_mut().insert(header::CONTENT_RANGE, ascii(&text)?);
            part
        }
        Asked::Outside => {
            let detail = format!("the file has {} bytes", file.bytes);
            let length = ascii(&format!("bytes */{}", file.bytes))?;
            return Err(
                Problem::new(Kind::RangeNotSatisfiable, detail).with_header(header::CONTENT_RANGE, length)
            );
        }
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, (part.end - part.start).into());
    if method != Method::HEAD {
        *response.body_mut() = read(app, id, part).await?;
    }
    Ok(response)
}

/// An unreadable `If-Range` names no state.
fn if_range(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::IF_RANGE).map(|value| value.to_str().unwrap_or_default())
}

fn headers_of(file: &Artifact, tag: &str) -> Answer<HeaderMap> {
    let kind = HeaderValue::from_str(&file.media_type);
    let pairs = [
        (header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream"))),
        (header::ETAG, ascii(tag)?),
        (header::LAST_MODIFIED, ascii(&time::http_date(file.created_at))?),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (header::CONTENT_DISPOSITION, disposition::attachment(&file.name)),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok(HeaderMap::from_iter(pairs))
}

fn ascii(text: &str) -> Answer<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| Problem::new(Kind::Internal, "the file's description is damaged"))
}

/// The first piece is read before the answer begins, so that a file that cannot be read is an error and no stump.
pub async fn read(app: Arc<App>, id: String, part: std::ops::Range<u64>) -> Answer<Body> {
    let first = part.start..(part.start + CHUNK).min(part.end);
    let bytes = app.engine.artifacts().read(&id, first.clone()).await?;
    if first.end == part.end {
        return Ok(Body::from(bytes));
    }
    let rest = stream::try_unfold((app, id, first.end), move |(app, id, start)| async move {
        if start >= part.end {
            return Ok(None);
        }
        let end = (start + CHUNK).min(part.end);
        let bytes = app.engine.artifacts().read(&id, start..end).await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(Some((bytes, (app, id, end))))
    });
    let first = stream::once(async move { Ok::<_, std::io::Error>(bytes) });
    Ok(Body::from_stream(futures_util::StreamExt::chain(first, rest)))
}
