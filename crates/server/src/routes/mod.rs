//! One file a group of routes; `call` and `submit` are what those that make tasks share.

pub mod batch;
pub mod call;
pub mod compat;
pub mod docs;
pub mod download;
pub mod generate;
pub mod health;
pub mod models;
pub mod sound;
pub mod submit;
pub mod system;
pub mod tasks;
pub mod uploads;
pub mod verbs;
