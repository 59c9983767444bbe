//! The drummer's weights and styles, inside the program or in a folder, and those of other models in folders.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use partita_models::arrange::{ArrangeConfig, Arranger};
use partita_models::drums::{Drummer, Style};
use partita_models::harmony::Harmonizer;
use partita_models::melody::{MelodyConfig, Writer};
use partita_models::stage::Compute;
use partita_nn::Precision;

use crate::error::{Error, Kind, Result};
use crate::session::Session;

/// What the weights are packed to; what that costs in likelihood is on the model's card.
pub const PRECISION: Precision = Precision::Int8;
/// Larger weights are refused before they are read.
const MAX_BYTES: u64 = 4 << 30;

/// The drummer that `session` asks for.
///
/// # Errors
/// [`Kind::NotFound`] for a folder without a model, [`Kind::Failed`] for one that is damaged.
pub fn drummer(session: &Session) -> Result<Drummer> {
    drummer_at(session, PRECISION)
}

/// The drummer that `session` asks for, with weights of another precision.
///
/// # Errors
/// As [`drummer`].
pub fn drummer_at(session: &Session, precision: Precision) -> Result<Drummer> {
    match &session.model {
        None => Ok(Drummer::bundled(precision)?),
        Some(folder) => load(folder, precision),
    }
}

/// The writer of lead sheets that `session` asks for.
///
/// # Errors
/// As [`drummer`].
pub fn writer(session: &Session) -> Result<Writer> {
    match &session.model {
        None => Ok(Writer::bundled(PRECISION)?),
        Some(folder) => writer_at(folder),
    }
}

/// The writer of lead sheets in `folder`.
///
/// # Errors
/// As [`drummer`].
pub fn writer_at(folder: &Path) -> Result<Writer> {
    let (config, weights) = read(folder)?;
    Ok(Writer::load(&folder.display().to_string(), &config, &weights, PRECISION)?)
}

/// The writer of lead sheets of a command that plays an arranger too: `--model` may name either.
///
/// # Errors
/// As [`drummer`].
pub fn writer_beside(session: &Session) -> Result<Writer> {
    let is_arranger = |folder: &PathBuf| family(folder).as_deref() == Some(ArrangeConfig::FAMILY);
    writer(&Session { model: session.model.clone().filter(|folder| !is_arranger(folder)), ..session.clone() })
}

/// The writer of basses and pianos that `session` asks for; the one inside the program where it asks for none, or for
/// the weights of a writer of lead sheets.
///
/// # Errors
/// As [`drummer`].
pub fn arranger(session: &Session) -> Result<Arranger> {
    match &session.model {
        Some(folder) if family(folder).as_deref() != Some(MelodyConfig::FAMILY) => {
            let (config, weights) = read(folder)?;
            Ok(Arranger::load(&folder.display().to_string(), &config, &weights, PRECISION)?)
        }
        _ => Ok(Arranger::bundled(PRECISION)?),
    }
}

/// What the model in `folder` says it is.
pub fn family(folder: &Path) -> Option<String> {
    let config = std::fs::read(folder.join("model.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&config).ok()?;
    Some(config["family"].as_str()?.to_owned())
}

/// The drummer in `folder`.
///
/// # Errors
/// As [`drummer`].
pub fn load(folder: &Path, precision: Precision) -> Result<Drummer> {
    let (config, weights) = read(folder)?;
    Ok(Drummer::load(&folder.display().to_string(), &config, &weights, precision)?)
}

/// The writer of chorales that `session` asks for, in `precision`.
///
/// # Errors
/// As [`drummer`].
pub fn choir(session: &Session, precision: Precision) -> Result<Harmonizer> {
    let Some(folder) = &session.model else { return Ok(Harmonizer::bundled(precision)?) };
    let (config, weights) = read(folder)?;
    Ok(Harmonizer::load(&folder.display().to_string(), &config, &weights, precision)?)
}

/// What `folder` holds: `model.json` and `model.safetensors`.
fn read(folder: &Path) -> Result<(Vec<u8>, Vec<u8>)> {
    let read = |name: &str| {
        let path = folder.join(name);
        let size = std::fs::metadata(&path).map_err(|e| Error::file("model", "read", &path, &e))?.len();
        if size > MAX_BYTES {
            let message = format!("{} must be at most {MAX_BYTES} bytes, got {size}", path.display());
            return Err(Error::new(Kind::Failed, "model", message));
        }
        std::fs::read(&path).map_err(|e| Error::file("model", "read", &path, &e))
    };
    Ok((read("model.json")?, read("model.safetensors")?))
}

/// The cores and instructions to play on.
///
/// # Errors
/// Values of `PARTITA_KERNELS` and `PARTITA_THREADS` that this machine does not have.
pub fn compute() -> Result<Compute> {
    Ok(Compute { pool: Arc::new(partita_kernels::Pool::from_env()?), path: kernels()? })
}

/// The instruction set to play on.
///
/// # Errors
/// An unknown or unsupported `PARTITA_KERNELS`.
pub fn kernels() -> Result<partita_kernels::Path> {
    partita_kernels::Path::from_env().map_err(|message| Error::usage("PARTITA_KERNELS", message))
}

/// The style called `name`, `any`, or the profile in a YAML file.
///
/// # Errors
/// An unknown name with the nearest ones, a profile that is not there or says what it may not.
pub fn style(drummer: &Drummer, name: &str) -> Result<Style> {
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    if is_file {
        let yaml = std::fs::read_to_string(path).map_err(|e| Error::file("style", "read", path, &e))?;
        let stem = path.file_stem().map_or_else(|| name.into(), |stem| stem.to_string_lossy());
        return Ok(drummer.profile(&stem, &yaml)?);
    }
    if name.trim().eq_ignore_ascii_case("any") {
        return Ok(drummer.any_style());
    }
    Ok(drummer.style(name)?)
}
