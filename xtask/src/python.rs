//! Tools from PyPI, each in an environment of its own under the target folder.

use std::path::PathBuf;
use std::process::Command;

use crate::repository::Repository;
use crate::shell::{finish, run, target};

/// The program `name` of `package` (`name==version`), installed if it is not there yet.
///
/// # Errors
/// No Python with `venv`, or a package that cannot be fetched.
pub fn tool(repository: &Repository, package: &str, name: &str) -> Result<PathBuf, String> {
    let home = target(repository).join("tools").join(package.replace("==", "-").replace(['[', ']'], "-"));
    let program = home.join("bin").join(name);
    let done = home.join("installed");
    if done.is_file() && finish(Command::new(&program).arg("--version")).is_ok() {
        return Ok(program);
    }
    println!("installing {package} into {}", home.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home)).map_err(|error| {
        format!("{error}\nPython with venv is needed: `apt-get install python3 python3-venv`")
    })?;
    run(Command::new(home.join("bin").join("pip")).args(["install", "--quiet", package]))?;
    std::fs::write(&done, package).map_err(|error| format!("{}: {error}", done.display()))?;
    Ok(program)
}
