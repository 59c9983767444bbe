//! What each key may hold.

use std::net::IpAddr;

use base64::Engine as _;
use serde_json::{Number, Value};

use super::redact::hide;
use super::yaml::{Kind, Node};

/// Kind and range of a key's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    Integer(u64, u64),
    /// A finite number in a closed range.
    Real(f64, f64),
    /// A finite number above the first and up to the second.
    Above(f64, f64),
    Switch,
    OneOf(&'static [&'static str]),
    Text(Form),
    List(Form),
    Profiles,
    Aliases,
}

/// What a text may be: words for it, and the test.
pub(super) type Form = (&'static str, fn(&str) -> bool);

impl Rule {
    /// What is allowed, as in `in 0..=65535`.
    pub fn allowed(&self) -> String {
        match self {
            Rule::Integer(low, high) => format!("in {low}..={high}"),
            Rule::Real(low, high) => format!("in {low}..={high}"),
            Rule::Above(low, high) => format!("in ({low}, {high}]"),
            Rule::Switch => "true or false".into(),
            Rule::OneOf(words) => words.join(", "),
            Rule::Text((words, _)) | Rule::List((words, _)) => (*words).into(),
            Rule::Profiles => "names with temperature, top_k and top_p".into(),
            Rule::Aliases => "names with lists of models".into(),
        }
    }

    /// The value as the configuration keeps it, or `None` if it may not be. Not for `Profiles` and `Aliases`.
    pub fn value(&self, node: &Node) -> Option<Value> {
        match (self, &node.kind) {
            (Rule::Integer(low, high), Kind::Plain(Value::Number(number))) => {
                let whole = number.as_u64().or_else(|| {
                    number.as_f64().filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n)).map(|n| n as u64)
                })?;
                (*low..=*high).contains(&whole).then(|| whole.into())
            }
            (Rule::Real(low, high), Kind::Plain(Value::Number(number))) => {
                let number = number.as_f64().filter(|n| (*low..=*high).contains(n))?;
                Number::from_f64(number).map(Value::Number)
            }
            (Rule::Above(low, high), Kind::Plain(Value::Number(number))) => {
                let number = number.as_f64().filter(|n| *n > *low && *n <= *high)?;
                Number::from_f64(number).map(Value::Number)
            }
            (Rule::Switch, Kind::Plain(Value::Bool(on))) => Some((*on).into()),
            (Rule::OneOf(words), Kind::Text(text)) => {
                words.contains(&text.as_str()).then(|| text.clone().into())
            }
            (Rule::Text((_, fits)), Kind::Text(text)) => fits(text).then(|| text.clone().into()),
            _ => None,
        }
    }

    /// A value out of the text of a variable or flag; left as text where it cannot be read, to be refused later.
    pub fn read(&self, text: &str) -> Node {
        let plain = |value: Option<Value>| {
            value.map_or_else(|| Node::text(text), |value| Node { at: None, kind: Kind::Plain(value) })
        };
        match self {
            Rule::Integer(..) | Rule::Real(..) | Rule::Above(..) => {
                plain(serde_json::from_str::<Number>(text.trim()).ok().map(Value::Number))
            }
            Rule::Switch => plain(text.trim().parse::<bool>().ok().map(Value::Bool)),
            Rule::OneOf(_) | Rule::Text(_) => Node::text(text),
            Rule::List(_) if !text.trim_start().starts_with('[') => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Node { at: None, kind: Kind::List(parts.map(Node::text).collect()) }
            }
            Rule::List(_) | Rule::Profiles | Rule::Aliases => flow(text),
        }
    }

    /// What came, without secrets.
    pub fn got(&self, secret: bool, node: &Node) -> String {
        match &node.kind {
            Kind::Text(text) if secret && !text.is_empty() => "\"***\"".into(),
            Kind::Text(text) => Node::text(&hide(text)).shown(),
            _ => node.shown(),
        }
    }
}

/// YAML in one line; without places, which mean nothing there.
fn flow(text: &str) -> Node {
    fn strip(node: &mut Node) {
        node.at = None;
        match &mut node.kind {
            Kind::List(list) => list.iter_mut().for_each(strip),
            Kind::Map(entries) => entries.iter_mut().for_each(|(_, node)| strip(node)),
            Kind::Plain(_) | Kind::Text(_) => {}
        }
    }
    let Ok(mut node) = super::yaml::parse(text) else { return Node::text(text) };
    strip(&mut node);
    node
}

pub(super) const ANY: Form = ("text", |_| true);
pub(super) const HOST: Form = ("an IP address or a host name", is_host);
pub(super) const HOSTS: Form =
    ("host names, with or without a port, or *", |text| text == "*" || is_host_port(text));
pub(super) const ORIGINS: Form =
    ("origins such as https://example.com, or *", |text| text == "*" || is_origin(text));
pub(super) const FILES: Form = ("a folder, or s3://bucket/prefix", is_store);
pub(super) const QUEUE: Form = (
    "sqlite, :memory:, redis://[:password@]host:port/db, or rediss:// instead of redis:// for TLS",
    is_queue,
);
pub(super) const PREFIX: Form = ("1 to 64 letters, digits, '.', '_', '-' or ':'", |text| {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte))
});
pub(super) const MODEL: Form = ("a name such as drums or drums@1", is_model);
pub(super) const SECRET: Form =
    ("whsec_ and base64 of 24 to 64 bytes", |text| text.is_empty() || is_secret(text));
