//! Which models there are, which are in memory, and which of them answers.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use partita_nn::Precision;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::family::{Description, Model};
use crate::store::{self, Store};
use crate::{Code, Config, Fault, config};

mod catalogue;
mod memory;
mod names;

use catalogue::{Catalogue, Entry, Id, Place};
use memory::{Flight, Loaded, Memory, Room, Slot};

/// One model of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelInfo {
    #[schema(example = "drums")]
    pub name: String,
    /// `1` for the bundled ones.
    #[schema(example = "1")]
    pub version: String,
    /// `drums`, `musicgen`, ... as its own files say.
    #[schema(example = "drums")]
    pub family: String,
    /// `bundled`, `folder` (of `models.dir`) or `store` (pulled or imported).
    pub place: String,
    pub sha256: String,
    /// Verbs it serves.
    #[schema(example = json!(["generate", "continue", "infill", "humanize"]))]
    pub verbs: Vec<String>,
    /// Bytes of its weights on disk.
    pub bytes: u64,
    pub loaded: bool,
    /// Bytes in memory, when loaded.
    pub memory_bytes: Option<u64>,
    /// Tasks that use it now.
    pub in_use: usize,
    /// Requests it has answered since it was loaded.
    pub requests: u64,
    /// Milliseconds its last load took.
    pub load_ms: Option<f64>,
    /// Seconds since it was last used.
    pub idle: Option<f64>,
    /// Why it cannot be loaded.
    pub error: Option<String>,
    pub licence: String,
    /// Names that lead to it, with their share.
    pub aliases: Vec<String>,
}

/// The model that makes sound when none is asked for.
const USUAL_SOUND: &str = "musicgen-small";
/// The folder is looked into at most this often, unless a model is known to have changed.
const RESCAN: Duration = Duration::from_secs(1);

/// The catalogue and the models in memory.
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    /// Held for moments only, never while files are read.
    state: Mutex<State>,
    /// Held by whoever looks into the folder.
    scanning: Mutex<()>,
    /// A load has ended.
    landed: Condvar,
}

struct State {
    settings: Settings,
    catalogue: Arc<Catalogue>,
    /// When the folder was last looked into by somebody who waited for it.
    scanned: Option<Instant>,
    memory: Memory,
    /// Of the last load of each model.
    loads: HashMap<String, LastLoad>,
}

#[derive(Clone, Default)]
struct LastLoad {
    ms: Option<f64>,
    error: Option<String>,
    /// Bytes in memory, by the precision they were measured with.
    measured: Option<(String, u64)>,
}

/// What of the configuration counts here.
#[derive(Clone)]
struct Settings {
    models: config::Models,
    dir: PathBuf,
    store: Store,
}

impl Settings {
    fn of(config: &Config) -> Settings {
        Settings { models: config.models.clone(), dir: config.models_dir(), store: Store::of(config) }
    }

    fn room(&self) -> Room {
        Room { models: self.models.max_loaded, bytes: self.models.memory_mb.saturating_mul(1 << 20) }
    }

    fn precision(&self) -> Precision {
        match self.models.precision.as_str() {
            "q4" => Precision::Q4,
            "f32" => Precision::F32,
            _ => Precision::Int8,
        }
    }

    /// About what a model takes in memory. Where it does not say: from its weights on disk, two bytes each.
    fn estimate(&self, entry: &Entry) -> u64 {
        let known = entry.description.as_ref().ok().and_then(|about| about.memory(self.precision()));
        known.unwrap_or(match self.precision() {
            Precision::F32 => entry.bytes.saturating_mul(2),
            _ => entry.bytes / 2,
        })
    }
}

