//! Where the store of models is, and what it says when something is wrong.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::ProgressBar;
use partita_engine::Config;
use partita_engine::store::{Error as StoreError, Event, Hub, Installed, Store, Watch, catalogue};

use crate::error::{Error, Kind, Result};
use crate::output::write_stderr;
use crate::session::Session;
use crate::settings::Settings;
use crate::{cancel, progress};

/// Options of every command that uses the store.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Store")]
pub struct Place {
    /// YAML file of the server's configuration, which may say where data is kept
    #[arg(long, value_name = "FILE", env = "PARTITA_CONFIG")]
    config: Option<PathBuf>,
    /// Folder for data; models are in `store` under it
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    /// # Errors
    /// A configuration that is wrong.
    pub fn store(&self) -> Result<Store> {
        Ok(Store::of(&*self.settings()?))
    }

    /// The model `name` of the store; where the configuration says so, it is fetched first.
    ///
    /// # Errors
    /// As [`Store::find`] and [`Store::pull`].
    pub fn find(&self, session: &Session, name: &str) -> Result<Installed> {
        let config = self.settings()?;
        let store = Store::of(&config);
        if !config.models.auto_pull {
            return Ok(store.find(name)?);
        }
        let hub = Hub::from_env(|name| std::env::var_os(name))?;
        Ok(watched(session, |watch| store.find_or_pull(name, &hub, watch))?)
    }

    fn settings(&self) -> Result<Arc<Config>> {
        let (config, data_dir) = (self.config.clone(), self.data_dir.clone());
        let settings = Settings { config, set: vec![], data_dir, queue: None };
        Ok(settings.live(vec![])?.get())
    }
}

/// Runs long `work` on the store with a bar of bytes, and stops it at Ctrl-C.
///
/// # Errors
/// Those of `work`.
pub fn watched<T>(
    session: &Session,
    work: impl FnOnce(&mut Watch<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    cancel::listen();
    let template =
        "{bar:30} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  ETA {eta}  {msg}";
    let bar = progress::bar(session, 0, template);
    let mut shown = Shown { bar: bar.clone(), session, waits: false, fetching: String::new() };
    let result = work(&mut |event| {
        shown.show(event);
        cancel::flow()
    });
    bar.finish_and_clear();
    result
}

/// What of a piece of work is on the screen.
struct Shown<'a> {
    bar: ProgressBar,
    session: &'a Session,
    /// Whether it was said that another process is waited for.
    waits: bool,
    /// The file that comes over the network, empty while none does.
    fetching: String,
}

impl Shown<'_> {
    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Waiting if !self.waits => {
                self.waits = true;
                self.say("another process works on this model; waiting for it");
            }
            Event::Waiting => {}
            Event::Asking { file } => self.bar.set_message((*file).to_owned()),
            Event::Checking { file, done, total } => {
                self.bar.set_message(format!("checking {file}"));
                self.put(*done, *total);
                self.fetching.clear();
            }
            Event::Fetching { file, done, total } => {
                self.put(*done, *total);
                // Small files and what is read from the disk say nothing of the network.
                if self.fetching != *file {
                    self.bar.reset_eta();
                    (*file).clone_into(&mut self.fetching);
                    self.bar.set_message(self.fetching.clone());
                }
            }
            Event::Retrying { why, pause } => {
                self.say(&format!("{why}; trying again in {} s", pause.as_secs_f64().ceil()));
            }
        }
    }

    fn put(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// A line above the bar.
    fn say(&self, text: &str) {
        if !self.session.quiet {
            self.bar.suspend(|| drop(write_stderr(&format!("{}\n", crate::report::tame(text)))));
        }
    }
}

/// A watch for work that is done in a moment.
pub fn at_once(_: &Event<'_>) -> ControlFlow<()> {
    cancel::flow()
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    catalogue::readable(bytes)
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        use StoreError as Store;
        let message = crate::report::tame(&error.to_string());
        let told = |kind, field: &str| Error::new(kind, field, &message);
        match &error {
            Store::Name { .. } => told(Kind::Usage, "name"),
            Store::Setting { what, .. } => told(Kind::Usage, &what.to_lowercase()),
            Store::Token => told(Kind::Usage, "HF_TOKEN"),
            Store::Licence { .. } => told(Kind::Usage, "accept-licence"),
            Store::Exists { .. } => told(Kind::Failed, "name"),
            Store::Unknown { .. } | Store::NotInstalled { .. } | Store::Offline { .. } => {
                told(Kind::NotFound, "name")
            }
            Store::Unreachable { .. } => told(Kind::Unreachable, "endpoint"),
            Store::Refused { status: 404, .. } => Error { kind: Kind::NotFound, ..Error::failed(message) },
            Store::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Error { kind: Kind::NotFound, ..Error::failed(message) }
            }
            Store::Cancelled if cancel::requested() => {
                let message =
                    "interrupted; what has come so far is kept, the same command goes on from there";
                Error { kind: Kind::Interrupted, ..Error::failed(message) }
            }
            Store::Cancelled => Error { kind: Kind::Cancelled, ..Error::failed(message) },
            _ => Error::failed(message),
        }
    }
}
