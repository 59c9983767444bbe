//! The connection: calls that end in time, and errors that tell no secrets.

use std::path::Path;
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, ProtocolVersion, PushInfo, RedisError, Script, ScriptInvocation,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use crate::{Error, Result};

use super::tls;

/// How long Redis may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(3);
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a call may take in all, with one new connection.
const CALL: Duration = Duration::from_secs(5);
/// How long events stay after the end of their job, for whoever comes back.
const AFTERLIFE: Duration = Duration::from_secs(3600);

/// A connection that comes back by itself, shared by all calls.
#[derive(Clone)]
pub(super) struct Link {
    manager: ConnectionManager,
    /// What all names begin with.
    base: String,
}

impl Link {
    /// `ca`: certificates to trust instead of the system's; only for `rediss://`.
    ///
    /// # Errors
    /// `Place` for a URL that is none or has no TLS where `ca` asks for it, `Ca`, `Unavailable`.
    pub(super) async fn open(url: &str, prefix: &str, ca: Option<&Path>) -> Result<(Link, Client)> {
        let place = || Error::Place(redacted(url));
        let info = info(url).ok_or_else(place)?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            tls::install();
        }
        let client = match ca {
            Some(ca) => tls::client(info, ca, place)?,
            None => Client::open(info).map_err(|_| place())?,
        };
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_pipeline_buffer_size(512);
        let manager = bounded(client.get_connection_manager_with_config(config)).await?;
        // A hash tag keeps all names of one queue in one slot of a cluster.
        let base = if prefix.contains('{') { prefix.to_owned() } else { format!("{{{prefix}}}") };
        Ok((Link { manager, base }, client))
    }

    pub(super) fn name(&self, rest: &str) -> String {
        format!("{}:{rest}", self.base)
    }

    /// Runs a script with the arguments that `fill` adds; `events` is how many a job keeps.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        events: usize,
        fill: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T> {
        let call = self.call(script, events, fill);
        bounded(call.invoke_async(&mut self.manager.clone())).await
    }

    /// As [`Link::run`], for what may be done twice: where the connection turns out to be lost, the call is made once
    /// more on the new one. For connections that are used too seldom to be found lost in time.
    pub(super) async fn run_again<T: FromRedisValue>(
        &self,
        script: &Script,
        events: usize,
        fill: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> Result<T> {
        let call = self.call(script, events, fill);
        let mut manager = self.manager.clone();
        let began = Instant::now();
        bounded(async {
            match call.invoke_async(&mut manager).await {
                // Whoever was not answered in time is not answered in time again.
                Err(error) if error.is_io_error() && began.elapsed() < ANSWER / 3 => {
                    call.invoke_async(&mut manager).await
                }
                answer => answer,
            }
        })
        .await
    }

    fn call<'a>(
        &self,
        script: &'a Script,
        events: usize,
        fill: impl FnOnce(&mut ScriptInvocation<'_>),
    ) -> ScriptInvocation<'a> {
        let mut call = script.key(&self.base);
        call.arg(events.max(1)).arg(millis(AFTERLIFE));
        fill(&mut call);
        call
    }

    pub(super) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        bounded(command.query_async(&mut self.manager.clone())).await
    }
}

/// A second connection, which is told what happens on a channel.
pub(super) async fn listen(
    client: &Client,
    channel: &str,
    told: UnboundedSender<PushInfo>,
) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER))
        .set_push_sender(told);
    let info = client.get_connection_info();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.clone().set_redis_settings(settings)).map_err(|error| fault(&error))?;
    bounded(async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        connection.subscribe(channel).await?;
        Ok(connection)
    })
    .await
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 50)
}

async fn bounded<T>(call: impl Future<Output = redis::RedisResult<T>>) -> Result<T> {
    match timeout(CALL, call).await {
        Ok(answer) => answer.map_err(|error| fault(&error)),
        Err(_) => Err(Error::Unavailable(format!("Redis gave no answer within {} s", CALL.as_secs()))),
    }
}

fn info(url: &str) -> Option<ConnectionInfo> {
    let settings = TcpSettings::default().set_nodelay(true);
    // Without it, a cut cable is noticed after a quarter of an hour.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let settings = settings.set_user_timeout(Duration::from_secs(10));
    Some(url.into_connection_info().ok()?.set_tcp_settings(settings))
}

/// What a failure means for the caller. Redis's own words are kept, which hold neither URL nor password.
fn fault(error: &RedisError) -> Error {
    let detail = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.category()),
        None if let Some(distrust) = tls::distrust(error) => distrust,
        None if error.is_timeout() => format!("Redis gave no answer within {} s", ANSWER.as_secs()),
        None => error.to_string(),
    };
    match (error.kind(), error.code()) {
        // MISCONF: Redis cannot write its file and takes no more.
        (_, Some("OOM" | "MISCONF")) => Error::NoSpace(detail),
        (
            _,
            Some("LOADING" | "BUSY" | "READONLY" | "MASTERDOWN" | "NOREPLICAS" | "CLUSTERDOWN" | "TRYAGAIN"),
        )
        | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
        | (ErrorKind::Io | ErrorKind::AuthenticationFailed, _) => Error::Unavailable(detail),
        (ErrorKind::InvalidClientConfig, _) => Error::Place(detail),
        _ => Error::Damaged(detail),
    }
}

/// A URL without its user, password and options.
fn redacted(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // A password may hold an unescaped `/` or `@`.
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_without_its_password() {
        for url in [
            "redis://user:geheim@host:6379/0",
            "redis://:geh/geheim@host:6379/0",
            "redis+unix:///run/redis.sock?pass=geheim&db=1",
            "user:geheim@host",
        ] {
            assert!(!redacted(url).contains("geheim"), "{url} gives {}", redacted(url));
        }
        assert_eq!(redacted("redis://user:geheim@host:6379/0"), "redis://host:6379/0");
    }

    #[tokio::test]
    async fn what_is_no_url_of_redis_is_refused() {
        for url in ["", "http://host", "redis://:geheim@host:port", "sqlite:file"] {
            let error = Link::open(url, "partita", None).await.err();
            assert!(matches!(error, Some(Error::Place(_))), "{url:?} gives {error:?}");
            assert!(!format!("{error:?}").contains("geheim"));
        }
    }
}
