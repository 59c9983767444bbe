//! Whether a task's webhook can be called at all, asked when the task comes.

use partita_engine::request::WebhookRequest;
use partita_engine::{Config, Fault, Request};
use partita_queue::Role;
use url::{Host, Url};

use super::address::{Network, allowed};
use super::sign::Secret;
use crate::guard::Caller;

/// Networks of the configuration. Those that cannot be read allow nothing.
pub fn private(config: &Config) -> Vec<Network> {
    config.webhooks.allow_private.iter().filter_map(|text| Network::parse(text).ok()).collect()
}

/// As [`check`], for whatever a request says.
///
/// # Errors
/// As [`check`].
pub fn check_request(request: &Request, config: &Config) -> Result<(), Fault> {
    let webhook = match request {
        Request::Generate(request) => &request.webhook,
        Request::Continue(request) => &request.webhook,
        Request::Infill(request) => &request.webhook,
        Request::Humanize(request) => &request.webhook,
        Request::Harmonize(request) => &request.webhook,
        Request::Arrange(request) => &request.webhook,
        Request::Song(request) => &request.webhook,
        Request::Render(request) => &request.webhook,
        Request::Analyze(request) => &request.webhook,
        Request::Batch(request) => &request.webhook,
    };
    webhook.as_ref().map_or(Ok(()), |webhook| check(webhook, config))
}

/// Gives a webhook without a secret that of its caller. The server's own signs for administrators and where there are no
/// keys; a user's calls are signed with a secret of the user's key, so that none can be made to look like another's.
pub fn sign_for(request: &mut Request, caller: &Caller, config: &Config) {
    let webhook = match request {
        Request::Generate(request) => &mut request.webhook,
        Request::Continue(request) => &mut request.webhook,
        Request::Infill(request) => &mut request.webhook,
        Request::Humanize(request) => &mut request.webhook,
        Request::Harmonize(request) => &mut request.webhook,
        Request::Arrange(request) => &mut request.webhook,
        Request::Song(request) => &mut request.webhook,
        Request::Render(request) => &mut request.webhook,
        Request::Analyze(request) => &mut request.webhook,
        Request::Batch(request) => &mut request.webhook,
    };
    if let (Some(webhook), Some(key)) = (webhook, &caller.key)
        && caller.role != Role::Admin
        && webhook.secret.is_none()
        && let Ok(secret) = Secret::parse(&config.webhooks.secret)
    {
        webhook.secret = Some(secret.of_key(&key.id));
    }
}

/// Checks the URL as far as it goes without asking for the name, and that there is a secret to sign with.
///
/// # Errors
/// `InvalidRequest` with a pointer under `#/webhook`.
pub fn check(webhook: &WebhookRequest, config: &Config) -> Result<(), Fault> {
    if webhook.url.len() > 2000 {
        let got = format!("{} bytes", webhook.url.len());
        return Err(Fault::field("#/webhook/url", "at most 2000 bytes", got));
    }
    target(&webhook.url, &private(config))
        .map_err(|why| Fault::field("#/webhook/url", why.allowed, why.got))?;
    match &webhook.secret {
        Some(secret) => {
            let checked = Secret::parse(secret).map(drop);
            checked.map_err(|_| {
                Fault::field("#/webhook/secret", "whsec_ and base64 of 24 to 64 bytes", "another text")
            })
        }
        None if config.webhooks.secret.is_empty() => {
            let needed = "given, as the server has no secret of its own to sign with";
            Err(Fault::field("#/webhook/secret", needed, "none"))
        }
        None => Ok(()),
    }
}

/// Why a URL is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub allowed: &'static str,
    pub got: String,
}

