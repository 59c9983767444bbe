//! Weight files as the original libraries write them. `PARTITA_VECTORS` names a directory with
//! `hf/musicgen_*` inside; without it the copy in `testdata/reference` is used.

use std::fs;
use std::path::{Path, PathBuf};

use partita_nn::{Error, Tensors};

fn directory(model: &str) -> PathBuf {
    let root = std::env::var_os("PARTITA_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference"),
        PathBuf::from,
    );
    root.join("hf").join(model)
}

fn names(tensors: &Tensors) -> Vec<&str> {
    tensors.names().collect()
}

fn floats(tensors: &Tensors, name: &str) -> Vec<f32> {
    let shape = tensors.shape(name).expect("the tensor is there");
    tensors.f32(name, shape).expect("floats")
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The tied embedding, which torch files list twice.
const TIED: &str = "text_encoder.encoder.embed_tokens.weight";

#[test]
fn musicgen_torch_file_equals_safetensors_tensor_by_tensor() {
    let folder = directory("musicgen_mono");
    let torch = Tensors::read(folder.join("pytorch_model.bin")).unwrap();
    let safe = Tensors::open(&folder).unwrap();
    let untied: Vec<&str> = torch.names().filter(|&name| name != TIED).collect();
    assert_eq!(untied, names(&safe));
    assert_eq!(untied.len(), 180);
    for name in untied {
        assert_eq!(torch.shape(name), safe.shape(name), "{name}");
        assert_eq!(bits(&floats(&torch, name)), bits(&floats(&safe, name)), "{name}");
    }
    let shared = "text_encoder.shared.weight";
    assert_eq!(torch.shape(TIED), torch.shape(shared));
    assert_eq!(floats(&torch, TIED), floats(&safe, shared));
}

#[test]
fn musicgen_files_give_the_same_from_memory_and_row_by_row() {
    let mono = directory("musicgen_mono");
    for path in [
        mono.join("pytorch_model.bin"),
        mono.join("model.newnames.safetensors"),
        directory("musicgen_stereo").join("model.safetensors"),
    ] {
        let tensors = Tensors::read(&path).unwrap();
        let memory = Tensors::from_bytes(fs::read(&path).unwrap()).unwrap();
        assert_eq!(names(&tensors), names(&memory));
        for name in tensors.names() {
            let whole = floats(&tensors, name);
            assert_eq!(bits(&whole), bits(&floats(&memory, name)), "{name}");
            let shape = tensors.shape(name).unwrap();
            assert_eq!(whole.len(), shape.iter().product::<usize>());
            let Some(&rows) = shape.first() else { continue };
            let row = |row: usize| tensors.rows(name, shape, row..row + 1).unwrap();
            assert_eq!(bits(&whole), bits(&(0..rows).flat_map(row).collect::<Vec<_>>()), "{name}");
        }
    }
}

/// The same weights under the names of two versions of the library.
#[test]
fn musicgen_weights_are_the_same_under_new_names() {
    let folder = directory("musicgen_mono");
    let old = Tensors::read(folder.join("model.safetensors")).unwrap();
    let new = Tensors::read(folder.join("model.newnames.safetensors")).unwrap();
    let mut renamed = 0;
    for name in old.names() {
        let today = name
            .replace(".weight_g", ".parametrizations.weight.original0")
            .replace(".weight_v", ".parametrizations.weight.original1");
        if !new.contains(&today) {
            assert!(name.ends_with("embed_positions.weights"), "{name} has no counterpart");
            continue;
        }
        renamed += usize::from(today != name);
        assert_eq!(old.shape(name), new.shape(&today));
        assert_eq!(floats(&old, name), floats(&new, &today), "{name}");
    }
    assert!(renamed > 0);
}

#[test]
fn musicgen_half_precision_is_read_as_it_is() {
    let tensors = Tensors::open(directory("musicgen_stereo")).unwrap();
    let mut largest = 0f32;
    for name in tensors.names() {
        let values = floats(&tensors, name);
        assert!(values.iter().all(|value| value.is_finite()), "{name}");
        // Halves have ten bits of fraction, so the last thirteen of an f32 stay empty.
        assert!(values.iter().all(|value| value.to_bits() & 0x1fff == 0), "{name}");
        largest = values.iter().fold(largest, |most, value| most.max(value.abs()));
    }
    assert!((0.5..100.0).contains(&largest), "{largest}");
}

#[test]
fn musicgen_shards_are_one_set_of_tensors() {
    let folder = directory("musicgen_melody");
    let tensors = Tensors::open(&folder).unwrap();
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
        .map(|name| Tensors::read(folder.join(name)).unwrap());
    let mut expected: Vec<&str> = shards.iter().flat_map(Tensors::names).collect();
    expected.sort_unstable();
    assert_eq!(names(&tensors), expected);
    for shard in &shards {
        for name in shard.names() {
            assert_eq!(floats(&tensors, name), floats(shard, name), "{name}");
        }
    }
}

/// The files of a model folder whose names begin like this, where they can be damaged.
fn copy(model: &str, begins: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(directory(model)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with(begins) {
            fs::write(copy.path().join(name), fs::read(&path).unwrap()).unwrap();
        }
    }
    copy
}

fn refused(folder: &Path) -> String {
    let error = Tensors::open(folder).err().expect("damaged");
    assert!(matches!(error, Error::Format(_) | Error::Read { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn musicgen_torch_shards_equal_the_whole_file() {
    let folder = copy("musicgen_mono", "pytorch_model.bin");
    let shard = "pytorch_model-00001-of-00001.bin";
    let whole = Tensors::open(folder.path()).unwrap();
    fs::rename(folder.path().join("pytorch_model.bin"), folder.path().join(shard)).unwrap();

    let bytes = |name: &str| 4 * whole.shape(name).unwrap().iter().product::<usize>();
    let each: usize = whole.names().map(bytes).sum();
    let map: serde_json::Map<_, _> = whole.names().map(|name| (name.to_owned(), shard.into())).collect();
    let index = |total: usize| {
        let text = serde_json::json!({"metadata": {"total_size": total}, "weight_map": map}).to_string();
        fs::write(folder.path().join("pytorch_model.bin.index.json"), text).unwrap();
    };
    for total in [each, each - bytes(TIED)] {
        index(total);
        let sharded = Tensors::open(folder.path()).unwrap();
        assert_eq!(names(&sharded), names(&whole));
        for name in whole.names() {
            assert_eq!(floats(&sharded, name), floats(&whole, name), "{name}");
        }
    }
    index(each - 4);
    let message = refused(folder.path());
    assert!(message.contains("total_size") && message.contains("pytorch_model.bin.index.json"), "{message}");
}

#[test]
fn musicgen_folders_with_damaged_shards_are_refused_by_name() {
    let folder = copy("musicgen_melody", "model");
    let second = folder.path().join("model-00002-of-00002.safetensors");
    let bytes = fs::read(&second).unwrap();
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&second, &bytes[..length]).unwrap();
        let message = refused(folder.path());
        assert!(message.contains("model-00002-of-00002.safetensors"), "{message}");
        // As soon as the header can be read, the tensor that is cut has a name.
        assert!(length < bytes.len() / 2 || message.contains("tensor \""), "{message}");
    }
    fs::remove_file(&second).unwrap();
    let message = refused(folder.path());
    assert!(
        message.contains("model-00002-of-00002.safetensors") && message.contains("tensor \""),
        "{message}"
    );

    // The other shard in its place: all there, but not what the index says.
    fs::copy(folder.path().join("model-00001-of-00002.safetensors"), &second).unwrap();
    let message = refused(folder.path());
    assert!(message.contains("must be in") && message.contains("tensor \""), "{message}");
}

#[test]
fn musicgen_torch_file_cut_anywhere_is_refused() {
    let folder = copy("musicgen_mono", "pytorch_model.bin");
    let path = folder.path().join("pytorch_model.bin");
    let file = fs::File::options().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    let ends = (1..300).map(|less| length - less);
    for length in ends.chain((0..100).rev().map(|part| length / 100 * part)) {
        file.set_len(length).unwrap();
        let message = refused(folder.path());
        assert!(message.contains("pytorch_model.bin"), "{message}");
    }
}
