//! One file by its address: what is there, and bringing it here.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::client::Client;
use super::fetch::{Fetch, Sink};
use super::remote::{Remote, describe};
use super::{Hub, shown};
use crate::store::partial::{Ready, Slot};
use crate::store::watch::tell;
use crate::store::{Error, Event, Result, Watch, disk};

/// Where a file is.
pub(super) enum Place {
    Web(Url),
    #[cfg(feature = "cloud")]
    Bucket(super::bucket::Object),
    Folder(PathBuf),
}

impl Place {
    /// Reads an address: `https://`, `http://`, `gs://bucket/key` (at the server that `hub` names), `s3://bucket/key`
    /// (at the one that the usual `AWS_` variables do) or `file://`.
    ///
    /// # Errors
    /// `Setting`; `Feature` for `s3://` where that was left out of the program.
    pub fn read(address: &str, hub: &Hub) -> Result<Place> {
        let wrong = || {
            let got =
                Url::parse(address).map_or_else(|_| address.chars().take(80).collect(), |url| shown(&url));
            let allowed = "https://HOST/PATH, gs://BUCKET/KEY, s3://BUCKET/KEY or file:///PATH";
            Error::Setting { what: "address", allowed, got }
        };
        let (scheme, rest) = address.split_once("://").ok_or_else(wrong)?;
        match scheme {
            "http" | "https" => {
                let url = Url::parse(address).ok().filter(Url::has_host).ok_or_else(wrong)?;
                Ok(Place::Web(url))
            }
            "gs" => {
                let (bucket, key) = bucket_and_key(rest).ok_or_else(wrong)?;
                let mut url = hub.gs.clone();
                let mut path = url.path_segments_mut().map_err(|()| wrong())?;
                path.pop_if_empty().push(bucket).extend(key.split('/'));
                drop(path);
                Ok(Place::Web(url))
            }
            "s3" => {
                let (bucket, key) = bucket_and_key(rest).ok_or_else(wrong)?;
                s3(bucket, key)
            }
            "file" => {
                let path = Url::parse(address).ok().and_then(|url| url.to_file_path().ok());
                path.map(Place::Folder).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    /// What is there, under the name `file`.
    ///
    /// # Errors
    /// `Refused` for nothing, `Unreachable`, `Redirect`, `Content`, `Cancelled`.
    pub async fn ask(
        &self,
        client: &Client<'_>,
        hub: &Hub,
        file: &str,
        watch: &mut Watch<'_>,
    ) -> Result<Remote> {
        match self {
            Place::Web(url) => Remote::new(file, &describe(client, hub, url, file, watch).await?),
            #[cfg(feature = "cloud")]
            Place::Bucket(object) => object.ask(file, watch).await,
            Place::Folder(path) => {
                tell(watch, &Event::Asking { file })?;
                let about = std::fs::metadata(path).map_err(|source| Error::io("read", path, source))?;
                if !about.is_file() {
                    return Err(Error::content(path.display().to_string(), "must be a file"));
                }
                // With the length it tells whether it is still the same.
                let changed =
                    about.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
                let etag = changed.map(|time| format!("changed-{}", time.as_nanos()));
                Ok(Remote { name: file.to_owned(), bytes: Some(about.len()), etag, sha256: None })
            }
        }
    }

    /// Brings it into `slot`.
    ///
    /// # Errors
    /// As [`Fetch::file`].
    pub async fn fetch(
        &self,
        fetch: &mut Fetch<'_>,
        remote: &Remote,
        slot: &Slot,
        watch: &mut Watch<'_>,
    ) -> Result<Ready> {
        match self {
            Place::Web(url) => fetch.file(remote, slot, url, watch).await,
            #[cfg(feature = "cloud")]
            Place::Bucket(object) => object.fetch(fetch, remote, slot, watch).await,
            Place::Folder(path) => copy(path, fetch, remote, slot, watch),
        }
    }
}

/// A key without empty parts and without those that servers read as a way up.
fn bucket_and_key(rest: &str) -> Option<(&str, &str)> {
    let (bucket, key) = rest.split_once('/')?;
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let has_bucket = !bucket.is_empty()
        && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    (has_bucket && is_plain(bucket) && key.split('/').all(is_plain)).then_some((bucket, key))
}

#[cfg(feature = "cloud")]
fn s3(bucket: &str, key: &str) -> Result<Place> {
    super::bucket::Object::open(bucket, key).map(Place::Bucket)
}

#[cfg(not(feature = "cloud"))]
fn s3(bucket: &str, key: &str) -> Result<Place> {
    Err(Error::Feature { address: format!("s3://{bucket}/{key}"), feature: "cloud" })
}

/// From its beginning each time: reading it again is quick.
fn copy(
    path: &Path,
    fetch: &mut Fetch<'_>,
    remote: &Remote,
    slot: &Slot,
    watch: &mut Watch<'_>,
) -> Result<Ready> {
    slot.clear()?;
    let mut sink = Sink::open(remote, slot, fetch.total, fetch.done, watch)?;
    let wrong = |source| Error::io("read", path, source);
    let mut file = File::open(path).map_err(wrong)?;
    let mut chunk = vec![0; disk::CHUNK];
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => return sink.finish(),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(wrong(source)),
        };
        sink.write(&chunk[..read])?;
        fetch.fetched += read as u64;
        let done = fetch.done + sink.length;
        tell(watch, &Event::Fetching { file: &remote.name, done, total: fetch.total })?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(address: &str, hub: &Hub) -> Result<String> {
        Place::read(address, hub).map(|place| match place {
            Place::Web(url) => url.to_string(),
            Place::Folder(path) => path.display().to_string(),
            #[cfg(feature = "cloud")]
            Place::Bucket(_) => "a bucket".into(),
        })
    }

    #[test]
    fn an_address_of_gs_is_one_of_its_server() {
        let hub = Hub::from_env(|_| None).expect("the default");
        let key = "gs://magentadata/models/music_vae/checkpoints/cat-mel_2bar_big.tar";
        assert_eq!(
            url(key, &hub).expect("good"),
            "https://storage.googleapis.com/magentadata/models/music_vae/checkpoints/cat-mel_2bar_big.tar"
        );
        let mirror = Hub::from_env(|name| (name == "GS_ENDPOINT").then(|| "http://mirror:9/gs/".into()));
        assert_eq!(
            url("gs://b/k/x.tar", &mirror.expect("good")).expect("good"),
            "http://mirror:9/gs/b/k/x.tar"
        );
        let other = hub.with_gs_endpoint("http://127.0.0.1:1").expect("good");
        assert_eq!(url("gs://b/k?v=1", &other).expect("good"), "http://127.0.0.1:1/b/k%3Fv=1");
        assert!(Hub::from_env(|name| (name == "GS_ENDPOINT").then(|| "ftp://x".into())).is_err());
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_secrets() {
        let hub = Hub::from_env(|_| None).expect("the default");
        for address in [
            "",
            "x.tar",
            "ftp://me:secret@host/x",
            "gs://b",
            "gs://b/",
            "gs:///k",
            "gs://b/../k",
            "gs://b/a//k",
            "s3://b/./k",
            "s3://b c/k",
            "file://host",
            "https://",
        ] {
            let error = url(address, &hub).expect_err(address);
            assert!(matches!(error, Error::Setting { what: "address", .. }), "{address}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        #[cfg(not(feature = "cloud"))]
        {
            let error = url("s3://bucket/a/b.tar", &hub).expect_err("left out").to_string();
            assert!(error.contains("s3://bucket/a/b.tar") && error.contains("feature cloud"), "{error}");
        }
    }
}
