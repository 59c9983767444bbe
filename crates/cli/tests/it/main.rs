//! The program from outside: exit codes, messages, files and bytes.

mod bad_input;
#[cfg(unix)]
mod clock;
#[cfg(unix)]
mod crash;
mod editing;
#[cfg(unix)]
mod encrypted;
#[cfg(target_os = "linux")]
mod full;
mod generating;
#[cfg(unix)]
mod operations;
#[cfg(unix)]
mod outage;
mod run;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod settings;
#[cfg(unix)]
mod shared;
mod showing;
#[cfg(all(unix, feature = "otel"))]
mod traces;
