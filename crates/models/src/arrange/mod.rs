//! Accompaniment: a bass and a piano under a melody and its chords.
//!
//! A request says of each part who makes it: nobody, the model ([`Arranger`], which writes under a grammar,
//! [`partita_tokens::song::BandGrammar`]), or a rule of ours ([`rules`]). Rules are no model: what they make is told
//! apart in [`Arrangement::made`], and they need no weights.

mod arranger;
mod config;
mod error;
mod request;
pub mod rules;
mod score;
mod verify;
mod who;
mod within;
mod write;

pub use arranger::Arranger;
pub use config::ArrangeConfig;
pub use error::Error;
pub use request::{BassAt, Make, Request};
pub use rules::{BassRule, CompRule, Manner, Rule};
pub(crate) use score::{part_track, tick};
pub use verify::{random_piece, random_request, violations};
pub use who::{Players, Who};
pub use within::{Source, read_parts, source, splice};
pub use write::{Arrangement, Made, arrange_by_rule};
