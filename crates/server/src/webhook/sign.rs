//! Signatures as Standard Webhooks 1.0 writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A key that signs. Shows itself to nobody.
pub struct Secret(Vec<u8>);

impl Secret {
    /// `whsec_` and base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// What is allowed; what came is not repeated.
    pub fn parse(text: &str) -> Result<Secret, &'static str> {
        let bytes = text.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.filter(|bytes| (24..=64).contains(&bytes.len()));
        bytes.map(Secret).ok_or("must be whsec_ and base64 of 24 to 64 bytes")
    }

    /// The secret of one API key: `whsec_` and base64 of the HMAC-SHA256 of its id under this secret.
    pub fn of_key(&self, id: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(id.as_bytes());
        format!("whsec_{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// The value of `webhook-signature`. `timestamp`: seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the specification's reference libraries.
    #[test]
    fn the_published_example_signs_as_published() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!", "whsec_c2hvcnQ="] {
            let message = Secret::parse(text).err().expect(text);
            assert!(text.is_empty() || !message.contains(&text[6.min(text.len())..]) || text == "whsec_");
        }
    }
}