/// The URL, if it may be called as far as can be said before its name is looked up.
///
/// # Errors
/// What is allowed and what came.
pub fn target(text: &str, networks: &[Network]) -> Result<Url, Refused> {
    let refused = |allowed, got: &str| Refused { allowed, got: got.chars().take(100).collect() };
    let url = Url::parse(text).map_err(|_| refused("an http or https URL", text))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("an http or https URL", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("a URL without a user and password", "one with them"));
    }
    let address = match url.host() {
        None => return Err(refused("a URL with a host", text)),
        Some(Host::Domain(name)) => {
            // Never a public name (RFC 6761); saying so now helps more than a call that fails later.
            let local = name.trim_end_matches('.').rsplit('.').next().is_some_and(|last| last == "localhost");
            local.then(|| std::net::Ipv4Addr::LOCALHOST.into())
        }
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
    };
    if let Some(address) = address.filter(|address| !allowed(*address, networks)) {
        return Err(refused("a public address or one in webhooks.allow_private", &address.to_string()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(url: &str, secret: Option<&str>) -> WebhookRequest {
        WebhookRequest { url: url.into(), events: None, secret: secret.map(Into::into) }
    }

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn urls_that_lead_inside_are_refused_in_every_spelling() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://localhost/",
            "http://a.localhost./",
            "http://[::1]:8000/",
            "http://[::ffff:10.0.0.1]/",
            "http://169.254.169.254/latest",
            "http://0/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://x",
            "http://user:password@example.com/",
            "http://user@example.com/",
            "http://",
            "example.com/hook",
            "",
            "http://①②⑦.0.0.1/",
            "http://127。0。0。1/",
        ] {
            let fault = check(&hook(url, Some(SECRET)), &Config::default()).expect_err(url);
            assert_eq!(fault.errors[0].pointer, "#/webhook/url", "{url}");
        }
        for url in ["https://example.com/hook", "http://example.com:8443/a?b=c", "http://93.184.216.34/"] {
            assert_eq!(check(&hook(url, Some(SECRET)), &Config::default()), Ok(()), "{url}");
        }
    }

    #[test]
    fn an_allowed_network_is_let_through() {
        let mut config = Config::default();
        config.webhooks.allow_private = vec!["127.0.0.0/8".into()];
        assert_eq!(check(&hook("http://127.0.0.1:9000/", Some(SECRET)), &config), Ok(()));
        assert!(check(&hook("http://10.0.0.1/", Some(SECRET)), &config).is_err());
    }

    #[test]
    fn a_users_calls_are_signed_with_a_secret_of_its_key() {
        let mut config = Config::default();
        config.webhooks.secret = SECRET.into();
        let secret_for = |role, keyed: bool, own: Option<&str>| {
            let mut key = partita_queue::ApiKey::create("test", role, 0, None).0;
            key.id = "0123456789abcdef".into();
            let caller = Caller {
                key: keyed.then(|| std::sync::Arc::new(key)),
                role,
                address: std::net::IpAddr::from([192, 0, 2, 1]),
            };
            let webhook = Some(hook("https://example.com/", own));
            let generate = partita_engine::request::Generate { webhook, ..Default::default() };
            let mut request = Request::Generate(Box::new(generate));
            sign_for(&mut request, &caller, &config);
            let Request::Generate(request) = request else { panic!("another request") };
            request.webhook.and_then(|webhook| webhook.secret)
        };
        // openssl dgst -sha256 -mac HMAC, with the bytes of the secret as the key and the id as the text.
        let derived = secret_for(Role::User, true, None).expect("one of its own");
        assert!(Secret::parse(&derived).is_ok() && derived != SECRET);
        assert_eq!(secret_for(Role::User, true, None).as_ref(), Some(&derived));
        assert_eq!(secret_for(Role::User, true, Some(SECRET)).as_deref(), Some(SECRET));
        assert_eq!(secret_for(Role::Admin, true, None), None);
        assert_eq!(secret_for(Role::Admin, false, None), None);
    }

    #[test]
    fn without_any_secret_a_webhook_is_refused() {
        let mut config = Config::default();
        let fault = check(&hook("https://example.com/", None), &config).expect_err("no secret");
        assert_eq!(fault.errors[0].pointer, "#/webhook/secret");
        config.webhooks.secret = SECRET.into();
        assert_eq!(check(&hook("https://example.com/", None), &config), Ok(()));
        let fault = check(&hook("https://example.com/", Some("hunter2")), &config).expect_err("no secret");
        assert!(!fault.to_string().contains("hunter2"));
    }
}
