//! What a checkpoint in the published layout says, known without its weights.

use std::path::Path;

use partita_kernels::KvPrecision;
use partita_models::musicgen::{Config, memory};
use partita_nn::{Precision, Tensors};

use crate::Fault;
use crate::family::model::broken;

/// Keys and values of clips.
pub(crate) const MEMORY: KvPrecision = KvPrecision::Int8;
/// The most clips that share steps. More would wait for memory: a step reads the keys and values of all of them.
const MOST_CLIPS: u64 = 4;

/// A MusicGen without its weights.
#[derive(Debug)]
pub(crate) struct MusicKind {
    /// Bytes of its weights in memory: f32, int8, q4.
    weights: [u64; 3],
    /// Bytes of a clip at work.
    clip: u64,
}

impl MusicKind {
    /// `config`: the text of `config.json`. Reads the heads of the files of weights in `folder`.
    ///
    /// # Errors
    /// `ModelBroken`.
    pub fn new(name: &str, config: &[u8], folder: &Path) -> Result<MusicKind, Fault> {
        let plain = |error: String| broken(name, without(folder, &error));
        let config = Config::from_json(&String::from_utf8_lossy(config));
        let config = config.map_err(|error| plain(error.to_string()))?;
        let tensors = Tensors::open(folder).map_err(|error| plain(error.to_string()))?;
        let weights = [Precision::F32, Precision::Int8, Precision::Q4];
        Ok(MusicKind {
            weights: weights.map(|precision| memory::weight_bytes(&tensors, precision)),
            clip: memory::clip_bytes(&config, MEMORY),
        })
    }

    /// Clips at work at once: their memory may take as much as the weights, and one always has a place.
    pub fn clips(&self, precision: Precision) -> usize {
        (self.weights(precision) / self.clip.max(1)).clamp(1, MOST_CLIPS) as usize
    }

    /// Bytes of the model and of all clips that it plays at once.
    pub fn memory(&self, precision: Precision) -> u64 {
        self.weights(precision) + self.clip * self.clips(precision) as u64
    }

    fn weights(&self, precision: Precision) -> u64 {
        match precision {
            Precision::F32 => self.weights[0],
            Precision::Int8 => self.weights[1],
            Precision::Q4 => self.weights[2],
        }
    }
}

/// A message without the place of a model: callers may not know where things lie.
pub(crate) fn without(folder: &Path, message: &str) -> String {
    message.replace(&format!("{}/", folder.display()), "").replace(&folder.display().to_string(), "the model")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_share_what_the_weights_take_and_one_always_plays() {
        let kind = |weights, clip| MusicKind { weights: [4 * weights, weights, weights / 2], clip };
        let small = kind(1000, 190);
        assert_eq!(small.clips(Precision::Int8), 4);
        assert_eq!(small.memory(Precision::Int8), 1760);
        assert_eq!(small.clips(Precision::Q4), 2);
        let tiny = kind(10, 190);
        assert_eq!((tiny.clips(Precision::Int8), tiny.memory(Precision::Int8)), (1, 200));
    }

    #[test]
    fn a_message_does_not_tell_where_a_model_lies() {
        let folder = Path::new("/srv/store/folders/x");
        assert_eq!(without(folder, "cannot read /srv/store/folders/x/a.bin: no"), "cannot read a.bin: no");
        assert_eq!(without(folder, "cannot read /srv/store/folders/x: no"), "cannot read the model: no");
    }
}
