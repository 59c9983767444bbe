//! A configuration that may be shown.

use serde_json::Value;

use super::Config;

const HIDDEN: &str = "***";

/// The configuration as JSON with passwords and secrets replaced by `***`.
pub fn redacted(config: &Config) -> Value {
    let mut value = serde_json::to_value(config).expect("a configuration is plain data");
    walk("", &mut value);
    value
}

fn walk(key: &str, value: &mut Value) {
    match value {
        Value::String(text) if ["secret", "password", "token"].contains(&key) => {
            if !text.is_empty() {
                HIDDEN.clone_into(text);
            }
        }
        Value::String(text) => *text = hide(text),
        Value::Array(list) => list.iter_mut().for_each(|item| walk(key, item)),
        Value::Object(map) => map.iter_mut().for_each(|(key, item)| walk(key, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text without the password and the query of a URL in it: `redis://:***@host`, `https://host/v1?***`.
pub(crate) fn hide(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    if let Some((before, query)) = rest.split_once('?') {
        // Where a ? stands before an @, either may be part of a secret.
        if query.contains('@') {
            return format!("{scheme}://{HIDDEN}");
        }
        return hide(&format!("{scheme}://{before}")) + "?" + HIDDEN;
    }
    // The last @: a password that was not escaped may hold others.
    let Some((who, place)) = rest.rsplit_once('@') else { return text.to_owned() };
    let user = who.split_once(':').map(|(user, _)| format!("{user}:")).unwrap_or_default();
    format!("{scheme}://{user}{HIDDEN}@{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let mut config = Config::default();
        config.queue.url = "redis://ann:hunter2@h:6379/1".into();
        config.webhooks.secret = "whsec_hunter2".into();
        config.log.otlp = "https://hunter2@collector".into();
        config.storage.files = "s3://bucket/prefix".into();
        let shown = redacted(&config);
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
        assert_eq!(shown["queue"]["url"], "redis://ann:***@h:6379/1");
        assert_eq!(shown["webhooks"]["secret"], "***");
        assert_eq!(shown["storage"]["files"], "s3://bucket/prefix");
        assert_eq!(hide("redis://:a@b@h"), "redis://:***@h");
        for (text, shown) in [
            ("redis://h/1?pass=hunter2", "redis://h/1?***"),
            ("https://collector/v1?token=hunter2#x", "https://collector/v1?***"),
            ("redis://:hunter2@h:1?password=hunter2", "redis://:***@h:1?***"),
            ("redis://:hunt?er2@h:1", "redis://***"),
            ("http://h?token=a@hunter2", "http://***"),
            ("plain?text", "plain?text"),
        ] {
            assert_eq!(hide(text), shown);
        }
        assert_eq!(redacted(&Config::default())["webhooks"]["secret"], "");
    }
}
