//! The bundles there are, and what cannot be seen from their tensors.

use partita_tokens::events::{
    Codec, Control, DrumClasses, DrumSet, KeyMelody, Lookback, MelodyEvent, MelodyRange, Modulo,
    PerformanceEvent, PerformanceEvents, Plain,
};

use super::Error;

/// A published network, or one trained with its configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bundle {
    /// As its generator is called; files may also be named as in `aliases`.
    pub id: &'static str,
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    /// Outputs that attention looks back on. The tensors do not tell it.
    pub attention: Option<usize>,
    /// `rnn_layer_sizes` as published. Networks of other sizes load as well: the tensors tell.
    pub layers: &'static [usize],
}

/// What a network continues, and how it sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Four steps a quarter.
    Melody {
        encoding: MelodyEncoding,
        range: MelodyRange,
        /// Major key `0..12` that melodies are moved into and back from.
        key: Option<usize>,
    },
    Drums {
        encoding: DrumEncoding,
        steps_per_quarter: u32,
    },
    /// A hundred steps a second.
    Performance {
        events: PerformanceEvents,
        modulo: bool,
        control: Option<Control>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MelodyEncoding {
    Plain,
    Lookback,
    Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrumEncoding {
    /// Nine kinds of drums, with a counter.
    Kit,
    /// Struck or not.
    Any,
}

const OCTAVES: MelodyRange = MelodyRange { low: 48, high: 84 };
const ALL: MelodyRange = MelodyRange { low: 0, high: 128 };
const DYNAMICS: PerformanceEvents = PerformanceEvents { bins: 32 };

const fn melody(id: &'static str, encoding: MelodyEncoding) -> Bundle {
    let kind = Kind::Melody { encoding, range: OCTAVES, key: Some(0) };
    Bundle { id, aliases: &[], kind, attention: None, layers: &[128, 128] }
}

const fn performance(id: &'static str, events: PerformanceEvents, control: Option<Control>) -> Bundle {
    let kind = Kind::Performance { events, modulo: false, control };
    Bundle { id, aliases: &[], kind, attention: None, layers: &[512, 512, 512] }
}

/// All of them.
pub const BUNDLES: [Bundle; 13] = [
    melody("basic_rnn", MelodyEncoding::Plain),
    Bundle {
        kind: Kind::Melody { encoding: MelodyEncoding::Plain, range: ALL, key: None },
        ..melody("mono_rnn", MelodyEncoding::Plain)
    },
    melody("lookback_rnn", MelodyEncoding::Lookback),
    Bundle { attention: Some(40), ..melody("attention_rnn", MelodyEncoding::Key) },
    Bundle {
        id: "drum_kit",
        aliases: &["drum_kit_rnn"],
        kind: Kind::Drums { encoding: DrumEncoding::Kit, steps_per_quarter: 4 },
        attention: Some(32),
        layers: &[256, 256, 256],
    },
    Bundle {
        id: "one_drum",
        aliases: &["one_drum_rnn"],
        kind: Kind::Drums { encoding: DrumEncoding::Any, steps_per_quarter: 2 },
        attention: None,
        layers: &[128, 128],
    },
    performance("performance", PerformanceEvents { bins: 0 }, None),
    Bundle {
        // The compact one is the same network: it is fed the number of the one instead of the one-hot.
        aliases: &["performance_with_dynamics_compact"],
        ..performance("performance_with_dynamics", DYNAMICS, None)
    },
    Bundle {
        kind: Kind::Performance { events: DYNAMICS, modulo: true, control: None },
        ..performance("performance_with_dynamics_and_modulo_encoding", DYNAMICS, None)
    },
    performance(
        "density_conditioned_performance_with_dynamics",
        DYNAMICS,
        Some(Control { density: true, pitch_classes: false, optional: false }),
    ),
    performance(
        "pitch_conditioned_performance_with_dynamics",
        DYNAMICS,
        Some(Control { density: false, pitch_classes: true, optional: false }),
    ),
    performance(
        "multiconditioned_performance_with_dynamics",
        DYNAMICS,
        Some(Control { density: true, pitch_classes: true, optional: false }),
    ),
    performance(
        "optional_multiconditioned_performance_with_dynamics",
        DYNAMICS,
        Some(Control { density: true, pitch_classes: true, optional: true }),
    ),
];

impl Bundle {
    /// The bundle of this id or alias.
    ///
    /// # Errors
    /// [`Error::UnknownBundle`] with the nearest id.
    pub fn find(id: &str) -> Result<&'static Bundle, Error> {
        static ALL: [Bundle; 13] = BUNDLES;
        let named = |bundle: &&Bundle| bundle.id == id || bundle.aliases.contains(&id);
        ALL.iter().find(named).ok_or_else(|| {
            let near = |known: &&Bundle| strsim::jaro_winkler(known.id, id);
            let nearest = ALL.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
            let hint = nearest.filter(|known| near(known) > 0.8);
            Error::UnknownBundle {
                got: id.to_owned(),
                hint: hint.map_or_else(String::new, |known| format!(", did you mean {}", known.id)),
                known: ALL.map(|bundle| bundle.id).join(", "),
            }
        })
    }

    /// What it continues.
    pub fn plays(&self) -> &'static str {
        match self.kind {
            Kind::Melody { .. } => "melodies",
            Kind::Drums { .. } => "drums",
            Kind::Performance { .. } => "performances",
        }
    }

    /// Numbers that its network reads, and classes that it answers with.
    pub fn sizes(&self) -> (usize, usize) {
        match self.kind {
            Kind::Melody { encoding, range, .. } => sizes(&*melody_codec(encoding, range)),
            Kind::Drums { encoding, .. } => sizes(&*drum_codec(encoding)),
            Kind::Performance { events, modulo, control } => {
                let (inputs, classes) = sizes(&*performance_codec(events, modulo));
                (inputs + control.map_or(0, Control::inputs), classes)
            }
        }
    }
}

