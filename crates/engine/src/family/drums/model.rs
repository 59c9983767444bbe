//! A drummer in memory.

use std::sync::Arc;

use partita_models::drums::Drummer;
use partita_models::stage::{Counts, Shared, share};
use partita_nn::Precision;

use crate::Fault;
use crate::family::model::{Description, broken, compute};
use crate::family::stage::Stage;

/// A drummer's weights and the decoder its requests share.
pub struct Model {
    drummer: Arc<Drummer>,
    stage: Stage<Shared>,
    description: Description,
}

impl Model {
    /// `files`: `model.json` and `model.safetensors`; `None` for the drummer inside the program.
    ///
    /// # Errors
    /// `ModelBroken`; `Internal` when there is no thread to be had.
    pub(crate) fn load(
        name: &str,
        files: Option<(Vec<u8>, Vec<u8>)>,
        precision: Precision,
        description: Description,
    ) -> Result<Model, Fault> {
        let loaded = match files {
            None => Drummer::bundled(precision),
            Some((config, weights)) => Drummer::load(name, &config, &weights, precision),
        };
        let drummer = Arc::new(loaded.map_err(|error| broken(name, error))?);
        let (player, steps) = share(drummer.network(), compute()?);
        let stage = Stage::start(name, player, move || steps.run())?;
        Ok(Model { drummer, stage, description })
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.drummer.memory_bytes() as u64
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    pub(crate) fn drummer(&self) -> &Arc<Drummer> {
        &self.drummer
    }

    pub(crate) fn player(&self) -> &Shared {
        self.stage.player()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.player().counts()
    }
}
