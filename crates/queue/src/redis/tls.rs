//! TLS to Redis (`rediss://`): which certificates are trusted, and what is said of one that is not.

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redis::{Client, ConnectionAddr, ConnectionInfo, RedisError, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::{Error, Result};

/// A client that trusts the certificates in `ca` instead of the system's.
///
/// # Errors
/// `place` for an address without TLS; `Ca` for a file without certificates.
pub(super) fn client(info: ConnectionInfo, ca: &Path, place: impl Fn() -> Error) -> Result<Client> {
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Err(place());
    }
    let pem = std::fs::read(ca).map_err(|error| refused(ca, &error.kind()))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(ca, &error))?;
        roots.add(certificate).map_err(|error| refused(ca, &error))?;
    }
    // The client takes such a file for one that trusts nobody.
    if roots.is_empty() {
        return Err(refused(ca, &"it holds none"));
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    Client::build_with_tls(info, certificates).map_err(|_| place())
}

fn refused(ca: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Ca { path: ca.display().to_string(), why: why.to_string() }
}

/// Has the cryptography of TLS come from ring. Whoever came first in the process decides; there it is the same.
pub(super) fn install() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What to say when the server's certificate is the reason of an error.
pub(super) fn distrust(error: &RedisError) -> Option<String> {
    let source = error.source()?.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?;
    let cause = source.downcast_ref::<io::Error>()?.get_ref()?;
    let rustls::Error::InvalidCertificate(why) = cause.downcast_ref::<rustls::Error>()? else { return None };
    Some(match why {
        // A bad signature is what an authority gives that has the name of a trusted one.
        rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature => {
            "the certificate of Redis is signed by nobody who is trusted; queue.ca names a file with those who are"
                .into()
        }
        other => format!("the certificate of Redis is not accepted: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::link::Link;

    async fn open(url: &str, ca: &[u8]) -> Error {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, ca).expect("written");
        Link::open(url, "partita", Some(&file)).await.err().expect("refused")
    }

    #[tokio::test]
    async fn a_file_without_certificates_is_refused_before_anybody_is_called() {
        let url = "rediss://:geheim@localhost:1";
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for ca in [&b""[..], b"no PEM", broken] {
            let error = open(url, ca).await;
            assert!(matches!(error, Error::Ca { .. }), "{error}");
            assert!(error.to_string().contains("ca.pem") && !error.to_string().contains("geheim"), "{error}");
        }
        let absent = Link::open(url, "partita", Some(Path::new("nowhere.pem"))).await.err();
        assert!(matches!(absent, Some(Error::Ca { .. })), "{absent:?}");
    }

    #[tokio::test]
    async fn who_names_certificates_is_never_served_without_them() {
        for url in ["redis://localhost:1", "redis+unix:///nowhere"] {
            let error = open(url, b"").await;
            assert!(matches!(error, Error::Place(_)), "{error}");
        }
    }
}
