//! From defaults, a file, the environment and flags to one checked [`Config`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::environment::{self, Variable};
use super::keys::{KEYS, Key, PROFILE, TARGET, nearest};
use super::rule::{Rule, is_name};
use super::yaml::{At, Kind, Node, parse};
use super::{Config, check};

/// What a configuration comes from, weakest first after the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A YAML file.
    pub file: Option<PathBuf>,
    /// `PARTITA_SERVER__PORT=8080`: two underscores where the YAML has a level. Of the others that begin with `PARTITA_`
    /// only those are let be that something else reads; a wrong value of one that everything runs on is refused here.
    pub environment: Vec<(String, String)>,
    /// `("server.port", "8080")`
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// The file, with the environment of this process.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Sources {
        // A value that is no Unicode is kept in a form that is refused.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        let environment = std::env::vars_os().filter_map(text).collect();
        Sources { file, environment, flags }
    }
}

/// A key that is unknown or holds what it may not.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct Invalid {
    /// `server.port`
    pub key: String,
    /// The file with line and column, the variable, or the flag.
    pub place: String,
    /// What is allowed and what came; for an unknown key the nearest known one.
    pub message: String,
}

/// Largest configuration file.
pub(super) const MAX_BYTES: u64 = 1 << 20;
/// Most values of one list.
const MAX_LIST: usize = 1000;

/// Reads and checks.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn load(sources: &Sources) -> Result<Config, Vec<Invalid>> {
    let mut settings = Settings {
        values: serde_json::to_value(Config::default()).expect("a configuration is plain data"),
        places: BTreeMap::new(),
        errors: vec![],
    };
    if let Some(file) = &sources.file {
        settings.file(file);
    }
    for (name, text) in &sources.environment {
        let origin = Origin { name: name.clone() };
        match environment::sort(name, text) {
            Variable::Key(path) => settings.text(&path, text, &origin),
            Variable::Wrong(message) => settings.fail(name, &origin, None, message),
            Variable::Other => {}
        }
    }
    for (path, text) in &sources.flags {
        settings.text(path, text, &Origin { name: format!("flag {path}") });
    }
    let Settings { values, places, mut errors } = settings;
    if !errors.is_empty() {
        return Err(errors);
    }
    let invalid = |key: &str, message: String| Invalid {
        key: key.to_owned(),
        place: places.get(key).cloned().unwrap_or_else(|| "defaults".into()),
        message,
    };
    match serde_json::from_value::<Config>(values) {
        Ok(config) => {
            errors.extend(check::together(&config).into_iter().map(|(key, message)| invalid(key, message)));
            if errors.is_empty() { Ok(config) } else { Err(errors) }
        }
        Err(error) => Err(vec![invalid("", error.to_string())]),
    }
}

/// A file, a variable or a flag.
struct Origin {
    name: String,
}

