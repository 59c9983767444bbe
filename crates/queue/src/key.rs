//! API keys: `pt_<id>_<secret>`, of which only a hash is kept.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Millis, random_hex};

/// What a key may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks: status, models, styles, its own tasks.
    Viewer,
    /// Makes music.
    User,
    /// Loads and unloads models, reloads the configuration, cleans up, sees everybody's tasks.
    Admin,
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// 16 hex digits; the owner of jobs.
    pub id: String,
    /// For people.
    pub name: String,
    pub role: Role,
    /// SHA-256 of the secret, hex.
    pub hash: String,
    /// Tasks an hour, each request of a batch among them; `None` for the server's own limit.
    pub hourly_limit: Option<u32>,
    /// Jobs that may wait or run at once; `None` for the server's own limit.
    pub concurrent_limit: Option<u32>,
    pub created_at: Millis,
    pub expires_at: Option<Millis>,
    pub revoked_at: Option<Millis>,
}

/// A whole key, seen once by whoever makes it.
pub struct Secret(String);

impl Secret {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl ApiKey {
    /// A new key with 256 random bits.
    pub fn create(name: &str, role: Role, now: Millis, expires_at: Option<Millis>) -> (ApiKey, Secret) {
        let (id, secret) = (random_hex(8), random_hex(32));
        let key = ApiKey {
            hash: hash(&secret),
            name: name.to_owned(),
            role,
            hourly_limit: None,
            concurrent_limit: None,
            created_at: now,
            expires_at,
            revoked_at: None,
            id: id.clone(),
        };
        (key, Secret(format!("pt_{id}_{secret}")))
    }

    /// The id and the secret inside a whole key.
    pub fn split(text: &str) -> Option<(&str, &str)> {
        let (id, secret) = text.strip_prefix("pt_")?.split_once('_')?;
        let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        (id.len() == 16 && secret.len() == 64 && hex(id) && hex(secret)).then_some((id, secret))
    }

    /// Whether `secret` is this key's, in a time that does not tell how much of it is right.
    pub fn matches(&self, secret: &str) -> bool {
        hash(secret).as_bytes().ct_eq(self.hash.as_bytes()).into()
    }

    /// Neither revoked nor expired.
    pub fn is_live(&self, now: Millis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

fn hash(secret: &str) -> String {
    // A secret of 256 random bits cannot be guessed, so a fast hash keeps it as safe as a slow one.
    Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_with_its_own_secret_only() {
        let (key, secret) = ApiKey::create("test", Role::User, 0, Some(10));
        let (id, part) = ApiKey::split(secret.reveal()).expect("a whole key");
        assert_eq!(id, key.id);
        assert!(key.matches(part) && !key.matches(&part.replace(&part[..1], "x")));
        assert!(key.is_live(9) && !key.is_live(10));
        assert!(!key.hash.contains(part));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "pt_", "pt_x_y", "pt_0123456789abcdef_", "xx_0123456789abcdef_00"] {
            assert!(ApiKey::split(text).is_none(), "{text}");
        }
    }
}
