//! A running server for the checks that call it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::repository::Repository;
use crate::shell::{run, target, workspace};

/// `partita serve` on a free port, in a folder of its own; both are gone when it is dropped.
pub struct Server {
    child: Child,
    pub url: String,
    pub folder: PathBuf,
}

impl Server {
    /// Builds and starts it.
    ///
    /// # Errors
    /// A build that fails, or what the server said instead of listening.
    pub fn start(repository: &Repository, name: &str) -> Result<Server, String> {
        // As part of the workspace, so that what the tests built serves here too.
        run(&mut workspace(repository, "build", &["--bins"]))?;
        let folder = std::env::temp_dir().join(format!("partita-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let program =
            target(repository).join("debug").join(format!("partita{}", std::env::consts::EXE_SUFFIX));
        let mut command = Command::new(&program);
        command
            .args(["serve", "--port", "0", "--set", "log.level=error", "--data-dir"])
            .arg(folder.join("data"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let mut server = Server { child, url: String::new(), folder };
        let mut lines = BufReader::new(server.child.stderr.take().ok_or("no pipe")?).lines();
        let mut said = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            if let Some(url) = line.strip_prefix("listening on ") {
                url.trim().clone_into(&mut server.url);
                // Somebody must read on, or the pipe fills up and the server waits.
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
                return Ok(server);
            }
            said.push(line);
        }
        Err(format!("the server did not start: {}", said.join("\n")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
