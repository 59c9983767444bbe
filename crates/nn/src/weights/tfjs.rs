//! Weights of TensorFlow.js, as magenta-js publishes them: a manifest and files that follow on one another.
//!
//! ```text
//! [{"paths": ["group1-shard1of2", ..], "weights": [{"name", "shape", "dtype", "quantization"?}, ..]}, ..]
//! ```
//! The files of a group joined are its weights, one after the other; a tensor may lie across files.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::beside::{Beside, is_file_name};
use super::dtype::{Dtype, Scale};
use super::entry::{Entry, Span};
use super::source::Source;
use super::{About, Index, Tensors, quoted};
use crate::{Error, Result};

/// What a manifest is called.
pub(super) const MANIFEST: &str = "weights_manifest.json";
/// Of a manifest, in bytes; published ones have some kilobytes.
const MAX_MANIFEST: u64 = 1 << 22;
/// Of the configuration beside it.
const MAX_CONFIG: u64 = 1 << 20;
/// Of one tensor of text.
const MAX_TEXTS: u64 = 1 << 16;

#[derive(Deserialize)]
struct Group {
    paths: Vec<String>,
    weights: Vec<Weight>,
}

#[derive(Deserialize)]
struct Weight {
    name: String,
    shape: Vec<u64>,
    dtype: String,
    quantization: Option<Quantization>,
}

#[derive(Deserialize)]
struct Quantization {
    dtype: String,
    scale: Option<f64>,
    min: Option<f64>,
}

/// A manifest, or a model with one in it.
#[derive(Deserialize)]
struct Model {
    #[serde(rename = "weightsManifest")]
    groups: Vec<Group>,
}

/// Whether a file begins as a manifest does. The length of a safetensors header may look like either, but then zeros
/// follow.
pub(super) fn is_manifest(first: &[u8]) -> bool {
    let begins = first.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(begins, Some(b'[' | b'{')) && first.get(3..8).is_none_or(|bytes| bytes != [0; 5])
}

pub(super) fn load(manifest: &Source, beside: &Beside<'_>) -> Result<Tensors> {
    let groups = read(manifest).map_err(|what| manifest.fault(&format!("manifest: {what}")))?;
    let mut tensors = Tensors { sources: vec![], index: Index::new(), about: About::default() };
    let mut opened = BTreeMap::new();
    for group in groups {
        let stream = open(&group, manifest, beside, &mut tensors.sources, &mut opened)?;
        add(&group, stream, &mut tensors).map_err(|what| manifest.fault(&what))?;
    }
    tensors.about.config = config(beside)?;
    Ok(tensors)
}

fn read(manifest: &Source) -> Result<Vec<Group>, String> {
    if manifest.length() > MAX_MANIFEST {
        return Err(format!("must have at most {MAX_MANIFEST} bytes, got {}", manifest.length()));
    }
    let text = manifest.section(0, manifest.length())?;
    let is_list = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let groups = if is_list {
        serde_json::from_slice(&text)
    } else {
        serde_json::from_slice(&text).map(|Model { groups }| groups)
    };
    groups.map_err(|error| error.to_string())
}

/// The configuration beside a manifest, where there is one.
fn config(beside: &Beside<'_>) -> Result<Option<String>> {
    let Ok(file) = beside.open("config.json") else { return Ok(None) };
    if file.length() > MAX_CONFIG {
        return Err(file.fault(&format!("must have at most {MAX_CONFIG} bytes, got {}", file.length())));
    }
    let text = file.section(0, file.length()).map_err(|what| file.fault(&what))?;
    String::from_utf8(text).map(Some).map_err(|_| file.fault("must be UTF-8"))
}

/// The files of a group, joined.
struct Stream {
    /// Number of the source, and its length; none is empty.
    files: Arc<[(usize, u64)]>,
    /// The next byte: file and place in it.
    file: usize,
    at: u64,
    left: u64,
}

