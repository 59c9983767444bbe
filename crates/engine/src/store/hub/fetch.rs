//! Fetching one file: from where it stopped, to its last byte, with its hash.

use std::fs::File;
use std::io::Write;

use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Method, StatusCode, Url};
use sha2::{Digest, Sha256};

use super::Hub;
use super::client::{Answer, Client, Retry, Trouble, reason, ticking};
use super::remote::Remote;
use crate::store::partial::{Ready, Slot, State};
use crate::store::watch::tell;
use crate::store::{Error, Event, Result, StoredFile, Watch, disk};

/// Fetches the files of a model one after another.
pub(super) struct Fetch<'a> {
    pub client: &'a Client<'a>,
    pub hub: &'a Hub,
    /// Bytes of the files before this one, and of all.
    pub done: u64,
    pub total: u64,
    /// Bytes that came over the network.
    pub fetched: u64,
}

/// A file being written.
pub(super) struct Sink<'a> {
    remote: &'a Remote,
    slot: &'a Slot,
    state: State,
    file: File,
    hasher: Sha256,
    pub length: u64,
    /// Whether bytes of an earlier process are in it.
    pub resumed: bool,
}

impl Fetch<'_> {
    /// Brings `remote` into `slot`.
    ///
    /// # Errors
    /// `Hash` and `Length` when the server sends something else than it promised: nothing of that is kept.
    /// `Unreachable`, `Refused`, `Redirect`, `NoSpace`, `Io`, `Cancelled`: what has come so far is kept.
    pub async fn file(
        &mut self,
        remote: &Remote,
        slot: &Slot,
        url: &Url,
        watch: &mut Watch<'_>,
    ) -> Result<Ready> {
        loop {
            let mut sink = Sink::open(remote, slot, self.total, self.done, watch)?;
            self.fill(&mut sink, url, watch).await?;
            // What an earlier process left may be damaged, as by a power cut; what came just now may not.
            let again = sink.resumed;
            match sink.finish() {
                Err(Error::Hash { .. }) if again => {}
                result => return result,
            }
        }
    }

    /// Fetches what is missing.
    async fn fill(&mut self, sink: &mut Sink<'_>, url: &Url, watch: &mut Watch<'_>) -> Result<()> {
        let mut retry = Retry::new(self.hub.patience);
        // A server that breaks off at the same place whenever it begins anew makes no progress.
        let mut furthest = sink.length;
        while sink.remote.bytes != Some(sink.length) {
            let result = self.attempt(sink, url, watch).await;
            if sink.length > furthest {
                furthest = sink.length;
                retry.progressed();
            }
            match result {
                Ok(()) => break,
                Err(trouble) => {
                    let file = &sink.remote.name;
                    let event = Event::Fetching { file, done: self.done + sink.length, total: self.total };
                    retry.pause(trouble, (url, sink.length > 0), watch, &event).await?;
                }
            }
        }
        Ok(())
    }

    /// One connection.
    async fn attempt(
        &mut self,
        sink: &mut Sink<'_>,
        url: &Url,
        watch: &mut Watch<'_>,
    ) -> Result<(), Trouble> {
        if sink.length > 0 && !sink.state.can_resume(sink.remote) {
            sink.restart()?;
        }
        let mut answer = self.request(sink, url, true, watch).await?;
        if answer.response.status() == StatusCode::OK && sink.length > 0 && sink.remote.sha256.is_some() {
            // Another machine of the same hub has another name for the same content. The hash will tell.
            answer = self.request(sink, url, false, watch).await?;
        }
        let whole = match answer.response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range =
                    answer.response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
                match range.and_then(read_range) {
                    Some((start, whole)) if start == sink.length => whole,
                    _ => {
                        sink.restart()?;
                        return Err(Trouble::passing("the server sends another part than it was asked for"));
                    }
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                sink.restart()?;
                return Err(Trouble::passing("the server has less than came before"));
            }
            StatusCode::OK => {
                if sink.length > 0 {
                    sink.restart()?;
                }
                answer.about.size
            }
            status => {
                let url = super::shown(url);
                return Err(Error::Refused { url, status: status.as_u16(), why: None }.into());
            }
        };
        sink.expect(whole)?;
        sink.remember(&answer)?;
        // Where the answer has no length, its end may be that of the connection alone.
        let whole = whole.or(sink.remote.bytes);
        self.stream(sink, answer, whole, watch).await
    }

    async fn request(
        &self,
        sink: &Sink<'_>,
        url: &Url,
        conditional: bool,
        watch: &mut Watch<'_>,
    ) -> Result<Answer, Trouble> {
        let mut headers = HeaderMap::new();
        if sink.length > 0 {
            let range = format!("bytes={}-", sink.length);
            headers.insert(RANGE, HeaderValue::try_from(range).expect("digits"));
            let validator = sink.state.validator.as_deref().filter(|_| conditional);
            if let Some(validator) = validator.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(IF_RANGE, validator);
            }
        }
        let event =
            Event::Fetching { file: &sink.remote.name, done: self.done + sink.length, total: self.total };
        self.client.send(&Method::GET, url, &headers, watch, &event).await
    }

    async fn stream(
        &mut self,
        sink: &mut Sink<'_>,
        answer: Answer,
        whole: Option<u64>,
        watch: &mut Watch<'_>,
    ) -> Result<(), Trouble> {
        let mut response = answer.response;
        loop {
            let event = |length| Event::Fetching {
                file: &sink.remote.name,
                done: self.done + length,
                total: self.total,
            };
            let chunk = ticking(response.chunk(), watch, &event(sink.length)).await?;
            match chunk.map_err(|error| Trouble::passing(reason(&error)))? {
                Some(chunk) => {
                    sink.write(&chunk)?;
                    self.fetched += chunk.len() as u64;
                    let done = self.done + sink.length;
                    tell(watch, &Event::Fetching { file: &sink.remote.name, done, total: self.total })?;
                }
                None if whole.is_some_and(|whole| sink.length < whole) => {
                    return Err(Trouble::passing("the connection ended before the file"));
                }
                None => return Ok(()),
            }
        }
    }
}

