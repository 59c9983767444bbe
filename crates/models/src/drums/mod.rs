//! The drummer: a decoder over drum tokens with a learned vector a style.
//!
//! A request is checked (`request`), given its style (`style`), cut into token sequences under grammars
//! (`generate`, `humanize`) and played by the network, many sequences a pass (`decode`).

mod config;
mod decode;
mod drummer;
mod error;
mod generate;
mod humanize;
mod likelihood;
mod request;
mod style;

pub use config::DrumsConfig;
pub use decode::{Progress, Watch};
pub use drummer::{Compute, Drummer};
pub use error::Error;
pub use generate::Take;
pub use humanize::{Expression, Performed, Stroke};
pub use request::{ALL_LANES, Common, Continue, Generate, Humanize, Infill, Lanes, Sampling, lanes_of};
pub use style::{Profile, Style};