fn sizes<E>(codec: &dyn Codec<Event = E>) -> (usize, usize)
where
    E: Copy + PartialEq + std::fmt::Debug,
{
    (codec.inputs(), codec.classes())
}

pub(super) fn melody_codec(
    encoding: MelodyEncoding,
    range: MelodyRange,
) -> Box<dyn Codec<Event = MelodyEvent>> {
    match encoding {
        MelodyEncoding::Plain => Box::new(Plain(range)),
        MelodyEncoding::Lookback => Box::new(Lookback::two_bars(range)),
        MelodyEncoding::Key => Box::new(KeyMelody(range)),
    }
}

pub(super) fn drum_codec(encoding: DrumEncoding) -> Box<dyn Codec<Event = DrumSet>> {
    match encoding {
        DrumEncoding::Kit => Box::new(Lookback::counting(DrumClasses::kit())),
        DrumEncoding::Any => Box::new(Plain(DrumClasses::any())),
    }
}

/// Without conditions.
pub(super) fn performance_codec(
    events: PerformanceEvents,
    modulo: bool,
) -> Box<dyn Codec<Event = PerformanceEvent>> {
    if modulo { Box::new(Modulo(events)) } else { Box::new(Plain(events)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magenta_sizes_are_the_published_ones() {
        for (id, inputs, classes) in [
            ("basic_rnn", 38, 38),
            ("mono_rnn", 130, 130),
            ("lookback_rnn", 121, 40),
            ("attention_rnn", 74, 40),
            ("drum_kit", 518, 512),
            ("one_drum", 2, 2),
            ("performance", 356, 356),
            ("performance_with_dynamics", 388, 388),
            ("performance_with_dynamics_and_modulo_encoding", 16, 388),
            ("density_conditioned_performance_with_dynamics", 396, 388),
            ("pitch_conditioned_performance_with_dynamics", 400, 388),
            ("multiconditioned_performance_with_dynamics", 408, 388),
            ("optional_multiconditioned_performance_with_dynamics", 409, 388),
        ] {
            assert_eq!(Bundle::find(id).unwrap().sizes(), (inputs, classes), "{id}");
        }
    }

    #[test]
    fn an_id_that_is_not_there_is_answered_with_the_nearest() {
        let error = Bundle::find("atention_rnn").unwrap_err().to_string();
        assert!(error.starts_with(
            "\"atention_rnn\" is no event RNN, did you mean attention_rnn; there are basic_rnn, "
        ));
        assert!(Bundle::find("coconet").unwrap_err().to_string().contains("is no event RNN; there are"));
        assert_eq!(Bundle::find("drum_kit_rnn").unwrap().id, "drum_kit");
    }
}
