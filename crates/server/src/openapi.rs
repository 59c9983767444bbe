//! The description of the API: what the handlers say of themselves, with what all of them share.
//!
//! `api/openapi.json` is its text; a test compares. Whoever changes the API sees the difference there.

use serde_json::{Map, Value, json};

use crate::problem::TABLE;
use crate::router;
use crate::routes::tasks::{KINDS, MAX_SEQUENCE};
use crate::wire::spoken::ALIASES;

/// Methods an operation can have.
const METHODS: [&str; 4] = ["get", "post", "delete", "head"];
/// Paths that answer with sound.
const SOUNDS: [&str; 2] = ["/v1/sound-generation", "/v1/music"];
/// Requests that work on given music, and their path.
const ON_INPUT: [(&str, &str); 8] = [
    ("/api/v1/generate/from-midi", "Continue"),
    ("/api/v1/continue", "Continue"),
    ("/api/v1/infill", "Infill"),
    ("/api/v1/humanize", "Humanize"),
    ("/api/v1/harmonize", "Harmonize"),
    ("/api/v1/arrange", "Arrange"),
    ("/api/v1/render", "Render"),
    ("/api/v1/analyze", "Analyze"),
];

/// As it is committed and served.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).expect("JSON");
    text.push('\n');
    text
}

/// The whole description.
pub fn document() -> Value {
    let mut api = serde_json::to_value(router::described()).expect("a description is JSON");
    api["openapi"] = json!("3.1.0");
    api["info"] = json!({
        "title": "Partita",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Music made on this machine",
        "description": "Every request that makes music becomes a task. A task that ends while the caller waits \
            (`Prefer: wait=N`, else some seconds) is answered with 200, others with 202 and a place to ask again. \
            A task that failed is an answer too: its `status` is `failed` and its `error` a problem. \
            Errors of requests are problems as RFC 9457 writes them; only requests that are no HTTP or whose headers are \
            too large get a bare 400 or 431.",
        "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
    });
    api["servers"] = json!([{"url": "/", "description": "This server"}]);
    api["security"] = json!([{}, {"bearer": []}, {"key": []}]);
    api["tags"] = json!([
        {"name": "generate", "description": "Making music"},
        {"name": "tasks", "description": "What was asked for, and what became of it"},
        {"name": "files", "description": "Files of results, and uploads"},
        {"name": "models", "description": "Models and their styles"},
        {"name": "operations", "description": "The server itself"},
        {"name": "compatible", "description": "Calls that programs written for other servers make"},
    ]);
    components(&mut api["components"]);
    let schemas = api["components"]["schemas"].clone();
    let paths = api["paths"].as_object_mut().expect("there are paths");
    for (path, item) in paths.iter_mut() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                operation_of(path, method, operation);
            }
        }
    }
    for (path, verb) in ON_INPUT {
        forms(&mut paths[path]["post"], path, &schemas[verb]);
    }
    let batch = &mut paths["/api/v1/generate/batch"]["post"]["requestBody"]["content"];
    batch["application/x-ndjson"] = json!({
        "schema": {"type": "string", "description": "One request of `/api/v1/generate` a line; errors have its `line`"},
    });
    let items = &mut paths["/api/v1/tasks/{id}/items"]["get"]["responses"]["200"]["content"];
    items["application/x-ndjson"] = json!({"schema": {"type": "string", "description": "One item a line"}});
    let event = json!({"schema": {
        "type": "object",
        "description": "One event; the stream has many",
        "required": ["event", "data"],
        "properties": {
            "id": {"type": "string", "description": "Sequence number, for Last-Event-ID"},
            "event": {"type": "string", "enum": [
                "queued", "started", "progress", "notes", "audio", "log", "reset", "complete", "failed",
                "cancelled"
            ]},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
    }});
    for (path, method) in [("/api/v1/stream", "post"), ("/api/v1/tasks/{id}/events", "get")] {
        paths[path][method]["responses"]["200"]["content"] = json!({"text/event-stream": event});
    }
    let file = json!({"schema": {"type": "string", "format": "binary"}});
    paths["/api/v1/stream"]["post"]["responses"]["200"]["content"]["audio/wav"] = file.clone();
    for path in SOUNDS {
        let content = &mut paths[path]["post"]["responses"]["200"]["content"];
        *content = json!({"audio/wav": file, "audio/flac": file, "audio/ogg": file});
    }
    for status in ["200", "206"] {
        let content = &mut paths["/api/v1/download/{file_id}"]["get"]["responses"][status]["content"];
        for kind in [
            "audio/midi",
            "audio/wav",
            "audio/flac",
            "audio/ogg",
            "application/json",
            "application/x-ndjson",
            "image/svg+xml",
            "image/png",
        ] {
            content[kind] = file.clone();
        }
    }
    let mut head = paths["/api/v1/download/{file_id}"]["get"].clone();
    head["operationId"] = json!("look_at_file");
    head["summary"] = json!("Look at a file");
    head["description"] = json!("As GET, without the file. Range is passed over.");
    let answers = head["responses"].as_object_mut().expect("responses");
    answers.retain(|status, _| !matches!(status.as_str(), "206" | "416"));
    for answer in answers.values_mut() {
        // A body never comes.
        let reference = answer.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned);
        *answer = match reference {
            Some(reference) => {
                json!({"description": format!("As {}", reference.rsplit('/').next().unwrap_or_default())})
            }
            None => json!({"description": answer["description"], "headers": answer["headers"]}),
        };
    }
    paths["/api/v1/download/{file_id}"]["head"] = head;
    paths["/metrics"]["get"]["responses"]["200"]["content"] = json!({
        "text/plain": {"schema": {"type": "string"}}, "application/openmetrics-text": {"schema": {"type": "string"}},
    });
    paths["/api/v1/generate/simple"]["get"]["responses"]["200"]["content"] =
        json!({"audio/midi": file, "audio/wav": file, "application/json": task()});
    paths["/api/v1/files"]["post"]["requestBody"] = json!({"required": true, "content": {
        "audio/midi": file,
        "multipart/form-data": {"schema": {
            "type": "object", "required": ["file"], "additionalProperties": false,
            "properties": {"file": {"type": "string", "format": "binary"}},
        }},
    }});
    api
}

