//! `Prefer` (RFC 7240): how long a caller waits for a result.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header::HeaderName};

/// Longest wait a caller can ask for.
pub const LONGEST: Duration = Duration::from_secs(60);

/// What a caller prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// `wait=N`, seconds.
    pub wait: Option<u64>,
    /// `respond-async`
    pub asynchronous: bool,
}

impl Prefer {
    /// Preferences that are unknown or make no sense are passed over, as the standard asks.
    pub fn of(headers: &HeaderMap) -> Prefer {
        let mut prefer = Prefer::default();
        let lines = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in lines.flat_map(|line| line.split(',')) {
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            // The first of two equal preferences counts (section 2).
            match name.trim().to_ascii_lowercase().as_str() {
                "wait" if prefer.wait.is_none() => prefer.wait = value.parse().ok(),
                "respond-async" => prefer.asynchronous = true,
                _ => {}
            }
        }
        prefer
    }

    /// How long to wait, given what the server does by itself.
    pub fn wait(self, usual: Duration) -> Duration {
        match self.wait {
            Some(seconds) => Duration::from_secs(seconds).min(LONGEST),
            None if self.asynchronous => Duration::ZERO,
            None => usual.min(LONGEST),
        }
    }

    /// The header that tells what was done about it; `answered`: the result came in time.
    pub fn applied(self, answered: bool) -> Option<(HeaderName, HeaderValue)> {
        let text = match self.wait {
            Some(seconds) => format!("wait={}", seconds.min(LONGEST.as_secs())),
            None if self.asynchronous && !answered => "respond-async".to_owned(),
            None => return None,
        };
        let name = HeaderName::from_static("preference-applied");
        Some((name, HeaderValue::from_str(&text).expect("letters and digits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Prefer {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("prefer", HeaderValue::from_str(line).expect("a header"));
        }
        Prefer::of(&headers)
    }

    #[test]
    fn preferences_are_found_among_others() {
        let usual = Duration::from_secs(10);
        assert_eq!(of(&[]).wait(usual), usual);
        assert_eq!(of(&["respond-async"]).wait(usual), Duration::ZERO);
        assert_eq!(of(&["Respond-Async, wait=5"]).wait(usual), Duration::from_secs(5));
        assert_eq!(of(&["return=minimal", "wait=\"7\"; x=y"]).wait(usual), Duration::from_secs(7));
        assert_eq!(of(&["wait=2, wait=9"]).wait(usual), Duration::from_secs(2));
        assert_eq!(of(&["wait=-3", "wait=soon"]).wait(usual), usual);
        assert_eq!(of(&["wait=99999999999"]).wait(usual), LONGEST);
    }

    #[test]
    fn what_was_applied_is_told() {
        let applied = |lines: &[&str], answered| of(lines).applied(answered).map(|(_, value)| value);
        assert_eq!(applied(&["wait=99"], true).expect("told"), "wait=60");
        assert_eq!(applied(&["respond-async"], false).expect("told"), "respond-async");
        assert_eq!(applied(&[], false), None);
    }
}
