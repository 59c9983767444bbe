//! Magenta's bundles, `.mag`: a message with a checkpoint of V1, the graph it was trained in, and a few words.
//!
//! ```text
//! GeneratorBundle {1 details {1 id, 2 description}, 2 checkpoint, 3 metagraph, 4 details of the bundle}
//! ```

use super::bundle::Bundle;
use super::proto::{Fields, Value};
use super::table::is_table;
use super::{meta_graph, text, v1};
use crate::Result;
use crate::weights::source::Source;
use crate::weights::{About, Tensors};

/// Of the words, in bytes.
const MAX_DETAILS: u64 = 1 << 16;
/// Of the graph, in bytes; published ones have some megabytes.
const MAX_GRAPH: u64 = 1 << 26;
/// A tag and a length.
const MAX_HEAD: u64 = 20;

/// Whether a file can be a bundle by its first bytes: its first field is a message. A header of safetensors may have
/// a length that begins with the same byte, but then zeros follow.
pub(in crate::weights) fn is_mag(first: &[u8]) -> bool {
    first.first() == Some(&(1 << 3 | 2)) && first.get(3..8).is_some_and(|bytes| bytes != [0; 5])
}

#[derive(Default)]
struct Parts {
    details: Option<(u64, u64)>,
    checkpoints: Vec<(u64, u64)>,
    graph: Option<(u64, u64)>,
}

/// # Errors
/// [`Error::Format`](crate::Error::Format) for a bundle that is malformed or has another number of checkpoints than 1.
pub(in crate::weights) fn load(source: &Source) -> Result<Tensors> {
    let fault = |what: String| source.fault(&format!("bundle: {what}"));
    let parts = parts(source).map_err(fault)?;
    let &[(at, length)] = parts.checkpoints.as_slice() else {
        return Err(fault(format!("must have 1 checkpoint, got {}", parts.checkpoints.len())));
    };
    let checkpoint = source.part(at, length, "checkpoint").map_err(fault)?;
    if !is_table(&checkpoint) {
        return Err(fault(
            "its checkpoint must be one of TensorFlow's V1, which ends as its tables do".into(),
        ));
    }
    let mut tensors = v1::load(checkpoint)?;

    let (id, description) = match parts.details {
        Some(place) => details(source, place).map_err(fault)?,
        None => Default::default(),
    };
    let attention_length = match parts.graph {
        Some((at, length)) if length <= MAX_GRAPH => {
            let graph = source.section(at, length).map_err(fault)?;
            let state = meta_graph::initial_state(&graph).map_err(|what| fault(format!("graph: {what}")))?;
            state.and_then(|width| attention_length(&tensors, width))
        }
        _ => None,
    };
    tensors.about = About { bundle: Some(Bundle { id, description, attention_length }), config: None };
    Ok(tensors)
}

/// The places of a bundle's fields; nothing but their heads is read.
fn parts(source: &Source) -> Result<Parts, String> {
    let (mut at, all) = (0, source.length());
    let mut parts = Parts::default();
    while at < all {
        let head = source.section(at, MAX_HEAD.min(all - at))?;
        let mut fields = Fields::new(&head);
        let tag = fields.varint()?;
        if tag & 7 != 2 {
            return Err(format!("a field at {at} must be a message or bytes, got wire type {}", tag & 7));
        }
        let length = fields.varint()?;
        let start = at + fields.position() as u64;
        at = start.checked_add(length).filter(|&end| end <= all).ok_or_else(|| {
            format!("{length} bytes are needed at {start}, but the file has {all}: it is cut short")
        })?;
        match tag >> 3 {
            1 => parts.details = Some((start, length)),
            2 => parts.checkpoints.push((start, length)),
            3 => parts.graph = Some((start, length)),
            _ => {}
        }
    }
    Ok(parts)
}

fn details(source: &Source, (at, length): (u64, u64)) -> Result<(String, String), String> {
    if length > MAX_DETAILS {
        return Err(format!("its details must have at most {MAX_DETAILS} bytes, got {length}"));
    }
    let bytes = source.section(at, length)?;
    let (mut id, mut description) = (String::new(), String::new());
    let mut fields = Fields::new(&bytes);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Bytes(range)) => text(&bytes[range], "its id")?.clone_into(&mut id),
            (2, Value::Bytes(range)) => text(&bytes[range], "its description")?.clone_into(&mut description),
            _ => {}
        }
    }
    Ok((id, description))
}

/// The number of slots, from the width of all of the state: two vectors a layer, the attention of width A, and A for
/// every slot. Holds for a wrapper around the first layer and for one around all of them.
fn attention_length(tensors: &Tensors, width: u64) -> Option<usize> {
    let side = |name: &str| tensors.shape(name).and_then(|shape| shape.last().copied());
    let attention = tensors.names().find(|name| name.ends_with("/attn_w") || name.ends_with("/AttnW"))?;
    let attention = side(attention)?;
    let is_cell = |name: &&str| {
        ["/basic_lstm_cell/bias", "/basic_lstm_cell/biases", "/BasicLSTMCell/Linear/Bias"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    // Four gates.
    let cells = tensors.names().filter(is_cell).map(|name| Some(side(name)? / 4 * 2));
    let cells = cells.sum::<Option<usize>>()?;
    let slots = usize::try_from(width).ok()?.checked_sub(cells.checked_add(attention)?)?;
    (attention > 0 && slots > 0 && slots % attention == 0).then(|| slots / attention)
}
