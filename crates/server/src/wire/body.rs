//! JSON bodies: read into types, with the place of whatever is wrong.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

pub use super::shape::Most;
use super::shape::{self, Wrong};
use super::spoken::Spoken;
use crate::problem::{Answer, Field, Kind, Problem};

/// The media type of a body, in lower case and without parameters.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or("unreadable");
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// What `Content-Type` says of a body that should be JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Json,
    /// What curl says of any body; JSON if it reads as such.
    Form,
}

/// # Errors
/// `UnsupportedMediaType`
pub fn said(headers: &HeaderMap) -> Answer<Said> {
    match media_type(headers).as_deref() {
        None | Some("application/json") => Ok(Said::Json),
        Some(text) if text.starts_with("application/") && text.ends_with("+json") => Ok(Said::Json),
        Some("application/x-www-form-urlencoded") => Ok(Said::Form),
        Some(other) => Err(unsupported(other, "application/json")),
    }
}

pub fn unsupported(got: &str, allowed: &str) -> Problem {
    let got: String = got.chars().take(80).collect();
    let detail = format!("the content type must be {allowed}, got {got:?}");
    let name = header::CONTENT_TYPE.as_str();
    let mut problem = Problem::new(Kind::UnsupportedMediaType, detail.clone());
    problem.errors = vec![Field::new(name, detail, Some(allowed.to_owned()))];
    problem
}

/// Reads a whole body. The guard cuts bodies at the configured size; `limit` (bytes) holds where it does not stand.
///
/// # Errors
/// `TooLarge`, `BadRequest`.
pub async fn collect(body: Body, limit: usize) -> Answer<Bytes> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let too_large = std::error::Error::source(&error)
            .is_some_and(<dyn std::error::Error + 'static>::is::<http_body_util::LengthLimitError>);
        match too_large {
            true => Problem::new(Kind::TooLarge, format!("the body must be at most {limit} bytes")),
            false => Problem::new(Kind::BadRequest, "the body ended before it was whole"),
        }
    })
}

/// Larger bodies are parsed on a thread that may block.
const LARGE: usize = 256 << 10;

/// Reads JSON, and tells which fields came under another name. An empty body is an empty object: every field of a
/// request may be left out.
///
/// # Errors
/// `UnsupportedMediaType`, `MalformedJson` with line and column, `InvalidRequest` with pointers.
pub async fn json<T: DeserializeOwned + Send + 'static>(
    said: Said,
    bytes: Bytes,
    most: Most,
) -> Answer<(T, Spoken)> {
    if bytes.len() <= LARGE {
        return json_now(said, &bytes, &most);
    }
    let parsed = tokio::task::spawn_blocking(move || json_now(said, &bytes, &most)).await;
    parsed.map_err(|_| Problem::new(Kind::Internal, "the body could not be read"))?
}

fn json_now<T: DeserializeOwned>(said: Said, bytes: &[u8], most: &Most) -> Answer<(T, Spoken)> {
    let bytes = if bytes.is_empty() && said == Said::Json { b"{}" } else { bytes };
    match parse_spoken(bytes, "#", most) {
        Err(problem) if problem.kind == Kind::MalformedJson && said == Said::Form => {
            Err(unsupported("application/x-www-form-urlencoded", "application/json"))
        }
        result => result,
    }
}

/// Reads one JSON value; `root`: the pointer that stands before those of its fields.
///
/// # Errors
/// `MalformedJson`, `InvalidRequest`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], root: &str, most: &Most) -> Answer<T> {
    parse_spoken(bytes, root, most).map(|(value, _)| value)
}

