//! An arranger in memory.

use std::sync::Arc;

use partita_models::arrange::Arranger;
use partita_models::stage::{Counts, Shared, share};
use partita_nn::Precision;

use crate::Fault;
use crate::family::model::{Description, broken, compute};
use crate::family::stage::Stage;

/// An arranger's weights and the decoder its requests share.
pub struct Model {
    arranger: Arc<Arranger>,
    stage: Stage<Shared>,
    description: Description,
}

impl Model {
    /// `files`: `model.json` and `model.safetensors`; `None` for the accompaniments inside the program.
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
            None => Arranger::bundled(precision),
            Some((config, weights)) => Arranger::load(name, &config, &weights, precision),
        };
        let arranger = Arc::new(loaded.map_err(|error| broken(name, error))?);
        let (player, steps) = share(arranger.network(), compute()?);
        let stage = Stage::start(name, player, move || steps.run())?;
        Ok(Model { arranger, stage, description })
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.arranger.memory_bytes() as u64
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    pub(crate) fn arranger(&self) -> &Arc<Arranger> {
        &self.arranger
    }

    pub(crate) fn player(&self) -> &Shared {
        self.stage.player()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.player().counts()
    }
}
