//! Who may do what, how often, and in what form: everything that can refuse a request before a handler sees it.
//!
//! [`protect`] goes around all routes: `Host`, `Origin`, sizes and times, security headers. [`need`] goes around one
//! route: the role it asks for, and whether it makes tasks, which are counted.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, Method};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use partita_engine::{Config, Engine, Live};
use partita_queue::rate::{Quota, RateLimiter, Rates};
use partita_queue::{Job, Queue, Role};
use tower::{Layer, Service};

use crate::App;
use crate::audit::{Act, Audit};
use crate::problem::Problem;

mod auth;
mod bind;
mod body;
mod cors;
mod edge;
mod host;
mod quota;

use auth::LAST_KNOWN;
pub use auth::{Caller, address, network};
pub use bind::{BindError, check_bind};
pub use edge::{MOST_HEADER_BYTES, MOST_HEADERS};
pub use quota::{Items, Left};

/// Keeps the gate. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

struct Inner {
    live: Arc<Live>,
    keys: auth::Keys,
    quotas: quota::Quotas,
    audit: Audit,
    /// How many refusals were written for each address, so that none fills the disk.
    refusals: Rates,
    /// Where the server listens when it was started; a later change of the configuration needs a restart.
    loopback: bool,
}

impl Guard {
    pub fn new(engine: &Engine) -> Guard {
        Guard::over(engine.live().clone(), engine.queue().clone())
    }

    /// A guard with keys from `queue`.
    pub fn over(live: Arc<Live>, queue: Arc<dyn Queue>) -> Guard {
        let loopback = bind::is_loopback(&live.get().server.host);
        let (keys, quotas) = (auth::Keys::new(queue), quota::Quotas::new());
        let audit = Audit::start(live.clone());
        let refusals = Rates::default();
        Guard { inner: Arc::new(Inner { live, keys, quotas, audit, refusals, loopback }) }
    }

    pub fn config(&self) -> Arc<Config> {
        self.inner.live.get()
    }

    /// Whether requests without a key are let in, with all rights: only before the first key is made. When the last key
    /// expires or is revoked, everybody is refused.
    ///
    /// # Errors
    /// `Unavailable`
    pub async fn is_open(&self, oldest: Duration) -> Result<bool, Problem> {
        let config = self.config();
        // Whatever a reload says, strangers never get in over the network by it.
        let may_open = self.inner.loopback || config.server.insecure;
        match config.auth.keys.as_str() {
            "never" => Ok(may_open),
            "auto" if may_open => Ok(!self.inner.keys.any_made(oldest).await?),
            _ => Ok(false),
        }
    }

    /// Who sends a request with these headers. `oldest`: how old the last known answer of the store may be when it
    /// gives none.
    ///
    /// # Errors
    /// `Unauthorized`, `RateLimited` after many wrong keys, `Unavailable`.
    pub async fn caller(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        oldest: Duration,
    ) -> Result<Caller, Problem> {
        let problem = match self.inner.keys.caller(headers, address, oldest).await {
            Ok(Some(key)) => return Ok(Caller { role: key.role, key: Some(key), address }),
            Ok(None) => auth::unauthorized("this server asks for an API key", false),
            Err(problem) => problem,
        };
        // Without keys, what stands in their headers is meant for somebody else.
        match self.is_open(oldest).await? {
            true => Ok(Caller { key: None, role: Role::Admin, address }),
            false => Err(problem),
        }
    }

    /// The caller of an open stream as it is now: its key may have got another role.
    ///
    /// # Errors
    /// `Unauthorized` once its key no longer opens, or once callers must have one; `Unavailable`.
    pub async fn still(&self, caller: &Caller) -> Result<Caller, Problem> {
        let key = match &caller.key {
            Some(key) => self.inner.keys.still(key).await?,
            None if self.is_open(LAST_KNOWN).await? => return Ok(caller.clone()),
            None => None,
        };
        let key = key.ok_or_else(|| auth::unauthorized("the API key is expired or revoked", true))?;
        Ok(Caller { role: key.role, key: Some(key), address: caller.address })
    }

    /// Counts tasks in `shared`, with other servers, from now on.
    pub fn share_quotas(&self, shared: RateLimiter) {
        self.inner.quotas.share(shared);
    }

    /// For the audit file: `job` was accepted from this caller and is answered with `status`.
    pub fn accepted(&self, caller: &Caller, job: &Job, status: u16) {
        self.inner.audit.task(caller.address, job, status);
    }

    /// For the audit file: `caller`, or somebody at `address`, did or was refused `act`.
    pub fn note(&self, caller: Option<&Caller>, address: IpAddr, act: Act<'_>) {
        let many = Quota { limit: 60, period: Duration::from_secs(60) };
        let key = caller.and_then(Caller::owner);
        let fits = || {
            let whose = key.clone().unwrap_or_else(|| auth::network(address).to_string());
            self.inner.refusals.check(&whose, many).allowed
        };
        if act.status < 400 || fits() {
            self.inner.audit.act(address, key.as_deref(), act);
        }
    }

