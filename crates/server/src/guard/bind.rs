//! Whether the server may listen where it is told to.

use std::net::IpAddr;

use partita_engine::Config;
use partita_queue::Queue;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "{host} can be reached from other machines and there is no API key: make one with `partita keys create`, \
         or listen on 127.0.0.1, or start with --insecure to let everybody in"
    )]
    Open { host: String },
    #[error("the keys cannot be read: {0}")]
    Store(#[from] partita_queue::Error),
}

/// Whether only this machine can reach `host`. A name other than `localhost` may be anybody's.
pub fn is_loopback(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Checks that a server which others can reach asks for keys and that there is one.
///
/// # Errors
/// `Open`, and what the store says.
pub async fn check_bind(config: &Config, queue: &dyn Queue) -> Result<(), BindError> {
    let host = &config.server.host;
    if is_loopback(host) || config.server.insecure {
        return Ok(());
    }
    let now = queue.now().await?;
    let any_live = queue.keys().await?.iter().any(|key| key.is_live(now));
    if any_live && config.auth.keys != "never" {
        return Ok(());
    }
    Err(BindError::Open { host: host.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_this_machine_are_loopback() {
        for host in ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["0.0.0.0", "::", "192.168.1.2", "example.com", "localhost.example.com", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
