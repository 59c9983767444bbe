//! A bundle that is loaded, and what it does with melodies and drums.

use partita_kernels::{Compute, Precision};
use partita_nn::{Rng, TensorSource};
use partita_tokens::events::{Codec, DrumSet, MelodyEvent, MelodyRange, Plain, squash, transpose};

use super::catalogue::{drum_codec, melody_codec};
use super::play::{Player, Watch};
use super::{Bundle, Continuation, Continue, Error, Kind, Net};

/// How to load a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub precision: Precision,
    /// Outputs that attention looks back on, if not as published.
    pub attention: Option<usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options { precision: Precision::F32, attention: None }
    }
}

/// A network and what it plays.
pub struct EventRnn {
    pub(super) bundle: &'static Bundle,
    pub(super) net: Net,
}

/// All pitches of MIDI.
const MIDI: MelodyRange = MelodyRange { low: 0, high: 128 };

impl EventRnn {
    /// Reads the network of `bundle`; see [`Bundle::find`].
    ///
    /// # Errors
    /// As [`Net::load`]; [`Error::Sizes`] for a network that reads or answers something else than `bundle`.
    pub fn load(
        bundle: &'static Bundle,
        source: &dyn TensorSource,
        options: Options,
    ) -> Result<EventRnn, Error> {
        let net = Net::load(source, options.attention.or(bundle.attention), options.precision)?;
        let (inputs, classes) = bundle.sizes();
        for (field, allowed, got) in [("inputs", inputs, net.inputs()), ("classes", classes, net.classes())] {
            if got != allowed {
                return Err(Error::Sizes { id: bundle.id, field, allowed, got });
            }
        }
        Ok(EventRnn { bundle, net })
    }

    pub fn bundle(&self) -> &'static Bundle {
        self.bundle
    }

    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Continues a melody, a step an event. It is moved into the network's key and range and back again; pitches
    /// outside are folded into them on the way, those of the primer as well.
    ///
    /// # Errors
    /// [`Error::Family`], [`Error::Range`], [`Error::Events`] for a pitch above 127, [`Error::Cancelled`].
    pub fn continue_melody(
        &self,
        compute: &mut Compute,
        request: &Continue<MelodyEvent>,
        watch: Watch<'_>,
    ) -> Result<Vec<Continuation<MelodyEvent>>, Error> {
        let Kind::Melody { encoding, range, key } = self.bundle.kind else {
            return Err(self.family("melodies"));
        };
        request.check()?;
        let mut request = request.clone();
        check_pitches(&request.primer)?;
        let moved = squash(&mut request.primer, range, key);
        let codec = melody_codec(encoding, range);
        let player = Player { net: &self.net, codec: &*codec };
        let mut done = player.play(compute, &request, &mut streams(&request), watch)?;
        done.iter_mut().for_each(|done| transpose(&mut done.events, -moved, MIDI));
        Ok(done)
    }

    /// `ln` of the probability of all events but the first of a melody, after it was moved as for continuing it.
    ///
    /// # Errors
    /// As [`continue_melody`](Self::continue_melody).
    pub fn melody_log_likelihood(&self, compute: &mut Compute, events: &[MelodyEvent]) -> Result<f64, Error> {
        let Kind::Melody { encoding, range, key } = self.bundle.kind else {
            return Err(self.family("melodies"));
        };
        check_pitches(events)?;
        let mut events = events.to_vec();
        squash(&mut events, range, key);
        let codec = melody_codec(encoding, range);
        Player { net: &self.net, codec: &*codec }.log_likelihood(compute, &events)
    }

    /// Continues drums, a step an event. Drums of the primer stay as they are, those that the network does not know
    /// too; new ones are those it plays.
    ///
    /// # Errors
    /// [`Error::Family`], [`Error::Range`], [`Error::Cancelled`].
    pub fn continue_drums(
        &self,
        compute: &mut Compute,
        request: &Continue<DrumSet>,
        watch: Watch<'_>,
    ) -> Result<Vec<Continuation<DrumSet>>, Error> {
        let Kind::Drums { encoding, .. } = self.bundle.kind else {
            return Err(self.family("drums"));
        };
        let codec = drum_codec(encoding);
        let player = Player { net: &self.net, codec: &*codec };
        player.play(compute, request, &mut streams(request), watch)
    }

    /// `ln` of the probability of all events but the first.
    ///
    /// # Errors
    /// As [`continue_drums`](Self::continue_drums).
    pub fn drums_log_likelihood(&self, compute: &mut Compute, events: &[DrumSet]) -> Result<f64, Error> {
        let Kind::Drums { encoding, .. } = self.bundle.kind else {
            return Err(self.family("drums"));
        };
        let codec = drum_codec(encoding);
        Player { net: &self.net, codec: &*codec }.log_likelihood(compute, events)
    }

    pub(super) fn family(&self, asked: &'static str) -> Error {
        Error::Family { id: self.bundle.id, plays: self.bundle.plays(), asked }
    }
}

/// A generator a variation.
fn streams<E>(request: &Continue<E>) -> Vec<Rng> {
    (0..request.variations).map(|variation| Rng::new(request.seed, variation as u64)).collect()
}

fn check_pitches(events: &[MelodyEvent]) -> Result<(), Error> {
    Ok(Plain(MIDI).check(events)?)
}