impl State {
    /// Whether bytes under this state can be a beginning of `remote`, and it can be found out whether they are.
    fn can_resume(&self, remote: &Remote) -> bool {
        let is_same = self.etag.is_some() && self.etag == remote.etag;
        is_same && (self.validator.is_some() || remote.sha256.is_some())
    }
}

impl<'a> Sink<'a> {
    /// Takes up what an earlier process left, if that is of the same content.
    pub fn open(
        remote: &'a Remote,
        slot: &'a Slot,
        total: u64,
        before: u64,
        watch: &mut Watch<'_>,
    ) -> Result<Sink<'a>> {
        let state = slot.state();
        let length = disk::length(&slot.part).unwrap_or(0);
        let fits = length > 0 && length <= remote.bytes.unwrap_or_else(|| remote.most());
        if !(fits && state.can_resume(remote)) {
            slot.clear()?;
        }
        let opened = File::options().create(true).read(true).append(true).open(&slot.part);
        let file = opened.map_err(|source| Error::io("write", &slot.part, source))?;
        let mut sink = Sink { remote, slot, state, file, hasher: Sha256::new(), length: 0, resumed: false };
        if fits && sink.state.can_resume(remote) {
            disk::hash(&slot.part, &mut sink.file, &mut sink.hasher, |chunk| {
                sink.length += chunk.len() as u64;
                tell(watch, &Event::Checking { file: &remote.name, done: before + sink.length, total })
            })?;
            sink.resumed = true;
        } else {
            sink.state = State { etag: remote.etag.clone(), ..State::default() };
            slot.save(&sink.state)?;
        }
        Ok(sink)
    }

    /// Throws away what came.
    pub fn restart(&mut self) -> Result<()> {
        disk::remove_file(&self.slot.part)?;
        let opened = File::options().create(true).append(true).open(&self.slot.part);
        self.file = opened.map_err(|source| Error::io("write", &self.slot.part, source))?;
        (self.hasher, self.length, self.resumed) = (Sha256::new(), 0, false);
        Ok(())
    }

    /// Checks the length that a server now says the whole file has.
    fn expect(&mut self, whole: Option<u64>) -> Result<()> {
        match (self.remote.bytes, whole) {
            (Some(expected), Some(got)) if expected != got => Err(self.wrong_length(expected, got)),
            (None, Some(got)) if got > self.remote.most() => Err(self.wrong_length(self.remote.most(), got)),
            _ => Ok(()),
        }
    }

    /// Keeps what the sending server calls this content: with that it is asked for the rest, also by a later process.
    fn remember(&mut self, answer: &Answer) -> Result<()> {
        // A weak one does not promise the same bytes.
        let validator = answer.about.etag.clone().filter(|etag| etag.starts_with('"'));
        if self.state.validator != validator {
            self.state.validator = validator;
            self.slot.save(&self.state)?;
        }
        Ok(())
    }

    /// Says that whoever sends the rest will be asked for this very content.
    #[cfg(feature = "cloud")]
    pub fn promise(&mut self) -> Result<()> {
        if self.state.validator != self.state.etag {
            self.state.validator = self.state.etag.clone();
            self.slot.save(&self.state)?;
        }
        Ok(())
    }

    pub fn write(&mut self, chunk: &[u8]) -> Result<()> {
        let length = self.length + chunk.len() as u64;
        let most = self.remote.bytes.unwrap_or_else(|| self.remote.most());
        if length > most {
            return Err(self.wrong_length(most, length));
        }
        self.file.write_all(chunk).map_err(|source| Error::io("write", &self.slot.part, source))?;
        self.hasher.update(chunk);
        self.length = length;
        Ok(())
    }

    /// Checks the whole file, makes it durable and gives it its final name.
    pub fn finish(self) -> Result<Ready> {
        let Sink { remote, slot, state, file, hasher, length, .. } = self;
        if let Some(expected) = remote.bytes.filter(|expected| *expected != length) {
            slot.clear()?;
            return Err(Error::Length { file: remote.name.clone(), expected, got: length });
        }
        let got = disk::digits(hasher);
        if let Some(expected) = remote.sha256.clone().filter(|expected| *expected != got) {
            slot.clear()?;
            return Err(Error::Hash { file: remote.name.clone(), expected, got });
        }
        file.sync_all().map_err(|source| Error::io("write", &slot.part, source))?;
        slot.finish(state, &got)?;
        let etag = remote.etag.clone();
        let file = StoredFile { name: remote.name.clone(), bytes: length, sha256: got, etag };
        Ok(Ready { file, done: slot.done.clone() })
    }

    /// The file is not what was promised; nothing of it is of use.
    fn wrong_length(&mut self, expected: u64, got: u64) -> Error {
        let error = Error::Length { file: self.remote.name.clone(), expected, got };
        self.slot.clear().err().unwrap_or(error)
    }
}

