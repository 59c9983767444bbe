//! One call: the name looked up and checked by us, the body signed, the answer reduced to what it means.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use partita_engine::Live;
use partita_queue::Webhook;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, StatusCode, header, redirect};

use super::address::allowed;
use super::check::{private, target};
use super::sign::Secret;

/// What a call came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Delivered,
    /// Another try may help, but not before the time given.
    Again {
        why: String,
        not_before: Option<Duration>,
    },
    /// The receiver wants no more calls.
    Gone,
    /// The address may not be called, or nothing can sign the call.
    Refused {
        why: String,
    },
}

/// Makes calls.
pub struct Phone {
    live: Arc<Live>,
    client: Client,
}

impl Phone {
    /// # Errors
    /// What keeps the client from being made.
    pub fn new(live: Arc<Live>) -> Result<Phone, String> {
        crate::serve::install_crypto();
        let builder = || {
            Client::builder()
                .user_agent(concat!("partita/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .http1_only()
                // A kept connection would go to an address that was checked some other time.
                .pool_max_idle_per_host(0)
                .dns_resolver(Arc::new(Checked { live: live.clone() }))
        };
        let client = builder().build().or_else(|error| {
            // A machine without certificates still calls over http.
            tracing::warn!(%error, "https webhooks will fail: no certificates to check them with");
            builder().tls_certs_only([]).build()
        });
        Ok(Phone { client: client.map_err(|error| error.to_string())?, live })
    }

    /// Sends `body`, signed, under the name `id`.
    pub async fn call(&self, webhook: &Webhook, id: &str, body: Vec<u8>) -> Told {
        let config = self.live.get();
        let url = match target(&webhook.url, &private(&config)) {
            Ok(url) => url,
            Err(refused) => {
                return Told::Refused { why: format!("must be {}, got {}", refused.allowed, refused.got) };
            }
        };
        let secret = webhook.secret.as_deref().unwrap_or(&config.webhooks.secret);
        let Ok(secret) = Secret::parse(secret) else {
            return Told::Refused { why: "there is no secret to sign with".into() };
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let timestamp = i64::try_from(now).unwrap_or(i64::MAX);
        let timeout = Duration::try_from_secs_f64(config.webhooks.timeout).unwrap_or(Duration::from_secs(10));
        let request = self
            .client
            .post(url)
            .timeout(timeout)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", secret.sign(id, timestamp, &body))
            .body(body);
        // Only the head of the answer is read, whatever follows it.
        match request.send().await {
            Ok(response) => told(response.status(), response.headers()),
            Err(error) => failed(&error),
        }
    }
}

fn told(status: StatusCode, headers: &header::HeaderMap) -> Told {
    if status.is_success() {
        return Told::Delivered;
    }
    if status == StatusCode::GONE {
        return Told::Gone;
    }
    let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Told::Again { why: format!("status {}", status.as_u16()), not_before: asked.map(Duration::from_secs) }
}

fn failed(error: &reqwest::Error) -> Told {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut last = String::new();
    while let Some(found) = cause {
        if found.is::<NotAllowed>() {
            return Told::Refused { why: found.to_string() };
        }
        last = found.to_string();
        cause = found.source();
    }
    let why = if error.is_timeout() { "timed out".to_owned() } else { last };
    Told::Again { why, not_before: None }
}

/// A name all of whose addresses are off limits.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to no public address")]
struct NotAllowed;

/// Looks names up and hands on only addresses that may be called, so that what was checked is what is connected to.
struct Checked {
    live: Arc<Live>,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = private(&self.live.get());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let open: Vec<SocketAddr> = found.into_iter().filter(|at| allowed(at.ip(), &networks)).collect();
            if open.is_empty() {
                return Err(NotAllowed.into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Bytes;
    use axum::http::HeaderMap;
    use axum::response::{IntoResponse, Redirect};
    use axum::routing::post;
    use partita_engine::config::Sources;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn live(private: &str) -> Arc<Live> {
        let flags = vec![
            ("webhooks.allow_private".to_owned(), private.to_owned()),
            ("webhooks.timeout".to_owned(), "2".to_owned()),
        ];
        Arc::new(Live::open(Sources { flags, ..Sources::default() }).expect("a configuration"))
    }

    fn hook(url: String) -> Webhook {
        Webhook { url, events: vec![], secret: Some(SECRET.into()) }
    }

    /// A receiver, its address, and what it received.
    async fn receiver() -> (SocketAddr, mpsc::UnboundedReceiver<(HeaderMap, Bytes)>) {
        let (sent, received) = mpsc::unbounded_channel();
        let hear = async move |headers: HeaderMap, body: Bytes| {
            sent.send((headers, body)).expect("the test listens");
        };
        let router = Router::new()
            .route("/ok", post(hear.clone()))
            .route(
                "/busy",
                post(async || (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")]).into_response()),
            )
            .route("/gone", post(async || StatusCode::GONE))
            .route("/moved", post(async || Redirect::temporary("/ok")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (address, received)
    }

    #[tokio::test]
    async fn a_call_arrives_signed_and_answers_are_told_apart() {
        let (address, mut received) = receiver().await;
        let phone = Phone::new(live("[127.0.0.0/8]")).expect("a client");
        let call = async |path: &str| {
            phone.call(&hook(format!("http://{address}{path}")), "msg_1", b"{}".into()).await
        };
        assert_eq!(call("/ok").await, Told::Delivered);
        let (headers, body) = received.recv().await.expect("a call");
        assert_eq!((headers["webhook-id"].as_bytes(), &body[..]), (&b"msg_1"[..], &b"{}"[..]));
        let timestamp: i64 = headers["webhook-timestamp"].to_str().expect("text").parse().expect("a number");
        let signature = Secret::parse(SECRET).expect("a secret").sign("msg_1", timestamp, b"{}");
        assert_eq!(headers["webhook-signature"], signature);
        let busy = Told::Again { why: "status 503".into(), not_before: Some(Duration::from_secs(7)) };
        assert_eq!(call("/busy").await, busy);
        assert_eq!(call("/gone").await, Told::Gone);
        // A redirect is an answer like any other; following it would lead past the checks.
        assert_eq!(call("/moved").await, Told::Again { why: "status 307".into(), not_before: None });
        assert!(received.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_receiver_on_this_machine_is_not_called_unless_allowed() {
        let (address, mut received) = receiver().await;
        let phone = Phone::new(live("[10.0.0.0/8]")).expect("a client");
        let told = phone.call(&hook(format!("http://{address}/ok")), "msg_1", vec![]).await;
        assert!(matches!(told, Told::Refused { .. }), "{told:?}");
        assert!(received.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_called() {
        let name = || "localhost".parse::<Name>().expect("a name");
        let refused = Checked { live: live("[10.0.0.0/8]") }.resolve(name()).await.err().expect("refused");
        assert!(refused.is::<NotAllowed>());
        let found =
            Checked { live: live("['127.0.0.0/8', '::1/128']") }.resolve(name()).await.expect("allowed");
        assert!(found.count() > 0);
    }

    #[tokio::test]
    async fn nobody_there_and_no_answer_are_worth_another_try() {
        let phone = Phone::new(live("[127.0.0.0/8]")).expect("a client");
        // Bound, so that nobody else listens; never accepted, so that nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = silent.local_addr().expect("an address");
        let told = phone.call(&hook(format!("http://{address}/")), "msg_1", vec![]).await;
        assert_eq!(told, Told::Again { why: "timed out".into(), not_before: None });
        drop(silent);
        let told = phone.call(&hook(format!("http://{address}/")), "msg_1", vec![]).await;
        assert!(matches!(told, Told::Again { .. }), "{told:?}");
    }

    #[tokio::test]
    async fn unsigned_calls_are_never_made() {
        let (address, mut received) = receiver().await;
        let phone = Phone::new(live("[127.0.0.0/8]")).expect("a client");
        let unsigned = Webhook { secret: None, ..hook(format!("http://{address}/ok")) };
        let told = phone.call(&unsigned, "msg_1", vec![]).await;
        assert!(matches!(told, Told::Refused { .. }), "{told:?}");
        assert!(received.try_recv().is_err());
    }
}
