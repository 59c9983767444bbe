//! What the hub has, before anything is fetched.

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

use super::Hub;
use super::client::{About, Client, Retry, Trouble};
use crate::store::{Error, Event, Model, Result, Watch, disk};

/// A file of the hub.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Remote {
    pub name: String,
    /// `None` if the server does not say.
    pub bytes: Option<u64>,
    /// What the server calls this content, or since when it has been so.
    pub etag: Option<String>,
    /// What the content must hash to: the hub names large files by it.
    pub sha256: Option<String>,
}

/// All files of a model at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Repository {
    pub files: Vec<Remote>,
    pub commit: Option<String>,
}

/// Asks about every file of `model`.
///
/// # Errors
/// `Refused`, `Unreachable`, `Redirect`, `Content`; `Changed` if files come from different commits again and again.
pub(super) async fn ask(
    client: &Client<'_>,
    hub: &Hub,
    model: &Model,
    watch: &mut Watch<'_>,
) -> Result<Repository> {
    // Somebody may just be pushing a commit.
    for _ in 0..3 {
        let (mut files, mut commits) = (vec![], vec![]);
        for file in &model.files {
            let about = head(client, hub, model, file, watch).await?;
            commits.push(about.commit.clone().filter(|commit| is_commit(commit)));
            files.push(Remote::new(file, &about)?);
        }
        commits.dedup();
        if let [commit] = commits.as_mut_slice() {
            return Ok(Repository { files, commit: commit.take() });
        }
    }
    Err(Error::Changed { repository: model.repository.clone() })
}

async fn head(
    client: &Client<'_>,
    hub: &Hub,
    model: &Model,
    file: &str,
    watch: &mut Watch<'_>,
) -> Result<About> {
    let url = hub.address(&model.repository, &hub.revision, file);
    describe(client, hub, &url, file, watch).await
}

/// What a server says of the file at `url`.
pub(super) async fn describe(
    client: &Client<'_>,
    hub: &Hub,
    url: &Url,
    file: &str,
    watch: &mut Watch<'_>,
) -> Result<About> {
    let mut retry = Retry::new(hub.patience);
    let event = Event::Asking { file };
    loop {
        match client.send(&Method::HEAD, url, &HeaderMap::new(), watch, &event).await {
            Ok(answer) => return Ok(answer.about),
            // A plain server of files may not know HEAD; the file itself will tell.
            Err(Trouble::Final(Error::Refused { status: 405 | 501, .. })) => return Ok(About::default()),
            Err(trouble) => retry.pause(trouble, (url, false), watch, &event).await?,
        }
    }
}

impl Remote {
    /// # Errors
    /// `Content` for a file that is too long to be one of a model.
    pub fn new(name: &str, about: &About) -> Result<Remote> {
        let linked = about.linked_etag.as_deref().map(bare);
        let sha256 = linked.filter(|etag| disk::is_sha256(etag)).map(str::to_owned);
        let etag = linked.or(about.etag.as_deref().map(bare)).filter(|etag| !etag.is_empty());
        // A plain server of files may have no tags; with the length, the time tells as much.
        let etag = etag.or(about.modified.as_deref()).map(str::to_owned);
        // No file of a model is empty: some servers answer HEAD with the length of what they send then.
        let bytes = about.linked_size.or(about.size).filter(|bytes| *bytes > 0);
        let remote = Remote { name: name.to_owned(), bytes, etag, sha256 };
        match bytes {
            Some(bytes) if bytes > remote.most() => {
                let why = format!("must have at most {} bytes, got {bytes}", remote.most());
                Err(Error::content(name, why))
            }
            _ => Ok(remote),
        }
    }

    /// A longer file is not fetched, whatever a server says or does not say.
    pub fn most(&self) -> u64 {
        if self.name.ends_with(".json") { 64 << 20 } else { 256 << 30 }
    }
}

/// An entity tag without quotes and without the mark of a weak one.
fn bare(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// Whether a text is a commit and so can stand in an address.
fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_elsewhere_is_described_by_the_link() {
        let hash = "ab".repeat(32);
        let about = About {
            linked_etag: Some(format!("\"{hash}\"")),
            linked_size: Some(2_000),
            etag: Some("\"other\"".into()),
            size: Some(7),
            modified: Some("then".into()),
            commit: None,
        };
        let remote = Remote::new("model.safetensors", &about).expect("good");
        assert_eq!((remote.bytes, remote.etag.as_deref()), (Some(2_000), Some(hash.as_str())));
        assert_eq!(remote.sha256.as_deref(), Some(hash.as_str()));
        // The tag of the server itself may look like a hash and be one of something else.
        let about =
            About { linked_etag: None, linked_size: None, etag: Some(format!("\"{hash}\"")), ..about };
        let remote = Remote::new("config.json", &about).expect("good");
        assert_eq!((remote.bytes, remote.etag, remote.sha256), (Some(7), Some(hash), None));
        let remote = Remote::new("config.json", &About { etag: None, ..about }).expect("good");
        assert_eq!((remote.bytes, remote.etag.as_deref()), (Some(7), Some("then")));
    }

    #[test]
    fn a_file_beyond_all_measure_is_refused_before_it_is_fetched() {
        let about = About { size: Some(65 << 20), ..About::default() };
        let error = Remote::new("config.json", &about).expect_err("too long").to_string();
        assert_eq!(error, format!("config.json must have at most {} bytes, got {}", 64 << 20, 65 << 20));
    }
}