impl Registry {
    /// Looks at what there is; loads nothing. A folder that is missing or holds junk is no error.
    ///
    /// # Errors
    /// `Internal` when `models.dir` is something else than a folder.
    pub fn open(config: &Config) -> Result<Registry, Fault> {
        let settings = Settings::of(config);
        if settings.dir.exists() && !settings.dir.is_dir() {
            let dir = settings.dir.display();
            return Err(Fault::internal(format!("models.dir must be a folder, got {dir}")));
        }
        let catalogue = Arc::new(Catalogue::scan(&settings.dir, &settings.store, &Catalogue::default()));
        let memory = Memory::default();
        let state = State { settings, catalogue, scanned: None, memory, loads: HashMap::new() };
        let inner = Inner { state: Mutex::new(state), scanning: Mutex::default(), landed: Condvar::new() };
        Ok(Registry { inner: Arc::new(inner) })
    }

    /// New settings from a reload: looks for models again and evicts what no longer fits. Models in memory keep the
    /// precision they were loaded with. Reads the folder.
    pub fn reconfigure(&self, config: &Config) {
        let mut gone = vec![];
        self.inner.state().settings = Settings::of(config);
        self.inner.rescan();
        let mut state = self.inner.state();
        let room = state.settings.room();
        state.memory.shrink(room, &mut gone);
        drop(state);
    }

    /// Every model, by name and version; folders that hold none come last with their error. Reads the folder:
    /// not for async code.
    pub fn list(&self) -> Vec<ModelInfo> {
        self.inner.look();
        let state = self.inner.state();
        let junk = state.catalogue.junk.iter().map(|(name, error)| ModelInfo {
            name: name.chars().take(64).collect(),
            place: "folder".into(),
            error: Some(error.clone()),
            ..ModelInfo::default()
        });
        state.catalogue.entries.keys().map(|id| state.info(id)).chain(junk).collect()
    }

    /// Looks for new models, unless somebody did a moment ago. Reads the folder: not for async code.
    pub fn look(&self) {
        self.inner.look();
    }

    /// The model that a name, an alias (its first target) or a `name@version` leads to. Reads no files.
    ///
    /// # Errors
    /// `UnknownModel` with the nearest names.
    pub fn info(&self, name: &str) -> Result<ModelInfo, Fault> {
        let state = self.inner.state();
        Ok(state.info(&state.resolve(name, 0.0)?))
    }

    /// What a model says of itself: its family, styles, checksum. Reads no files.
    ///
    /// # Errors
    /// `UnknownModel` with the nearest names, `ModelBroken`.
    pub fn describe(&self, name: &str) -> Result<Description, Fault> {
        let state = self.inner.state();
        let id = state.resolve(name, 0.0)?;
        let entry = &state.catalogue.entries[&id];
        entry.description.clone().map_err(|message| Fault::new(Code::ModelBroken, message))
    }

    /// Loads a model and keeps it until it is unloaded, idle, or in the way.
    ///
    /// # Errors
    /// `UnknownModel` with the nearest names, `ModelBroken`, `ModelsFull`. Blocks: not for async code.
    pub fn load(&self, name: &str) -> Result<ModelInfo, Fault> {
        self.inner.rescan();
        let id = self.find(name)?;
        let held = self.hold(&id, false)?;
        let info = self.inner.state().info(&id);
        drop(held);
        Ok(ModelInfo { in_use: info.in_use.saturating_sub(1), ..info })
    }

    /// Unloads a model; one that is in use goes after its last task, unless it is asked for again before.
    ///
    /// # Errors
    /// `UnknownModel`; `InvalidRequest` for an alias of several models; not an error when it is not loaded.
    pub fn unload(&self, name: &str) -> Result<ModelInfo, Fault> {
        let mut state = self.inner.state();
        let id = state.only(name)?;
        let text = id.text();
        if let Some(Slot::Loading { unload, .. }) = state.memory.slots.get_mut(&text) {
            *unload = true;
        }
        let gone = state.memory.let_go(&text);
        let info = state.info(&id);
        drop(state);
        drop(gone);
        Ok(info)
    }

