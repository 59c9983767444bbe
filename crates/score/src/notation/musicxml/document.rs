//! XML from outside: text in any usual encoding, a tree of bounded size, and nothing that grows when it is read.

use crate::{Error, Result};
use roxmltree::{Document, Node, ParsingOptions};
use std::borrow::Cow;

/// The longest document read, in bytes: ten symphonies.
pub(super) const MAX_TEXT: usize = 64 << 20;
/// A tree takes some 70 bytes a node.
const MAX_NODES: u32 = 6_000_000;
/// The parser compares every attribute of an element with every other one, and copies namespaces to children.
const MAX_ATTRIBUTES: usize = 200;
const MAX_NAMESPACES: usize = 100;

/// UTF-8, UTF-16 with its mark, or Latin-1 where the document says so.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>> {
    if bytes.len() > MAX_TEXT {
        return Err(Error::MusicXml(format!("a document has at most {MAX_TEXT} bytes, got {}", bytes.len())));
    }
    let wide = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units).collect::<Result<String, _>>().ok()
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes).map(Cow::Owned),
        [0xef, 0xbb, 0xbf, rest @ ..] => std::str::from_utf8(rest).ok().map(Cow::Borrowed),
        _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    };
    let head: String = bytes.iter().take(100).map(|&byte| char::from(byte).to_ascii_lowercase()).collect();
    let latin = ["iso-8859-1", "latin1", "windows-1252"].iter().any(|name| head.contains(name));
    text.or_else(|| latin.then(|| bytes.iter().map(|&byte| char::from(byte)).collect()))
        .ok_or_else(|| Error::MusicXml("the text is neither UTF-8 nor UTF-16".into()))
}

/// # Errors
/// [`Error::MusicXml`] for what is not well formed, declares entities, or is too large.
pub(super) fn parse(text: &str) -> Result<Document<'_>> {
    let refused = |why: &str| Err(Error::MusicXml(why.into()));
    if text.contains("<!ENTITY") {
        return refused("documents that declare entities are not read");
    }
    if text.matches("xmlns").count() > MAX_NAMESPACES {
        return refused("too many namespaces");
    }
    let attributes = |tag: &str| tag.matches("=\"").count() + tag.matches("='").count();
    if text.split('<').any(|tag| tag.len() > MAX_ATTRIBUTES && attributes(tag) > MAX_ATTRIBUTES) {
        return refused("an element has too many attributes");
    }
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options)
        .map_err(|error| Error::MusicXml(format!("not well formed: {error}")))
}

/// The first child of that name.
pub(super) fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// The text of the first child of that name, without blanks around it.
pub(super) fn text<'a>(node: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim)
}

/// The number in the first child of that name; `None` for what is not finite too.
pub(super) fn number(node: Node<'_, '_>, name: &str) -> Option<f64> {
    finite(text(node, name)?)
}

pub(super) fn finite(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// A whole number within a range.
pub(super) fn whole(node: Node<'_, '_>, name: &str, range: std::ops::RangeInclusive<i32>) -> Option<i32> {
    let number = number(node, name)?;
    let rounded = number.round() as i32;
    (f64::from(rounded) == number && range.contains(&rounded)).then_some(rounded)
}
