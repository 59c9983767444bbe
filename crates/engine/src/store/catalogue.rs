//! Models that can be pulled by name: `catalogue.yaml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{Error, Licence, Result};
use crate::config::is_name;

/// A published model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub name: String,
    /// Owner and name on the hub.
    pub repository: String,
    pub licence: Licence,
    /// One line for people.
    pub says: String,
    /// Of all files together, as they were published; about.
    pub bytes: u64,
    /// Every file to fetch, and no other.
    pub files: Vec<String>,
}

impl Model {
    /// What to say where it is not installed.
    pub fn missing(&self) -> Error {
        Error::NotInstalled {
            name: self.name.clone(),
            bytes: self.bytes,
            licence: self.licence.id.clone(),
            url: self.licence.url.clone(),
        }
    }
}

/// All published models, by name.
pub fn models() -> &'static [Model] {
    static MODELS: LazyLock<Vec<Model>> = LazyLock::new(read);
    &MODELS
}

/// The published model `name`; its repository's name does too.
///
/// # Errors
/// [`Error::Unknown`] with the nearest names.
pub fn find(name: &str) -> Result<&'static Model> {
    models()
        .iter()
        .find(|model| model.name == name || model.repository == name)
        .ok_or_else(|| unknown(name, &[]))
}

/// Says that there is no model `name`, and which ones there are in the catalogue and in `others`.
pub(super) fn unknown(name: &str, others: &[String]) -> Error {
    let name: String = name.chars().take(64).collect();
    let known = || models().iter().map(|model| model.name.as_str()).chain(others.iter().map(String::as_str));
    let mut near: Vec<(usize, &str)> =
        known().map(|known| (strsim::osa_distance(known, &name), known)).collect();
    near.sort_unstable();
    near.dedup();
    let near: Vec<&str> = near
        .iter()
        .filter(|(distance, _)| *distance <= 2 + name.len() / 6)
        .take(3)
        .map(|near| near.1)
        .collect();
    let hint = match near.as_slice() {
        [] => "`partita models list --available` shows what can be pulled".to_owned(),
        near => format!("did you mean {}?", near.join(" or ")),
    };
    Error::Unknown { name, hint }
}

/// `name` if it may be a model's.
///
/// # Errors
/// [`Error::Name`].
pub(super) fn checked(name: &str) -> Result<&str> {
    if is_name(name) { Ok(name) } else { Err(Error::Name { got: name.chars().take(80).collect() }) }
}

/// Bytes for people: `2.4 GB`, in powers of ten as the hub counts.
pub fn readable(bytes: u64) -> String {
    for (unit, size) in [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)] {
        if bytes as f64 >= size {
            return format!("{:.1} {unit}", bytes as f64 / size);
        }
    }
    format!("{bytes} bytes")
}

fn read() -> Vec<Model> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        licences: BTreeMap<String, Terms>,
        common: Vec<String>,
        models: BTreeMap<String, Entry>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Terms {
        url: String,
        says: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        repository: String,
        licence: String,
        says: String,
        megabytes: u64,
        weights: Vec<String>,
    }
    let file: File =
        serde_saphyr::from_str(include_str!("catalogue.yaml")).expect("the catalogue is part of the program");
    let model = |(name, entry): (String, Entry)| {
        let terms = &file.licences[&entry.licence];
        let licence = Licence { id: entry.licence, url: terms.url.clone(), says: terms.says.clone() };
        let files = file.common.iter().cloned().chain(entry.weights).collect();
        let bytes = entry.megabytes * 1_000_000;
        Model { name, repository: entry.repository, licence, says: entry.says, bytes, files }
    };
    file.models.into_iter().map(model).collect()
}

#[cfg(test)]
mod tests {
    use super::super::layout;
    use super::*;

    #[test]
    fn the_catalogue_names_files_that_make_a_model() {
        assert_eq!(models().len(), 10);
        for model in models() {
            assert!(is_name(&model.name), "{}", model.name);
            assert_eq!(model.repository, format!("facebook/{}", model.name));
            assert_eq!(model.licence.id, "CC-BY-NC-4.0");
            assert!(model.files.iter().all(|file| layout::is_file_name(file)), "{model:?}");
            let mut files = model.files.clone();
            files.sort();
            files.dedup();
            assert_eq!(files.len(), model.files.len(), "{} names a file twice", model.name);
            let weights = layout::choose(|name| files.iter().any(|file| file == name));
            assert!(weights.is_some_and(|first| files.contains(&first.to_owned())), "{}", model.name);
            let shards = files.iter().filter(|file| file.contains("-of-")).count();
            assert_eq!(shards > 0, files.iter().any(|file| file.ends_with(".index.json")), "{}", model.name);
        }
    }

    #[test]
    fn a_name_nearly_right_is_suggested() {
        let error = find("musicgen-smal").expect_err("misspelt").to_string();
        assert_eq!(error, "no model is called \"musicgen-smal\"; did you mean musicgen-small?");
        let error = find("x").expect_err("no such").to_string();
        assert!(error.contains("models list --available"), "{error}");
        assert_eq!(find("facebook/musicgen-melody").expect("there").name, "musicgen-melody");
    }

    #[test]
    fn sizes_are_read_as_the_hub_writes_them() {
        assert_eq!(readable(2_363_000_000), "2.4 GB");
        assert_eq!(readable(236_000_000), "236.0 MB");
        assert_eq!(readable(7_800), "7.8 kB");
        assert_eq!(readable(224), "224 bytes");
    }
}
