//! Who calls: the key of a request, looked up and compared.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use partita_queue::rate::{Quota, Rates};
use partita_queue::{ApiKey, Queue, Role};

use crate::problem::{Kind, Problem};

/// Who sends a request. An extractor behind [`need`](super::need).
#[derive(Clone, Debug)]
pub struct Caller {
    /// `None` where no keys are asked for.
    pub key: Option<Arc<ApiKey>>,
    pub role: Role,
    /// The other end of the connection; what headers say about others is not believed.
    pub address: IpAddr,
}

impl Caller {
    /// Whose the tasks of this caller are.
    pub fn owner(&self) -> Option<String> {
        self.key.as_ref().map(|key| key.id.clone())
    }

    /// # Errors
    /// `Forbidden` unless the role includes `role`.
    pub fn require(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        let (needed, has) = (name(role), name(self.role));
        Err(Problem::new(Kind::Forbidden, format!("this needs a key of role {needed}, got {has}")))
    }

    /// Whether it may see tasks of `owner`: its own, and an administrator all.
    pub fn sees(&self, owner: Option<&str>) -> bool {
        self.role == Role::Admin || owner == self.key.as_ref().map(|key| key.id.as_str())
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| Problem::new(Kind::Internal, "the route does not say who may call it"))
    }
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::User => "user",
        Role::Admin => "admin",
    }
}

/// The other end of the connection.
pub fn address(extensions: &axum::http::Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0.ip().to_canonical())
}

/// What counts as one caller without a key: an IPv4 address, or an IPv6 network, of which everybody has a whole one.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// How long a key is believed without asking the store: the longest time a revoked key still works.
const FRESH: Duration = Duration::from_secs(2);
/// How long the last answer of a store that cannot be reached counts.
pub const LAST_KNOWN: Duration = Duration::from_secs(60);
/// A store that has not answered by then is as good as gone.
const PATIENCE: Duration = Duration::from_secs(2);
const MOST_CACHED: usize = 4096;
/// Wrong keys an address may send.
const FAILURES: Quota = Quota { limit: 20, period: Duration::from_secs(60) };

/// What the store said, and when.
#[derive(Clone)]
struct Seen<T> {
    /// When the store was last asked, whatever came of it.
    asked: Instant,
    /// When it last answered.
    told: Instant,
    what: T,
}

impl<T> Seen<T> {
    fn now(what: T) -> Seen<T> {
        Seen { asked: Instant::now(), told: Instant::now(), what }
    }
}

/// Looks keys up.
pub struct Keys {
    queue: Arc<dyn Queue>,
    cache: Mutex<HashMap<String, Seen<Option<Arc<ApiKey>>>>>,
    any_made: Mutex<Option<Seen<bool>>>,
    failures: Rates,
    /// Compared when there is no such key, so that a wrong id costs what a wrong secret does.
    nobody: ApiKey,
}

impl Keys {
    pub fn new(queue: Arc<dyn Queue>) -> Keys {
        Keys {
            queue,
            cache: Mutex::default(),
            any_made: Mutex::default(),
            failures: Rates::default(),
            nobody: ApiKey::create("nobody", Role::Viewer, 0, Some(0)).0,
        }
    }

    /// Whether a key was ever made, be it expired or revoked by now: who made one wants callers to show it. `oldest`:
    /// how old an answer may be when the store gives none.
    ///
    /// # Errors
    /// `Unavailable`
    pub async fn any_made(&self, oldest: Duration) -> Result<bool, Problem> {
        let known = lock(&self.any_made).clone();
        if let Some(seen) = &known
            // Keys are never forgotten, so yes stays yes.
            && (seen.what || seen.asked.elapsed() < FRESH)
            && (seen.what || seen.told.elapsed() < oldest)
        {
            return Ok(seen.what);
        }
        match ask(self.queue.keys()).await {
            Ok(keys) => {
                let any = !keys.is_empty();
                *lock(&self.any_made) = Some(Seen::now(any));
                Ok(any)
            }
            Err(problem) => match known.filter(|seen| seen.told.elapsed() < oldest) {
                Some(seen) => {
                    *lock(&self.any_made) = Some(Seen { asked: Instant::now(), ..seen });
                    Ok(seen.what)
                }
                None => Err(problem),
            },
        }
    }

