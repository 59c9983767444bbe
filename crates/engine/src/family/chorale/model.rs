//! A harmonizer in memory.

use std::sync::atomic::{AtomicU64, Ordering};

use partita_models::harmony::Harmonizer;
use partita_models::stage::Counts;
use partita_nn::Precision;

use crate::Fault;
use crate::family::model::{Description, broken};

/// A harmonizer's weights. Each request has its own decoder: a chorale takes a fraction of a second.
pub struct Model {
    harmonizer: Harmonizer,
    description: Description,
    written: AtomicU64,
}

impl Model {
    /// `files`: `model.json` and `model.safetensors`; `None` for the chorales inside the program.
    ///
    /// # Errors
    /// `ModelBroken`.
    pub(crate) fn load(
        name: &str,
        files: Option<(Vec<u8>, Vec<u8>)>,
        precision: Precision,
        description: Description,
    ) -> Result<Model, Fault> {
        let loaded = match files {
            None => Harmonizer::bundled(precision),
            Some((config, weights)) => Harmonizer::load(name, &config, &weights, precision),
        };
        let harmonizer = loaded.map_err(|error| broken(name, error))?;
        Ok(Model { harmonizer, description, written: AtomicU64::new(0) })
    }

    pub(crate) fn harmonizer(&self) -> &Harmonizer {
        &self.harmonizer
    }

    /// Counts tokens that were written.
    pub(crate) fn count(&self, tokens: u64) {
        self.written.fetch_add(tokens, Ordering::Relaxed);
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.harmonizer.memory_bytes() as u64
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts { tokens: self.written.load(Ordering::Relaxed), ..Counts::default() }
    }
}
