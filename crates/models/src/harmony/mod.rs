//! Four-part harmony.

mod config;

pub use config::HarmonyConfig;
