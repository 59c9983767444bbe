//! From what was asked to a request that always gives the same bytes: model, seed and defaults filled in.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use partita_queue::Lane;

use super::limits::{Size, Tally};
use super::model::Kind;
use super::{Checked, Description, Sampling, arrange, chorale, drums, melody, musicgen, song};
use crate::request::fields::{self, Offer};
use crate::request::groups::{Composed, Modelled, Sampled};
use crate::request::input::{self, Music};
use crate::request::problems::{Problems, text};
use crate::request::{Batch, FileFormat, Generate, Input, Render};
use crate::{Code, Config, Fault, Problem, Registry, Request};

/// The drummer that answers when nobody is asked by name.
const DEFAULT_DRUMMER: &str = "drums";
/// The writer that answers when nobody is asked by name, but something is that only a melody can obey.
const DEFAULT_WRITER: &str = "melody";
/// The arranger that answers when nobody is asked by name.
const DEFAULT_ARRANGER: &str = "arrange";
/// Variations of notes that one request may ask for.
pub(crate) const MOST_VARIATIONS: usize = 64;
/// Longest name of a model, bytes.
const LONGEST_NAME: usize = 200;
/// Larger batches go to the lane of long work.
const SMALL_BATCH: usize = 16;
/// Bars of all variations of all requests of a batch: what one result can hold.
const MOST_BATCH_BARS: u64 = 16_384;

/// Which models there are.
pub trait Catalogue {
    /// See [`Registry::resolve`].
    ///
    /// # Errors
    /// `UnknownModel`.
    fn resolve(&self, name: &str, draw: f64) -> Result<String, Fault>;

    /// What `name@version` says of itself.
    ///
    /// # Errors
    /// `UnknownModel`, `ModelBroken`.
    fn describe(&self, name: &str) -> Result<Description, Fault>;

    /// Name of the model that makes sound from words when none is asked for; it need not be there.
    fn sound(&self) -> String;
}

/// Models that came a moment ago are looked for before one is said not to be there.
impl Catalogue for Registry {
    fn resolve(&self, name: &str, draw: f64) -> Result<String, Fault> {
        Registry::resolve(self, name, draw).or_else(|_| {
            self.look();
            Registry::resolve(self, name, draw)
        })
    }

    fn describe(&self, name: &str) -> Result<Description, Fault> {
        Registry::describe(self, name)
    }

    fn sound(&self) -> String {
        let name = Registry::sound(self);
        if Registry::resolve(self, &name, 0.0).is_ok() {
            return name;
        }
        self.look();
        Registry::sound(self)
    }
}

/// A model that was chosen.
pub(crate) struct Chosen {
    /// `name@version`
    pub name: String,
    pub description: Description,
}

/// The file that a request names, when its bytes are at hand.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    pub bytes: &'a [u8],
    /// Where in the request it came from: `input/file_id`, or `file` of a form.
    pub field: &'static str,
}

/// What a check needs to know and what it finds.
pub(crate) struct Check<'a> {
    pub config: &'a Config,
    pub given: Option<Given<'a>>,
    pub problems: Problems,
    /// What all files of the task will take.
    pub tally: Tally,
}

