//! Music <-> token ids, one folder a format, and the grammars that turn demands into masks.
//!
//! Tokens know nothing of networks: a grammar answers which token may follow, and every demand a user
//! makes (bars, metre, kit, range) is part of that answer.
#![forbid(unsafe_code)]

pub mod drums;
