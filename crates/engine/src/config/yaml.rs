//! YAML as a tree that still knows where each value stood.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

/// Line and column, counted from 1.
pub(super) type At = (u64, u64);

/// A value and its place; `None` when it did not come from a file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub at: Option<At>,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Nothing, a switch or a number.
    Plain(Value),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Text from outside a file.
    pub fn text(text: &str) -> Node {
        Node { at: None, kind: Kind::Text(text.to_owned()) }
    }

    pub fn is_nothing(&self) -> bool {
        matches!(self.kind, Kind::Plain(Value::Null))
    }

    /// For messages: short, and never a whole document.
    pub fn shown(&self) -> String {
        match &self.kind {
            Kind::Plain(Value::Null) => "nothing".into(),
            Kind::Plain(value) => value.to_string(),
            Kind::Text(text) => {
                let short: String = text.chars().take(60).collect();
                format!("{short:?}")
            }
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a map".into(),
        }
    }

    fn from_spanned(spanned: Spanned<Kind>) -> Node {
        let at = (spanned.referenced.line(), spanned.referenced.column());
        Node { at: (at.0 > 0).then_some(at), kind: spanned.value }
    }
}

/// Reads one YAML document; an empty one is an empty map.
///
/// # Errors
/// Place, if known, and message of what is no YAML.
pub(super) fn parse(text: &str) -> Result<Node, (Option<At>, String)> {
    // `cache.store: off` is a word, not a switch; and a snippet in a message could show a secret.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let spanned: Spanned<Kind> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map(|place| (place.line(), place.column()));
        let message = error.without_snippet().to_string();
        (at, message.lines().next().unwrap_or("no YAML").to_owned())
    })?;
    let node = Node::from_spanned(spanned);
    Ok(if node.is_nothing() { Node { at: node.at, kind: Kind::Map(vec![]) } } else { node })
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Plain(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Plain(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Plain(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Kind, E> {
        Ok(Kind::Plain((value as f64).into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Kind, E> {
        Ok(Kind::Plain((value as f64).into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        // JSON has no word for what is not finite; as text it is refused where a number belongs.
        Ok(serde_json::Number::from_f64(value)
            .map_or_else(|| Kind::Text(value.to_string()), |number| Kind::Plain(number.into())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut list = vec![];
        while let Some(item) = seq.next_element::<Spanned<Kind>>()? {
            list.push(Node::from_spanned(item));
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = vec![];
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let mut node = Node::from_spanned(map.next_value::<Spanned<Kind>>()?);
            // A map's own place is its first key; what is wrong with an entry is shown at the entry's key.
            if matches!(node.kind, Kind::Map(_) | Kind::List(_)) || node.at.is_none() {
                let at = (key.referenced.line(), key.referenced.column());
                node.at = (at.0 > 0).then_some(at).or(node.at);
            }
            entries.push((key.value, node));
        }
        Ok(Kind::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_places() {
        let node = parse("server:\n  port: 80\nlist: [a, 1, null]\nword: off\n").expect("YAML");
        let Kind::Map(entries) = node.kind else { panic!("a map") };
        let Kind::Map(server) = &entries[0].1.kind else { panic!("a map") };
        assert_eq!(server[0].1.at, Some((2, 9)));
        assert_eq!(server[0].1.shown(), "80");
        let Kind::List(list) = &entries[1].1.kind else { panic!("a list") };
        assert_eq!(list.iter().map(Node::shown).collect::<Vec<_>>(), ["\"a\"", "1", "nothing"]);
        assert_eq!(entries[2].1.shown(), "\"off\"");
    }

    #[test]
    fn an_empty_document_holds_nothing() {
        for text in ["", "# only words\n", "---\n"] {
            let node = parse(text).expect("YAML");
            assert!(matches!(node.kind, Kind::Map(ref entries) if entries.is_empty()), "{text:?}");
        }
    }

    #[test]
    fn broken_yaml_says_where() {
        let (at, message) = parse("a: 1\nb: [1, 2\nc: 3\n").expect_err("no YAML");
        assert!(at.is_some_and(|(line, _)| line >= 2), "{at:?} {message}");
        assert!(parse("a: 1\na: 2\n").is_err(), "one key twice");
    }
}
