//! Requests for music become jobs, jobs become results: everything between a front end and the models.
//!
//! A front end hands a [`Request`] to [`Engine::submit`]; it is checked, its model chosen, and stored as a job.
//! Workers claim jobs, get the model from the [`Registry`], play, write files to the [`Artifacts`] and end the job.
//!
//! **Invariant:** only this crate starts compute threads; async code never computes.
#![forbid(unsafe_code)]

pub mod artifact;
pub mod cache;
pub mod config;
mod engine;
pub mod family;
mod fault;
pub mod registry;
pub mod request;
mod result;
pub mod sequence;
pub mod store;
mod worker;

pub use artifact::{Artifact, Artifacts};
pub use cache::Cache;
pub use config::{Config, Live};
pub use engine::{
    Accepted, Cleaned, Engine, Follow, Numbers, Options, Order, Player, TRACE, TaskNumbers, open_keys,
    rfc3339,
};
pub use fault::{Code, Fault, Problem};
pub use registry::{ModelInfo, Registry};
pub use request::Request;
pub use result::{AnalysedTrack, Analysis, ChordAt, Counts, File, Item, Metrics, Note, Outcome, Take};
