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
    let settings = repository.root.join("api").join("schemathesis.toml");
    let mut call = Command::new(schemathesis);
    call.arg("--config-file").arg(settings).args(["run", &description, "--checks", "all"]);
    // It takes DELETE of a task for its end as a resource; here a cancelled task can still be read.
    call.args(["--exclude-checks", "use_after_free"]);
    call.args(["--max-examples", EXAMPLES, "--workers", "2", "--seed", "1", "--no-color"]);
    // A folder of its own: schemathesis keeps notes between runs where it stands.
    run(call.current_dir(&server.folder))
}
