//! The hub's layout of a model's folder: which files make it, and what they must say of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::{Error, Result};

pub(crate) const CONFIG: &str = "config.json";
/// Names the files of weights of a model by magenta-js.
pub(super) const MANIFEST: &str = "weights_manifest.json";
/// Beside [`CONFIG`] and the weights: without these nothing can be generated.
pub(super) const REQUIRED: [&str; 1] = ["tokenizer.json"];
/// Taken along where they are. With `vocab.json` MidiTok's tokenizers say the order of their tokens.
pub(super) const OPTIONAL: [&str; 3] = ["generation_config.json", "preprocessor_config.json", "vocab.json"];

/// Weights, in the order in which they are looked for.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];
/// Kinds of model (`model_type`) that this program plays.
const KINDS: [&str; 3] = ["musicgen", "musicgen_melody", "gpt2"];
/// Of a configuration; published ones have 8 kB.
const MAX_CONFIG: u64 = 1 << 20;
/// Files that a manifest names; the largest published model has some hundred.
#[cfg(feature = "hub")]
const MAX_SHARDS: usize = 4096;
/// Of an index; published ones have some 100 kB.
const MAX_INDEX: u64 = 32 << 20;

/// Whether a name from outside can be a file in a model's folder: letters, digits, `.`, `_` and `-`, so that it can
/// lead nowhere else, and nothing that the store appends itself.
pub(super) fn is_file_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && ![".part", ".done", ".state"].iter().any(|own| name.ends_with(own))
}

/// The file with a model's weights, or with the index of their parts, among those that are there.
pub(super) fn choose(is_there: impl Fn(&str) -> bool) -> Option<&'static str> {
    WEIGHTS.into_iter().find(|name| is_there(name))
}

/// The parts that the index `weights` at `path` names, sorted; none if `weights` is no index.
///
/// # Errors
/// `Content` for an index that is none, or whose names are not those of files beside it.
pub(super) fn parts(weights: &str, path: &Path) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    if !weights.ends_with(".index.json") {
        return Ok(vec![]);
    }
    let text = read(weights, path, MAX_INDEX)?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| Error::content(weights, format!("must have a weight_map of names: {error}")))?;
    let parts: BTreeSet<String> = index.weight_map.into_values().collect();
    if parts.is_empty() {
        return Err(Error::content(weights, "names no file of weights"));
    }
    if let Some(wrong) = parts.iter().find(|part| !is_file_name(part) || part.ends_with(".json")) {
        let wrong: String = wrong.chars().take(80).collect();
        let why = format!("must name files of weights beside it, got {wrong:?}");
        return Err(Error::content(weights, why));
    }
    Ok(parts.into_iter().collect())
}

/// The files of weights that the manifest at `path` names, sorted.
///
/// # Errors
/// `Content` for a manifest that is none, or whose names are not those of files beside it.
#[cfg(feature = "hub")]
pub(super) fn shards(path: &Path) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Group {
        paths: Vec<String>,
    }
    let text = read(MANIFEST, path, MAX_CONFIG)?;
    let groups: Vec<Group> = serde_json::from_slice(&text)
        .map_err(|error| Error::content(MANIFEST, format!("must be a list of groups of weights: {error}")))?;
    let names: BTreeSet<String> = groups.into_iter().flat_map(|group| group.paths).collect();
    let is_weights = |name: &str| is_file_name(name) && !name.ends_with(".json");
    if let Some(wrong) = names.iter().find(|name| !is_weights(name)) {
        let wrong: String = wrong.chars().take(80).collect();
        let why = format!("must name files of weights beside it, got {wrong:?}");
        return Err(Error::content(MANIFEST, why));
    }
    if !(1..=MAX_SHARDS).contains(&names.len()) {
        let why = format!("must name 1..={MAX_SHARDS} files of weights, got {}", names.len());
        return Err(Error::content(MANIFEST, why));
    }
    Ok(names.into_iter().collect())
}

