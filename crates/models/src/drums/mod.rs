//! The drummer: a decoder over drum tokens with a learned vector a style.
//!
//! A request is checked (`request`), given its style (`style`), cut into token sequences under grammars
//! (`generate`, `humanize`) and played by the network, many sequences a pass ([`crate::stage`]). What is played is told
//! bar by bar (`watch`).

mod config;
mod drummer;
mod error;
mod generate;
mod humanize;
mod likelihood;
mod request;
mod style;
mod watch;

pub use config::DrumsConfig;
pub use drummer::Drummer;
pub use error::Error;
pub use generate::Take;
pub use humanize::{Expression, Performed, Stroke};
pub use request::{ALL_LANES, Common, Continue, Generate, Humanize, Infill, Lanes, Sampling, lanes_of};
pub use style::{Profile, Style, all_styles};
pub use watch::{NewBar, Progress, Watch};
