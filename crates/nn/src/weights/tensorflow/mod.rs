//! TensorFlow's checkpoints: the bundle of an index and data files (V2), the single file before it (V1), and
//! Magenta's `.mag`, which holds the latter.

mod bundle;
#[cfg(test)]
pub(super) mod fixture;
mod mag;
mod meta_graph;
mod proto;
mod slices;
mod table;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use self::proto::{Fields, Value};
use self::table::Table;
use super::beside::Beside;
use super::dtype::Dtype;
use super::source::Source;
use super::{Tensors, quoted};
use crate::Result;

pub use self::bundle::Bundle;
pub(super) use self::mag::{is_mag, load as load_mag};
pub(super) use self::table::is_table;

/// Opens a checkpoint by one of its tables: that of V1 is all of it, that of V2 is the index whose file, called `name`,
/// has its data beside it.
pub(super) fn load(source: Source, name: Option<&str>, beside: &Beside<'_>) -> Result<Tensors> {
    let table = Table::open(&source).map_err(|what| source.fault(&what))?;
    let is_v1 = is_v1(&table).map_err(|what| source.fault(&what))?;
    if is_v1 {
        return v1::load(source);
    }
    v2::load(&source, &table, name, beside)
}

/// By the first entry: a message in V1, numbers in V2.
fn is_v1(table: &Table<'_>) -> Result<bool, String> {
    let (key, value) = table.first()?;
    if !key.is_empty() {
        return Err("a table of TensorFlow must begin with an empty key".into());
    }
    let first = Fields::new(&value).next()?;
    Ok(matches!(first, Some((1, Value::Bytes(_)))))
}

/// By TensorFlow's number of it (`types.proto`).
fn dtype(number: u64) -> Dtype {
    match number {
        1 => Dtype::F32,
        2 => Dtype::F64,
        3 => Dtype::I32,
        4 => Dtype::U8,
        5 => Dtype::I16,
        6 => Dtype::I8,
        7 => Dtype::String,
        9 => Dtype::I64,
        10 => Dtype::Bool,
        14 => Dtype::Bf16,
        17 => Dtype::U16,
        19 => Dtype::F16,
        22 => Dtype::U32,
        23 => Dtype::U64,
        _ => Dtype::Other,
    }
}

/// The sides of a `TensorShapeProto`.
fn shape(mut fields: Fields<'_>, buffer: &[u8]) -> Result<Vec<u64>, String> {
    let mut shape = Vec::new();
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (2, Value::Bytes(range)) => {
                let mut dim = Fields::within(buffer, range);
                let mut side = 0;
                while let Some((field, value)) = dim.next()? {
                    if let (1, Value::Varint(value)) = (field, value) {
                        side = value;
                    }
                }
                if i64::try_from(side).is_err() {
                    return Err("a side of the shape must be known, got a negative one".into());
                }
                shape.push(side);
            }
            (3, Value::Varint(1)) => return Err("the number of sides must be known".into()),
            _ => {}
        }
    }
    Ok(shape)
}

fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|_| format!("{what} must be UTF-8"))
}

/// Puts the tensor's name before what is wrong with it.
fn named(name: &str) -> impl Fn(String) -> String {
    move |what| format!("tensor {}: {what}", quoted(name))
}
