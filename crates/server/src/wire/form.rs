//! `multipart/form-data`: a MIDI file and what to do with it.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use super::body::{self, escaped, unsupported};
use crate::problem::{Answer, Kind, Problem};

/// Types under which programs send MIDI files.
const MIDI_TYPES: [&str; 7] = [
    "audio/midi",
    "audio/x-midi",
    "audio/mid",
    "audio/sp-midi",
    "application/x-midi",
    "application/midi",
    "application/octet-stream",
];
/// Fields whose text is text also when it looks like a number.
const TEXTS: [&str; 17] = [
    "model",
    "model_name",
    "style",
    "producer_style",
    "profile",
    "output_format",
    "sound",
    "custom_id",
    "key",
    "scale",
    "grid",
    "strong_beats",
    "chords",
    "progression",
    "mood",
    "bass",
    "piano",
];
/// Fields that hold a list, given several times or with commas.
const LISTS: [&str; 4] = ["kit", "files", "forbid", "require"];
/// Bytes of all fields together, without the file.
const MAX_FIELDS: usize = 1 << 20;
const MAX_PARTS: usize = 64;

/// A file as it came.
#[derive(Debug)]
pub struct Upload {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What a form held.
#[derive(Debug)]
pub struct Form {
    pub file: Option<Upload>,
    /// The part `request` with the single fields over it.
    pub fields: Map<String, Value>,
}

/// Reads a form whose file has at most `max_file` bytes.
///
/// # Errors
/// `MalformedForm`, `MalformedJson` for its part `request`, `TooLarge`, `UnsupportedMediaType` for a file that is not MIDI,
/// `InvalidRequest`.
pub async fn read(request: Request, max_file: usize) -> Answer<Form> {
    let mut parts =
        Multipart::from_request(request, &()).await.map_err(|error| malformed(&error.body_text()))?;
    let mut form = Form { file: None, fields: Map::new() };
    let (mut left, mut count) = (MAX_FIELDS, 0);
    while let Some(part) = parts.next_field().await.map_err(|error| broken(&error))? {
        count += 1;
        if count > MAX_PARTS {
            return Err(Problem::new(Kind::TooLarge, format!("a form must have at most {MAX_PARTS} parts")));
        }
        let name = part.name().unwrap_or_default().to_owned();
        if name == "file" {
            if form.file.is_some() {
                return Err(Problem::field(
                    Kind::InvalidRequest,
                    "#/file",
                    "must come once, got it again",
                    None,
                ));
            }
            form.file = Some(file(part, max_file).await?);
            continue;
        }
        let text =
            collect(part, left, &format!("the fields of a form must be at most {MAX_FIELDS} bytes")).await?;
        left -= text.len();
        if name == "request" {
            let whole: Map<String, Value> =
                body::parse(&text, "#", &body::Most::default()).map_err(in_part)?;
            for (name, value) in whole {
                put(&mut form.fields, name, value)?;
            }
            continue;
        }
        let text = String::from_utf8(text).map_err(|_| {
            Problem::field(Kind::InvalidRequest, &format!("#/{}", escaped(&name)), "must be UTF-8 text", None)
        })?;
        field(&mut form.fields, name, &text)?;
    }
    Ok(form)
}

fn field(fields: &mut Map<String, Value>, name: String, text: &str) -> Answer<()> {
    if LISTS.contains(&name.as_str()) && !text.trim_start().starts_with('[') {
        let more = text.split(',').map(|item| Value::from(item.trim()));
        if let Some(Value::Array(list)) = fields.get_mut(&name) {
            list.extend(more);
            return Ok(());
        }
        return put(fields, name, Value::Array(more.collect()));
    }
    let value = match TEXTS.contains(&name.as_str()) {
        true => text.into(),
        false => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    };
    put(fields, name, value)
}

fn put(fields: &mut Map<String, Value>, name: String, value: Value) -> Answer<()> {
    if fields.contains_key(&name) {
        let pointer = format!("#/{}", escaped(&name));
        return Err(Problem::field(Kind::InvalidRequest, &pointer, "must come once, got it again", None));
    }
    fields.insert(name, value);
    Ok(())
}

async fn file(part: Field<'_>, max: usize) -> Answer<Upload> {
    let kind = part.content_type().unwrap_or("application/octet-stream");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !MIDI_TYPES.contains(&kind.as_str()) {
        return Err(unsupported(&kind, "audio/midi for the file"));
    }
    let name = part.file_name().unwrap_or("upload.mid").chars().take(120).collect();
    let bytes = collect(part, max, &format!("the file must be at most {max} bytes")).await?;
    check_midi(&bytes)?;
    Ok(Upload { name, bytes })
}

/// Whether bytes begin as a MIDI file does: the type a client names proves nothing.
///
/// # Errors
/// `UnsupportedMediaType`
pub fn check_midi(bytes: &[u8]) -> Answer<()> {
    let in_riff = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"RMID");
    if bytes.starts_with(b"MThd") || in_riff {
        return Ok(());
    }
    let detail = "must be a Standard MIDI File, which begins with MThd";
    Err(Problem::field(Kind::UnsupportedMediaType, "#/file", detail, Some("a Standard MIDI File".into())))
}

