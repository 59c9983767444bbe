//! A model in memory, and what its `model.json` says of it before it is there.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use partita_kernels::Pool;
use partita_models::arrange::ArrangeConfig;
use partita_models::drums::DrumsConfig;
use partita_models::harmony::HarmonyConfig;
use partita_models::melody::{MelodyConfig, Writer};
use partita_models::midi_gpt::MidiGpt;
use partita_models::stage::{Compute, Counts};
use partita_nn::Precision;

use super::{arrange, chorale, drums, melody, musicgen, song};
use crate::request::fields::one_of;
use crate::{Code, Fault};

/// Larger weights are refused before they are read.
const MAX_WEIGHTS: u64 = 4 << 30;
/// A larger `model.json` is none.
const MAX_CONFIG: u64 = 1 << 20;

/// Where a model's files are.
#[derive(Clone, Copy, Debug)]
pub enum ModelSource<'a> {
    /// Inside the program, under the name that it is asked for by.
    Bundled,
    /// A folder with `model.json` and `model.safetensors`.
    Folder(&'a Path),
    /// A model of the store, in the layout it was published in.
    Stored(&'a Stored),
}

/// Where a model of the store is.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub folder: PathBuf,
    /// Where its packed weights are kept.
    pub packed: PathBuf,
    /// Of the names and contents of all its files, hexadecimal.
    pub sha256: String,
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
    Melody(Arc<melody::kind::MelodyKind>),
    Chorale,
    Arrange,
    MusicGen(Arc<musicgen::kind::MusicKind>),
}

impl Description {
    /// Names of its styles, learned ones first.
    pub fn styles(&self) -> Vec<String> {
        match &self.kind {
            Kind::Drums(kind) => kind.names(),
            Kind::Melody(kind) => kind.names().to_vec(),
            Kind::Chorale | Kind::Arrange | Kind::MusicGen(_) => vec![],
        }
    }

    /// Bytes it takes in memory, where that is known before it is loaded.
    pub(crate) fn memory(&self, precision: Precision) -> Option<u64> {
        match &self.kind {
            Kind::Drums(_) | Kind::Melody(_) | Kind::Chorale | Kind::Arrange => None,
            Kind::MusicGen(kind) => Some(kind.memory(precision)),
        }
    }

    /// Whether it makes sound, from words.
    pub(crate) fn makes_sound(&self) -> bool {
        matches!(self.kind, Kind::MusicGen(_))
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
    match family.as_str() {
        DrumsConfig::FAMILY => {
            let config: DrumsConfig = serde_json::from_slice(config).map_err(broken)?;
            Ok(Description {
                family: DrumsConfig::FAMILY,
                sha256: config.sha256.clone(),
                verbs: drums::VERBS,
                kind: Kind::Drums(Arc::new(drums::kind::DrumsKind::new(name, &config)?)),
            })
        }
        MelodyConfig::FAMILY => {
            let config: MelodyConfig = serde_json::from_slice(config).map_err(broken)?;
            Ok(Description {
                family: MelodyConfig::FAMILY,
                sha256: config.sha256.clone(),
                verbs: melody::VERBS,
                kind: Kind::Melody(Arc::new(melody::kind::MelodyKind::new(&config))),
            })
        }
        HarmonyConfig::FAMILY => {
            let config: HarmonyConfig = serde_json::from_slice(config).map_err(broken)?;
            Ok(Description {
                family: HarmonyConfig::FAMILY,
                sha256: config.sha256,
                verbs: chorale::VERBS,
                kind: Kind::Chorale,
            })
        }
        ArrangeConfig::FAMILY => {
            let config: ArrangeConfig = serde_json::from_slice(config).map_err(broken)?;
            Ok(Description {
                family: ArrangeConfig::FAMILY,
                sha256: config.sha256,
                verbs: arrange::VERBS,
                kind: Kind::Arrange,
            })
        }
        other => {
            let shown: String = other.chars().take(40).collect();
            let known = one_of(&[
                DrumsConfig::FAMILY,
                MelodyConfig::FAMILY,
                HarmonyConfig::FAMILY,
                ArrangeConfig::FAMILY,
            ]);
            Err(self::broken(name, format!("family must be {known}, got {shown:?}")))
        }
    }
}

/// The description of the model in `source`.
///
/// # Errors
/// `ModelBroken` when `model.json` cannot be read.
pub fn describe_source(name: &str, source: ModelSource) -> Result<Description, Fault> {
    match source {
        ModelSource::Bundled => describe(name, bundled_config(name)),
        ModelSource::Folder(folder) => describe(name, &read(name, folder, "model.json", MAX_CONFIG)?),
        ModelSource::Stored(stored) => {
            if MidiGpt::is_at(&stored.folder) {
                return Err(broken(name, "writes MidiTok's tokens, which only the command line plays"));
            }
            let config = read(name, &stored.folder, "config.json", MAX_CONFIG)?;
            let kind = musicgen::kind::MusicKind::new(name, &config, &stored.folder)?;
            Ok(Description {
                family: musicgen::FAMILY,
                sha256: stored.sha256.clone(),
                verbs: musicgen::VERBS,
                kind: Kind::MusicGen(Arc::new(kind)),
            })
        }
    }
}

/// A model in memory. A new family is a variant.
pub enum Model {
    Drums(drums::Model),
    Melody(melody::Model),
    Chorale(chorale::Model),
    Arrange(arrange::Model),
    MusicGen(musicgen::Model),
    /// Several of the others, for one request.
    Song(song::Model),
}

impl Model {
    /// Loads a model and starts the thread on which its requests share their steps; the thread ends with the model.
    /// `name` appears in errors and names the thread.
    ///
    /// # Errors
    /// `ModelBroken` with what is wrong; never a path.
    pub fn load(name: &str, source: ModelSource, precision: Precision) -> Result<Model, Fault> {
        let description = describe_source(name, source)?;
        match (&description.kind, source) {
            (Kind::MusicGen(kind), ModelSource::Stored(stored)) => {
                let kind = Arc::clone(kind);
                musicgen::Model::load(name, stored, precision, &kind, description).map(Model::MusicGen)
            }
            (_, ModelSource::Stored(_)) => Err(misplaced(name)),
            (kind, source) => {
                let files = match source {
                    ModelSource::Folder(folder) => Some(both(name, folder)?),
                    _ => None,
                };
                match kind {
                    Kind::Drums(_) => {
                        drums::Model::load(name, files, precision, description).map(Model::Drums)
                    }
                    Kind::Melody(_) => {
                        melody::Model::load(name, files, precision, description).map(Model::Melody)
                    }
                    Kind::Chorale => {
                        chorale::Model::load(name, files, precision, description).map(Model::Chorale)
                    }
                    Kind::Arrange => {
                        arrange::Model::load(name, files, precision, description).map(Model::Arrange)
                    }
                    Kind::MusicGen(_) => Err(misplaced(name)),
                }
            }
        }
    }

