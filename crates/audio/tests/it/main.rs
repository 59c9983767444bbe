//! The audio crate from outside: what a listener and a meter would check.

mod drums;
mod helpers;
mod opus;
mod read;
mod score;
mod soundfont;
