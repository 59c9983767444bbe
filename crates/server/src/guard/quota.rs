//! How many tasks one caller may make, and the headers that tell.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use partita_engine::Config;
use partita_queue::rate::{Decision, Quota, RateLimiter, Rates};

use super::auth::{Caller, network};
use crate::problem::{Kind, Problem};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The quotas of all callers.
pub struct Quotas {
    here: RateLimiter,
    /// Where several servers count together.
    shared: OnceLock<RateLimiter>,
}

/// What a caller has left, for the headers of its answer.
#[derive(Clone, Debug)]
pub struct Left {
    policy: &'static str,
    quota: Quota,
    decision: Decision,
}

impl Left {
    /// `RateLimit-Policy` and `RateLimit` as in draft-ietf-httpapi-ratelimit-headers-10.
    pub fn write(&self, headers: &mut HeaderMap) {
        let policy = format!("\"{}\";q={};w={}", self.policy, self.quota.limit, self.quota.period.as_secs());
        let limit =
            format!("\"{}\";r={};t={}", self.policy, self.decision.remaining, up(self.decision.reset_after));
        for (name, text) in [(POLICY, policy), (LIMIT, limit)] {
            headers.insert(name, HeaderValue::from_str(&text).expect("plain ASCII"));
        }
    }
}

/// Whole seconds, so that nobody comes back too early.
fn up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Quotas {
    pub fn new() -> Quotas {
        Quotas { here: RateLimiter::Memory(Rates::default()), shared: OnceLock::new() }
    }

    /// Counts in `shared` from now on; the first call decides.
    pub fn share(&self, shared: RateLimiter) {
        let _ = self.shared.set(shared);
    }

    /// Counts one task; `None` where the caller has no limit.
    ///
    /// # Errors
    /// `RateLimited`; `Unavailable` when nobody can count and the configuration wants such calls refused.
    pub async fn admit(&self, caller: &Caller, config: &Config) -> Result<Option<Left>, Problem> {
        let Some(Asked { name, policy, quota }) = asked(caller, config) else {
            return Ok(None);
        };
        let limiter = self.shared.get().unwrap_or(&self.here);
        let decision = match limiter.check(&name, quota).await {
            Ok(decision) => decision,
            Err(error) if config.limits.on_failure == "closed" => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "a task passed uncounted");
                return Ok(None);
            }
        };
        let left = Left { policy, quota, decision };
        if decision.allowed {
            return Ok(Some(left));
        }
        let detail = format!("at most {} tasks in {} s", quota.limit, quota.period.as_secs());
        let wait = up(decision.retry_after.unwrap_or_default()).max(1);
        let mut problem = Problem::new(Kind::RateLimited, detail).retry_after(wait);
        problem.violated_policies = vec![policy.into()];
        left.write(&mut problem.headers);
        Err(problem)
    }
}

/// A quota and whose it is.
struct Asked {
    name: String,
    policy: &'static str,
    quota: Quota,
}

fn asked(caller: &Caller, config: &Config) -> Option<Asked> {
    let (name, policy, limit, seconds) = match &caller.key {
        Some(key) => {
            let limit = key.hourly_limit.unwrap_or(config.limits.tasks_per_hour);
            (format!("key:{}", key.id), "tasks-per-key", limit, 3600)
        }
        None => {
            let limit = config.limits.tasks_per_minute_per_address;
            (format!("address:{}", network(caller.address)), "tasks-per-address", limit, 60)
        }
    };
    let quota = Quota { limit, period: Duration::from_secs(seconds) };
    (limit > 0).then_some(Asked { name, policy, quota })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use partita_queue::{ApiKey, Role};

    use super::*;

    fn caller(key: Option<ApiKey>) -> Caller {
        Caller { key: key.map(Arc::new), role: Role::User, address: IpAddr::from([192, 0, 2, 1]) }
    }

    #[tokio::test]
    async fn an_address_without_a_key_is_told_what_is_left_and_then_refused() {
        let mut config = Config::default();
        config.limits.tasks_per_minute_per_address = 2;
        let quotas = Quotas::new();
        let mut headers = HeaderMap::new();
        quotas.admit(&caller(None), &config).await.expect("the first").expect("a limit").write(&mut headers);
        assert_eq!(headers[POLICY], "\"tasks-per-address\";q=2;w=60");
        assert_eq!(headers[LIMIT], "\"tasks-per-address\";r=1;t=30");
        quotas.admit(&caller(None), &config).await.expect("the second");
        let problem = quotas.admit(&caller(None), &config).await.expect_err("the third");
        assert_eq!(problem.violated_policies, ["tasks-per-address"]);
        assert!((29..=30).contains(&problem.retry_after.expect("a time")));
        let body = problem.body("req_1");
        assert_eq!(body.status, 429);
        assert_eq!(body.kind, "https://iana.org/assignments/http-problem-types#quota-exceeded");
        assert_eq!(problem.headers[LIMIT], "\"tasks-per-address\";r=0;t=60");
    }

    #[tokio::test]
    async fn the_limit_of_a_key_goes_before_that_of_the_server() {
        let mut config = Config::default();
        let (mut key, _) = ApiKey::create("test", Role::User, 0, None);
        let quotas = Quotas::new();
        assert!(quotas.admit(&caller(Some(key.clone())), &config).await.expect("no limit").is_none());
        config.limits.tasks_per_hour = 5;
        key.hourly_limit = Some(1);
        let left = quotas.admit(&caller(Some(key.clone())), &config).await.expect("one").expect("a limit");
        assert_eq!((left.quota.limit, left.quota.period.as_secs()), (1, 3600));
        assert!(quotas.admit(&caller(Some(key)), &config).await.is_err());
        let (other, _) = ApiKey::create("other", Role::User, 0, None);
        assert!(quotas.admit(&caller(Some(other)), &config).await.is_ok());
    }
}