/// As [`check`](super::check), with any catalogue, and with the file that the request names if that is `given`.
///
/// # Errors
/// Everything wrong with the request.
pub fn check_with(
    mut request: Request,
    given: Option<Given>,
    catalogue: &dyn Catalogue,
    config: &Config,
) -> Result<Checked, Fault> {
    let mut check = Check { config, given, problems: Problems::default(), tally: Tally::default() };
    let mut model = String::new();
    let mut inputs = Vec::new();
    let mut lane = Lane::Generation;
    match &mut request {
        Request::Generate(request) => {
            fields::ordered(&request.ordered(), &mut check.problems);
            let (writes, words) = (writes(&request.composed()), words(request));
            if let Some(chosen) =
                check.choose(catalogue, "generate", request.model.as_ref(), writes, words)?
            {
                match &chosen.description.kind {
                    Kind::Drums(kind) => drums::check::generate(request, &chosen, kind, &mut check),
                    Kind::Melody(kind) => {
                        melody::mix::check(request.mix.as_mut(), kind, catalogue, &mut check);
                        melody::check::generate(request, &chosen, kind, &mut check);
                    }
                    Kind::Chorale => chorale::check::generate(request, &chosen, &mut check),
                    Kind::Arrange => {}
                    Kind::MusicGen(_) => {
                        lane = Lane::Audio;
                        musicgen::check::generate(request, &chosen, &mut check);
                    }
                }
                model = chosen.name;
            }
        }
        Request::Continue(request) => {
            fields::ordered(&request.ordered(), &mut check.problems);
            let music = check.input(&mut request.input, &mut inputs);
            let writes = writes(&request.composed());
            if let Some(chosen) = check.choose(catalogue, "continue", request.model.as_ref(), writes, None)? {
                match &chosen.description.kind {
                    Kind::Drums(kind) => {
                        drums::check::continue_(request, music.as_ref(), &chosen, kind, &mut check);
                    }
                    Kind::Melody(kind) => {
                        melody::mix::check(request.mix.as_mut(), kind, catalogue, &mut check);
                        melody::check::continue_(request, music.as_ref(), &chosen, kind, &mut check);
                    }
                    Kind::Chorale | Kind::Arrange | Kind::MusicGen(_) => {}
                }
                model = chosen.name;
            }
        }
        Request::Infill(request) => {
            fields::ordered(&request.ordered(), &mut check.problems);
            let music = check.input(&mut request.input, &mut inputs);
            let line = request.track.is_some() || request.pitches.is_some();
            let writes = line || writes(&request.composed());
            if let Some(chosen) = check.choose(catalogue, "infill", request.model.as_ref(), writes, None)? {
                match &chosen.description.kind {
                    Kind::Drums(kind) => {
                        drums::check::infill(request, music.as_ref(), &chosen, kind, &mut check);
                    }
                    Kind::Melody(kind) => {
                        melody::mix::check(request.mix.as_mut(), kind, catalogue, &mut check);
                        melody::check::infill(request, music.as_ref(), &chosen, kind, &mut check);
                    }
                    Kind::Chorale => chorale::check::infill(request, music.as_ref(), &chosen, &mut check),
                    Kind::Arrange | Kind::MusicGen(_) => {}
                }
                model = chosen.name;
            }
        }
        Request::Humanize(request) => {
            fields::ordered(&request.ordered(), &mut check.problems);
            let music = check.input(&mut request.input, &mut inputs);
            if let Some(chosen) = check.choose(catalogue, "humanize", request.model.as_ref(), false, None)? {
                if let Kind::Drums(kind) = &chosen.description.kind {
                    drums::check::humanize(request, music.as_ref(), &chosen, kind, &mut check);
                }
                model = chosen.name;
            }
        }
        Request::Harmonize(request) => {
            fields::ordered(&request.ordered(), &mut check.problems);
            let music = check.input(&mut request.input, &mut inputs);
            if let Some(chosen) = check.choose(catalogue, "harmonize", request.model.as_ref(), true, None)? {
                match &chosen.description.kind {
                    Kind::Melody(kind) => {
                        melody::check::harmonize(request, music.as_ref(), &chosen, kind, &mut check);
                    }
                    Kind::Chorale => chorale::check::harmonize(request, music.as_ref(), &chosen, &mut check),
                    Kind::Drums(_) | Kind::Arrange | Kind::MusicGen(_) => {}
                }
                model = chosen.name;
            }
        }
        Request::Arrange(request) => {
            fields::ordered(&request.ordered(), &mut check.problems);
            let music = check.input(&mut request.input, &mut inputs);
            let asked = request.model.clone().unwrap_or_else(|| DEFAULT_ARRANGER.to_owned());
            if let Some(chosen) = check.choose(catalogue, "arrange", Some(&asked), true, None)? {
                arrange::check::arrange(request, music.as_ref(), &chosen, &mut check);
                model = chosen.name;
            }
        }
        Request::Song(request) => {
            fields::ordered(&request.ordered(), &mut check.problems);
            if let Some(chosen) = check.choose(catalogue, "song", request.model.as_ref(), true, None)? {
                song::check::song(request, &chosen, catalogue, &mut check);
                model = chosen.name;
            }
        }
        Request::Render(request) => {
            lane = Lane::Midi;
            fields::ordered(&request.ordered(), &mut check.problems);
            let music = check.input(&mut request.input, &mut inputs);
            render(request, music.as_ref(), &mut check);
        }
        Request::Analyze(request) => {
            lane = Lane::Midi;
            fields::ordered(&request.ordered(), &mut check.problems);
            check.input(&mut request.input, &mut inputs);
        }
        Request::Batch(request) => {
            fields::ordered(&request.ordered(), &mut check.problems);
            let is_large = request.requests.len() > SMALL_BATCH;
            let chosen = batch(request, catalogue, &mut check)?;
            lane = match &chosen {
                Some(chosen) if chosen.description.makes_sound() => Lane::Audio,
                _ if is_large => Lane::Heavy,
                _ => Lane::Generation,
            };
            model = chosen.map_or_else(String::new, |chosen| chosen.name);
        }
    }
    check.problems.finish()?;
    Ok(Checked { request, model, lane, inputs })
}