    /// The `name@version` that answers for a name, an alias or a `name@version`. An alias with several targets chooses by
    /// weight; `draw` in `[0, 1)` decides. Reads no files.
    ///
    /// # Errors
    /// `UnknownModel` with the nearest names.
    pub fn resolve(&self, name: &str, draw: f64) -> Result<String, Fault> {
        self.inner.state().resolve(name, draw).map(|id| id.text())
    }

    /// The model `name@version`, loaded if need be; it is not evicted while the answer lives. Blocks.
    ///
    /// # Errors
    /// As [`Registry::load`].
    pub fn acquire(&self, name: &str) -> Result<InUse, Fault> {
        self.hold(&self.find(name)?, true)
    }

    /// What decides the results of equal requests to `name@version` now: checksum and precision.
    ///
    /// # Errors
    /// `UnknownModel`, `ModelBroken`.
    pub fn fingerprint(&self, name: &str) -> Result<String, Fault> {
        let state = self.inner.state();
        let id = state.resolve(name, 0.0)?;
        let description = state.catalogue.entries[&id].description.as_ref();
        let sha = description.map(|about| about.sha256.as_str());
        let loaded = state.memory.loaded(&id.text());
        let loaded = loaded.filter(|loaded| sha.is_err() || sha == Ok(loaded.model.sha256()));
        match (loaded, sha) {
            (Some(loaded), _) => Ok(fingerprint(loaded.model.sha256(), &loaded.precision)),
            (None, Ok(sha)) => Ok(fingerprint(sha, &state.settings.models.precision)),
            (None, Err(message)) => Err(Fault::new(Code::ModelBroken, message)),
        }
    }

    /// Loads `names` one after the other, of an alias all its models; returns those that failed. Blocks.
    pub fn warm(&self, names: &[String]) -> Vec<(String, Fault)> {
        self.inner.look();
        let mut failed = vec![];
        for name in names {
            let targets = {
                let state = self.inner.state();
                names::targets(&state.catalogue, &state.settings.models.aliases, name)
            };
            let loaded = targets.and_then(|ids| ids.iter().try_for_each(|id| self.hold(id, false).map(drop)));
            failed.extend(loaded.err().map(|fault| (name.clone(), fault)));
        }
        failed
    }

    /// Unloads what nobody has used for `models.idle` seconds, except models that are to be warm, and looks for new
    /// models. Returns how many went.
    pub fn unload_idle(&self) -> usize {
        self.unload_idle_at(Instant::now())
    }

    /// As [`Registry::unload_idle`], at another time.
    #[doc(hidden)]
    pub fn unload_idle_at(&self, now: Instant) -> usize {
        let mut gone = vec![];
        self.inner.look();
        let mut state = self.inner.state();
        let limit = state.settings.models.idle;
        if limit > 0.0 {
            let warm: Vec<String> = state
                .settings
                .models
                .warm
                .iter()
                .filter_map(|name| {
                    names::targets(&state.catalogue, &state.settings.models.aliases, name).ok()
                })
                .flatten()
                .map(|id| id.text())
                .collect();
            let is_idle = |slot: &Slot| {
                matches!(slot, Slot::Loaded(loaded) if loaded.in_use == 0
                    && now.saturating_duration_since(loaded.last_used).as_secs_f64() >= limit)
            };
            let slots = &state.memory.slots;
            let idle = slots.iter().filter(|(id, slot)| is_idle(slot) && !warm.contains(id));
            let idle: Vec<String> = idle.map(|(id, _)| id.clone()).collect();
            gone.extend(idle.iter().filter_map(|id| state.memory.take(id)));
        }
        drop(state);
        gone.len()
    }

    /// Name of the model that makes sound from words when none is asked for: `musicgen-small`, or where it is not there
    /// the smallest that is. Reads no files.
    pub fn sound(&self) -> String {
        let state = self.inner.state();
        if state.resolve(USUAL_SOUND, 0.0).is_ok() {
            return USUAL_SOUND.to_owned();
        }
        let makes_sound =
            |entry: &Entry| entry.description.as_ref().is_ok_and(crate::family::Description::makes_sound);
        let entries = state.catalogue.entries.iter().filter(|(_, entry)| makes_sound(entry));
        let smallest = entries.min_by_key(|(id, entry)| (entry.bytes, (*id).clone()));
        smallest.map_or_else(|| USUAL_SOUND.to_owned(), |(id, _)| id.text())
    }

