//! What a MusicGen melody model hears, against the published feature extractor.

use std::path::PathBuf;

use partita_models::musicgen::melody::{CLASSES, energies, features, filters};
use partita_nn::Tensors;

/// The reference's filters are made in f64 from slightly other roundings and stored as f32.
const FILTERS: f32 = 1e-6;
/// The reference's Fourier transform is in f32; relative to the largest energy.
const ENERGIES: f32 = 2e-4;

fn tensors() -> Tensors {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference");
    let root = std::env::var_os("PARTITA_VECTORS").map_or(repository, PathBuf::from);
    Tensors::read(root.join("hf/musicgen_melody/vectors.safetensors")).unwrap()
}

fn floats(tensors: &Tensors, name: &str) -> Vec<f32> {
    let shape = tensors.shape(name).unwrap_or_else(|| panic!("{name}")).to_vec();
    tensors.f32(name, &shape).unwrap()
}

fn assert_close(got: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let worst = got.iter().zip(expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(worst <= tolerance * largest, "{what}: {worst} off where the largest is {largest}");
}

#[test]
fn musicgen_melody_filters_are_the_published_ones() {
    assert_close(&filters(), &floats(&tensors(), "chroma.filters"), FILTERS, "filters");
}

#[test]
fn musicgen_melody_features_are_the_published_ones() {
    let tensors = tensors();
    // The second is shorter than a window.
    for case in 0..2 {
        let audio = floats(&tensors, &format!("chroma.{case}.audio"));
        let expected = floats(&tensors, &format!("chroma.{case}.features"));
        assert_eq!(features(&audio), expected, "case {case}");
        // The reference has classes first.
        let raw = floats(&tensors, &format!("chroma.{case}.raw"));
        let frames = expected.len() / CLASSES;
        let by_frame: Vec<f32> =
            (0..expected.len()).map(|i| raw[i % CLASSES * frames + i / CLASSES]).collect();
        assert_close(&energies(&audio), &by_frame, ENERGIES, &format!("energies of case {case}"));
    }
}
