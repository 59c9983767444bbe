//! Whether a webhook could be called at all. Where it leads is checked when it is called.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::WebhookRequest;
use super::problems::{Problems, text};

const LONGEST_URL: usize = 2000;

/// Adds what is wrong with the text of `webhook`.
pub(crate) fn check(webhook: &WebhookRequest, problems: &mut Problems) {
    let url = &webhook.url;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let plain = url.chars().all(|c| c.is_ascii_graphic());
    if url.len() > LONGEST_URL {
        problems.add("webhook/url", "at most 2000 characters", url.chars().count());
    } else if !plain || host.is_none_or(str::is_empty) {
        problems.add("webhook/url", "an http:// or https:// URL", text(url));
    } else if host.is_some_and(|host| host.contains('@')) {
        problems.add("webhook/url", "a URL without a user name", "one with it");
    }
    if let Some(events) = &webhook.events {
        let repeated = events.iter().enumerate().any(|(index, event)| events[..index].contains(event));
        if events.is_empty() || repeated {
            problems.add("webhook/events", "complete, failed, cancelled, each once", events.len());
        }
    }
    if let Some(secret) = &webhook.secret {
        let key = secret.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
        if !key.is_some_and(|key| (24..=64).contains(&key.len())) {
            // The secret itself stays out of every message.
            problems.add("webhook/secret", "whsec_ and base64 of 24 to 64 bytes", "something else");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(url: &str, secret: Option<&str>) -> Vec<String> {
        let mut problems = Problems::default();
        let webhook = WebhookRequest { url: url.into(), events: None, secret: secret.map(str::to_owned) };
        check(&webhook, &mut problems);
        let fault = problems.finish().err();
        fault.map_or(vec![], |fault| fault.errors.into_iter().map(|problem| problem.pointer).collect())
    }

    #[test]
    fn only_http_urls_with_a_host_pass() {
        for good in ["https://example.com/hook", "http://localhost:9/x?y", "https://[::1]/"] {
            assert!(wrong(good, None).is_empty(), "{good}");
        }
        let long = format!("https://example.com/{}", "x".repeat(2000));
        let bad =
            ["", "ftp://x", "https://", "https:///x", "http://a b", "http://u:p@host/", "file:///etc", &long];
        for bad in bad {
            assert_eq!(wrong(bad, None), ["#/webhook/url"], "{bad}");
        }
    }

    #[test]
    fn secrets_are_24_to_64_bytes_and_never_repeated() {
        let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7u8; bytes]));
        for (bytes, fine) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(wrong("https://x", Some(&secret(bytes))).is_empty(), fine, "{bytes}");
        }
        assert_eq!(wrong("https://x", Some("hunter2")), ["#/webhook/secret"]);
    }
}
