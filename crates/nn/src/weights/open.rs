//! From a path or contents to weights: what kind of file it is, and who reads it.

use std::path::Path;

use super::beside::Beside;
use super::source::Source;
use super::{About, Index, Tensors, folder, gzip, safetensors, tar, tensorflow, tfjs, torch};
use crate::{Error, Result};

/// What a file came out of. An archive may be packed once, and holds no archive: a few bytes could else be weights
/// without end.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Packed {
    No,
    Gzip,
    Archived,
}

pub(super) fn path(path: &Path) -> Result<Tensors> {
    match path.metadata() {
        Ok(about) if about.is_dir() => folder::open(path),
        Ok(_) => file(path),
        Err(source) => {
            let mut index = path.as_os_str().to_owned();
            index.push(".index");
            if Path::new(&index).is_file() {
                return file(Path::new(&index));
            }
            Err(Error::Read { path: path.display().to_string(), source })
        }
    }
}

pub(super) fn file(path: &Path) -> Result<Tensors> {
    let source = Source::open(path)?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str());
    load(source, name, &Beside::Folder(folder), Packed::No)
}

/// Opens a file that is called `name`, by what its first and last bytes say it is.
pub(super) fn load(
    source: Source,
    name: Option<&str>,
    beside: &Beside<'_>,
    packed: Packed,
) -> Result<Tensors> {
    let first = source.section(0, source.length().min(16)).map_err(|what| source.fault(&what))?;
    let is_zip = first.starts_with(b"PK\x03\x04") || first.starts_with(b"PK\x05\x06");
    if is_zip {
        return listed(source, torch::index);
    }
    // A pickle's beginning followed by the magic number of that format.
    if first.starts_with(&[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46]) {
        let what = "a file of torch must be a zip, as torch 1.6 and later write it, got the format before it";
        return Err(source.fault(what));
    }
    if first.starts_with(b"version https:/") {
        return Err(source.fault("must hold weights, got the pointer that Git LFS leaves in their place"));
    }
    if gzip::is_gzip(&first) {
        if packed != Packed::No {
            return Err(source.fault("must be packed once, got a packed file inside of one"));
        }
        let folder = if let Beside::Folder(folder) = beside { Some(*folder) } else { None };
        let unpacked = gzip::unpack(&source, folder).map_err(|what| source.fault(&what))?;
        return load(unpacked, None, &Beside::Nothing, Packed::Gzip);
    }
    if tar::is_tar(&source) {
        if packed == Packed::Archived {
            return Err(source.fault("must be weights, got an archive inside of one"));
        }
        return tar::load(source);
    }
    if tensorflow::is_mag(&first) {
        return tensorflow::load_mag(&source);
    }
    if tfjs::is_manifest(&first) {
        return tfjs::load(&source, beside);
    }
    if tensorflow::is_table(&source) || name.is_some_and(|name| name.ends_with(".index")) {
        return tensorflow::load(source, name, beside);
    }
    listed(source, safetensors::index)
}

fn listed(source: Source, index: fn(&Source) -> Result<Index, String>) -> Result<Tensors> {
    let index = index(&source).map_err(|what| source.fault(&what))?;
    Ok(Tensors { sources: vec![source], index, about: About::default() })
}
