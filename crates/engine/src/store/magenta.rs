//! The published checkpoints of Magenta: `magenta.yaml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Licence;
use super::catalogue::{Mirror, Model, Played};
use super::layout::MANIFEST;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    licence: Licence,
    groups: Vec<Group>,
}

/// Checkpoints of one place in one form: a file each with `ending`, or without one a folder of magenta-js each.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    family: String,
    place: String,
    mirror: Option<String>,
    ending: Option<String>,
    #[serde(default)]
    prefix: String,
    models: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    says: String,
    /// What Magenta calls the configuration, where that is not the name.
    config: Option<String>,
    megabytes: Option<f64>,
    /// Slots of the attention.
    attention: Option<usize>,
    /// The file's name in the mirror, if it has another there.
    old: Option<String>,
    /// The folder's name in its place, if that is not the model's.
    folder: Option<String>,
    /// Of the only file.
    sha256: Option<String>,
}

pub(super) fn models() -> Vec<Model> {
    let file: File =
        serde_saphyr::from_str(include_str!("magenta.yaml")).expect("the catalogue is part of the program");
    let licence = &file.licence;
    file.groups
        .iter()
        .flat_map(|group| group.models.iter().map(|(id, entry)| model(group, id, entry, licence)))
        .collect()
}

fn model(group: &Group, id: &str, entry: &Entry, licence: &Licence) -> Model {
    let (files, mirrors) = match &group.ending {
        Some(ending) => {
            let name = format!("{id}{ending}");
            let mirror =
                |base: &String, name: &str| Mirror { base: base.clone(), names: vec![name.to_owned()] };
            // Of the archives only the old names that are known are there.
            let old = entry.old.clone().or_else(|| (ending == ".mag").then(|| name.clone()));
            let second = group.mirror.as_ref().zip(old).map(|(base, old)| mirror(base, &old));
            let mirrors = std::iter::once(mirror(&group.place, &name)).chain(second).collect();
            (vec![name], mirrors)
        }
        None => {
            let files = vec![MANIFEST.to_owned(), "config.json".to_owned()];
            let base = format!("{}{}/", group.place, entry.folder.as_deref().unwrap_or(id));
            (files.clone(), vec![Mirror { base, names: files }])
        }
    };
    let first: &Mirror = &mirrors[0];
    let repository = match files.as_slice() {
        [_] => format!("{}{}", first.base, first.names[0]),
        _ => first.base.clone(),
    };
    let sha256 = entry.sha256.iter().map(|sha256| (files[0].clone(), sha256.clone())).collect();
    Model {
        name: format!("{}{id}", group.prefix),
        repository,
        licence: licence.clone(),
        says: entry.says.clone(),
        bytes: (entry.megabytes.unwrap_or(0.0) * 1e6) as u64,
        files,
        mirrors,
        sha256,
        played: Some(Played {
            family: group.family.clone(),
            config: entry.config.clone().unwrap_or_else(|| id.to_owned()),
            attention_length: entry.attention,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::{find, models};
    use super::super::{disk, layout};
    use crate::config::is_name;

    #[test]
    fn every_published_magenta_checkpoint_can_be_asked_for() {
        let magenta: Vec<_> = models().iter().filter(|model| !model.mirrors.is_empty()).collect();
        assert_eq!(magenta.len(), 11 + 15 + 21 + 4 + 4);
        for model in magenta {
            assert!(is_name(&model.name), "{}", model.name);
            assert_eq!(model.licence.id, "LicenseRef-Magenta");
            let played = model.played.as_ref().expect("told");
            assert!(["music_vae", "event_rnn"].contains(&played.family.as_str()), "{model:?}");
            for mirror in &model.mirrors {
                assert!(mirror.base.starts_with("gs://") && mirror.base.ends_with('/'), "{mirror:?}");
                assert_eq!(mirror.names.len(), model.files.len());
                assert!(mirror.names.iter().all(|name| layout::is_file_name(name)), "{mirror:?}");
            }
            assert!(model.files.iter().all(|file| layout::is_file_name(file)), "{model:?}");
            assert!(model.sha256.values().all(|sha256| disk::is_sha256(sha256)), "{model:?}");
        }
    }

    #[test]
    fn magenta_names_lead_to_their_files_and_configurations() {
        let melody = find("cat-mel_2bar_big").expect("published");
        let base = "gs://magentadata/models/music_vae/checkpoints/";
        assert_eq!(melody.repository, format!("{base}cat-mel_2bar_big.tar"));
        assert_eq!(melody.mirrors[1].names, ["mel_2bar_big.ckpt.tar"]);
        let config = |name: &str| find(name).expect("published").played.clone().expect("told");
        assert_eq!(config("cat-drums_2bar_small.hikl").config, "cat-drums_2bar_small");
        assert_eq!(config("groovae_2bar_hits_control").config, "groovae_2bar_hits_control_tfds");
        assert_eq!(config("attention_rnn").attention_length, Some(40));
        assert_eq!(config("js-drum_kit_rnn").attention_length, Some(32));
        assert_eq!(config("basic_rnn").attention_length, None);
        let trio = find("js-trio_16bar_xl").expect("published");
        assert_eq!(trio.repository, "gs://magentadata/js/checkpoints/music_vae/trio_16bar/");
        assert_eq!(trio.bytes, 1_710_000_000);
        let error = find("mel_2bar_small").expect_err("another name").to_string();
        assert!(error.contains("js-mel_2bar_small"), "{error}");
    }
}