    /// This model and `others` as the one that plays `request`, which names them: writers whose logits are averaged by
    /// weight, or those that play in a song. It shares their weights in memory.
    ///
    /// # Errors
    /// `InvalidRequest` for a family that cannot do this, `ModelBroken` for models that do not go together.
    pub fn with(&self, others: &[&Model], request: &crate::Request) -> Result<Model, Fault> {
        if matches!(request, crate::Request::Song(_)) {
            return song::Model::of(self, others).map(Model::Song);
        }
        let Model::Melody(model) = self else { return Err(self.cannot("play with others")) };
        let weights = request.mix().iter().map(|other| other.weight as f32);
        let writers = others.iter().zip(weights).map(|(other, weight)| match other {
            Model::Melody(other) => Ok((Writer::clone(other.writer()), weight)),
            other => Err(other.cannot("play with others")),
        });
        model.mixed(&writers.collect::<Result<Vec<_>, Fault>>()?).map(Model::Melody)
    }

    /// Models that play in it beside the first.
    fn others(&self) -> usize {
        match self {
            Model::Melody(model) => model.others(),
            Model::Song(model) => model.others(),
            _ => 0,
        }
    }

    /// Whether it is made of as many models as a request asks for.
    ///
    /// # Errors
    /// `Internal` if it is not.
    pub(crate) fn is_for(&self, request: &crate::Request) -> Result<(), Fault> {
        let (asked, came) = (request.others().len(), self.others());
        if asked == came {
            return Ok(());
        }
        Err(Fault::internal(format!("a request for {asked} models beside its own came with {came}")))
    }

    /// Bytes of its weights in memory.
    pub fn memory_bytes(&self) -> u64 {
        match self {
            Model::Drums(model) => model.memory_bytes(),
            Model::Melody(model) => model.memory_bytes(),
            Model::Chorale(model) => model.memory_bytes(),
            Model::Arrange(model) => model.memory_bytes(),
            // Its models count for themselves.
            Model::Song(_) => 0,
            Model::MusicGen(model) => model.memory_bytes(),
        }
    }

    /// What it has played since it was loaded, and plays now.
    pub fn counts(&self) -> Counts {
        match self {
            Model::Drums(model) => model.counts(),
            Model::Melody(model) => model.counts(),
            Model::Chorale(model) => model.counts(),
            Model::Arrange(model) => model.counts(),
            Model::Song(_) => Counts::default(),
            Model::MusicGen(model) => model.counts(),
        }
    }

    pub fn description(&self) -> &Description {
        match self {
            Model::Drums(model) => model.description(),
            Model::Melody(model) => model.description(),
            Model::Chorale(model) => model.description(),
            Model::Arrange(model) => model.description(),
            Model::Song(model) => model.description(),
            Model::MusicGen(model) => model.description(),
        }
    }

    /// Why a verb that it does not have ends. Requests were checked, so this needs another model under the same name.
    pub(crate) fn cannot(&self, verb: &str) -> Fault {
        Fault::new(Code::InvalidRequest, format!("a model of the family {} cannot {verb}", self.family()))
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

fn misplaced(name: &str) -> Fault {
    broken(name, "is not where models of its family are kept")
}

pub(crate) fn broken(name: &str, message: impl std::fmt::Display) -> Fault {
    Fault::new(Code::ModelBroken, format!("model {name}: {message}"))
}

/// `model.json` of the model inside the program that is called `name`, with or without a version; the drummer's where
/// nothing has that name.
fn bundled_config(name: &str) -> &'static [u8] {
    match name.split('@').next() {
        Some("melody") => melody::BUNDLED_CONFIG,
        Some("chorale") => chorale::BUNDLED_CONFIG,
        Some("arrange") => arrange::BUNDLED_CONFIG,
        _ => drums::BUNDLED_CONFIG,
    }
}

/// `model.json` and `model.safetensors` of a folder.
fn both(name: &str, folder: &Path) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let config = read(name, folder, "model.json", MAX_CONFIG)?;
    Ok((config, read(name, folder, "model.safetensors", MAX_WEIGHTS)?))
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
