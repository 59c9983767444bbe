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

/// The requests of a batch that were counted besides the call that brought them.
#[derive(Debug)]
pub struct Items {
    asked: Asked,
    more: i64,
    pub left: Left,
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

    /// As [`Left::write`], unless the answer tells of something later.
    pub fn write_first(&self, headers: &mut HeaderMap) {
        if !headers.contains_key(LIMIT) {
            self.write(headers);
        }
    }

    /// `wait`: until the same may be asked again; `None` if never.
    fn refuse(&self, detail: String, wait: Option<Duration>) -> Problem {
        let mut problem = Problem::new(Kind::RateLimited, detail);
        problem.retry_after = wait.map(|wait| up(wait).max(1));
        problem.violated_policies = vec![self.policy.into()];
        self.write(&mut problem.headers);
        problem
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
        let Some(asked) = asked(caller, config) else { return Ok(None) };
        let Some(left) = self.count(&asked, 1, config).await? else { return Ok(None) };
        if left.decision.allowed {
            return Ok(Some(left));
        }
        let Quota { limit, period } = asked.quota;
        let detail = format!("at most {limit} tasks in {} s", period.as_secs());
        Err(left.refuse(detail, left.decision.retry_after))
    }

    /// Counts the tasks of a batch whose call was counted as one: `items` of them, the first among them. All or none:
    /// the call is not counted either if the others do not fit. `None` where there is nothing more to count.
    ///
    /// # Errors
    /// As [`Quotas::admit`].
    pub async fn admit_items(
        &self,
        caller: &Caller,
        items: usize,
        config: &Config,
    ) -> Result<Option<Items>, Problem> {
        let more = i64::try_from(items).unwrap_or(i64::MAX).saturating_sub(1);
        let Some(asked) = asked(caller, config).filter(|_| more > 0) else { return Ok(None) };
        let Some(left) = self.count(&asked, more, config).await? else { return Ok(None) };
        if left.decision.allowed {
            return Ok(Some(Items { asked, more, left }));
        }
        // One less is used up by then, and one more is asked for: the time to wait is the same.
        let wait = left.decision.retry_after;
        let left = match self.count(&asked, -1, config).await {
            Ok(Some(whole)) => whole,
            _ => left,
        };
        let Quota { limit, period } = asked.quota;
        let period = period.as_secs();
        if items as u64 > u64::from(limit) {
            let detail = format!(
                "a batch counts as many tasks as it has requests, at most {limit} in {period} s, got {items}: \
                 send it in parts"
            );
            return Err(left.refuse(detail, None));
        }
        let detail =
            format!("at most {limit} tasks in {period} s, and the {items} of this batch are too many now");
        Err(left.refuse(detail, wait))
    }

    /// Gives back what [`Quotas::admit_items`] counted: the batch has made no task.
    pub async fn give_back(&self, items: Items, config: &Config) {
        // It says so itself where it fails.
        let _ = self.count(&items.asked, -items.more, config).await;
    }

    /// `None` when nobody can count and calls pass all the same.
    async fn count(&self, asked: &Asked, count: i64, config: &Config) -> Result<Option<Left>, Problem> {
        let limiter = self.shared.get().unwrap_or(&self.here);
        match limiter.count(&asked.name, asked.quota, count).await {
            Ok(decision) => Ok(Some(Left { policy: asked.policy, quota: asked.quota, decision })),
            Err(error) if config.limits.on_failure == "closed" => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "a task passed uncounted");
                Ok(None)
            }
        }
    }
}

/// A quota and whose it is.
#[derive(Debug)]
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
    async fn a_batch_counts_all_its_requests_or_none() {
        let mut config = Config::default();
        config.limits.tasks_per_minute_per_address = 10;
        let (quotas, caller) = (Quotas::new(), caller(None));
        // Each begins with its call, as any task does.
        let batch = async |items| {
            quotas.admit(&caller, &config).await.expect("one more");
            quotas.admit_items(&caller, items, &config).await
        };
        let remaining = |left: &Left| left.decision.remaining;
        let items = batch(4).await.expect("four").expect("counted");
        assert_eq!(remaining(&items.left), 6);
        let refused = batch(7).await.expect_err("six are left");
        assert_eq!(refused.violated_policies, ["tasks-per-address"]);
        assert_eq!(refused.retry_after, Some(6));
        assert!(refused.headers[LIMIT].to_str().expect("text").contains(";r=6;"), "the call is given back");
        let refused = batch(11).await.expect_err("more than ever fit");
        assert_eq!(refused.retry_after, None, "{}", refused.detail);
        assert!(refused.detail.contains("at most 10 in 60 s, got 11"), "{}", refused.detail);
        let items = batch(6).await.expect("six").expect("counted");
        assert_eq!(remaining(&items.left), 0);
        quotas.give_back(items, &config).await;
        let left = quotas.admit(&caller, &config).await.expect("five are back").expect("a limit");
        assert_eq!(remaining(&left), 4);
        assert!(quotas.admit_items(&caller, 1, &config).await.expect("it has been counted").is_none());
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
