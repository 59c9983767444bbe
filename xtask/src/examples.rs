//! The examples run, against a real server, as their first lines say.

use std::process::Command;

use crate::repository::Repository;
use crate::server::Server;
use crate::shell::run;

pub fn check(repository: &Repository) -> Result<(), String> {
    let examples = repository.root.join("examples");
    let typescript = examples.join("typescript");
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&typescript))?;
    run(Command::new("npm").args(["run", "build"]).current_dir(&typescript))?;
    let server = Server::start(repository, "examples")?;
    let here = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(&server.folder);
        command
    };
    run(here("bash").arg(examples.join("curl.sh")).arg(&server.url))?;
    run(here("python3").arg(examples.join("python").join("generate.py")).arg(&server.url))?;
    run(here("node").arg(typescript.join("dist").join("generate.js")).arg(&server.url))
}
