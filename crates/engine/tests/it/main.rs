//! What the crate promises to front ends, with real files and models.

mod artifact;
mod cache;
#[cfg(feature = "cloud")]
mod cloud;
mod config;
mod engine;
mod family;
mod registry;
mod request;
mod worker;
