//! The API does what its description says: schemathesis calls a running server with what the description allows, and
//! with what it forbids.

use std::process::Command;

use crate::python;
use crate::repository::Repository;
use crate::server::Server;
use crate::shell::run;

const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// Cases a route and phase: enough to find what is wrong, few enough for every run.
const EXAMPLES: &str = "30";

pub fn check(repository: &Repository) -> Result<(), String> {
    let schemathesis = python::tool(repository, SCHEMATHESIS, "st")?;
    let server = Server::start(repository, "api")?;
    let description = format!("{}/api/v1/openapi.json", server.url);
    let arguments =
        ["--checks", "all", "--max-examples", EXAMPLES, "--workers", "2", "--seed", "1", "--no-color"];
    // A folder of its own: schemathesis keeps notes between runs where it stands.
    run(Command::new(schemathesis).args(["run", &description]).args(arguments).current_dir(&server.folder))
}
