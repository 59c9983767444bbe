//! Tasks while they happen: as server-sent events and over WebSockets, from the same log.

pub mod create;
pub mod live;
pub mod permit;
pub mod socket;
pub mod sse;
mod watch;
