//! A model from wherever it lies: a folder of ours, or a checkpoint as Magenta published it.

use std::io::Read;
use std::path::Path;

use partita_kernels::Precision;
use partita_nn::Tensors;

use super::{Error, Format, LatentModel};

/// Larger files of ours are refused before they are read.
const MAX_CONFIG: u64 = 1 << 20;
const MAX_WEIGHTS: u64 = 1 << 30;

impl LatentModel {
    /// Opens a folder with `model.json` and `model.safetensors`, or any checkpoint that [`Tensors::open`] reads. `name`
    /// appears in errors and, where it is one of Magenta's, says what the steps of the model mean.
    ///
    /// # Errors
    /// Files that are missing or damaged, a network of another kind.
    pub fn open(name: &str, path: &Path, precision: Option<Precision>) -> Result<LatentModel, Error> {
        let config = path.join("model.json");
        if config.is_file() {
            let config = read(&config, MAX_CONFIG)?;
            let weights = read(&path.join("model.safetensors"), MAX_WEIGHTS)?;
            return LatentModel::from_bytes(name, &config, &weights, precision);
        }
        let tensors = Tensors::open(path).map_err(crate::music_vae::Error::from)?;
        let known = Format::published(&name.to_lowercase());
        LatentModel::load(name, &tensors, known, precision)
    }
}

/// A file of at most `max` bytes.
fn read(path: &Path, max: u64) -> Result<Vec<u8>, Error> {
    let unreadable = |source| {
        let path = path.display().to_string();
        crate::music_vae::Error::from(partita_nn::Error::Read { path, source })
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size > max {
        return Err(Error::range("file size", format!("at most {max} bytes"), size));
    }
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
