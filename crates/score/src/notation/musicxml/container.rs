//! `.mxl`: a zip file with a MusicXML document and a note of where it is.

use super::document::{self, MAX_TEXT};
use crate::{Error, Result};
use std::io::{Cursor, Read, Write};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

const TYPE: &str = "application/vnd.recordare.musicxml";
const CONTAINER: &str = "META-INF/container.xml";
const DOCUMENT: &str = "score.musicxml";
/// A longer list of contents is none of a score's.
const MAX_ENTRIES: usize = 4096;

/// A document as a compressed file; the same text gives the same bytes.
pub fn compress(document: &str) -> Vec<u8> {
    let container = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<container>\n  <rootfiles>\n    \
         <rootfile full-path=\"{DOCUMENT}\" media-type=\"{TYPE}+xml\"/>\n  </rootfiles>\n</container>\n"
    );
    let write = || -> zip::result::ZipResult<Vec<u8>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        // The type comes first and as it is, so that it can be seen without unpacking.
        for (name, content, options) in
            [("mimetype", TYPE, stored), (CONTAINER, &container, deflated), (DOCUMENT, document, deflated)]
        {
            zip.start_file(name, options)?;
            zip.write_all(content.as_bytes())?;
        }
        Ok(zip.finish()?.into_inner())
    };
    write().expect("memory can be written to")
}

/// The document of a compressed file, as text.
///
/// # Errors
/// [`Error::MusicXml`] for what is no zip file, holds no score, or unpacks to more than 64 MiB.
pub fn decompress(bytes: &[u8]) -> Result<String> {
    let broken = |error: zip::result::ZipError| Error::MusicXml(format!("not a readable .mxl file: {error}"));
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if zip.len() > MAX_ENTRIES {
        return Err(Error::MusicXml(format!(
            "an .mxl file holds at most {MAX_ENTRIES} files, got {}",
            zip.len()
        )));
    }
    let name = match unpack(&mut zip, CONTAINER)? {
        Some(container) => root_file(&container),
        None => None,
    };
    let is_score = |name: &str| {
        let lower = name.to_ascii_lowercase();
        !lower.starts_with("meta-inf/") && (lower.ends_with(".xml") || lower.ends_with(".musicxml"))
    };
    let name = name
        .or_else(|| zip.file_names().flatten().find(|name| is_score(name)).map(std::borrow::Cow::into_owned));
    let name = name.ok_or_else(|| Error::MusicXml("the .mxl file holds no score".into()))?;
    let missing = || Error::MusicXml(format!("the .mxl file has no {name:?}, which it calls its score"));
    let text = unpack(&mut zip, &name)?.ok_or_else(missing)?;
    Ok(document::decode(&text)?.into_owned())
}

/// The path of the score in a list of contents; `None` for a list that cannot be read, as some programs write them.
fn root_file(container: &[u8]) -> Option<String> {
    let text = document::decode(container).ok()?;
    let tree = document::parse(&text).ok()?;
    // The first is the score, others are pictures or sounds of it.
    let root = tree.descendants().find(|node| node.has_tag_name("rootfile"))?;
    root.attribute("full-path").map(str::to_owned)
}

/// One file of the archive; `None` if it is not there. Never more than [`MAX_TEXT`] bytes, whatever the headers claim.
fn unpack(zip: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Option<Vec<u8>>> {
    let broken =
        |error: &dyn std::fmt::Display| Error::MusicXml(format!("{name:?} in the .mxl file: {error}"));
    let file = match zip.by_name(name) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(broken(&error)),
    };
    let mut content = Vec::new();
    file.take(MAX_TEXT as u64 + 1).read_to_end(&mut content).map_err(|error| broken(&error))?;
    if content.len() > MAX_TEXT {
        return Err(broken(&format!("unpacks to more than {MAX_TEXT} bytes")));
    }
    Ok(Some(content))
}