    /// Deletes a model's folder, or takes it out of the store.
    ///
    /// # Errors
    /// `UnknownModel`; `InvalidRequest` for a bundled or loaded one and for an alias of several; `Internal` when the folder cannot be deleted.
    pub fn remove(&self, name: &str) -> Result<(), Fault> {
        self.inner.rescan();
        let mut state = self.inner.state();
        let id = state.only(name)?;
        let refuse = |why: &str| Err(Fault::new(Code::InvalidRequest, format!("model {} {why}", id.text())));
        if state.memory.slots.contains_key(&id.text()) || state.memory.present(&id.text()).is_some() {
            return refuse("is loaded; unload it first");
        }
        let folder = match &state.catalogue.entries[&id].place {
            Place::Bundled => return refuse("is part of the program and cannot be removed"),
            Place::Folder(folder) => folder.clone(),
            Place::Store(_) => {
                let store = state.settings.store.clone();
                state.loads.remove(&id.text());
                // Other processes may be waited for.
                drop(state);
                let removed = store.remove(&id.name, &mut |_| ControlFlow::Continue(()));
                self.inner.rescan();
                return match removed {
                    Ok(_) => Ok(()),
                    Err(store::Error::Busy { .. }) => refuse("is being pulled or imported"),
                    Err(error) => {
                        tracing::warn!(model = id.text(), %error, "a model cannot be removed");
                        Err(Fault::internal(format!("model {} cannot be removed", id.text())))
                    }
                };
            }
        };
        // Kinds only: the text of an error may hold the path.
        let failed = |error: std::io::Error| {
            Fault::internal(format!("model {} cannot be removed: {}", id.text(), error.kind()))
        };
        // Renamed first, so that it is gone as a whole; names with a dot are not looked at.
        let away = state.settings.dir.join(format!(".removed-{}", partita_queue::random_hex(8)));
        std::fs::rename(&folder, &away).map_err(failed)?;
        state.loads.remove(&id.text());
        drop(state);
        self.inner.rescan();
        std::fs::remove_dir_all(&away).map_err(failed)
    }

    /// Bytes in memory of each loaded model.
    pub fn memory(&self) -> Vec<(String, u64)> {
        let state = self.inner.state();
        let mut all = std::collections::BTreeMap::<String, u64>::new();
        for (id, slot) in &state.memory.slots {
            if let Slot::Loaded(loaded) = slot {
                all.insert(id.clone(), loaded.bytes);
            }
        }
        for (id, loaded) in &state.memory.leaving {
            *all.entry(id.clone()).or_default() += loaded.bytes;
        }
        all.into_iter().collect()
    }

    /// As `resolve`, but looks into the folder once more before it gives up.
    fn find(&self, name: &str) -> Result<Id, Fault> {
        let known = self.inner.state().resolve(name, 0.0);
        known.or_else(|_| {
            self.inner.look();
            self.inner.state().resolve(name, 0.0)
        })
    }

