//! The seeds and every input that once broke a target, on any compiler, whole and damaged.

use std::fs;
use std::path::{Path, PathBuf};

use partita_fuzz::{TARGETS, manifest_archive, table_archive, torch_zip};
use partita_nn::Tensors;

/// Longer files are replayed whole only: damage is tried at every byte.
const DAMAGED_UP_TO: usize = 1024;

/// Seeds of a target, and former crashes under `hostile`.
fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("seeds").join(target);
    let seeds = if target == "midi_read" { root.join("../testdata/midi") } else { own.clone() };
    let mut inputs = Vec::new();
    for folder in [seeds, own.join("hostile")] {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let paths = entries.map(|entry| entry.expect("readable folder").path());
        for path in paths.filter(|path| path.is_file() && path.extension().is_none_or(|end| end != "md")) {
            let bytes = fs::read(&path).expect("readable file");
            inputs.push((path, bytes));
        }
    }
    inputs
}

#[test]
fn seeds_and_former_crashes_pass() {
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name} has no seeds");
        for (path, bytes) in inputs {
            println!("{}", path.display());
            target(&bytes);
        }
    }
}

#[test]
fn every_beginning_and_every_changed_byte_passes() {
    for (name, target) in TARGETS {
        for (path, bytes) in inputs(name).into_iter().filter(|(_, bytes)| bytes.len() <= DAMAGED_UP_TO) {
            println!("{}", path.display());
            for at in 0..bytes.len() {
                target(&bytes[..at]);
                for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at] ^ 0x20] {
                    let mut damaged = bytes.clone();
                    damaged[at] = value;
                    target(&damaged);
                }
            }
        }
    }
}

/// A seed that is refused at once would lead a search nowhere.
#[test]
fn seeds_of_weights_are_read() {
    let targets = [
        "safetensors",
        "torch_file",
        "torch_pickle",
        "table_block",
        "mag_file",
        "archive_file",
        "tfjs_manifest",
    ];
    for target in targets {
        for (path, bytes) in
            inputs(target).into_iter().filter(|(path, _)| !path.iter().any(|part| part == "hostile"))
        {
            let file = match target {
                "torch_pickle" => torch_zip(&bytes),
                "table_block" => table_archive(&bytes),
                "tfjs_manifest" => manifest_archive(&bytes),
                _ => bytes,
            };
            let tensors =
                Tensors::from_bytes(file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(tensors.names().count() > 1, "{}", path.display());
        }
    }
}