async fn collect(mut part: Field<'_>, max: usize, refusal: &str) -> Answer<Vec<u8>> {
    let mut bytes = vec![];
    while let Some(chunk) = part.chunk().await.map_err(|error| broken(&error))? {
        if bytes.len() + chunk.len() > max {
            return Err(Problem::new(Kind::TooLarge, refusal));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn broken(error: &MultipartError) -> Problem {
    match error.status().as_u16() {
        413 => Problem::new(Kind::TooLarge, format!("the form is too large: {}", error.body_text())),
        _ => malformed(&error.body_text()),
    }
}

fn malformed(why: &str) -> Problem {
    Problem::new(Kind::MalformedForm, format!("the form cannot be read: {why}"))
}

/// What is no JSON in a form is one of its parts.
fn in_part(mut problem: Problem) -> Problem {
    if let Some(rest) =
        problem.detail.strip_prefix("the body").filter(|_| problem.kind == Kind::MalformedJson)
    {
        problem.detail = format!("the part request{rest}");
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    async fn of(parts: &[(&str, &str)], max: usize) -> Answer<Form> {
        let mut text = String::new();
        for (head, value) in parts {
            text.push_str(&format!("--x\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n"));
        }
        text.push_str("--x--\r\n");
        let request = Request::post("/").header("content-type", "multipart/form-data; boundary=x");
        read(request.body(Body::from(text)).expect("a request"), max).await
    }

    const FILE: &str = "name=\"file\"; filename=\"a.mid\"";

    #[tokio::test]
    async fn fields_get_their_types() {
        let form = of(
            &[
                (FILE, "MThd"),
                ("name=\"bars\"", "4"),
                ("name=\"style\"", "80"),
                ("name=\"kit\"", "kick, snare"),
                ("name=\"kit\"", "ride"),
            ],
            9,
        );
        let form = form.await.expect("a form");
        assert_eq!(form.file.expect("a file").name, "a.mid");
        let want = serde_json::json!({"bars": 4, "style": "80", "kit": ["kick", "snare", "ride"]});
        assert_eq!(Value::Object(form.fields), want);
    }

    #[tokio::test]
    async fn what_is_broken_is_told_as_what_it_is() {
        let part = of(&[("name=\"request\"", "{")], 9).await.expect_err("no JSON");
        assert_eq!(part.kind, Kind::MalformedJson);
        assert!(part.detail.starts_with("the part request is no JSON: EOF"), "{}", part.detail);
        for (kind, body) in [
            ("multipart/form-data", "--x--"),
            ("multipart/form-data; boundary=x", "no form"),
            (
                "multipart/form-data; boundary=x",
                "--x\r\nContent-Disposition: form-data; name=\"bars\"\r\n\r\n4",
            ),
        ] {
            let request = Request::post("/").header("content-type", kind).body(Body::from(body));
            let problem = read(request.expect("a request"), 9).await.expect_err("no form");
            assert_eq!((problem.kind, problem.status().as_u16()), (Kind::MalformedForm, 400), "{body}");
        }
        let file = of(&[(FILE, "PNG")], 9).await.expect_err("no MIDI file");
        assert!(file.detail.starts_with("file must be a Standard MIDI File"), "{}", file.detail);
        let twice = [("name=\"\u{e4}/\"", "1"), ("name=\"\u{e4}/\"", "2")];
        let twice = of(&twice, 9).await.expect_err("twice");
        assert_eq!(twice.errors[0].pointer, "#/%C3%A4~1");
        assert!(twice.detail.starts_with("\u{e4}/ must come once"), "{}", twice.detail);
    }

    #[tokio::test]
    async fn what_is_no_small_midi_file_is_refused() {
        let status =
            async |parts: &[(&str, &str)]| of(parts, 4).await.expect_err("refused").status().as_u16();
        assert_eq!(status(&[(FILE, "MThd1")]).await, 413);
        assert_eq!(status(&[(FILE, "PNG")]).await, 415);
        assert_eq!(status(&[(FILE, "MThd"), (FILE, "MThd")]).await, 422);
        assert_eq!(status(&[("name=\"file\"\r\nContent-Type: image/png", "MThd")]).await, 415);
        assert_eq!(status(&[("name=\"request\"", "{")]).await, 400);
        assert_eq!(status(&[("name=\"request\"", "{\"bars\":1}"), ("name=\"bars\"", "2")]).await, 422);
    }
}
