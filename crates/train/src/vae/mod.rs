//! Variational autoencoders of two bars: MusicVAE's flat networks, trained here.
//!
//! Names, shapes and arithmetic are those of MusicVAE's checkpoints, so that what plays those plays these.

mod bench;
pub mod checkpoint;
pub mod drums;
pub mod evaluate;
mod head;
mod layers;
pub mod melodies;
mod net;
mod run;
mod source;
mod weights;

pub use bench::{VaeTrainReport, vae_train_speed};
pub use checkpoint::VaeConfig;
pub use head::{Choice, DRUMS, Groove as GrooveLoss};
pub use layers::Sparse;
pub use net::{Pass, Sums, Target, VaeGradients, VaeNet, Window};
pub use run::{VaePoint, VaeProgress, VaeSettings, train_vae};
pub use source::{STEPS, Source};
pub use weights::{Head, Heard, VaeShape, VaeWeights};