/// Checks that the configuration at `path` is that of a model which this program plays.
///
/// # Errors
/// `Content`.
pub(super) fn check_config(path: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Config {
        model_type: Option<String>,
    }
    let text = read(CONFIG, path, MAX_CONFIG)?;
    let config: Config = serde_json::from_slice(&text)
        .map_err(|error| Error::content(CONFIG, format!("must be the JSON of a model: {error}")))?;
    let kind = config.model_type.unwrap_or_default();
    if KINDS.contains(&kind.as_str()) {
        return Ok(());
    }
    let kind: String = kind.chars().take(64).collect();
    let [first @ .., last] = KINDS;
    let allowed = format!("{} or {last}", first.join(", "));
    Err(Error::content(CONFIG, format!("must have a model_type of {allowed}, got {kind:?}")))
}

/// Checks that the files `names`, found at `at`, make a model, and nothing that its index names is missing.
///
/// # Errors
/// `Content`.
pub(super) fn check<'a>(names: &[&str], at: impl Fn(&str) -> std::path::PathBuf + 'a) -> Result<()> {
    check_config(&at(CONFIG))?;
    let Some(weights) = choose(|name| names.contains(&name)) else {
        return Err(Error::content("the model", format!("must have one of {}", WEIGHTS.join(", "))));
    };
    for part in parts(weights, &at(weights))? {
        if !names.contains(&part.as_str()) {
            let why = format!("names {part}, which is not among the files of the model");
            return Err(Error::content(weights, why));
        }
    }
    Ok(())
}

fn read(name: &str, path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut text = vec![];
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut text));
    read.map_err(|source| Error::io("read", path, source))?;
    if text.len() as u64 > most {
        return Err(Error::content(name, format!("must have at most {most} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_no_file_names() {
        for name in ["config.json", "model-00001-of-00002.safetensors", "a", "1_b-C.x"] {
            assert!(is_file_name(name), "{name}");
        }
        let long = "a".repeat(129);
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "../a",
            "a/b",
            "a\\b",
            "/etc/passwd",
            "C:",
            "a b",
            "a\0b",
            "a\n",
            "ä",
            &long,
            "model.part",
            "model.done",
            "model.state",
        ] {
            assert!(!is_file_name(name), "{name:?}");
        }
    }

    #[test]
    fn an_index_names_files_beside_it_or_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index");
        let parts = |text: &str| {
            std::fs::write(&path, text).expect("written");
            parts("model.safetensors.index.json", &path).map_err(|error| error.to_string())
        };
        let both = r#"{"metadata":{},"weight_map":{"a":"m-2.bin","b":"m-1.bin","c":"m-2.bin"}}"#;
        assert_eq!(parts(both).expect("good"), ["m-1.bin", "m-2.bin"]);
        for (text, why) in [
            (r#"{"weight_map":{"a":"../../secret"}}"#, "beside it, got \"../../secret\""),
            (r#"{"weight_map":{"a":"/etc/passwd"}}"#, "beside it"),
            (r#"{"weight_map":{"a":"config.json"}}"#, "beside it"),
            (r#"{"weight_map":{}}"#, "names no file"),
            (r#"{"weight_map":{"a":3}}"#, "weight_map"),
            ("<html>", "weight_map"),
            ("", "weight_map"),
        ] {
            let error = parts(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn weights_are_looked_for_in_one_order() {
        let all = ["pytorch_model.bin", "model.safetensors.index.json", "model.safetensors"];
        let among = |names: &[&str]| choose(|name| names.contains(&name));
        assert_eq!(among(&all), Some("model.safetensors"));
        assert_eq!(among(&all[..2]), Some("model.safetensors.index.json"));
        assert_eq!(among(&all[..1]), Some("pytorch_model.bin"));
        assert_eq!(among(&["state_dict.bin", "model.fp32.safetensors"]), None);
    }
}
