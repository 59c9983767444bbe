//! Tests of the public API, on files and on generated music.

mod demands;
mod differential;
mod drums;
mod edge_cases;
mod harmony;
mod hostile;
mod magenta;
mod metrics;
mod notation;
mod round_trip;

use std::{fs, path::PathBuf};

/// The MIDI files of `testdata/midi` whose name starts so, with their names, sorted.
fn test_files(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/midi");
    let entries = fs::read_dir(folder).expect("testdata/midi is in the repository");
    let paths = entries.map(|entry| entry.expect("readable folder").path());
    let name = |path: &PathBuf| path.file_name().expect("files have names").to_string_lossy().into_owned();
    let mut files: Vec<_> = paths
        .filter(|path| name(path).starts_with(prefix) && !name(path).ends_with(".md"))
        .map(|path| (name(&path), fs::read(&path).expect("readable file")))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no {prefix} files");
    files
}