impl Check<'_> {
    /// Reads an input as far as it is at hand, and notes the file that is not.
    fn input(&mut self, input: &mut Input, inputs: &mut Vec<String>) -> Option<Music> {
        let most_bytes = self.config.server.max_upload_mb.saturating_mul(1 << 20);
        let music = input::check(input, most_bytes, &mut self.problems);
        inputs.extend(input.file_id.clone());
        let Some(given) = self.given.filter(|_| input.file_id.is_some()) else { return music };
        match input::given(given.bytes, given.field) {
            Ok(music) => Some(music),
            Err(fault) => {
                self.problems.merge(fault);
                None
            }
        }
    }

    /// The model that answers; `None` after a problem. `writes`: something is asked for that only a melody can obey;
    /// `words`: a field that only models that make sound read.
    fn choose(
        &mut self,
        catalogue: &dyn Catalogue,
        verb: &str,
        asked: Option<&String>,
        writes: bool,
        words: Option<&'static str>,
    ) -> Result<Option<Chosen>, Fault> {
        if let Some(name) = asked.filter(|name| name.len() > LONGEST_NAME) {
            self.problems.add("model", &format!("at most {LONGEST_NAME} characters"), name.chars().count());
            return Ok(None);
        }
        let name = asked.cloned().unwrap_or_else(|| usual(writes, words, catalogue));
        let described = catalogue.resolve(&name, draw()).and_then(|name| {
            let description = catalogue.describe(&name)?;
            Ok(Chosen { name, description })
        });
        let chosen = described.map_err(|mut fault| {
            if let Some(field) = asked.map(|_| "model").or(words).filter(|_| fault.errors.is_empty()) {
                let detail = fault.message.clone();
                fault.errors.push(Problem { pointer: self.problems.pointer(field), detail, allowed: None });
            }
            fault
        })?;
        if !chosen.description.verbs.contains(&verb) {
            self.problems.add("model", &format!("one that can {verb}"), text(&chosen.name));
            return Ok(None);
        }
        Ok(Some(chosen))
    }
}

/// Looks up a model that plays beside the request's own and writes its proper `name@version` back; `None` after a
/// problem.
pub(crate) fn look_up(
    field: &str,
    name: &mut String,
    catalogue: &dyn Catalogue,
    problems: &mut Problems,
) -> Option<Description> {
    if name.len() > LONGEST_NAME {
        problems.add(field, &format!("at most {LONGEST_NAME} characters"), name.chars().count());
        return None;
    }
    let found = catalogue.resolve(name, draw()).and_then(|name| Ok((catalogue.describe(&name)?, name)));
    match found {
        Ok((description, proper)) => {
            *name = proper;
            Some(description)
        }
        Err(fault) => {
            problems.say(fault.code, field, fault.message, None);
            None
        }
    }
}

/// Reads what a checked request asks for.
///
/// # Errors
/// What is wrong with it by now; `Internal` if nothing is and it cannot be read.
pub(crate) fn asked<T>(read: impl FnOnce(&mut Problems) -> Option<T>) -> Result<T, Fault> {
    let mut problems = Problems::default();
    let ask = read(&mut problems);
    problems.finish()?;
    ask.ok_or_else(|| Fault::internal("a request that was checked cannot be read"))
}

/// Checks that had to wait until the file was there.
///
/// # Errors
/// Everything that is wrong.
pub(crate) fn late_check(add: impl FnOnce(&mut Check)) -> Result<(), Fault> {
    let config = Config::default();
    let (problems, tally) = (Problems::default(), Tally::default());
    let mut check = Check { config: &config, given: None, problems, tally };
    add(&mut check);
    check.problems.finish()
}

