//! Bars from a MusicVAE in one call: `{"model", "seed_sequence"}` in, notes out.
//!
//! The call of small clients that want a few bars now: no task, no files, no queue. Results are kept in the engine's
//! [`Cache`]; the key is the model's weights, the request and its seed, so a hit is what would have been played.

mod request;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use partita_kernels::Compute;
use partita_models::latent::{Choice, Error as LatentError, Example, Format, LatentModel, Playing, Vary};
use partita_score::NoteSequence;
use partita_tokens::drum_steps::REDUCED;
use partita_tokens::melody::PIANO;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

pub use request::{SeedEvent, SeedSequence, SequenceReply, SequenceRequest};

use crate::family::{Made, MadeFile, compute};
use crate::store::{self, Installed, Store};
use crate::{Cache, Code, Config, Fault, Outcome};

/// Models kept in memory.
const MOST_MODELS: usize = 4;
/// The file of a kept result.
const KEPT: &str = "sequence.json";

/// Loaded models and kept results.
pub struct Sequences {
    store: Store,
    cache: Cache,
    /// Whether a model that is not installed is fetched.
    auto_pull: bool,
    /// The last used first.
    models: Mutex<Vec<Arc<Loaded>>>,
}

struct Loaded {
    /// As it is asked for.
    name: String,
    model: LatentModel,
    /// What the weights are, for the key of a result.
    fingerprint: String,
}

impl Sequences {
    /// With the store, the cache and `models.auto_pull` of a configuration.
    ///
    /// # Errors
    /// A cache that cannot be opened.
    pub async fn open(config: &Config) -> Result<Sequences, Fault> {
        Ok(Sequences {
            store: Store::of(config),
            cache: Cache::open(config).await?,
            auto_pull: config.models.auto_pull,
            models: Mutex::default(),
        })
    }

    /// Results found and not found in the cache since the start.
    pub fn counts(&self) -> (u64, u64) {
        self.cache.counts()
    }

    /// Plays a request, or takes it from the cache. `seed` is used if the request has none.
    ///
    /// Blocks while it plays, and while a model is fetched; not for threads that run async code. `runtime` calls the
    /// cache.
    ///
    /// # Errors
    /// `InvalidRequest` with a pointer, `UnknownModel`, `ModelBroken`.
    pub fn generate(
        &self,
        request: &SequenceRequest,
        seed: u64,
        runtime: &Handle,
    ) -> Result<SequenceReply, Fault> {
        request.check()?;
        let loaded = self.model(&request.model)?;
        let seed = request.seed.unwrap_or(seed);
        let full = SequenceRequest { seed: Some(seed), ..request.clone() };
        let value = serde_json::to_value(&full).map_err(Fault::internal)?;
        let key = Cache::key_of(&loaded.fingerprint, "sequence", value);
        if let Some(reply) =
            runtime.block_on(self.cache.get(&key)).and_then(|made| read(&made, request, seed))
        {
            return Ok(reply);
        }
        let reply = play(&loaded.model, request, seed)?;
        runtime.block_on(self.cache.put(&key, &write(&reply)));
        Ok(reply)
    }

    /// A model, loaded if it has to be.
    fn model(&self, name: &str) -> Result<Arc<Loaded>, Fault> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = models.iter().position(|loaded| loaded.name == name) {
            let loaded = models.remove(at);
            models.insert(0, Arc::clone(&loaded));
            return Ok(loaded);
        }
        let loaded = Arc::new(self.load(name)?);
        models.insert(0, Arc::clone(&loaded));
        models.truncate(MOST_MODELS);
        Ok(loaded)
    }

    fn find(&self, name: &str) -> store::Result<Installed> {
        #[cfg(feature = "hub")]
        if self.auto_pull {
            let hub = store::Hub::from_env(|name| std::env::var_os(name))?;
            return self.store.find_or_pull(name, &hub, &mut |_| ControlFlow::Continue(()));
        }
        self.store.find(name)
    }

    fn load(&self, name: &str) -> Result<Loaded, Fault> {
        if let Some(model) = LatentModel::bundled(name, None) {
            let fingerprint =
                LatentModel::bundled_config(name).map(|config| config.sha256).unwrap_or_default();
            return Ok(Loaded {
                name: name.to_owned(),
                model: model.map_err(|error| fault(&error))?,
                fingerprint,
            });
        }
        let installed = self.find(name).map_err(|error| {
            let bundled: Vec<&str> = LatentModel::bundled_names().collect();
            let message = format!("{error}; inside the program: {}", bundled.join(", "));
            Fault {
                errors: Fault::field("#/model", "a model", name).errors,
                ..Fault::new(Code::UnknownModel, message)
            }
        })?;
        let folder: &Path = &installed.folder;
        let model = LatentModel::open(installed.called(), folder, None).map_err(|error| fault(&error))?;
        Ok(Loaded { name: name.to_owned(), model, fingerprint: fingerprint(&installed) })
    }
}

