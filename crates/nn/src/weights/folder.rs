//! The weights of a model folder: one file, an index and its shards, or a checkpoint by whatever name.
//!
//! ```text
//! {"metadata": {"total_size": bytes}, "weight_map": {"tensor": "file in the same folder"}}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::beside::is_file_name;
use super::source::Source;
use super::{About, Index, Tensors, tfjs};
use crate::{Error, Result};

/// In the order of preference: the whole file, or else the index.
const LAYOUTS: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// Says which of several checkpoints is the newest.
const CHECKPOINT: &str = "checkpoint";
/// Of it, in bytes.
const MAX_CHECKPOINT: u64 = 1 << 16;
/// A checkpoint in one file.
const ARCHIVES: [&str; 4] = [".tar", ".tar.gz", ".tgz", ".mag"];

/// Of an index, in bytes; the largest published ones have a tenth of it.
const MAX_INDEX: u64 = 1 << 24;

#[derive(Deserialize)]
struct Sharded {
    #[serde(default)]
    metadata: Metadata,
    weight_map: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    /// Some writers leave it out, and some write whole numbers as floats.
    total_size: Option<f64>,
}

pub(super) fn open(folder: &Path) -> Result<Tensors> {
    let found = folder.read_dir().map(|_| ());
    found.map_err(|source| Error::Read { path: folder.display().to_string(), source })?;
    // A link that leads nowhere counts as there: a half-fetched model is an error, no reason to look on.
    let there = |name: &str| folder.join(name).symlink_metadata().is_ok();
    for (whole, index) in LAYOUTS {
        if there(whole) {
            return Tensors::read(folder.join(whole));
        }
        if there(index) {
            return sharded(folder, index);
        }
    }
    if there(tfjs::MANIFEST) {
        return Tensors::read(folder.join(tfjs::MANIFEST));
    }
    if there(CHECKPOINT) {
        let prefix = newest(&folder.join(CHECKPOINT))?;
        // A checkpoint of V1 is the file itself.
        let whole = folder.join(&prefix);
        return Tensors::read(if whole.is_file() { whole } else { folder.join(prefix + ".index") });
    }
    // By the only name of its kind: of several nobody can say which is meant.
    for endings in [&[".index"][..], &ARCHIVES] {
        let found = named(folder, endings)?;
        match found.as_slice() {
            [] => {}
            [only] => return Tensors::read(folder.join(only)),
            [one, other, ..] => {
                let what = format!("must hold one file ending in {}", endings.join(", "));
                let folder = folder.display();
                return Err(Error::Format(format!("{folder} {what}, got {one:?} and {other:?}: name one")));
            }
        }
    }
    let names: Vec<&str> = LAYOUTS.into_iter().flat_map(|(whole, index)| [whole, index]).collect();
    let (folder, names, archives) = (folder.display(), names.join(", "), ARCHIVES.join(", "));
    let more = format!("{}, {CHECKPOINT}, or a file ending in .index, {archives}", tfjs::MANIFEST);
    Err(Error::Format(format!("{folder} must hold one of {names}, {more}, got none")))
}

/// The files of a folder whose names end so, sorted; at most two.
fn named(folder: &Path, endings: &[&str]) -> Result<Vec<String>> {
    let read = |source| Error::Read { path: folder.display().to_string(), source };
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(read)? {
        let entry = entry.map_err(read)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if endings.iter().any(|end| name.ends_with(end)) && !name.starts_with("._") && entry.path().is_file()
        {
            found.push(name);
            // The least two say the same whatever the order of the folder.
            found.sort();
            found.truncate(2);
        }
    }
    Ok(found)
}

/// The prefix of the newest checkpoint, by the first line of the text that TensorFlow writes beside it.
fn newest(path: &Path) -> Result<String> {
    let file = Source::open(path)?;
    let text = file.section(0, file.length().min(MAX_CHECKPOINT)).map_err(|what| file.fault(&what))?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.trim().strip_prefix("model_checkpoint_path:"));
    let quoted = line.and_then(|line| line.trim().strip_prefix('"')?.strip_suffix('"'));
    let prefix = quoted.ok_or_else(|| file.fault("must have a line model_checkpoint_path: \"PREFIX\""))?;
    // Where it was written does not matter: the files are beside it.
    let own = prefix.rsplit(['/', '\\']).next().unwrap_or(prefix);
    if !is_file_name(own) {
        return Err(
            file.fault(&format!("must name a checkpoint of the same folder, got {}", super::quoted(own)))
        );
    }
    Ok(own.to_owned())
}

