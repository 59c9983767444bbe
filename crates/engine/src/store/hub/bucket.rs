//! One object of a bucket that speaks S3. Credentials, region and endpoint come from the usual `AWS_` variables.

use futures_util::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error as Wrong, GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use reqwest::Url;

use super::client::{Retry, Trouble, ticking};
use super::fetch::{Fetch, Sink};
use super::remote::Remote;
use crate::store::partial::{Ready, Slot};
use crate::store::watch::tell;
use crate::store::{Error, Event, Result, Watch};

pub(super) struct Object {
    store: AmazonS3,
    key: Path,
    /// For people.
    address: Url,
}

impl Object {
    /// Does not call anybody yet.
    ///
    /// # Errors
    /// `Content` for variables that make no sense.
    pub fn open(bucket: &str, key: &str) -> Result<Object> {
        // An error says that somebody chose a provider before: any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = format!("s3://{bucket}/{key}");
        let wrong = |why: String| Error::content(&text, format!("cannot be used: {why}"));
        // An endpoint with http:// is the user's own choice, as for a server on the same machine.
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_allow_http(true);
        let store = builder.build().map_err(|error| wrong(first_line(&error)))?;
        let key = Path::parse(key).map_err(|error| wrong(error.to_string()))?;
        let address = Url::parse(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(Object { store, key, address })
    }

    pub async fn ask(&self, file: &str, watch: &mut Watch<'_>) -> Result<Remote> {
        let found = ticking(self.store.head(&self.key), watch, &Event::Asking { file }).await?;
        let about = found.map_err(|error| self.failed(&error, false))?;
        Ok(Remote { name: file.to_owned(), bytes: Some(about.size), etag: about.e_tag, sha256: None })
    }

    pub async fn fetch(
        &self,
        fetch: &mut Fetch<'_>,
        remote: &Remote,
        slot: &Slot,
        watch: &mut Watch<'_>,
    ) -> Result<Ready> {
        loop {
            let mut sink = Sink::open(remote, slot, fetch.total, fetch.done, watch)?;
            sink.promise()?;
            let mut retry = Retry::new(fetch.hub.patience);
            while remote.bytes != Some(sink.length) {
                let before = sink.length;
                let Err(trouble) = self.stream(fetch, &mut sink, remote, watch).await else { break };
                if sink.length > before {
                    retry.progressed();
                }
                let done = fetch.done + sink.length;
                let event = Event::Fetching { file: &remote.name, done, total: fetch.total };
                retry.pause(trouble, (&self.address, sink.length > 0), watch, &event).await?;
            }
            // What an earlier process left may be damaged, as by a power cut; what came just now may not.
            let again = sink.resumed;
            match sink.finish() {
                Err(Error::Hash { .. }) if again => {}
                result => return result,
            }
        }
    }

    /// Fetches what is missing, of the same content that was asked for.
    async fn stream(
        &self,
        fetch: &mut Fetch<'_>,
        sink: &mut Sink<'_>,
        remote: &Remote,
        watch: &mut Watch<'_>,
    ) -> Result<(), Trouble> {
        let range = (sink.length > 0).then_some(GetRange::Offset(sink.length));
        let options = GetOptions { range, if_match: remote.etag.clone(), ..GetOptions::default() };
        let event =
            |length| Event::Fetching { file: &remote.name, done: fetch.done + length, total: fetch.total };
        let sent = ticking(self.store.get_opts(&self.key, options), watch, &event(sink.length)).await?;
        let mut chunks = sent.map_err(|error| self.trouble(&error))?.into_stream();
        loop {
            let event =
                Event::Fetching { file: &remote.name, done: fetch.done + sink.length, total: fetch.total };
            match ticking(chunks.next(), watch, &event).await? {
                Some(chunk) => {
                    let chunk = chunk.map_err(|error| self.trouble(&error))?;
                    sink.write(&chunk)?;
                    fetch.fetched += chunk.len() as u64;
                    let done = fetch.done + sink.length;
                    tell(watch, &Event::Fetching { file: &remote.name, done, total: fetch.total })?;
                }
                None if remote.bytes.is_some_and(|whole| sink.length < whole) => {
                    return Err(Trouble::passing("the connection ended before the file"));
                }
                None => return Ok(()),
            }
        }
    }

    fn trouble(&self, error: &Wrong) -> Trouble {
        match self.failed(error, true) {
            Error::Unreachable { why, .. } => Trouble::passing(why),
            error => Trouble::Final(error),
        }
    }

    fn failed(&self, error: &Wrong, kept: bool) -> Error {
        let status = match error {
            Wrong::NotFound { .. } => 404,
            Wrong::PermissionDenied { .. } => 403,
            Wrong::Unauthenticated { .. } => 401,
            Wrong::Precondition { .. } => return Error::Changed { repository: self.address.to_string() },
            _ => {
                return Error::Unreachable { url: self.address.to_string(), why: first_line(error), kept };
            }
        };
        Error::Refused { url: self.address.to_string(), status, why: None }
    }
}

/// Errors of this library go on with what the server sent.
fn first_line(error: &Wrong) -> String {
    error.to_string().lines().next().unwrap_or_default().chars().take(200).collect()
}