fn fingerprint(installed: &Installed) -> String {
    let mut hash = Sha256::new();
    for file in &installed.files {
        hash.update(format!("{}\0{}\0", file.name, file.sha256));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn play(model: &LatentModel, request: &SequenceRequest, seed: u64) -> Result<SequenceReply, Fault> {
    let shared = compute()?;
    let mut compute = Compute::new(shared.pool, shared.path);
    let example = request.seed_sequence.as_ref().map(|seed| read_seed(model, seed)).transpose()?;
    let heard = example.as_ref().map(|example| example.tempo);
    let playing = Playing {
        temperature: request.temperature as f32,
        seed,
        tempo: request.tempo.or(heard).unwrap_or(NoteSequence::DEFAULT_QPM),
        controls: None,
    };
    let watch = &mut |_| ControlFlow::Continue(());
    let mut played = match &example {
        None => model.sample(&mut compute, 1, &playing, watch),
        Some(example) => {
            let vary = Vary { amount: request.amount, count: 1, toward: &[], away: &[] };
            model.vary(&mut compute, example, &vary, &playing, watch).map(|made| made.pieces)
        }
    }
    .map_err(|error| fault(&error))?;
    let piece = played.remove(0);
    Ok(SequenceReply { model: request.model.clone(), seed, sequence: piece.sequence, z: piece.z, hit: false })
}

/// A seed as the model reads it.
fn read_seed(model: &LatentModel, seed: &SeedSequence) -> Result<Example, Fault> {
    let events = match seed {
        SeedSequence::Notes(value) => {
            let wrong =
                |detail: String| Fault::field("#/seed_sequence", "a NoteSequence the model can read", detail);
            let sequence =
                NoteSequence::from_json_value(value.clone().into()).map_err(|it| wrong(it.to_string()))?;
            return model.read(&sequence, Choice::default()).map_err(|it| wrong(it.to_string()));
        }
        SeedSequence::Events(events) => events,
    };
    let drums = model.format() == Format::Drums;
    let mut ids = Vec::with_capacity(events.len());
    for (at, event) in events.iter().enumerate() {
        let wrong = |allowed: &str, got: String| Fault::field(&format!("#/seed_sequence/{at}"), allowed, got);
        ids.push(match event {
            SeedEvent::Melody(event) if !drums => melody_id(*event),
            SeedEvent::Melody(-2) => 0,
            SeedEvent::Melody(event) => {
                return Err(wrong("a list of pitches, or -2 for none", event.to_string()));
            }
            SeedEvent::Drums(_) if !drums => return Err(wrong("a pitch, -1 or -2", "a list".into())),
            SeedEvent::Drums(pitches) => {
                let mut set = 0;
                for pitch in pitches {
                    let class = REDUCED.class(*pitch);
                    set |= 1 << class.ok_or_else(|| wrong("General MIDI drums", pitch.to_string()))?;
                }
                set
            }
        });
    }
    let wrong = |it: LatentError| Fault::field("#/seed_sequence", "events the model can read", it);
    model.from_ids(&ids, NoteSequence::DEFAULT_QPM).map_err(wrong)
}

/// -2 nothing, -1 end, a pitch moved by octaves onto the piano.
fn melody_id(event: i64) -> u32 {
    let (low, high) = (i64::from(*PIANO.start()), i64::from(*PIANO.end()));
    match event {
        ..=-2 => 0,
        -1 => 1,
        pitch if pitch < low => (2 + (pitch - low).rem_euclid(12)) as u32,
        pitch if pitch > high => (2 + high - low - (high - pitch).rem_euclid(12)) as u32,
        pitch => (2 + pitch - low) as u32,
    }
}

/// A reply as the cache keeps it.
fn write(reply: &SequenceReply) -> Made {
    let body = json!({ "sequence": reply.sequence.to_json_value(), "z": reply.z });
    let file = MadeFile {
        take: None,
        item: None,
        name: KEPT.into(),
        media_type: "application/json".into(),
        bytes: body.to_string().into_bytes(),
    };
    Made { outcome: Outcome::default(), files: vec![file] }
}

fn read(made: &Made, request: &SequenceRequest, seed: u64) -> Option<SequenceReply> {
    let file = made.files.iter().find(|file| file.name == KEPT)?;
    let mut body: serde_json::Value = serde_json::from_slice(&file.bytes).ok()?;
    let sequence = NoteSequence::from_json_value(body["sequence"].take()).ok()?;
    let z = serde_json::from_value(body["z"].take()).ok()?;
    Some(SequenceReply { model: request.model.clone(), seed, sequence, z, hit: true })
}

fn fault(error: &LatentError) -> Fault {
    match error {
        LatentError::Range { .. } | LatentError::Convert(_) => Fault::new(Code::InvalidRequest, error),
        LatentError::Verb { .. } => Fault::field("#/model", "one that can play this", error),
        _ if error.is_cancelled() => Fault::new(Code::Cancelled, error),
        _ => Fault::new(Code::ModelBroken, error),
    }
}
