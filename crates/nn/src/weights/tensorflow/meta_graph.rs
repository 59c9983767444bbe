//! The one thing that is wanted of a graph: how wide the state is that it begins with.
//!
//! ```text
//! MetaGraphDef {2 graph {1 node {1 name, 5 attributes}}, 4 collections {1 key, 2 {1 {1 names of tensors}}}}
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use super::proto::{Fields, Value};
use super::shape;

/// The width of all tensors of the collection `initial_state` together, for one sequence. `None` where the graph does
/// not say.
pub(super) fn initial_state(bytes: &[u8]) -> Result<Option<u64>, String> {
    let mut names: BTreeMap<&[u8], Option<u64>> = BTreeMap::new();
    for message in messages(bytes, 0..bytes.len(), 4)? {
        if part(bytes, &message, 1)?.is_none_or(|key| &bytes[key] != b"initial_state") {
            continue;
        }
        for value in messages(bytes, message, 2)? {
            for list in messages(bytes, value, 1)? {
                for name in messages(bytes, list, 1)? {
                    // `node:0` is the first output of the node.
                    let name = &bytes[name];
                    names.insert(name.strip_suffix(b":0").unwrap_or(name), None);
                }
            }
        }
    }
    for graph in messages(bytes, 0..bytes.len(), 2)? {
        for node in messages(bytes, graph, 1)? {
            let name = part(bytes, &node, 1)?.map(|name| &bytes[name]);
            if let Some(width) = name.and_then(|name| names.get_mut(name)) {
                *width = output_width(bytes, node)?;
            }
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    Ok(names.into_values().try_fold(0u64, |sum, width| sum.checked_add(width?)))
}

/// The last side of a node's first output, by its attribute `_output_shapes`.
fn output_width(bytes: &[u8], node: Range<usize>) -> Result<Option<u64>, String> {
    for attribute in messages(bytes, node, 5)? {
        if part(bytes, &attribute, 1)?.is_none_or(|key| &bytes[key] != b"_output_shapes") {
            continue;
        }
        let Some(value) = part(bytes, &attribute, 2)? else { continue };
        let Some(list) = part(bytes, &value, 1)? else { continue };
        let Some(first) = part(bytes, &list, 7)? else { continue };
        // An unknown side is no reason to refuse the weights.
        let sides = shape(Fields::within(bytes, first), bytes).unwrap_or_default();
        return Ok(sides.last().copied());
    }
    Ok(None)
}

/// The fields `wanted` of a message, those that are messages or strings.
fn messages(bytes: &[u8], message: Range<usize>, wanted: u64) -> Result<Vec<Range<usize>>, String> {
    let mut found = Vec::new();
    let mut fields = Fields::within(bytes, message);
    while let Some((field, value)) = fields.next()? {
        if let Value::Bytes(range) = value
            && field == wanted
        {
            found.push(range);
        }
    }
    Ok(found)
}

/// The first of them.
fn part(bytes: &[u8], message: &Range<usize>, wanted: u64) -> Result<Option<Range<usize>>, String> {
    Ok(messages(bytes, message.clone(), wanted)?.into_iter().next())
}
