//! Event RNNs in Magenta's published layout: melody_rnn, drums_rnn and performance_rnn, from the tensors of their
//! bundles.
//!
//! A file each: which bundles there are (`catalogue`), what their tensors are called (`names`), the network (`net`,
//! `attention`), drawing events one after the other (`play`, `beam`), and what a melody, drums and a performance need
//! around that (`model`, `performance`). What an event means to the network is in [`partita_tokens::events`]; notes,
//! files and tempi are known elsewhere.
//!
//! **Rule:** a sequence has the same events, whatever else is played in its batch.

mod attention;
mod beam;
mod catalogue;
mod error;
mod model;
mod names;
mod net;
mod notes;
mod open;
mod performance;
mod play;

pub use beam::Beam;
pub use catalogue::{BUNDLES, Bundle, DrumEncoding, Kind, MelodyEncoding};
pub use error::Error;
pub use model::{EventRnn, Options};
pub use net::{Net, NetState};
pub use notes::Further;
pub use performance::Perform;
pub use play::{Continuation, Continue, MOST_EVENTS, Progress};