/// Tells fields that only models that make sound read.
pub(crate) fn no_words(request: &mut Generate, name: &str, problems: &mut Problems) {
    for (field, is_given) in [
        ("prompt", request.prompt.is_some()),
        ("negative", request.negative.is_some()),
        ("guidance", request.guidance.is_some()),
        ("instruments", request.instruments.is_some()),
    ] {
        problems.useless(field, is_given, format_args!("{name} reads no words"));
    }
    let why = format_args!("{name} plays bars; say bars and tempo");
    problems.useless("seconds", request.seconds.is_some(), why);
    // Whoever watches is told all notes.
    let is_silent = request.stream.take() == Some(false);
    problems.useless("stream", is_silent, format_args!("{name} always tells its notes"));
}

/// Tells fields that only drummers read.
pub(crate) fn no_drums(request: &Generate, name: &str, problems: &mut Problems) {
    for (field, is_given) in [
        ("fill", request.fill.is_some()),
        ("swing", request.swing.is_some()),
        ("humanize", request.humanize.is_some()),
    ] {
        problems.useless(field, is_given, format_args!("{name} plays no drums"));
    }
}

/// The field of a request that only models that make sound read, if it is there.
fn words(request: &Generate) -> Option<&'static str> {
    let given = [
        ("prompt", request.prompt.is_some()),
        ("seconds", request.seconds.is_some()),
        ("negative", request.negative.is_some()),
        ("guidance", request.guidance.is_some()),
        ("mood", request.mood.is_some()),
        ("instruments", request.instruments.is_some()),
    ];
    given.into_iter().find(|(_, is_given)| *is_given).map(|(field, _)| field)
}

/// Whether something is asked for that only a melody can obey.
fn writes(fields: &Composed) -> bool {
    fields.given().into_iter().any(|(_, is_given)| is_given)
}

/// The model that answers when none is asked for: `writes` and `words` as [`writes`] and [`words`] found them.
fn usual(writes: bool, words: Option<&str>, catalogue: &dyn Catalogue) -> String {
    match words {
        _ if writes => DEFAULT_WRITER.to_owned(),
        Some(_) => catalogue.sound(),
        None => DEFAULT_DRUMMER.to_owned(),
    }
}

fn render(request: &mut Render, music: Option<&Music>, check: &mut Check) {
    let offer = Offer {
        format: None,
        files: &[FileFormat::Wav],
        sound: "acoustic",
        has_tokens: false,
        has_research: false,
        has_stems: false,
    };
    fields::delivered(&mut request.delivered(), &offer, &mut check.problems);
    if request.files.as_ref().is_some_and(Vec::is_empty) {
        check.problems.add(
            "files",
            "at least one of mid, wav, flac, ogg, json, musicxml, abc, svg and png",
            "none",
        );
    }
    let loudness = *request.loudness.get_or_insert(-14.0);
    check.problems.real("loudness", "-40..=-6", |value| (-40.0..=-6.0).contains(&value), Some(loudness));
    let rate = *request.sample_rate.get_or_insert(44_100);
    check.problems.whole("sample_rate", 8000..=192_000, Some(rate));
    if let Some(music) = music {
        let files = request.files.as_deref().unwrap_or_default();
        sounds(music, files, rate, &mut check.problems);
    }
}

/// Whether music has a note and fits into `files`.
pub(crate) fn sounds(music: &Music, files: &[FileFormat], sample_rate: u32, problems: &mut Problems) {
    let size = Size::of(&music.score);
    if size.notes == 0 {
        problems.say(Code::InvalidMidi, music.field, "must have a note to play, got none", None);
    }
    Tally::default().add(&size, files, 1, sample_rate, problems);
}