/// As [`parse`], with the fields that came under another name.
///
/// Its shape is looked at first, without keeping any of it: what is too much is refused before memory is spent on it.
///
/// # Errors
/// As [`parse`].
pub fn parse_spoken<T: DeserializeOwned>(bytes: &[u8], root: &str, most: &Most) -> Answer<(T, Spoken)> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let spoken = shape::check(&mut reader, root, most).map_err(|wrong| match wrong {
        Wrong::Shape(problem) => *problem,
        Wrong::Text(error, place) if is_too_large(&error, bytes) => too_large(&place),
        Wrong::Text(error, _) => malformed(&error),
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().clone();
        spoken.tell(wrong(root, &path, &error.into_inner(), bytes))
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok((value, spoken))
}

/// Reads an already parsed value, as [`parse`].
///
/// # Errors
/// `InvalidRequest`
pub fn of_value<T: DeserializeOwned>(value: Value, root: &str) -> Answer<T> {
    of_value_spoken(value, root).map(|(value, _)| value)
}

/// Reads an already parsed value, as [`parse_spoken`].
///
/// # Errors
/// `InvalidRequest`
pub fn of_value_spoken<T: DeserializeOwned>(value: Value, root: &str) -> Answer<(T, Spoken)> {
    let spoken = shape::check(&value, root, &Most::default()).map_err(|wrong| match wrong {
        Wrong::Shape(problem) => *problem,
        Wrong::Text(error, _) => malformed(&error),
    })?;
    let value = serde_path_to_error::deserialize(value).map_err(
        |error: serde_path_to_error::Error<serde_json::Error>| {
            let path = error.path().clone();
            spoken.tell(invalid(root, &path, &error.into_inner()))
        },
    )?;
    Ok((value, spoken))
}

/// Whether a body is JSON but for a number that no field can hold. The reader calls that a fault of the text.
fn is_too_large(error: &serde_json::Error, bytes: &[u8]) -> bool {
    error.to_string().starts_with(OUT_OF_RANGE)
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

const OUT_OF_RANGE: &str = "number out of range";

fn too_large(pointer: &str) -> Problem {
    let detail = "must be a number that 64 bits can hold, got a larger one";
    Problem::field(Kind::InvalidRequest, pointer, detail, None)
}

fn wrong(root: &str, path: &Path, error: &serde_json::Error, bytes: &[u8]) -> Problem {
    use serde_json::error::Category;
    match error.classify() {
        // What is wrong with the type hides what is wrong with the JSON behind it: the JSON comes first.
        Category::Data => match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
            Err(syntax) => malformed(&syntax),
            Ok(_) => invalid(root, path, error),
        },
        // serde blames the JSON for some values of a wrong kind.
        Category::Syntax if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() => {
            if is_too_large(error, bytes) {
                return too_large(&pointer(root, path));
            }
            let text = error.to_string();
            let detail = match text.rsplit_once(" at line ").map_or(text.as_str(), |(start, _)| start) {
                "trailing characters" => "has more items than it may",
                "expected value" => "must be text",
                other => other,
            };
            Problem::field(Kind::InvalidRequest, &pointer(root, path), detail, None)
        }
        _ => malformed(error),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::MalformedJson, format!("the body is no JSON: {error}"))
}

fn invalid(root: &str, path: &Path, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(start, _)| start);
    let mut pointer = pointer(root, path);
    if let Some(rest) = text.strip_prefix("unknown field `") {
        let (name, known) = rest.split_once('`').unwrap_or((rest, ""));
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let ends = format!("/{}", escaped(name));
        if !pointer.ends_with(&ends) {
            pointer.push_str(&ends);
        }
        let near = nearest(name, known.iter().copied());
        let hint = near.map_or_else(
            || format!("known are {}", known.join(", ")),
            |near| format!("did you mean {near}?"),
        );
        let detail = format!("is no known field; {hint}");
        return Problem::field(Kind::InvalidRequest, &pointer, detail, Some(known.join(", ")));
    }
    for (start, detail) in
        [("missing field `", "is missing"), ("duplicate field `", "must come once, got it again")]
    {
        if let Some(name) = text.strip_prefix(start).map(|rest| rest.trim_end_matches('`')) {
            let pointer = format!("{pointer}/{}", escaped(name));
            return Problem::field(Kind::InvalidRequest, &pointer, detail, None);
        }
    }
    let (detail, allowed) = plain(text);
    Problem::field(Kind::InvalidRequest, &pointer, detail, allowed)
}

