//! Bach's chorales: the data set, sequences to learn from, and Table C.

mod copies;
mod data;
mod draw;
mod evaluate;
mod floor;
mod source;

pub use copies::{Copies, copies};
pub use data::{Chorale, Chorales, Error};
pub use evaluate::{TableC, table_c};
pub use floor::{Floor, floor};
pub use source::{ChoraleSource, example, windows};