fn task() -> Value {
    json!({"schema": {"$ref": "#/components/schemas/Task"}})
}

fn components(components: &mut Value) {
    components["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, made with `partita keys create`"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key"},
    });
    let mut responses = Map::new();
    let mut statuses: Vec<u16> = TABLE.iter().map(|row| row.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let kinds: Vec<String> = TABLE
            .iter()
            .filter(|row| row.status == status)
            .map(|row| format!("{} (`{}`)", row.title, row.slug))
            .collect();
        let mut response = json!({
            "description": kinds.join(", "),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "headers": {"X-Request-Id": header("Name of the request in the server's log")},
        });
        if matches!(status, 429 | 503) {
            response["headers"]["Retry-After"] = json!({"description": "Seconds after which trying again may help", "schema": {"type": "integer"}});
        }
        responses.insert(format!("Problem{status}"), response);
    }
    components["responses"] = responses.into();
    components["schemas"]["Problem"] = schema_of::<crate::problem::Body9457>();
    components["schemas"]["FieldProblem"] = schema_of::<crate::problem::Field>();
    for name in ["Generate", "Continue", "Infill", "Humanize", "Harmonize", "Arrange", "Song", "Render"] {
        let properties =
            components["schemas"][name]["properties"].as_object_mut().expect("request types have fields");
        for (alias, name) in ALIASES {
            if let Some(field) = properties.get(name) {
                let mut field = field.clone();
                field["description"] = json!(format!("The same as `{name}`"));
                field["deprecated"] = json!(true);
                properties.insert(alias.to_owned(), field);
            }
        }
    }
    for name in ["Continue", "Infill", "Humanize", "Harmonize", "Arrange", "Render", "Analyze"] {
        components["schemas"][name]["required"] = json!(["input"]);
    }
    components["schemas"]["Item"]["properties"]["error"] = json!({"$ref": "#/components/schemas/Problem"});
    components["schemas"]["Batch"]["required"] = json!(["requests"]);
    components["schemas"]["Input"]["minProperties"] = json!(1);
    pairs(&mut components["schemas"]);
}

