//! The codec against the published library: samples of codes, codes of samples, in any pieces.

use std::path::PathBuf;
use std::sync::Arc;

use partita_kernels::{Compute, Path, Pool};
use partita_models::musicgen::codec::{Codec, CodecConfig, CodecEncoder};
use partita_nn::Tensors;
use serde_json::Value;

/// Relative to the largest value. Both sides sum in f32 in different orders; the largest difference seen is 1.3e-6.
const CLOSE: f32 = 1e-5;

const MODELS: [&str; 3] = ["musicgen_mono", "musicgen_stereo", "musicgen_melody"];

fn folder(name: &str) -> PathBuf {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/reference");
    std::env::var_os("PARTITA_VECTORS").map_or(repository, PathBuf::from).join("hf").join(name)
}

struct Reference {
    weights: Tensors,
    config: CodecConfig,
    vectors: Tensors,
    cases: Value,
}

fn reference(name: &str) -> Reference {
    let folder = folder(name);
    let json = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    Reference {
        weights: Tensors::open(&folder).unwrap(),
        config: serde_json::from_value(json("config.json")["audio_encoder"].take()).unwrap(),
        vectors: Tensors::read(folder.join("vectors.safetensors")).unwrap(),
        cases: json("vectors.json")["cases"].take(),
    }
}

impl Reference {
    fn codec(&self) -> Codec {
        Codec::load(&self.weights, "audio_encoder.", &self.config).unwrap()
    }

    fn encoder(&self) -> CodecEncoder {
        CodecEncoder::load(&self.weights, "audio_encoder.", &self.config).unwrap()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let shape = self.vectors.shape(name).unwrap_or_else(|| panic!("{name}")).to_vec();
        self.vectors.f32(name, &shape).unwrap()
    }

    fn codes(&self, name: &str) -> Vec<Vec<u32>> {
        let frames = self.vectors.shape(name).unwrap_or_else(|| panic!("{name}"))[1];
        let codes: Vec<u32> = self
            .vectors
            .integers(name)
            .unwrap()
            .into_iter()
            .map(|code| u32::try_from(code).unwrap())
            .collect();
        codes.chunks(frames).map(<[u32]>::to_vec).collect()
    }
}

fn compute(path: Path, threads: usize) -> Compute {
    Compute::new(Arc::new(Pool::new(threads).unwrap()), path)
}

fn best() -> Compute {
    compute(Path::from_env().unwrap(), 2)
}

fn assert_close(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let top = expected.iter().fold(0.0f32, |top, value| top.max(value.abs()));
    let worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= CLOSE * top, "{what}: {} of the largest value", worst / top);
}

