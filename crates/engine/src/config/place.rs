//! Where things are kept when the configuration does not say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Config;

impl Config {
    /// Folder for everything the server keeps: `storage.data_dir`, or the system's place for data of programs.
    pub fn data_dir(&self) -> PathBuf {
        if !self.storage.data_dir.as_os_str().is_empty() {
            return self.storage.data_dir.clone();
        }
        system_data_dir(std::env::consts::OS, |name| std::env::var_os(name))
    }

    /// File that holds tasks and API keys; `None` when they are in Redis or in memory.
    pub fn store_file(&self) -> Option<PathBuf> {
        match self.queue.url.as_str() {
            "sqlite" => Some(self.data_dir().join("tasks.sqlite3")),
            url => url.strip_prefix("sqlite:").map(PathBuf::from),
        }
    }

    /// Folder for files of results; `None` when they go to object storage.
    pub fn files_dir(&self) -> Option<PathBuf> {
        match self.storage.files.as_str() {
            "" => Some(self.data_dir().join("files")),
            place if place.contains("://") => None,
            folder => Some(Path::new(folder).to_owned()),
        }
    }

    /// Folder whose subfolders hold models.
    pub fn models_dir(&self) -> PathBuf {
        if self.models.dir.as_os_str().is_empty() {
            self.data_dir().join("models")
        } else {
            self.models.dir.clone()
        }
    }
}

/// The place of `system` (`linux`, `windows`, `macos`, ...) for data, from its environment.
fn system_data_dir(system: &str, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let folder = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG rules: a relative path there counts as none.
    let place = match system {
        "windows" => folder("LOCALAPPDATA"),
        "macos" => folder("HOME").map(|home| home.join("Library").join("Application Support")),
        _ => folder("XDG_DATA_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| folder("HOME").map(|home| home.join(".local").join("share"))),
    };
    place.map_or_else(|| PathBuf::from("partita-data"), |place| place.join("partita"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_place() {
        let with = |system: &str, set: &[(&str, &str)]| {
            system_data_dir(system, |name| {
                set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into())
            })
        };
        let path = |text: &str| PathBuf::from(text);
        assert_eq!(with("linux", &[("HOME", "/h")]), path("/h/.local/share/partita"));
        assert_eq!(with("linux", &[("HOME", "/h"), ("XDG_DATA_HOME", "/x")]), path("/x/partita"));
        assert_eq!(with("linux", &[("HOME", "/h"), ("XDG_DATA_HOME", "x")]), path("/h/.local/share/partita"));
        assert_eq!(with("macos", &[("HOME", "/h")]), path("/h/Library/Application Support/partita"));
        assert_eq!(with("windows", &[("LOCALAPPDATA", "/l")]), path("/l/partita"));
        assert_eq!(with("linux", &[("HOME", "")]), path("partita-data"));
    }

    #[test]
    fn what_is_set_goes_before_the_systems_place() {
        let mut config = Config::default();
        config.storage.data_dir = "/data".into();
        assert_eq!(config.store_file(), Some(PathBuf::from("/data/tasks.sqlite3")));
        assert_eq!(config.files_dir(), Some(PathBuf::from("/data/files")));
        assert_eq!(config.models_dir(), PathBuf::from("/data/models"));
        config.storage.files = "s3://bucket".into();
        config.models.dir = "/models".into();
        assert_eq!(config.files_dir(), None);
        config.queue.url = "redis://localhost".into();
        assert_eq!(config.models_dir(), PathBuf::from("/models"));
        assert_eq!(config.store_file(), None);
    }
}