/// Pairs have two items, which the types say and their schemas do not.
fn pairs(schemas: &mut Value) {
    for schema in schemas.as_object_mut().into_iter().flatten().map(|(_, schema)| schema) {
        for name in [
            "time_signature",
            "velocity",
            "bars",
            "tempo",
            "range",
            "notes_per_bar",
            "pitches",
            "bass_range",
            "piano_range",
        ] {
            let Some(field) = schema.get_mut("properties").and_then(|fields| fields.get_mut(name)) else {
                continue;
            };
            if field.get("items").is_some() {
                field["minItems"] = json!(2);
                field["maxItems"] = json!(2);
            }
        }
    }
}

fn schema_of<T: utoipa::PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).expect("a schema is JSON")
}

fn header(description: &str) -> Value {
    json!({"description": description, "schema": {"type": "string"}})
}

/// What operations of a kind share: parameters, headers, and the problems that layers and engine can answer with.
fn operation_of(path: &str, method: &str, operation: &mut Value) {
    let public = operation.get("security").is_some();
    let has_body = operation.get("requestBody").is_some();
    let is_task = operation["responses"].get("202").is_some() || path == "/api/v1/stream" && method == "post";
    let mut problems = vec![400, 405, 408, 413, 414, 415, 421, 429, 431, 500, 503];
    if !public && path != "/api/v1/download/{file_id}" {
        problems.extend([401, 403]);
    } else {
        problems.push(403);
        operation["security"] = json!([]);
    }
    if path.contains('{') {
        problems.push(404);
    }
    if ["/api/", "/v1/"].iter().any(|start| path.starts_with(start)) {
        // At least for a query, which some take and most do not.
        problems.push(422);
    }
    if path.ends_with("/events") || path == "/api/v1/stream" && method == "post" {
        problems.push(406);
    }
    if path.starts_with("/api/v1/models/") || path == "/api/v1/styles" {
        problems.push(404);
    }
    if path == "/api/v1/tasks/{id}/items" || path.starts_with("/api/v1/models/") && method == "delete" {
        problems.push(409);
    }
    if path == "/api/v1/download/{file_id}" {
        problems.push(416);
    }
    if is_task || path == "/api/v1/files" {
        problems.extend([404, 507]);
    }
    if path == "/api/v1/generate/simple" || SOUNDS.contains(&path) {
        problems.extend([409, 504]);
    }
    if path == "/api/v1/stream" && method == "post" {
        // Where a task ends before its first sound.
        problems.extend([409, 504]);
    }
    let name = |name: &str| json!({"name": name, "in": "header", "required": false});
    let mut extra = vec![];
    if is_task {
        let mut prefer = name("Prefer");
        prefer["description"] =
            json!("`wait=N`: seconds to wait for the result, at most 60; `respond-async`: do not wait");
        prefer["schema"] = json!({"type": "string"});
        prefer["example"] = json!("wait=5");
        extra.push(prefer);
        let mut key = name("Idempotency-Key");
        key["description"] = json!("The same key with the same request is the same task, for a day");
        key["schema"] = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"});
        extra.push(key);
    }
    if !extra.is_empty() {
        let parameters =
            operation.as_object_mut().expect("an operation").entry("parameters").or_insert(json!([]));
        parameters.as_array_mut().expect("a list").extend(extra);
    }
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        refine(path, parameter);
    }
    if has_body && path != "/api/v1/generate" && path != "/api/v1/stream" {
        operation["requestBody"]["required"] = json!(true);
    } else if has_body {
        // Every field may be left out, and so may all of them.
        operation["requestBody"]["required"] = json!(false);
    }
    let responses = operation["responses"].as_object_mut().expect("responses");
    for response in responses.values_mut() {
        response["headers"]["X-Request-Id"] = header("Name of the request in the server's log");
    }
    if is_task {
        let headers = &mut responses["200"]["headers"];
        headers["Cache-Status"] = header("Whether the result was kept from an earlier request");
        headers["Idempotent-Replayed"] = header("`true` when the Idempotency-Key brought an earlier task");
        headers["Preference-Applied"] = header("What was done about Prefer");
    }
    if let Some(waiting) = responses.get_mut("202") {
        waiting["headers"]["Location"] = header("The task");
        waiting["headers"]["Retry-After"] =
            json!({"description": "Seconds after which to ask again", "schema": {"type": "integer"}});
    }
    for status in problems {
        let response = json!({"$ref": format!("#/components/responses/Problem{status}")});
        responses.entry(status.to_string()).or_insert(response);
    }
}