fn sharded(folder: &Path, name: &str) -> Result<Tensors> {
    let file = Source::open(&folder.join(name))?;
    let fault = |what: &str| file.fault(what);
    if file.length() > MAX_INDEX {
        return Err(fault(&format!("an index must have at most {MAX_INDEX} bytes, got {}", file.length())));
    }
    let text = file.section(0, file.length()).map_err(|what| fault(&what))?;
    let Sharded { metadata, weight_map } =
        serde_json::from_slice(&text).map_err(|error| fault(&error.to_string()))?;

    let mut tensors = Tensors { sources: Vec::new(), index: Index::new(), about: About::default() };
    // By name: its number, and the tensors that the index has not claimed yet.
    let mut shards: BTreeMap<String, (usize, Index)> = BTreeMap::new();
    for (tensor, shard) in weight_map {
        if !shards.contains_key(&shard) {
            if !is_file_name(&shard) {
                let what =
                    format!("tensor {tensor:?}: a shard must be a file of the same folder, got {shard:?}");
                return Err(fault(&what));
            }
            let opened = Tensors::read(folder.join(&shard)).map_err(|error| {
                // A broken shard names itself and its tensor; one that is not there has no tensor to name.
                let Error::Read { path, source } = error else { return error };
                fault(&format!("tensor {tensor:?}: cannot read its shard {path}: {source}"))
            })?;
            shards.insert(shard.clone(), (tensors.sources.len(), opened.index));
            tensors.sources.extend(opened.sources);
        }
        let found = shards.get_mut(&shard).and_then(|(at, index)| Some((*at, index.remove(&tensor)?)));
        let Some((at, mut entry)) = found else {
            let shard = folder.join(&shard);
            return Err(fault(&format!("tensor {tensor:?} must be in {}, but it is not", shard.display())));
        };
        for span in &mut entry.spans {
            span.source += at;
        }
        tensors.index.insert(tensor, entry);
    }

    if let Some(expected) = metadata.total_size {
        check_total(&tensors.index, expected).map_err(|what| fault(&what))?;
    }
    Ok(tensors)
}

