//! Every key that can be set, with what it may hold. The fields' docs say what each does.

use super::rule::{self, Rule};

/// One key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    /// `server.port`
    pub path: &'static str,
    pub rule: Rule,
    /// A new value counts only after a restart.
    pub restart: bool,
    /// Never shown.
    pub secret: bool,
}

const fn key(path: &'static str, rule: Rule) -> Key {
    Key { path, rule, restart: false, secret: false }
}

const fn restart(path: &'static str, rule: Rule) -> Key {
    Key { path, rule, restart: true, secret: false }
}

const YEAR: f64 = 365.0 * 86_400.0;
const MANY: u64 = 1_000_000;

pub(super) const KEYS: &[Key] = &[
    restart("server.host", Rule::Text(rule::HOST)),
    restart("server.port", Rule::Integer(0, 65_535)),
    restart("server.insecure", Rule::Switch),
    key("server.allowed_hosts", Rule::List(rule::HOSTS)),
    key("server.cors_origins", Rule::List(rule::ORIGINS)),
    key("server.sync_wait", Rule::Real(0.0, 60.0)),
    key("server.max_body_mb", Rule::Integer(1, 1024)),
    key("server.max_upload_mb", Rule::Integer(1, 1024)),
    restart("server.header_timeout", Rule::Real(0.1, 3600.0)),
    key("server.body_timeout", Rule::Real(0.1, 3600.0)),
    restart("server.max_connections", Rule::Integer(1, MANY)),
    key("server.drain", Rule::Real(0.0, 3600.0)),
    restart("storage.data_dir", Rule::Text(rule::ANY)),
    restart("storage.files", Rule::Text(rule::FILES)),
    key("storage.min_free_mb", Rule::Integer(0, 1_000_000_000)),
    restart("queue.url", Rule::Text(rule::QUEUE)),
    restart("queue.ca", Rule::Text(rule::ANY)),
    restart("queue.prefix", Rule::Text(rule::PREFIX)),
    key("queue.visibility", Rule::Real(5.0, 3600.0)),
    key("queue.max_attempts", Rule::Integer(1, 100)),
    key("queue.timeout", Rule::Real(0.1, 604_800.0)),
    key("queue.idempotency", Rule::Real(1.0, YEAR)),
    key("queue.events", Rule::Integer(16, 100_000)),
    key("lanes.midi.workers", Rule::Integer(0, 256)),
    key("lanes.midi.max_queued", Rule::Integer(0, MANY)),
    key("lanes.generation.workers", Rule::Integer(0, 256)),
    key("lanes.generation.max_queued", Rule::Integer(0, MANY)),
    key("lanes.heavy.workers", Rule::Integer(0, 256)),
    key("lanes.heavy.max_queued", Rule::Integer(0, MANY)),
    key("lanes.audio.workers", Rule::Integer(0, 256)),
    key("lanes.audio.max_queued", Rule::Integer(0, MANY)),
    key("models.dir", Rule::Text(rule::ANY)),
    key("models.max_loaded", Rule::Integer(1, 1000)),
    key("models.memory_mb", Rule::Integer(1, 16_777_216)),
    key("models.idle", Rule::Real(0.0, YEAR)),
    key("models.warm", Rule::List(rule::MODEL)),
    key("models.precision", Rule::OneOf(&["int8", "q4", "f32"])),
    key("models.auto_pull", Rule::Switch),
    key("models.aliases", Rule::Aliases),
    key("profiles", Rule::Profiles),
    restart("cache.store", Rule::OneOf(&["memory", "disk", "redis", "off"])),
    key("cache.max_mb", Rule::Integer(1, 1_048_576)),
    key("cache.max_entries", Rule::Integer(1, 1_000_000_000)),
    key("cache.ttl", Rule::Real(0.1, YEAR)),
    key("retention.tasks", Rule::Real(1.0, 10.0 * YEAR)),
    key("retention.files", Rule::Real(1.0, 10.0 * YEAR)),
    key("retention.interval", Rule::Real(0.1, 86_400.0)),
    restart("auth.keys", Rule::OneOf(&["auto", "always", "never"])),
    key("limits.tasks_per_hour", Rule::Integer(0, 1_000_000_000)),
    key("limits.tasks_per_minute_per_address", Rule::Integer(0, 1_000_000_000)),
    key("limits.concurrent_per_key", Rule::Integer(0, MANY)),
    key("limits.on_failure", Rule::OneOf(&["open", "closed"])),
    restart("limits.max_streams", Rule::Integer(0, MANY)),
    key("limits.max_batch", Rule::Integer(1, 10_000)),
    Key { path: "webhooks.secret", rule: Rule::Text(rule::SECRET), restart: false, secret: true },
    key("webhooks.allow_private", Rule::List(rule::NETWORKS)),
    key("webhooks.timeout", Rule::Real(0.1, 300.0)),
    key("webhooks.max_attempts", Rule::Integer(1, 100)),
    restart("log.format", Rule::OneOf(&["pretty", "json"])),
    restart("log.level", Rule::Text(rule::LEVEL)),
    key("log.audit", Rule::Text(rule::ANY)),
    key("log.audit_requests", Rule::Switch),
    restart("log.otlp", Rule::Text(rule::ENDPOINT)),
];