    /// Loads a model unless it is there, and counts one more user. `request`: whether it is for a request.
    fn hold(&self, id: &Id, request: bool) -> Result<InUse, Fault> {
        let text = id.text();
        let mut gone = vec![];
        let entry = self.inner.state().catalogue.entries.get(id).cloned();
        if entry.is_some_and(|entry| entry.has_changed()) {
            self.inner.rescan();
        }
        let mut state = self.inner.state();
        loop {
            let described = state.catalogue.entries.get(id).and_then(|entry| entry.description.as_ref().ok());
            let sha = described.map(|about| about.sha256.clone());
            state.memory.stay(&text, sha.as_deref());
            match state.memory.slots.get_mut(&text) {
                // Its folder holds other weights by now.
                Some(Slot::Loaded(loaded)) if sha.is_some_and(|sha| sha != loaded.model.sha256()) => {
                    gone.extend(state.memory.let_go(&text));
                }
                Some(Slot::Loaded(loaded)) => {
                    loaded.in_use += 1;
                    loaded.requests += u64::from(request);
                    loaded.last_used = Instant::now();
                    let (model, precision) = (Arc::clone(&loaded.model), loaded.precision.clone());
                    return Ok(InUse { id: text, model, precision, inner: Arc::clone(&self.inner) });
                }
                Some(Slot::Loading { flight, .. }) => {
                    let flight = Arc::clone(flight);
                    while flight.get().is_none() {
                        state = self.inner.landed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                    if let Some(Err(fault)) = flight.get() {
                        return Err(fault.clone());
                    }
                }
                None => break,
            }
        }
        let Some(entry) = state.catalogue.entries.get(id).cloned() else {
            return Err(Fault::new(Code::UnknownModel, format!("model {text} is no longer there")));
        };
        let settings = state.settings.clone();
        let measured = state.loads.get(&text).and_then(|load| load.measured.clone());
        let bytes = measured
            .filter(|(precision, _)| *precision == settings.models.precision)
            .map_or_else(|| settings.estimate(&entry), |(_, bytes)| bytes);
        state.memory.make_room(&text, bytes, settings.room(), &mut gone)?;
        let flight = Flight::default();
        state
            .memory
            .slots
            .insert(text.clone(), Slot::Loading { flight: Arc::clone(&flight), bytes, unload: false });
        drop(state);
        drop(gone);

        let began = Instant::now();
        // Weights come from outside: whatever they do to a loader must not leave others waiting.
        let source = entry.source();
        let loaded = std::panic::catch_unwind(|| Model::load(&text, source, settings.precision()));
        let loaded = loaded.unwrap_or_else(|_| {
            Err(Fault::new(Code::ModelBroken, format!("model {text}: its weights cannot be used")))
        });
        self.land(&text, &flight, loaded, began, &settings, request)
    }

    /// The end of a load.
    fn land(
        &self,
        id: &str,
        flight: &Flight,
        loaded: Result<Model, Fault>,
        began: Instant,
        settings: &Settings,
        request: bool,
    ) -> Result<InUse, Fault> {
        let mut gone = vec![];
        let mut state = self.inner.state();
        let slot = state.memory.slots.remove(id);
        let unload = matches!(slot, Some(Slot::Loading { unload: true, .. }));
        let result = loaded.and_then(|model| {
            let bytes = model.memory_bytes();
            let load = state.loads.entry(id.to_owned()).or_default();
            load.ms = Some(began.elapsed().as_secs_f64() * 1e3);
            load.measured = Some((settings.models.precision.clone(), bytes));
            let model = Arc::new(model);
            // Its size is known only now.
            let room = state.settings.room();
            state
                .memory
                .make_room(id, bytes, room, &mut gone)
                .inspect_err(|_| gone.push(Arc::clone(&model)))?;
            let used = Arc::clone(&model);
            let (requests, last_used) = (u64::from(request), Instant::now());
            let precision = settings.models.precision.clone();
            let loaded =
                Loaded { model, bytes, in_use: 1, requests, last_used, precision: precision.clone() };
            state.memory.slots.insert(id.to_owned(), Slot::Loaded(loaded));
            if unload {
                // It has one user, so it is not let go yet.
                gone.extend(state.memory.let_go(id));
            }
            Ok(InUse { id: id.to_owned(), model: used, precision, inner: Arc::clone(&self.inner) })
        });
        let failed = result.as_ref().err();
        state.loads.entry(id.to_owned()).or_default().error = failed.map(|fault| fault.message.clone());
        // Only the one who loads sets it.
        let _ = flight.set(failed.map_or(Ok(()), |fault| Err(fault.clone())));
        drop(state);
        self.inner.landed.notify_all();
        drop(gone);
        match &result {
            Ok(held) => {
                let ms = began.elapsed().as_secs_f64() * 1e3;
                tracing::info!(model = id, ms, bytes = held.memory_bytes(), "model loaded");
            }
            Err(fault) => tracing::warn!(model = id, error = %fault, "model not loaded"),
        }
        result
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks into the folder, unless somebody did a moment ago.
    fn look(&self) {
        let scanned = self.state().scanned;
        if scanned.is_none_or(|scanned| scanned.elapsed() >= RESCAN) {
            self.rescan();
        }
    }

    /// Looks into the folder; others go on with what is known meanwhile.
    fn rescan(&self) {
        let _one = self.scanning.lock().unwrap_or_else(PoisonError::into_inner);
        let (dir, store, old) = {
            let state = self.state();
            (state.settings.dir.clone(), state.settings.store.clone(), Arc::clone(&state.catalogue))
        };
        let new = Arc::new(Catalogue::scan(&dir, &store, &old));
        let mut state = self.state();
        // A reload that chose another folder meanwhile looks for itself.
        if state.settings.dir == dir {
            (state.catalogue, state.scanned) = (new, Some(Instant::now()));
        }
    }
}

impl State {
    fn resolve(&self, name: &str, draw: f64) -> Result<Id, Fault> {
        names::resolve(&self.catalogue, &self.settings.models.aliases, name, draw)
    }

    /// The one model that a name leads to.
    fn only(&self, name: &str) -> Result<Id, Fault> {
        let mut ids = names::targets(&self.catalogue, &self.settings.models.aliases, name)?;
        if ids.len() == 1 {
            return Ok(ids.remove(0));
        }
        let ids: Vec<String> = ids.iter().map(Id::text).collect();
        let allowed = format!("one model, {}", ids.join(" or "));
        Err(Fault::field("#/model_name", allowed, format_args!("the alias {name} of {}", ids.len())))
    }

    fn info(&self, id: &Id) -> ModelInfo {
        let (entry, text) = (&self.catalogue.entries[id], id.text());
        let loaded = self.memory.present(&text);
        let load = self.loads.get(&text).cloned().unwrap_or_default();
        let description = entry.description.as_ref();
        ModelInfo {
            name: id.name.clone(),
            version: id.version.clone(),
            family: description.map_or_else(|_| String::new(), |about| about.family.to_owned()),
            place: entry.place.name().to_owned(),
            sha256: description.map_or_else(|_| String::new(), |about| about.sha256.clone()),
            verbs: description
                .map_or(vec![], |about| about.verbs.iter().map(|&verb| verb.to_owned()).collect()),
            bytes: entry.bytes,
            loaded: loaded.is_some(),
            memory_bytes: loaded.map(|loaded| loaded.bytes),
            in_use: loaded.map_or(0, |loaded| loaded.in_use),
            requests: loaded.map_or(0, |loaded| loaded.requests),
            load_ms: load.ms,
            idle: loaded.map(|loaded| loaded.last_used.elapsed().as_secs_f64()),
            error: description.err().cloned().or(load.error),
            licence: entry.licence.clone(),
            aliases: names::leading_to(&self.catalogue, &self.settings.models.aliases, id),
        }
    }
}

/// A model in use.
pub struct InUse {
    /// `name@version`
    id: String,
    model: Arc<Model>,
    precision: String,
    inner: Arc<Inner>,
}

fn fingerprint(sha: &str, precision: &str) -> String {
    format!("{sha} {precision}")
}

impl InUse {
    /// `name@version`
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What decides its results, as [`Registry::fingerprint`].
    pub fn fingerprint(&self) -> String {
        fingerprint(self.model.sha256(), &self.precision)
    }
}

impl std::ops::Deref for InUse {
    type Target = Model;

    fn deref(&self) -> &Model {
        &self.model
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        let gone = state.memory.done(&self.id, &self.model);
        drop(state);
        drop(gone);
    }
}
