//! For whom a request says it is, and which page sent it: what keeps web pages of others from using a server that is
//! open to its own machine.
//!
//! A page can point its own name at 127.0.0.1 (DNS rebinding); then its requests carry that name in `Host`. And it can
//! send simple forms to `http://localhost:8000` without asking; then they carry `Origin`.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use partita_engine::Config;

use crate::problem::{Kind, Problem};

/// Checks `Host` and the authority of the address, if it has one.
///
/// # Errors
/// `BadRequest` if it is missing, doubled or no name; `HostNotAllowed` if it is somebody else's.
pub fn check<B>(request: &Request<B>, config: &Config) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Problem::new(Kind::BadRequest, "a request must have exactly one Host header"));
    };
    let authority: Option<Authority> = host.to_str().ok().and_then(|text| text.parse().ok());
    let authority = authority
        .ok_or_else(|| Problem::new(Kind::BadRequest, "the Host header must be a name and a port"))?;
    for authority in std::iter::once(&authority).chain(request.uri().authority()) {
        if authority.as_str().contains('@') || !allows(authority.host(), config) {
            let host: String = authority.host().chars().take(100).collect();
            return Err(Problem::new(
                Kind::HostNotAllowed,
                format!("this server does not go by the name {host:?}"),
            ));
        }
    }
    Ok(())
}

fn allows(host: &str, config: &Config) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // Rebinding needs a name; a number is the number.
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let listed = |name: &String| {
        let under = name.strip_prefix("*.").is_some_and(|parent| {
            host.len() > parent.len() + 1
                && host.is_char_boundary(host.len() - parent.len())
                && host[host.len() - parent.len()..].eq_ignore_ascii_case(parent)
                && host.as_bytes()[host.len() - parent.len() - 1] == b'.'
        });
        name == "*" || under || host.eq_ignore_ascii_case(name)
    };
    host.eq_ignore_ascii_case("localhost")
        || host.eq_ignore_ascii_case(&config.server.host)
        || config.server.allowed_hosts.iter().any(listed)
}

/// Whether pages of `origin` may call.
pub fn allows_origin(origin: &str, config: &Config) -> bool {
    config.server.cors_origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
}

/// Checks that a page which changes something, or opens a WebSocket, is our own or an allowed one. Browsers tell the
/// origin of such requests, and no page can forge it; programs send none.
///
/// # Errors
/// `Forbidden`
pub fn check_origin<B>(request: &Request<B>, config: &Config) -> Result<(), Problem> {
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if harmless && !request.headers().contains_key(header::UPGRADE) {
        return Ok(());
    }
    origin_allowed(request, config)
}

/// As [`check_origin`], for a GET that makes something: browsers send no origin with those of links and pictures, but
/// say where they come from.
///
/// # Errors
/// `Forbidden`
pub fn check_maker<B>(request: &Request<B>, config: &Config) -> Result<(), Problem> {
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    let foreign = matches!(site, Some(b"cross-site" | b"same-site"));
    if foreign && !request.headers().contains_key(header::ORIGIN) {
        let detail =
            "pages of others may not have this address opened; POST /api/v1/generate from allowed ones";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    origin_allowed(request, config)
}

fn origin_allowed<B>(request: &Request<B>, config: &Config) -> Result<(), Problem> {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or("null");
    if is_own(origin, request.headers()) || allows_origin(origin, config) {
        return Ok(());
    }
    let origin: String = origin.chars().take(100).collect();
    let detail = format!("pages of {origin:?} may not call; `server.cors_origins` holds those that may");
    Err(Problem::new(Kind::Forbidden, detail))
}

fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let of_origin = origin.split_once("://").map(|(_, authority)| authority);
    matches!((host, of_origin), (Some(host), Some(of_origin)) if host.eq_ignore_ascii_case(of_origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(hosts: &[&str], origins: &[&str]) -> Config {
        let mut config = Config::default();
        config.server.allowed_hosts = hosts.iter().map(ToString::to_string).collect();
        config.server.cors_origins = origins.iter().map(ToString::to_string).collect();
        config
    }

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method("POST").uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request")
    }

    #[test]
    fn only_own_names_and_numbers_are_served() {
        let config = config(&["music.example", "*.lan"], &[]);
        let served = |host: &str| check(&request(&[("host", host)]), &config);
        for host in [
            "localhost",
            "LocalHost:8000",
            "localhost.",
            "127.0.0.1:8000",
            "[::1]:8000",
            "[fe80::1]",
            "192.168.1.4",
        ] {
            assert!(served(host).is_ok(), "{host}");
        }
        for host in ["music.example", "Music.Example:80", "studio.lan", "a.studio.lan:1"] {
            assert!(served(host).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "evilmusic.example",
            "lan",
            ".lan",
            "127.0.0.1.evil.example",
        ] {
            assert_eq!(served(host).expect_err(host).kind, Kind::HostNotAllowed);
        }
        for host in ["", "a b", "http://x/", "ü"] {
            assert!(served(host).is_err(), "{host}");
        }
    }

    #[test]
    fn a_missing_or_second_host_is_refused() {
        let config = config(&["*"], &[]);
        assert_eq!(check(&request(&[]), &config).expect_err("no host").kind, Kind::BadRequest);
        let twice = request(&[("host", "localhost"), ("host", "localhost")]);
        assert_eq!(check(&twice, &config).expect_err("two hosts").kind, Kind::BadRequest);
        assert!(check(&request(&[("host", "any.where")]), &config).is_ok());
    }

    #[test]
    fn a_page_of_others_changes_nothing() {
        let config = config(&[], &["https://studio.example"]);
        let sent =
            |origin: &str| check_origin(&request(&[("host", "localhost:8000"), ("origin", origin)]), &config);
        for origin in ["http://localhost:8000", "https://studio.example"] {
            assert!(sent(origin).is_ok(), "{origin}");
        }
        for origin in ["http://evil.example", "null", "http://localhost:9000", "https://studio.example.evil"]
        {
            assert!(sent(origin).is_err(), "{origin}");
        }
        assert!(check_origin(&request(&[("host", "localhost:8000")]), &config).is_ok());
    }

    #[test]
    fn a_page_of_others_sends_nobody_to_a_get_that_makes_music() {
        let config = config(&[], &["https://studio.example"]);
        let sent = |headers: &[(&str, &str)]| {
            let headers = [&[("host", "localhost:8000")], headers].concat();
            let mut request = request(&headers);
            *request.method_mut() = Method::GET;
            check_maker(&request, &config)
        };
        for site in ["cross-site", "same-site"] {
            assert!(sent(&[("sec-fetch-site", site)]).is_err(), "{site}");
            assert!(sent(&[("sec-fetch-site", site), ("origin", "https://evil.example")]).is_err());
            assert!(sent(&[("sec-fetch-site", site), ("origin", "https://studio.example")]).is_ok());
        }
        assert!(sent(&[("origin", "https://evil.example")]).is_err());
        for site in ["none", "same-origin"] {
            assert!(sent(&[("sec-fetch-site", site)]).is_ok(), "{site}");
        }
        assert!(sent(&[]).is_ok());
    }

    #[test]
    fn a_page_of_others_opens_no_websocket() {
        let mut open = request(&[
            ("host", "localhost:8000"),
            ("origin", "http://evil.example"),
            ("upgrade", "websocket"),
        ]);
        *open.method_mut() = Method::GET;
        assert!(check_origin(&open, &Config::default()).is_err());
        open.headers_mut().remove(header::UPGRADE);
        assert!(check_origin(&open, &Config::default()).is_ok());
    }
}
