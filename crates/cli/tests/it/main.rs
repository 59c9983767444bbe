//! The program from outside: exit codes, messages, files and bytes.

mod bad_input;
#[cfg(unix)]
mod clock;
#[cfg(unix)]
mod crash;
mod editing;
mod generating;
#[cfg(unix)]
mod operations;
#[cfg(unix)]
mod outage;
mod run;
#[cfg(unix)]
mod server;
mod showing;