fn open(
    group: &Group,
    manifest: &Source,
    beside: &Beside<'_>,
    sources: &mut Vec<Source>,
    opened: &mut BTreeMap<String, usize>,
) -> Result<Stream> {
    let mut files = Vec::new();
    for path in &group.paths {
        if !is_file_name(path) {
            let path = quoted(path);
            return Err(
                manifest.fault(&format!("a path must be that of a file of the same folder, got {path}"))
            );
        }
        let number = match opened.get(path) {
            Some(&number) => number,
            None => {
                sources.push(beside.open(path).map_err(|error| {
                    let Error::Read { path, source } = error else { return error };
                    manifest.fault(&format!("cannot read its weights {path}: {source}"))
                })?);
                opened.insert(path.clone(), sources.len() - 1);
                sources.len() - 1
            }
        };
        files.push((number, sources[number].length()));
    }
    files.retain(|&(_, length)| length > 0);
    let left = files.iter().map(|&(_, length)| length).fold(0, u64::saturating_add);
    Ok(Stream { files: files.into(), file: 0, at: 0, left })
}

fn add(group: &Group, mut stream: Stream, tensors: &mut Tensors) -> Result<(), String> {
    for weight in &group.weights {
        let named = |what: String| format!("tensor {}: {what}", quoted(&weight.name));
        let entry = place(weight, &mut stream, &tensors.sources).map_err(named)?;
        if tensors.index.contains_key(&weight.name) {
            return Err(named("must be there once, got it twice".into()));
        }
        tensors.index.insert(weight.name.clone(), entry);
    }
    Ok(())
}

fn place(weight: &Weight, stream: &mut Stream, sources: &[Source]) -> Result<Entry, String> {
    let named = dtype(&weight.dtype).ok_or_else(|| format!("unknown type {:?}", weight.dtype))?;
    let Some(quantization) = &weight.quantization else {
        let bytes = match named {
            Dtype::String => stream.texts(&weight.shape, sources)?,
            // Pairs of floats.
            Dtype::Other => Dtype::F64.bytes(&weight.shape).unwrap_or(u64::MAX),
            named => named.bytes(&weight.shape).unwrap_or(u64::MAX),
        };
        return Entry::joined(named, &weight.shape, stream.take(bytes)?);
    };
    let kept = match quantization.dtype.as_str() {
        "float16" => Dtype::F16,
        "uint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        other => return Err(format!("must be quantised to uint8, uint16 or float16, got {other:?}")),
    };
    let bytes = kept.bytes(&weight.shape).unwrap_or(u64::MAX);
    let mut entry = Entry::joined(kept, &weight.shape, stream.take(bytes)?)?;
    match (named, kept) {
        (Dtype::F32, Dtype::F16) => {}
        (Dtype::F32, _) => {
            let (Some(scale), Some(min)) = (quantization.scale, quantization.min) else {
                return Err("its quantization must have a scale and a min".into());
            };
            entry.scale = Some(Scale { scale, min });
        }
        // Whole numbers that were quantised: no model has any, so they are listed and that is all.
        _ => entry.dtype = Dtype::Other,
    }
    Ok(entry)
}

/// By the name that TensorFlow.js gives it. `complex64` is listed and not read.
fn dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "int32" => Dtype::I32,
        "uint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        "bool" => Dtype::Bool,
        "string" => Dtype::String,
        "complex64" => Dtype::Other,
        _ => return None,
    })
}

impl Stream {
    /// The places of the next `bytes`.
    fn take(&mut self, bytes: u64) -> Result<Vec<Span>, String> {
        if bytes > self.left {
            return Err(format!("{bytes} bytes are needed, but its files have {} left", self.left));
        }
        self.left -= bytes;
        let (mut spans, mut needed) = (Vec::new(), bytes);
        while needed > 0 {
            let (source, length) = self.files[self.file];
            let here = needed.min(length - self.at);
            spans.push(Span { source, at: self.at, bytes: here, checksum: None });
            needed -= here;
            self.at += here;
            if self.at == length {
                (self.file, self.at) = (self.file + 1, 0);
            }
        }
        Ok(spans)
    }

    /// Bytes of the next tensor of text: each has its length before it.
    fn texts(&self, shape: &[u64], sources: &[Source]) -> Result<u64, String> {
        let count = shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side));
        let count = count.filter(|&count| count <= MAX_TEXTS);
        let count = count.ok_or_else(|| format!("must have at most {MAX_TEXTS} texts, got {shape:?}"))?;
        let mut ahead = Stream { files: Arc::clone(&self.files), ..*self };
        for _ in 0..count {
            let mut length = Vec::new();
            for span in ahead.take(4)? {
                length.extend(sources[span.source].section(span.at, span.bytes)?);
            }
            let length = length.try_into().map(u32::from_le_bytes).map_err(|_| "a length is cut short")?;
            ahead.take(length.into())?;
        }
        Ok(self.left - ahead.left)
    }
}
