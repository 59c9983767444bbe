//! The API over real connections, with a real engine behind it.

mod fixture;
mod generate;
mod operations;
mod quotas;
mod refusals;
mod sound;
mod streams;
mod system;
mod tasks;
