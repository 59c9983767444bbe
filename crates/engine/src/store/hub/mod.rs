//! Fetching models from the hub, or from a mirror that speaks its layout:
//! `{endpoint}/{owner}/{model}/resolve/{revision}/{file}`; and from plain addresses (`place.rs`, `mirror.rs`).

#[cfg(feature = "cloud")]
mod bucket;
mod client;
mod fetch;
mod mirror;
mod place;
mod pull;
mod remote;

use std::ffi::OsString;
use std::time::Duration;

use reqwest::Url;

use super::{Error, Installed, Result};

/// Where models come from, and how hard it is tried.
#[derive(Clone)]
pub struct Hub {
    endpoint: Url,
    /// Where the buckets of `gs://` are.
    gs: Url,
    /// Branch, tag or commit.
    revision: String,
    token: Option<String>,
    /// Nobody is called.
    pub offline: bool,
    /// Fetches again what is there already, as it may be damaged.
    pub repair: bool,
    pub patience: Patience,
}

/// How long a server is waited for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// Tries without a byte of progress before a file is given up.
    pub tries: u32,
    /// Pause after the first of them; each further one doubles it.
    pub pause: Duration,
    /// The longest pause. A server that asks for a longer one (`Retry-After`) is given up.
    pub longest: Duration,
    /// Without a byte for so long, a connection is taken for broken.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            tries: 6,
            pause: Duration::from_secs(1),
            longest: Duration::from_secs(300),
            silence: Duration::from_secs(30),
        }
    }
}

/// How a pull ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulled {
    pub model: Installed,
    pub state: State,
    /// Bytes that came over the network for files of the model.
    pub fetched: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Now it is there, or it was there and is now newer.
    Installed,
    /// It was there and the hub has nothing else.
    Current,
    /// It was there and nobody was asked.
    Unchecked,
}

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const DEFAULT_GS: &str = "https://storage.googleapis.com";
const DEFAULT_REVISION: &str = "main";

impl Hub {
    /// The hub that `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` describe, and the server of `gs://` that
    /// `GS_ENDPOINT` does.
    ///
    /// # Errors
    /// `Setting`, `Token`.
    pub fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Result<Hub> {
        let text = |name: &str| {
            let value = variable(name).map(|value| value.to_string_lossy().trim().to_owned());
            value.filter(|value| !value.is_empty())
        };
        let token = text("HF_TOKEN");
        // It goes into a header.
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Error::Token);
        }
        let offline = text("HF_HUB_OFFLINE")
            .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str()));
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let gs = text("GS_ENDPOINT").unwrap_or_else(|| DEFAULT_GS.to_owned());
        Ok(Hub {
            endpoint: endpoint_of("HF_ENDPOINT", &endpoint)?,
            gs: endpoint_of("GS_ENDPOINT", &gs)?,
            revision: DEFAULT_REVISION.to_owned(),
            token,
            offline,
            repair: false,
            patience: Patience::default(),
        })
    }

    /// # Errors
    /// `Setting`: must be an `http` or `https` address with a host.
    pub fn with_endpoint(mut self, endpoint: &str) -> Result<Hub> {
        self.endpoint = endpoint_of("endpoint", endpoint)?;
        Ok(self)
    }

    /// Another server of `gs://`: `{endpoint}/{bucket}/{key}`.
    ///
    /// # Errors
    /// `Setting`: must be an `http` or `https` address with a host.
    pub fn with_gs_endpoint(mut self, endpoint: &str) -> Result<Hub> {
        self.gs = endpoint_of("gs endpoint", endpoint)?;
        Ok(self)
    }

    /// # Errors
    /// `Setting`: must be a branch, a tag or a commit.
    pub fn with_revision(mut self, revision: &str) -> Result<Hub> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        let is_good = (1..=200).contains(&revision.len())
            && revision.bytes().all(plain)
            && !revision.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        if !is_good {
            let got = revision.chars().take(80).collect();
            let allowed = "a branch, a tag or a commit (letters, digits, '.', '_', '-', '/')";
            return Err(Error::Setting { what: "revision", allowed, got });
        }
        revision.clone_into(&mut self.revision);
        Ok(self)
    }

    /// The address of a file. `revision` becomes one part of the path, as the hub has it for `refs/pr/1`.
    fn address(&self, repository: &str, revision: &str, file: &str) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(repository.split('/')).push("resolve").push(revision).push(file);
        }
        url
    }
}

fn endpoint_of(what: &'static str, text: &str) -> Result<Url> {
    let is_good =
        |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
    // A password in it is not shown again.
    let got = || Url::parse(text).map_or_else(|_| text.chars().take(80).collect(), |url| shown(&url));
    let url = Url::parse(text).ok().filter(is_good);
    url.ok_or_else(|| Error::Setting { what, allowed: "http://HOST or https://HOST", got: got() })
}

/// An address for people: without its query, which may be a signature, and without a password.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(set: &[(&str, &str)]) -> Result<Hub> {
        Hub::from_env(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_environment_names_endpoint_token_and_offline() {
        let plain = hub(&[("HF_TOKEN", " "), ("HF_HUB_OFFLINE", "0")]).expect("good");
        assert_eq!(plain.endpoint.as_str(), "https://huggingface.co/");
        assert!(plain.token.is_none() && !plain.offline);
        let set =
            [("HF_ENDPOINT", "http://mirror:8080/hf/"), ("HF_TOKEN", "hf_x\n"), ("HF_HUB_OFFLINE", "True")];
        let set = hub(&set).expect("good");
        assert_eq!(set.token.as_deref(), Some("hf_x"));
        assert!(set.offline);
        let url = set.address("facebook/musicgen-small", "refs/pr/10", "config.json");
        assert_eq!(
            url.as_str(),
            "http://mirror:8080/hf/facebook/musicgen-small/resolve/refs%2Fpr%2F10/config.json"
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_secrets() {
        let error = hub(&[("HF_TOKEN", "hf_secret\u{7}x")]).err().expect("refused").to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("secret"), "{error}");
        for endpoint in ["", "mirror", "ftp://mirror", "file:///etc/passwd", "http://mirror?a=b"] {
            let error = hub(&[]).expect("good").with_endpoint(endpoint).err().expect(endpoint);
            assert!(matches!(error, Error::Setting { what: "endpoint", .. }), "{endpoint}: {error}");
        }
        let error = hub(&[("HF_ENDPOINT", "ftp://me:secret@mirror")]).err().expect("refused").to_string();
        assert!(error.contains("ftp://mirror") && !error.contains("secret"), "{error}");
        for revision in ["", "..", "a/../b", "a b", "/main", "main/", "a?b", "a%2e"] {
            assert!(hub(&[]).expect("good").with_revision(revision).is_err(), "{revision}");
        }
    }
}
