//! Requests: who gets the token, where redirects may lead, and what is worth another try.
//!
//! **Invariant:** the token goes to the hub's own scheme, host and port, and no more once a redirect has left them.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED, LOCATION,
    RETRY_AFTER,
};
use reqwest::{Method, Response, StatusCode, Url};

use super::{Hub, Patience, shown};
use crate::store::watch::{TICK, tell};
use crate::store::{Error, Event, Result, Watch};

/// A hub sends one, a mirror in front of it another.
const MAX_REDIRECTS: usize = 10;
/// Of a text that a server sends to be shown.
const MAX_WHY: usize = 200;
/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Tries for a server that nobody reaches at all: a wrong address does not become right.
const CONNECT_TRIES: u32 = 3;

pub(super) struct Client<'a> {
    hub: &'a Hub,
    /// For hosts outside, as the system's settings of proxies say.
    outside: reqwest::Client,
    /// For this machine.
    here: reqwest::Client,
}

/// The end of a chain of redirects.
pub(super) struct Answer {
    pub response: Response,
    pub about: About,
}

/// What the headers on the way say of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct About {
    /// `X-Linked-ETag` and `X-Linked-Size`: of a file that lies elsewhere.
    pub linked_etag: Option<String>,
    pub linked_size: Option<u64>,
    /// `ETag` and `Content-Length` of the last answer.
    pub etag: Option<String>,
    pub size: Option<u64>,
    /// `Last-Modified`.
    pub modified: Option<String>,
    /// `X-Repo-Commit`.
    pub commit: Option<String>,
}

/// What keeps a request from succeeding.
pub(super) enum Trouble {
    /// It will not become better.
    Final(Error),
    /// It may pass. `after`: what the server asks for; `unreached`: there was no connection.
    Passing { why: String, after: Option<Duration>, unreached: bool },
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Final(error)
    }
}

impl Trouble {
    pub fn passing(why: impl Into<String>) -> Trouble {
        Trouble::Passing { why: why.into(), after: None, unreached: false }
    }
}

impl<'a> Client<'a> {
    /// # Errors
    /// When the system has no certificates to trust.
    pub fn new(hub: &'a Hub) -> Result<Client<'a>> {
        // An error says that somebody chose a provider before: any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("partita/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .read_timeout(hub.patience.silence)
        };
        let built = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| unreachable(&hub.endpoint, &reason(&error), false))
        };
        // A proxy for the outside has no business with this machine.
        Ok(Client { hub, outside: built(builder())?, here: built(builder().no_proxy())? })
    }

    /// One request, through all its redirects. A `HEAD` ends where the hub has said all of a file that lies
    /// elsewhere.
    ///
    /// # Errors
    /// `Final` for what the server refuses; `Passing` for a broken connection, 408, 429 and 5xx.
    pub async fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        watch: &mut Watch<'_>,
        event: &Event<'_>,
    ) -> Result<Answer, Trouble> {
        let (mut url, mut is_hub) = (url.clone(), true);
        let mut about = About::default();
        for _ in 0..=MAX_REDIRECTS {
            is_hub &= same_origin(&url, &self.hub.endpoint);
            let client = if is_here(&url) { &self.here } else { &self.outside };
            let mut request = client.request(method.clone(), url.clone()).headers(headers.clone());
            // Otherwise the length is that of packed bytes.
            request = request.header(ACCEPT_ENCODING, "identity");
            if let Some(token) = self.hub.token.as_ref().filter(|_| is_hub) {
                let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| Error::Token)?;
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
            let sent = ticking(request.send(), watch, event).await?;
            let response = sent.map_err(|error| Trouble::Passing {
                why: reason(&error),
                after: None,
                unreached: error.is_connect(),
            })?;
            about.add(response.headers());
            if !is_redirect(response.status()) {
                return self.judge(response, &url, about);
            }
            let next = self.next(&url, response.headers())?;
            let is_known = about.linked_etag.is_some() && about.linked_size.is_some();
            if method == Method::HEAD && is_known && !same_origin(&next, &self.hub.endpoint) {
                return Ok(Answer { response, about });
            }
            url = next;
        }
        let why = format!("more than {MAX_REDIRECTS} redirects");
        Err(Trouble::Final(Error::Redirect { url: shown(&url), why }))
    }

    fn next(&self, from: &Url, headers: &HeaderMap) -> Result<Url> {
        let wrong = |why: String| Error::Redirect { url: shown(from), why };
        let location = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
        let next = from.join(location).ok().filter(|next| next.has_host() && !location.is_empty());
        let next = next.ok_or_else(|| wrong("it redirects to no address".into()))?;
        match (from.scheme(), next.scheme()) {
            ("https", "https") | ("http", "http" | "https") => Ok(next),
            (_, scheme) => Err(wrong(format!("it redirects to {scheme}"))),
        }
    }

    fn judge(&self, response: Response, url: &Url, about: About) -> Result<Answer, Trouble> {
        let status = response.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(Answer { response, about });
        }
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let code = status.as_u16();
        if matches!(code, 408 | 429 | 500 | 502 | 503 | 504) {
            // The form with a date is rare; then the pauses of our own do.
            let seconds = header(RETRY_AFTER.as_str()).and_then(|value| value.trim().parse().ok());
            let why = format!("{} answers {code}", url.host_str().unwrap_or_default());
            let after = seconds.map(Duration::from_secs);
            return Err(Trouble::Passing { why, after, unreached: false });
        }
        let said = header("x-error-message").map(|text| text.chars().take(MAX_WHY).collect::<String>());
        let hint = match code {
            _ if !same_origin(url, &self.hub.endpoint) => None,
            401 | 403 if self.hub.token.is_none() => Some("it may need a token in HF_TOKEN".to_owned()),
            401 | 403 => Some("the token in HF_TOKEN does not do".to_owned()),
            404 => Some(format!("no such file in revision {}", self.hub.revision)),
            _ => None,
        };
        Err(Trouble::Final(Error::Refused { url: shown(url), status: code, why: said.or(hint) }))
    }
}

