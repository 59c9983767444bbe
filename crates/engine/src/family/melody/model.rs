//! A writer in memory.

use std::sync::Arc;

use partita_models::melody::Writer;
use partita_models::stage::{Counts, Shared, share};
use partita_nn::Precision;

use crate::Fault;
use crate::family::model::{Description, broken, compute};
use crate::family::stage::Stage;

/// A writer's weights and the decoder its requests share.
pub struct Model {
    writer: Arc<Writer>,
    /// Writers that decide with it.
    others: usize,
    stage: Stage<Shared>,
    description: Description,
}

impl Model {
    /// `files`: `model.json` and `model.safetensors`; `None` for the writer inside the program.
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
            None => Writer::bundled(precision),
            Some((config, weights)) => Writer::load(name, &config, &weights, precision),
        };
        let writer = loaded.map_err(|error| broken(name, error))?;
        Model::start(name, writer, 0, description)
    }

    /// This writer and others, which decide together, on a decoder of their own. Their networks are not copied.
    ///
    /// # Errors
    /// `ModelBroken` for other styles; `Internal` when there is no thread to be had.
    pub(crate) fn mixed(&self, others: &[(Writer, f32)]) -> Result<Model, Fault> {
        let mixed = Writer::clone(&self.writer).mixed(1.0, others).map_err(|error| broken("mix", error))?;
        Model::start("mix", mixed, others.len(), self.description.clone())
    }

    /// Starts the loop that requests share.
    fn start(name: &str, writer: Writer, others: usize, description: Description) -> Result<Model, Fault> {
        let writer = Arc::new(writer);
        let (player, steps) = share(writer.network(), compute()?);
        let stage = Stage::start(name, player, move || steps.run())?;
        Ok(Model { writer, others, stage, description })
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.writer.memory_bytes() as u64
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    pub(crate) fn writer(&self) -> &Arc<Writer> {
        &self.writer
    }

    pub(crate) fn others(&self) -> usize {
        self.others
    }

    pub(crate) fn player(&self) -> &Shared {
        self.stage.player()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.player().counts()
    }
}
