//! What the crate promises to front ends, with real files and models.

mod arrange;
mod artifact;
mod cache;
mod chorale;
#[cfg(feature = "cloud")]
mod cloud;
mod config;
mod engine;
mod ensemble;
#[cfg(feature = "hub")]
mod fake_hub;
mod family;
#[cfg(feature = "hub")]
mod magenta_store;
mod melody;
mod musicgen;
mod registry;
mod request;
mod sequence;
mod song;
#[cfg(feature = "hub")]
mod store;
mod worker;