/// serde's words in ours: what must be, then what came.
fn plain(text: &str) -> (String, Option<String>) {
    let cut = |text: &str| -> String { text.chars().take(100).collect() };
    let parts = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
    let rest = parts.iter().find_map(|start| text.strip_prefix(start));
    let Some((got, expected)) = rest.and_then(|rest| rest.split_once(", expected ")) else {
        return (cut(text), None);
    };
    let expected = match expected {
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "string or map" => "text",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    (format!("must be {expected}, got {}", cut(got)), Some(expected.to_owned()))
}

fn pointer(root: &str, path: &Path) -> String {
    let mut pointer = root.to_owned();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escaped(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// A name inside a JSON pointer that is a URI fragment.
pub fn escaped(name: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const ESCAPED: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'%').add(b'#');
    let name: String = name.chars().take(60).collect();
    utf8_percent_encode(&name.replace('~', "~0").replace('/', "~1"), &ESCAPED).to_string()
}

/// The name that differs least from `name`, if it differs little.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name: String = name.chars().take(40).collect();
    let close = |other: &&str| distance(&name, other);
    let best = known.min_by_key(close)?;
    let apart = distance(&name, best);
    // Of a name of one letter nothing is left when that is replaced.
    (apart <= (best.len() / 3).max(1) && apart < best.len()).then_some(best)
}

/// Single letters to insert, remove or replace.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

/// Writes JSON; `large` values are written on a thread that may block.
pub async fn write<T: Serialize + Send + 'static>(value: T, large: bool) -> Response {
    let text = match large {
        true => tokio::task::spawn_blocking(move || serde_json::to_vec(&value)).await.ok(),
        false => Some(serde_json::to_vec(&value)),
    };
    match text {
        Some(Ok(text)) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        _ => Problem::new(Kind::Internal, "the answer could not be written").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_engine::request::{Batch, Continue, Generate};

    fn check<T: DeserializeOwned + std::fmt::Debug>(text: &str, status: u16, pointer: &str, says: &str) {
        let problem = json_now::<T>(Said::Json, text.as_bytes(), &Most::default()).expect_err(text);
        assert_eq!(problem.status().as_u16(), status, "{text}: {problem:?}");
        assert_eq!(problem.errors.first().map_or("", |e| &e.pointer), pointer, "{text}: {problem:?}");
        assert!(problem.detail.contains(says), "{text}: {}", problem.detail);
    }

    #[test]
    fn errors_name_the_place() {
        check::<Generate>("{\"bars\": 4", 400, "", "line 1 column 10");
        check::<Generate>("{\"bars\": \"x\", ", 400, "", "EOF");
        check::<Generate>("{\"bars\": NaN}", 400, "", "line 1");
        check::<Generate>("{\"tempo\": 1e999}", 422, "#/tempo", "64 bits");
        check::<Generate>("{\"bars\": -1e400}", 422, "#/bars", "64 bits");
        check::<Generate>("{\"velocity\": [1, 1e400]}", 422, "#/velocity/1", "64 bits");
        check::<Batch>("{\"requests\": [{}, {\"tempo\": 1e400}]}", 422, "#/requests/1/tempo", "64 bits");
        check::<Generate>("{\"tempo\": 1e999", 400, "", "no JSON");
        check::<Generate>("{\"output_format\": 5}", 422, "#/output_format", "must be text");
        check::<Generate>("{\"files\": [\"mid\", null]}", 422, "#/files/1", "must be text");
        check::<Generate>("{\"output_format\": 5", 400, "", "no JSON");
        check::<Generate>("{} {}", 400, "", "trailing");
        check::<Generate>("{\"bars\": \"x\"}", 422, "#/bars", "must be an integer in 1..=32, got string");
        check::<Generate>("{\"bars\": -1}", 422, "#/bars", "must be an integer in 1..=32, got integer `-1`");
        check::<Generate>("{\"n\": 4.5}", 422, "#/n", "n must be an integer in 1..=64");
        check::<Generate>("{\"velocity\": [1, 300]}", 422, "#/velocity/1", "an integer in 1..=127");
        check::<Generate>("{\"bar\": 1}", 422, "#/bar", "did you mean bars?");
        check::<Generate>("{\"a/b c\": 1}", 422, "#/a~1b%20c", "a/b c is no known field");
        check::<Generate>("{\"\u{e4}\": 1}", 422, "#/%C3%A4", "\u{e4} is no known field; known are");
        check::<Generate>("{\"seed_notes\": [{\"pitch\": 300}]}", 422, "#/seed_notes/0/pitch", "0..=127");
        check::<Generate>("{\"seed_notes\": [{\"pitch\": 30}]}", 422, "#/seed_notes/0/start", "is missing");
        check::<Generate>("{\"mix\": [{\"model\": \"mine\"}]}", 422, "#/mix/0/weight", "is missing");
        check::<Generate>("{\"output_format\": \"mp3\"}", 422, "#/output_format", "`midi`");
        check::<Generate>("[]", 422, "#", "must be an object");
        check::<Generate>(
            "{\"seed_notes\": [[36, 0, 1, 100, 9]]}",
            422,
            "#/seed_notes/0",
            "must be an object",
        );
        check::<Generate>("{\"webhook\": [\"http://x\", null, null]}", 422, "#/webhook", "must be an object");
        check::<Generate>("{\"time_signature\": [4, 4, 4]}", 422, "#/time_signature", "more items");
        check::<Generate>("{\"time_signature\": [4]}", 422, "#/time_signature", "must be");
        check::<Generate>("{\"time_signature\": [4, 4 4]}", 400, "", "line 1");
        check::<Batch>("{\"requests\": [[]]}", 422, "#/requests/0", "must be an object");
        check::<Generate>("{\"bars\":1,\"bars\":2}", 422, "#/bars", "must come once");
        check::<Generate>("{\"n\":1,\"num_outputs\":2}", 422, "#/n", "must come once");
        check::<Continue>("{\"input\": {\"file\": \"x\"}}", 422, "#/input/file", "file_id");
        check::<Batch>("{\"requests\": [{}, {\"tempoo\": 1}]}", 422, "#/requests/1/tempoo", "tempo");
        let deep = format!("{{\"kit\": {}", "[".repeat(100_000));
        check::<Generate>(&deep, 400, "", "EOF");
    }

    #[test]
    fn what_curl_sends_is_read_as_json() {
        let most = Most::default();
        let (request, _): (Generate, _) =
            json_now(Said::Form, b"{\"style\":\"funk\",\"bars\":4}", &most).expect("json");
        assert_eq!(request.bars, Some(4));
        let problem = json_now::<Generate>(Said::Form, b"style=funk", &most).expect_err("a form");
        assert_eq!(problem.status().as_u16(), 415);
    }

    #[test]
    fn an_empty_body_is_an_empty_object() {
        assert_eq!(
            json_now::<Generate>(Said::Json, b"", &Most::default()).expect("empty").0,
            Generate::default()
        );
    }
}
