//! A MusicGen in memory.

use std::sync::Arc;

use partita_models::musicgen::{CacheUse, MusicGen, Precisions, Shared, share};
use partita_models::stage::{Compute, Counts};
use partita_nn::Precision;

use super::kind::{MEMORY, MusicKind, without};
use crate::Fault;
use crate::family::model::{Description, Stored, broken, compute};
use crate::family::stage::Stage;

/// The parts of a checkpoint, and the stage its requests share.
pub struct Model {
    stage: Stage<Shared>,
    description: Description,
    memory: u64,
    codebooks: u64,
}

impl Model {
    /// Loads all parts that a prompt needs. Its packed weights are taken from `stored.packed`, or kept there.
    ///
    /// # Errors
    /// `ModelBroken`; `Internal` when there is no thread to be had.
    pub(crate) fn load(
        name: &str,
        stored: &Stored,
        precision: Precision,
        kind: &MusicKind,
        description: Description,
    ) -> Result<Model, Fault> {
        let failed = |error: partita_models::musicgen::Error| {
            broken(name, without(&stored.folder, &error.to_string()))
        };
        let precisions = Precisions { weights: precision, kv: MEMORY };
        let model = MusicGen::open(&stored.folder, precisions).map_err(failed)?;
        let model = model.with_cache(stored.packed.clone());
        model.lm().map_err(failed)?;
        model.codec().map_err(failed)?;
        model.text().map_err(failed)?;
        if let Some(CacheUse::Failed(why)) = model.cache_use() {
            tracing::warn!(model = name, why, "packed weights cannot be kept; each load packs again");
        }
        let codebooks = model.config().decoder.num_codebooks as u64;
        let Compute { pool, path } = compute()?;
        let (player, steps) = share(Arc::new(model), pool, path, kind.clips(precision));
        let stage = Stage::start(name, player, move || steps.run())?;
        Ok(Model { stage, description, memory: kind.memory(precision), codebooks })
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    pub(crate) fn player(&self) -> &Shared {
        self.stage.player()
    }

    /// A code is a token.
    pub(crate) fn counts(&self) -> Counts {
        let counts = self.player().counts();
        Counts {
            steps: counts.steps,
            stepped: counts.stepped,
            tokens: counts.frames * self.codebooks,
            ..Counts::default()
        }
    }

    pub(crate) fn codebooks(&self) -> u64 {
        self.codebooks
    }
}