/// Parameters as strict as the handlers read them.
fn refine(path: &str, parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let simple = path == "/api/v1/generate/simple";
    let schema = match (name.as_str(), simple) {
        ("id" | "after", false) if !path.ends_with("/events") || name == "id" => {
            json!({"type": "string", "pattern": "^tsk_[0-9a-hjkmnp-tv-z]{26}$"})
        }
        ("after", false) => json!({"type": "integer", "minimum": 0, "maximum": MAX_SEQUENCE}),
        ("file_id", _) => json!({"type": "string", "pattern": "^fil_[0-9a-z]{1,60}(\\.[0-9a-z]{1,8})?$"}),
        ("slug", _) => json!({"type": "string", "minLength": 1}),
        ("name", _) => json!({"type": "string", "minLength": 1, "maxLength": 128}),
        ("limit", _) => json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        ("kind", _) if path == "/api/v1/tasks" => json!({"type": "string", "enum": KINDS}),
        ("bars", true) => json!({"type": "integer", "minimum": 1, "maximum": 32}),
        ("tempo", true) => json!({"type": "number", "minimum": 40, "maximum": 300}),
        ("seed", true) => json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
        ("density", true) => json!({"type": "number", "minimum": 0, "maximum": 1}),
        ("swing", true) => json!({"type": "number", "minimum": 0.5, "maximum": 0.75}),
        ("temperature", true) => json!({"type": "number", "exclusiveMinimum": 0, "maximum": 4}),
        ("top_k", true) => json!({"type": "integer", "minimum": 0, "maximum": 100_000}),
        ("top_p", true) => json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
        ("format", true) => json!({"type": "string", "enum": ["mid", "json", "wav"], "default": "mid"}),
        ("output_format", _) => json!({"type": "string", "enum": ["wav", "flac", "ogg"], "default": "wav"}),
        ("fill", true) | ("loaded", _) => json!({"type": "boolean"}),
        ("status", _) => json!({"$ref": "#/components/schemas/TaskStatus"}),
        ("Prefer" | "Idempotency-Key", _) => return,
        _ => json!({"type": "string"}),
    };
    parameter["schema"] = schema;
}

/// The same requests as forms: the file instead of `input`, each field a part.
fn forms(operation: &mut Value, path: &str, schema: &Value) {
    let mut properties = schema["properties"].as_object().cloned().unwrap_or_default();
    properties.remove("input");
    for (alias, _) in ALIASES {
        properties.remove(alias);
    }
    properties.insert(
        "file".into(),
        json!({
            "type": "string", "format": "binary", "description": "A Standard MIDI File"
        }),
    );
    properties.insert(
        "request".into(),
        json!({
            "type": "object", "description": "All other fields as JSON"
        }),
    );
    let form = json!({
        "schema": {
            "type": "object",
            "required": ["file"],
            "additionalProperties": false,
            "properties": properties,
        },
        "encoding": {"file": {"contentType": "audio/midi"}, "request": {"contentType": "application/json"}},
    });
    let content = &mut operation["requestBody"]["content"];
    if path == "/api/v1/generate/from-midi" {
        *content = json!({});
    }
    content["multipart/form-data"] = form;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let api = document();
        let mut open = vec![&api];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(map) => {
                    if let Some(place) = map.get("$ref").and_then(Value::as_str) {
                        assert!(api.pointer(place.trim_start_matches('#')).is_some(), "{place}");
                    }
                    open.extend(map.values());
                }
                Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let api = document();
        let mut names = vec![];
        for item in api["paths"].as_object().expect("paths").values() {
            for method in METHODS {
                names.extend(
                    item.get(method).map(|operation| operation["operationId"].as_str().expect("named")),
                );
            }
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(all > 30);
    }
}
