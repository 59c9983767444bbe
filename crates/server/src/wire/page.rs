//! Parts of lists, and the link to the next part.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::task::Task;

/// Part of the list of tasks, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TaskList {
    pub data: Vec<Task>,
    pub has_more: bool,
    /// Give it as `after` to get the next part; null on the last.
    pub next: Option<String>,
}

/// Adds `Link: <...>; rel="next"`.
pub fn link(response: &mut Response, path: &str, query: &[(&str, &str)]) {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in query {
        text.append_pair(name, value);
    }
    if let Ok(value) = HeaderValue::from_str(&format!("<{path}?{}>; rel=\"next\"", text.finish())) {
        response.headers_mut().insert(header::LINK, value);
    }
}