    pub fn audit(&self) -> &Audit {
        &self.inner.audit
    }

    /// Counts one task of the caller. [`need`] does it for requests; this is for tasks that come over an open stream.
    ///
    /// # Errors
    /// `RateLimited`
    pub async fn admit(&self, caller: &Caller) -> Result<Option<Left>, Problem> {
        self.inner.quotas.admit(caller, &self.config()).await
    }

    /// Counts the requests of a batch as tasks of the caller, after its call has been counted as the first of them.
    /// All or none. `None` where there is nothing more to count.
    ///
    /// # Errors
    /// `RateLimited`
    pub async fn admit_items(&self, caller: &Caller, items: usize) -> Result<Option<Items>, Problem> {
        self.inner.quotas.admit_items(caller, items, &self.config()).await
    }

    /// Gives back what [`Guard::admit_items`] counted, for a batch that made no task; its call stays counted.
    pub async fn give_back(&self, items: Items) {
        self.inner.quotas.give_back(items, &self.config()).await;
    }

    /// See [`need`].
    pub fn need(&self, need: Need) -> Needs {
        Needs { guard: self.clone(), need }
    }

    /// The caller, if it may use a route that has this need; with what is left of its quota. A refusal tells who it was,
    /// if that is known.
    async fn check(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        need: Need,
    ) -> Result<(Caller, Option<Left>), (Option<Caller>, Problem)> {
        let oldest = if need.always { Duration::MAX } else { LAST_KNOWN };
        let caller = self.caller(headers, address, oldest).await.map_err(|problem| (None, problem))?;
        let refused = |problem| (Some(caller.clone()), problem);
        caller.require(need.role).map_err(refused)?;
        let left = if need.task { self.admit(&caller).await.map_err(refused)? } else { None };
        Ok((caller, left))
    }
}

/// What a route asks of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    pub role: Role,
    /// Each request is a task and counts against the caller's quota.
    pub task: bool,
    /// Who was let in before the store was lost stays let in, however long that is: for what is needed just then.
    pub always: bool,
}

impl Need {
    pub const VIEWER: Need = Need { role: Role::Viewer, task: false, always: false };
    pub const USER: Need = Need { role: Role::User, ..Need::VIEWER };
    pub const TASK: Need = Need { task: true, ..Need::USER };
    pub const ADMIN: Need = Need { role: Role::Admin, ..Need::VIEWER };
    pub const METRICS: Need = Need { always: true, ..Need::VIEWER };
}

/// The layer for a route: lets through who has the role, with a [`Caller`] for the handler.
pub fn need(app: &App, need: Need) -> Needs {
    app.guard.need(need)
}

/// See [`need`].
#[derive(Clone)]
pub struct Needs {
    guard: Guard,
    need: Need,
}

impl<S> Layer<S> for Needs {
    type Service = Checked<S>;

    fn layer(&self, inner: S) -> Checked<S> {
        Checked { inner, needs: self.clone() }
    }
}

/// A route behind [`need`].
#[derive(Clone)]
pub struct Checked<S> {
    inner: S,
    needs: Needs,
}

impl<S> Service<Request> for Checked<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        // The one that was asked whether it is ready goes; its clone stays.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let Needs { guard, need } = self.needs.clone();
        let address = address(request.extensions());
        Box::pin(async move {
            let (caller, left) = match guard.check(request.headers(), address, need).await {
                Ok(checked) => checked,
                Err((caller, problem)) => {
                    let mut response = problem.into_response();
                    caller.map(|caller| response.extensions_mut().insert(caller));
                    return Ok(response);
                }
            };
            let acts = need.role == Role::Admin && !matches!(*request.method(), Method::GET | Method::HEAD);
            let noted = acts || request.method() == Method::DELETE;
            request.extensions_mut().insert(caller.clone());
            let mut response = inner.call(request).await?;
            response.extensions_mut().insert(caller);
            if noted {
                response.extensions_mut().insert(edge::Noted);
            }
            if let Some(left) = left {
                left.write_first(response.headers_mut());
            }
            Ok(response)
        })
    }
}

/// Puts the layers that every request passes around all routes.
pub fn protect(router: Router, app: &App) -> Router {
    surround(router, &app.guard)
}

/// See [`protect`].
pub fn surround(router: Router, guard: &Guard) -> Router {
    router
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(guard.clone(), body::layer))
        .layer(from_fn_with_state(guard.clone(), cors::layer))
        .layer(from_fn_with_state(guard.clone(), edge::layer))
}

#[cfg(test)]
mod tests;
