//! A model in memory, and what its `model.json` says of it before it is there.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use partita_kernels::Pool;
use partita_models::drums::{Compute, Counts, DrumsConfig};
use partita_nn::Precision;

use super::drums;
use crate::{Code, Fault};

/// Larger weights are refused before they are read.
const MAX_WEIGHTS: u64 = 4 << 30;
/// A larger `model.json` is none.
const MAX_CONFIG: u64 = 1 << 20;

/// Where a model's files are.
#[derive(Clone, Copy, Debug)]
pub enum ModelSource<'a> {
    /// Inside the program.
    Bundled,
    /// A folder with `model.json` and `model.safetensors`.
    Folder(&'a Path),
}

/// What a model says of itself, known without its weights.
#[derive(Clone, Debug)]
pub struct Description {
    /// `drums`, ...
    pub family: &'static str,
    /// Of its weights, hexadecimal.
    pub sha256: String,
    /// What it can be asked for.
    pub verbs: &'static [&'static str],
    pub(crate) kind: Kind,
}

/// The part of a description that only its family reads.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Drums(Arc<drums::kind::DrumsKind>),
}

impl Description {
    /// Names of its styles, learned ones first.
    pub fn styles(&self) -> Vec<String> {
        match &self.kind {
            Kind::Drums(kind) => kind.names(),
        }
    }
}

/// Reads a `model.json`. `name` appears in errors.
///
/// # Errors
/// `ModelBroken` for a family nobody knows or a field that does not fit.
pub fn describe(name: &str, config: &[u8]) -> Result<Description, Fault> {
    #[derive(serde::Deserialize)]
    struct Family {
        family: String,
    }
    let broken = |error: serde_json::Error| broken(name, format!("model.json: {error}"));
    let Family { family } = serde_json::from_slice(config).map_err(broken)?;
    if family != DrumsConfig::FAMILY {
        let shown: String = family.chars().take(40).collect();
        return Err(self::broken(name, format!("family must be {:?}, got {shown:?}", DrumsConfig::FAMILY)));
    }
    let config: DrumsConfig = serde_json::from_slice(config).map_err(broken)?;
    Ok(Description {
        family: DrumsConfig::FAMILY,
        sha256: config.sha256.clone(),
        verbs: drums::VERBS,
        kind: Kind::Drums(Arc::new(drums::kind::DrumsKind::new(name, &config)?)),
    })
}

/// The description of the model in `source`.
///
/// # Errors
/// `ModelBroken` when `model.json` cannot be read.
pub fn describe_source(name: &str, source: ModelSource) -> Result<Description, Fault> {
    match source {
        ModelSource::Bundled => describe(name, drums::BUNDLED_CONFIG),
        ModelSource::Folder(folder) => describe(name, &read(name, folder, "model.json", MAX_CONFIG)?),
    }
}

/// A model in memory. A new family is a variant.
pub enum Model {
    Drums(drums::Model),
}

impl Model {
    /// Loads a model and starts the thread on which its requests share their steps; the thread ends with the model.
    /// `name` appears in errors and names the thread.
    ///
    /// # Errors
    /// `ModelBroken` with what is wrong; never a path.
    pub fn load(name: &str, source: ModelSource, precision: Precision) -> Result<Model, Fault> {
        let description = describe_source(name, source)?;
        let weights = match source {
            ModelSource::Bundled => None,
            ModelSource::Folder(folder) => Some((
                read(name, folder, "model.json", MAX_CONFIG)?,
                read(name, folder, "model.safetensors", MAX_WEIGHTS)?,
            )),
        };
        match description.kind {
            Kind::Drums(_) => drums::Model::load(name, weights, precision, description).map(Model::Drums),
        }
    }

    /// Bytes of its weights in memory.
    pub fn memory_bytes(&self) -> u64 {
        match self {
            Model::Drums(model) => model.memory_bytes(),
        }
    }

    /// What it has played since it was loaded, and plays now.
    pub fn counts(&self) -> Counts {
        match self {
            Model::Drums(model) => model.counts(),
        }
    }

    pub fn description(&self) -> &Description {
        match self {
            Model::Drums(model) => model.description(),
        }
    }

    /// `drums`, ...
    pub fn family(&self) -> &'static str {
        self.description().family
    }

    /// What it can be asked for.
    pub fn verbs(&self) -> &'static [&'static str] {
        self.description().verbs
    }

    /// Of its weights, hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.description().sha256
    }
}

/// The cores and instructions all models of this process play on.
///
/// # Errors
/// `Internal` for values of `PARTITA_KERNELS` and `PARTITA_THREADS` that this machine does not have.
pub fn compute() -> Result<Compute, Fault> {
    static POOL: OnceLock<Result<Compute, String>> = OnceLock::new();
    let started = POOL.get_or_init(|| {
        let pool = Pool::from_env().map_err(|error| error.to_string())?;
        let path = partita_kernels::Path::from_env().map_err(|error| error.to_string())?;
        Ok(Compute { pool: Arc::new(pool), path })
    });
    started.clone().map_err(Fault::internal)
}

pub(crate) fn broken(name: &str, message: impl std::fmt::Display) -> Fault {
    Fault::new(Code::ModelBroken, format!("model {name}: {message}"))
}

/// A file of a model, of at most `max` bytes.
fn read(name: &str, folder: &Path, file: &str, max: u64) -> Result<Vec<u8>, Fault> {
    // Kinds only: the text of an error may hold the path.
    let unreadable = |error: std::io::Error| broken(name, format!("{file} cannot be read: {}", error.kind()));
    let opened = std::fs::File::open(folder.join(file)).map_err(unreadable)?;
    let about = opened.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(broken(name, format!("{file} must be a file")));
    }
    if about.len() > max {
        return Err(broken(name, format!("{file} must be at most {max} bytes, got {}", about.len())));
    }
    let mut bytes = Vec::with_capacity(about.len() as usize);
    opened.take(max).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
