//! Models that can be pulled by name: `catalogue.yaml`, and those of Magenta in `magenta.yaml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{Error, Licence, Result, disk, layout, magenta};
use crate::config::is_name;

/// A published model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub name: String,
    /// Owner and name on the hub; of a model elsewhere its first address.
    pub repository: String,
    pub licence: Licence,
    /// One line for people.
    pub says: String,
    /// Of all files together, as they were published; about. 0 where nobody knows it.
    pub bytes: u64,
    /// Every file to fetch, and no other; beside a manifest of magenta-js also those that it names.
    pub files: Vec<String>,
    /// Where the files are, in the order in which they are tried; none for a model of the hub.
    pub mirrors: Vec<Mirror>,
    /// What files must hash to, where that is known.
    pub sha256: BTreeMap<String, String>,
    /// Who plays it, where its files do not say so themselves.
    pub played: Option<Played>,
}

/// A place with all files of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Up to the last slash: `https://`, `gs://bucket/`, `s3://bucket/` or `file:///`.
    pub base: String,
    /// What each of the model's files is called there.
    pub names: Vec<String>,
}

/// How a model is played.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// `music_vae` or `event_rnn`.
    pub family: String,
    /// What Magenta calls its configuration.
    pub config: String,
    /// Slots of the attention, which the weights do not tell.
    pub attention_length: Option<usize>,
}

impl Model {
    /// [`Model::bytes`] for people.
    pub fn size(&self) -> String {
        if self.bytes == 0 { "size unknown".to_owned() } else { readable(self.bytes) }
    }

    /// A model at an address of the user's: an archive, a bundle, one file of weights, or a folder of magenta-js, which
    /// is named by a slash at its end or by its manifest. `sha256`: of the one file, if it is known.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Setting`] for what is no address of a file.
    pub fn at(name: &str, address: &str, sha256: Option<&str>) -> Result<Model> {
        let name = checked(name)?.to_owned();
        let wrong = |what, allowed| {
            let got = address.chars().take(80).collect();
            Err(Error::Setting { what, allowed, got })
        };
        let address_of = address.strip_suffix(layout::MANIFEST).unwrap_or(address);
        let Some((base, file)) = address_of.rsplit_once('/').filter(|_| !address.contains(['?', '#'])) else {
            return wrong("address", "https://, gs://, s3:// or file:// with a path and no query");
        };
        let base = format!("{base}/");
        let files = if file.is_empty() {
            vec![layout::MANIFEST.to_owned(), layout::CONFIG.to_owned()]
        } else {
            vec![file.to_owned()]
        };
        if !files.iter().all(|file| layout::is_file_name(file)) {
            return wrong("address", "one with a file name of letters, digits, '.', '_' and '-'");
        }
        let sha256 = match sha256 {
            Some(sha256) if !disk::is_sha256(sha256) || files.len() > 1 => {
                return wrong("sha256", "64 digits 0-9 and a-f, for an address of one file");
            }
            sha256 => sha256.map(|sha256| (files[0].clone(), sha256.to_owned())).into_iter().collect(),
        };
        let mirrors = vec![Mirror { base, names: files.clone() }];
        let (repository, says) = (address.to_owned(), String::new());
        let licence = Licence::unknown();
        Ok(Model { name, repository, licence, says, bytes: 0, files, mirrors, sha256, played: None })
    }
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
        let (repository, says) = (entry.repository, entry.says);
        let (mirrors, sha256, played) = (vec![], BTreeMap::new(), None);
        Model { name, repository, licence, says, bytes, files, mirrors, sha256, played }
    };
    file.models.into_iter().map(model).chain(magenta::models()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::layout;
    use super::*;

    #[test]
    fn the_catalogue_names_files_that_make_a_model() {
        let of_the_hub: Vec<_> = models().iter().filter(|model| model.mirrors.is_empty()).collect();
        assert_eq!(of_the_hub.len(), 10);
        for model in of_the_hub {
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
    fn an_address_is_that_of_a_file_or_of_a_folder_with_a_manifest() {
        let hash = "ab".repeat(32);
        let one = Model::at("mine", "https://host/a/model.tar", Some(&hash)).expect("good");
        assert_eq!((one.files[0].as_str(), one.mirrors[0].base.as_str()), ("model.tar", "https://host/a/"));
        assert_eq!(one.sha256["model.tar"], hash);
        for address in ["s3://bucket/x/", "s3://bucket/x/weights_manifest.json"] {
            let folder = Model::at("mine", address, None).expect("good");
            assert_eq!(folder.files, ["weights_manifest.json", "config.json"]);
            assert_eq!(folder.mirrors[0].base, "s3://bucket/x/");
        }
        for (name, address, sha256) in [
            ("Mine", "https://host/a.tar", None),
            ("mine", "a.tar", None),
            ("mine", "https://host/a b", None),
            ("mine", "https://host/..", None),
            ("mine", "https://host/a.tar?signature=x", None),
            ("mine", "https://host/a.tar", Some("0")),
            ("mine", "https://host/a/", Some(hash.as_str())),
        ] {
            assert!(Model::at(name, address, sha256).is_err(), "{name} {address} {sha256:?}");
        }
    }

    #[test]
    fn sizes_are_read_as_the_hub_writes_them() {
        assert_eq!(readable(2_363_000_000), "2.4 GB");
        assert_eq!(readable(236_000_000), "236.0 MB");
        assert_eq!(readable(7_800), "7.8 kB");
        assert_eq!(readable(224), "224 bytes");
    }
}