/// Start and whole length in a `Content-Range`: `bytes 5-9/10`, with `*` for a length that the server does not know.
fn read_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.trim().parse().ok()?;
    let whole = match whole.trim() {
        "*" => None,
        whole => Some(whole.parse().ok()?),
    };
    Some((start, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_servers_write_them() {
        assert_eq!(read_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(read_range("bytes 5-9/*"), Some((5, None)));
        for text in ["", "bytes */10", "bytes 5/10", "items 5-9/10", "bytes -9/10", "bytes 5-9/x"] {
            assert_eq!(read_range(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_beginning_of_the_same_content_is_gone_on_with() {
        let state = |etag: Option<&str>, validator: Option<&str>| State {
            etag: etag.map(str::to_owned),
            validator: validator.map(str::to_owned),
            sha256: None,
        };
        let remote = |etag: Option<&str>, sha256: Option<&str>| Remote {
            name: "f".into(),
            bytes: None,
            etag: etag.map(str::to_owned),
            sha256: sha256.map(str::to_owned),
        };
        let strong = Some("\"v\"");
        assert!(state(Some("a"), strong).can_resume(&remote(Some("a"), None)));
        assert!(state(Some("a"), None).can_resume(&remote(Some("a"), Some("a"))));
        assert!(!state(Some("a"), strong).can_resume(&remote(Some("b"), None)), "changed since");
        assert!(!state(None, strong).can_resume(&remote(None, None)), "nobody knows what it was");
        assert!(!state(Some("a"), None).can_resume(&remote(Some("a"), None)), "nobody could check it");
    }
}