/// Fields of one profile.
pub(super) const PROFILE: &[Key] = &[
    key("temperature", Rule::Above(0.0, 4.0)),
    key("top_k", Rule::Integer(0, 100_000)),
    key("top_p", Rule::Above(0.0, 1.0)),
];

/// Fields of one target of an alias.
pub(super) const TARGET: &[Key] =
    &[key("model", Rule::Text(rule::MODEL)), key("weight", Rule::Above(0.0, 1_000_000.0))];

/// `; did you mean server.port?`, or nothing when no known name is near.
pub(super) fn nearest(unknown: &str, known: impl Iterator<Item = String>) -> String {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |name: &str| {
        // The right name in the wrong section is nearer than any misspelling.
        if last(name) == last(unknown) { 0 } else { strsim::osa_distance(name, unknown) }
    };
    let best = known.map(|name| (distance(&name), name)).min();
    best.filter(|(distance, _)| *distance <= 2 + last(unknown).chars().count() / 3)
        .map(|(_, name)| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    /// Paths of all values in a configuration; profiles and aliases count as one value each.
    fn paths(prefix: &str, value: &serde_json::Value, all: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) if !["profiles", "models.aliases"].contains(&prefix) => {
                for (name, value) in map {
                    let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    paths(&path, value, all);
                }
            }
            _ => all.push(prefix.to_owned()),
        }
    }

    #[test]
    fn the_table_holds_every_key_of_the_configuration_and_no_other() {
        let mut all = vec![];
        paths("", &serde_json::to_value(Config::default()).expect("plain data"), &mut all);
        let mut table: Vec<String> = KEYS.iter().map(|key| key.path.to_owned()).collect();
        all.sort();
        table.sort();
        assert_eq!(table, all);
    }

    /// The words of the doc comment above each field, by `section.field`.
    fn docs() -> std::collections::HashMap<String, String> {
        let (mut docs, mut section, mut doc) =
            (std::collections::HashMap::new(), String::new(), String::new());
        for line in include_str!("mod.rs").lines().map(str::trim) {
            if let Some(words) = line.strip_prefix("///") {
                doc.push_str(words);
            } else if let Some(rest) = line.strip_prefix("pub struct ") {
                section = rest.trim_end_matches(" {").to_lowercase();
                doc.clear();
            } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(':')) {
                docs.insert(format!("{section}.{field}"), std::mem::take(&mut doc));
            }
        }
        docs
    }

    #[test]
    fn docs_of_the_fields_say_ranges_and_restarts() {
        let docs = docs();
        for key in KEYS {
            let parts: Vec<&str> = key.path.split('.').collect();
            let name = match parts[..] {
                ["lanes", _, field] => format!("lane.{field}"),
                ["profiles"] => continue,
                _ => key.path.to_owned(),
            };
            let doc = docs.get(&name).unwrap_or_else(|| panic!("{name} has no doc"));
            assert_eq!(doc.contains("Restart."), key.restart, "{name}: {doc}");
            match key.rule {
                Rule::Integer(low, high) => {
                    assert!(doc.contains(&format!("{low}..={high}")), "{name}: {doc}");
                }
                Rule::Real(low, high) => assert!(doc.contains(&format!("{low}..={high}")), "{name}: {doc}"),
                Rule::OneOf(words) => {
                    assert!(words.iter().all(|word| doc.contains(&format!("`{word}`"))), "{name}: {doc}");
                }
                _ => {}
            }
        }
    }
}
