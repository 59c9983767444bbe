//! What goes over the wire: bodies and headers read into types, and types written into answers.

pub mod accept;
pub mod body;
pub mod disposition;
pub mod etag;
pub mod form;
pub mod page;
pub mod params;
pub mod prefer;
pub mod range;
mod shape;
pub mod spoken;
pub mod task;
pub mod time;