impl About {
    /// Takes what an answer says over what those before it said, except where the hub speaks of what lies elsewhere.
    fn add(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let number = |name: &str| text(name).and_then(|text| text.parse().ok());
        let keep = |old: &mut Option<String>, name: &str| {
            if old.is_none() {
                *old = text(name).map(str::to_owned);
            }
        };
        keep(&mut self.linked_etag, "x-linked-etag");
        keep(&mut self.commit, "x-repo-commit");
        self.linked_size = self.linked_size.or_else(|| number("x-linked-size"));
        self.etag = text(ETAG.as_str()).map(str::to_owned);
        self.size = number(CONTENT_LENGTH.as_str());
        self.modified = text(LAST_MODIFIED.as_str()).map(str::to_owned);
    }
}

/// Counts tries and makes pauses between them.
pub(super) struct Retry {
    patience: Patience,
    failures: u32,
}

impl Retry {
    pub fn new(patience: Patience) -> Retry {
        Retry { patience, failures: 0 }
    }

    /// Something came: what failed before no longer counts.
    pub fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Waits until it is worth another try, telling `event` again and again.
    ///
    /// # Errors
    /// The trouble itself once it has come too often or the server wants too long a pause; `Cancelled`.
    pub async fn pause(
        &mut self,
        trouble: Trouble,
        (url, kept): (&Url, bool),
        watch: &mut Watch<'_>,
        event: &Event<'_>,
    ) -> Result<()> {
        let (why, after, unreached) = match trouble {
            Trouble::Final(error) => return Err(error),
            Trouble::Passing { why, after, unreached } => (why, after, unreached),
        };
        self.failures += 1;
        let tries = if unreached { self.patience.tries.min(CONNECT_TRIES) } else { self.patience.tries };
        if self.failures >= tries {
            return Err(unreachable(url, &why, kept));
        }
        let pause = self.patience.pause * 2u32.saturating_pow(self.failures - 1);
        let pause = after.unwrap_or(pause.min(self.patience.longest));
        if pause > self.patience.longest {
            let why = format!("{why} and asks to come again in {} s", pause.as_secs());
            return Err(unreachable(url, &why, kept));
        }
        tell(watch, &Event::Retrying { why: &why, pause })?;
        ticking(tokio::time::sleep(pause), watch, event).await
    }
}

/// Waits for `future`, telling `event` again and again, so that it can be cancelled while nothing comes.
pub(super) async fn ticking<T>(
    future: impl Future<Output = T>,
    watch: &mut Watch<'_>,
    event: &Event<'_>,
) -> Result<T> {
    let mut future = std::pin::pin!(future);
    loop {
        match tokio::time::timeout(TICK, future.as_mut()).await {
            Ok(output) => return Ok(output),
            Err(_) => tell(watch, event)?,
        }
    }
}

fn unreachable(url: &Url, why: &str, kept: bool) -> Error {
    Error::Unreachable { url: shown(url), why: why.to_owned(), kept }
}

/// The innermost reason: those around it repeat the address, with its query.
pub(super) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it does not answer in time".into();
    }
    let Some(mut source) = error.source() else { return "the connection failed".into() };
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Whether an address leads to this machine.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_with_tls_once_there_is_any() {
        let hub = Hub::from_env(|_| None).expect("the default");
        let client = Client::new(&hub).expect("certificates");
        let from = |from: &str, to: &'static str| {
            let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(to))]);
            let from = Url::parse(from).expect("an address");
            client.next(&from, &headers).map(|url| url.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(from("https://a/b/c?d", "../e").as_deref(), Ok("https://a/e"));
        assert_eq!(from("https://a/b", "//c/d").as_deref(), Ok("https://c/d"));
        assert_eq!(from("http://a/b", "https://c/d").as_deref(), Ok("https://c/d"));
        assert_eq!(
            from("https://a/b?signature", "http://a/b"),
            Err("https://a/b leads astray: it redirects to http".into())
        );
        assert!(from("https://a/b", "data:text/plain,x").is_err());
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |one: &str, other: &str| {
            let url = |text: &str| Url::parse(text).expect("an address");
            same_origin(&url(one), &url(other))
        };
        assert!(same("https://hub/a", "https://hub:443/b"));
        for other in ["http://hub/a", "https://hub:8443/a", "https://hub.evil/a", "https://sub.hub/a"] {
            assert!(!same("https://hub/a", other), "{other}");
        }
    }
}