/// `codes[..][from..to]`
fn part(codes: &[Vec<u32>], from: usize, to: usize) -> Vec<&[u32]> {
    codes.iter().map(|codes| &codes[from..to]).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn musicgen_codec_decodes_to_the_reference_samples() {
    for name in MODELS {
        let reference = reference(name);
        let codec = reference.codec();
        let lengths = reference.cases["codec_decode"].as_array().unwrap();
        assert_eq!(lengths.len(), 5);
        for frames in lengths {
            let codes = reference.codes(&format!("codec.decode.{frames}.codes"));
            let expected = reference.floats(&format!("codec.decode.{frames}.audio"));
            let got = codec.decode(&mut best(), &codes).unwrap();
            assert_eq!(got.len() as u64, frames.as_u64().unwrap() * codec.config().hop() as u64);
            assert_close(&got, &expected, &format!("{name}, {frames} frames"));
        }
    }
}

#[test]
fn musicgen_codec_encodes_to_the_reference_codes() {
    for name in MODELS {
        let reference = reference(name);
        let encoder = reference.encoder();
        let (hidden, lengths) = (reference.config.hidden_size, &reference.cases["codec_encode"]["lengths"]);
        for samples in lengths.as_array().unwrap() {
            let stem = format!("codec.encode.{samples}");
            let audio = reference.floats(&format!("{stem}.audio"));
            let expected = reference.floats(&format!("{stem}.latent"));
            let frames = expected.len() / hidden;
            let latent = encoder.latent(&mut best(), &audio).unwrap();
            let turned: Vec<f32> =
                (0..expected.len()).map(|at| latent[at % frames * hidden + at / frames]).collect();
            assert_close(&turned, &expected, &format!("{name} {stem}"));
            // The smallest gap between the nearest and the second code is 1e-3, far above any difference in
            // rounding.
            let codes = encoder.encode(&mut best(), &audio).unwrap();
            assert_eq!(codes, reference.codes(&format!("{stem}.codes")), "{name} {stem}");
        }
    }
}

#[test]
fn musicgen_codec_streams_the_samples_of_the_whole_in_any_pieces_on_any_path() {
    let reference = reference("musicgen_mono");
    let codec = reference.codec();
    let hop = codec.config().hop();
    let codes = reference.codes("codec.decode.60.codes");
    // Twice, to cross the boundary of what is taken together.
    let codes: Vec<Vec<u32>> = codes.iter().map(|codes| codes.repeat(2)).collect();
    let whole = codec.decode(&mut best(), &codes).unwrap();
    assert_eq!(whole.len(), 120 * hop);
    for path in Path::ALL.into_iter().filter(|path| path.is_supported()) {
        for (threads, sizes) in [(1, vec![1]), (2, vec![3, 0, 1, 7]), (3, vec![50, 19]), (1, vec![120])] {
            let mut compute = compute(path, threads);
            let (mut stream, mut samples, mut from) = (codec.stream(), Vec::new(), 0);
            for size in sizes.iter().cycle() {
                let to = (from + size).min(120);
                samples.extend(stream.push(&mut compute, &part(&codes, from, to)).unwrap());
                assert!(
                    samples.len() >= to.saturating_sub(4) * hop,
                    "{} samples of {to} frames",
                    samples.len()
                );
                from = to;
                if from == 120 {
                    break;
                }
            }
            samples.extend(stream.finish(&mut compute));
            assert_eq!(bits(&samples), bits(&whole), "{path:?} {sizes:?}");
        }
    }
}

#[test]
fn musicgen_codec_stream_starts_anew_after_its_end() {
    let reference = reference("musicgen_stereo");
    let codec = reference.codec();
    let mut stream = codec.stream();
    for frames in [2, 1, 5, 23] {
        let codes = reference.codes(&format!("codec.decode.{frames}.codes"));
        let mut samples = stream.push(&mut best(), &codes).unwrap();
        samples.extend(stream.finish(&mut best()));
        assert_eq!(bits(&samples), bits(&codec.decode(&mut best(), &codes).unwrap()), "{frames}");
    }
    assert!(stream.finish(&mut best()).is_empty());
}

#[test]
fn musicgen_codec_weights_have_two_namings() {
    let reference = reference("musicgen_mono");
    let renamed = Tensors::read(folder("musicgen_mono").join("model.newnames.safetensors")).unwrap();
    assert!(renamed.contains("audio_encoder.decoder.layers.0.conv.parametrizations.weight.original0"));
    let other = Codec::load(&renamed, "audio_encoder.", &reference.config).unwrap();
    let codes = reference.codes("codec.decode.5.codes");
    let expected = reference.codec().decode(&mut best(), &codes).unwrap();
    assert_eq!(bits(&other.decode(&mut best(), &codes).unwrap()), bits(&expected));
    let other = CodecEncoder::load(&renamed, "audio_encoder.", &reference.config).unwrap();
    let audio = reference.floats("codec.encode.640.audio");
    assert_eq!(other.encode(&mut best(), &audio).unwrap(), reference.codes("codec.encode.640.codes"));
}

#[test]
fn musicgen_codec_encodes_long_clips_as_short_ones_joined() {
    // Pieces are taken every 25 frames; what comes later changes earlier codes no more than the window says.
    let reference = reference("musicgen_mono");
    let encoder = reference.encoder();
    let audio: Vec<f32> =
        (0..60 * 640 + 17).map(|i| ((i * 2_654_435_761_usize % 2003) as f32 / 1001.0 - 1.0) * 0.3).collect();
    let long = encoder.encode(&mut best(), &audio).unwrap();
    assert!(long.iter().all(|codes| codes.len() == 61));
    let short = encoder.encode(&mut best(), &audio[..20 * 640]).unwrap();
    for (long, short) in long.iter().zip(&short) {
        assert_eq!(long[..12], short[..12]);
    }
    assert_eq!(long, encoder.encode(&mut compute(Path::Generic, 1), &audio).unwrap());
    assert!(encoder.encode(&mut best(), &[]).unwrap().iter().all(Vec::is_empty));
}

#[test]
fn musicgen_codec_names_what_it_refuses() {
    let reference = reference("musicgen_mono");
    let codec = reference.codec();
    let refused = |codes: &[Vec<u32>]| codec.decode(&mut best(), codes).unwrap_err().to_string();
    let good = vec![vec![1, 2, 3]; 4];
    assert_eq!(refused(&good[..3]), "rows of codes must be in 4..=4, got 3");
    assert_eq!(refused(&[]), "rows of codes must be in 4..=4, got 0");
    let mut codes = good.clone();
    codes[2].push(1);
    assert_eq!(refused(&codes), "codes of a row must be in 3..=3, as the first row has, got 4");
    let mut codes = good.clone();
    codes[3][1] = 64;
    assert_eq!(refused(&codes), "code must be in 0..64, got 64");
    assert!(codec.decode(&mut best(), &vec![vec![]; 4]).unwrap().is_empty());

    for sample in [f32::NAN, f32::INFINITY, -1e7] {
        let error = reference.encoder().encode(&mut best(), &[0.0, sample]).unwrap_err().to_string();
        assert!(error.starts_with("sample must be in [-1000000, 1000000], got "), "{error}");
    }
    let error = Codec::load(&reference.weights, "codec.", &reference.config).err().unwrap().to_string();
    assert_eq!(error, "tensor \"codec.quantizer.layers.0.codebook.embed\" is missing");
    let wide = CodecConfig { num_filters: 8, ..reference.config.clone() };
    let error = Codec::load(&reference.weights, "audio_encoder.", &wide).err().unwrap().to_string();
    assert!(error.contains("decoder.layers.0.conv") && error.contains("must have shape [128"), "{error}");
}
