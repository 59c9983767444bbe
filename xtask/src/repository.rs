//! The working tree: where it is and which files belong to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::output;

pub struct Repository {
    pub root: PathBuf,
}

impl Repository {
    /// The tree this program belongs to.
    ///
    /// # Errors
    /// A root without a `Cargo.toml`.
    pub fn open() -> Result<Repository, String> {
        // `cargo run` sets the variable, which is right even if the tree moved after the build.
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = own.parent().map(Path::to_path_buf).unwrap_or_default();
        if root.join("Cargo.toml").is_file() {
            Ok(Repository { root })
        } else {
            Err(format!(
                "no Cargo.toml in {}: run this as `cargo xtask` inside the repository",
                root.display()
            ))
        }
    }

    /// Files git tracks or would track, relative to the root, with `/` between folders.
    pub fn files(&self) -> Result<Vec<String>, String> {
        let mut git = Command::new("git");
        git.current_dir(&self.root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = output(&mut git)?;
        let mut files: Vec<String> =
            listed.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        files.retain(|name| self.root.join(name).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The text of a file; `None` if it is not UTF-8.
    pub fn text(&self, file: &str) -> Result<Option<String>, String> {
        let bytes = fs::read(self.root.join(file)).map_err(|error| format!("{file}: {error}"))?;
        Ok(String::from_utf8(bytes).ok())
    }
}