impl Origin {
    fn place(&self, at: Option<At>) -> String {
        match at {
            Some((line, column)) => format!("{}:{line}:{column}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Values so far, where each key was set, and what was wrong.
struct Settings {
    values: Value,
    places: BTreeMap<String, String>,
    errors: Vec<Invalid>,
}

impl Settings {
    fn file(&mut self, file: &Path) {
        let origin = Origin { name: file.display().to_string() };
        match read(file) {
            Err(message) => self.fail("", &origin, None, message),
            Ok(text) => match parse(&text) {
                Err((at, message)) => self.fail("", &origin, at, message),
                Ok(node) => self.section("", &node, &origin),
            },
        }
    }

    /// One value out of a variable or a flag.
    fn text(&mut self, path: &str, text: &str, origin: &Origin) {
        let parts: Vec<&str> = path.split('.').collect();
        // The longest beginning that is a key: what follows are names inside it (a profile and its field).
        let found = (1..=parts.len()).rev().find_map(|length| {
            let prefix = parts[..length].join(".");
            KEYS.iter().find(|key| key.path == prefix).map(|key| (key, length))
        });
        let mut node = match found {
            Some((key, length)) if length == parts.len() => key.rule.read(text),
            Some((key, length)) => match (&key.rule, &parts[length..]) {
                (Rule::Profiles, [_, field]) => PROFILE
                    .iter()
                    .find(|key| key.path == *field)
                    .map_or(Node::text(text), |key| key.rule.read(text)),
                _ => key.rule.read(text),
            },
            None => Node::text(text),
        };
        for part in parts.iter().rev() {
            node = Node { at: None, kind: Kind::Map(vec![((*part).to_owned(), node)]) };
        }
        self.section("", &node, origin);
    }

    /// A map of sections and keys below `prefix`.
    fn section(&mut self, prefix: &str, node: &Node, origin: &Origin) {
        let Kind::Map(entries) = &node.kind else {
            // `server:` with nothing but comments below it.
            if !node.is_nothing() {
                let name = if prefix.is_empty() { "the file" } else { prefix };
                self.fail(prefix, origin, node.at, format!("{name} must be a map, got {}", node.shown()));
            }
            return;
        };
        for (name, node) in entries {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if let Some(key) = KEYS.iter().find(|key| key.path == path) {
                self.key(key, node, origin);
            } else if KEYS.iter().any(|key| key.path.starts_with(&format!("{path}."))) {
                self.section(&path, node, origin);
            } else {
                let sections = ["server", "storage", "queue", "lanes", "models", "profiles", "cache"];
                let more = ["retention", "auth", "limits", "webhooks", "log"];
                let known: Vec<String> = match (node.kind.is_section(), prefix.is_empty()) {
                    (true, true) => sections.iter().chain(&more).map(|&name| name.to_owned()).collect(),
                    _ => KEYS.iter().map(|key| key.path.to_owned()).collect(),
                };
                let hint = nearest(&path, known.into_iter());
                self.fail(&path, origin, node.at, format!("unknown key {path}{hint}"));
            }
        }
    }

    fn key(&mut self, key: &Key, node: &Node, origin: &Origin) {
        let value = match &key.rule {
            Rule::Profiles => return self.profiles(node, origin),
            Rule::Aliases => return self.aliases(node, origin),
            Rule::List(form) => self.list(key, Rule::Text(*form), node, origin),
            rule => rule.value(node).or_else(|| self.refuse(key.path, key, node, origin)),
        };
        if let Some(value) = value {
            let pointer = format!("/{}", key.path.replace('.', "/"));
            *self.values.pointer_mut(&pointer).expect("the table holds keys of the configuration only") =
                value;
            self.places.insert(key.path.to_owned(), origin.place(node.at));
        }
    }

    fn list(&mut self, key: &Key, rule: Rule, node: &Node, origin: &Origin) -> Option<Value> {
        let Kind::List(items) = &node.kind else {
            let message =
                format!("{} must be a list of {}, got {}", key.path, key.rule.allowed(), node.shown());
            self.fail(key.path, origin, node.at, message);
            return None;
        };
        if items.len() > MAX_LIST {
            let message = format!("{} must hold at most {MAX_LIST} values, got {}", key.path, items.len());
            self.fail(key.path, origin, node.at, message);
            return None;
        }
        let before = self.errors.len();
        let values = items.iter().enumerate().filter_map(|(i, item)| {
            let name = format!("{}[{i}]", key.path);
            rule.value(item).or_else(|| self.refuse(&name, key, item, origin))
        });
        let values: Vec<Value> = values.collect();
        (self.errors.len() == before).then_some(Value::Array(values))
    }

    /// Profiles are added by name; of one that exists only the given fields change.
    fn profiles(&mut self, node: &Node, origin: &Origin) {
        for (name, node) in self.named("profiles", node, origin) {
            let path = format!("profiles.{name}");
            let Some(fields) = self.fields(&path, PROFILE, &node, origin) else { continue };
            let profiles = self.values["profiles"].as_object_mut().expect("profiles are a map");
            let profile = profiles.entry(name).or_insert_with(|| Value::Object(Map::new()));
            profile.as_object_mut().expect("a profile is a map").extend(fields);
        }
    }

    fn aliases(&mut self, node: &Node, origin: &Origin) {
        for (name, node) in self.named("models.aliases", node, origin) {
            let (path, at) = (format!("models.aliases.{name}"), node.at);
            let targets = match node.kind {
                Kind::List(list) if !list.is_empty() && list.len() <= MAX_LIST => list,
                // One model may stand alone.
                Kind::Text(_) => vec![node],
                _ => {
                    let message =
                        format!("{path} must be a list of 1..={MAX_LIST} models, got {}", node.shown());
                    self.fail(&path, origin, node.at, message);
                    continue;
                }
            };
            let before = self.errors.len();
            let mut values = vec![];
            for (i, target) in targets.into_iter().enumerate() {
                let path = format!("{path}[{i}]");
                let at = target.at;
                let target = match target.kind {
                    Kind::Text(_) => Node { at, kind: Kind::Map(vec![("model".into(), target)]) },
                    _ => target,
                };
                let Some(fields) = self.fields(&path, TARGET, &target, origin) else { continue };
                if !fields.contains_key("model") {
                    self.fail(&path, origin, at, format!("{path} must name a model, got none"));
                }
                values.push(Value::Object(fields));
            }
            if self.errors.len() == before {
                self.values["models"]["aliases"][name.as_str()] = Value::Array(values);
                self.places.insert("models.aliases".into(), origin.place(at));
            }
        }
    }

    /// Entries of a map whose keys are names.
    fn named(&mut self, path: &str, node: &Node, origin: &Origin) -> Vec<(String, Node)> {
        let Kind::Map(entries) = &node.kind else {
            if !node.is_nothing() {
                self.fail(path, origin, node.at, format!("{path} must be a map, got {}", node.shown()));
            }
            return vec![];
        };
        let (good, bad): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|(name, _)| is_name(name));
        for (name, node) in bad {
            let allowed = "1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit";
            let message = format!("names in {path} must be {allowed}, got {:?}", Node::text(&name).shown());
            self.fail(path, origin, node.at, message);
        }
        good
    }

    /// The fields of a small map; `None` if any is wrong.
    fn fields(
        &mut self,
        path: &str,
        known: &[Key],
        node: &Node,
        origin: &Origin,
    ) -> Option<Map<String, Value>> {
        let Kind::Map(entries) = &node.kind else {
            self.fail(path, origin, node.at, format!("{path} must be a map, got {}", node.shown()));
            return None;
        };
        let before = self.errors.len();
        let mut fields = Map::new();
        for (name, node) in entries {
            let full = format!("{path}.{name}");
            let Some(key) = known.iter().find(|key| key.path == name) else {
                let hint = nearest(&full, known.iter().map(|key| format!("{path}.{}", key.path)));
                self.fail(&full, origin, node.at, format!("unknown key {full}{hint}"));
                continue;
            };
            match key.rule.value(node) {
                Some(value) => drop(fields.insert(name.clone(), value)),
                None => drop(self.refuse(&full, key, node, origin)),
            }
        }
        (self.errors.len() == before).then_some(fields)
    }

    fn refuse(&mut self, path: &str, key: &Key, node: &Node, origin: &Origin) -> Option<Value> {
        let (allowed, got) = (key.rule.allowed(), key.rule.got(key.secret, node));
        let one_of = if matches!(key.rule, Rule::OneOf(_)) { "one of " } else { "" };
        self.fail(path, origin, node.at, format!("{path} must be {one_of}{allowed}, got {got}"));
        None
    }

    fn fail(&mut self, key: &str, origin: &Origin, at: Option<At>, message: String) {
        self.errors.push(Invalid { key: key.to_owned(), place: origin.place(at), message });
    }
}

impl Kind {
    fn is_section(&self) -> bool {
        matches!(self, Kind::Map(_) | Kind::Plain(Value::Null))
    }
}

fn read(file: &Path) -> Result<String, String> {
    // The system's words without its number.
    let words = |error: &std::io::Error| error.to_string().split(" (os error").next().map(str::to_lowercase);
    let unreadable = |error: std::io::Error| format!("cannot be read: {}", words(&error).unwrap_or_default());
    let bytes = std::fs::metadata(file).map_err(unreadable)?.len();
    if bytes > MAX_BYTES {
        return Err(format!("must be at most {MAX_BYTES} bytes, got {bytes}"));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("must be UTF-8 text, got other bytes in line {}", line(&error.as_bytes()[..at]))
    })
}

/// The line after these bytes, counted from 1.
fn line(before: &[u8]) -> usize {
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}
