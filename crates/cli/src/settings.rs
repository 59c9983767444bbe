//! Where the server's configuration comes from: a file, the environment, and flags.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use partita_engine::config::{Invalid, Sources};
use partita_engine::{Config, Live};

use crate::error::{Error, Kind, Result};
use crate::session::Session;

/// Options of every command that reads the configuration.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Configuration")]
pub struct Settings {
    /// YAML file; config/partita.yaml of the repository shows every key
    #[arg(long, value_name = "FILE", env = "PARTITA_CONFIG")]
    pub config: Option<PathBuf>,
    /// One key, as in server.sync_wait=5; may be given again. Others on this machine can read a command line: passwords
    /// and secrets belong in the file, or in a variable as PARTITA_WEBHOOKS__SECRET
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Folder for tasks, files and keys
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where tasks wait: sqlite, :memory:, or redis://HOST:PORT/DB; rediss:// for TLS
    #[arg(long, value_name = "URL")]
    pub queue: Option<String>,
}

impl Settings {
    /// The sources, with `flags` of the command itself last.
    pub fn sources(&self, flags: Vec<(&str, String)>) -> Sources {
        let mut all = self.set.clone();
        let own = [
            ("storage.data_dir", self.data_dir.as_ref().map(|path| path.display().to_string())),
            ("queue.url", self.queue.clone()),
        ];
        all.extend(own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        all.extend(flags.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Sources::of_process(self.config.clone(), all)
    }

    /// The configuration of a server or worker, which has a log.
    ///
    /// # Errors
    /// As [`Settings::live`].
    pub fn logged(&self, flags: &[(&str, String)], session: &Session) -> Result<Arc<Live>> {
        let live = self.live(flags.to_vec())?;
        match quieted(&live.get()).filter(|_| session.quiet) {
            Some(flag) => self.live(flags.iter().cloned().chain([flag]).collect()),
            None => Ok(live),
        }
    }

    /// The configuration.
    ///
    /// # Errors
    /// Every key that is wrong, in one message.
    pub fn live(&self, flags: Vec<(&str, String)>) -> Result<Arc<Live>> {
        if let Some(file) = &self.config
            && let Err(source) = std::fs::metadata(file)
        {
            return Err(Error::file("config", "read", file, &source));
        }
        Ok(Arc::new(Live::open(self.sources(flags)).map_err(|wrong| refused(&wrong))?))
    }
}

/// The key that `--quiet` changes: of the log only warnings and errors are left, or less where the configuration wants
/// less.
fn quieted(config: &Config) -> Option<(&'static str, String)> {
    let is_quiet = ["off", "error", "warn"].contains(&config.log.level.trim());
    (!is_quiet).then(|| ("log.level", "warn".to_owned()))
}

/// All that is wrong with a configuration, as one error.
fn refused(wrong: &[Invalid]) -> Error {
    let field = wrong.first().map_or_else(|| "config".to_owned(), |first| first.key.clone());
    let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    Error::new(Kind::Usage, field, lines.join("; "))
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("must be KEY=VALUE, got {text:?}"))?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// A runtime for commands that wait more than they work.
///
/// # Errors
/// When the system refuses threads.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8))
        .enable_all()
        .build()
        .map_err(|e| Error::failed(format!("no threads for the server: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_leaves_warnings_and_errors_or_what_is_quieter() {
        let of = |level: &str| {
            let mut config = Config::default();
            config.log.level = level.into();
            quieted(&config).map(|(_, level)| level)
        };
        for loud in ["info", "debug", "warn,partita_engine=debug"] {
            assert_eq!(of(loud).as_deref(), Some("warn"), "{loud}");
        }
        for quiet in ["warn", "error", "off"] {
            assert_eq!(of(quiet), None, "{quiet}");
        }
    }
}
