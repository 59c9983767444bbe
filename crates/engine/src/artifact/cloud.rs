//! Files in object storage: S3 and what speaks its protocol. Credentials, region and endpoint come from the usual
//! `AWS_` variables.
//!
//! `ab/fil_abcd....<hash>` is a body, `ab/fil_abcd....json` the sidecar written after it, and
//! `expiry/<milliseconds>-fil_abcd....<hash>` an empty mark written before both. The marks are in the order of their
//! times, so a clean-up lists what is due and nothing else; it finds what a crash left half written too.

use std::ops::Range;

use futures_util::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload};

use super::{Artifact, body_name, no_file, parse_id, place, sidecar_name};
use crate::{Code, Fault};

pub(super) struct Cloud {
    store: AmazonS3,
    prefix: String,
}

impl Cloud {
    /// `url`: `s3://bucket/prefix`. Does not call anybody yet.
    ///
    /// # Errors
    /// `Internal` for variables that make no sense.
    pub fn open(url: &str) -> Result<Cloud, Fault> {
        // An error says that somebody chose a provider before: any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = url.strip_prefix("s3://").unwrap_or(url);
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        // An endpoint with http:// is the operator's own choice, as for a store on the same machine.
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_allow_http(true);
        let store = builder.build().map_err(|error| {
            let why = error.to_string();
            Fault::internal(format!(
                "storage.files {url} cannot be used: {}",
                why.lines().next().unwrap_or_default()
            ))
        })?;
        Ok(Cloud { store, prefix: prefix.trim_matches('/').to_owned() })
    }

    fn path(&self, parts: &[&str]) -> Path {
        let prefix = self.prefix.split('/').filter(|part| !part.is_empty());
        Path::from_iter(prefix.chain(parts.iter().copied()))
    }

    fn sidecar(&self, id: &str) -> Path {
        self.path(&[place(id), &sidecar_name(id)])
    }

    /// `name`: as of `body_name`.
    fn body(&self, id: &str, name: &str) -> Path {
        self.path(&[place(id), name])
    }

    pub async fn put(&self, artifact: Artifact, bytes: Vec<u8>) -> Result<Artifact, Fault> {
        let name = body_name(&artifact);
        let mark = self.path(&["expiry", &format!("{:015}-{name}", artifact.expires_at.max(0))]);
        let sidecar = serde_json::to_vec(&artifact).map_err(Fault::internal)?;
        let objects = [
            (mark, PutPayload::new()),
            (self.body(&artifact.id, &name), bytes.into()),
            (self.sidecar(&artifact.id), sidecar.into()),
        ];
        for (path, payload) in objects {
            self.store.put(&path, payload).await.map_err(failed)?;
        }
        Ok(artifact)
    }

    /// Writes the sidecar of a file that is there again, with a later end.
    pub async fn extend(&self, artifact: Artifact) -> Result<Artifact, Fault> {
        let name = body_name(&artifact);
        let mark = self.path(&["expiry", &format!("{:015}-{name}", artifact.expires_at.max(0))]);
        let sidecar = serde_json::to_vec(&artifact).map_err(Fault::internal)?;
        let objects = [(mark, PutPayload::new()), (self.sidecar(&artifact.id), sidecar.into())];
        for (path, payload) in objects {
            self.store.put(&path, payload).await.map_err(failed)?;
        }
        Ok(artifact)
    }

    pub async fn find(&self, id: &str) -> Result<Option<Artifact>, Fault> {
        let found = match self.store.get(&self.sidecar(id)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if found.meta.size > super::MAX_SIDECAR {
            return Ok(None);
        }
        let text = found.bytes().await.map_err(failed)?;
        Ok(serde_json::from_slice(&text).ok())
    }

    /// `range` lies within the file.
    pub async fn read(&self, artifact: &Artifact, range: Range<u64>) -> Result<Vec<u8>, Fault> {
        if range.is_empty() {
            return Ok(vec![]);
        }
        let path = self.body(&artifact.id, &body_name(artifact));
        match self.store.get_range(&path, range).await {
            Ok(bytes) => Ok(bytes.into()),
            Err(Error::NotFound { .. }) => Err(no_file()),
            Err(error) => Err(failed(error)),
        }
    }

    pub async fn remove(&self, id: &str) -> Result<(), Fault> {
        let found = self.find(id).await?;
        self.delete(&self.sidecar(id)).await?;
        match found {
            Some(artifact) => self.delete(&self.body(id, &body_name(&artifact))).await,
            None => Ok(()),
        }
    }

    /// Removes what expired before `now` (milliseconds); returns files and bytes.
    pub async fn clean(&self, now: i64) -> Result<(u64, u64), Fault> {
        let mut removed = (0, 0);
        let marks = self.path(&["expiry"]);
        let mut due = vec![];
        let mut listed = self.store.list(Some(&marks));
        while let Some(mark) = listed.next().await {
            let mark = mark.map_err(failed)?.location;
            let Some((time, name)) = mark.filename().and_then(|name| name.split_once('-')) else { continue };
            match time.parse::<i64>() {
                Ok(time) if time <= now => due.push((name.to_owned(), mark.clone())),
                // They come in order.
                Ok(_) => break,
                Err(_) => {}
            }
        }
        drop(listed);
        for (name, mark) in due {
            let id = name.split('.').next().unwrap_or_default();
            if parse_id(id).is_ok() {
                self.expire(id, &name, now, &mut removed).await?;
            }
            self.delete(&mark).await?;
        }
        Ok(removed)
    }

    /// Removes one body whose time has come, and its file unless that was written again meanwhile.
    async fn expire(&self, id: &str, name: &str, now: i64, removed: &mut (u64, u64)) -> Result<(), Fault> {
        if let Some(artifact) = self.find(id).await?.filter(|artifact| body_name(artifact) == name) {
            if artifact.expires_at > now {
                return Ok(());
            }
            self.delete(&self.sidecar(id)).await?;
            removed.0 += 1;
            removed.1 += artifact.bytes;
        }
        self.delete(&self.body(id, name)).await
    }

    /// No error if it is not there.
    async fn delete(&self, path: &Path) -> Result<(), Fault> {
        match self.store.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The store's own words go to the log: they may hold names of hosts and buckets.
#[allow(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn failed(error: Error) -> Fault {
    tracing::warn!(%error, "object storage");
    Fault { retry_after: Some(5), ..Fault::new(Code::Unavailable, "the place for files cannot be reached") }
}