/// Tensors that share a storage count each or together: writers of torch files have done both.
fn check_total(index: &Index, expected: f64) -> Result<(), String> {
    let each: u128 = index.values().map(|entry| u128::from(entry.bytes)).sum();
    let spans = index.values().flat_map(|entry| &entry.spans);
    let places: BTreeSet<_> = spans.map(|span| (span.source, span.at, span.bytes)).collect();
    let together: u128 = places.into_iter().map(|(_, _, bytes)| u128::from(bytes)).sum();
    // Exact up to 2^53 bytes, which no folder reaches.
    if expected == each as f64 || expected == together as f64 {
        return Ok(());
    }
    Err(format!("the tensors must have {expected} bytes in all (metadata.total_size), got {each}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::fixture::{self, Tied};
    use super::*;

    /// A folder of two safetensors shards of 8 and 4 bytes under this index.
    fn folder(index: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        file("one.safetensors", &fixture::safetensors(&[("a", &[1.0]), ("b", &[2.0])]));
        file("two.safetensors", &fixture::safetensors(&[("c", &[3.0])]));
        file("model.safetensors.index.json", index.as_bytes());
        folder
    }

    fn index(total: &str, c: &str) -> String {
        format!(
            r#"{{"metadata": {{"total_size": {total}}}, "weight_map": {{
                "a": "one.safetensors", "b": "one.safetensors", "c": {c:?}}}}}"#
        )
    }

    fn refused(folder: &Path) -> String {
        Tensors::open(folder).err().expect("refused").to_string()
    }

    #[test]
    fn shards_are_one_set_of_tensors() {
        for total in ["12", "12.0"] {
            let folder = folder(&index(total, "two.safetensors"));
            let tensors = Tensors::open(folder.path()).unwrap();
            assert_eq!(tensors.names().collect::<Vec<_>>(), ["a", "b", "c"]);
            for (name, value) in [("a", 1.0), ("b", 2.0), ("c", 3.0)] {
                assert_eq!(tensors.f32(name, &[1]).unwrap(), [value]);
            }
        }
        let untold = r#"{"weight_map": {"b": "one.safetensors"}}"#;
        let folder = folder(untold);
        let tensors = Tensors::open(folder.path()).unwrap();
        assert_eq!(tensors.names().collect::<Vec<_>>(), ["b"], "what the index does not name is not there");
    }

    #[test]
    fn contradictions_between_index_and_shards_name_file_and_tensor() {
        let message = |index: &str| refused(folder(index).path());
        for total in ["8", "13", "0", "1e300"] {
            let message = message(&index(total, "two.safetensors"));
            assert!(message.contains("index.json") && message.contains("total_size"), "{message}");
        }
        let other = message(&index("12", "one.safetensors"));
        assert!(other.contains("\"c\"") && other.contains("one.safetensors"), "{other}");
        let absent = message(&index("12", "three.safetensors"));
        assert!(absent.contains("\"c\"") && absent.contains("three.safetensors"), "{absent}");

        let folder = folder(&index("12", "two.safetensors"));
        let two = folder.path().join("two.safetensors");
        let whole = fs::read(&two).unwrap();
        for length in 0..whole.len() {
            fs::write(&two, &whole[..length]).unwrap();
            let message = refused(folder.path());
            assert!(message.contains("two.safetensors"), "{message}");
        }
        fs::write(&two, &whole[..whole.len() - 1]).unwrap();
        assert!(refused(folder.path()).contains("\"c\""));
    }

    #[test]
    fn a_shard_is_a_file_of_the_same_folder() {
        let outside = tempfile::tempdir().unwrap();
        let path = outside.path().join("two.safetensors");
        fs::write(&path, fixture::safetensors(&[("c", &[3.0])])).unwrap();
        let outside = path.to_str().unwrap();
        for shard in [
            outside,
            "../two.safetensors",
            "./two.safetensors",
            "x/../two.safetensors",
            "..",
            ".",
            "",
            "/",
            "two.safetensors/",
            "..\\two.safetensors",
            "C:two.safetensors",
            "two.safetensors\0",
        ] {
            let escaped = serde_json::to_string(shard).unwrap();
            let text = index("12", "SHARD").replace("\"SHARD\"", &escaped);
            let message = refused(folder(&text).path());
            assert!(message.contains("\"c\"") && message.contains("same folder"), "{shard:?}: {message}");
        }
    }

    #[test]
    fn damaged_indexes_are_refused() {
        for text in ["", "{}", "[]", "{\"weight_map\": {\"a\": 1}}", "{\"weight_map\": [", "null"] {
            let message = refused(folder(text).path());
            assert!(message.contains("index.json"), "{text:?}: {message}");
        }
        let folder = folder("");
        let index = fs::File::create(folder.path().join("model.safetensors.index.json")).unwrap();
        index.set_len(MAX_INDEX + 1).unwrap();
        assert!(refused(folder.path()).contains("at most"));
    }

    #[test]
    fn safetensors_come_before_torch_and_whole_files_before_shards() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        file("model.fp32.safetensors", &fixture::safetensors(&[("x", &[0.0])]));
        file("model.safetensors.index.fp32.json", b"{}");
        file("state_dict.bin", b"");
        let message = refused(folder.path());
        assert!(message.contains("model.safetensors, ") && message.ends_with("got none"), "{message}");
        assert!(refused(&folder.path().join("absent")).starts_with("cannot read"));

        let a = |value: f32| fixture::safetensors(&[("a", &[value])]);
        let shard = |to: &str| format!(r#"{{"weight_map": {{"a": "{to}"}}}}"#);
        file("one.bin", &fixture::torch(&[Tied { names: &["a"], values: &[1.0] }]));
        file("two.safetensors", &a(3.0));
        for (name, bytes, expected) in [
            ("pytorch_model.bin.index.json", shard("one.bin").into_bytes(), 1.0),
            ("pytorch_model.bin", fixture::torch(&[Tied { names: &["a"], values: &[2.0] }]), 2.0),
            ("model.safetensors.index.json", shard("two.safetensors").into_bytes(), 3.0),
            ("model.safetensors", a(4.0), 4.0),
        ] {
            file(name, &bytes);
            assert_eq!(Tensors::open(folder.path()).unwrap().f32("a", &[1]).unwrap(), [expected], "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_one_that_leads_nowhere_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("blobs")).unwrap();
        fs::create_dir_all(folder.path().join("snapshot")).unwrap();
        let (blob, snapshot) = (folder.path().join("blobs/0123"), folder.path().join("snapshot"));
        fs::write(snapshot.join("pytorch_model.bin"), []).unwrap();
        std::os::unix::fs::symlink("../blobs/0123", snapshot.join("model.safetensors")).unwrap();
        assert!(refused(&snapshot).contains("model.safetensors"));
        fs::write(blob, fixture::safetensors(&[("a", &[5.0])])).unwrap();
        assert_eq!(Tensors::open(&snapshot).unwrap().f32("a", &[1]).unwrap(), [5.0]);
    }

    #[test]
    fn a_shared_storage_counts_once_or_for_each_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        let tied = Tied { names: &["a", "b"], values: &[1.0, 2.0] };
        file("one.bin", &fixture::torch(&[tied, Tied { names: &["c"], values: &[3.0] }]));
        let open = |total: u32| {
            let map = r#"{"a": "one.bin", "b": "one.bin", "c": "one.bin"}"#;
            let index = format!(r#"{{"metadata": {{"total_size": {total}}}, "weight_map": {map}}}"#);
            file("pytorch_model.bin.index.json", index.as_bytes());
            Tensors::open(folder.path())
        };
        for total in [12, 20] {
            assert_eq!(open(total).unwrap().f32("b", &[2]).unwrap(), [1.0, 2.0]);
        }
        for total in [0, 4, 8, 16, 24] {
            assert!(open(total).is_err(), "{total}");
        }
    }
}
