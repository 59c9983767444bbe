//! The program from outside: exit codes, messages, files and bytes.

mod arrange;
mod audio;
mod bad_input;
mod check;
mod chorale;
#[cfg(unix)]
mod clock;
#[cfg(unix)]
mod crash;
mod editing;
#[cfg(unix)]
mod encrypted;
#[path = "../../../engine/tests/it/fake_hub.rs"]
#[allow(dead_code, reason = "the engine's tests use the rest")]
mod fake_hub;
#[cfg(target_os = "linux")]
mod full;
mod generating;
mod latent;
mod melody;
mod miditok_gpt;
#[cfg(unix)]
mod operations;
#[cfg(unix)]
mod outage;
mod pull;
mod run;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod settings;
#[cfg(unix)]
mod shared;
mod showing;
#[cfg(unix)]
mod sound;
#[cfg(all(unix, feature = "otel"))]
mod traces;
