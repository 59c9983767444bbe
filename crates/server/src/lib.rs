//! The engine over HTTP: routes, streams, keys and limits, metrics, and the calls that tell others of an end.
//!
//! A handler reads the request into the engine's types, asks the [`Engine`](partita_engine::Engine), and writes what
//! came of it. What music is, and when it is made, is for the crates below.
//!
//! **Invariant:** only this crate knows HTTP; every error it answers with comes from the table in [`problem`].
#![forbid(unsafe_code)]

pub mod app;
pub mod audit;
pub mod guard;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod openapi;
pub mod problem;
pub mod router;
mod routes;
pub mod serve;
mod signal;
mod stream;
pub mod webhook;
pub mod wire;

pub use app::App;
pub use router::router;
pub use serve::{ServeError, serve, work};