pub(super) const NETWORKS: Form = ("networks such as 10.1.0.0/16", is_network);
pub(super) const LEVEL: Form = ("levels such as info or info,partita_engine=debug", is_level);
pub(super) const ENDPOINT: Form = ("an http:// or https:// URL", |text| text.is_empty() || is_http(text));

/// `[a-z0-9][a-z0-9._-]{0,63}`
pub(crate) fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=64).contains(&text.len())
        && inner(text.as_bytes()[0])
        && text.bytes().all(|byte| inner(byte) || b"._-".contains(&byte))
}

/// A name, or `name@version` of two names.
fn is_model(text: &str) -> bool {
    match text.split_once('@') {
        Some((name, version)) => is_name(name) && is_name(version),
        None => is_name(text),
    }
}

fn is_host(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().is_ok()
        || (1..=253).contains(&text.len())
            && text.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            })
}

fn is_host_port(text: &str) -> bool {
    is_host(text)
        || text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok())
}

fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(is_host_port)
}

fn is_http(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

fn is_store(text: &str) -> bool {
    match text.split_once("://") {
        Some(("s3", place)) => {
            let bucket = place.split('/').next().unwrap_or_default();
            (3..=63).contains(&bucket.len())
                && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
                && !place.split('/').any(|part| part == "..")
        }
        Some(_) => false,
        None => true,
    }
}

pub(super) fn is_redis(text: &str) -> bool {
    let tcp = text.strip_prefix("redis://").or_else(|| text.strip_prefix("rediss://"));
    let after =
        |rest: &str| rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| host.to_owned());
    tcp.map(after).is_some_and(|place| {
        let (host, database) = place.split_once('/').unwrap_or((&place, ""));
        is_host_port(host) && (database.is_empty() || database.parse::<u16>().is_ok())
    }) || text.strip_prefix("redis+unix://").is_some_and(|path| path.starts_with('/'))
}

pub(super) fn has_tls(text: &str) -> bool {
    text.starts_with("rediss://")
}

fn is_queue(text: &str) -> bool {
    matches!(text, "sqlite" | ":memory:") || is_redis(text)
}

fn is_secret(text: &str) -> bool {
    text.strip_prefix("whsec_")
        .and_then(|rest| base64::engine::general_purpose::STANDARD.decode(rest).ok())
        .is_some_and(|bytes| (24..=64).contains(&bytes.len()))
}

fn is_network(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
            (Ok(address), Ok(bits)) => digits && bits <= if address.is_ipv4() { 32 } else { 128 },
            _ => false,
        }
    })
}

fn is_level(text: &str) -> bool {
    let level = |word: &str| matches!(word, "off" | "error" | "warn" | "info" | "debug" | "trace");
    !text.is_empty()
        && text.split(',').map(str::trim).all(|part| match part.split_once('=') {
            Some((target, word)) => !target.is_empty() && level(word),
            None => level(part),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_what_they_should_be() {
        let cases: &[(Form, &[&str], &[&str])] = &[
            (
                HOST,
                &["127.0.0.1", "::1", "0.0.0.0", "localhost", "music.example.com"],
                &["", "a b", "http://x", "a/b"],
            ),
            (
                HOSTS,
                &["*", "example.com", "example.com:8443", "[::1]:80"],
                &["", "exa mple", "example.com:99999"],
            ),
            (
                ORIGINS,
                &["*", "https://a.example", "http://localhost:5173"],
                &["a.example", "https://a/b", "ftp://a"],
            ),
            (
                FILES,
                &["", "files", "s3://bucket", "s3://bucket/a/b"],
                &["gs://bucket", "s3://", "s3://bucket/../x"],
            ),
            (
                QUEUE,
                &[
                    "sqlite",
                    ":memory:",
                    "redis://localhost",
                    "redis://:p%40w@h:6379/0",
                    "rediss://:p%40w@h:6380/0",
                    "redis+unix:///run/r.sock",
                ],
                &[
                    "rediss://h:6380/0#insecure",
                    "rediss+unix:///run/r.sock",
                    "",
                    "postgres://h",
                    "redis://",
                    "redis://h/x",
                    "redis://h:99999",
                    "memory",
                ],
            ),
            (PREFIX, &["partita", "a:b"], &["", "a b", "ä"]),
            (MODEL, &["drums", "drums@1", "a.b-c_d"], &["", "Drums", "../x", "a@", "a@b@c", ".a", "a/b"]),
            (
                SECRET,
                &["", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
                &["secret", "whsec_", "whsec_AAAA", "whsec_%%%%"],
            ),
            (
                NETWORKS,
                &["10.1.0.0/16", "fd00::/8", "10.0.0.1/32"],
                &["10.1.0.0", "10.1.0.0/33", "x/8", "10.0.0.0/+8"],
            ),
            (LEVEL, &["info", "info,partita_engine=debug", "off"], &["", "loud", "info,", "=debug"]),
            (
                ENDPOINT,
                &["", "http://localhost:4318", "https://x.example/v1"],
                &["localhost", "http://", "http:// x"],
            ),
        ];
        for ((words, fits), good, bad) in cases {
            for text in *good {
                assert!(fits(text), "{words}: {text:?}");
            }
            for text in *bad {
                assert!(!fits(text), "{words}: {text:?}");
            }
        }
    }
}