/// Checks every request of a batch; returns the model that plays them all, `None` after a problem.
fn batch(batch: &mut Batch, catalogue: &dyn Catalogue, check: &mut Check) -> Result<Option<Chosen>, Fault> {
    let most = check.config.limits.max_batch;
    if !(1..=most).contains(&batch.requests.len()) {
        check.problems.add("requests", &format!("1..={most} requests"), batch.requests.len());
        return Ok(None);
    }
    batch.jsonl.get_or_insert(false);
    let mut chosen: Option<Chosen> = None;
    let mut bars = 0;
    let mut ids: HashMap<String, usize> = HashMap::new();
    let asked_of = |request: &mut Generate| {
        let writes = writes(&request.composed());
        request.model.clone().unwrap_or_else(|| usual(writes, words(request), catalogue))
    };
    let first = asked_of(&mut batch.requests[0]);
    for (index, request) in batch.requests.iter_mut().enumerate() {
        check.problems.enter(format!("/requests/{index}"));
        let ordered = request.ordered();
        let why = "it holds for the whole batch";
        let given = [
            ("priority", ordered.priority.is_some()),
            ("timeout", ordered.timeout.is_some()),
            ("webhook", ordered.webhook.is_some()),
        ];
        for (field, is_given) in given {
            check.problems.useless(field, is_given, why);
        }
        if given.iter().all(|(_, is_given)| !is_given) {
            fields::ordered(&ordered, &mut check.problems);
        }
        if let Some(earlier) = request.custom_id.clone().and_then(|id| ids.insert(id, index)) {
            let detail = format!("must be its own, got that of request {earlier}");
            check.problems.say(Code::InvalidRequest, "custom_id", detail, None);
        }
        let asked = asked_of(request);
        if asked != first {
            let allowed = format!("{}, that of the first request", text(&first));
            check.problems.add("model", &allowed, text(&asked));
            continue;
        }
        if chosen.is_none() {
            let writes = writes(&request.composed());
            chosen = check.choose(catalogue, "generate", request.model.as_ref(), writes, words(request))?;
        }
        let Some(chosen) = &chosen else { break };
        match &chosen.description.kind {
            Kind::Drums(kind) => drums::check::generate(request, chosen, kind, check),
            Kind::Melody(kind) => {
                check.problems.useless("mix", request.mix.is_some(), "a batch is played by one model");
                melody::check::generate(request, chosen, kind, check);
            }
            Kind::Chorale => chorale::check::generate(request, chosen, check),
            Kind::Arrange => {}
            Kind::MusicGen(_) => {
                let listens = request.stream == Some(true);
                check.problems.useless("stream", listens, "a batch tells no samples");
                musicgen::check::generate(request, chosen, check);
                continue;
            }
        }
        let takes = request.variations.unwrap_or(1).min(MOST_VARIATIONS) as u64;
        bars += u64::from(request.bars.unwrap_or(1).min(32)) * takes;
    }
    check.problems.enter("");
    if bars > MOST_BATCH_BARS {
        let allowed = format!("at most {MOST_BATCH_BARS} bars, all variations together");
        check.problems.add("requests", &allowed, bars);
    }
    Ok(chosen)
}

/// Checks how many answers there are, `most` at most, and how their tokens are drawn, and fills in what the profile or the
/// model's `usual` settings say.
pub(crate) fn drawn(fields: &mut Sampled, most: usize, usual: Sampling, check: &mut Check) {
    let problems = &mut check.problems;
    problems.whole("variations", 1..=most, Some(*fields.variations.get_or_insert(1)));
    let profile = match fields.profile.take() {
        None => None,
        Some(name) => {
            let found = check.config.profiles.get(&name);
            if found.is_none() {
                let names: Vec<&str> = check.config.profiles.keys().map(String::as_str).collect();
                problems.add("profile", &fields::one_of(&names), text(&name));
            }
            found
        }
    };
    let profile = profile.cloned().unwrap_or_default();
    let temperature = fields.temperature.get_or_insert(profile.temperature.unwrap_or(usual.temperature));
    problems.real("temperature", "(0, 4]", |value| value > 0.0 && value <= 4.0, Some(*temperature));
    let top_k = fields.top_k.get_or_insert(profile.top_k.unwrap_or(usual.top_k));
    problems.whole("top_k", 0..=100_000, Some(*top_k));
    let top_p = fields.top_p.get_or_insert(profile.top_p.unwrap_or(usual.top_p));
    problems.real("top_p", "(0, 1]", |value| value > 0.0 && value <= 1.0, Some(*top_p));
}

/// Fills in the model and the seed.
pub(crate) fn modelled(fields: &mut Modelled, chosen: &Chosen) {
    *fields.model = Some(chosen.name.clone());
    fields.seed.get_or_insert_with(draw_seed);
}

/// A number from the system's randomness.
fn random() -> u64 {
    // The standard library keys its hash maps from it.
    RandomState::new().build_hasher().finish()
}

/// `[0, 1)`
fn draw() -> f64 {
    (random() >> 11) as f64 / (1u64 << 53) as f64
}

/// Below 2^53, so that JavaScript's numbers hold it.
fn draw_seed() -> u64 {
    random() >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_seeds_differ_and_fit_a_double() {
        let seeds: std::collections::HashSet<u64> = (0..1000).map(|_| draw_seed()).collect();
        assert_eq!(seeds.len(), 1000);
        assert!(seeds.iter().all(|seed| *seed < 1 << 53 && *seed as f64 as u64 == *seed));
        assert!((0..1000).all(|_| (0.0..1.0).contains(&draw())));
    }
}