    /// The key of a request with these headers; `None` if it brings none. `oldest`: as for [`any_made`](Keys::any_made).
    ///
    /// # Errors
    /// `Unauthorized` for a key that does not open, `RateLimited` after too many of them, `Unavailable`.
    pub async fn caller(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        oldest: Duration,
    ) -> Result<Option<Arc<ApiKey>>, Problem> {
        let Some(text) = presented(headers) else {
            return Ok(None);
        };
        if let Some((id, secret)) = text.and_then(ApiKey::split) {
            let found = self.find(&id.to_ascii_lowercase(), oldest).await?;
            let matches = found.as_deref().unwrap_or(&self.nobody).matches(secret);
            if let Some(key) = found.filter(|key| matches && key.is_live(now())) {
                return Ok(Some(key));
            }
        }
        // Only keys that do not open count, and only they are refused for it: others behind the same address go on.
        self.may_guess(address)?;
        Err(unauthorized("the API key is wrong, expired or revoked", true))
    }

    /// The key as it is now, if it still opens.
    ///
    /// # Errors
    /// `Unavailable`
    pub async fn still(&self, key: &ApiKey) -> Result<Option<Arc<ApiKey>>, Problem> {
        let found = self.find(&key.id, LAST_KNOWN).await?;
        Ok(found.filter(|found| found.hash == key.hash && found.is_live(now())))
    }

    async fn find(&self, id: &str, oldest: Duration) -> Result<Option<Arc<ApiKey>>, Problem> {
        let known = lock(&self.cache).get(id).cloned();
        if let Some(seen) = known.as_ref().filter(|seen| seen.asked.elapsed() < FRESH) {
            return Ok(seen.what.clone());
        }
        let seen = match ask(self.queue.key(id)).await {
            Ok(key) => Seen::now(key.map(Arc::new)),
            Err(problem) => {
                let known = known.filter(|seen| seen.told.elapsed() < oldest).ok_or(problem)?;
                Seen { asked: Instant::now(), ..known }
            }
        };
        let mut cache = lock(&self.cache);
        if cache.len() >= MOST_CACHED {
            // Ids that somebody made up must not push out those that open.
            cache.retain(|_, seen| seen.what.is_some() && seen.told.elapsed() < LAST_KNOWN);
            if cache.len() >= MOST_CACHED {
                cache.clear();
            }
        }
        cache.insert(id.to_owned(), seen.clone());
        Ok(seen.what)
    }

    fn may_guess(&self, address: IpAddr) -> Result<(), Problem> {
        let verdict = self.failures.check(&network(address).to_string(), FAILURES);
        if verdict.allowed {
            return Ok(());
        }
        let mut problem = Problem::new(Kind::RateLimited, "too many wrong API keys from this address");
        problem.violated_policies = vec!["wrong-keys".into()];
        Err(problem.retry_after(verdict.retry_after.unwrap_or_default().as_secs() + 1))
    }
}

async fn ask<T>(answer: impl Future<Output = partita_queue::Result<T>>) -> Result<T, Problem> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            let detail = "the task store does not answer";
            Err(Problem::new(Kind::Unavailable, detail).retry_after(2))
        }
    }
}

/// The key a request brings: `None` for none, `Some(None)` for something that cannot be one.
fn presented(headers: &HeaderMap) -> Option<Option<&str>> {
    if let Some(value) = headers.get("x-api-key") {
        return Some(value.to_str().ok());
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok();
    let bearer = value.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    Some(bearer)
}

/// Says that a key is needed; `sent` if one came that does not open.
pub fn unauthorized(detail: &str, sent: bool) -> Problem {
    let challenge = match sent {
        true => HeaderValue::from_static("Bearer realm=\"partita\", error=\"invalid_token\""),
        false => HeaderValue::from_static("Bearer realm=\"partita\""),
    };
    Problem::new(Kind::Unauthorized, detail).with_header(header::WWW_AUTHENTICATE, challenge)
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_key_comes_in_either_header() {
        assert_eq!(presented(&HeaderMap::new()), None);
        assert_eq!(presented(&headers("x-api-key", "pt_a")), Some(Some("pt_a")));
        assert_eq!(presented(&headers("authorization", "bearer  pt_a ")), Some(Some("pt_a")));
        assert_eq!(presented(&headers("authorization", "Basic cHQ6")), Some(None));
        assert_eq!(presented(&headers("authorization", "pt_a")), Some(None));
    }

    #[test]
    fn an_ipv6_caller_is_its_network() {
        let of = |text: &str| network(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
    }
}
