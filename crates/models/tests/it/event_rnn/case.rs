//! A case of the reference vectors, its weights rebuilt from their recipe.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use partita_kernels::{Compute, Path, Pool, softmax};
use partita_models::event_rnn::{Bundle, EventRnn, Net, Options, Progress};
use partita_nn::Tensors;
use partita_tokens::events::{
    Codec, DrumClasses, DrumSet, KeyMelody, Lookback, MelodyEvent, MelodyRange, PerformanceEvent,
    PerformanceEvents, Plain,
};
use serde_json::Value;

use crate::recipe::Recipe;

pub const MELODIES: [&str; 5] =
    ["basic_rnn", "mono_rnn", "lookback_rnn", "attention_rnn", "attention_rnn_full_size"];
pub const DRUMS: [&str; 2] = ["drum_kit", "one_drum"];
pub const LEGACY: [&str; 2] = ["legacy_attention_rnn_outer_tf0.12.1", "legacy_attention_rnn_outer_tf1.0.0"];
pub const LEGACY_DRUMS: &str = "legacy_drum_kit_outer_tf1.2.0";
pub const PERFORMANCE: &str = "performance_with_dynamics";
pub const DYNAMICS: PerformanceEvents = PerformanceEvents { bins: 32 };

pub struct Case {
    pub name: String,
    pub json: Value,
    pub expected: Tensors,
}

impl Case {
    pub fn open(name: &str) -> Case {
        let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference");
        let root = std::env::var_os("PARTITA_VECTORS").map_or(repository, PathBuf::from);
        let folder = root.join("magenta/rnn").join(name);
        let json = std::fs::read_to_string(folder.join("case.json")).unwrap();
        Case {
            name: name.to_owned(),
            json: serde_json::from_str(&json).unwrap(),
            expected: Tensors::read(folder.join("expected.safetensors")).unwrap(),
        }
    }

    pub fn weights(&self) -> Recipe {
        Recipe::new(&self.json)
    }

    pub fn bundle(&self) -> &'static Bundle {
        Bundle::find(self.json["config"].as_str().unwrap()).unwrap()
    }

    pub fn rnn(&self) -> EventRnn {
        let rnn = EventRnn::load(self.bundle(), &self.weights(), Options::default()).unwrap();
        let layers: Vec<usize> = serde_json::from_value(self.json["rnn_layer_sizes"].clone()).unwrap();
        assert_eq!(rnn.net().widths(), layers, "{}", self.name);
        rnn
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        let shape = self.expected.shape(name).unwrap_or_else(|| panic!("{}: {name}", self.name)).to_vec();
        self.expected.f32(name, &shape).unwrap()
    }

    pub fn integers(&self, name: &str) -> Vec<usize> {
        let values = self.expected.integers(name).unwrap();
        values.into_iter().map(|value| usize::try_from(value).unwrap()).collect()
    }

    pub fn primers(&self) -> &[Value] {
        self.json["primers"].as_array().unwrap()
    }

    pub fn melody_codec(&self) -> Box<dyn Codec<Event = MelodyEvent>> {
        let range = MelodyRange { low: 48, high: 84 };
        match self.json["config"].as_str().unwrap() {
            "basic_rnn" => Box::new(Plain(range)),
            "mono_rnn" => Box::new(Plain(MelodyRange { low: 0, high: 128 })),
            "lookback_rnn" => Box::new(Lookback::two_bars(range)),
            "attention_rnn" => Box::new(KeyMelody(range)),
            other => panic!("{other}"),
        }
    }

    pub fn drum_codec(&self) -> Box<dyn Codec<Event = DrumSet>> {
        match self.json["config"].as_str().unwrap() {
            "drum_kit" => Box::new(Lookback::counting(DrumClasses::kit())),
            "one_drum" => Box::new(Plain(DrumClasses::any())),
            other => panic!("{other}"),
        }
    }
}

pub fn melody(codes: &Value) -> Vec<MelodyEvent> {
    let codes = codes.as_array().unwrap().iter();
    codes.map(|code| MelodyEvent::from_code(code.as_i64().unwrap()).unwrap()).collect()
}

pub fn drums(sets: &Value) -> Vec<DrumSet> {
    let sets: Vec<Vec<u8>> = serde_json::from_value(sets.clone()).unwrap();
    sets.into_iter().map(|set| set.into_iter().collect()).collect()
}

pub fn performance(events: &Value) -> Vec<PerformanceEvent> {
    let events: Vec<(u8, u8)> = serde_json::from_value(events.clone()).unwrap();
    let event = |(kind, value)| match kind {
        1 => PerformanceEvent::NoteOn(value),
        2 => PerformanceEvent::NoteOff(value),
        3 => PerformanceEvent::TimeShift(value),
        4 => PerformanceEvent::Velocity(value),
        other => panic!("event type {other}"),
    };
    events.into_iter().map(event).collect()
}

pub fn compute() -> Compute {
    Compute::new(Arc::new(Pool::new(2).unwrap()), Path::from_env().unwrap())
}

pub fn go(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Probabilities `[T, V]` after each of the inputs.
pub fn probabilities(net: &Net, inputs: &[f32]) -> Vec<f32> {
    let mut compute = compute();
    let mut rows = net.prefill(&mut compute, &mut net.start(1), inputs);
    rows.chunks_exact_mut(net.classes()).for_each(|row| softmax(compute.path(), row));
    rows
}
