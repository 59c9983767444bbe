//! Every engine is held to the same facts: `suite` has them, one file an engine says how it is opened.

#[macro_use]
mod suite;
#[cfg(feature = "redis")]
mod redis;
mod sqlite;
